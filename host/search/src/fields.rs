//! A document's fields as the index sees them: identifiers, brand, searchable words and filterable values.
//!
//! Names and values come from users and connectors: names are hashed before they reach the index, everything is bounded.

use serde_json::Value as Json;
use tributary_core::fields::{Fields, as_money};

use crate::identifier::{has_shape, is_identifier_field, normal_form};

/// Most values read from one document's fields.
const MAX_VALUES: usize = 512;
/// Deepest nesting that is read.
const MAX_DEPTH: usize = 8;
/// Most bytes of text one field adds to the index.
const MAX_TEXT_BYTES: usize = 8_192;
/// Most bytes of text all fields add to the index.
const MAX_ALL_TEXT_BYTES: usize = 65_536;
/// Longer text is compared by its hash.
const MAX_EXACT_BYTES: usize = 128;

/// What the index takes from the fields of a document.
#[derive(Debug, Default)]
pub(crate) struct Flat {
    /// Normal forms of identifiers, from fields that are named for them.
    pub identifiers: Vec<String>,
    /// Normal forms of values that only look like identifiers: compatible parts, models of components.
    pub mentions: Vec<String>,
    /// The identifiers as written.
    pub codes: String,
    /// Brands, one per line.
    pub brand: String,
    /// All other words, one value per line.
    pub attributes: String,
    /// Terms for equality.
    pub exact: Vec<String>,
    /// Hashed name and value, for comparisons.
    pub numbers: Vec<(u64, f64)>,
    /// Lower case; what it says already is not said again by an identifier.
    title: String,
    values: usize,
}

/// Reads `fields`.
pub(crate) fn flatten(fields: &Fields, title: &str) -> Flat {
    let mut flat = Flat { title: title.to_lowercase(), ..Flat::default() };
    for (name, value) in fields {
        flat.read(name, name, value, 0);
    }
    flat
}

impl Flat {
    /// `path` is the name for filters (`attrs.color`), `name` its last part.
    fn read(&mut self, path: &str, name: &str, value: &Json, depth: usize) {
        if self.values >= MAX_VALUES || depth > MAX_DEPTH {
            return;
        }
        if let Some((amount, _currency)) = as_money(value) {
            self.values += 1;
            self.number(path, amount.parse().ok());
            return;
        }
        match value {
            Json::Null => {}
            Json::Array(items) => items.iter().for_each(|item| self.read(path, name, item, depth + 1)),
            Json::Object(members) => {
                members.iter().for_each(|(key, member)| self.read(&format!("{path}.{key}"), key, member, depth + 1))
            }
            Json::Bool(flag) => {
                self.values += 1;
                self.exact.push(exact_bool(path, *flag));
                // `"touchscreen": true` is found by its name.
                if *flag {
                    self.attribute(name);
                }
            }
            Json::Number(number) => {
                self.values += 1;
                self.number(path, number.as_f64());
                let text = number.to_string();
                self.text(name, text.strip_suffix(".0").unwrap_or(&text));
            }
            Json::String(text) => {
                self.values += 1;
                self.exact.push(exact_text(path, text));
                self.number(path, moment(text));
                self.text(name, text);
            }
        }
    }

    fn number(&mut self, path: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.numbers.push((name_hash(path), value));
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        let text = cut(text, MAX_TEXT_BYTES);
        if is_identifier_field(name) {
            self.identifiers.extend(normal_form(text));
            if self.title.contains(&text.to_lowercase()) {
                return;
            }
            // Shops put whole names into such fields; those are words like any other.
            let name_like = text.split_whitespace().count() > 2 || !text.bytes().any(|b| b.is_ascii_digit());
            if name_like {
                self.attribute(text);
            } else {
                push_line(&mut self.codes, text);
            }
        } else if matches!(name.to_ascii_lowercase().as_str(), "brand" | "manufacturer" | "vendor" | "maker" | "author")
        {
            push_line(&mut self.brand, text);
        } else {
            if has_shape(text) && moment(text).is_none() {
                self.mentions.extend(normal_form(text));
            }
            self.attribute(text);
        }
    }

    fn attribute(&mut self, text: &str) {
        if self.attributes.len() < MAX_ALL_TEXT_BYTES {
            push_line(&mut self.attributes, text);
        }
    }
}

fn push_line(lines: &mut String, line: &str) {
    if !lines.is_empty() {
        lines.push('\n');
    }
    lines.push_str(line);
}

fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

/// The term under which documents with this text in this field are found.
pub(crate) fn exact_text(path: &str, text: &str) -> String {
    if text.len() > MAX_EXACT_BYTES {
        return format!("f{:016x}#{}", name_hash(path), tributary_core::hash::Sha256Hash::of(text));
    }
    format!("f{:016x}={text}", name_hash(path))
}

/// The term under which documents with this flag in this field are found.
pub(crate) fn exact_bool(path: &str, flag: bool) -> String {
    format!("f{:016x}!{flag}", name_hash(path))
}

/// A field name as a number: any name is safe, and none costs more than another. FNV-1a, 64 bit, over a seed of our own.
pub(crate) fn name_hash(path: &str) -> u64 {
    path.bytes().fold(0xcbf2_9ce4_8422_2325 ^ 0x7472_6962, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Unix milliseconds of an RFC 3339 date-time or date.
pub(crate) fn moment(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    if !(10..=40).contains(&bytes.len()) || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    if let Ok(moment) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(moment.timestamp_millis() as f64);
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis() as f64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flat(value: Json) -> Flat {
        flatten(&serde_json::from_value(value).unwrap(), "")
    }

    #[test]
    fn nested_fields_give_identifiers_brand_words_and_values() {
        let flat = flat(json!({
            "sku": "TN-2110", "ean": ["0095205603217"], "brand": "Brother",
            "price": {"amount": "19.90", "currency": "EUR"},
            "attrs": {"touchscreen": true, "wifi": false, "weight": 2.5, "colour": "Black"},
            "released": "2026-01-02",
        }));
        assert_eq!(flat.identifiers, ["95205603217", "tn2110"]);
        assert_eq!(flat.brand, "Brother");
        assert_eq!(flat.attributes, "Black\ntouchscreen\n2.5\n2026-01-02");
        assert!(flat.exact.contains(&exact_text("attrs.colour", "Black")));
        assert!(flat.exact.contains(&exact_bool("attrs.wifi", false)));
        assert!(flat.numbers.contains(&(name_hash("price"), 19.9)));
        assert!(flat.numbers.contains(&(name_hash("attrs.weight"), 2.5)));
    }

    #[test]
    fn deep_and_wide_fields_are_cut_off() {
        let mut deep = json!("bottom");
        for _ in 0..100 {
            deep = json!({ "a": deep });
        }
        assert!(flat(json!({ "deep": deep })).exact.is_empty());
        let wide: Vec<Json> = (0..10_000).map(|i| json!(format!("value {i}"))).collect();
        assert!(flat(json!({ "wide": wide })).exact.len() <= MAX_VALUES);
    }
}
