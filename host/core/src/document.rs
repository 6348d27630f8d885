//! Documents, versions and chunks.

use serde::{Deserialize, Serialize};

use crate::{
    DocumentId, Instant, Position, RunId, SourceId, citation::ConnectorRef, contract::Gone, fields::Fields,
    hash::Sha256Hash,
};

/// Where in the original a section stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Locator {
    /// 1-based page number.
    Page(u32),
    /// Sheet and cell range.
    Cells(String, String),
    /// JSON pointer.
    JsonPointer(String),
    /// Fragment of the URL, without `#`.
    Fragment(String),
    /// Byte offsets, end exclusive.
    Bytes(u64, u64),
}

/// Where a document comes from, as its source tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// For people to open.
    pub url: Option<String>,
    /// Where the bytes were read, when that is another place.
    pub retrieved_from: Option<String>,
    /// The source's revision.
    pub revision: Option<String>,
    /// The source's entity tag.
    pub etag: Option<String>,
    /// Unix milliseconds.
    pub created_at: Option<i64>,
    /// Unix milliseconds.
    pub modified_at: Option<i64>,
    /// Who wrote it.
    pub authors: Vec<String>,
    /// Folders, collections, breadcrumbs.
    pub path: Vec<String>,
    /// Licence of the content.
    pub license: Option<String>,
}

/// A validated document of a page, ready to be committed.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentDraft {
    /// Its name in the source.
    pub external_id: String,
    /// For the ledger.
    pub fingerprint: Option<String>,
    /// External id of the container it was read from.
    pub container: Option<String>,
    /// `None`: unchanged since the last commit; only the fingerprint is refreshed.
    pub content: Option<DraftContent>,
}

/// What a changed document says.
#[derive(Clone, Debug, PartialEq)]
pub struct DraftContent {
    /// Never empty.
    pub title: String,
    /// `page`, `product`, …
    pub kind: String,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// For people to open.
    pub url: Option<String>,
    /// Typed fields.
    pub fields: Fields,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Over title, kind, language, url, fields and chunks: equal means nothing to write.
    pub content_hash: Sha256Hash,
    /// The whole normalised text in order; concatenated they are the document's text, byte for byte.
    pub chunks: Vec<ChunkDraft>,
    /// Of which file the chunks are the text, if of one.
    pub extraction: Option<Extraction>,
}

/// What an extractor made of a file, beside the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Extraction {
    /// Equal exactly when the extractor would say the same: over the extractor, the file's bytes, media type and name.
    pub key: Sha256Hash,
    /// The title the file gives itself.
    pub title: Option<String>,
    /// The language it states.
    pub language: Option<String>,
    /// It comes from the record, which has a version with this text.
    pub known: bool,
}

/// A passage of a document, the unit of search and citation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkDraft {
    /// Headings above it.
    pub section: Vec<String>,
    /// Where in the original.
    pub locator: Option<Locator>,
    /// Character (Unicode scalar value) offset in the document's normalised text.
    pub start: i64,
    /// The passage, trailing white space included.
    pub text: String,
}

/// What a commit did with one draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Not there before, or back after a deletion.
    Added,
    /// A new version.
    Updated,
    /// Nothing to write.
    Unchanged,
}

/// The committed result for one draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its name in the source.
    pub external_id: String,
    /// Its id.
    pub document_id: DocumentId,
    /// Its current version, from 1.
    pub version: i64,
    /// What was done.
    pub outcome: Outcome,
}

/// A document as listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Its source.
    pub source_id: SourceId,
    /// Its name in the source.
    pub external_id: String,
    /// Current version, from 1.
    pub version: i64,
    /// The oldest version that is still kept.
    pub oldest_version: i64,
    /// Title.
    pub title: String,
    /// `page`, `product`, …
    pub kind: String,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// For people to open.
    pub url: Option<String>,
    /// Typed fields.
    pub fields: Fields,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Hash of the current version.
    pub content_hash: Sha256Hash,
    /// The run that brought the current version.
    pub run_id: RunId,
    /// Set when it is gone.
    pub tombstone: Option<Tombstone>,
    /// First seen.
    pub created_at: Instant,
    /// Current version committed.
    pub updated_at: Instant,
    /// The commit that last touched it.
    pub change_seq: Position,
}

/// How a document went. It can be brought back until it is purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// Why.
    pub gone: Gone,
    /// When.
    pub at: Instant,
    /// Who deleted it, or agreed to it, when that was a person or a key: the principal's label.
    pub by: Option<String>,
    /// The run that deleted it or missed it.
    pub run_id: Option<RunId>,
}

/// One version of a document, without its text.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionInfo {
    /// From 1.
    pub version: i64,
    /// Whether it is the present one.
    pub current: bool,
    /// Title.
    pub title: String,
    /// `page`, `product`, …
    pub kind: String,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// For people to open.
    pub url: Option<String>,
    /// Typed fields.
    pub fields: Fields,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Of all that a reader can see.
    pub content_hash: Sha256Hash,
    /// Size of the text.
    pub text_bytes: i64,
    /// Whether the document was there before.
    pub outcome: Outcome,
    /// The run that brought it.
    pub run_id: RunId,
    /// The source of that run: another than the document's when it was moved since.
    pub run_source_id: SourceId,
    /// The connector of that run.
    pub connector: ConnectorRef,
    /// When it was committed.
    pub created_at: Instant,
}

/// What an index is fed with: the state of one document at a position.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexedDocument {
    /// Its id.
    pub id: DocumentId,
    /// The commit that last touched it.
    pub change_seq: Position,
    /// `None`: gone or hidden, remove it.
    pub live: Option<LiveDocument>,
}

/// The searchable part of a live document.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveDocument {
    /// Its source.
    pub source_id: SourceId,
    /// Its name in the source.
    pub external_id: String,
    /// Current version.
    pub version: i64,
    /// Title.
    pub title: String,
    /// `page`, `product`, …
    pub kind: String,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// Typed fields.
    pub fields: Fields,
    /// Current version committed.
    pub updated_at: Instant,
    /// Passages in order.
    pub chunks: Vec<ChunkDraft>,
}
