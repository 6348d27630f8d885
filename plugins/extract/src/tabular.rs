//! Tables and records as documents of their own: CSV as rows of cells, JSON as lines of `path: value`.

use serde_json::Value;
use tributary_plugin_sdk::{Extracted, Failure};

use crate::{MAX_TEXT_BYTES, outline::Outline};

/// CSV, each row a line of cells; the separator is the most frequent candidate of the first line.
pub(crate) fn csv(text: String) -> Result<Extracted, Failure> {
    let first_line = text.lines().next().unwrap_or_default();
    let separator = [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|separator| first_line.bytes().filter(|byte| byte == separator).count())
        .unwrap_or(b',');
    let mut reader = csv_core::ReaderBuilder::new().delimiter(separator).build();
    let mut outline = Outline::default();
    let (mut input, mut field, mut length) = (text.as_bytes(), vec![0; 4096], 0);
    while outline.text_bytes() <= MAX_TEXT_BYTES {
        let (result, read, written) = reader.read_field(input, &mut field[length..]);
        input = &input[read..];
        length += written;
        match result {
            csv_core::ReadFieldResult::Field { record_end } => {
                let out = outline.text();
                out.push_str(&String::from_utf8_lossy(&field[..length]));
                out.push_str(if record_end { "\n" } else { " | " });
                length = 0;
            }
            csv_core::ReadFieldResult::OutputFull => field.resize(field.len() * 2, 0),
            csv_core::ReadFieldResult::InputEmpty => {}
            csv_core::ReadFieldResult::End => break,
        }
    }
    outline.finish(None, None)
}

/// The longest JSON document read as a whole: in memory it is several times as large.
const MAX_JSON_BYTES: usize = 8 << 20;

/// JSON or JSON lines.
pub(crate) fn json(text: String) -> Result<Extracted, Failure> {
    if text.len() > MAX_JSON_BYTES {
        return Err(Failure::too_large(
            "json_too_large",
            "JSON over 8 MiB cannot be one document. Split it, or have its records read as documents of their own.",
        ));
    }
    let mut outline = Outline::default();
    for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        let value = value.map_err(|error| {
            Failure::source_contract("json_invalid", format!("It is not valid JSON: {error}. Repair the file."))
        })?;
        lines(&mut outline, &value);
    }
    outline.finish(None, None)
}

/// One line per leaf: `shipping.countries: DE`. Iterative, though the parser already limits the depth.
fn lines(outline: &mut Outline, value: &Value) {
    let mut open = vec![(String::new(), value)];
    while let Some((path, value)) = open.pop() {
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let leaf = match value {
            Value::Object(members) => {
                open.extend(members.iter().rev().map(|(key, value)| (below(key), value)));
                continue;
            }
            Value::Array(items) => {
                open.extend(items.iter().rev().map(|value| (path.clone(), value)));
                continue;
            }
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let out = outline.text();
        if !path.is_empty() {
            out.push_str(&path);
            out.push_str(": ");
        }
        out.push_str(&leaf);
        out.push('\n');
        if outline.text_bytes() > MAX_TEXT_BYTES {
            return;
        }
    }
    outline.text().push('\n');
}
