//! `/api/v1/workspaces/{workspace_id}/documents`: push, upload, list, get, delete.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json as Body,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State},
    http::{StatusCode, header},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{
    DocumentId, SourceId, WorkspaceId,
    contract::Fault,
    document::{Outcome, Provenance},
    run::FailedItem,
};
use tributary_sandbox::Blob;
use tributary_store::{DocumentFilter, DocumentWithText};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    ApiError, Problem,
    access::Tenant,
    dto::{List, limit},
    extract::{Json, Path, Query, too_large},
};
use crate::{
    app::App,
    ingestion::{Item, Material, PushError, PushResult, Pushed},
};

/// Bodies of pushes and uploads.
const PUSH_LIMIT_BYTES: usize = 64 << 20;

/// The route that takes large bodies.
pub(super) fn push_route() -> OpenApiRouter<Arc<App>> {
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
        provenance: Provenance::default(),
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
        provenance: Provenance::default(),
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
                let outcome = match outcome {
                    Outcome::Added => "added",
                    Outcome::Updated => "updated",
                    Outcome::Unchanged => "unchanged",
                };
                Self { external_id, document_id: Some(document_id.0), version: Some(version), outcome, error: None }
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

/// Which documents.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DocumentsQuery {
    source_id: Option<Uuid>,
    kind: Option<String>,
    /// Changed after this moment.
    updated_after: Option<DateTime<Utc>>,
    /// `next_cursor` of the page before.
    cursor: Option<Uuid>,
    /// 1 to 100.
    limit: Option<u16>,
}

/// A document.
#[derive(Serialize, ToSchema)]
pub(super) struct Document {
    id: Uuid,
    source_id: Uuid,
    external_id: String,
    version: i64,
    title: String,
    kind: String,
    language: Option<String>,
    url: Option<String>,
    #[schema(value_type = Object)]
    fields: BTreeMap<String, serde_json::Value>,
    /// The run that brought this version.
    run_id: Uuid,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<tributary_core::document::Document> for Document {
    fn from(document: tributary_core::document::Document) -> Self {
        Self {
            id: document.id.0,
            source_id: document.source_id.0,
            external_id: document.external_id,
            version: document.version,
            title: document.title,
            kind: document.kind,
            language: document.language,
            url: document.url,
            fields: document.fields,
            run_id: document.run_id.0,
            created_at: document.created_at,
            updated_at: document.updated_at,
        }
    }
}

/// A document with its normalised text; citations' offsets count its characters.
#[derive(Serialize, ToSchema)]
pub(super) struct FullDocument {
    #[serde(flatten)]
    document: Document,
    text: String,
}

/// List documents
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/documents", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), DocumentsQuery),
    responses((status = 200, body = List<Document>), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(super) async fn list(
    Tenant(tenant): Tenant,
    Query(query): Query<DocumentsQuery>,
) -> Result<Body<List<Document>>, ApiError> {
    let filter = DocumentFilter {
        source_id: query.source_id.map(SourceId),
        kind: query.kind,
        updated_after: query.updated_after,
    };
    let page = tenant.list_documents(&filter, query.cursor.map(DocumentId), limit(query.limit)).await?;
    Ok(Body(List::of(page, |document| document.id.to_string(), Into::into)))
}

/// Get a document with its text
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/documents/{document_id}", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("document_id" = Uuid, Path)),
    responses((status = 200, body = FullDocument), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(super) async fn get(
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, DocumentId)>,
) -> Result<Body<FullDocument>, ApiError> {
    let DocumentWithText { document, chunks } =
        tenant.find_document(id).await?.ok_or_else(|| ApiError::not_found("document"))?;
    Ok(Body(FullDocument { document: document.into(), text: chunks.into_iter().map(|chunk| chunk.text).collect() }))
}

/// Delete a pushed document; it is gone from answers at once
#[utoipa::path(
    delete, path = "/api/v1/workspaces/{workspace_id}/documents/{document_id}", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("document_id" = Uuid, Path)),
    responses((status = 204, description = "Deleted"), (status = 401, body = Problem), (status = 404, body = Problem), (status = 409, description = "A connector keeps it: delete it at its source", body = Problem)),
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, DocumentId)>,
) -> Result<StatusCode, ApiError> {
    app.push.delete(&tenant, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
