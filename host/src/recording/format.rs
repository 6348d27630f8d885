//! What a recording looks like: gzip over JSON, one object per line, so that `zcat` shows it.
//!
//! Bodies of answers, files and blobs stand once each, before the first line that names them by their SHA-256.
//!
//! A sync that a server recorded in several stretches is one such part after the other: members of one gzip file.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tributary_core::{
    citation::ConnectorRef,
    contract::{Change, Content, Failure, Page, PullRequest},
    hash::Sha256Hash,
    http::{HttpRequest, Inject, Method, UseCredential},
};
use tributary_sandbox::{HostServices, Listing, Moment};

/// The version of this format.
pub(super) const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    /// The first.
    Recording(Header),
    /// Bytes that later lines name.
    Content(Stored),
    /// A page is asked for; what follows belongs to it.
    Page(PageBegin),
    /// A request and its answer.
    Http { request: Asked, answer: Result<Answered, Failure> },
    /// A slice of a directory.
    List { root: String, dir: String, after: Option<String>, limit: u32, answer: Result<Listing, Failure> },
    /// A file, by the hash of its bytes.
    Open { root: String, path: String, max_bytes: u64, answer: Result<Sha256Hash, Failure> },
    /// What the ledger knew.
    Lookup { ids: Vec<String>, answer: Result<Vec<Option<String>>, Failure> },
    /// The connector's memory before the page.
    State { answer: Result<BTreeMap<String, String>, Failure> },
    /// What the page was.
    Returned(Returned),
    /// The last.
    End { pages: u64 },
}

/// What was recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub format: u32,
    /// The exact connector.
    pub connector: ConnectorRef,
    /// The version of Tributary that recorded it.
    pub tributary: String,
}

/// A page that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PageBegin {
    /// What was asked.
    pub request: PullRequest,
    /// The time and the randomness that the connector saw.
    pub moment: Moment,
}

/// Bytes, as text where they are text.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    pub sha256: Sha256Hash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
}

impl Stored {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let sha256 = Sha256Hash::of(bytes);
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { sha256, text: Some(text.to_owned()), base64: None },
            Err(_) => Self { sha256, text: None, base64: Some(BASE64_STANDARD.encode(bytes)) },
        }
    }

    /// The bytes, when they are those of the hash.
    pub(super) fn bytes(self) -> Option<(Sha256Hash, Bytes)> {
        let bytes = match (self.text, self.base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(base64)) => BASE64_STANDARD.decode(base64).ok()?,
            (None, None) => return None,
        };
        (Sha256Hash::of(&bytes) == self.sha256).then_some((self.sha256, bytes.into()))
    }
}

/// A request, without what changes nothing about its answer. It names its credential and never holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub method: Method,
    pub url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Sha256Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inject: Option<Inject>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

impl Asked {
    /// With the body that its hash stands for.
    pub(super) fn of(request: &HttpRequest) -> (Self, Option<Bytes>) {
        let (credential, inject, scopes) = match request.credential.clone() {
            Some(UseCredential { name, inject, scopes }) => (Some(name), Some(inject), scopes),
            None => (None, None, Vec::new()),
        };
        let asked = Self {
            method: request.method,
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.as_ref().map(Sha256Hash::of),
            credential,
            inject,
            scopes,
        };
        (asked, request.body.clone())
    }
}

/// An answer. A body that broke off has the failure that ended it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Answered {
    pub status: u16,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Sha256Hash,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<Failure>,
}

/// What a connector made of a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Returned {
    /// The page, with its blobs numbered as they are named.
    pub page: Result<Page, Failure>,
    /// The hashes of those blobs.
    pub blobs: Vec<Sha256Hash>,
    /// What it keeps in mind.
    pub state: BTreeMap<String, Option<String>>,
}

impl Returned {
    /// With the contents of its blobs.
    pub(super) fn of(result: &Result<Page, Failure>, services: &HostServices) -> (Self, Vec<Bytes>) {
        let (mut blobs, mut contents) = (Vec::new(), Vec::new());
        let mut page = result.clone();
        for change in page.iter_mut().flat_map(|page| &mut page.changes) {
            let Change::Upsert(document) = change else { continue };
            let Content::Blob { blob, .. } = &mut document.content else { continue };
            let content = services.blobs.get(*blob).and_then(|blob| blob.read_all()).unwrap_or_default();
            *blob = blobs.len() as u64;
            blobs.push(Sha256Hash::of(&content));
            contents.push(content);
        }
        (Self { page, blobs, state: services.state.into_writes() }, contents)
    }
}
