//! Which format a document is in: what the source claims, then the file name, then a look at the bytes.

use tributary_plugin_sdk::Failure;

/// A format this extractor reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Markdown,
    Text,
    Html,
    Csv,
    Json,
}

const SUPPORTED: &str = "Markdown, plain text, HTML, CSV and JSON";

/// How many bytes are looked at for signs of a binary format.
const SNIFF_BYTES: usize = 8 * 1024;

/// Decides on the format.
///
/// # Errors
/// `unsupported`, naming what is.
pub(crate) fn detect(media_type: &str, name: Option<&str>, bytes: &[u8]) -> Result<Format, Failure> {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let extension = name.and_then(|name| name.rsplit_once('.')).map(|(_, ext)| ext.to_ascii_lowercase());
    let by_name = extension.as_deref().and_then(from_extension);
    let format = match from_media_type(&essence) {
        // A browser calls a Markdown or JSON-lines file plain text: the name knows better.
        Some(Format::Text) => Some(by_name.unwrap_or(Format::Text)),
        Some(format) => Some(format),
        None if by_name.is_some() => by_name,
        None if essence.starts_with("text/") => Some(Format::Text),
        None => None,
    };
    if let Some(kind) = binary_kind(bytes) {
        return Err(unsupported(&format!("{kind} cannot be read.")));
    }
    format.ok_or_else(|| match extension {
        Some(extension) => unsupported(&format!("Files of type .{} cannot be read.", printable(&extension))),
        None if essence.is_empty() => unsupported("Its format is not stated."),
        None => unsupported(&format!("Content of type {} cannot be read.", printable(&essence))),
    })
}

fn from_media_type(essence: &str) -> Option<Format> {
    Some(match essence {
        "text/markdown" | "text/x-markdown" => Format::Markdown,
        "text/plain" => Format::Text,
        "text/html" | "application/xhtml+xml" => Format::Html,
        "text/csv" | "text/tab-separated-values" => Format::Csv,
        "application/json" | "application/x-ndjson" | "application/jsonl" | "text/json" => Format::Json,
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
        _ => return None,
    })
}

/// What a binary document is, as a subject of a sentence; `None` for text.
fn binary_kind(bytes: &[u8]) -> Option<&'static str> {
    let head = &bytes[..bytes.len().min(SNIFF_BYTES)];
    if head.starts_with(b"%PDF-") {
        return Some("A PDF");
    }
    if head.starts_with(b"PK\x03\x04") {
        return Some("A ZIP container (an office document or an archive)");
    }
    let utf16 = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    (!utf16 && head.contains(&0)).then_some("Binary content")
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
    fn an_unknown_format_names_the_known_ones() {
        let failure = detect("application/octet-stream", Some("a.bin"), b"x").unwrap_err();
        assert_eq!(
            failure.message,
            "Files of type .bin cannot be read. Supported are Markdown, plain text, HTML, CSV and JSON."
        );
        let failure = detect("text/markdown", Some("a.md"), b"%PDF-1.7 \0").unwrap_err();
        assert!(failure.message.starts_with("A PDF cannot be read."), "{}", failure.message);
        assert!(detect("text/plain", None, b"a\0b").is_err());
    }
}
