//! Documents of Word, PowerPoint and their open counterparts, and workbooks.
//!
//! Each is a ZIP container of XML parts, read as a stream: what people see in the order they read it, without what is
//! hidden, deleted or repeated.

pub(crate) mod docx;
pub(crate) mod odf;
mod package;
pub(crate) mod pptx;
mod sheet;
pub(crate) mod workbook;

pub(crate) use package::title_and_language;

/// The longest address kept behind the text of a link.
const MAX_LINK_BYTES: usize = 500;

/// Puts the address of a link behind its text, unless the text says it already.
fn append_link(text: &mut String, address: &str) {
    let is_web = ["https://", "http://", "mailto:"].iter().any(|scheme| address.starts_with(scheme));
    let said = address.trim_start_matches("mailto:").trim_end_matches('/');
    if is_web && address.len() <= MAX_LINK_BYTES && !text.ends_with(said) && !text.ends_with(address) {
        text.push_str(&format!(" ({said})"));
    }
}
