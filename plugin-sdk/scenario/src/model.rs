//! The contract as plain values, which both the SDK's and the server's own types turn into.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::World;

/// A typed failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// snake_case: `rate_limited`. `trap`, `deadline` and `memory` when the connector did not end by itself.
    pub fault: String,
    /// Stable and snake_case.
    #[serde(default)]
    pub code: String,
    /// One sentence.
    #[serde(default)]
    pub message: String,
    /// Milliseconds.
    #[serde(default)]
    pub retry_after_ms: Option<u64>,
    /// JSON pointer into the configuration.
    #[serde(default)]
    pub config_pointer: Option<String>,
    /// Status of the source.
    #[serde(default)]
    pub http_status: Option<u16>,
}

impl Failure {
    /// A failure with nothing but its kind, code and sentence.
    pub fn new(fault: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            fault: fault.into(),
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
            config_pointer: None,
            http_status: None,
        }
    }

    /// A page that breaks the contract.
    pub(crate) fn broken(what: impl std::fmt::Display) -> Self {
        Self::new("source_contract", "contract_broken", format!("The connector breaks the contract: {what}."))
    }

    /// Whether the connector was ended instead of answering.
    pub fn is_crash(&self) -> bool {
        matches!(self.fault.as_str(), "trap" | "deadline" | "memory")
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}: {}", self.fault, self.code, self.message)
    }
}

/// What a connector says about itself.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// `file`
    pub id: String,
    /// Semantic version.
    pub version: String,
    /// For people.
    pub title: String,
    /// JSON text.
    pub config_schema: String,
    /// Host names, patterns and JSON pointers.
    pub hosts: Vec<String>,
    /// JSON pointers.
    pub roots: Vec<String>,
    /// It offers values to choose from.
    pub browses: bool,
}

/// A document of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its name in the source.
    pub external_id: String,
    /// As the connector gave it.
    pub title: String,
    /// `page`, `product`, …
    pub kind: String,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// Sections with their headings, or a blob's bytes read as text. None: unchanged.
    pub text: Option<String>,
    /// Of a blob.
    pub media_type: Option<String>,
    /// Of the text or the blob.
    pub size_bytes: u64,
    /// As the API shows them.
    pub fields: BTreeMap<String, Value>,
    /// For people to open.
    pub url: Option<String>,
    /// Unix milliseconds.
    pub modified_at_ms: Option<i64>,
    /// For the ledger.
    pub fingerprint: Option<String>,
    /// What it was read from.
    pub container: Option<String>,
}

/// One change of a page.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "nearly every change is an upsert")]
pub enum Change {
    /// A document is there.
    Upsert(Document),
    /// Something that yields documents was read to its end, or stands unchanged.
    Container {
        /// Its name in the source.
        external_id: String,
        /// For the ledger.
        fingerprint: String,
        /// Every document read from it before still stands.
        unchanged: bool,
    },
    /// A document is gone, and why in one word.
    Delete(String, String),
    /// One item could not be read.
    Failed(String, Failure),
}

impl Change {
    /// What it is about.
    pub fn external_id(&self) -> &str {
        match self {
            Self::Upsert(document) => &document.external_id,
            Self::Container { external_id, .. } => external_id,
            Self::Delete(id, _) | Self::Failed(id, _) => id,
        }
    }
}

/// What comes after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask again with the cursor.
    More,
    /// The same, after so many milliseconds.
    WaitMs(u64),
    /// Done.
    Complete,
    /// Done, and absence means deleted.
    CompleteExhaustive,
}

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// What changed.
    pub changes: Vec<Change>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Whether to go on.
    pub next: Next,
    /// What the connector wrote to its memory; none removes a key.
    pub state: BTreeMap<String, Option<String>>,
}

/// What a connector is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Pull {
    /// JSON text.
    pub config: String,
    /// Of the page before.
    pub cursor: Option<String>,
    /// Read everything again.
    pub full: bool,
    /// Unix milliseconds.
    pub upper_bound_ms: i64,
    /// Most changes.
    pub max_items: u32,
    /// Most bytes.
    pub max_bytes: u64,
    /// Time for this call.
    pub deadline_ms: u64,
}

/// One thing that a check looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What.
    pub name: String,
    /// `ok`, `warning` or `failed`.
    pub status: String,
    /// What to do.
    pub message: Option<String>,
    /// JSON pointer into the configuration.
    pub config_pointer: Option<String>,
}

/// Where somebody looks for a value of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Browse {
    /// JSON pointer to the field.
    pub pointer: String,
    /// What a choice opens.
    pub at: Option<String>,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// One of the values there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// JSON text; none only leads to others.
    pub value: Option<String>,
    /// What lies under it.
    pub opens: Option<String>,
}

/// A page of choices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Some of them.
    pub items: Vec<Choice>,
    /// What to ask for to see more of the same.
    pub next: Option<String>,
}

/// A connector, whatever it is made of. Every call ends by itself: what panics, traps or takes too long is a [`Failure`].
pub trait Subject {
    /// What it says about itself.
    fn about(&self) -> Result<About, Failure>;

    /// Tries a configuration in this world.
    fn check(&self, config: &str, world: &Arc<World>) -> Result<Vec<Checked>, Failure>;

    /// Values to choose from for a field, in this world.
    fn browse(&self, config: &str, request: &Browse, world: &Arc<World>) -> Result<Choices, Failure>;

    /// The next page in this world.
    fn pull(&self, request: &Pull, world: &Arc<World>) -> Result<Page, Failure>;
}

/// The text of sections: each under its headings.
pub fn joined<'a>(sections: impl IntoIterator<Item = (&'a [String], &'a str)>) -> String {
    let texts = sections.into_iter().map(|(heading, text)| match heading {
        [] => text.to_owned(),
        heading => format!("{}\n{text}", heading.join(" › ")),
    });
    texts.collect::<Vec<_>>().join("\n\n")
}
