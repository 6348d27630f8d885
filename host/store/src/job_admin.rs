//! Jobs as an administrator sees them: listed, looked at, queued again, cancelled, discarded, counted.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{Instant, JobId, WorkspaceId, job::Work};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::{Result, taken},
    jobs,
    rows::{Page, limited},
    tenant::SystemDb,
};

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    /// Its id; later ones are greater.
    pub id: JobId,
    /// Of which workspace.
    pub workspace_id: WorkspaceId,
    /// What it does, with what it needs.
    pub work: Work,
    /// `queued`, `leased`, `done`, `dead` or `cancelled`.
    pub state: String,
    /// The smaller, the sooner.
    pub priority: i64,
    /// Not before.
    pub run_at: Instant,
    /// How often it was begun.
    pub attempt: i64,
    /// How often it may be.
    pub max_attempts: i64,
    /// Until when its worker has it.
    pub lease_until: Option<Instant>,
    /// The worker: process and a name of its own.
    pub worker: Option<String>,
    /// Its worker was asked to stop.
    pub cancel_requested: bool,
    /// Why it last failed.
    pub last_error: Option<String>,
    /// Keeps a second one away while it is open.
    pub dedup_key: Option<String>,
    /// When it was queued.
    pub created_at: Instant,
    /// When it ended.
    pub finished_at: Option<Instant>,
}

/// Which jobs.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// In this state.
    pub state: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Of this workspace.
    pub workspace: Option<WorkspaceId>,
}

/// What became of the wish to change a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobChange {
    /// It is done.
    Done,
    /// Its worker is told at its next heartbeat.
    Asked,
    /// The job is in a state that does not allow it.
    Refused,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    workspace_id: Uuid,
    work: Json<Work>,
    state: String,
    priority: i64,
    run_at: Instant,
    attempt: i64,
    max_attempts: i64,
    lease_until: Option<Instant>,
    worker: Option<String>,
    cancel_requested: bool,
    last_error: Option<String>,
    dedup_key: Option<String>,
    created_at: Instant,
    finished_at: Option<Instant>,
}

macro_rules! columns {
    () => {
        "id, workspace_id, work, state, priority, run_at, attempt, max_attempts, lease_until, worker, cancel_requested, last_error,
         dedup_key, created_at, finished_at"
    };
}

