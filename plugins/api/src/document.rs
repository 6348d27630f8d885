//! A record as a document: what a reader sees, where it comes from, and a fingerprint of it.

use sha2::{Digest, Sha256};
use tributary_plugin_sdk::{Content, Document, Failure, Provenance, Section, Value};

use crate::{
    config::{Field, FieldType, Html, Mapping, Text},
    html,
    json::Json,
    money, template, text,
    time::{self, Format},
};

/// The contract's limit.
pub(crate) const MAX_EXTERNAL_ID_BYTES: usize = 1_024;
/// Longer titles are cut.
const MAX_TITLE_CHARS: usize = 500;
/// Longer lines of fields are cut in the text; the field has all of it.
const MAX_LINE_CHARS: usize = 2_000;

/// What of the run a record's document depends on.
pub(crate) struct Around<'a> {
    pub(crate) collection: &'a str,
    /// Keys of the parents, outermost first.
    pub(crate) path: &'a [String],
    /// Values of the parents' records.
    pub(crate) names: &'a std::collections::BTreeMap<String, String>,
}

impl Around<'_> {
    /// The external id of what has this id within the collection.
    pub(crate) fn external_id(&self, id: &str) -> String {
        let mut name = self.collection.to_owned();
        for part in self.path.iter().map(String::as_str).chain([id]) {
            name.push('/');
            name.push_str(part);
        }
        name
    }
}

/// The id of a record.
///
/// # Errors
/// When it has none, or one that is too long.
pub(crate) fn id_of(mapping: &Mapping, around: &Around<'_>, record: &Json) -> Result<String, Failure> {
    let id = mapping.id.scalar(record).ok_or_else(|| {
        let what = format!("A record of `{}` has nothing at `{}`, which is to name it.", around.collection, mapping.id);
        Failure::source_contract("id_missing", what)
    })?;
    let id = around.external_id(&id);
    if id.len() > MAX_EXTERNAL_ID_BYTES {
        let what = format!("Its id is longer than {MAX_EXTERNAL_ID_BYTES} bytes; name it by something shorter.");
        return Err(Failure::too_large("id_too_long", what));
    }
    Ok(id)
}

/// The document that a record is, with its fingerprint.
pub(crate) fn document(mapping: &Mapping, around: &Around<'_>, id: String, record: &Json) -> Document {
    let document = map(mapping, around, id, record);
    let fingerprint = if mapping.ignore_for_hash.is_empty() {
        fingerprint(&document)
    } else {
        let mut seen = record.clone();
        mapping.ignore_for_hash.iter().for_each(|pointer| seen.remove(pointer));
        fingerprint(&map(mapping, around, document.external_id.clone(), &seen))
    };
    document.fingerprinted(fingerprint)
}

/// Bytes of what a document brings.
pub(crate) fn size_bytes(document: &Document) -> u64 {
    match &document.content {
        Content::Sections(sections) => sections.iter().map(|section| section.text.len() as u64).sum(),
        _ => 0,
    }
}

fn map(mapping: &Mapping, around: &Around<'_>, id: String, record: &Json) -> Document {
    let said = |text: &Text| say(text, around, record);
    let title =
        mapping.title.0.iter().find_map(said).map(|title| one_line(&title, MAX_TITLE_CHARS)).unwrap_or_default();
    let formats = if mapping.formats.is_empty() { time::ANY } else { &mapping.formats };
    let instant = |pointer: &crate::json::Pointer| time::parse(&pointer.scalar(record)?, formats);
    let mut sections = body(mapping, around, record);
    let mut fields = Vec::new();
    let mut lines = String::new();
    for field in &mapping.fields {
        let Some(value) = value(field, record, formats) else { continue };
        let line = match &value {
            Value::Money((amount, currency)) => format!("{amount} {currency}"),
            Value::Instant(at) => Format::Rfc3339.write(*at).unwrap_or_default(),
            Value::Json(_) => String::new(),
            _ => field.at.find_all(record).into_iter().find_map(Json::words).unwrap_or_default(),
        };
        if !line.is_empty() {
            lines.push_str(&format!("{}: {}\n", field.name, one_line(&line, MAX_LINE_CHARS)));
        }
        fields.push((field.name.clone(), value));
    }
    if mapping.fields_in_text && !lines.is_empty() {
        sections.push(Section::new(Vec::new(), lines.trim_end()));
    }
    if sections.is_empty() {
        sections.push(Section::new(Vec::new(), if title.is_empty() { &id } else { &title }));
    }
    let language = mapping.language.as_ref().and_then(said).map(|tag| tag.replace('_', "-"));
    let url =
        mapping.url.as_ref().and_then(said).filter(|url| url.starts_with("https://") || url.starts_with("http://"));
    let authors = mapping.authors.as_ref().map(|pointer| pointer.find_all(record)).unwrap_or_default();
    Document {
        title,
        language: language.filter(|tag| is_language(tag)),
        fields,
        provenance: Provenance {
            url,
            created_at: mapping.created.as_ref().and_then(instant),
            modified_at: mapping.modified.as_ref().and_then(instant),
            authors: authors
                .into_iter()
                .filter_map(Json::scalar)
                .map(|author| one_line(&author, 200))
                .take(20)
                .collect(),
            ..Provenance::default()
        },
        ..Document::new(id, mapping.kind.clone(), Content::Sections(sections))
    }
}

