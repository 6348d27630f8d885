//! Firing schedules: any number of hosts ask what is due, each slot fires once. In batches: a statement a table, never one a row.

use std::collections::{HashMap, HashSet};

use chrono::TimeDelta;
use serde::Serialize;
use tributary_core::{
    Instant, JobId, RunId, SourceId, WorkspaceId,
    job::{Priority, Work},
    schedule::{DueSchedule, Overlap, ScheduleKind, SlotOutcome, Start},
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::Result,
    jobs,
    rows::{json_list, limited, named, time_text},
    schedules::{self, Row},
    tenant::SystemDb,
};

/// Slots are remembered for so long; a host that read its list of due schedules longer ago than this is not to be expected.
const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// What is to be done about a schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Firing {
    /// Its moment has come.
    Due {
        /// The schedule as it was read, with a next moment.
        due: DueSchedule,
        /// The last slot that has come. Slots before it are made up for by the same run.
        slot: Instant,
        /// It was missed too long ago: no run.
        missed: bool,
        /// What comes next.
        next: Option<Start>,
    },
    /// A slot of it waits for another run to end.
    Queued(DueSchedule),
}

/// What firing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// A run was queued.
    Started(RunId),
    /// The source was busy with another sync; this slot is skipped.
    Skipped,
    /// The source is busy; a run follows when it is not.
    Queued {
        /// The run to be asked to stop first.
        stop: Option<RunId>,
    },
    /// The slot was missed too long ago.
    Missed,
    /// Another host was first or is just now at it, or the schedule changed.
    NotOurs,
}

impl Firing {
    fn due(&self) -> &DueSchedule {
        let (Self::Due { due, .. } | Self::Queued(due)) = self;
        due
    }

    fn is_queued(&self) -> bool {
        matches!(self, Self::Queued(_))
    }

    /// The slot that the schedule must still stand at.
    fn standing(&self) -> Option<Instant> {
        match self {
            Self::Due { due, .. } => due.scheduled.next.map(|next| next.slot),
            Self::Queued(due) => due.scheduled.queued_slot,
        }
    }
}

/// A schedule among the parameters of a statement.
#[derive(Serialize)]
struct Given {
    workspace_id: WorkspaceId,
    source_id: SourceId,
    kind: ScheduleKind,
    queued: bool,
    slot: String,
}

/// A locked schedule, with what a run of its source needs.
#[derive(sqlx_macros::FromRow)]
struct Locked {
    n: i64,
    connector_id: String,
    connector_version: String,
    connector_digest: String,
    config_revision: i64,
    next_slot_at: Option<Instant>,
    next_at: Option<Instant>,
    queued_slot_at: Option<Instant>,
}

/// What became of a slot, as it is written.
#[derive(Serialize)]
struct Fate {
    workspace_id: WorkspaceId,
    source_id: SourceId,
    kind: ScheduleKind,
    slot: String,
    outcome: SlotOutcome,
    run_id: Option<RunId>,
}

#[derive(Serialize)]
struct Advance {
    workspace_id: WorkspaceId,
    source_id: SourceId,
    kind: ScheduleKind,
    next_slot_at: Option<String>,
    next_at: Option<String>,
    queued_slot_at: Option<String>,
}

#[derive(Serialize)]
struct Started {
    workspace_id: WorkspaceId,
    source_id: SourceId,
    run_id: RunId,
    job_id: JobId,
    kind: ScheduleKind,
    work: Work,
    connector_id: String,
    connector_version: String,
    connector_digest: String,
    config_revision: i64,
}

fn read(rows: Vec<Row>) -> Result<Vec<DueSchedule>> {
    let due = rows.into_iter().map(|row| {
        let (workspace_id, source_id) = (row.workspace_id.into(), row.source_id.into());
        Ok(DueSchedule { workspace_id, source_id, scheduled: row.try_into()? })
    });
    due.collect()
}

