//! The connector contract (`wit/v0_1`) as host types.
//!
//! What a connector returns is hostile until `ingestion` has validated it: these types carry it, they do not vouch for it.

use serde::{Deserialize, Serialize};

use crate::document::{Locator, Provenance};

/// What kind of thing went wrong; drives the retry policy and the sentence the admin reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The configuration is wrong.
    Config,
    /// The credential is not accepted.
    AuthInvalid,
    /// The credential has expired.
    AuthExpired,
    /// The source or the grant does not allow this.
    Permission,
    /// The source asks to slow down.
    RateLimited,
    /// Likely to work when tried again.
    Transient,
    /// The source answered in a way its documentation rules out.
    SourceContract,
    /// The cursor is no longer valid.
    CursorExpired,
    /// The thing is not there.
    NotFound,
    /// Over a size limit.
    TooLarge,
    /// Not something this can handle.
    Unsupported,
    /// Cancelled by the host.
    Cancelled,
    /// A defect in the connector or the host.
    Internal,
    /// The component trapped (panic, unreachable, stack exhausted). Host-made, never returned by a guest.
    Trap,
    /// The component used up its CPU budget or its deadline. Host-made.
    Deadline,
    /// The component asked for more memory than it may have. Host-made.
    Memory,
}

impl Fault {
    /// The snake_case name used in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::AuthInvalid => "auth_invalid",
            Self::AuthExpired => "auth_expired",
            Self::Permission => "permission",
            Self::RateLimited => "rate_limited",
            Self::Transient => "transient",
            Self::SourceContract => "source_contract",
            Self::CursorExpired => "cursor_expired",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
        }
    }
}

/// A typed failure of a connector, an extractor or a host interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What kind.
    pub fault: Fault,
    /// Stable machine-readable name, snake_case.
    pub code: String,
    /// One sentence for the admin, saying what to do.
    pub message: String,
    /// Milliseconds to wait before trying again.
    pub retry_after_ms: Option<u64>,
    /// JSON pointer into the configuration.
    pub config_pointer: Option<String>,
    /// HTTP status of the source, where there was one.
    pub http_status: Option<u16>,
}

impl Failure {
    /// A failure with nothing but its kind, code and sentence.
    pub fn new(fault: Fault, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            fault,
            code: code.into(),
            message: message.into(),
            retry_after_ms: None,
            config_pointer: None,
            http_status: None,
        }
    }

    /// The same, pointing at a field of the configuration.
    pub fn at(mut self, config_pointer: impl Into<String>) -> Self {
        self.config_pointer = Some(config_pointer.into());
        self
    }
}

/// What a connector can do beyond plain pulling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Reads only what changed.
    pub incremental: bool,
    /// Names deletions itself.
    pub deletion_feed: bool,
    /// Can list ids without contents.
    pub enumerate: bool,
    /// Can read single items again.
    pub refetch: bool,
    /// Offers a tree to choose from.
    pub browse: bool,
}

/// What a connector says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// `file`, `api`, …
    pub id: String,
    /// Semantic version.
    pub version: String,
    /// For people.
    pub title: String,
    /// JSON Schema (2020-12) of the configuration.
    pub config_schema: serde_json::Value,
    /// Host names it wants to reach.
    pub hosts: Vec<String>,
    /// JSON pointers into the configuration whose values name file roots.
    pub roots: Vec<String>,
    /// What it can do.
    pub capabilities: Capabilities,
}

/// A run of text under a heading, as a connector or the extractor gives it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// Headings from the outermost to the innermost.
    pub heading: Vec<String>,
    /// Plain text.
    pub text: String,
    /// Where in the original.
    pub at: Option<Locator>,
}

/// What an extractor made of a blob.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extracted {
    /// The title the document gives itself.
    pub title: Option<String>,
    /// BCP 47 tag the document states.
    pub language: Option<String>,
    /// Its text.
    pub sections: Vec<Section>,
}

/// The content of a document in a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Ready text.
    Sections(Vec<Section>),
    /// A blob for the extractor.
    Blob {
        /// The host's blob.
        blob: u64,
        /// Its media type, as the connector believes.
        media_type: String,
    },
    /// As committed before.
    Unchanged,
}

