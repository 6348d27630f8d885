//! Durable jobs: queue, prove a lease, heartbeat, hand back, finish. They are claimed in `claim`. After River's semantics.
//!
//! A lease is proven by id, attempt and time; every transaction of a worker proves it first ([`fence`]), so a worker that slept through
//! its lease writes nothing over its successor. Lease time is the database's clock on PostgreSQL, the machine's on SQLite.
//!
//! A job that may begin is `due` whatever any clock says; only one that waits for its `run_at` is not.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{
    Instant, JobId, WorkspaceId,
    job::{Lease, NewJob, Priority, Work},
    run::{Run, RunError, RunKind, RunStatus},
    source::Health,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result, missing},
    finish::{self, FinishRun},
    rows::json_list,
    runs, schedules, sources,
    tenant::{SystemDb, TenantDb},
};

/// Tries without any progress before a job is given up. A killed host uses one up; a committed page gives all of them back.
pub(crate) const TRIES: i64 = 25;
/// Longest key that keeps a second job away.
const KEY_BYTES: usize = 200;
/// How much of an error is kept.
const ERROR_CHARS: usize = 2_000;

/// What a worker learns when it renews its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// Go on.
    Alive,
    /// Renewed, but somebody asked to stop the run.
    CancelRequested,
    /// Another worker may have it: stop, write nothing.
    Lost,
}

/// What became of the wish to queue a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// The job.
    pub id: JobId,
    /// False: there was an open one with the same key, and it is this.
    pub new: bool,
}

/// A job on its way into the table.
#[derive(Clone, Serialize)]
pub(crate) struct QueuedRow {
    id: Uuid,
    workspace_id: Uuid,
    kind: &'static str,
    work: Work,
    rank: i64,
    delay_ms: i64,
    tries: i64,
    key: Option<String>,
}

#[derive(Serialize)]
struct LeaseRow {
    id: Uuid,
    attempt: i64,
}

impl QueuedRow {
    pub(crate) fn of(workspace_id: Uuid, id: JobId, new: NewJob) -> Result<Self> {
        if let Some(key) = &new.dedup_key
            && (key.is_empty() || key.len() > KEY_BYTES || key.contains('\0'))
        {
            return Err(Error::Invalid(format!("a job's key has 1 to {KEY_BYTES} bytes and no U+0000")));
        }
        let (kind, rank, delay_ms) = (new.work.kind(), new.priority.rank(), new.delay_ms.max(0));
        Ok(Self { id: id.0, workspace_id, kind, work: new.work, rank, delay_ms, tries: TRIES, key: new.dedup_key })
    }
}

/// Queues work in the transaction that causes it, to be done at once.
pub(crate) async fn insert(cx: &mut Cx, workspace: Uuid, id: JobId, work: &Work, now: Instant) -> Result<()> {
    insert_first(cx, workspace, id, work, work.priority(), now).await
}

/// The same, with a place in the queue.
pub(crate) async fn insert_first(
    cx: &mut Cx,
    workspace: Uuid,
    id: JobId,
    work: &Work,
    priority: Priority,
    now: Instant,
) -> Result<()> {
    q!(
        cx,
        execute,
        "INSERT INTO job (id, workspace_id, kind, work, state, priority, run_at, due, attempt, max_attempts, cancel_requested, created_at)
         VALUES ($1, $2, $3, $4, 'queued', $5, $7, TRUE, 0, $6, FALSE, $7)",
        id.0,
        workspace,
        work.kind(),
        Json(work),
        priority.rank(),
        TRIES,
        now
    )?;
    Ok(())
}

