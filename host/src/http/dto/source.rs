//! Sources, and when they sync.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{
    run::{self, RunStatus, Trigger},
    schedule::{self, Overlap, PauseReason, Rhythm, ScheduleKind},
    source::{self, Health},
};
use tributary_store::{DeletedSource, SourceWithRun};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Connector, Run};
use crate::schedules;

/// When a source syncs by itself: `cron`, or `every`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ScheduleBody {
    /// Five fields (minute hour day month weekday), six with the second first, or a name such as `@daily`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0 3 * * *")]
    pub cron: Option<String>,
    /// IANA time zone of `cron`; UTC when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub timezone: Option<String>,
    /// Elapsed time, at least a minute: `15m`, `2h`, `1d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// When the source is busy with another sync: skip, queue (run once when it is over) or cancel (ask it to stop, then run).
    #[schema(value_type = Option<String>, example = "skip")]
    pub overlap: Option<Overlap>,
    /// What was missed within this time becomes one run, older slots are dropped. `24h` when absent.
    pub catch_up: Option<String>,
    /// Starts are spread over so much time after the moment. When absent, a minute, or a tenth of the time to the next moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
}

impl From<ScheduleBody> for schedules::Draft {
    fn from(ScheduleBody { cron, timezone, every, overlap, catch_up, jitter }: ScheduleBody) -> Self {
        Self { cron, timezone, every, overlap, catch_up, jitter }
    }
}

impl From<schedule::Schedule> for ScheduleBody {
    fn from(schedule: schedule::Schedule) -> Self {
        let (cron, timezone, every) = match schedule.rhythm {
            Rhythm::Cron { expression, timezone } => (Some(expression), Some(timezone), None),
            Rhythm::Every { seconds } => (None, None, Some(schedules::in_words(seconds))),
        };
        Self {
            cron,
            timezone,
            every,
            overlap: Some(schedule.overlap),
            catch_up: Some(schedules::in_words(schedule.catch_up_s)),
            jitter: schedule.jitter_s.map(schedules::in_words),
        }
    }
}

/// Why a source's schedules wait.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Paused {
    pub at: DateTime<Utc>,
    /// Who paused it, such as `user:…`; `schedule` is the server itself.
    pub by: String,
    /// by_hand, failures or schedule.
    #[schema(value_type = String)]
    pub reason: PauseReason,
    /// In words, and what to do.
    pub note: String,
}

/// A source.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Source {
    pub id: Uuid,
    pub name: String,
    pub connector: Connector,
    pub config: serde_json::Value,
    pub schedule: Option<ScheduleBody>,
    /// When everything is read again.
    pub full_schedule: Option<ScheduleBody>,
    /// The next start of either schedule; null without one and while the source is paused.
    pub next_run_at: Option<DateTime<Utc>>,
    /// Set while its schedules wait.
    pub paused: Option<Paused>,
    /// So many failed runs in a row pause it; 0 for never.
    pub pause_after_failures: i64,
    pub last_run: Option<Run>,
    /// healthy, degraded, failing, needs_attention or paused.
    #[schema(value_type = String)]
    pub health: Health,
    /// Why it is not healthy, and what to do.
    pub health_reason: Option<HealthReason>,
    pub health_since: DateTime<Utc>,
    /// The end of the last run that was not given up.
    pub last_success_at: Option<DateTime<Utc>>,
    /// The end of the last run that changed a document.
    pub last_change_at: Option<DateTime<Utc>>,
    /// Seconds the source is behind its schedule: its moment has passed, or its run waits for a worker.
    pub behind_s: i64,
    pub created_at: DateTime<Utc>,
    /// Only of a deleted source.
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<SourceDeletion>,
}

/// How a source was deleted, and how long it can be restored.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SourceDeletion {
    at: DateTime<Utc>,
    /// `user:ID`, `key:ID` or `operator`.
    by: Option<String>,
    /// From when on it is removed for good.
    purge_at: DateTime<Utc>,
    /// Set while it is being removed: what is gone by then does not come back.
    purging_since: Option<DateTime<Utc>>,
    /// Documents that are still kept, hidden; fewer and fewer while it is being removed.
    documents: i64,
}

impl Source {
    /// A deleted one, in a workspace that removes such after so many days.
    pub(in crate::http) fn deleted(it: DeletedSource, purge_after_days: u16) -> Self {
        let deletion = SourceDeletion {
            at: it.deleted_at,
            by: it.deleted_by,
            purge_at: it.purging_at.unwrap_or(it.deleted_at + TimeDelta::days(purge_after_days.into())),
            purging_since: it.purging_at,
            documents: it.documents,
        };
        let source = SourceWithRun { source: it.source, schedules: it.schedules, last_run: None };
        Self { deletion: Some(deletion), behind_s: 0, ..source.into() }
    }
}

/// Why a source is not healthy.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct HealthReason {
    /// Stable, snake_case.
    pub code: String,
    /// What happened and what to do.
    pub detail: String,
}

/// Seconds behind schedule.
fn behind_s(next_run_at: Option<DateTime<Utc>>, last_run: Option<&run::Run>) -> i64 {
    let queued = last_run.filter(|run| run.status == RunStatus::Queued && run.trigger == Trigger::Schedule);
    let due = queued.map(|run| run.queued_at).into_iter().chain(next_run_at).min();
    due.map_or(0, |due| (Utc::now() - due).num_seconds().max(0))
}

impl From<SourceWithRun> for Source {
    fn from(SourceWithRun { source, schedules, last_run }: SourceWithRun) -> Self {
        let schedule = |kind: ScheduleKind| {
            schedules.iter().find(|scheduled| scheduled.kind == kind).map(|scheduled| scheduled.schedule.clone().into())
        };
        let next_run_at = schedules.iter().filter_map(|scheduled| scheduled.next).map(|next| next.at).min();
        let behind_s = behind_s(next_run_at, last_run.as_ref());
        let condition = source.condition;
        let stored = condition.reason.map(|source::HealthReason { code, detail }| HealthReason { code, detail });
        // What stands behind a pause is told by the last run.
        let paused =
            source.pause.as_ref().map(|pause| HealthReason { code: "paused".to_owned(), detail: pause.note.clone() });
        Self {
            deletion: None,
            behind_s,
            health_reason: paused.or(stored),
            health_since: source.pause.as_ref().map_or(condition.since, |pause| pause.at),
            last_success_at: condition.last_success_at,
            last_change_at: condition.last_change_at,
            id: source.id.0,
            name: source.name,
            connector: source.connector.into(),
            config: source.config,
            schedule: schedule(ScheduleKind::Sync),
            full_schedule: schedule(ScheduleKind::Full),
            next_run_at,
            health: if source.pause.is_some() { Health::Paused } else { source.health },
            paused: source.pause.map(|pause| Paused {
                at: pause.at,
                by: pause.by,
                reason: pause.reason,
                note: pause.note,
            }),
            pause_after_failures: source.pause_after_failures,
            last_run: last_run.map(|run| Run::new(run, Vec::new())),
            created_at: source.created_at,
        }
    }
}
