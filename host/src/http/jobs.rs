//! `/api/v1/jobs`: the queue, for administrators of the instance.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{JobId, job::Work};
use tributary_store::JobFilter;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    ApiError,
    access::InstanceAdmin,
    dto::{List, Paging},
    extract::{Path, Query},
};
use crate::{
    app::App,
    jobs::{self, Retried},
};

/// Which jobs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only in this state.
    #[param(inline)]
    state: Option<JobState>,
    /// Only of this kind, such as `sync`.
    kind: Option<String>,
    /// Only this workspace's.
    workspace_id: Option<Uuid>,
}

/// Where a job stands.
#[derive(Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum JobState {
    /// Waits for a worker, or for its time.
    Queued,
    /// A worker has it.
    Leased,
    /// It was done.
    Done,
    /// It failed too often and was given up.
    Dead,
    /// It was cancelled.
    Cancelled,
}

/// A job.
#[derive(Serialize, ToSchema)]
pub(super) struct Job {
    id: Uuid,
    workspace_id: Uuid,
    /// What it does.
    #[schema(example = "sync")]
    kind: String,
    /// The run that it drives.
    run_id: Option<Uuid>,
    /// queued, leased (a worker has it), done, dead (given up) or cancelled.
    state: String,
    /// 0 goes first, 2 last.
    priority: i64,
    /// Not before.
    run_at: DateTime<Utc>,
    /// How often it was begun.
    attempt: i64,
    /// How often it may be. Progress and waiting raise it.
    max_attempts: i64,
    /// Until when its worker has it, unless it reports.
    lease_until: Option<DateTime<Utc>>,
    /// Process id and name of the worker.
    worker: Option<String>,
    /// Its worker was asked to stop.
    cancel_requested: bool,
    /// Why it last failed.
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<tributary_store::Job> for Job {
    fn from(job: tributary_store::Job) -> Self {
        let run_id = match job.work {
            Work::Sync { run_id } => Some(run_id.0),
            _ => None,
        };
        Self {
            id: job.id.0,
            workspace_id: job.workspace_id.0,
            kind: job.work.kind().to_owned(),
            run_id,
            state: job.state,
            priority: job.priority,
            run_at: job.run_at,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            lease_until: job.lease_until,
            worker: job.worker,
            cancel_requested: job.cancel_requested,
            last_error: job.last_error,
            created_at: job.created_at,
            finished_at: job.finished_at,
        }
    }
}

/// The open jobs of a kind.
#[derive(Serialize, ToSchema)]
pub(super) struct OpenJobs {
    #[schema(example = "sync")]
    kind: String,
    /// Workers have them.
    running: i64,
    /// They could begin.
    ready: i64,
    /// They wait for their time.
    waiting: i64,
    /// Since when the oldest of the ready ones is.
    ready_since: Option<DateTime<Utc>>,
}

/// All kinds with open jobs.
#[derive(Serialize, ToSchema)]
pub(super) struct Queue {
    items: Vec<OpenJobs>,
}

/// What trying a job again led to.
#[derive(Serialize, ToSchema)]
pub(super) struct Again {
    /// The new run, when the job was a sync that had ended. The job itself is discarded then.
    run_id: Option<Uuid>,
}

/// What cancelling a job led to.
#[derive(Serialize, ToSchema)]
pub(super) struct Cancelled {
    /// False: a worker has it and was asked to stop.
    cancelled: bool,
}

/// List jobs, newest first
#[utoipa::path(
    get, path = "/api/v1/jobs", tag = "jobs", security(("bearer" = [])), params(Which, Paging),
    responses((status = 200, body = List<Job>), (status = 401, body = super::Problem), (status = 403, description = "Not an administrator of the server", body = super::Problem)),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Query(which): Query<Which>,
    Query(paging): Query<Paging>,
) -> Result<Body<List<Job>>, ApiError> {
    if which.kind.as_ref().is_some_and(|kind| !Work::KINDS.contains(&kind.as_str())) {
        let detail = format!("there is no such kind of job; use one of {}", Work::KINDS.join(", "));
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", detail));
    }
    let state = which.state.and_then(|state| serde_json::to_value(state).ok()?.as_str().map(str::to_owned));
    let filter = JobFilter { state, kind: which.kind, workspace: which.workspace_id.map(Into::into) };
    let page = app.jobs.list(&filter, paging.cursor.map(Into::into), paging.limit()).await?;
    Ok(Body(List::of(page, |job| job.id.to_string(), Into::into)))
}

