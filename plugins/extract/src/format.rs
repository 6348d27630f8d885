//! Which format a document is in: what the source claims, then the file name; a container says itself what it holds.

use tributary_plugin_sdk::Failure;

use crate::{archive::Archive, fault, office::odf};

/// A format this extractor reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Markdown,
    Text,
    Html,
    Csv,
    Json,
    Pdf,
    Docx,
    Pptx,
    Xlsx,
    Xlsb,
    Xls,
    OpenDocument(odf::Kind),
    Epub,
    Rtf,
    Email,
}

const SUPPORTED: &str = "Markdown, plain text, HTML, CSV, JSON, PDF, Word (docx), Excel (xlsx, xlsb, xls), PowerPoint (pptx), \
     OpenDocument (odt, ods, odp), EPUB, RTF and mail (eml)";

/// How many bytes are looked at for signs of a binary format.
const SNIFF_BYTES: usize = 8 * 1024;

/// Decides on the format.
///
/// # Errors
/// `unsupported`, naming what is; damaged or encrypted containers.
pub(crate) fn detect(media_type: &str, name: Option<&str>, bytes: &[u8]) -> Result<Format, Failure> {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let extension = name.and_then(|name| name.rsplit_once('.')).map(|(_, ext)| ext.to_ascii_lowercase());
    let by_name = extension.as_deref().and_then(from_extension);
    let claimed = match from_media_type(&essence) {
        // A browser calls a Markdown or JSON-lines file plain text: the name knows better.
        Some(Format::Text) => Some(by_name.unwrap_or(Format::Text)),
        Some(format) => Some(format),
        None if by_name.is_some() => by_name,
        None if essence.starts_with("text/") => Some(Format::Text),
        None => None,
    };
    if let Some(format) = container(bytes, claimed)? {
        return Ok(format);
    }
    match claimed {
        Some(format) => match binary(format) {
            Some(what) => Err(fault::damaged(what, "its bytes are not those of this format")),
            None if is_binary(bytes, format) => Err(unsupported("Binary content cannot be read.")),
            None => Ok(format),
        },
        None => Err(match extension {
            _ if is_binary(bytes, Format::Text) && extension.is_none() => unsupported("Binary content cannot be read."),
            Some(extension) => unsupported(&format!("Files of type .{} cannot be read.", printable(&extension))),
            None if essence.is_empty() => unsupported("Its format is not stated."),
            None => unsupported(&format!("Content of type {} cannot be read.", printable(&essence))),
        }),
    }
}

fn from_media_type(essence: &str) -> Option<Format> {
    Some(match essence {
        "text/markdown" | "text/x-markdown" => Format::Markdown,
        "text/plain" => Format::Text,
        "text/html" | "application/xhtml+xml" => Format::Html,
        "text/csv" | "text/tab-separated-values" => Format::Csv,
        "application/json" | "application/x-ndjson" | "application/jsonl" | "text/json" => Format::Json,
        "application/pdf" | "application/x-pdf" => Format::Pdf,
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => Format::Docx,
        "application/vnd.openxmlformats-officedocument.presentationml.presentation" => Format::Pptx,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => Format::Xlsx,
        "application/vnd.ms-excel.sheet.binary.macroenabled.12" => Format::Xlsb,
        "application/vnd.ms-excel" => Format::Xls,
        "application/vnd.oasis.opendocument.text" => Format::OpenDocument(odf::Kind::Text),
        "application/vnd.oasis.opendocument.presentation" => Format::OpenDocument(odf::Kind::Presentation),
        "application/vnd.oasis.opendocument.spreadsheet" => Format::OpenDocument(odf::Kind::Spreadsheet),
        "application/epub+zip" => Format::Epub,
        "application/rtf" | "text/rtf" => Format::Rtf,
        "message/rfc822" => Format::Email,
        _ => return None,
    })
}

fn from_extension(extension: &str) -> Option<Format> {
    Some(match extension {
        "md" | "markdown" | "mdown" | "mkd" => Format::Markdown,
        "txt" | "text" | "log" | "rst" | "adoc" => Format::Text,
        "html" | "htm" | "xhtml" => Format::Html,
        "csv" | "tsv" => Format::Csv,
        "json" | "jsonl" | "ndjson" => Format::Json,
        "pdf" => Format::Pdf,
        "docx" | "docm" | "dotx" => Format::Docx,
        "pptx" | "pptm" | "ppsx" => Format::Pptx,
        "xlsx" | "xlsm" | "xltx" => Format::Xlsx,
        "xlsb" => Format::Xlsb,
        "xls" => Format::Xls,
        "odt" | "ott" => Format::OpenDocument(odf::Kind::Text),
        "odp" | "otp" => Format::OpenDocument(odf::Kind::Presentation),
        "ods" | "ots" => Format::OpenDocument(odf::Kind::Spreadsheet),
        "epub" => Format::Epub,
        "rtf" => Format::Rtf,
        "eml" => Format::Email,
        _ => return None,
    })
}

