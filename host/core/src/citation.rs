//! Citations: from an answer back to the document version, source, run and connector.

use serde::{Deserialize, Serialize};

use crate::{DocumentId, Instant, RunId, SourceId, document::Locator, hash::Sha256Hash};

/// A source by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceRef {
    /// Its id.
    pub id: SourceId,
    /// Its name when cited.
    pub name: String,
}

/// The exact connector that produced something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectorRef {
    /// `file`, `builtin:push`, …
    pub id: String,
    /// Semantic version.
    pub version: String,
    /// SHA-256 of the component (of the server build for built-in ones).
    pub digest: String,
}

/// How a cited document stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CitationStatus {
    /// The cited version is the current one.
    Current,
    /// There is a newer version.
    Changed,
    /// The document is gone at its source.
    Removed,
}

/// A passage that an answer rests on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Citation {
    /// 1-based, as `[1]` in the answer.
    pub number: u32,
    /// The cited document.
    pub document_id: DocumentId,
    /// The cited version.
    pub document_version: i64,
    /// Its name in the source.
    pub external_id: String,
    /// Title of that version.
    pub title: String,
    /// For people to open.
    pub url: Option<String>,
    /// Where it came from.
    pub source: SourceRef,
    /// The run that brought that version.
    pub run_id: RunId,
    /// The connector that produced that version.
    pub connector: ConnectorRef,
    /// Headings above the passage.
    pub section: Vec<String>,
    /// Where in the original.
    pub locator: Option<Locator>,
    /// The words relied on.
    pub cited_text: String,
    /// Character offset of `cited_text` in the version's normalised text.
    pub start: i64,
    /// End of it, exclusive.
    pub end: i64,
    /// SHA-256 of `cited_text`.
    pub text_hash: Sha256Hash,
    /// When that version was committed.
    pub ingested_at: Instant,
    /// How the document stands now.
    pub status: CitationStatus,
}
