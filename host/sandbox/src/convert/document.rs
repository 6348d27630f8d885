//! One document of a page.

use tributary_core::{
    contract::{Content, Document, Failure, Section, Value},
    document::{Locator, Provenance},
};

use super::{
    MAX_FINGERPRINT_BYTES,
    text::{identifier, optional, shorter_than},
    violation,
};
use crate::{
    bindings::types,
    blobs::Blobs,
    services::MAX_EXTERNAL_ID_BYTES,
    text::{is_unprintable, one_line, prefix, printable, without_nul},
};

const MAX_SECTIONS: usize = 100_000;
const MAX_HEADINGS: usize = 16;
const MAX_HEADING_BYTES: usize = 1000;
const MAX_FIELDS: usize = 256;
const MAX_FIELD_NAME_BYTES: usize = 128;
const MAX_FIELD_BYTES: usize = 32 << 10;
const MAX_URL_BYTES: usize = 4096;
/// What a person may be led to by a citation; never `javascript:` or `data:`.
const URL_SCHEMES: [&str; 5] = ["http", "https", "ftp", "file", "mailto"];

/// An id that can name a document: 1 to 1,024 bytes, nothing unprintable.
pub(super) fn bounded_id(external_id: &str) -> Result<(), Failure> {
    if external_id.is_empty() || external_id.len() > MAX_EXTERNAL_ID_BYTES {
        return Err(violation(
            "bad_external_id",
            format!("an external id has {} bytes where 1 to {MAX_EXTERNAL_ID_BYTES} are allowed", external_id.len()),
        ));
    }
    if external_id.chars().any(is_unprintable) {
        return Err(violation("bad_external_id", "an external id contains control characters"));
    }
    Ok(())
}

/// A document with every part bounded; its id is checked already.
pub(super) fn document(raw: types::Document, blobs: &Blobs) -> Result<Document, Failure> {
    if !identifier(&raw.kind, 64) {
        return Err(violation(
            "bad_kind",
            format!("a document's kind \"{}\" is not made of a-z, 0-9, `_` and `-`", printable(&raw.kind, 64)),
        ));
    }
    if let Some(container) = &raw.container {
        bounded_id(container)?;
    }
    if let Some(fingerprint) = &raw.fingerprint {
        shorter_than(MAX_FINGERPRINT_BYTES, "fingerprint", fingerprint)?;
    }
    if raw.fields.len() > MAX_FIELDS {
        return Err(violation(
            "item_too_large",
            format!("an item has {} of at most {MAX_FIELDS} fields", raw.fields.len()),
        ));
    }
    Ok(Document {
        title: one_line(&raw.title, 1000),
        language: optional(raw.language).filter(|tag| identifier(&tag.to_ascii_lowercase(), 35)),
        content: content(raw.content, blobs)?,
        fields: raw.fields.into_iter().map(field).collect::<Result<_, _>>()?,
        provenance: provenance(raw.provenance),
        external_id: raw.external_id,
        kind: raw.kind,
        fingerprint: raw.fingerprint,
        container: raw.container,
    })
}

fn content(raw: types::Content, blobs: &Blobs) -> Result<Content, Failure> {
    Ok(match raw {
        types::Content::Unchanged => Content::Unchanged,
        types::Content::Sections(raw) => Content::Sections(sections(raw)?),
        types::Content::Blob((blob, media_type)) => {
            blobs.get(blob)?;
            shorter_than(255, "media type", &media_type)?;
            Content::Blob { blob, media_type: printable(&media_type, 255) }
        }
    })
}

/// Sections with bounded headings and locators; the text is bounded by what may be handed over at once.
pub(crate) fn sections(raw: Vec<types::Section>) -> Result<Vec<Section>, Failure> {
    if raw.len() > MAX_SECTIONS {
        return Err(violation(
            "item_too_large",
            format!("an item has {} of at most {MAX_SECTIONS} sections", raw.len()),
        ));
    }
    raw.into_iter()
        .map(|section| {
            let heading = section.heading.iter().take(MAX_HEADINGS).map(|text| one_line(text, MAX_HEADING_BYTES));
            Ok(Section {
                heading: heading.collect(),
                text: without_nul(section.text),
                at: section.at.map(locator).transpose()?,
            })
        })
        .collect()
}

