//! A row as a document: which column is the id, which the title, what is prose and what is a field.

use std::rc::Rc;

use serde_json::Value as Json;
use tributary_plugin_sdk::Value;

/// Longer values are in the text only.
const MAX_FIELD_BYTES: usize = 2_048;
/// More fields are in the text only.
const MAX_FIELDS: usize = 200;
/// Fields with longer names are in the text only.
const MAX_FIELD_NAME_BYTES: usize = 128;
/// A title is cut here, at a character.
const MAX_TITLE_BYTES: usize = 300;

const ID: &[&str] = &["id", "sku"];
const TITLE: &[&str] = &[
    "title",
    "name",
    "productname",
    "producttitle",
    "headline",
    "subject",
    "question",
    "titel",
    "bezeichnung",
    "produktname",
    "frage",
];
const PROSE: &[&str] = &[
    "description",
    "longdescription",
    "shortdescription",
    "productdescription",
    "body",
    "bodyhtml",
    "text",
    "content",
    "summary",
    "details",
    "answer",
    "excerpt",
    "beschreibung",
    "langbeschreibung",
    "kurzbeschreibung",
    "inhalt",
    "antwort",
];
const URL: &[&str] = &["url", "link", "permalink", "producturl", "productlink"];
const CURRENCY: &[&str] = &["currency", "currencycode", "pricecurrency", "währung", "waehrung"];
/// Numbers that are names: kept as text, leading zeros and all.
const IDENTIFIER: &[&str] = &[
    "id",
    "sku",
    "ean",
    "ean13",
    "gtin",
    "gtin13",
    "upc",
    "isbn",
    "asin",
    "mpn",
    "barcode",
    "zip",
    "plz",
    "postcode",
    "phone",
    "telephone",
    "tel",
    "fax",
    "model",
];
const IDENTIFIER_END: &[&str] = &["id", "sku", "ean", "gtin", "code", "nr", "number", "nummer", "phone", "zip"];

/// A value as its format gives it.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// Text that may be a number.
    Untyped(String),
    Typed(Json),
}

impl Cell {
    /// What a person would read; `None` when it is empty or not a single value.
    fn as_text(&self) -> Option<String> {
        let text = match self {
            Self::Untyped(text) => text.trim().to_owned(),
            Self::Typed(Json::String(text)) => text.trim().to_owned(),
            Self::Typed(number @ Json::Number(_)) => number.to_string(),
            Self::Typed(_) => return None,
        };
        (!text.is_empty()).then_some(text)
    }
}

/// A row.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: Option<String>,
    pub(super) title: Option<String>,
    cells: Vec<(Rc<str>, Cell)>,
    /// The cell that is the title.
    title_at: Option<usize>,
    /// Over names and values.
    pub(super) hash: u64,
}

/// A row's text and fields.
pub(super) struct Body {
    pub(super) text: String,
    pub(super) fields: Vec<(String, Value)>,
    pub(super) url: Option<String>,
}

impl Record {
    /// A row of cells. `id` and `title_at` as the format knows them; a title is looked for otherwise.
    pub(super) fn new(id: Option<String>, title_at: Option<usize>, cells: Vec<(Rc<str>, Cell)>, hash: u64) -> Self {
        let title_at = title_at.or_else(|| find(&cells, TITLE));
        let title = title_at.and_then(|place| cells[place].1.as_text()).map(|title| {
            let line = title.split_whitespace().collect::<Vec<_>>().join(" ");
            line[..line.floor_char_boundary(MAX_TITLE_BYTES)].to_owned()
        });
        Self { id, title, title_at, cells, hash }
    }

    /// The same, titled by something that is not a cell.
    pub(super) fn titled(mut self, title: Option<String>) -> Self {
        self.title = title.or(self.title);
        self
    }

    /// Prose first, then `name: value` lines.
    pub(super) fn body(&self) -> Body {
        let currency =
            find(&self.cells, CURRENCY).and_then(|place| self.cells[place].1.as_text()).filter(|c| is_currency(c));
        let (mut prose, mut lines) = (String::new(), String::new());
        let (mut fields, mut url) = (Vec::new(), None);
        for (place, (name, cell)) in self.cells.iter().enumerate() {
            let plain = plain(name);
            let text = cell.as_text();
            if is_one_of(&plain, PROSE)
                && let Some(text) = &text
            {
                prose.push_str(text);
                prose.push_str("\n\n");
                continue;
            }
            if self.title_at != Some(place) {
                write_lines(&mut lines, name, cell);
            }
            if url.is_none() && is_one_of(&plain, URL) {
                url = text.filter(|text| text.starts_with("https://") || text.starts_with("http://"));
            }
            if fields.len() < MAX_FIELDS
                && name.len() <= MAX_FIELD_NAME_BYTES
                && let Some(value) = field(&plain, cell, currency.as_deref())
            {
                fields.push((name.to_string(), value));
            }
        }
        let mut text = prose + &lines;
        text.truncate(text.trim_end().len());
        if text.is_empty() {
            text = self.title.clone().or_else(|| self.id.clone()).unwrap_or_default();
        }
        Body { text, fields, url }
    }
}

