//! Schedules as their workspace sees them: reading and writing them, pausing and resuming their source. Firing them is in `firing`.

use std::collections::HashMap;

use tributary_core::{
    Instant, SourceId,
    run::RunStatus,
    schedule::{Overlap, PastSlot, Pause, PauseReason, Rhythm, Schedule, ScheduleKind, Scheduled, SlotOutcome, Start},
    source::Source,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    rows::{json_list, limited, name_of, named, refuse_nul},
    sources,
    tenant::TenantDb,
};

/// A schedule to be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSchedule {
    /// What it asks for.
    pub kind: ScheduleKind,
    /// When.
    pub schedule: Schedule,
    /// Intervals are counted from here: now.
    pub anchor_at: Instant,
    /// What comes first.
    pub first: Option<Start>,
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct Row {
    pub(crate) workspace_id: Uuid,
    pub(crate) source_id: Uuid,
    kind: String,
    cron: Option<String>,
    timezone: Option<String>,
    every_s: Option<i64>,
    overlap: String,
    catch_up_s: i64,
    jitter_s: Option<i64>,
    anchor_at: Instant,
    next_slot_at: Option<Instant>,
    next_at: Option<Instant>,
    queued_slot_at: Option<Instant>,
}

/// What [`Row`] reads, from a table called `c`.
macro_rules! columns {
    () => {
        "c.workspace_id, c.source_id, c.kind, c.cron, c.timezone, c.every_s, c.overlap, c.catch_up_s, c.jitter_s, c.anchor_at,
         c.next_slot_at, c.next_at, c.queued_slot_at"
    };
}
pub(crate) use columns;

impl TryFrom<Row> for Scheduled {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let rhythm = match (row.cron, row.timezone, row.every_s) {
            (Some(expression), Some(timezone), None) => Rhythm::Cron { expression, timezone },
            (None, None, Some(seconds)) => Rhythm::Every { seconds },
            _ => return Err(Error::Corrupt("a schedule has neither cron nor interval".to_owned())),
        };
        Ok(Self {
            kind: named(&row.kind)?,
            schedule: Schedule {
                rhythm,
                overlap: named::<Overlap>(&row.overlap)?,
                catch_up_s: row.catch_up_s,
                jitter_s: row.jitter_s,
            },
            anchor_at: row.anchor_at,
            next: row.next_slot_at.zip(row.next_at).map(|(slot, at)| Start { slot, at }),
            queued_slot: row.queued_slot_at,
        })
    }
}

/// The schedules of some sources.
pub(crate) async fn of_sources(
    cx: &mut Cx,
    workspace: Uuid,
    sources: &[SourceId],
) -> Result<HashMap<SourceId, Vec<Scheduled>>> {
    let rows = q!(
        cx,
        fetch_all as Row,
        concat!(
            "SELECT ",
            columns!(),
            " FROM schedule c WHERE c.workspace_id = $1 AND c.source_id IN {ids $2} ORDER BY c.source_id, c.kind"
        ),
        workspace,
        json_list(sources)?
    )?;
    let mut found = HashMap::<_, Vec<_>>::new();
    for row in rows {
        found.entry(row.source_id.into()).or_default().push(row.try_into()?);
    }
    Ok(found)
}

/// Sets a schedule of a source that is locked or new. Its next moment stays open while the source is paused.
pub(crate) async fn set(cx: &mut Cx, workspace: Uuid, source: &Source, new: &NewSchedule) -> Result<()> {
    let (cron, timezone, every_s) = match &new.schedule.rhythm {
        Rhythm::Cron { expression, timezone } => (Some(expression), Some(timezone), None),
        Rhythm::Every { seconds } => (None, None, Some(*seconds)),
    };
    refuse_nul(cron.into_iter().chain(timezone).map(String::as_str))?;
    let first = new.first.filter(|_| source.pause.is_none());
    q!(
        cx,
        execute,
        "INSERT INTO schedule (workspace_id, source_id, kind, cron, timezone, every_s, overlap, catch_up_s, jitter_s, anchor_at,
             next_slot_at, next_at, set_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $10)
         ON CONFLICT (workspace_id, source_id, kind) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone,
             every_s = excluded.every_s, overlap = excluded.overlap, catch_up_s = excluded.catch_up_s, jitter_s = excluded.jitter_s,
             anchor_at = excluded.anchor_at, next_slot_at = excluded.next_slot_at, next_at = excluded.next_at, queued_slot_at = NULL,
             set_at = excluded.set_at",
        workspace,
        source.id.0,
        name_of(&new.kind),
        cron,
        timezone,
        every_s,
        name_of(&new.schedule.overlap),
        new.schedule.catch_up_s,
        new.schedule.jitter_s,
        new.anchor_at,
        first.map(|first| first.slot),
        first.map(|first| first.at)
    )?;
    Ok(())
}

/// Takes a schedule of a locked source away.
pub(crate) async fn remove(cx: &mut Cx, workspace: Uuid, source: SourceId, kind: ScheduleKind) -> Result<()> {
    q!(
        cx,
        execute,
        "DELETE FROM schedule WHERE workspace_id = $1 AND source_id = $2 AND kind = $3",
        workspace,
        source.0,
        name_of(&kind)
    )?;
    Ok(())
}

/// Leaves the schedules of a locked source without a next moment.
pub(crate) async fn halt(cx: &mut Cx, workspace: Uuid, source: SourceId) -> Result<()> {
    q!(
        cx,
        execute,
        "UPDATE schedule SET next_slot_at = NULL, next_at = NULL, queued_slot_at = NULL WHERE workspace_id = $1 AND source_id = $2",
        workspace,
        source.0
    )?;
    Ok(())
}

