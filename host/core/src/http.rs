//! The port through which a running connector asks hosts on the network.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::contract::Failure;

/// A connector reads: there is no other method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
}

impl Method {
    /// As in a request line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
        }
    }
}

/// Where a credential goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inject {
    /// `Authorization`, as the credential's kind says.
    Authorization,
    /// A header, with what stands before the secret.
    Header {
        /// Its name.
        name: String,
        /// `Bearer `, or nothing.
        prefix: String,
    },
    /// A parameter of the query.
    Query(String),
}

/// A credential of the workspace, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UseCredential {
    /// Its name.
    pub name: String,
    /// Where it goes.
    pub inject: Inject,
    /// OAuth scopes of the token.
    pub scopes: Vec<String>,
}

/// So many requests in so many milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many.
    pub requests: u32,
    /// In how long.
    pub per_ms: u64,
}

/// What a connector asks for. Hostile until the grants were looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// What to do.
    pub method: Method,
    /// Absolute.
    pub url: String,
    /// As the connector wrote them.
    pub headers: Vec<(String, String)>,
    /// For `POST`.
    pub body: Option<Bytes>,
    /// What it is authorised by.
    pub credential: Option<UseCredential>,
    /// How often such requests may be sent.
    pub rates: Vec<Rate>,
    /// Longest answer.
    pub max_bytes: u64,
}

/// What the source answered.
pub struct HttpResponse {
    /// Any status but a redirect that was followed.
    pub status: u16,
    /// Where it came from, without credentials.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Decompressed; ends with a failure when it is cut off or longer than was asked for.
    pub body: BoxStream<'static, Result<Bytes, Failure>>,
}

impl std::fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpResponse").field("status", &self.status).field("url", &self.url).finish_non_exhaustive()
    }
}

/// The network as one source sees it.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends a request and waits for the answer's head.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure>;

    /// What was added to requests so far and must never be kept, should an answer repeat it.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }
}
