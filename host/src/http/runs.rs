//! `/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs`.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use serde::Deserialize;
use tributary_core::{
    RunId, SourceId, WorkspaceId,
    run::{self, RunKind, RunStatus},
    source::PUSH_CONNECTOR,
};
use tributary_store::{RetryRequest, RunFilter, TenantDb};
use utoipa::IntoParams;

use super::{
    ApiError,
    access::Tenant,
    dto::{FailedItem, List, Numbered, Paging, Run, limit},
    extract::{Path, Query},
    sources::Queued,
};
use crate::{app::App, sources};

/// Failed items shown with a run.
const FAILED_ITEMS: i64 = 100;

/// Which runs.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// queued, running, waiting, succeeded, partial, failed or cancelled.
    #[param(value_type = Option<String>)]
    status: Option<RunStatus>,
    /// sync, full, push or dry_run.
    #[param(value_type = Option<String>)]
    kind: Option<RunKind>,
}

/// List a source's runs, newest first
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), Paging, Which),
    responses((status = 200, body = List<Run>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn list(
    Tenant(tenant): Tenant,
    Path((_, source)): Path<(WorkspaceId, SourceId)>,
    Query(paging): Query<Paging>,
    Query(Which { status, kind }): Query<Which>,
) -> Result<Body<List<Run>>, ApiError> {
    tenant.get_source(source).await?;
    let filter = RunFilter { status, kind };
    let page = tenant.find_runs(source, filter, paging.cursor.map(RunId), paging.limit()).await?;
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

/// List the items of a run that could not be read; the first 1,000 are kept
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs/{run_id}/failed-items", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), ("run_id" = Uuid, Path), Numbered),
    responses((status = 200, body = List<FailedItem>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn failed_items(
    Tenant(tenant): Tenant,
    Path((_, source, id)): Path<(WorkspaceId, SourceId, RunId)>,
    Query(paging): Query<Numbered>,
) -> Result<Body<List<FailedItem>>, ApiError> {
    find(&tenant, source, id).await?;
    let page = tenant.failed_items_after(id, paging.cursor.unwrap_or(-1), limit(paging.limit)).await?;
    Ok(Body(List::of(page, |(number, _)| number.to_string(), |(_, item)| item.into())))
}

/// Read the failed items of a run again
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs/{run_id}/retry-failed", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), ("run_id" = Uuid, Path)),
    responses((status = 202, body = Queued), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "The run is not over, nothing of it failed, or a sync is going on", body = super::Problem)),
)]
pub(super) async fn retry_failed(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, source, id)): Path<(WorkspaceId, SourceId, RunId)>,
) -> Result<(StatusCode, Body<Queued>), ApiError> {
    find(&tenant, source, id).await?;
    if tenant.get_source(source).await?.connector.id == PUSH_CONNECTOR {
        return Err(sources::Error::NothingToSync.into());
    }
    let conflict = |code, detail: &str| Err(ApiError::new(StatusCode::CONFLICT, code, detail));
    match tenant.retry_failed(id, run::Trigger::Api, app.clock.now()).await? {
        RetryRequest::Queued(run_id) => {
            app.wake.jobs();
            Ok((StatusCode::ACCEPTED, Body(Queued::new(run_id))))
        }
        RetryRequest::NotOver => conflict("run_not_over", "this run is still going on; wait for its end or cancel it"),
        RetryRequest::NothingFailed => {
            conflict("nothing_failed", "no item of this run failed; there is nothing to retry")
        }
    }
}

pub(super) async fn find(tenant: &TenantDb, source: SourceId, id: RunId) -> Result<run::Run, ApiError> {
    tenant.find_run(id).await?.filter(|run| run.source_id == source).ok_or_else(|| ApiError::not_found("run"))
}
