//! `/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs`.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use tributary_core::{RunId, SourceId, WorkspaceId, run};
use tributary_store::TenantDb;

use super::{
    ApiError,
    access::Tenant,
    dto::{List, Paging, Run},
    extract::{Path, Query},
};
use crate::app::App;

/// Failed items shown with a run.
const FAILED_ITEMS: i64 = 100;

/// List a source's runs, newest first
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), Paging),
    responses((status = 200, body = List<Run>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn list(
    Tenant(tenant): Tenant,
    Path((_, source)): Path<(WorkspaceId, SourceId)>,
    Query(paging): Query<Paging>,
) -> Result<Body<List<Run>>, ApiError> {
    tenant.get_source(source).await?;
    let page = tenant.list_runs(source, paging.cursor.map(RunId), paging.limit()).await?;
    Ok(Body(List::of(page, |run| run.id.to_string(), |run| Run::new(run, Vec::new()))))
}

/// Get a run
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs/{run_id}", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), ("run_id" = Uuid, Path)),
    responses((status = 200, body = Run), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn get(
    Tenant(tenant): Tenant,
    Path((_, source, id)): Path<(WorkspaceId, SourceId, RunId)>,
) -> Result<Body<Run>, ApiError> {
    let run = find(&tenant, source, id).await?;
    let failed = if run.counts.failed > 0 { tenant.failed_items(id, FAILED_ITEMS).await? } else { Vec::new() };
    Ok(Body(Run::new(run, failed)))
}

/// Cancel a run; it stops within a second
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs/{run_id}/cancel", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), ("run_id" = Uuid, Path)),
    responses((status = 202, description = "Asked to stop, or already over", body = Run), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, source, id)): Path<(WorkspaceId, SourceId, RunId)>,
) -> Result<(StatusCode, Body<Run>), ApiError> {
    find(&tenant, source, id).await?;
    tenant.request_cancel(id, app.clock.now()).await?;
    Ok((StatusCode::ACCEPTED, Body(Run::new(tenant.get_run(id).await?, Vec::new()))))
}

async fn find(tenant: &TenantDb, source: SourceId, id: RunId) -> Result<run::Run, ApiError> {
    tenant.find_run(id).await?.filter(|run| run.source_id == source).ok_or_else(|| ApiError::not_found("run"))
}