fn body(mapping: &Mapping, around: &Around<'_>, record: &Json) -> Vec<Section> {
    let mut sections = Vec::new();
    for part in &mapping.body {
        let texts: Vec<String> = match &part.text {
            Text::At(pointer) => pointer.find_all(record).into_iter().filter_map(Json::words).collect(),
            template => say(template, around, record).into_iter().collect(),
        };
        let heading: Vec<String> = part.heading.iter().cloned().collect();
        for text in texts {
            let text = match mapping.html {
                Html::ToMarkdown => html::to_markdown(&text),
                Html::Keep => text,
            };
            if mapping.markdown || mapping.html == Html::ToMarkdown {
                sections.extend(text::sections(&text, &heading));
            } else if !text.trim().is_empty() {
                sections.push(Section::new(heading.clone(), text.trim()));
            }
        }
    }
    sections
}

/// What a text says of a record; `None` when it says nothing, or when a place of its template has no value.
fn say(text: &Text, around: &Around<'_>, record: &Json) -> Option<String> {
    let said = match text {
        Text::At(pointer) => pointer.find_all(record).into_iter().find_map(Json::words)?,
        Text::Template(template) => template::fill_with(
            template,
            |name| match crate::json::Pointer::parse(name) {
                Some(pointer) => {
                    let words: Vec<_> = pointer.find_all(record).into_iter().filter_map(Json::words).collect();
                    (!words.is_empty()).then(|| words.join(", "))
                }
                None => around.names.get(name).cloned(),
            },
            str::to_owned,
        )?,
    };
    Some(said.trim().to_owned()).filter(|said| !said.is_empty())
}

/// The typed value of a field; `None` when there is none, or none of its type.
pub(crate) fn value(field: &Field, record: &Json, formats: &[Format]) -> Option<Value> {
    let text = || field.at.scalar(record);
    Some(match field.kind {
        FieldType::Text => Value::Text(field.at.find_all(record).into_iter().find_map(Json::words)?),
        FieldType::Integer => Value::Integer(text()?.parse().ok()?),
        FieldType::Number => Value::Number(text()?.parse().ok().filter(|number: &f64| number.is_finite())?),
        FieldType::Boolean => Value::Boolean(match text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => true,
            "false" | "no" | "0" => false,
            _ => return None,
        }),
        FieldType::Instant => Value::Instant(time::parse(&text()?, formats)?),
        FieldType::Money => {
            let text = text()?;
            // `19.90 EUR` says it itself.
            let (amount, said) = text.split_once(' ').filter(|(_, code)| money::is_currency(code)).unzip();
            let currency = match (said, field.currency.as_deref().map(|at| (at, crate::json::Pointer::parse(at)))) {
                (Some(code), _) => code.to_owned(),
                (None, Some((_, Some(pointer)))) => pointer.scalar(record)?.to_ascii_uppercase(),
                (None, Some((code, None))) => code.to_owned(),
                (None, None) => return None,
            };
            let amount = money::amount(amount.unwrap_or(&text), field.scale)?;
            Value::Money((amount, Some(currency).filter(|code| money::is_currency(code))?))
        }
        FieldType::Texts => {
            let found = field.at.find_all(record);
            let items = found.into_iter().flat_map(|value| match value {
                Json::List(items) => items.iter().collect(),
                one => vec![one],
            });
            let texts: Vec<String> = items.filter_map(Json::words).collect();
            Value::Texts(Some(texts).filter(|texts| !texts.is_empty())?)
        }
        FieldType::Json => Value::Json(field.at.find(record)?.to_string()),
    })
}

/// The first 128 bits of SHA-256 over what a reader sees.
fn fingerprint(document: &Document) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    add(&document.title);
    add(&document.kind);
    add(document.language.as_deref().unwrap_or_default());
    add(document.provenance.url.as_deref().unwrap_or_default());
    document.provenance.authors.iter().for_each(|author| add(author));
    if let Content::Sections(sections) = &document.content {
        for section in sections {
            add(&section.heading.join("\u{1f}"));
            add(&section.text);
        }
    }
    for (name, value) in &document.fields {
        add(name);
        add(&format!("{value:?}"));
    }
    hex(&hash.finalize()[..16])
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn one_line(text: &str, max_chars: usize) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(max_chars).collect()
}

fn is_language(tag: &str) -> bool {
    let shaped = tag.split('-').enumerate().all(|(place, part)| {
        let long_enough = if place == 0 { 2..=8 } else { 1..=8 };
        long_enough.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    shaped && tag.len() <= 35
}