impl SystemDb {
    /// Schedules whose moment has come. Workspaces take turns: one with many does not hold the others up.
    pub async fn due(&self, now: Instant, limit: i64) -> Result<Vec<DueSchedule>> {
        let mut cx = self.read().await?;
        read(q!(
            cx,
            fetch_all as Row,
            concat!(
                "SELECT ",
                schedules::columns!(),
                " FROM (SELECT schedule.*, row_number() OVER (PARTITION BY workspace_id ORDER BY next_at, source_id, kind) AS turn
                     FROM schedule WHERE next_at <= $1) AS c
                 WHERE c.workspace_id NOT IN (SELECT id FROM workspace WHERE archived_at IS NOT NULL OR deleting_at IS NOT NULL)
                 ORDER BY c.turn, c.next_at, c.workspace_id, c.source_id, c.kind LIMIT $2"
            ),
            now,
            limited(limit)
        )?)
    }

    /// Schedules with a slot that waits for a run to end which has ended, or has yet to be asked to.
    pub async fn queued_slots(&self, limit: i64) -> Result<Vec<DueSchedule>> {
        let mut cx = self.read().await?;
        read(q!(
            cx,
            fetch_all as Row,
            concat!(
                "SELECT ",
                schedules::columns!(),
                " FROM schedule c WHERE c.queued_slot_at IS NOT NULL
                     AND c.workspace_id NOT IN (SELECT id FROM workspace WHERE archived_at IS NOT NULL OR deleting_at IS NOT NULL)
                     AND NOT EXISTS (SELECT 1 FROM run r WHERE r.workspace_id = c.workspace_id AND r.source_id = c.source_id
                         AND r.status IN ('queued', 'running', 'waiting') AND r.kind IN ('sync', 'full')
                         AND (c.overlap <> 'cancel' OR r.cancel_requested))
                 ORDER BY c.queued_slot_at, c.workspace_id, c.source_id, c.kind LIMIT $1"
            ),
            limited(limit)
        )?)
    }

    /// Fires each slot once, whoever else tries, and moves its schedule on: one transaction. What another transaction holds just now is
    /// left to the next tick. The answers are in the order of `firings`.
    pub async fn fire(&self, firings: &[Firing], now: Instant) -> Result<Vec<Fired>> {
        let mut fired = vec![Fired::NotOurs; firings.len()];
        let mut cx = self.write().await?;
        let locked = lock(&mut cx, firings).await?;
        if locked.is_empty() {
            return Ok(fired);
        }
        let mut active = active_runs(&mut cx, firings, &locked).await?;
        let (mut fates, mut queued_fates, mut advances, mut runs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let fresh = fresh(&mut cx, firings, &locked).await?;
        for locked in locked {
            let n = usize::try_from(locked.n).unwrap_or(usize::MAX);
            let Some(firing) = firings.get(n) else { continue };
            let DueSchedule { workspace_id, source_id, scheduled } = firing.due();
            let key = (*workspace_id, *source_id);
            let kind = scheduled.kind;
            let busy = active.get(&key).copied();
            let (slot, missed) = match firing {
                Firing::Due { slot, missed, .. } => (*slot, *missed),
                Firing::Queued(_) => (scheduled.queued_slot.unwrap_or(now), false),
            };
            let overlap = scheduled.schedule.overlap;
            fired[n] = match busy {
                _ if !firing.is_queued() && !fresh.contains(&n) => Fired::NotOurs,
                _ if missed => Fired::Missed,
                None => Fired::Started(RunId::new()),
                Some(_) if overlap == Overlap::Skip => Fired::Skipped,
                Some(run) => Fired::Queued { stop: (overlap == Overlap::Cancel).then_some(run) },
            };
            let mut queued_slot = locked.queued_slot_at;
            let (outcome, run_id) = match fired[n] {
                Fired::Started(run_id) => {
                    active.insert(key, run_id);
                    queued_slot = None;
                    runs.push(Started {
                        workspace_id: *workspace_id,
                        source_id: *source_id,
                        run_id,
                        job_id: JobId::new(),
                        kind,
                        work: Work::Sync { run_id },
                        connector_id: locked.connector_id,
                        connector_version: locked.connector_version,
                        connector_digest: locked.connector_digest,
                        config_revision: locked.config_revision,
                    });
                    (Some(SlotOutcome::Started), Some(run_id))
                }
                Fired::Queued { .. } => {
                    queued_slot = Some(slot);
                    (Some(SlotOutcome::Queued), None)
                }
                Fired::Skipped => {
                    // Its schedule may have queued before it was changed.
                    queued_slot = None;
                    (Some(SlotOutcome::Skipped), None)
                }
                Fired::Missed => (Some(SlotOutcome::Missed), None),
                Fired::NotOurs => (None, None),
            };
            if let Some(outcome) = outcome {
                let fate = Fate {
                    workspace_id: *workspace_id,
                    source_id: *source_id,
                    kind,
                    slot: time_text(slot),
                    outcome,
                    run_id,
                };
                if firing.is_queued() { queued_fates.push(fate) } else { fates.push(fate) }
            }
            let next = match firing {
                Firing::Due { next, .. } => *next,
                Firing::Queued(_) => locked.next_slot_at.zip(locked.next_at).map(|(slot, at)| Start { slot, at }),
            };
            advances.push(Advance {
                workspace_id: *workspace_id,
                source_id: *source_id,
                kind,
                next_slot_at: next.map(|next| time_text(next.slot)),
                next_at: next.map(|next| time_text(next.at)),
                queued_slot_at: queued_slot.map(time_text),
            });
        }
        write_slots(&mut cx, &fates, &queued_fates, now).await?;
        write_runs(&mut cx, &runs, now).await?;
        advance(&mut cx, &advances, now).await?;
        forget_slots(&mut cx, &advances, now).await?;
        cx.commit().await?;
        Ok(fired)
    }

    /// Schedules that were last moved on after a moment that is yet to come: somebody turned the clock back.
    pub async fn schedules_of_the_future(&self, now: Instant, limit: i64) -> Result<Vec<DueSchedule>> {
        let mut cx = self.read().await?;
        read(q!(
            cx,
            fetch_all as Row,
            concat!(
                "SELECT ",
                schedules::columns!(),
                " FROM schedule c WHERE c.set_at > $1 AND c.next_at IS NOT NULL ORDER BY c.set_at LIMIT $2"
            ),
            now,
            limited(limit)
        )?)
    }

    /// Gives schedules another next moment, those that still stand where they were read. Returns how many.
    pub async fn reschedule(&self, moved: &[(DueSchedule, Option<Start>)], now: Instant) -> Result<usize> {
        let mut cx = self.write().await?;
        let firings = moved.iter().filter_map(|(due, next)| {
            let slot = due.scheduled.next?.slot;
            Some(Firing::Due { due: due.clone(), slot, missed: false, next: *next })
        });
        let firings = firings.collect::<Vec<_>>();
        let mut advances = Vec::new();
        for locked in lock(&mut cx, &firings).await? {
            let Some(Firing::Due { due, next, .. }) = usize::try_from(locked.n).ok().and_then(|n| firings.get(n))
            else {
                continue;
            };
            advances.push(Advance {
                workspace_id: due.workspace_id,
                source_id: due.source_id,
                kind: due.scheduled.kind,
                next_slot_at: next.map(|next| time_text(next.slot)),
                next_at: next.map(|next| time_text(next.at)),
                queued_slot_at: locked.queued_slot_at.map(time_text),
            });
        }
        advance(&mut cx, &advances, now).await?;
        cx.commit().await?;
        Ok(advances.len())
    }
}