fn locator(raw: types::Locator) -> Result<Locator, Failure> {
    let text = |text: String| shorter_than(1024, "locator", &text).map(|()| text);
    Ok(match raw {
        types::Locator::Page(page) => Locator::Page(page),
        types::Locator::Cells((sheet, range)) => Locator::Cells(text(sheet)?, text(range)?),
        types::Locator::JsonPointer(pointer) => Locator::JsonPointer(text(pointer)?),
        types::Locator::Fragment(fragment) => Locator::Fragment(text(fragment)?),
        types::Locator::Bytes((start, end)) => Locator::Bytes(start, end.max(start)),
    })
}

fn field((name, value): (String, types::Value)) -> Result<(String, Value), Failure> {
    if name.is_empty() || name.len() > MAX_FIELD_NAME_BYTES || name.chars().any(is_unprintable) {
        return Err(violation(
            "bad_field_name",
            format!(
                "a field name has {} bytes where 1 to {MAX_FIELD_NAME_BYTES} printable ones are allowed",
                name.len()
            ),
        ));
    }
    let bounded = |text: String| {
        let text = without_nul(text);
        shorter_than(MAX_FIELD_BYTES, "fields", &text).map(|()| text)
    };
    let value = match value {
        types::Value::Text(text) => Value::Text(bounded(text)?),
        types::Value::Integer(number) => Value::Integer(number),
        types::Value::Number(number) if number.is_finite() => Value::Number(number),
        types::Value::Number(_) => {
            return Err(violation("bad_field", format!("field \"{name}\" is not a finite number")));
        }
        types::Value::Boolean(boolean) => Value::Boolean(boolean),
        types::Value::Instant(ms) => Value::Instant(ms),
        types::Value::Money((amount, currency)) => {
            shorter_than(64, "amount", &amount)?;
            shorter_than(8, "currency", &currency)?;
            Value::Money(amount, currency)
        }
        types::Value::Texts(texts) => {
            let total: usize = texts.iter().map(|text| text.len() + 1).sum();
            if total > MAX_FIELD_BYTES {
                return Err(violation(
                    "item_too_large",
                    format!("field \"{name}\" has {total} of at most {MAX_FIELD_BYTES} bytes"),
                ));
            }
            Value::Texts(texts.into_iter().map(without_nul).collect())
        }
        types::Value::Json(json) => Value::Json(bounded(json)?),
    };
    Ok((name, value))
}

/// What cannot be kept is cut or left out: provenance never costs a document.
fn provenance(raw: types::Provenance) -> Provenance {
    let short = |text: Option<String>, max_bytes| optional(text).map(|text| one_line(&text, max_bytes));
    let list = |texts: Vec<String>| texts.iter().take(32).map(|text| one_line(text, 255)).collect();
    Provenance {
        url: optional(raw.url).filter(|url| is_url(url)),
        retrieved_from: short(raw.retrieved_from, MAX_URL_BYTES),
        revision: short(raw.revision, 255),
        etag: short(raw.etag, 255),
        created_at: raw.created_at,
        modified_at: raw.modified_at,
        authors: list(raw.authors),
        path: list(raw.path),
        license: short(raw.license, 255),
    }
}

fn is_url(url: &str) -> bool {
    let scheme = prefix(url, 16).split(':').next().unwrap_or_default().to_ascii_lowercase();
    url.len() <= MAX_URL_BYTES
        && url.contains(':')
        && URL_SCHEMES.contains(&scheme.as_str())
        && !url.chars().any(|c| is_unprintable(c) || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_a_person_may_follow_are_kept() {
        for good in ["https://shop.example/a?b=c", "HTTP://x", "mailto:a@b"] {
            assert!(is_url(good), "{good}");
        }
        for bad in
            ["javascript:alert(1)", "data:text/html,x", "java\tscript:x", "https", "", " https://x", "https://a b"]
        {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
