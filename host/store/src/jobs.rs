//! Durable jobs: claim, heartbeat, hand back, finish. After River's semantics.
//!
//! A lease is proven by id, attempt and time; every transaction of a worker proves it first ([`fence`]), so a worker that slept through
//! its lease writes nothing over its successor. Lease time is the database's clock on PostgreSQL, the machine's on SQLite.

use std::collections::BTreeMap;

use sqlx::types::Json;
use tributary_core::{
    Instant, JobId,
    job::{Lease, Work},
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    rows::json_list,
    tenant::SystemDb,
};

/// Tries without any progress before a job is given up. A killed host uses one up; a committed page gives all of them back.
pub(crate) const TRIES: i64 = 25;

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

#[derive(sqlx_macros::FromRow)]
struct Candidate {
    id: Uuid,
    spent: bool,
}

#[derive(serde::Serialize)]
struct Turn {
    id: Uuid,
    turn: usize,
}

#[derive(sqlx_macros::FromRow)]
struct Claimed {
    id: Uuid,
    workspace_id: Uuid,
    attempt: i64,
    max_attempts: i64,
    work: Json<Work>,
}

/// Queues work in the transaction that causes it.
pub(crate) async fn insert(cx: &mut Cx, workspace: Uuid, id: JobId, work: &Work, now: Instant) -> Result<()> {
    q!(
        cx,
        execute,
        "INSERT INTO job (id, workspace_id, kind, work, state, priority, run_at, attempt, max_attempts, cancel_requested, created_at)
         VALUES ($1, $2, $3, $4, 'queued', 0, {now}, 0, $5, $6, $7)",
        id.0,
        workspace,
        work.kind(),
        Json(work),
        TRIES,
        false,
        now
    )?;
    Ok(())
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

impl SystemDb {
    /// Leases up to `limit` jobs of these kinds for `lease_ms` milliseconds. Jobs whose lease ran out are offered again; one that used up
    /// its tries is given up, and its run fails. Workspaces take turns: one with many jobs does not hold the others up.
    pub async fn claim(&self, kinds: &[&str], worker: &str, lease_ms: i64, limit: i64) -> Result<Vec<Lease>> {
        let limit = limit.clamp(1, 100);
        let kinds = json_list(kinds)?;
        // Workers that meet at the same jobs pass over each other's; whoever comes away empty looks again.
        for _ in 0..3 {
            let candidates = self.candidates(&kinds, limit).await?;
            if candidates.is_empty() {
                return Ok(Vec::new());
            }
            let (spent, open): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|candidate| candidate.spent);
            let mut cx = self.write().await?;
            if !spent.is_empty() {
                give_up(&mut cx, &spent.into_iter().map(|candidate| candidate.id).collect::<Vec<_>>()).await?;
            }
            let leases = lease(&mut cx, &open, worker, lease_ms, limit).await?;
            cx.commit().await?;
            if !leases.is_empty() {
                return Ok(leases);
            }
        }
        Ok(Vec::new())
    }

    async fn candidates(&self, kinds: &str, limit: i64) -> Result<Vec<Candidate>> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_all as Candidate,
            "SELECT id, spent FROM (
                 SELECT j.id, j.priority, j.run_at, j.state = 'leased' AND j.attempt >= j.max_attempts AS spent,
                     COALESCE(b.busy, 0)
                         + row_number() OVER (PARTITION BY j.workspace_id ORDER BY j.priority DESC, j.run_at, j.id) AS turn
                 FROM job j
                 LEFT JOIN (SELECT workspace_id, COUNT(*) AS busy FROM job
                     WHERE state = 'leased' AND lease_until > {now} GROUP BY workspace_id) AS b ON b.workspace_id = j.workspace_id
                 WHERE j.kind IN {texts $1} AND j.state IN ('queued', 'leased')
                     AND ((j.state = 'queued' AND j.run_at <= {now}) OR (j.state = 'leased' AND j.lease_until <= {now}))
             ) AS waiting ORDER BY turn, priority DESC, run_at, id LIMIT $2",
            kinds,
            limit * 16
        )?)
    }

    /// Renews a lease.
    pub async fn heartbeat(&self, lease: &Lease, lease_ms: i64) -> Result<Heartbeat> {
        let mut cx = self.write().await?;
        let asked = q!(
            cx,
            fetch_optional as (bool),
            "UPDATE job SET lease_until = {later $3} WHERE id = $1 AND attempt = $2 AND state = 'leased' AND lease_until > {now}
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

    /// Hands a job back after a failure, to be tried again in `delay_ms`. False: the lease was lost.
    pub async fn retry(&self, lease: &Lease, delay_ms: i64, error: &str) -> Result<bool> {
        self.hand_back(lease, delay_ms, Some(error), 0).await
    }

    /// Hands a job back without counting a try: the source asked to wait, or this host shuts down. False: the lease was lost.
    pub async fn release(&self, lease: &Lease, delay_ms: i64) -> Result<bool> {
        self.hand_back(lease, delay_ms, None, 1).await
    }

    async fn hand_back(&self, lease: &Lease, delay_ms: i64, error: Option<&str>, given_back: i64) -> Result<bool> {
        let mut cx = self.write().await?;
        let held = q!(
            cx,
            execute,
            "UPDATE job SET state = 'queued', run_at = {later $3}, lease_until = NULL, worker = NULL,
                 last_error = COALESCE($4, last_error), max_attempts = max_attempts + $5
             WHERE id = $1 AND attempt = $2 AND state = 'leased' AND lease_until > {now}",
            lease.job_id.0,
            lease.attempt,
            delay_ms,
            error.map(|error| error.replace('\0', "")),
            given_back
        )?;
        cx.commit().await?;
        Ok(held > 0)
    }

    /// Marks a job done. (Finishing a run does this in the same transaction.) False: the lease was lost.
    pub async fn complete(&self, lease: &Lease) -> Result<bool> {
        self.end(lease, "done", None).await
    }

    /// Gives a job up. False: the lease was lost.
    pub async fn fail(&self, lease: &Lease, error: &str) -> Result<bool> {
        self.end(lease, "dead", Some(error)).await
    }

    async fn end(&self, lease: &Lease, state: &str, error: Option<&str>) -> Result<bool> {
        let mut cx = self.write().await?;
        let held = q!(
            cx,
            execute,
            "UPDATE job SET state = $3, finished_at = {now}, lease_until = NULL, last_error = COALESCE($4, last_error)
             WHERE id = $1 AND attempt = $2 AND state = 'leased' AND lease_until > {now}",
            lease.job_id.0,
            lease.attempt,
            state,
            error.map(|error| error.replace('\0', ""))
        )?;
        cx.commit().await?;
        Ok(held > 0)
    }

    /// How many jobs are in which state: `queued`, `leased`, `done`, `dead`, `cancelled`.
    pub async fn job_counts(&self) -> Result<BTreeMap<String, i64>> {
        let mut cx = self.read().await?;
        let rows = q!(cx, fetch_all as (String, i64), "SELECT state, COUNT(*) FROM job GROUP BY state")?;
        Ok(rows.into_iter().collect())
    }

    /// Forgets jobs that ended before a moment; dead ones stay until somebody has looked at them.
    pub async fn purge_finished_jobs(&self, before: Instant) -> Result<u64> {
        let mut cx = self.write().await?;
        let purged =
            q!(cx, execute, "DELETE FROM job WHERE finished_at < $1 AND state IN ('done', 'cancelled')", before)?;
        cx.commit().await?;
        Ok(purged)
    }
}

/// Leases the first of `candidates` that are still free, in their order.
async fn lease(cx: &mut Cx, candidates: &[Candidate], worker: &str, lease_ms: i64, limit: i64) -> Result<Vec<Lease>> {
    let turns: Vec<_> = candidates.iter().enumerate().map(|(turn, it)| Turn { id: it.id, turn }).collect();
    let free = q!(
        cx,
        fetch_all as (Uuid),
        "SELECT j.id FROM {rows $1: id uuid, turn int} AS c CROSS JOIN job j
         WHERE j.id = c.id AND ((j.state = 'queued' AND j.run_at <= {now})
             OR (j.state = 'leased' AND j.lease_until <= {now} AND j.attempt < j.max_attempts))
         ORDER BY c.turn LIMIT $2 {skip locked j}",
        json_list(&turns)?,
        limit
    )?;
    if free.is_empty() {
        return Ok(Vec::new());
    }
    let mut claimed = q!(
        cx,
        fetch_all as Claimed,
        "UPDATE job SET state = 'leased', attempt = attempt + 1, lease_until = {later $2}, worker = $3 WHERE id IN {ids $1}
         RETURNING id, workspace_id, attempt, max_attempts, work",
        json_list(&free)?,
        lease_ms,
        worker
    )?;
    claimed.sort_by_key(|job| free.iter().position(|id| *id == job.id));
    let leases = claimed.into_iter().map(|job| Lease {
        job_id: job.id.into(),
        workspace_id: job.workspace_id.into(),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        work: job.work.0,
    });
    Ok(leases.collect())
}

/// Buries jobs whose worker was lost once too often, and fails their runs.
async fn give_up(cx: &mut Cx, ids: &[Uuid]) -> Result<()> {
    let dead = q!(
        cx,
        fetch_all as (Uuid),
        "UPDATE job SET state = 'dead', finished_at = {now}, lease_until = NULL, last_error = 'its workers were lost'
         WHERE id IN {ids $1} AND state = 'leased' AND lease_until <= {now} AND attempt >= max_attempts RETURNING id",
        json_list(ids)?
    )?;
    if dead.is_empty() {
        return Ok(());
    }
    q!(
        cx,
        execute,
        "UPDATE run SET status = 'failed', finished_at = {now}, error_code = 'worker_lost',
             error_detail = 'The host working on this sync stopped again and again without finishing a page; look at its log, then sync again.'
         WHERE job_id IN {ids $1} AND finished_at IS NULL",
        json_list(&dead)?
    )?;
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
