//! PDF (ISO 32000-2): a section for each page, with its number.
//!
//! hayro reads the file and the fonts; `content` follows what a page draws, `layout` puts the characters back into lines
//! and paragraphs. Pictures are never decoded.

mod content;
mod layout;

use hayro_syntax::{LoadPdfError, Pdf};
use tributary_plugin_sdk::{Extracted, Failure, Locator};

use crate::{fault, outline::Outline};

const WHAT: &str = "The PDF";
/// The most pages of one document.
pub(crate) const MAX_PAGES: usize = 10_000;

pub(crate) fn extract(bytes: Vec<u8>) -> Result<Extracted, Failure> {
    let pdf = Pdf::new(bytes).map_err(|error| match error {
        LoadPdfError::Decryption(_) => fault::encrypted(WHAT),
        LoadPdfError::Invalid => fault::damaged(WHAT, "its pages cannot be found"),
    })?;
    let pages = pdf.pages();
    if pages.len() > MAX_PAGES {
        return Err(fault::bomb(WHAT, &format!("has {} pages where at most {MAX_PAGES} are read", pages.len())));
    }
    let title = pdf.metadata().title.as_deref().map(text_string);
    let title = title.filter(|title| is_title(title));
    let mut outline = Outline::default();
    let mut reader = content::Reader::new();
    for (page, number) in pages.iter().zip(1..) {
        outline.split(Some(Locator::Page(number)));
        let text = layout::text(reader.read(page)?);
        outline.text().push_str(&text);
        if outline.is_full() {
            break;
        }
    }
    let extracted = outline.finish(title, None)?;
    if extracted.sections.is_empty() && reader.unreadable > 0 {
        return Err(Failure::unsupported(
            "no_text",
            "The PDF's fonts do not say which characters they draw. Export it again with searchable text, or run text recognition (OCR) over it.",
        ));
    }
    if extracted.sections.is_empty() && !pages.is_empty() {
        return Err(Failure::unsupported(
            "no_text",
            "The PDF has no text, only pictures of pages. Run text recognition (OCR) over it first.",
        ));
    }
    Ok(extracted)
}

/// A text string (ISO 32000-2 §7.9.2.2): UTF-16 or UTF-8 with a mark, else close to Latin 1.
fn text_string(bytes: &[u8]) -> String {
    match bytes {
        [0xfe, 0xff, rest @ ..] => {
            let units = rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        bytes => bytes.iter().map(|byte| *byte as char).collect(),
    }
}

/// Programs leave the name of a file, or of themselves, where the title belongs.
fn is_title(title: &str) -> bool {
    let title = title.trim().to_ascii_lowercase();
    let is_file = [".doc", ".docx", ".pdf", ".indd", ".tex", ".dvi", ".qxd", ".ppt", ".pptx", ".xls", ".xlsx", ".odt"]
        .iter()
        .any(|end| title.ends_with(end));
    !title.is_empty()
        && !is_file
        && !title.starts_with("microsoft word - ")
        && !title.starts_with("untitled")
        && title != "(anonymous)"
}
