//! `/api/v1/workspaces/{workspace_id}/documents`: list, count, get, delete.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{
    DocumentId, RunId, SourceId, WorkspaceId,
    access::Action,
    contract::Gone,
    document::{self, Outcome},
    query::{FieldFilter, FieldOp},
};
use tributary_store::{DocumentFilter, DocumentWithText, TenantDb};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    ApiError, Problem,
    access::{Caller, Tenant},
    dto::{List, Paging},
    extract::{Path, Query},
};
use crate::{app::App, documents::GroupBy};

/// Where a document comes from, as its source tells it.
#[derive(Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Provenance {
    /// Where it was read, when that is another place than `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retrieved_from: Option<String>,
    /// The source's name for this state of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// The source's entity tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// When it was made there.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<DateTime<Utc>>,
    /// When it was last changed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    modified_at: Option<DateTime<Utc>>,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authors: Vec<String>,
    /// Folders, collections, breadcrumbs, outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    path: Vec<String>,
    /// Licence of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
}

impl From<document::Provenance> for Provenance {
    fn from(it: document::Provenance) -> Self {
        Self {
            retrieved_from: it.retrieved_from,
            revision: it.revision,
            etag: it.etag,
            created_at: it.created_at.and_then(DateTime::from_timestamp_millis),
            modified_at: it.modified_at.and_then(DateTime::from_timestamp_millis),
            authors: it.authors,
            path: it.path,
            license: it.license,
        }
    }
}

impl From<Provenance> for document::Provenance {
    fn from(it: Provenance) -> Self {
        Self {
            url: None,
            retrieved_from: it.retrieved_from,
            revision: it.revision,
            etag: it.etag,
            created_at: it.created_at.map(|at| at.timestamp_millis()),
            modified_at: it.modified_at.map(|at| at.timestamp_millis()),
            authors: it.authors,
            path: it.path,
            license: it.license,
        }
    }
}

pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Added => "added",
        Outcome::Updated => "updated",
        Outcome::Unchanged => "unchanged",
    }
}

/// Which documents: all that is given must hold.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DocumentsQuery {
    source_id: Option<Uuid>,
    kind: Option<String>,
    /// Changed after this moment.
    updated_after: Option<DateTime<Utc>>,
    /// Of which this run brought a version that is still kept; with `deleted`, which it deleted.
    run_id: Option<Uuid>,
    /// What the run did: added or updated.
    #[param(value_type = Option<String>)]
    outcome: Option<Outcome>,
    /// Name of a field, `attrs.color` for one inside another; with `value`, and perhaps `op`.
    field: Option<String>,
    /// eq (when absent), ne, lt, lte, gt, gte or in.
    #[param(value_type = Option<String>)]
    op: Option<FieldOp>,
    /// Text, a number, true or false; for `in` several with commas between.
    value: Option<String>,
    /// Those that are deleted and can be restored, instead of those that are there. For whoever may write documents.
    deleted: Option<bool>,
}

impl DocumentsQuery {
    /// What the record and what the fields are asked; refused when the caller may not see it.
    fn read(self, tenant: &TenantDb, caller: &Caller) -> Result<(DocumentFilter, Vec<FieldFilter>), ApiError> {
        let deleted = self.deleted.unwrap_or_default();
        if deleted {
            caller.may_also(tenant, Action::WriteDocuments)?;
        }
        let invalid = |detail: &str| ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", detail);
        if self.outcome.is_some() && self.run_id.is_none() {
            return Err(invalid("outcome says what a run did: give its run_id as well"));
        }
        let fields = match (self.field, self.value) {
            (Some(name), Some(value)) => {
                let op = self.op.unwrap_or(FieldOp::Eq);
                let value = match op {
                    FieldOp::In => value.split(',').map(scalar).collect(),
                    _ => scalar(&value),
                };
                vec![FieldFilter { name, op, value }]
            }
            (None, None) if self.op.is_none() => Vec::new(),
            _ => return Err(invalid("a condition on a field needs field and value, and perhaps op")),
        };
        let filter = DocumentFilter {
            source_id: self.source_id.map(SourceId),
            kind: self.kind,
            updated_after: self.updated_after,
            run_id: self.run_id.map(RunId),
            outcome: self.outcome,
            deleted,
        };
        Ok((filter, fields))
    }
}

/// A text is equal to a number that it names, but not to a flag.
fn scalar(text: &str) -> serde_json::Value {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        text => text.into(),
    }
}