impl From<Row> for Job {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            workspace_id: row.workspace_id.into(),
            work: row.work.0,
            state: row.state,
            priority: row.priority,
            run_at: row.run_at,
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            lease_until: row.lease_until,
            worker: row.worker,
            cancel_requested: row.cancel_requested,
            last_error: row.last_error,
            dedup_key: row.dedup_key,
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

impl SystemDb {
    /// Jobs, newest first. `before` is the last one of the page before.
    pub async fn list_jobs(&self, filter: &JobFilter, before: Option<JobId>, limit: i64) -> Result<Page<Job>> {
        let limit = limited(limit);
        let before = before.map_or(Uuid::max(), |id| id.0);
        let (kind, workspace) = (filter.kind.as_deref(), filter.workspace.map(|id| id.0));
        let mut cx = self.read().await?;
        let rows = match filter.state.as_deref() {
            Some("dead") => q!(
                cx,
                fetch_all as Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM job WHERE state = 'dead' AND id < $1 AND ($2 IS NULL OR kind = $2)
                         AND ($3 IS NULL OR workspace_id IN ($3)) ORDER BY id DESC LIMIT $4"
                ),
                before,
                kind,
                workspace,
                limit + 1
            )?,
            Some(state) => q!(
                cx,
                fetch_all as Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM job WHERE state = $1 AND id < $2 AND ($3 IS NULL OR kind = $3)
                         AND ($4 IS NULL OR workspace_id IN ($4)) ORDER BY id DESC LIMIT $5"
                ),
                state,
                before,
                kind,
                workspace,
                limit + 1
            )?,
            None => q!(
                cx,
                fetch_all as Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM job WHERE id < $1 AND ($2 IS NULL OR kind = $2) AND ($3 IS NULL OR workspace_id IN ($3))
                     ORDER BY id DESC LIMIT $4"
                ),
                before,
                kind,
                workspace,
                limit + 1
            )?,
        };
        Page::of(rows, limit).try_map(|row| Ok(row.into()))
    }

    /// A job.
    pub async fn find_job(&self, id: JobId) -> Result<Option<Job>> {
        let mut cx = self.read().await?;
        let row = q!(cx, fetch_optional as Row, concat!("SELECT ", columns!(), " FROM job WHERE id = $1"), id.0)?;
        Ok(row.map(Job::from))
    }

    /// Queues a job again that was given up or cancelled, with all its tries, or has one that waits go now. `Conflict` when another open job
    /// has its key.
    pub async fn requeue_job(&self, id: JobId) -> Result<JobChange> {
        let mut cx = self.write().await?;
        let changed = q!(
            cx,
            execute,
            "UPDATE job SET state = 'queued', due = TRUE, run_at = {now}, max_attempts = attempt + $2, cancel_requested = FALSE,
                 finished_at = NULL
             WHERE id = $1 AND state IN ('dead', 'cancelled', 'queued')",
            id.0,
            jobs::TRIES
        )
        .map_err(taken("job key"))?;
        cx.commit().await?;
        Ok(if changed > 0 { JobChange::Done } else { JobChange::Refused })
    }

    /// Cancels a job that no worker has, or asks its worker to stop. The run of a sync ends with it.
    pub async fn cancel_job(&self, id: JobId) -> Result<JobChange> {
        let mut cx = self.write().await?;
        let state = q!(
            cx,
            fetch_optional as (String),
            "UPDATE job SET cancel_requested = TRUE,
                 finished_at = CASE WHEN state = 'queued' THEN {now} ELSE finished_at END,
                 state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
             WHERE id = $1 AND state IN ('queued', 'leased') RETURNING state",
            id.0
        )?;
        let change = match state.as_deref() {
            None => return Ok(JobChange::Refused),
            Some("cancelled") => JobChange::Done,
            Some(_) => JobChange::Asked,
        };
        q!(
            cx,
            execute,
            "UPDATE run SET cancel_requested = TRUE, status = CASE WHEN $2 THEN 'cancelled' ELSE status END,
                 finished_at = CASE WHEN $2 THEN {now} ELSE NULL END
             WHERE job_id = $1 AND finished_at IS NULL",
            id.0,
            change == JobChange::Done
        )?;
        cx.commit().await?;
        Ok(change)
    }

    /// Forgets a job that has ended.
    pub async fn discard_job(&self, id: JobId) -> Result<JobChange> {
        let mut cx = self.write().await?;
        let gone = q!(cx, execute, "DELETE FROM job WHERE id = $1 AND state IN ('done', 'dead', 'cancelled')", id.0)?;
        cx.commit().await?;
        Ok(if gone > 0 { JobChange::Done } else { JobChange::Refused })
    }

    /// How many jobs are in which state: `queued`, `leased`, `done`, `dead`, `cancelled`.
    pub async fn job_counts(&self) -> Result<BTreeMap<String, i64>> {
        let mut cx = self.read().await?;
        let rows = q!(cx, fetch_all as (String, i64), "SELECT state, COUNT(*) FROM job GROUP BY state")?;
        Ok(rows.into_iter().collect())
    }

    /// How many jobs of each kind are `queued` or `leased`, and since when the oldest that could begin waits.
    pub async fn open_jobs(&self) -> Result<Vec<OpenJobs>> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_all as OpenJobs,
            "SELECT kind, CAST(SUM(CASE WHEN state = 'leased' THEN 1 ELSE 0 END) AS BIGINT) AS running,
                 CAST(SUM(CASE WHEN state = 'queued' AND due THEN 1 ELSE 0 END) AS BIGINT) AS ready,
                 CAST(SUM(CASE WHEN state = 'queued' AND NOT due THEN 1 ELSE 0 END) AS BIGINT) AS waiting,
                 MIN(CASE WHEN state = 'queued' AND due THEN run_at END) AS ready_since
             FROM job WHERE state IN ('queued', 'leased') GROUP BY kind ORDER BY kind"
        )?)
    }
}

/// The open jobs of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx_macros::FromRow)]
pub struct OpenJobs {
    /// `sync` and so on.
    pub kind: String,
    /// In the hands of workers.
    pub running: i64,
    /// Could begin.
    pub ready: i64,
    /// Wait for their time.
    pub waiting: i64,
    /// When the oldest of those that could begin was to.
    pub ready_since: Option<Instant>,
}
