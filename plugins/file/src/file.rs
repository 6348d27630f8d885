//! What is known of a file from its path, and the fingerprint that tells whether it changed.

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::config::{Config, RowsAs};

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// One document, through the extractor.
    Whole,
    /// Rows of CSV.
    Csv,
    /// Items of a JSON array.
    Json,
    /// A record per line.
    JsonLines,
}

/// Extensions that are read when the configuration names none, with their media types.
const SUPPORTED: [(&str, &str); 30] = [
    ("md", "text/markdown"),
    ("markdown", "text/markdown"),
    ("txt", "text/plain"),
    ("text", "text/plain"),
    ("rst", "text/plain"),
    ("adoc", "text/plain"),
    ("html", "text/html"),
    ("htm", "text/html"),
    ("xhtml", "application/xhtml+xml"),
    ("csv", "text/csv"),
    ("tsv", "text/tab-separated-values"),
    ("json", "application/json"),
    ("jsonl", "application/x-ndjson"),
    ("ndjson", "application/x-ndjson"),
    ("log", "text/plain"),
    ("pdf", "application/pdf"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("docm", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xlsm", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("xlsb", "application/vnd.ms-excel.sheet.binary.macroenabled.12"),
    ("xls", "application/vnd.ms-excel"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("pptm", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("odt", "application/vnd.oasis.opendocument.text"),
    ("ods", "application/vnd.oasis.opendocument.spreadsheet"),
    ("odp", "application/vnd.oasis.opendocument.presentation"),
    ("epub", "application/epub+zip"),
    ("rtf", "application/rtf"),
    ("eml", "message/rfc822"),
];

fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(stem, extension)| if stem.is_empty() { "" } else { extension })
}

fn known(path: &str) -> Option<&'static (&'static str, &'static str)> {
    let extension = extension(path);
    SUPPORTED.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension))
}

/// Whether the extractor or this connector reads such a file.
pub(crate) fn is_supported(path: &str) -> bool {
    known(path).is_some()
}

/// The media type by extension, with what the extractor should know.
pub(crate) fn media_type(path: &str, config: &Config) -> String {
    let media_type = known(path).map_or("application/octet-stream", |(_, media_type)| media_type);
    if media_type.contains("html") && !config.html.main_content {
        return format!("{media_type};main-content=false");
    }
    media_type.to_owned()
}

/// How the file is read.
pub(crate) fn form(path: &str, config: &Config) -> Form {
    match known(path).map(|(extension, _)| *extension) {
        Some("csv" | "tsv") if config.csv.rows_as == RowsAs::Rows => Form::Csv,
        Some("json") => Form::Json,
        Some("jsonl" | "ndjson") => Form::JsonLines,
        _ => Form::Whole,
    }
}

/// The path in Unicode normal form C, so that a tree copied from a Mac keeps its names.
pub(crate) fn normal(path: &str) -> String {
    if is_nfc(path) { path.to_owned() } else { path.nfc().collect() }
}

/// The document's URL.
pub(crate) fn url(config: &Config, path: &str) -> Option<String> {
    let base = config.base_url.as_deref()?;
    let mut url = base.trim_end_matches('/').to_owned();
    url.push('/');
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            url.push(byte as char);
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(url)
}

/// Size and modification time: a difference in either direction means a look inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) size_bytes: u64,
    /// Unix milliseconds.
    pub(crate) modified_at: Option<i64>,
}

/// What the ledger remembers of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Its rows are the documents.
    pub(crate) is_container: bool,
    pub(crate) stamp: Stamp,
    pub(crate) sha256: String,
}

impl Fingerprint {
    /// `f:1700000000000:2048:9f86d0…`
    pub(crate) fn to_text(&self) -> String {
        let kind = if self.is_container { 'c' } else { 'f' };
        let modified_at = self.stamp.modified_at.map_or_else(String::new, |ms| ms.to_string());
        format!("{kind}:{modified_at}:{}:{}", self.stamp.size_bytes, self.sha256)
    }

    /// `None` for anything else, such as another connector's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, ':');
        let is_container = match parts.next()? {
            "c" => true,
            "f" => false,
            _ => return None,
        };
        let modified_at = match parts.next()? {
            "" => None,
            ms => Some(ms.parse().ok()?),
        };
        let size_bytes = parts.next()?.parse().ok()?;
        Some(Self { is_container, stamp: Stamp { size_bytes, modified_at }, sha256: parts.next()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_survive_the_ledger() {
        for modified_at in [None, Some(-5), Some(1_700_000_000_000)] {
            let stamp = Stamp { size_bytes: 7, modified_at };
            let fingerprint = Fingerprint { is_container: modified_at.is_none(), stamp, sha256: "ab".into() };
            assert_eq!(Fingerprint::parse(&fingerprint.to_text()), Some(fingerprint));
        }
        assert_eq!(Fingerprint::parse("etag-5"), None);
    }

    #[test]
    fn urls_are_escaped() {
        let config: Config = serde_json::from_str(r#"{"root":"r","base_url":"https://x.de/docs/"}"#).unwrap();
        assert_eq!(url(&config, "a b/ü#?.md").unwrap(), "https://x.de/docs/a%20b/%C3%BC%23%3F.md");
    }
}