/// Queues several, in the transaction that causes them or each for itself; answers in their order.
pub(crate) async fn enqueue_all(cx: &mut Cx, new: &[QueuedRow]) -> Result<Vec<Enqueued>> {
    let mut inserted: HashSet<Uuid> = HashSet::new();
    // An open job with the key may end between the two statements: then there is room for a new one.
    for _ in 0..3 {
        let left: Vec<_> = new.iter().filter(|row| !inserted.contains(&row.id)).collect();
        let rows = json_list(&left)?;
        inserted.extend(
            q!(
                cx,
                fetch_all as (Uuid),
                "INSERT INTO job (id, workspace_id, kind, work, state, priority, run_at, due, attempt, max_attempts, cancel_requested,
                     created_at, dedup_key)
                 SELECT i.id, i.workspace_id, i.kind, i.work, 'queued', i.rank, {later i.delay_ms}, i.delay_ms = 0, 0, i.tries, FALSE,
                     {now}, i.key
                 FROM {rows $1: id uuid, workspace_id uuid, kind text, work json, rank int, delay_ms int, tries int, key text} AS i
                 WHERE i.id IS NOT NULL ON CONFLICT DO NOTHING RETURNING id",
                &rows
            )
            .map_err(missing("workspace"))?,
        );
        if inserted.len() == new.len() {
            return Ok(new.iter().map(|row| Enqueued { id: row.id.into(), new: true }).collect());
        }
        let open = q!(
            cx,
            fetch_all as (Uuid, Uuid),
            "SELECT i.id, j.id FROM {rows $1: id uuid, workspace_id uuid, key text} AS i
             {look up job j: j.workspace_id = i.workspace_id AND j.dedup_key = i.key AND j.dedup_key IS NOT NULL AND j.state IN ('queued', 'leased')}",
            &rows
        )?;
        let answers: Option<Vec<_>> = new
            .iter()
            .map(|row| {
                if inserted.contains(&row.id) {
                    return Some(Enqueued { id: row.id.into(), new: true });
                }
                let (_, id) = open.iter().find(|(wanted, _)| *wanted == row.id)?;
                Some(Enqueued { id: (*id).into(), new: false })
            })
            .collect();
        if let Some(answers) = answers {
            return Ok(answers);
        }
    }
    Err(Error::Busy("open jobs with the same key come and go".to_owned()))
}

/// Proves a lease and locks the job until the transaction ends.
pub(crate) async fn fence(cx: &mut Cx, workspace: Uuid, lease: &Lease) -> Result<()> {
    let held = q!(
        cx,
        fetch_optional as (Uuid),
        "SELECT id FROM job WHERE id = $1 AND workspace_id = $2 AND attempt = $3 AND state = 'leased' AND lease_until > {now} {lock}",
        lease.job_id.0,
        workspace,
        lease.attempt
    )?;
    held.map(|_| ()).ok_or(Error::LeaseLost)
}

/// The same, and gives the job its tries back: it makes progress.
pub(crate) async fn fence_with_progress(cx: &mut Cx, workspace: Uuid, lease: &Lease) -> Result<()> {
    let held = q!(
        cx,
        execute,
        "UPDATE job SET max_attempts = CASE WHEN max_attempts < attempt + $4 THEN attempt + $4 ELSE max_attempts END
         WHERE id = $1 AND workspace_id = $2 AND attempt = $3 AND state = 'leased' AND lease_until > {now}",
        lease.job_id.0,
        workspace,
        lease.attempt,
        TRIES
    )?;
    if held == 0 { Err(Error::LeaseLost) } else { Ok(()) }
}

/// Marks a fenced job done.
pub(crate) async fn done(cx: &mut Cx, lease: &Lease) -> Result<()> {
    q!(
        cx,
        execute,
        "UPDATE job SET state = 'done', finished_at = {now}, lease_until = NULL WHERE id = $1",
        lease.job_id.0
    )?;
    Ok(())
}

/// Cancels a job that no worker has (true), or asks its worker to stop.
pub(crate) async fn cancel(cx: &mut Cx, workspace: Uuid, id: Uuid) -> Result<bool> {
    q!(
        cx,
        execute,
        "UPDATE job SET cancel_requested = $3,
             finished_at = CASE WHEN state = 'queued' THEN {now} ELSE finished_at END,
             state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END
         WHERE id = $1 AND workspace_id = $2 AND state IN ('queued', 'leased')",
        id,
        workspace,
        true
    )?;
    let state =
        q!(cx, fetch_optional as (String), "SELECT state FROM job WHERE id = $1 AND workspace_id = $2", id, workspace)?;
    Ok(state.as_deref() == Some("cancelled"))
}

impl TenantDb {
    /// Queues a job of this workspace.
    pub async fn enqueue(&self, new: NewJob) -> Result<Enqueued> {
        self.system().enqueue(self.workspace_id(), new).await
    }
}

