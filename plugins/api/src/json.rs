//! A JSON value that keeps numbers as they were written, and pointers into it. Answers in CSV and XML become such values as well.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

/// Values inside each other.
pub(crate) const MAX_DEPTH: usize = 100;

/// A value. Objects keep their order; a number is its text, so that `19.90` stays `19.90`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The member of this name.
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(members) => members.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Text, number or boolean as text; `None` for anything else and for blank text.
    pub(crate) fn scalar(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Self::Number(number) => Some(number.clone()),
            Self::Bool(flag) => Some(flag.to_string()),
            // An element of XML that has attributes as well.
            Self::Object(_) => self.get("#text")?.scalar(),
            _ => None,
        }
    }

    /// Null, blank text, an empty list or object.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Object(members) => members.is_empty(),
            Self::Bool(_) | Self::Number(_) => false,
        }
    }

    /// What it says: a scalar, or the scalars of a list with commas between them, or else JSON.
    pub(crate) fn words(&self) -> Option<String> {
        match self {
            Self::List(items) => {
                let words: Vec<_> = items.iter().filter_map(Self::words).collect();
                (!words.is_empty()).then(|| words.join(", "))
            }
            Self::Object(members) if !members.is_empty() => self.scalar().or_else(|| Some(self.to_string())),
            _ => self.scalar(),
        }
    }

    /// Takes away what a pointer names.
    pub(crate) fn remove(&mut self, pointer: &Pointer) {
        remove(self, &pointer.0);
    }
}

fn remove(json: &mut Json, path: &[String]) {
    let Some((first, rest)) = path.split_first() else {
        *json = Json::Null;
        return;
    };
    match json {
        Json::List(items) if first == "*" => items.iter_mut().for_each(|item| remove(item, rest)),
        Json::List(items) => {
            if let Some(item) = first.parse::<usize>().ok().and_then(|place| items.get_mut(place)) {
                remove(item, rest);
            }
        }
        Json::Object(members) if rest.is_empty() => members.retain(|(name, _)| name != first),
        Json::Object(members) => {
            members.iter_mut().filter(|(name, _)| name == first).for_each(|(_, value)| remove(value, rest));
        }
        _ => {}
    }
}

/// Compact JSON text.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => {
                f.write_str("[")?;
                for (place, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if place > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (place, (name, value)) in members.iter().enumerate() {
                    write!(f, "{}{}:{value}", if place > 0 { "," } else { "" }, quoted(name))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// A JSON pointer (RFC 6901) in which `*` stands for every item of a list. A value that is no list is a list of one, as in XML, where
/// one element cannot be told from many.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pointer(pub(crate) Vec<String>);

impl Pointer {
    /// `None` when it neither is empty nor starts with `/`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::default());
        }
        let path = text.strip_prefix('/')?;
        Some(Self(path.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect()))
    }

    /// The first value there that is not null.
    pub(crate) fn find<'a>(&self, json: &'a Json) -> Option<&'a Json> {
        self.find_all(json).into_iter().find(|value| **value != Json::Null)
    }

    /// The first value there that says something, as text.
    pub(crate) fn scalar(&self, json: &Json) -> Option<String> {
        self.find_all(json).into_iter().find_map(Json::scalar)
    }

    /// Every value there.
    pub(crate) fn find_all<'a>(&self, json: &'a Json) -> Vec<&'a Json> {
        let mut found = vec![json];
        for part in &self.0 {
            let mut next = Vec::with_capacity(found.len());
            for value in found {
                match value {
                    Json::List(items) if part == "*" => next.extend(items),
                    Json::List(items) => next.extend(part.parse::<usize>().ok().and_then(|place| items.get(place))),
                    Json::Null => {}
                    other if part == "*" => next.push(other),
                    other => next.extend(other.get(part)),
                }
            }
            found = next;
        }
        found
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| write!(f, "/{}", part.replace('~', "~0").replace('/', "~1")))
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is no JSON pointer: it starts with `/`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::json_value;

    fn json(text: &str) -> Json {
        json_value(text).unwrap()
    }

    fn at(pointer: &str, text: &str) -> Vec<String> {
        Pointer::parse(pointer).unwrap().find_all(&json(text)).into_iter().map(Json::to_string).collect()
    }

    #[test]
    fn a_star_is_every_item_and_a_lone_value_is_a_list_of_one() {
        assert_eq!(at("/a/*/b", r#"{"a":[{"b":1},{"c":2},{"b":3}]}"#), ["1", "3"]);
        assert_eq!(at("/a/*/b", r#"{"a":{"b":1}}"#), ["1"]);
        assert_eq!(at("/a/1", r#"{"a":[5,6]}"#), ["6"]);
        assert_eq!(at("/a~1b/~0", r#"{"a/b":{"~":true}}"#), ["true"]);
        assert_eq!(at("", "[1]"), ["[1]"]);
        assert!(at("/a/x", r#"{"a":"text"}"#).is_empty());
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(json("[19.90, 12345678901234567890.12, 1e2]").to_string(), "[19.90,12345678901234567890.12,1e2]");
    }

    #[test]
    fn what_is_removed_is_gone_everywhere() {
        let mut value = json(r#"{"a":[{"n":1,"m":2},{"n":3}],"b":4}"#);
        value.remove(&Pointer::parse("/a/*/n").unwrap());
        value.remove(&Pointer::parse("/b").unwrap());
        value.remove(&Pointer::parse("/none/here").unwrap());
        assert_eq!(value.to_string(), r#"{"a":[{"m":2},{}]}"#);
    }
}
