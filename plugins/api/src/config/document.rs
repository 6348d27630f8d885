//! What a record is as a document.

use serde::{Deserialize, Deserializer, de};

use super::Condition;
use crate::{json::Pointer, template, time::Format};

/// Where in a record the parts of its document stand.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    pub(crate) id: Pointer,
    /// The first that says something.
    pub(crate) title: Texts,
    #[serde(default = "default_kind")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) url: Option<Text>,
    #[serde(default)]
    pub(crate) created: Option<Pointer>,
    #[serde(default)]
    pub(crate) modified: Option<Pointer>,
    /// How `created`, `modified` and fields that are instants are written.
    #[serde(default)]
    pub(crate) formats: Vec<Format>,
    #[serde(default)]
    pub(crate) language: Option<Text>,
    #[serde(default)]
    pub(crate) authors: Option<Pointer>,
    #[serde(default)]
    pub(crate) body: Vec<Part>,
    /// What becomes of HTML in the body.
    #[serde(default)]
    pub(crate) html: Html,
    /// The body is Markdown: its headings make sections.
    #[serde(default)]
    pub(crate) markdown: bool,
    #[serde(default)]
    pub(crate) fields: Vec<Field>,
    /// Fields are lines of the text as well, so that a search finds them.
    #[serde(default = "yes")]
    pub(crate) fields_in_text: bool,
    #[serde(default)]
    pub(crate) ignore_for_hash: Vec<Pointer>,
    /// Only records that fulfil all of these are documents.
    #[serde(default, rename = "where")]
    pub(crate) conditions: Vec<Condition>,
}

fn default_kind() -> String {
    "record".to_owned()
}

fn yes() -> bool {
    true
}

/// What becomes of HTML.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Html {
    /// It is taken for text.
    #[default]
    Keep,
    ToMarkdown,
}

/// A value of the record, or a template with `{/pointer}` and `{name}` places.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Text {
    At(Pointer),
    Template(String),
}

impl Text {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(pointer) = Pointer::parse(text).filter(|_| !text.contains('{')) {
            return Ok(Self::At(pointer));
        }
        template::places(text)?;
        Ok(Self::Template(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// One text or several.
#[derive(Clone, Debug)]
pub(crate) struct Texts(pub(crate) Vec<Text>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Array(items) => items,
            one => vec![one],
        };
        let texts = given.iter().map(|one| match one.as_str() {
            Some(text) => Text::parse(text).map_err(de::Error::custom),
            None => Err(de::Error::custom("expected a JSON pointer or a template, or a list of them")),
        });
        texts.collect::<Result<_, _>>().map(Self)
    }
}

/// A part of the body: a text, or one under a heading.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) text: Text,
    pub(crate) heading: Option<String>,
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = serde_json::Value::deserialize(deserializer)?;
        let text = given.as_str().or_else(|| given["at"].as_str());
        let text = text.ok_or_else(|| de::Error::custom("expected a JSON pointer, a template, or `{at, heading}`"))?;
        let heading = given["heading"].as_str().map(str::to_owned);
        Ok(Self { text: Text::parse(text).map_err(de::Error::custom)?, heading })
    }
}

/// A typed value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) at: Pointer,
    #[serde(rename = "type")]
    pub(crate) kind: FieldType,
    /// Of money: an ISO 4217 code, or a pointer to one.
    #[serde(default)]
    pub(crate) currency: Option<String>,
    /// Of money in small units: 2 when `1990` means `19.90`.
    #[serde(default)]
    pub(crate) scale: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FieldType {
    Text,
    Integer,
    Number,
    Boolean,
    Instant,
    Money,
    Texts,
    Json,
}
