//! The contract's types with the constructors that make a connector short. The shapes are those of `wit/v0_1`.

use std::io;

use serde::de::DeserializeOwned;

use crate::bindings::connector::{exports::tributary::connector::browse as browsing, tributary::connector as wit};

pub use browsing::{Choice, Choices};

pub use wit::blobs::BlobInfo;
pub use wit::files::{Entry, FileKind, Listing};
pub use wit::http::{Credential, Inject, Method, Rate, Request as HttpRequest, Response as HttpResponse};
pub use wit::log::Level;
pub use wit::types::{
    BlobId, Capabilities, Change, CheckItem, CheckStatus, Container, Content, Descriptor, Document, Extracted, Failure,
    Fault, Gone, Json, Locator, Next, Page, Progress, Provenance, PullRequest, Section, UnixMs, Value,
};

impl Failure {
    /// A failure of this kind. `code` is stable and snake_case; `message` is one sentence saying what to do.
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

    /// The configuration is wrong at `pointer` (`/root`); an admin must change it.
    pub fn config(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Fault::Config, "config_invalid", message).at(pointer)
    }

    /// Likely to work when tried again.
    pub fn transient(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Fault::Transient, code, message)
    }

    /// The source answered in a way its own documentation rules out.
    pub fn source_contract(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Fault::SourceContract, code, message)
    }

    /// Over a size limit.
    pub fn too_large(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Fault::TooLarge, code, message)
    }

    /// Not something this connector or extractor can handle.
    pub fn unsupported(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Fault::Unsupported, code, message)
    }

    /// Not there.
    pub fn not_found(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Fault::NotFound, code, message)
    }

    /// The source, or the admin's grant, does not allow this.
    pub fn permission(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Fault::Permission, code, message)
    }

    /// The source asks to wait so many milliseconds.
    pub fn rate_limited(retry_after_ms: u64, message: impl Into<String>) -> Self {
        let mut failure = Self::new(Fault::RateLimited, "rate_limited", message);
        failure.retry_after_ms = Some(retry_after_ms);
        failure
    }

    /// The cursor is no longer valid; the host starts a new full traversal.
    pub fn cursor_expired(message: impl Into<String>) -> Self {
        Self::new(Fault::CursorExpired, "cursor_expired", message)
    }

    /// A defect of the connector.
    pub fn internal(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Fault::Internal, code, message)
    }

    /// The same, pointing at a field of the configuration: `/root`.
    pub fn at(mut self, config_pointer: impl Into<String>) -> Self {
        self.config_pointer = Some(config_pointer.into());
        self
    }

    /// The same, with the HTTP status the source answered with.
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.http_status = Some(status);
        self
    }
}

/// So that a host failure can pass through `std::io` (see `BlobReader`) and come out whole.
impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        io::Error::other(failure)
    }
}

/// The failure inside an I/O error made by `BlobReader`; any other I/O error becomes an internal failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.downcast::<Failure>() {
            Ok(failure) => failure,
            Err(other) => Self::internal("io", other.to_string()),
        }
    }
}

impl Document {
    /// A document of this kind with this content and nothing else said about it.
    pub fn new(external_id: impl Into<String>, kind: impl Into<String>, content: Content) -> Self {
        Self {
            external_id: external_id.into(),
            title: String::new(),
            kind: kind.into(),
            language: None,
            content,
            fields: Vec::new(),
            provenance: Provenance::default(),
            fingerprint: None,
            container: None,
        }
    }

    /// The same, titled.
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// The same, with one more field.
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The same, with where people open it.
    pub fn linked(mut self, url: impl Into<String>) -> Self {
        self.provenance.url = Some(url.into());
        self
    }

    /// The same, with what tells the connector next time that nothing changed.
    pub fn fingerprinted(mut self, fingerprint: impl Into<String>) -> Self {
        self.fingerprint = Some(fingerprint.into());
        self
    }

    /// The same, read from a container.
    pub fn within(mut self, container: impl Into<String>) -> Self {
        self.container = Some(container.into());
        self
    }
}

impl Content {
    /// One section of plain text without headings.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Sections(vec![Section::new(Vec::new(), text)])
    }

    /// A host blob for the extractor.
    pub fn blob(blob: BlobId, media_type: impl Into<String>) -> Self {
        Self::Blob((blob, media_type.into()))
    }
}

impl Section {
    /// Text under these headings, outermost first.
    pub fn new(heading: Vec<String>, text: impl Into<String>) -> Self {
        Self { heading, text: text.into(), at: None }
    }
}

impl Change {
    /// One item could not be read; what was known of it stays.
    pub fn failed(external_id: impl Into<String>, failure: Failure) -> Self {
        Self::Failed((external_id.into(), failure))
    }

    /// A document is gone.
    pub fn delete(external_id: impl Into<String>, why: Gone) -> Self {
        Self::Delete((external_id.into(), why))
    }