/// The column that names a row when the configuration does not say: `id`, else `sku`.
pub(super) fn id_column<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Option<usize> {
    ID.iter().find_map(|id| names.clone().position(|name| plain(name) == *id))
}

/// Lower case, letters and digits alone: `Product Name` and `product_name` are one.
pub(super) fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_one_of(plain: &str, names: &[&str]) -> bool {
    names.contains(&plain)
}

fn find(cells: &[(Rc<str>, Cell)], names: &[&str]) -> Option<usize> {
    names
        .iter()
        .find_map(|wanted| cells.iter().position(|(name, cell)| plain(name) == *wanted && cell.as_text().is_some()))
}

fn is_identifier(plain: &str) -> bool {
    is_one_of(plain, IDENTIFIER) || IDENTIFIER_END.iter().any(|end| plain.ends_with(end))
}

fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn field(plain: &str, cell: &Cell, currency: Option<&str>) -> Option<Value> {
    if let Some(currency) = currency
        && (plain.contains("price") || plain.contains("preis") || plain == "amount")
        && let Some(amount) = cell.as_text().and_then(|text| decimal(&text.replace(',', ".")))
    {
        return Some(Value::Money((amount, currency.to_owned())));
    }
    match cell {
        Cell::Untyped(text) => {
            let text = text.trim();
            (!text.is_empty() && text.len() <= MAX_FIELD_BYTES).then(|| typed(plain, text))
        }
        Cell::Typed(json) => json_field(json),
    }
}

/// The type that a text stands for.
fn typed(plain: &str, text: &str) -> Value {
    if is_identifier(plain) {
        return text.into();
    }
    match text {
        "true" | "TRUE" | "True" => return true.into(),
        "false" | "FALSE" | "False" => return false.into(),
        _ => {}
    }
    match decimal(text) {
        Some(number) if number.contains('.') => number.parse::<f64>().map_or_else(|_| text.into(), Value::from),
        Some(number) => number.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        None => text.into(),
    }
}

/// A plain decimal number, at most 18 digits, without superfluous leading zeros.
fn decimal(text: &str) -> Option<String> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, fraction)| (whole, Some(fraction)));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let good = all_digits(whole)
        && fraction.is_none_or(all_digits)
        && (whole == "0" || !whole.starts_with('0'))
        && digits.len() <= 18;
    good.then(|| text.to_owned())
}

fn json_field(json: &Json) -> Option<Value> {
    let short = |text: &String| !text.is_empty() && text.len() <= MAX_FIELD_BYTES;
    match json {
        Json::Null => None,
        Json::Bool(flag) => Some((*flag).into()),
        Json::Number(number) => number.as_i64().map(Value::Integer).or_else(|| number.as_f64().map(Value::Number)),
        Json::String(text) => short(text).then(|| text.as_str().into()),
        Json::Array(items) if items.is_empty() => None,
        Json::Array(items) if items.iter().all(Json::is_string) => {
            let texts: Vec<String> = items.iter().filter_map(Json::as_str).map(str::to_owned).collect();
            (texts.iter().map(String::len).sum::<usize>() <= MAX_FIELD_BYTES).then_some(Value::Texts(texts))
        }
        Json::Object(members) => money(members).or_else(|| as_json(json)),
        Json::Array(_) => as_json(json),
    }
}

fn as_json(json: &Json) -> Option<Value> {
    Some(json.to_string()).filter(|text| text.len() <= MAX_FIELD_BYTES).map(Value::Json)
}

/// `{"amount": "19.90", "currency": "EUR"}`, the amount a text or a number.
fn money(members: &serde_json::Map<String, Json>) -> Option<Value> {
    let currency = members.get("currency")?.as_str().filter(|currency| is_currency(currency))?;
    let amount = match members.get("amount")? {
        Json::String(text) => decimal(text)?,
        Json::Number(number) => decimal(&number.to_string())?,
        _ => return None,
    };
    (members.len() == 2).then(|| Value::Money((amount, currency.to_owned())))
}

/// A line per leaf: `shipping.country: DE`; lists of plain values on one line.
fn write_lines(out: &mut String, name: &str, cell: &Cell) {
    let mut line = |path: &str, text: &str| {
        out.push_str(path);
        out.push_str(": ");
        out.push_str(text);
        out.push('\n');
    };
    let json = match cell {
        Cell::Untyped(text) if text.trim().is_empty() => return,
        Cell::Untyped(text) => return line(name, text.trim()),
        Cell::Typed(json) => json,
    };
    let mut open = vec![(name.to_owned(), json)];
    while let Some((path, json)) = open.pop() {
        match json {
            Json::Null => {}
            Json::Object(members) => {
                open.extend(members.iter().rev().map(|(key, value)| (format!("{path}.{key}"), value)));
            }
            Json::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
                open.extend(items.iter().rev().map(|value| (path.clone(), value)));
            }
            Json::Array(items) => {
                let texts: Vec<String> = items.iter().filter(|item| !item.is_null()).map(leaf).collect();
                if !texts.is_empty() {
                    line(&path, &texts.join(", "));
                }
            }
            Json::String(text) if text.trim().is_empty() => {}
            other => line(&path, &leaf(other)),
        }
    }
}

fn leaf(json: &Json) -> String {
    match json {
        Json::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    }
}
