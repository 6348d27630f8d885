//! Books (EPUB 3.3 and 2): the chapters of the spine, each read as a page of HTML.
//!
//! A section's place is the chapter's canonical fragment identifier, `epubcfi(/6/4)` for the second: step 6 is the spine,
//! and its items have even numbers (EPUB CFI 1.1).

use std::collections::BTreeMap;

use tributary_plugin_sdk::{Extracted, Failure, Locator};

use crate::{
    archive::{Archive, resolve},
    decode, fault, html,
    office::title_and_language,
    outline::Outline,
    xml::{Step, Steps},
};

const WHAT: &str = "The book";

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, Failure> {
    let mut archive = Archive::open(bytes, WHAT)?;
    let package = package_name(&archive.get_text("META-INF/container.xml")?)?;
    let source = archive.get_text(&package)?;
    let (title, language) = title_and_language(&source, WHAT)?;
    let encrypted = archive.find_text("META-INF/encryption.xml")?.unwrap_or_default();
    let mut outline = Outline::default();
    for (place, href) in spine(&source)?.into_iter().enumerate() {
        let Some(href) = href else { continue };
        let name = resolve(&package, &unescape(&href));
        // Fonts are often scrambled; a scrambled chapter is rights management.
        if encrypted.contains(&format!("\"{name}\"")) {
            return Err(fault::encrypted(WHAT));
        }
        let Some(chapter) = archive.find(&name)? else { continue };
        let chapter = html::extract(&decode::html(chapter), true)?;
        let at = Locator::Fragment(format!("epubcfi(/6/{})", 2 * (place + 1)));
        for mut section in chapter.sections {
            if section.heading.is_empty() {
                section.heading.extend(chapter.title.clone());
            }
            section.at = Some(at.clone());
            outline.push(section);
        }
        if outline.is_full() {
            break;
        }
    }
    outline.finish(title, language)
}

fn package_name(container: &str) -> Result<String, Failure> {
    let mut steps = Steps::new(container, WHAT);
    while let Some(step) = steps.next()? {
        if let Step::Start(tag) = step
            && tag.name() == "rootfile"
            && let Some(name) = tag.find("full-path")
        {
            return Ok(name);
        }
    }
    Err(fault::damaged(WHAT, "it does not say where its contents are"))
}

/// The addresses of the spine's items in reading order; `None` for what is not a chapter.
fn spine(package: &str) -> Result<Vec<Option<String>>, Failure> {
    let mut manifest = BTreeMap::new();
    let mut spine = Vec::new();
    let mut steps = Steps::new(package, WHAT);
    while let Some(step) = steps.next()? {
        let Step::Start(tag) = step else { continue };
        match tag.name() {
            "item" => {
                let media_type = tag.find("media-type").unwrap_or_default();
                let is_navigation = tag.find("properties").is_some_and(|names| names.split(' ').any(|n| n == "nav"));
                if let (Some(id), Some(href)) = (tag.find("id"), tag.find("href"))
                    && media_type.contains("html")
                    && !is_navigation
                {
                    manifest.insert(id, href);
                }
            }
            "itemref" => spine.push(tag.find("idref").and_then(|id| manifest.get(&id).cloned())),
            _ => {}
        }
    }
    Ok(spine)
}

/// `%20` and the like in an address.
fn unescape(address: &str) -> String {
    let bytes = address.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| address.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_are_unescaped() {
        assert_eq!(super::unescape("a%20b%C3%BC%zz%2"), "a bü%zz%2");
    }
}