/// What a container says of itself, whatever it is called; `None` for anything else.
fn container(bytes: &[u8], claimed: Option<Format>) -> Result<Option<Format>, Failure> {
    let head = &bytes[..bytes.len().min(1024)];
    // Readers look for the mark in the first kilobyte.
    if head.starts_with(b"%PDF-") || claimed == Some(Format::Pdf) && head.windows(5).any(|window| window == b"%PDF-") {
        return Ok(Some(Format::Pdf));
    }
    if head.starts_with(b"{\\rtf") {
        return Ok(Some(Format::Rtf));
    }
    if head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return compound(bytes).map(Some);
    }
    if head.starts_with(b"PK\x03\x04") {
        return zip(bytes, claimed).map(Some);
    }
    Ok(None)
}

/// The OLE containers of old Office, and of new documents with a password (MS-OFFCRYPTO).
fn compound(bytes: &[u8]) -> Result<Format, Failure> {
    let holds = |name: &str| {
        let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.windows(wide.len()).any(|window| window == wide)
    };
    if holds("EncryptedPackage") {
        return Err(fault::encrypted("The document"));
    }
    if holds("WordDocument") {
        return Err(unsupported("A Word document of the format before 2007 cannot be read; save it as .docx."));
    }
    if holds("PowerPoint Document") {
        return Err(unsupported(
            "A PowerPoint presentation of the format before 2007 cannot be read; save it as .pptx.",
        ));
    }
    if holds("Workbook") || holds("Book") {
        return Ok(Format::Xls);
    }
    Err(unsupported("A file of an old Office program (such as Outlook or Publisher) cannot be read."))
}

fn zip(bytes: &[u8], claimed: Option<Format>) -> Result<Format, Failure> {
    let what = claimed.and_then(binary).unwrap_or("The ZIP container");
    let mut archive = Archive::open(bytes, what)?;
    let found = archive.names().find_map(|name| match name.as_ref() {
        "word/document.xml" => Some(Format::Docx),
        "ppt/presentation.xml" => Some(Format::Pptx),
        "xl/workbook.xml" => Some(Format::Xlsx),
        "xl/workbook.bin" => Some(Format::Xlsb),
        _ => None,
    });
    if let Some(found) = found {
        return Ok(found);
    }
    let stated = archive.find_text("mimetype")?.unwrap_or_default();
    match from_media_type(stated.trim().trim_end_matches("-template")) {
        Some(format @ (Format::Epub | Format::OpenDocument(_))) => Ok(format),
        // Its parts have other names, or are missing.
        _ => match claimed {
            Some(claimed) if is_zip(claimed) => Ok(claimed),
            _ => Err(unsupported("A ZIP archive cannot be read.")),
        },
    }
}

fn is_zip(format: Format) -> bool {
    use Format::{Docx, Epub, OpenDocument, Pptx, Xlsb, Xlsx};
    matches!(format, Docx | Pptx | Xlsx | Xlsb | OpenDocument(_) | Epub)
}

/// What a format is as the subject of a sentence, when its files begin with a mark.
fn binary(format: Format) -> Option<&'static str> {
    Some(match format {
        Format::Pdf => "The PDF",
        Format::Docx => "The Word document",
        Format::Pptx => "The PowerPoint presentation",
        Format::Xlsx | Format::Xlsb | Format::Xls => "The Excel workbook",
        Format::OpenDocument(_) => "The OpenDocument file",
        Format::Epub => "The book",
        Format::Rtf => "The RTF document",
        Format::Markdown | Format::Text | Format::Html | Format::Csv | Format::Json | Format::Email => return None,
    })
}

fn is_binary(bytes: &[u8], format: Format) -> bool {
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    let utf16 = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    // A mail may carry bytes as they are.
    format != Format::Email && !utf16 && head.contains(&0)
}

fn unsupported(what: &str) -> Failure {
    Failure::unsupported("format_unsupported", format!("{what} Supported are {SUPPORTED}."))
}

/// A name from outside, safe inside a message.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_when_the_media_type_is_vague() {
        assert_eq!(detect("text/plain", Some("a.MD"), b"x").unwrap(), Format::Markdown);
        assert_eq!(detect("application/octet-stream", Some("a.html"), b"x").unwrap(), Format::Html);
        assert_eq!(detect("text/html; charset=utf-8", Some("a.txt"), b"x").unwrap(), Format::Html);
        assert_eq!(detect("text/x-unheard-of", None, b"x").unwrap(), Format::Text);
    }

    #[test]
    fn a_container_is_what_it_holds() {
        assert_eq!(detect("text/markdown", Some("a.md"), b"%PDF-1.7 \0").unwrap(), Format::Pdf);
        assert_eq!(detect("application/msword", Some("a.doc"), b"{\\rtf1 x}").unwrap(), Format::Rtf);
    }

    #[test]
    fn an_unknown_format_names_the_known_ones() {
        let failure = detect("application/octet-stream", Some("a.bin"), b"x").unwrap_err();
        assert_eq!(failure.message, format!("Files of type .bin cannot be read. Supported are {SUPPORTED}."));
        assert!(detect("text/plain", None, b"a\0b").is_err());
        let failure = detect("application/pdf", Some("a.pdf"), b"<html>not found</html>").unwrap_err();
        assert_eq!(
            failure.message,
            "The PDF is damaged: its bytes are not those of this format. Restore it or save it again."
        );
    }
}
