//! Requests and answers, short to write: constructors, statuses as failures, bodies as text or JSON.

use serde::{Serialize, de::DeserializeOwned};

use crate::{Credential, ExtractorHost, Failure, Fault, HttpRequest, HttpResponse, Inject, Method, Rate, read_whole};

/// Longest answer unless the request says otherwise.
const DEFAULT_MAX_BYTES: u64 = 32 << 20;
/// How much of an error's body its failure quotes.
const QUOTED_BYTES: u32 = 300;

impl HttpRequest {
    /// `GET` of an absolute URL.
    pub fn get(url: impl Into<String>) -> Self {
        Self {
            method: Method::Get,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            credential: None,
            rates: Vec::new(),
            max_bytes: DEFAULT_MAX_BYTES,
        }
    }

    /// `POST` of these bytes, whose media type is said.
    pub fn post(url: impl Into<String>, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let request = Self { method: Method::Post, body: Some(body.into()), ..Self::get(url) };
        request.header("content-type", media_type)
    }

    /// `POST` of a value as JSON.
    ///
    /// # Errors
    /// `internal` when the value cannot be JSON, such as a map with keys that are not strings.
    pub fn post_json(url: impl Into<String>, body: &impl Serialize) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::internal("body_unwritable", format!("The body is not JSON: {error}.")))?;
        Ok(Self::post(url, "application/json", body))
    }

    /// The same, with one more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same, with a credential of the workspace in `Authorization`, as its kind says.
    pub fn authorized_by(self, credential: impl Into<String>) -> Self {
        self.with_credential(credential, Inject::Authorization)
    }

    /// The same, with a credential of the workspace in another place.
    pub fn with_credential(mut self, name: impl Into<String>, inject: Inject) -> Self {
        self.credential = Some(Credential { name: name.into(), inject, scopes: Vec::new() });
        self
    }

    /// The same, with the OAuth scopes that its credential's token needs.
    pub fn scoped<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        if let Some(credential) = &mut self.credential {
            credential.scopes.extend(scopes.into_iter().map(Into::into));
        }
        self
    }

    /// The same, at most `requests` of its kind in `per_ms` milliseconds.
    pub fn rate(mut self, requests: u32, per_ms: u64) -> Self {
        self.rates.push(Rate { requests, per_ms });
        self
    }

    /// The same, with the longest answer it takes.
    pub fn at_most(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }
}

impl HttpResponse {
    /// The first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// How long the source asks to wait (`Retry-After` in seconds; RFC 9110 allows a date as well, which is not read here).
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.header("retry-after")?.trim().parse::<u64>().ok()?.checked_mul(1_000)
    }

    /// The same when its status is 2xx, else the failure that the status means.
    ///
    /// 401 is `auth-invalid`, 403 `permission`, 404 and 410 `not-found`, 429 `rate-limited`, 408, 425 and 5xx `transient`, anything
    /// else `source-contract`. Where a source's statuses mean something else, look at the status first.
    ///
    /// # Errors
    /// The failure, with the status, what the source asked to wait, and the beginning of what it said.
    pub fn success(self, host: &dyn ExtractorHost) -> Result<Self, Failure> {
        if self.is_success() {
            return Ok(self);
        }
        let status = self.status;
        let (fault, code, advice) = match status {
            401 => (Fault::AuthInvalid, "unauthorized", "check the credential"),
            403 => (Fault::Permission, "forbidden", "give the credential access to it"),
            404 | 410 => (Fault::NotFound, "not_found", "check the address"),
            429 => (Fault::RateLimited, "rate_limited", "it is tried again later"),
            408 | 425 | 500..=599 => (Fault::Transient, "source_unavailable", "it is tried again later"),
            _ => (Fault::SourceContract, "unexpected_status", "see what it says"),
        };
        let said = host.read_blob(self.body, 0, QUOTED_BYTES).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let quote = if said.is_empty() { String::new() } else { format!(": {said}") };
        let place = without_query(&self.url);
        let mut failure =
            Failure::new(fault, code, format!("{place} answered {status}; {advice}{quote}")).with_http_status(status);
        failure.retry_after_ms = self.retry_after_ms();
        Err(failure)
    }

    /// The body as text.
    ///
    /// # Errors
    /// `source-contract` when it is not UTF-8.
    pub fn text(&self, host: &dyn ExtractorHost) -> Result<String, Failure> {
        String::from_utf8(read_whole(host, self.body, self.size_bytes)?).map_err(|_| {
            let place = without_query(&self.url);
            Failure::source_contract("not_utf8", format!("{place} answered text that is not UTF-8"))
        })
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// `source-contract` when it is not, or has another shape.
    pub fn json<T: DeserializeOwned>(&self, host: &dyn ExtractorHost) -> Result<T, Failure> {
        serde_json::from_slice(&read_whole(host, self.body, self.size_bytes)?).map_err(|error| {
            let place = without_query(&self.url);
            Failure::source_contract("unexpected_json", format!("{place} answered JSON of another shape: {error}"))
        })
    }
}

fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}
