//! A document's fields, as stored, searched and shown.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::contract::Value;

/// Field name → JSON. Money is `{"amount": "19.90", "currency": "EUR"}`; an instant is an RFC 3339 string.
pub type Fields = BTreeMap<String, Json>;

/// The stored form of a connector's value; `None` when it is not representable (broken JSON, a NaN, a moment out of range).
pub fn to_json(value: Value) -> Option<Json> {
    Some(match value {
        Value::Text(text) => Json::String(text),
        Value::Integer(number) => json!(number),
        Value::Number(number) => Json::Number(serde_json::Number::from_f64(number)?),
        Value::Boolean(flag) => Json::Bool(flag),
        Value::Instant(ms) => Json::String(
            chrono::DateTime::from_timestamp_millis(ms)?.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        ),
        Value::Money(amount, currency) => json!({ "amount": amount, "currency": currency }),
        Value::Texts(texts) => json!(texts),
        Value::Json(text) => serde_json::from_str(&text).ok()?,
    })
}

/// Amount and currency when `value` is money.
pub fn as_money(value: &Json) -> Option<(&str, &str)> {
    let object = value.as_object().filter(|object| object.len() == 2)?;
    Some((object.get("amount")?.as_str()?, object.get("currency")?.as_str()?))
}