impl SystemDb {
    /// Queues a job of a workspace; resolves when it is durable. Callers at the same time share a transaction.
    pub async fn enqueue(&self, workspace: WorkspaceId, new: NewJob) -> Result<Enqueued> {
        let row = QueuedRow::of(workspace.0, JobId::new(), new)?;
        let system = self.clone();
        let together = move |rows: Vec<QueuedRow>| {
            let system = system.clone();
            async move {
                let mut cx = system.write_queue_single().await?;
                let answers = enqueue_all(&mut cx, &rows).await?;
                cx.commit().await?;
                Ok(answers)
            }
        };
        self.db.groups().enqueue.submit(row, together).await
    }

    /// Renews a lease.
    pub async fn heartbeat(&self, lease: &Lease, lease_ms: i64) -> Result<Heartbeat> {
        let mut cx = self.write().await?;
        let asked = q!(
            cx,
            fetch_optional as (bool),
            "UPDATE job SET lease_until = {later $3}, lease_ms = $3 WHERE id = $1 AND attempt = $2 AND state = 'leased' AND lease_until > {now}
             RETURNING cancel_requested",
            lease.job_id.0,
            lease.attempt,
            lease_ms
        )?;
        cx.commit().await?;
        Ok(match asked {
            Some(false) => Heartbeat::Alive,
            Some(true) => Heartbeat::CancelRequested,
            None => Heartbeat::Lost,
        })
    }

    /// Hands a job back after a failure, to be tried again in `delay_ms`; after its last try it is given up, and its run fails. False: the
    /// lease was lost.
    pub async fn retry(&self, lease: &Lease, delay_ms: i64, error: &str) -> Result<bool> {
        let mut cx = self.write().await?;
        let state = q!(
            cx,
            fetch_optional as (String),
            "UPDATE job SET state = CASE WHEN attempt < max_attempts THEN 'queued' ELSE 'dead' END,
                 finished_at = CASE WHEN attempt < max_attempts THEN NULL ELSE {now} END,
                 run_at = {later $3}, due = $5, lease_until = NULL, worker = NULL, last_error = $4
             WHERE id = $1 AND attempt = $2 AND state = 'leased' AND lease_until > {now} RETURNING state",
            lease.job_id.0,
            lease.attempt,
            delay_ms.max(0),
            told(error),
            delay_ms <= 0
        )?;
        if state.as_deref() == Some("dead") {
            let detail = format!("It failed {} times in a row, the last time so: {error}", lease.attempt);
            fail_runs(&mut cx, &[lease.job_id.0], "gave_up", &told(&detail)).await?;
        }
        cx.commit().await?;
        Ok(state.is_some())
    }

    /// Hands a job back without counting a try: the source asked to wait, or this host shuts down. False: the lease was lost.
    pub async fn release(&self, lease: &Lease, delay_ms: i64) -> Result<bool> {
        let mut cx = self.write().await?;
        let held = q!(
            cx,
            execute,
            "UPDATE job SET state = 'queued', run_at = {later $3}, due = $4, lease_until = NULL, worker = NULL,
                 max_attempts = max_attempts + 1
             WHERE id = $1 AND attempt = $2 AND state = 'leased' AND lease_until > {now}",
            lease.job_id.0,
            lease.attempt,
            delay_ms.max(0),
            delay_ms <= 0
        )?;
        cx.commit().await?;
        Ok(held > 0)
    }

    /// Marks a job done; resolves when that is durable. (Finishing a run does this in its own transaction.) Callers at the same time share a
    /// transaction. False: the lease was lost.
    pub async fn complete(&self, lease: &Lease) -> Result<bool> {
        let system = self.clone();
        let together = move |leases: Vec<(Uuid, i64)>| {
            let system = system.clone();
            async move { system.complete_all(&leases).await }
        };
        self.db.groups().complete.submit((lease.job_id.0, lease.attempt), together).await
    }

    async fn complete_all(&self, leases: &[(Uuid, i64)]) -> Result<Vec<bool>> {
        let ids: Vec<_> = leases.iter().map(|(id, _)| *id).collect();
        let rows: Vec<_> = leases.iter().map(|(id, attempt)| LeaseRow { id: *id, attempt: *attempt }).collect();
        let mut cx = self.write_queue_single().await?;
        // CASE, because with the plain condition the index of all leases might seem the shorter way.
        let done: HashSet<_> = q!(
            cx,
            fetch_all as (Uuid, i64),
            "UPDATE job SET state = 'done', finished_at = {now}, lease_until = NULL
             WHERE {key id: $1} AND CASE state WHEN 'leased' THEN lease_until > {now} ELSE FALSE END
                 AND (id, attempt) IN (SELECT i.id, i.attempt FROM {rows $2: id uuid, attempt int} AS i)
             RETURNING id, attempt",
            json_list(&ids)?,
            json_list(&rows)?
        )?
        .into_iter()
        .collect();
        cx.commit().await?;
        Ok(leases.iter().map(|lease| done.contains(lease)).collect())
    }

