//! The past of a document: its versions, the text of one, and what changed between two.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{DocumentId, WorkspaceId, document::VersionInfo};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    ApiError,
    access::Tenant,
    documents::{FullDocument, Provenance, outcome},
    dto::{Connector, List, Numbered, limit},
    extract::{Path, Query},
};
use crate::{
    app::App,
    documents::{self, Difference, Line, Span},
};

/// A version of a document.
#[derive(Serialize, ToSchema)]
pub(super) struct Version {
    version: i64,
    /// Whether it is the present one.
    current: bool,
    title: String,
    kind: String,
    language: Option<String>,
    url: Option<String>,
    #[schema(value_type = Object)]
    fields: BTreeMap<String, serde_json::Value>,
    provenance: Provenance,
    /// SHA-256 of all that a reader can see.
    content_hash: String,
    text_bytes: i64,
    /// What the run did: added (the document was not there before, or was deleted) or updated.
    outcome: &'static str,
    /// The run that brought it.
    run_id: Uuid,
    /// The source of that run: another than the document's when the document was moved since.
    source_id: Uuid,
    connector: Connector,
    created_at: DateTime<Utc>,
}

impl From<VersionInfo> for Version {
    fn from(it: VersionInfo) -> Self {
        Self {
            version: it.version,
            current: it.current,
            title: it.title,
            kind: it.kind,
            language: it.language,
            url: it.url,
            fields: it.fields,
            provenance: it.provenance.into(),
            content_hash: it.content_hash.to_string(),
            text_bytes: it.text_bytes,
            outcome: outcome(it.outcome),
            run_id: it.run_id.0,
            source_id: it.run_source_id.0,
            connector: it.connector.into(),
            created_at: it.created_at,
        }
    }
}

/// List the versions of a document that are kept, newest first
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/documents/{document_id}/versions", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("document_id" = Uuid, Path), Numbered),
    responses((status = 200, body = List<Version>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, DocumentId)>,
    Query(paging): Query<Numbered>,
) -> Result<Body<List<Version>>, ApiError> {
    let page = app.documents.versions(&tenant, id, paging.cursor, limit(paging.limit)).await?;
    Ok(Body(List::of(page, |version| version.version.to_string(), Into::into)))
}

/// Get a document as it was in one of its versions, with its text
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/documents/{document_id}/versions/{version}", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("document_id" = Uuid, Path), ("version" = i64, Path)),
    responses((status = 200, body = FullDocument), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 410, description = "The version is not kept any more", body = super::Problem)),
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id, version)): Path<(WorkspaceId, DocumentId, i64)>,
) -> Result<Body<FullDocument>, ApiError> {
    Ok(Body(app.documents.version(&tenant, id, version).await?.into()))
}

/// What to compare with.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DiffQuery {
    /// Another version; the one before when absent.
    against: Option<i64>,
}

/// What changed from one version to another.
#[derive(Serialize, ToSchema)]
pub(super) struct Diff {
    /// The version that is compared with.
    from: i64,
    /// The version that is looked at.
    to: i64,
    /// What is said about the document, as far as it differs.
    changes: Vec<Changed>,
    /// Where the text differs; empty when it is the same.
    hunks: Vec<Hunk>,
    /// More hunks than are shown.
    truncated: bool,
}

/// A value that differs.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    /// JSON pointer into the document.
    #[schema(example = "/fields/price")]
    pointer: String,
    /// Null: it was not there.
    from: serde_json::Value,
    /// Null: it is not there any more.
    to: serde_json::Value,
}

/// Lines that differ, with some around them.
#[derive(Serialize, ToSchema)]
pub(super) struct Hunk {
    /// Its first line in the text that is compared with, from 1.
    from_line: usize,
    from_lines: usize,
    /// And in the other.
    to_line: usize,
    to_lines: usize,
    /// Each begins with a space (in both), `-` (only before) or `+` (only after).
    #[schema(example = json!([" Returns", "-within 30 days", "+within 60 days"]))]
    lines: Vec<String>,
}

impl From<Difference> for Diff {
    fn from(it: Difference) -> Self {
        let changes = it.changes.into_iter().map(|(pointer, from, to)| Changed { pointer, from, to });
        let hunks = it.hunks.into_iter().map(|documents::Hunk { from, to, lines }| {
            let (Span { start: from_line, lines: from_lines }, Span { start: to_line, lines: to_lines }) = (from, to);
            let lines = lines.into_iter().map(|line| match line {
                Line::Kept(text) => format!(" {text}"),
                Line::Removed(text) => format!("-{text}"),
                Line::Added(text) => format!("+{text}"),
            });
            Hunk { from_line, from_lines, to_line, to_lines, lines: lines.collect() }
        });
        Self { from: it.from, to: it.to, changes: changes.collect(), hunks: hunks.collect(), truncated: it.truncated }
    }
}

/// Compare two versions of a document
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/documents/{document_id}/versions/{version}/diff", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("document_id" = Uuid, Path), ("version" = i64, Path), DiffQuery),
    responses((status = 200, body = Diff), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 410, description = "One of them is not kept any more", body = super::Problem), (status = 422, description = "The texts are too long to be compared", body = super::Problem)),
)]
pub(super) async fn diff(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id, version)): Path<(WorkspaceId, DocumentId, i64)>,
    Query(query): Query<DiffQuery>,
) -> Result<Body<Diff>, ApiError> {
    Ok(Body(app.documents.diff(&tenant, id, version, query.against).await?.into()))
}

impl From<documents::Error> for ApiError {
    fn from(error: documents::Error) -> Self {
        use documents::Error;
        let detail = error.to_string();
        let unprocessable = |code: &str| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail.clone());
        let conflict = |code: &str| Self::new(StatusCode::CONFLICT, code, detail.clone());
        match error {
            Error::NoSuchDocument => Self::not_found("document"),
            Error::NoSuchVersion => Self::not_found("version of this document"),
            Error::VersionForgotten(_) => Self::new(StatusCode::GONE, "version_not_kept", detail),
            Error::TooLarge(_) => unprocessable("too_large_to_compare"),
            Error::TooMany => unprocessable("too_many_documents"),
            Error::NothingNamed => unprocessable("invalid_body").at("/document_ids", detail.clone()),
            Error::NotDeleted => conflict("not_deleted"),
            Error::SourceDeleted => conflict("source_deleted"),
            Error::KeptBySource(_) => conflict("kept_by_source"),
            Error::Elsewhere(_) => conflict("in_another_source"),
            Error::NameTaken(_) => conflict("external_id_taken"),
            Error::Store(error) => error.into(),
            Error::Task(error) => Self::internal(error),
        }
    }
}