/// A field's value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Milliseconds since the Unix epoch.
    Instant(i64),
    /// Decimal amount and ISO 4217 currency.
    Money(String, String),
    /// Several texts.
    Texts(Vec<String>),
    /// Any JSON, as text.
    Json(String),
}

/// A document in a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its name in the source.
    pub external_id: String,
    /// Empty: taken from the content or the path.
    pub title: String,
    /// `page`, `product`, …
    pub kind: String,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// What it says.
    pub content: Content,
    /// Typed fields.
    pub fields: Vec<(String, Value)>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// For the ledger.
    pub fingerprint: Option<String>,
    /// External id of the container it was read from.
    pub container: Option<String>,
}

/// Something in the source that yields several documents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name in the source.
    pub external_id: String,
    /// For the ledger.
    pub fingerprint: String,
    /// Not read this time; every document read from it before still stands.
    pub unchanged: bool,
}

/// Why a document is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    /// Deleted at the source.
    Deleted,
    /// In the source's trash.
    Trashed,
    /// No longer selected by the configuration.
    OutOfScope,
    /// Not readable any more.
    AccessLost,
    /// Not public any more.
    Unpublished,
    /// Its source was deleted; no connector says so.
    SourceDeleted,
}

impl Gone {
    /// The snake_case name used in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Trashed => "trashed",
            Self::OutOfScope => "out_of_scope",
            Self::AccessLost => "access_lost",
            Self::Unpublished => "unpublished",
            Self::SourceDeleted => "source_deleted",
        }
    }
}

/// One change in a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every change is an upsert: a box each would cost more than it saves"
)]
pub enum Change {
    /// A document is there.
    Upsert(Document),
    /// A container was read to its end, or stands unchanged.
    Container(Container),
    /// A document is gone.
    Delete(String, Gone),
    /// One item could not be read; what was known of it stays.
    Failed(String, Failure),
}

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Items done.
    pub done: u64,
    /// Items in all, when known.
    pub total: Option<u64>,
    /// In a word or two: `reading`.
    pub phase: String,
}

/// What comes after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// Ask again with the page's cursor.
    More,
    /// Ask again after so many milliseconds.
    WaitMs(u64),
    /// Done; absence says nothing.
    Complete,
    /// Done; what was not named is gone.
    CompleteExhaustive,
}

/// One page of changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// What changed.
    pub changes: Vec<Change>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Whether to go on.
    pub next: Next,
    /// How far.
    pub progress: Option<Progress>,
}

/// What a connector is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PullRequest {
    /// The source's configuration, JSON text.
    pub config: String,
    /// The cursor of the page before.
    pub cursor: Option<String>,
    /// Read everything again.
    pub full: bool,
    /// Frozen when the run started, Unix milliseconds.
    pub upper_bound_ms: i64,
    /// Most changes in the page.
    pub max_items: u32,
    /// Most bytes of text and blobs in the page.
    pub max_bytes: u64,
    /// Time for this call.
    pub deadline_ms: u64,
}

/// How one checked thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Fine.
    Ok,
    /// Works, but look at it.
    Warning,
    /// Will not work.
    Failed,
}

/// One checked thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckItem {
    /// What was checked.
    pub name: String,
    /// How it stands.
    pub status: CheckStatus,
    /// What to do.
    pub message: Option<String>,
    /// JSON pointer into the configuration.
    pub config_pointer: Option<String>,
}

/// What an administrator may choose for a field of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What the field is set to; none only leads to others.
    pub value: Option<serde_json::Value>,
    /// For people.
    pub title: String,
    /// More about it.
    pub description: Option<String>,
    /// What to ask for to see what lies under it.
    pub opens: Option<String>,
}

/// Choices for a field of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choices {
    /// A few of them.
    pub items: Vec<Choice>,
    /// What to ask for to see more of the same; none when these are all.
    pub next: Option<String>,
}

/// Where somebody looks for a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrowseRequest {
    /// The configuration so far, JSON text.
    pub config: String,
    /// JSON pointer to the field.
    pub pointer: String,
    /// What a choice opens; none is where the tree begins.
    pub at: Option<String>,
    /// The page before said so.
    pub after: Option<String>,
}
