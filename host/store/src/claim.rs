//! Claiming jobs: fair between workspaces, bounded in what it reads, exact about how much of a workspace runs at once.
//!
//! A claim looks at some workspaces that have due jobs, found one after the other in the index however many jobs each has, and gives
//! the places it has to those of which the least is running. Where there are more workspaces than it looks at, the next claim goes on
//! behind them. Then it takes the first jobs of each, by priority and age.
//!
//! Two hosts that meet at a workspace do not wait for each other: the later one passes over it, and looks again a moment later.

use std::time::{Duration, Instant as Moment};

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{
    Instant,
    job::{Lease, Work},
};
use uuid::Uuid;

use crate::{db::Cx, dialect::q, error::Result, jobs::fail_runs, rows::json_list, tenant::SystemDb};

/// Most jobs in one claim.
const MOST: i64 = 100;
/// Workspaces looked at in one go.
const LANES: i64 = 64;
/// Goes at workspaces that turn out to be at their limit, or in the hands of other hosts.
const GOES: u32 = 6;
/// Jobs made due, or taken from lost workers, in one go.
const SLICE: i64 = 1_000;
/// A busy claimer looks for those this often.
const TIDY_EVERY: Duration = Duration::from_millis(200);
/// Rows read behind those wanted, in case somebody holds one.
const SPARE: i64 = 4;

/// Claims jobs of one kind for one host.
pub struct Claimer {
    system: SystemDb,
    kind: String,
    worker: String,
    lease_ms: i64,
    per_workspace: i64,
    /// The last workspace that had its turn, while there are more than [`LANES`].
    after: Uuid,
    tidied: Option<Moment>,
}

/// What a claim brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The jobs, the most urgent first.
    pub leases: Vec<Lease>,
    /// When nothing came: milliseconds until there may be something without anybody saying so.
    pub wait_ms: Option<i64>,
}

/// The due jobs of a workspace.
#[derive(sqlx_macros::FromRow)]
struct Lane {
    workspace_id: Uuid,
    priority: i64,
    run_at: Instant,
    busy: i64,
}

/// How many jobs of a workspace to take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Share {
    workspace_id: Uuid,
    n: i64,
}

#[derive(sqlx_macros::FromRow)]
struct Taken {
    id: Uuid,
    workspace_id: Uuid,
    attempt: i64,
    max_attempts: i64,
    work: Json<Work>,
    priority: i64,
    run_at: Instant,
    now: Instant,
}

#[derive(sqlx_macros::FromRow)]
struct Clocks {
    now: Instant,
    next_due: Option<Instant>,
    next_lost: Option<Instant>,
    clock_set_back: bool,
}

impl SystemDb {
    /// A claimer of jobs of a kind: leases last `lease_ms`, and no more than `per_workspace` jobs of a workspace run at once, on all hosts
    /// and of all kinds together.
    pub fn claimer(&self, kind: &str, worker: &str, lease_ms: i64, per_workspace: i64) -> Claimer {
        let (kind, worker) = (kind.to_owned(), worker.to_owned());
        Claimer { system: self.clone(), kind, worker, lease_ms, per_workspace, after: Uuid::nil(), tidied: None }
    }

    /// Leases up to `limit` jobs of these kinds for `lease_ms`, whatever else of their workspaces runs.
    pub async fn claim(&self, kinds: &[&str], worker: &str, lease_ms: i64, limit: i64) -> Result<Vec<Lease>> {
        let mut leases = Vec::new();
        for kind in kinds {
            let left = limit - leases.len() as i64;
            if left > 0 {
                leases.extend(self.claimer(kind, worker, lease_ms, i64::MAX).claim(left).await?.leases);
            }
        }
        Ok(leases)
    }
}

