//! The extractor: the one place where document formats are parsed, inside a sandbox without files or network.
//!
//! Bytes in, a title and sections of plain text out. Every format lives in its own module and ends in bounded time and
//! memory whatever the bytes are; nothing here recurses over the input.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod archive;
mod decode;
mod email;
mod epub;
mod fault;
mod flow;
mod format;
mod html;
mod markdown;
mod office;
mod outline;
mod pdf;
mod rich;
mod rtf;
mod tabular;
mod text;
mod xml;

use tributary_plugin_sdk::{BlobId, Extracted, Extractor, ExtractorHost, Failure, export_extractor, read_whole};

use crate::format::Format;

/// The longest document read, in bytes.
pub const MAX_INPUT_BYTES: u64 = 64 << 20;
/// The most text one document yields, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 << 20;
/// The most sections one document yields.
pub const MAX_SECTIONS: usize = 50_000;

/// Texts, tables, books, mails and office documents to text.
pub struct DocumentExtractor;

impl Extractor for DocumentExtractor {
    fn extract(
        host: &dyn ExtractorHost,
        blob: BlobId,
        media_type: &str,
        name: Option<&str>,
    ) -> Result<Extracted, Failure> {
        let bytes = read_whole(host, blob, MAX_INPUT_BYTES)?;
        extract_bytes(bytes, media_type, name)
    }
}

export_extractor!(DocumentExtractor);

/// The same for bytes in memory.
///
/// # Errors
/// `unsupported` for a format that is not known, `too-large` past the limits above.
pub fn extract_bytes(bytes: Vec<u8>, media_type: &str, name: Option<&str>) -> Result<Extracted, Failure> {
    match format::detect(media_type, name, &bytes)? {
        Format::Markdown => markdown::extract(&decode::text(bytes)),
        Format::Text => text::extract(decode::text(bytes)),
        Format::Html => html::extract(&decode::html(bytes), !media_type.contains("main-content=false")),
        Format::Csv => tabular::csv(decode::text(bytes)),
        Format::Json => tabular::json(decode::text(bytes)),
        Format::Pdf => pdf::extract(bytes),
        Format::Docx => office::docx::extract(&bytes),
        Format::Pptx => office::pptx::extract(&bytes),
        Format::Xlsx => office::workbook::xlsx(&bytes),
        Format::Xlsb => office::workbook::xlsb(&bytes),
        Format::Xls => office::workbook::xls(&bytes),
        Format::OpenDocument(kind) => office::odf::extract(&bytes, kind),
        Format::Epub => epub::extract(&bytes),
        Format::Rtf => rtf::extract(&bytes),
        Format::Email => email::extract(&bytes),
    }
}
