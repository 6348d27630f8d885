//! Lists as parameters, pages as answers, and enums as text.

use chrono::SecondsFormat;
use serde::{Serialize, de::DeserializeOwned, de::IntoDeserializer};

use tributary_core::Instant;

use crate::error::{Error, Result};

/// Some of a list. The id of the last item asks for what follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// Whether there is more.
    pub more: bool,
}

impl<T> Page<T> {
    /// From `limit + 1` rows asked for.
    pub(crate) fn of(mut items: Vec<T>, limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }

    pub(crate) fn try_map<U>(self, map: impl FnMut(T) -> Result<U>) -> Result<Page<U>> {
        Ok(Page { items: self.items.into_iter().map(map).collect::<Result<_>>()?, more: self.more })
    }
}

/// A page asks for at least one row and at most a thousand.
pub(crate) fn limited(limit: i64) -> i64 {
    limit.clamp(1, 1000)
}

/// A list as one JSON parameter.
pub(crate) fn json_list<T: Serialize>(items: &[T]) -> Result<String> {
    serde_json::to_string(items).map_err(|error| Error::Invalid(format!("a list cannot be written as JSON: {error}")))
}

/// The snake_case name of an enum's value, as stored.
pub(crate) fn name_of<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => unreachable!("stored enums have unit variants only, not {other:?}"),
    }
}

/// The value of a stored name.
pub(crate) fn named<T: DeserializeOwned>(name: &str) -> Result<T> {
    T::deserialize(IntoDeserializer::<serde::de::value::Error>::into_deserializer(name))
        .map_err(|error| Error::Corrupt(error.to_string()))
}

/// A moment in a list of rows, as SQLite's column holds it.
pub(crate) fn time_text(at: Instant) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, false)
}

/// PostgreSQL cannot hold U+0000 in text; neither engine gets to.
pub(crate) fn refuse_nul<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<()> {
    match texts.into_iter().find(|text| text.as_bytes().contains(&0)) {
        Some(text) => {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
            Err(Error::Invalid(format!("text must not contain U+0000 (NUL), but “{shown}” does; remove it")))
        }
        None => Ok(()),
    }
}