    /// A container was read to its end.
    pub fn container_read(external_id: impl Into<String>, fingerprint: impl Into<String>) -> Self {
        Self::Container(Container {
            external_id: external_id.into(),
            fingerprint: fingerprint.into(),
            unchanged: false,
        })
    }

    /// A container was not read, since it is as it was; its documents stand.
    pub fn container_unchanged(external_id: impl Into<String>, fingerprint: impl Into<String>) -> Self {
        Self::Container(Container { external_id: external_id.into(), fingerprint: fingerprint.into(), unchanged: true })
    }
}

impl From<Document> for Change {
    fn from(document: Document) -> Self {
        Self::Upsert(document)
    }
}

impl Page {
    /// A page after which the host asks again with this cursor.
    pub fn more<C: serde::Serialize>(changes: Vec<Change>, cursor: &C) -> Result<Self, Failure> {
        Ok(Self { changes, cursor: Some(crate::cursor_text(cursor)?), next: Next::More, progress: None })
    }

    /// The last page; absence says nothing.
    pub fn complete(changes: Vec<Change>) -> Self {
        Self { changes, cursor: None, next: Next::Complete, progress: None }
    }

    /// The last page of a traversal that named everything: what was not named is gone.
    pub fn complete_exhaustive(changes: Vec<Change>) -> Self {
        Self { changes, cursor: None, next: Next::CompleteExhaustive, progress: None }
    }

    /// The same, with how far the run has come.
    pub fn with_progress(mut self, done: u64, total: Option<u64>, phase: impl Into<String>) -> Self {
        self.progress = Some(Progress { done, total, phase: phase.into() });
        self
    }
}

impl PullRequest {
    /// The typed cursor of the page before; `None` on the first page of a run.
    ///
    /// # Errors
    /// A cursor that does not parse (made by another version of the connector) is `cursor-expired`: the host starts over.
    pub fn cursor<C: DeserializeOwned>(&self) -> Result<Option<C>, Failure> {
        let Some(text) = &self.cursor else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|error| {
            Failure::cursor_expired(format!(
                "The cursor is not one this version understands ({error}); reading starts over."
            ))
        })
    }
}

impl CheckItem {
    /// This is fine.
    pub fn ok(name: impl Into<String>) -> Self {
        Self { name: name.into(), status: CheckStatus::Ok, message: None, config_pointer: None }
    }

    /// This works, but somebody should look at it.
    pub fn warning(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), status: CheckStatus::Warning, message: Some(message.into()), config_pointer: None }
    }

    /// This will not work.
    pub fn failed(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), status: CheckStatus::Failed, message: Some(message.into()), config_pointer: None }
    }

    /// The same, pointing at a field of the configuration: `/root`.
    pub fn at(mut self, config_pointer: impl Into<String>) -> Self {
        self.config_pointer = Some(config_pointer.into());
        self
    }
}

/// Where an admin looks for a value of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Browse {
    /// JSON pointer to the field, with `0` for any element of a list: `/folders/0`.
    pub pointer: String,
    /// What a choice opens; none is where the tree begins.
    pub at: Option<String>,
    /// `next` of the page before.
    pub after: Option<String>,
}

impl Browse {
    /// What is said of a field that the connector offers nothing for.
    pub fn unsupported(&self) -> Failure {
        let message = format!("There are no choices for {}: enter a value.", self.pointer);
        Failure::unsupported("browse_unsupported", message).at(&self.pointer)
    }
}

impl Choice {
    /// A value that the field may be set to.
    pub fn new(title: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        Self { value: Some(value.into().to_string()), title: title.into(), description: None, opens: None }
    }

    /// Nothing to choose, but something to look into.
    pub fn group(title: impl Into<String>, opens: impl Into<String>) -> Self {
        Self { value: None, title: title.into(), description: None, opens: Some(opens.into()) }
    }

    /// The same, with others under it.
    pub fn opens(mut self, opens: impl Into<String>) -> Self {
        self.opens = Some(opens.into());
        self
    }

    /// The same, with a few words more.
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }
}

impl Choices {
    /// These and no others.
    pub fn all(items: Vec<Choice>) -> Self {
        Self { items, next: None }
    }
}

#[allow(clippy::derivable_impls)] // the types are generated
impl Default for Provenance {
    fn default() -> Self {
        Self {
            url: None,
            retrieved_from: None,
            revision: None,
            etag: None,
            created_at: None,
            modified_at: None,
            authors: Vec::new(),
            path: Vec::new(),
            license: None,
        }
    }
}

#[allow(clippy::derivable_impls)] // the types are generated
impl Default for Extracted {
    fn default() -> Self {
        Self { title: None, language: None, sections: Vec::new() }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Boolean(flag)
    }
}

impl From<Vec<String>> for Value {
    fn from(texts: Vec<String>) -> Self {
        Self::Texts(texts)
    }
}