/// Locks the schedules that still stand where they were read, and their sources. Nobody is waited for, so nobody waits in a circle.
/// In the order of sources, a full resync before the sync that it makes superfluous.
async fn lock(cx: &mut Cx, firings: &[Firing]) -> Result<Vec<Locked>> {
    #[derive(Serialize)]
    struct Numbered {
        n: usize,
        #[serde(flatten)]
        given: Given,
    }
    let numbered = firings.iter().enumerate().filter_map(|(n, firing)| Some(Numbered { n, given: given(firing)? }));
    Ok(q!(
        cx,
        fetch_all as Locked,
        "SELECT d.n, s.connector_id, s.connector_version, s.connector_digest, s.config_revision, c.next_slot_at, c.next_at,
             c.queued_slot_at
         FROM {rows $1: n int, workspace_id uuid, source_id uuid, kind text, queued bool, slot time} AS d
         CROSS JOIN schedule c CROSS JOIN source s
         WHERE c.workspace_id = d.workspace_id AND c.source_id = d.source_id AND c.kind = d.kind
             AND d.slot = CASE WHEN d.queued THEN c.queued_slot_at ELSE c.next_slot_at END
             AND s.workspace_id = d.workspace_id AND s.id = d.source_id AND s.deleted_at IS NULL AND s.paused_at IS NULL
         ORDER BY s.workspace_id, s.id, c.kind {skip locked s, c}",
        json_list(&numbered.collect::<Vec<_>>())?
    )?)
}