impl Claimer {
    /// Leases up to `limit` jobs. Jobs whose lease ran out are offered again; one that used up its tries is given up, and its run fails.
    pub async fn claim(&mut self, limit: i64) -> Result<Claimed> {
        let limit = limit.clamp(1, MOST);
        let mut wait_ms = None;
        let tidied = self.tidied.is_none_or(|when| when.elapsed() >= TIDY_EVERY);
        if tidied {
            wait_ms = self.tidy().await?;
        }
        for go in 0..GOES {
            let (lanes, whole) = self.lanes().await?;
            if lanes.is_empty() {
                if !tidied {
                    wait_ms = self.tidy().await?;
                }
                break;
            }
            let last = lanes.last().map(|lane| lane.workspace_id);
            let shares = share_out(lanes, limit, self.per_workspace, whole);
            // Where there are too many to look at all, they take turns in the order of the index.
            let reached = shares.last().map(|share| share.workspace_id).or(last);
            self.after = reached.filter(|_| !whole).unwrap_or(Uuid::nil());
            if shares.is_empty() {
                // All that was looked at is at its limit. What ends there ends somewhere with a claimer of its own.
                if whole {
                    break;
                }
                continue;
            }
            let leases = self.take(&shares).await?;
            if !leases.is_empty() {
                return Ok(Claimed { leases, wait_ms: None });
            }
            // Others were faster. Not in step with them again.
            wait_ms = Some(10);
            let pause_ms = u64::from(go) * 2 + u64::from(Uuid::now_v7().as_bytes()[15] % 4);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        Ok(Claimed { leases: Vec::new(), wait_ms })
    }

    /// Some workspaces with due jobs, and whether these are all.
    async fn lanes(&self) -> Result<(Vec<Lane>, bool)> {
        let mut cx = self.system.read_queue().await?;
        let mut lanes = self.lanes_after(&mut cx, self.after).await?;
        if (lanes.len() as i64) < LANES && !self.after.is_nil() {
            let mut from_the_start = self.lanes_after(&mut cx, Uuid::nil()).await?;
            from_the_start.retain(|lane| lane.workspace_id <= self.after);
            lanes.extend(from_the_start);
            lanes.truncate(LANES as usize);
        }
        let whole = (lanes.len() as i64) < LANES;
        Ok((lanes, whole))
    }

    async fn lanes_after(&self, cx: &mut Cx, after: Uuid) -> Result<Vec<Lane>> {
        Ok(q!(
            cx,
            fetch_all as Lane,
            "WITH RECURSIVE lane(workspace_id, n) AS (
                 SELECT (SELECT j.workspace_id FROM job j WHERE j.kind = $1 AND j.state = 'queued' AND j.due AND j.workspace_id > $2
                     ORDER BY j.workspace_id LIMIT 1), 1
                 UNION ALL
                 SELECT (SELECT j.workspace_id FROM job j WHERE j.kind = $1 AND j.state = 'queued' AND j.due
                     AND j.workspace_id > l.workspace_id ORDER BY j.workspace_id LIMIT 1), l.n + 1
                 FROM lane l WHERE l.workspace_id IS NOT NULL AND l.n < $3
             )
             SELECT f.workspace_id, j.priority, j.run_at, (SELECT COUNT(*) FROM job b
                 WHERE b.state = 'leased' AND b.workspace_id = f.workspace_id AND b.lease_until > {now}) AS busy
             FROM (SELECT l.workspace_id, (SELECT j.id FROM job j WHERE j.kind = $1 AND j.state = 'queued' AND j.due
                 AND j.workspace_id = l.workspace_id ORDER BY j.priority, j.run_at, j.id LIMIT 1) AS first_id
                 FROM lane l WHERE l.workspace_id IS NOT NULL) AS f
             {look up job j: j.id = f.first_id} ORDER BY f.workspace_id",
            &self.kind,
            after,
            LANES
        )?)
    }

