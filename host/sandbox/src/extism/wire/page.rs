//! A page as JSON.

use serde::Deserialize;

use super::Failure;
use crate::bindings::types;

#[derive(Deserialize)]
pub(in crate::extism) struct Page {
    #[serde(default)]
    changes: Vec<Change>,
    cursor: Option<String>,
    next: Next,
    progress: Option<Progress>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Next {
    More,
    WaitMs(u64),
    Complete,
    CompleteExhaustive,
}

#[derive(Deserialize)]
struct Progress {
    done: u64,
    total: Option<u64>,
    #[serde(default)]
    phase: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant, reason = "nearly every change is an upsert")]
enum Change {
    Upsert(Document),
    Container(Container),
    Delete(String, Gone),
    Failed(String, Failure),
}

#[derive(Deserialize)]
struct Document {
    external_id: String,
    #[serde(default)]
    title: String,
    kind: String,
    language: Option<String>,
    content: Content,
    #[serde(default)]
    fields: Vec<(String, Value)>,
    #[serde(default)]
    provenance: Provenance,
    fingerprint: Option<String>,
    container: Option<String>,
}

#[derive(Deserialize)]
struct Container {
    external_id: String,
    fingerprint: String,
    #[serde(default)]
    unchanged: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Gone {
    Deleted,
    Trashed,
    OutOfScope,
    AccessLost,
    Unpublished,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Sections(Vec<Section>),
    Blob(u64, String),
    Unchanged,
}

#[derive(Deserialize)]
struct Section {
    #[serde(default)]
    heading: Vec<String>,
    text: String,
    at: Option<Locator>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Locator {
    Page(u32),
    Cells(String, String),
    JsonPointer(String),
    Fragment(String),
    Bytes(u64, u64),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Value {
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    Instant(i64),
    Money(String, String),
    Texts(Vec<String>),
    Json(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Provenance {
    url: Option<String>,
    retrieved_from: Option<String>,
    revision: Option<String>,
    etag: Option<String>,
    created_at: Option<i64>,
    modified_at: Option<i64>,
    authors: Vec<String>,
    path: Vec<String>,
    license: Option<String>,
}

impl From<Page> for types::Page {
    fn from(raw: Page) -> Self {
        Self {
            changes: raw.changes.into_iter().map(Into::into).collect(),
            cursor: raw.cursor,
            next: match raw.next {
                Next::More => types::Next::More,
                Next::WaitMs(ms) => types::Next::WaitMs(ms),
                Next::Complete => types::Next::Complete,
                Next::CompleteExhaustive => types::Next::CompleteExhaustive,
            },
            progress: raw.progress.map(|it| types::Progress { done: it.done, total: it.total, phase: it.phase }),
        }
    }
}

impl From<Change> for types::Change {
    fn from(raw: Change) -> Self {
        match raw {
            Change::Upsert(document) => Self::Upsert(document.into()),
            Change::Container(Container { external_id, fingerprint, unchanged }) => {
                Self::Container(types::Container { external_id, fingerprint, unchanged })
            }
            Change::Delete(external_id, gone) => Self::Delete((external_id, gone.into())),
            Change::Failed(external_id, failure) => Self::Failed((external_id, failure.into())),
        }
    }
}

impl From<Gone> for types::Gone {
    fn from(raw: Gone) -> Self {
        match raw {
            Gone::Deleted => Self::Deleted,
            Gone::Trashed => Self::Trashed,
            Gone::OutOfScope => Self::OutOfScope,
            Gone::AccessLost => Self::AccessLost,
            Gone::Unpublished => Self::Unpublished,
        }
    }
}

impl From<Document> for types::Document {
    fn from(raw: Document) -> Self {
        Self {
            external_id: raw.external_id,
            title: raw.title,
            kind: raw.kind,
            language: raw.language,
            content: match raw.content {
                Content::Sections(sections) => types::Content::Sections(sections.into_iter().map(Into::into).collect()),
                Content::Blob(blob, media_type) => types::Content::Blob((blob, media_type)),
                Content::Unchanged => types::Content::Unchanged,
            },
            fields: raw.fields.into_iter().map(|(name, value)| (name, value.into())).collect(),
            provenance: raw.provenance.into(),
            fingerprint: raw.fingerprint,
            container: raw.container,
        }
    }
}

impl From<Section> for types::Section {
    fn from(raw: Section) -> Self {
        let at = raw.at.map(|at| match at {
            Locator::Page(page) => types::Locator::Page(page),
            Locator::Cells(sheet, range) => types::Locator::Cells((sheet, range)),
            Locator::JsonPointer(pointer) => types::Locator::JsonPointer(pointer),
            Locator::Fragment(fragment) => types::Locator::Fragment(fragment),
            Locator::Bytes(start, end) => types::Locator::Bytes((start, end)),
        });
        Self { heading: raw.heading, text: raw.text, at }
    }
}

impl From<Value> for types::Value {
    fn from(raw: Value) -> Self {
        match raw {
            Value::Text(text) => Self::Text(text),
            Value::Integer(number) => Self::Integer(number),
            Value::Number(number) => Self::Number(number),
            Value::Boolean(boolean) => Self::Boolean(boolean),
            Value::Instant(ms) => Self::Instant(ms),
            Value::Money(amount, currency) => Self::Money((amount, currency)),
            Value::Texts(texts) => Self::Texts(texts),
            Value::Json(json) => Self::Json(json),
        }
    }
}

impl From<Provenance> for types::Provenance {
    fn from(raw: Provenance) -> Self {
        Self {
            url: raw.url,
            retrieved_from: raw.retrieved_from,
            revision: raw.revision,
            etag: raw.etag,
            created_at: raw.created_at,
            modified_at: raw.modified_at,
            authors: raw.authors,
            path: raw.path,
            license: raw.license,
        }
    }
}
