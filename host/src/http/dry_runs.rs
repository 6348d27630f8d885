//! `…/sources/{source_id}/dry-run`, and what a dry run would have changed.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tributary_core::{RunId, SourceId, WorkspaceId, run::ChangeKind};
use tributary_store::PreviewedChange;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    ApiError,
    access::Tenant,
    deletions::sees_the_whole_source,
    dto::{List, limit},
    extract::{Path, Query},
    runs::find,
    sources::Queued,
};
use crate::app::App;

/// Show what a sync would do, without doing it
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/dry-run", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)),
    responses((status = 202, body = Queued), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "A dry run is going on; `run_id` names it", body = super::Problem)),
)]
pub(super) async fn start(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
) -> Result<(StatusCode, Body<Queued>), ApiError> {
    let run_id = app.sources.dry_run(&tenant, id).await?;
    Ok((StatusCode::ACCEPTED, Body(Queued::new(run_id))))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// add, update or delete; everything when absent.
    #[param(value_type = Option<String>)]
    pub change: Option<ChangeKind>,
    /// `next_cursor` of the page before.
    pub cursor: Option<i64>,
    /// Items in a page, 1 to 100.
    pub limit: Option<u16>,
}

/// What a dry run would have done to one document.
#[derive(Serialize, ToSchema)]
pub(super) struct Change {
    /// add, update or delete.
    #[schema(value_type = String)]
    pub change: ChangeKind,
    pub external_id: String,
    /// The new title; of a deleted document the last one.
    pub title: String,
    /// Null when it would be new.
    pub document_id: Option<Uuid>,
}

impl From<PreviewedChange> for Change {
    fn from(PreviewedChange { change, external_id, title, document_id, .. }: PreviewedChange) -> Self {
        Self { change, external_id, title, document_id: document_id.map(|id| id.0) }
    }
}

/// List what a dry run would have changed; at most 10,000 are kept, its counts are whole
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs/{run_id}/changes", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), ("run_id" = Uuid, Path), Which),
    responses((status = 200, body = List<Change>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn changes(
    Tenant(tenant): Tenant,
    Path((_, source, id)): Path<(WorkspaceId, SourceId, RunId)>,
    Query(which): Query<Which>,
) -> Result<Body<List<Change>>, ApiError> {
    find(&tenant, source, id).await?;
    sees_the_whole_source(&tenant)?;
    let page = tenant.preview(id, which.change, which.cursor.unwrap_or(-1), limit(which.limit)).await?;
    Ok(Body(List::of(page, |change| change.item_no.to_string(), Into::into)))
}
