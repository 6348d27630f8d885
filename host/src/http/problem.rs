//! Every error of the API as RFC 9457 `application/problem+json`.
//!
//! Handlers return [`ApiError`]. The [`finish`] middleware writes the body, so that errors axum makes by itself
//! (no route, wrong method, body too large, a panic) get the same shape and the same request id.

use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{console, request_id::RequestId};
use crate::limits::{Decision, headers};

/// An RFC 9457 problem.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `/problems/<code with dashes>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every occurrence of this code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// This occurrence: what happened and what to do.
    pub detail: String,
    /// Stable, snake_case; programs decide by this.
    pub code: String,
    /// Find the request in the logs by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The run in the way (`sync_running` only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// Names of the policies that were violated (`rate_limited` only).
    #[serde(rename = "violated-policies", default, skip_serializing_if = "Vec::is_empty")]
    pub violated_policies: Vec<String>,
}

/// One field at fault.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the request body.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Problem {
    /// A problem of `code`; the title is the code in words.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let mut title = code.replace('_', " ");
        if let Some(first) = title.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self {
            kind: format!("/problems/{}", code.replace('_', "-")),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            request_id: None,
            errors: Vec::new(),
            run_id: None,
            violated_policies: Vec::new(),
        }
    }
}

/// What a handler fails with.
#[derive(Clone, Debug)]
pub struct ApiError {
    problem: Box<Problem>,
    retry_after_s: Option<u64>,
    headers: Vec<(&'static str, String)>,
}

impl ApiError {
    /// An error of `code`.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::new(status, code, detail)), retry_after_s: None, headers: Vec::new() }
    }

    /// Adds a field at fault.
    pub fn at(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.problem.errors.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        self
    }

    /// Tells the client when to try again, in seconds.
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Names the run in the way.
    pub fn with_run(mut self, run_id: tributary_core::RunId) -> Self {
        self.problem.run_id = Some(run_id.to_string());
        self
    }

    /// 404 for a thing that does not exist, or that the caller may not know of.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no such {what}"))
    }

    /// 500; `error` goes to the log only.
    pub fn internal(error: impl std::fmt::Display) -> Self {
        tracing::error!(%error, "internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong on our side; the log has the details under this request id",
        )
    }

    /// The problem as it will be sent, without a request id.
    pub fn into_problem(self) -> Problem {
        *self.problem
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(*name, value);
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// An error response that has its body already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finished;

/// Middleware: gives every error response its problem body and request id; as a page where people look.
pub(super) async fn finish(request_id: RequestId, request: Request, next: Next) -> Response {
    let page = console::is_page(request.uri().path())
        .then(|| (request.method().clone(), request.uri().clone(), request.headers().clone()));
    let response = next.run(request).await;
    let failed = response.status().is_client_error() || response.status().is_server_error();
    if !failed || response.extensions().get::<Finished>().is_some() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let mut problem = match parts.extensions.remove::<ApiError>() {
        Some(error) => error.into_problem(),
        None => generic(parts.status, body).await,
    };
    problem.request_id = Some(request_id.to_string());
    if let Some((method, uri, headers)) = page {
        let mut response = console::problem(&method, &uri, &headers, &problem);
        response
            .headers_mut()
            .extend(parts.headers.remove(header::RETRY_AFTER).map(|wait| (header::RETRY_AFTER, wait)));
        return response;
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

/// The problem for an error that no handler made.
async fn generic(status: StatusCode, body: Body) -> Problem {
    let text =
        to_bytes(body, 1024).await.ok().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()).unwrap_or_default();
    let (code, detail) = match status {
        StatusCode::NOT_FOUND => ("not_found", "there is nothing at this address; /docs lists what there is"),
        StatusCode::METHOD_NOT_ALLOWED => {
            ("method_not_allowed", "this address does not take this method; the Allow header lists those it takes")
        }
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "the request body is larger than this address takes"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported_media_type", "send the body as application/json"),
        StatusCode::REQUEST_TIMEOUT => ("timeout", "the request took too long"),
        StatusCode::SERVICE_UNAVAILABLE => ("timeout", "the server took too long to answer; try again"),
        status if status.is_server_error() => {
            ("internal", "something went wrong on our side; the log has the details under this request id")
        }
        _ => ("bad_request", if text.is_empty() { "the request is not valid" } else { &text }),
    };
    Problem::new(status, code, detail)
}

/// 429 for a refused decision.
impl From<Decision> for ApiError {
    fn from(decision: Decision) -> Self {
        let violated: Vec<_> = decision.violated().map(str::to_owned).collect();
        let wait_s = decision.retry_after_s().unwrap_or(1);
        let detail = format!("too many requests under the policy {}; try again in {wait_s} s", violated.join(" and "));
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(wait_s);
        error.problem.violated_policies = violated;
        error.headers = headers::fields(&decision);
        error
    }
}

impl From<tributary_store::Error> for ApiError {
    fn from(error: tributary_store::Error) -> Self {
        use tributary_store::Error;
        let detail = error.to_string();
        match error {
            Error::NotFound(what) => Self::not_found(what),
            Error::AlreadyRunning { run_id } => {
                let detail = format!("the source is being synced already, by run {run_id}; wait for it or cancel it");
                Self::new(StatusCode::CONFLICT, "sync_running", detail).with_run(run_id)
            }
            Error::LastOne(_) => Self::new(StatusCode::CONFLICT, "last_one", detail),
            Error::Conflict { what } => Self::new(StatusCode::CONFLICT, "conflict", format!("this {what} is taken")),
            Error::Busy(_) | Error::Away(_) | Error::Open(_) | Error::Closed => {
                tracing::warn!(%error, "the database does not answer");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "database_unavailable",
                    "the database does not answer; try again in a moment",
                )
                .retry_after(1)
            }
            Error::Full(_) => Self::new(StatusCode::INSUFFICIENT_STORAGE, "database_full", detail),
            Error::Invalid(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail),
            error => Self::internal(error),
        }
    }
}