    /// Gives a job up. False: the lease was lost.
    pub async fn fail(&self, lease: &Lease, error: &str) -> Result<bool> {
        let mut cx = self.write().await?;
        let held = q!(
            cx,
            execute,
            "UPDATE job SET state = 'dead', finished_at = {now}, lease_until = NULL, last_error = $3
             WHERE id = $1 AND attempt = $2 AND state = 'leased' AND lease_until > {now}",
            lease.job_id.0,
            lease.attempt,
            told(error)
        )?;
        cx.commit().await?;
        Ok(held > 0)
    }
}

/// An error as it is kept.
fn told(error: &str) -> String {
    error.chars().filter(|c| *c != '\0').take(ERROR_CHARS).collect()
}

/// Fails the runs of jobs that were given up, as their worker would: their sources are failing, and pause when that comes too often.
pub(crate) async fn fail_runs(cx: &mut Cx, jobs: &[Uuid], code: &str, detail: &str) -> Result<()> {
    let runs = q!(
        cx,
        fetch_all as (Uuid, Uuid, Uuid, Instant),
        "SELECT workspace_id, id, source_id, {now} AS now FROM run WHERE job_id IN {ids $1} AND finished_at IS NULL",
        json_list(jobs)?
    )?;
    // One after the other: they are few, since each was tried many times.
    for (workspace, id, source, now) in runs {
        // A deleted source's run still ends.
        let source = match sources::lock(cx, workspace, source.into()).await {
            Ok(source) => Some(source),
            Err(Error::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        let run = Run::try_from(runs::lock(cx, workspace, id.into()).await?)?;
        if run.status.is_final() {
            continue;
        }
        let error = RunError { code: code.to_owned(), detail: detail.to_owned(), config_pointer: None };
        let finish = FinishRun::with(run.id, RunStatus::Failed, Some(error.clone()), Some(Health::Failing), now);
        finish::end(cx, workspace, &finish).await?;
        if let Some(source) = source.filter(|_| run.kind != RunKind::DryRun) {
            finish::condition(cx, workspace, source.id, &finish, Some(error), false).await?;
            schedules::pause_if_failing(cx, workspace, &source, now).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use tributary_core::{RunId, citation::ConnectorRef};

    use super::*;
    use crate::{NewWorkspace, testing};

    #[tokio::test(flavor = "multi_thread")]
    async fn eight_workers_claim_two_thousand_jobs_without_a_duplicate() {
        for test in testing::databases().await {
            let system = test.db.system();
            let now = chrono::Utc::now();
            let connector =
                ConnectorRef { id: "builtin:push".to_owned(), version: "0".to_owned(), digest: "d".to_owned() };
            let new = NewWorkspace { name: "w".to_owned(), slug: "w".to_owned(), push_connector: connector, now };
            let workspace = system.create_workspace(new).await.unwrap().id;
            let mut cx = system.write().await.unwrap();
            for _ in 0..2000 {
                insert(&mut cx, workspace.0, JobId::new(), &Work::Sync { run_id: RunId::new() }, now).await.unwrap();
            }
            cx.commit().await.unwrap();

            let began = std::time::Instant::now();
            let workers = (0..8).map(|worker| {
                let system = system.clone();
                tokio::spawn(async move {
                    let mut mine = Vec::new();
                    loop {
                        let leases = system.claim(&["sync"], &format!("worker {worker}"), 3_600_000, 25).await.unwrap();
                        mine.extend(leases.iter().map(|lease| lease.job_id));
                        // A worker that comes away empty looks again while there is work.
                        if leases.is_empty() && !system.job_counts().await.unwrap().contains_key("queued") {
                            return mine;
                        }
                    }
                })
            });
            let claimed: Vec<_> =
                futures::future::join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
            eprintln!("{}: 2,000 jobs claimed by 8 workers in {:?}", test.name, began.elapsed());
            assert_eq!(claimed.len(), 2000, "{}", test.name);
            assert_eq!(claimed.iter().map(|id| id.0).collect::<BTreeSet<_>>().len(), 2000, "{}", test.name);
        }
    }
}