/// Gives the schedules of a locked source their next moments.
pub(crate) async fn go_on(
    cx: &mut Cx,
    workspace: Uuid,
    source: SourceId,
    next: &[(ScheduleKind, Option<Start>)],
    now: Instant,
) -> Result<()> {
    for (kind, next) in next {
        q!(
            cx,
            execute,
            "UPDATE schedule SET next_slot_at = $4, next_at = $5, set_at = $6 WHERE workspace_id = $1 AND source_id = $2 AND kind = $3",
            workspace,
            source.0,
            name_of(kind),
            next.map(|next| next.slot),
            next.map(|next| next.at),
            now
        )?;
    }
    Ok(())
}

/// Pauses a locked source.
pub(crate) async fn pause(cx: &mut Cx, workspace: Uuid, source: SourceId, pause: &Pause) -> Result<()> {
    refuse_nul([pause.note.as_str(), &pause.by])?;
    q!(
        cx,
        execute,
        "UPDATE source SET paused_at = $3, paused_by = $4, pause_reason = $5, pause_note = $6 WHERE workspace_id = $1 AND id = $2",
        workspace,
        source.0,
        pause.at,
        &pause.by,
        name_of(&pause.reason),
        &pause.note
    )?;
    halt(cx, workspace, source).await
}

/// Pauses a locked source with schedules whose last runs all failed, so many as its own limit says. Runs that were cancelled say
/// nothing, and neither do those of an older configuration, of before the source was last resumed, or that were refused because the
/// connector is in quarantine.
pub(crate) async fn pause_if_failing(cx: &mut Cx, workspace: Uuid, source: &Source, now: Instant) -> Result<()> {
    let limit = source.pause_after_failures;
    if limit == 0 || source.pause.is_some() || !of_sources(cx, workspace, &[source.id]).await?.contains_key(&source.id)
    {
        return Ok(());
    }
    let ended = q!(
        cx,
        fetch_all as (String, Option<String>),
        "SELECT status, error_detail FROM run
         WHERE workspace_id = $1 AND source_id = $2 AND kind IN ('sync', 'full') AND config_revision = $4
             AND status IN ('succeeded', 'partial', 'failed') AND ($5 IS NULL OR queued_at >= $5)
             AND COALESCE(error_code, '') <> 'connector_quarantined'
         ORDER BY id DESC LIMIT $3",
        workspace,
        source.id.0,
        limit,
        source.config_revision,
        source.failures_since
    )?;
    let failed = name_of(&RunStatus::Failed);
    if (ended.len() as i64) < limit || ended.iter().any(|(status, _)| *status != failed) {
        return Ok(());
    }
    let last = ended.into_iter().next().and_then(|(_, detail)| detail).unwrap_or_default();
    let note = format!(
        "The last {limit} runs failed, so its schedules wait. The last one said: {last} Put that right, see with a sync by hand that it \
         works, then resume the source."
    );
    tracing::warn!(source = %source.id, failures = limit, "a source was paused: its runs fail one after the other");
    let by = "schedule".to_owned();
    pause(cx, workspace, source.id, &Pause { at: now, by, reason: PauseReason::Failures, note }).await
}

impl TenantDb {
    /// Pauses a source: none of its schedules fires. One that is paused keeps its first date and takes the new note.
    pub async fn pause_source(&self, id: SourceId, mut new: Pause) -> Result<()> {
        if !self.audience().admits_source(id) {
            return Err(Error::NotFound("source"));
        }
        let mut cx = self.write().await?;
        let source = sources::lock(&mut cx, self.key(), id).await?;
        if let Some(pause) = source.pause {
            new.at = pause.at;
        }
        pause(&mut cx, self.key(), id, &new).await?;
        cx.commit().await
    }

    /// Ends a pause; each schedule goes on with its next moment, given here. What failed before counts no more.
    pub async fn resume_source(
        &self,
        id: SourceId,
        next: &[(ScheduleKind, Option<Start>)],
        now: Instant,
    ) -> Result<()> {
        if !self.audience().admits_source(id) {
            return Err(Error::NotFound("source"));
        }
        let mut cx = self.write().await?;
        if sources::lock(&mut cx, self.key(), id).await?.pause.is_none() {
            return Ok(());
        }
        q!(
            cx,
            execute,
            "UPDATE source SET paused_at = NULL, paused_by = NULL, pause_reason = NULL, pause_note = NULL, failures_since = $3
             WHERE workspace_id = $1 AND id = $2",
            self.key(),
            id.0,
            now
        )?;
        go_on(&mut cx, self.key(), id, next, now).await?;
        cx.commit().await
    }

    /// What became of the last slots of a source, newest first.
    pub async fn past_slots(&self, id: SourceId, limit: i64) -> Result<Vec<PastSlot>> {
        if !self.audience().admits_source(id) {
            return Ok(Vec::new());
        }
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as (String, Instant, Instant, String, Option<Uuid>),
            "SELECT kind, slot, fired_at, outcome, run_id FROM schedule_slot WHERE workspace_id = $1 AND source_id = $2
             ORDER BY slot DESC, kind LIMIT $3",
            self.key(),
            id.0,
            limited(limit)
        )?;
        let slots = rows.into_iter().map(|(kind, slot, fired_at, outcome, run_id)| {
            let outcome = named::<SlotOutcome>(&outcome)?;
            Ok(PastSlot { kind: named(&kind)?, slot, fired_at, outcome, run_id: run_id.map(Into::into) })
        });
        slots.collect()
    }
}
