//! Answers to records: JSON, JSON lines, CSV and XML. Only the records that are asked for are kept; what else an answer says (the
//! envelope: cursors, totals, errors) is kept without them.

mod csv;
mod json;
mod xml;

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use tributary_plugin_sdk::Failure;

pub(crate) use json::json_value;

use crate::{
    config::{Decode, Missing, Response},
    json::Json,
};

/// Which records are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) skip: usize,
    pub(crate) take: usize,
}

impl Window {
    pub(crate) fn has(self, place: usize) -> bool {
        place >= self.skip && place - self.skip < self.take
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) records: Vec<Json>,
    /// How many records the answer has, kept or not.
    pub(crate) total: usize,
    pub(crate) envelope: Json,
    /// Whether there was anything at `records`.
    pub(crate) found: bool,
}

/// Reads an answer. `place` is where it came from, `media_type` what it says it is.
///
/// # Errors
/// `source-contract` when it is something else.
pub(crate) fn decode(
    response: &Response,
    bytes: &[u8],
    media_type: &str,
    place: &str,
    window: Window,
) -> Result<Decoded, Failure> {
    let wrong = |code: &str, what: String| Failure::source_contract(code, format!("{place} answered {what}"));
    if matches!(response.decode, Decode::Json | Decode::Jsonl) && looks_like_html(bytes) {
        let what = "a web page where JSON was expected; check `base_url`, the path and the credential".to_owned();
        return Err(wrong("html_instead_of_json", format!("{what}.")));
    }
    let decoded = match response.decode {
        Decode::Json => json::decode(&text(bytes, UTF_8), &response.records, window),
        Decode::Jsonl => json::lines(&text(bytes, UTF_8), window),
        Decode::Csv => csv::decode(&text(bytes, charset(media_type).unwrap_or(UTF_8)), response.delimiter, window),
        Decode::Xml => {
            let declared = xml::encoding(bytes).or_else(|| charset(media_type)).unwrap_or(UTF_8);
            xml::decode(&text(bytes, declared), &response.records, window)
        }
    };
    let decoded = decoded.map_err(|what| {
        let name = match response.decode {
            Decode::Json => "JSON",
            Decode::Jsonl => "JSON lines",
            Decode::Csv => "CSV",
            Decode::Xml => "XML",
        };
        wrong("answer_malformed", format!("something that is not {name}: {what}; see what it answers there."))
    })?;
    Ok(decoded)
}

impl Decoded {
    /// # Errors
    /// `source-contract` when there is nothing at `records` and that is not said to be fine.
    pub(crate) fn expect_records(self, response: &Response, place: &str) -> Result<Self, Failure> {
        if self.found || response.missing == Missing::Empty {
            return Ok(self);
        }
        let what = format!(
            "{place} answered without anything at `{}`; correct `response.records`, or set `response.missing` to `empty`.",
            response.records
        );
        Err(Failure::source_contract("records_missing", what))
    }
}

/// Text in an encoding, as far as it is; in Windows-1252 when it is not UTF-8.
fn text<'a>(bytes: &'a [u8], encoding: &'static Encoding) -> Cow<'a, str> {
    let (text, _, broken) = encoding.decode(bytes);
    if broken && encoding == UTF_8 { WINDOWS_1252.decode(bytes).0 } else { text }
}

fn charset(media_type: &str) -> Option<&'static Encoding> {
    let label = media_type.split(';').find_map(|part| part.trim().strip_prefix("charset="))?;
    Encoding::for_label(label.trim_matches('"').as_bytes())
}

fn looks_like_html(bytes: &[u8]) -> bool {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start().first() == Some(&b'<')
}