/// How a document was deleted.
#[derive(Serialize, ToSchema)]
pub(super) struct Deletion {
    /// deleted, trashed, out_of_scope, access_lost, unpublished, or source_deleted.
    #[schema(value_type = String)]
    reason: Gone,
    at: DateTime<Utc>,
    /// Who deleted it or approved that: `user:ID`, `key:ID` or `operator`.
    by: Option<String>,
    /// The run that deleted it or missed it.
    run_id: Option<Uuid>,
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
    provenance: Provenance,
    /// SHA-256 of all that a reader can see.
    content_hash: String,
    /// Versions from this one on are kept.
    oldest_version: i64,
    /// The run that brought this version.
    run_id: Uuid,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    /// Only of a deleted document.
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<Deletion>,
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
            provenance: document.provenance.into(),
            content_hash: document.content_hash.to_string(),
            oldest_version: document.oldest_version,
            run_id: document.run_id.0,
            created_at: document.created_at,
            updated_at: document.updated_at,
            deletion: document.tombstone.map(|it| Deletion {
                reason: it.gone,
                at: it.at,
                by: it.by,
                run_id: it.run_id.map(|run| run.0),
            }),
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

impl From<DocumentWithText> for FullDocument {
    fn from(DocumentWithText { document, chunks }: DocumentWithText) -> Self {
        Self { document: document.into(), text: chunks.into_iter().map(|chunk| chunk.text).collect() }
    }
}

/// List documents; with a condition on a field, a page may hold fewer than asked for before the last one
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/documents", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), DocumentsQuery, Paging),
    responses((status = 200, body = List<Document>), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    caller: Caller,
    Query(query): Query<DocumentsQuery>,
    Query(paging): Query<Paging>,
) -> Result<Body<List<Document>>, ApiError> {
    let (filter, fields) = query.read(&tenant, &caller)?;
    let cursor = paging.cursor.map(DocumentId);
    let listed = app.documents.list(&tenant, &filter, &fields, cursor, paging.limit()).await?;
    let next_cursor = listed.next.map(|id| id.to_string());
    Ok(Body(List { items: listed.items.into_iter().map(Into::into).collect(), next_cursor }))
}

/// By what to count.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct CountQuery {
    /// source, kind, language or day: that of the current version, or of the deletion, in UTC.
    #[param(value_type = Option<String>)]
    group_by: Option<GroupBy>,
}

/// How many documents there are.
#[derive(Serialize, ToSchema)]
pub(super) struct DocumentCounts {
    total: i64,
    /// The greatest first; days in their order. Empty without `group_by`.
    groups: Vec<DocumentGroup>,
}

/// Documents that are alike.
#[derive(Serialize, ToSchema)]
pub(super) struct DocumentGroup {
    /// Id of the source, kind, language tag or day; null for documents without a language.
    key: Option<String>,
    documents: i64,
}

/// Count documents
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/documents/count", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), DocumentsQuery, CountQuery),
    responses((status = 200, body = DocumentCounts), (status = 400, body = Problem), (status = 401, body = Problem), (status = 404, body = Problem), (status = 422, description = "Too many would have to be read one by one", body = Problem)),
)]
pub(super) async fn count(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    caller: Caller,
    Query(query): Query<DocumentsQuery>,
    Query(CountQuery { group_by }): Query<CountQuery>,
) -> Result<Body<DocumentCounts>, ApiError> {
    let (filter, fields) = query.read(&tenant, &caller)?;
    let (total, groups) = app.documents.count(&tenant, &filter, &fields, group_by).await?;
    let groups = groups.into_iter().map(|(key, documents)| DocumentGroup { key, documents }).collect();
    Ok(Body(DocumentCounts { total, groups }))
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
    let document = tenant.find_document(id).await?.ok_or_else(|| ApiError::not_found("document"))?;
    Ok(Body(document.into()))
}

/// Delete a pushed document; it is gone from answers at once, and can be restored until it is purged
#[utoipa::path(
    delete, path = "/api/v1/workspaces/{workspace_id}/documents/{document_id}", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("document_id" = Uuid, Path)),
    responses((status = 204, description = "Deleted"), (status = 401, body = Problem), (status = 404, body = Problem), (status = 409, description = "A connector keeps it: delete it at its source", body = Problem)),
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Caller(caller): Caller,
    Path((_, id)): Path<(WorkspaceId, DocumentId)>,
) -> Result<StatusCode, ApiError> {
    app.push.delete(&tenant, id, &caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