fn given(firing: &Firing) -> Option<Given> {
    let DueSchedule { workspace_id, source_id, scheduled } = firing.due();
    let slot = time_text(firing.standing()?);
    let (workspace_id, source_id, kind) = (*workspace_id, *source_id, scheduled.kind);
    Some(Given { workspace_id, source_id, kind, queued: firing.is_queued(), slot })
}

/// What the locked sources are busy with.
async fn active_runs(
    cx: &mut Cx,
    firings: &[Firing],
    locked: &[Locked],
) -> Result<HashMap<(WorkspaceId, SourceId), RunId>> {
    let given = of(firings, locked).filter_map(|(_, firing)| given(firing)).collect::<Vec<_>>();
    let rows = q!(
        cx,
        fetch_all as (Uuid, Uuid, Uuid),
        "SELECT d.workspace_id, d.source_id, r.id FROM {rows $1: workspace_id uuid, source_id uuid} AS d CROSS JOIN run r
         WHERE r.workspace_id = d.workspace_id AND r.source_id = d.source_id AND r.status IN ('queued', 'running', 'waiting')
             AND r.kind IN ('sync', 'full')",
        json_list(&given)?
    )?;
    Ok(rows.into_iter().map(|(workspace, source, run)| ((workspace.into(), source.into()), run.into())).collect())
}

/// Which of the due ones stand at a slot that was not fired before. After the clock was turned back, a slot can come a second time.
async fn fresh(cx: &mut Cx, firings: &[Firing], locked: &[Locked]) -> Result<HashSet<usize>> {
    let due = of(firings, locked).filter_map(|(n, firing)| match firing {
        Firing::Due { slot, .. } => Some((n, Given { slot: time_text(*slot), ..given(firing)? })),
        Firing::Queued(_) => None,
    });
    let (numbers, given): (Vec<_>, Vec<_>) = due.unzip();
    let known = q!(
        cx,
        fetch_all as (Uuid, Uuid, String),
        "SELECT d.workspace_id, d.source_id, d.kind
         FROM {rows $1: workspace_id uuid, source_id uuid, kind text, slot time} AS d CROSS JOIN schedule_slot t
         WHERE t.workspace_id = d.workspace_id AND t.source_id = d.source_id AND t.kind = d.kind AND t.slot = d.slot",
        json_list(&given)?
    )?;
    let mut fired = HashSet::new();
    for (workspace, source, kind) in known {
        fired.insert((WorkspaceId(workspace), SourceId(source), named::<ScheduleKind>(&kind)?));
    }
    let fresh = numbers.into_iter().zip(given);
    Ok(fresh.filter(|(_, it)| !fired.contains(&(it.workspace_id, it.source_id, it.kind))).map(|(n, _)| n).collect())
}

/// The firings that were locked.
fn of<'a>(firings: &'a [Firing], locked: &'a [Locked]) -> impl Iterator<Item = (usize, &'a Firing)> {
    locked.iter().filter_map(|locked| {
        let n = usize::try_from(locked.n).ok()?;
        Some((n, firings.get(n)?))
    })
}

