//! Pushing documents, as JSON or as files, and what became of each.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json as Body,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State},
    http::{StatusCode, header},
};
use serde::{Deserialize, Serialize};
use tributary_core::{SourceId, contract::Fault, document, run::FailedItem};
use tributary_sandbox::Blob;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    ApiError, Problem,
    access::Tenant,
    documents::{self, Provenance},
    extract::{Json, too_large},
};
use crate::{
    app::App,
    ingestion::{Item, Material, PushError, PushResult, Pushed},
};

/// Bodies of pushes and uploads.
const PUSH_LIMIT_BYTES: usize = 64 << 20;

/// The route that takes large bodies.
pub(super) fn route() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(push)).layer(DefaultBodyLimit::max(PUSH_LIMIT_BYTES))
}

/// Documents to be pushed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushRequest {
    /// 1 to 1,000.
    documents: Vec<PushDocument>,
    /// A source of the connector `builtin:push`; the workspace's own when absent.
    source_id: Option<String>,
}

/// A document to be pushed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushDocument {
    /// Your name for it, at most 1,024 bytes: pushing it again makes a new version.
    #[schema(example = "faq/shipping")]
    external_id: String,
    title: String,
    content: String,
    /// text/markdown, text/plain or text/html.
    #[serde(default = "markdown")]
    media_type: String,
    /// page, product, order, …
    #[serde(default = "page")]
    kind: String,
    url: Option<String>,
    /// BCP 47 tag.
    language: Option<String>,
    /// Text, numbers, booleans, lists, objects; money as `{"amount": "19.90", "currency": "EUR"}`.
    #[serde(default)]
    #[schema(value_type = Object)]
    fields: BTreeMap<String, serde_json::Value>,
    /// Where it comes from, at most 16 KiB as JSON.
    #[serde(default)]
    provenance: Provenance,
}

fn markdown() -> String {
    "text/markdown".to_owned()
}

fn page() -> String {
    "page".to_owned()
}

/// What became of a push.
#[derive(Serialize, ToSchema)]
pub(super) struct PushResponse {
    run_id: Uuid,
    /// Send it as `min_position` to search what was pushed.
    position: i64,
    /// One for each document, in order.
    results: Vec<PushedDocument>,
}

/// What became of one document.
#[derive(Serialize, ToSchema)]
pub(super) struct PushedDocument {
    external_id: String,
    document_id: Option<Uuid>,
    version: Option<i64>,
    /// added, updated, unchanged or failed.
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Problem>,
}

/// Push documents as JSON, or upload files as multipart/form-data
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/documents", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)), request_body = PushRequest,
    responses((status = 200, body = PushResponse), (status = 401, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 422, body = Problem)),
)]
pub(super) async fn push(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    request: Request,
) -> Result<Body<PushResponse>, ApiError> {
    let (items, source_id) = if is_multipart(&request) { upload(request).await? } else { body(request).await? };
    let pushed = app.push.push(&tenant, source_id, items).await?;
    Ok(Body(PushResponse {
        run_id: pushed.run_id.0,
        position: pushed.position,
        results: pushed.results.into_iter().map(Into::into).collect(),
    }))
}

fn is_multipart(request: &Request) -> bool {
    let media_type =
        request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")
}

async fn body(request: Request) -> Result<(Vec<Item>, Option<SourceId>), ApiError> {
    let Json(push) = Json::<PushRequest>::from_request(request, &()).await?;
    let source_id = push.source_id.as_deref().map(source_id).transpose()?;
    let items = push.documents.into_iter().map(|document| Item {
        external_id: document.external_id,
        title: document.title,
        kind: document.kind,
        language: document.language,
        url: document.url,
        fields: document.fields,
        provenance: document.provenance.into(),
        fingerprint: None,
        container: None,
        material: Material::Blob(Blob::from_bytes(document.content.into_bytes()), document.media_type),
    });
    Ok((items.collect(), source_id))
}

/// Every part with a file name is a document named after it; a part `source_id` chooses the source.
async fn upload(request: Request) -> Result<(Vec<Item>, Option<SourceId>), ApiError> {
    let malformed = |error: axum::extract::multipart::MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => ApiError::new(
            StatusCode::BAD_REQUEST,
            "invalid_multipart",
            format!("the multipart body is not valid: {}", error.body_text()),
        ),
    };
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|error| ApiError::new(StatusCode::BAD_REQUEST, "invalid_multipart", error.body_text()))?;
    let (mut items, mut source) = (Vec::new(), None);
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        let (name, file_name) = (part.name().unwrap_or_default().to_owned(), part.file_name().map(str::to_owned));
        let media_type = part.content_type().unwrap_or("application/octet-stream").to_owned();
        let bytes: Bytes = part.bytes().await.map_err(malformed)?;
        match file_name {
            Some(external_id) => items.push(file(external_id, media_type, bytes)),
            None if name == "source_id" => source = Some(source_id(&String::from_utf8_lossy(&bytes))?),
            None => {
                let detail = format!("the part {name:?} has no file name; send files, and optionally source_id");
                return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail));
            }
        }
    }
    Ok((items, source))
}

fn file(external_id: String, media_type: String, bytes: Bytes) -> Item {
    Item {
        external_id,
        title: String::new(),
        kind: page(),
        language: None,
        url: None,
        fields: BTreeMap::new(),
        provenance: document::Provenance::default(),
        fingerprint: None,
        container: None,
        material: Material::Blob(Blob::from_bytes(bytes), media_type),
    }
}

fn source_id(text: &str) -> Result<SourceId, ApiError> {
    text.trim().parse().map_err(|_| ApiError::not_found("source"))
}

impl From<Pushed> for PushedDocument {
    fn from(pushed: Pushed) -> Self {
        let external_id = pushed.external_id;
        match pushed.result {
            PushResult::Committed { document_id, version, outcome } => {
                let (document_id, version) = (Some(document_id.0), Some(version));
                Self { external_id, document_id, version, outcome: documents::outcome(outcome), error: None }
            }
            PushResult::Failed(FailedItem { fault, message, .. }) => {
                let status = if fault == Fault::TooLarge {
                    StatusCode::PAYLOAD_TOO_LARGE
                } else {
                    StatusCode::UNPROCESSABLE_ENTITY
                };
                let code = if fault == Fault::SourceContract { "invalid_document" } else { fault.as_str() };
                let error = Some(Problem::new(status, code, message));
                Self { external_id, document_id: None, version: None, outcome: "failed", error }
            }
        }
    }
}

impl From<PushError> for ApiError {
    fn from(error: PushError) -> Self {
        let detail = error.to_string();
        let unprocessable = |pointer: &str| {
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail.clone()).at(pointer, detail.clone())
        };
        match error {
            PushError::Count(_) => unprocessable("/documents"),
            PushError::Duplicate(_, index) => unprocessable(&format!("/documents/{index}/external_id")),
            PushError::NotAPushSource(_) => unprocessable("/source_id"),
            PushError::KeptBySource(_) => Self::new(StatusCode::CONFLICT, "kept_by_source", detail),
            PushError::NoSuchDocument => Self::not_found("document"),
            PushError::Store(error) => error.into(),
            PushError::Internal(error) => Self::internal(format!("{error:#}")),
        }
    }
}