    /// Takes the first jobs of each workspace that nobody else is taking from, in one statement, which is the whole transaction.
    async fn take(&self, shares: &[Share]) -> Result<Vec<Lease>> {
        let mut cx = self.system.write_queue_single().await?;
        // `mine`: from here on nobody else claims there, so that what runs is exact. `turn`: one step through the index for each job, and
        // for a few more. `first`: without those that somebody else holds. Its state is looked at after the lock and outside of the
        // condition, where an index that is long by now might seem the shorter way.
        let mut taken = q!(
            cx,
            fetch_all as Taken,
            "WITH RECURSIVE mine(workspace_id, n, busy) AS (
                 SELECT s.workspace_id, s.n, {running s.workspace_id}
                 FROM {rows $1: workspace_id uuid, n int} AS s WHERE {alone s.workspace_id}
             ),
             turn(workspace_id, n, busy, id, no) AS (
                 SELECT m.workspace_id, m.n, m.busy, (SELECT j.id FROM job j WHERE j.kind = $2 AND j.state = 'queued' AND j.due
                     AND j.workspace_id = m.workspace_id ORDER BY j.priority, j.run_at, j.id LIMIT 1), 1
                 FROM mine m
                 UNION ALL
                 SELECT t.workspace_id, t.n, t.busy, (SELECT j.id FROM job j WHERE j.kind = $2 AND j.state = 'queued' AND j.due
                     AND j.workspace_id = t.workspace_id AND (j.priority, j.run_at, j.id) > (c.priority, c.run_at, c.id)
                     ORDER BY j.priority, j.run_at, j.id LIMIT 1), t.no + 1
                 FROM turn t {look up job c: c.id = t.id} WHERE t.no < t.n + $6
             ),
             first AS (
                 SELECT f.id, t.workspace_id, t.n, t.busy, t.no, f.state = 'queued' AND f.due AS free
                 FROM turn t {look up job f: f.id = t.id} WHERE t.id IS NOT NULL {skip locked f}
             ),
             chosen AS (
                 SELECT id, n, busy, ROW_NUMBER() OVER (PARTITION BY workspace_id ORDER BY no) AS place FROM first WHERE free
             )
             UPDATE job SET state = 'leased', attempt = attempt + 1, lease_until = {later $3}, lease_ms = $3, worker = $4
             WHERE {among id: SELECT c.id FROM chosen c WHERE c.place <= c.n AND c.place <= $5 - c.busy}
             RETURNING id, workspace_id, attempt, max_attempts, work, priority, run_at, {now} AS now",
            json_list(shares)?,
            &self.kind,
            self.lease_ms,
            &self.worker,
            self.per_workspace,
            SPARE
        )?;
        cx.commit().await?;
        taken.sort_by_key(|job| (job.priority, job.run_at, job.id));
        let leases = taken.into_iter().map(|job| Lease {
            job_id: job.id.into(),
            workspace_id: job.workspace_id.into(),
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            work: job.work.0,
            late_ms: (job.now - job.run_at).num_milliseconds().max(0),
        });
        Ok(leases.collect())
    }

    /// Makes due what has waited long enough and takes back what lost workers hold. Milliseconds until there will be more of either.
    async fn tidy(&mut self) -> Result<Option<i64>> {
        self.tidied = Some(Moment::now());
        let mut cx = self.system.read_queue().await?;
        let clocks = q!(
            cx,
            fetch_one as Clocks,
            "SELECT {now} AS now,
                 (SELECT j.run_at FROM job j WHERE j.state = 'queued' AND NOT j.due ORDER BY j.run_at LIMIT 1) AS next_due,
                 (SELECT MIN(j.lease_until) FROM job j WHERE j.state = 'leased') AS next_lost,
                 EXISTS (SELECT 1 FROM job j WHERE j.state = 'leased' AND j.lease_until > {later 2 * j.lease_ms}) AS clock_set_back"
        )?;
        drop(cx);
        let over = |when: Option<Instant>| when.is_some_and(|when| when <= clocks.now);
        if over(clocks.next_due) {
            self.make_due().await?;
        }
        if over(clocks.next_lost) || clocks.clock_set_back {
            self.take_back().await?;
        }
        let next = clocks.next_due.into_iter().chain(clocks.next_lost).min();
        Ok(next.map(|next| (next - clocks.now).num_milliseconds().max(5)))
    }

    async fn make_due(&self) -> Result<()> {
        let mut cx = self.system.write_queue().await?;
        q!(
            cx,
            execute,
            "UPDATE job SET due = TRUE WHERE id IN (SELECT j.id FROM job j WHERE j.state = 'queued' AND NOT j.due AND j.run_at <= {now}
                 ORDER BY j.run_at LIMIT $1 {skip locked j})",
            SLICE
        )?;
        cx.commit().await
    }

    /// Jobs of lost workers: queued again, or buried when that happened too often. A lease that ends much later than it was given for is
    /// of a time before the clock was set back; a worker that lives renews it.
    async fn take_back(&self) -> Result<()> {
        let mut cx = self.system.write_queue().await?;
        let lost = q!(
            cx,
            fetch_all as (Uuid, String),
            "UPDATE job SET state = CASE WHEN attempt < max_attempts THEN 'queued' ELSE 'dead' END,
                 finished_at = CASE WHEN attempt < max_attempts THEN NULL ELSE {now} END,
                 due = TRUE, lease_until = NULL, worker = NULL, last_error = 'the host that worked on it was lost'
             WHERE id IN (SELECT j.id FROM job j WHERE j.state = 'leased'
                 AND (j.lease_until <= {now} OR j.lease_until > {later 2 * j.lease_ms}) LIMIT $1 {skip locked j})
             RETURNING id, state",
            SLICE
        )?;
        let dead: Vec<_> = lost.into_iter().filter(|(_, state)| state == "dead").map(|(id, _)| id).collect();
        if !dead.is_empty() {
            let detail = "The host working on this sync stopped again and again without finishing a page; look at its log, then sync again.";
            fail_runs(&mut cx, &dead, "worker_lost", detail).await?;
        }
        cx.commit().await
    }
}