/// Says what became of the slots: of those that have just come, and of those that waited.
async fn write_slots(cx: &mut Cx, came: &[Fate], waited: &[Fate], now: Instant) -> Result<()> {
    q!(
        cx,
        execute,
        "INSERT INTO schedule_slot (workspace_id, source_id, kind, slot, fired_at, outcome, run_id)
         SELECT d.workspace_id, d.source_id, d.kind, d.slot, $2, d.outcome, d.run_id
         FROM {rows $1: workspace_id uuid, source_id uuid, kind text, slot time, outcome text, run_id uuid} AS d",
        json_list(came)?,
        now
    )?;
    if waited.is_empty() {
        return Ok(());
    }
    q!(
        cx,
        execute,
        "UPDATE schedule_slot SET outcome = d.outcome, run_id = d.run_id
         FROM {rows $1: workspace_id uuid, source_id uuid, kind text, slot time, outcome text, run_id uuid} AS d
         WHERE schedule_slot.workspace_id = d.workspace_id AND schedule_slot.source_id = d.source_id AND schedule_slot.kind = d.kind
             AND schedule_slot.slot = d.slot",
        json_list(waited)?
    )?;
    Ok(())
}

/// Makes runs with their jobs, as `runs::insert` does one.
async fn write_runs(cx: &mut Cx, runs: &[Started], now: Instant) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let list = json_list(runs)?;
    q!(
        cx,
        execute,
        "INSERT INTO run (workspace_id, id, source_id, job_id, kind, status, triggered_by, connector_id, connector_version,
             connector_digest, config_revision, accept_deletions, cancel_requested, queued_at, seen, added, updated, unchanged, deleted,
             failed, bytes, requests, page_no)
         SELECT d.workspace_id, d.run_id, d.source_id, d.job_id, d.kind, 'queued', 'schedule', d.connector_id, d.connector_version,
             d.connector_digest, d.config_revision, $3, $3, $2, 0, 0, 0, 0, 0, 0, 0, 0, 0
         FROM {rows $1: workspace_id uuid, run_id uuid, source_id uuid, job_id uuid, kind text, connector_id text,
             connector_version text, connector_digest text, config_revision int} AS d",
        &list,
        now,
        false
    )?;
    q!(
        cx,
        execute,
        "INSERT INTO job (id, workspace_id, kind, work, state, priority, run_at, attempt, max_attempts, cancel_requested, created_at)
         SELECT d.job_id, d.workspace_id, 'sync', d.work, 'queued', $5, {now}, 0, $3, $4, $2
         FROM {rows $1: job_id uuid, workspace_id uuid, work json} AS d",
        &list,
        now,
        jobs::TRIES,
        false,
        Priority::Normal.rank()
    )?;
    q!(
        cx,
        execute,
        "UPDATE source SET last_run_id = d.run_id FROM {rows $1: workspace_id uuid, source_id uuid, run_id uuid} AS d
         WHERE source.workspace_id = d.workspace_id AND source.id = d.source_id",
        &list
    )?;
    Ok(())
}

async fn advance(cx: &mut Cx, advances: &[Advance], now: Instant) -> Result<()> {
    q!(
        cx,
        execute,
        "UPDATE schedule SET next_slot_at = d.next_slot_at, next_at = d.next_at, queued_slot_at = d.queued_slot_at, set_at = $2
         FROM {rows $1: workspace_id uuid, source_id uuid, kind text, next_slot_at time, next_at time, queued_slot_at time} AS d
         WHERE schedule.workspace_id = d.workspace_id AND schedule.source_id = d.source_id AND schedule.kind = d.kind",
        json_list(advances)?,
        now
    )?;
    Ok(())
}

/// Drops slots of these schedules that nobody asks for any more.
async fn forget_slots(cx: &mut Cx, of: &[Advance], now: Instant) -> Result<()> {
    q!(
        cx,
        execute,
        "DELETE FROM schedule_slot WHERE slot < $2 AND (workspace_id, source_id, kind) IN
             (SELECT d.workspace_id, d.source_id, d.kind FROM {rows $1: workspace_id uuid, source_id uuid, kind text} AS d)",
        json_list(of)?,
        now - REMEMBERED
    )?;
    Ok(())
}
