//! Requests of a connector: to the port, and what it answers into one of the page's blobs.

use async_trait::async_trait;
use futures::StreamExt;
use tributary_core::{
    contract::{Failure, Fault},
    http::{Http, HttpRequest, HttpResponse, Inject, Method, Rate, UseCredential},
};

use crate::{bindings::http, services::HostServices};

/// No way out.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNetwork;

#[async_trait]
impl Http for NoNetwork {
    async fn send(&self, _: HttpRequest) -> Result<HttpResponse, Failure> {
        Err(Failure::new(Fault::Permission, "not_available", "requests are not available during this call"))
    }
}

/// An answer whose body is a sealed blob of the page.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Where it came from.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The blob.
    pub body: u64,
    /// Its length.
    pub size_bytes: u64,
}

impl HostServices {
    /// Sends a request; the answer's body becomes one of the page's blobs. The port bounds time and size.
    pub async fn send(&self, mut request: HttpRequest) -> Result<Answer, Failure> {
        let remaining = self.blobs.remaining_bytes();
        let page_is_smaller = remaining < request.max_bytes;
        request.max_bytes = request.max_bytes.min(self.blobs.max_blob_bytes()).min(remaining);
        let mut response = self.http.send(request).await?;
        let body = self.blobs.create()?;
        let mut size_bytes = 0;
        while let Some(piece) = response.body.next().await {
            // The page's budget, not the answer, was too small.
            let piece = piece.map_err(|failure| match failure.fault {
                Fault::TooLarge if page_is_smaller => self.blobs.page_full(),
                _ => failure,
            })?;
            size_bytes += piece.len() as u64;
            crate::services::append(&self.blobs, body, piece.into()).await?;
        }
        self.blobs.finish(body)?;
        self.meter.add(size_bytes);
        Ok(Answer { status: response.status, url: response.url, headers: response.headers, body, size_bytes })
    }
}

impl From<http::Request> for HttpRequest {
    fn from(raw: http::Request) -> Self {
        Self {
            method: match raw.method {
                http::Method::Get => Method::Get,
                http::Method::Head => Method::Head,
                http::Method::Post => Method::Post,
            },
            url: raw.url,
            headers: raw.headers,
            body: raw.body.map(Into::into),
            credential: raw.credential.map(|credential| UseCredential {
                name: credential.name,
                inject: match credential.inject {
                    http::Inject::Authorization => Inject::Authorization,
                    http::Inject::Header((name, prefix)) => Inject::Header { name, prefix },
                    http::Inject::Query(name) => Inject::Query(name),
                },
                scopes: credential.scopes,
            }),
            rates: raw.rates.into_iter().map(|rate| Rate { requests: rate.requests, per_ms: rate.per_ms }).collect(),
            max_bytes: raw.max_bytes,
        }
    }
}

impl From<Answer> for http::Response {
    fn from(answer: Answer) -> Self {
        Self {
            status: answer.status,
            url: answer.url,
            headers: answer.headers,
            body: answer.body,
            size_bytes: answer.size_bytes,
        }
    }
}