/// Gives each place to the workspace of which the least runs; among equals to the more urgent, then the older job when these are all there
/// are (`whole`), else to the first.
fn share_out(mut lanes: Vec<Lane>, limit: i64, per_workspace: i64, whole: bool) -> Vec<Share> {
    if whole {
        lanes.sort_by_key(|lane| (lane.priority, lane.run_at, lane.workspace_id));
    }
    let mut shares: Vec<_> = lanes.iter().map(|lane| Share { workspace_id: lane.workspace_id, n: 0 }).collect();
    for _ in 0..limit {
        let runs = |at: &usize| lanes[*at].busy + shares[*at].n;
        match (0..lanes.len()).filter(|at| runs(at) < per_workspace).min_by_key(runs) {
            Some(at) => shares[at].n += 1,
            None => break,
        }
    }
    shares.retain(|share| share.n > 0);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(number: u128, busy: i64) -> Lane {
        Lane { workspace_id: Uuid::from_u128(number), priority: 1, run_at: Instant::UNIX_EPOCH, busy }
    }

    #[test]
    fn places_go_to_those_who_have_the_fewest() {
        let shared = |lanes, limit, most| -> Vec<i64> {
            let mut shares = share_out(lanes, limit, most, true);
            shares.sort_by_key(|share| share.workspace_id);
            shares.into_iter().map(|share| share.n).collect()
        };
        assert_eq!(shared(vec![lane(1, 0), lane(2, 0)], 5, i64::MAX), [3, 2]);
        assert_eq!(shared(vec![lane(1, 4), lane(2, 0)], 4, i64::MAX), [4], "the second has to catch up");
        assert_eq!(shared(vec![lane(1, 0)], 100, 3), [3], "no more than may run at once");
        assert_eq!(shared(vec![lane(1, 3), lane(2, 9)], 10, 3), [0; 0]);
    }
}
