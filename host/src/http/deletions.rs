//! The deletion guard of a source: its limits, what it held, and the decision about it.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{DocumentId, RunId, SourceId, WorkspaceId};
use tributary_store::{Approval, Prune, TenantDb};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::{Caller, Tenant, forbidden},
    dto::Paging,
    extract::{Json, Path, Query},
    runs,
};
use crate::app::App;

/// When deletions are held for approval: past both limits.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeletionGuard {
    /// Share of the source's documents, in whole percent.
    #[schema(minimum = 0, maximum = 100, example = 20)]
    pub max_percent: u8,
    /// Number of documents. 0, with 0 percent, holds every deletion.
    #[schema(example = 50)]
    pub max_items: u32,
}

impl From<Prune> for DeletionGuard {
    fn from(Prune { max_share, max_items }: Prune) -> Self {
        Self { max_percent: (max_share * 100.0).round() as u8, max_items: u32::try_from(max_items).unwrap_or(u32::MAX) }
    }
}

/// A document that was not found.
#[derive(Serialize, ToSchema)]
pub(super) struct HeldDocument {
    pub document_id: Uuid,
    pub external_id: String,
    pub title: String,
}

/// Deletions that wait for a decision.
#[derive(Serialize, ToSchema)]
pub(super) struct HeldDeletions {
    /// The run that did not find them; null when nothing is held.
    pub run_id: Option<Uuid>,
    pub held_at: Option<DateTime<Utc>>,
    /// Documents that would go.
    pub held: i64,
    /// Documents the source had.
    pub of: i64,
    pub items: Vec<HeldDocument>,
    /// Send it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

/// Show the deletion guard
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/deletion-guard", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)),
    responses((status = 200, body = DeletionGuard), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn guard(
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
) -> Result<Body<DeletionGuard>, ApiError> {
    Ok(Body(tenant.deletion_guard(id).await?.into()))
}

/// Set the deletion guard
#[utoipa::path(
    put, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/deletion-guard", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)), request_body = DeletionGuard,
    responses((status = 200, body = DeletionGuard), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn set_guard(
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
    Json(guard): Json<DeletionGuard>,
) -> Result<Body<DeletionGuard>, ApiError> {
    if guard.max_percent > 100 {
        let detail = "a share is 0 to 100 percent";
        let error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail);
        return Err(error.at("/max_percent", detail));
    }
    tenant.set_deletion_guard(id, Some((guard.max_percent.into(), guard.max_items.into()))).await?;
    Ok(Body(tenant.deletion_guard(id).await?.into()))
}

/// List the documents whose deletion is held
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/held-deletions", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), Paging),
    responses((status = 200, body = HeldDeletions), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn held(
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
    Query(paging): Query<Paging>,
) -> Result<Body<HeldDeletions>, ApiError> {
    tenant.get_source(id).await?;
    sees_the_whole_source(&tenant)?;
    let Some(hold) = tenant.find_hold(id).await? else {
        let none = HeldDeletions { run_id: None, held_at: None, held: 0, of: 0, items: vec![], next_cursor: None };
        return Ok(Body(none));
    };
    let page = tenant.held_documents(hold.run_id, paging.cursor.map(DocumentId), paging.limit()).await?;
    let next_cursor = if page.more { page.items.last().map(|(id, ..)| id.to_string()) } else { None };
    let items = page.items.into_iter();
    Ok(Body(HeldDeletions {
        run_id: Some(hold.run_id.0),
        held_at: Some(hold.held_at),
        held: hold.held.unseen,
        of: hold.held.live,
        items: items.map(|(id, external_id, title)| HeldDocument { document_id: id.0, external_id, title }).collect(),
        next_cursor,
    }))
}

/// What an approval did.
#[derive(Serialize, ToSchema)]
pub(super) struct Approved {
    /// Documents removed.
    pub deleted: i64,
    /// Documents kept, since something named or changed them meanwhile.
    pub kept: i64,
    /// The commit, when any was removed.
    pub position: Option<i64>,
}

/// Delete what a run held, as far as nothing has named or changed it since
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/held-deletions/{run_id}/approve", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), ("run_id" = Uuid, Path)),
    responses((status = 200, body = Approved), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "Nothing of this run is held, or the source was configured anew since", body = super::Problem)),
)]
pub(super) async fn approve(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Caller(caller): Caller,
    Path((_, source, run)): Path<(WorkspaceId, SourceId, RunId)>,
) -> Result<Body<Approved>, ApiError> {
    runs::find(&tenant, source, run).await?;
    sees_the_whole_source(&tenant)?;
    match tenant.approve_deletions(source, run, &caller.actor.to_string(), app.clock.now()).await? {
        Approval::Deleted { deleted, kept, position } => {
            app.wake.documents();
            Ok(Body(Approved { deleted, kept, position }))
        }
        Approval::NothingHeld => Err(nothing_held()),
        Approval::ConfigChanged => {
            let detail = "the source was configured anew since these deletions were held; sync it, and decide about what that run holds";
            Err(ApiError::new(StatusCode::CONFLICT, "config_changed", detail))
        }
    }
}

/// Why the documents are kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dismissal {
    /// For whoever looks at it later, 1 to 500 characters.
    #[schema(example = "The share was offline")]
    pub note: String,
}

/// Keep what a run would have deleted
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/held-deletions/{run_id}/dismiss", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), ("run_id" = Uuid, Path)), request_body = Dismissal,
    responses((status = 204, description = "Kept"), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "Nothing of this run is held", body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn dismiss(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Caller(caller): Caller,
    Path((_, source, run)): Path<(WorkspaceId, SourceId, RunId)>,
    Json(Dismissal { note }): Json<Dismissal>,
) -> Result<StatusCode, ApiError> {
    runs::find(&tenant, source, run).await?;
    sees_the_whole_source(&tenant)?;
    let note = note.trim();
    if note.is_empty() || note.chars().count() > 500 {
        let detail = "a note has 1 to 500 characters";
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail).at("/note", detail));
    }
    let by = caller.actor.to_string();
    match tenant.dismiss_deletions(source, run, note, &by, app.clock.now()).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(nothing_held()),
    }
}

/// Lists of a source's documents are for who may see all of them.
pub(super) fn sees_the_whole_source(tenant: &TenantDb) -> Result<(), ApiError> {
    let audience = tenant.audience();
    if audience.kinds.is_none() && audience.field.is_none() {
        return Ok(());
    }
    let detail = "your access is limited to some documents of this source, and this concerns all of them";
    Err(forbidden(detail.to_owned()))
}

fn nothing_held() -> ApiError {
    let detail = "no deletion of this run is held; it was decided already, or a later run judged anew";
    ApiError::new(StatusCode::CONFLICT, "nothing_held", detail)
}