/// Count the open jobs of each kind
#[utoipa::path(
    get, path = "/api/v1/jobs/open", tag = "jobs", security(("bearer" = [])),
    responses((status = 200, body = Queue), (status = 401, body = super::Problem), (status = 403, description = "Not an administrator of the server", body = super::Problem)),
)]
pub(super) async fn open(State(app): State<Arc<App>>, _: InstanceAdmin) -> Result<Body<Queue>, ApiError> {
    let items = app.jobs.open().await?.into_iter().map(|it| OpenJobs {
        kind: it.kind,
        running: it.running,
        ready: it.ready,
        waiting: it.waiting,
        ready_since: it.ready_since,
    });
    Ok(Body(Queue { items: items.collect() }))
}

/// Look at a job
#[utoipa::path(
    get, path = "/api/v1/jobs/{job_id}", tag = "jobs", security(("bearer" = [])), params(("job_id" = Uuid, Path)),
    responses((status = 200, body = Job), (status = 401, body = super::Problem), (status = 403, description = "Not an administrator of the server", body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Path(id): Path<JobId>,
) -> Result<Body<Job>, ApiError> {
    Ok(Body(app.jobs.get(id).await?.into()))
}

/// Try a job again that was given up or cancelled, or have one that waits go now
#[utoipa::path(
    post, path = "/api/v1/jobs/{job_id}/retry", tag = "jobs", security(("bearer" = [])), params(("job_id" = Uuid, Path)),
    responses((status = 202, body = Again), (status = 401, body = super::Problem), (status = 403, description = "Not an administrator of the server", body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "It runs or is done, or another job does the same by now", body = super::Problem)),
)]
pub(super) async fn retry(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Path(id): Path<JobId>,
) -> Result<(StatusCode, Body<Again>), ApiError> {
    let run_id = match app.jobs.retry(id).await? {
        Retried::Queued => None,
        Retried::NewRun(run_id) => Some(run_id.0),
    };
    app.wake.jobs();
    Ok((StatusCode::ACCEPTED, Body(Again { run_id })))
}

/// Cancel a job that waits, or ask its worker to stop
#[utoipa::path(
    post, path = "/api/v1/jobs/{job_id}/cancel", tag = "jobs", security(("bearer" = [])), params(("job_id" = Uuid, Path)),
    responses((status = 202, body = Cancelled), (status = 401, body = super::Problem), (status = 403, description = "Not an administrator of the server", body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "It has ended", body = super::Problem)),
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Path(id): Path<JobId>,
) -> Result<(StatusCode, Body<Cancelled>), ApiError> {
    let cancelled = app.jobs.cancel(id).await?;
    Ok((StatusCode::ACCEPTED, Body(Cancelled { cancelled })))
}

/// Discard a job that has ended
#[utoipa::path(
    delete, path = "/api/v1/jobs/{job_id}", tag = "jobs", security(("bearer" = [])), params(("job_id" = Uuid, Path)),
    responses((status = 204, description = "It is forgotten"), (status = 401, body = super::Problem), (status = 403, description = "Not an administrator of the server", body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "It has not ended", body = super::Problem)),
)]
pub(super) async fn discard(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Path(id): Path<JobId>,
) -> Result<StatusCode, ApiError> {
    app.jobs.discard(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<jobs::Error> for ApiError {
    fn from(error: jobs::Error) -> Self {
        let detail = error.to_string();
        match error {
            jobs::Error::Unknown => Self::new(StatusCode::NOT_FOUND, "not_found", detail),
            jobs::Error::NotNow(_) => Self::new(StatusCode::CONFLICT, "job_state", detail),
            jobs::Error::Store(error) => error.into(),
        }
    }
}
