//! Schedules: when a source syncs by itself. A source has at most one of each kind.

use serde::{Deserialize, Serialize};

use crate::{Instant, SourceId, WorkspaceId, run::RunKind};

/// What a schedule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Everything again. First, because it does what a sync does.
    Full,
    /// What has changed.
    Sync,
}

impl ScheduleKind {
    /// The run it starts.
    pub fn run_kind(self) -> RunKind {
        match self {
            Self::Full => RunKind::Full,
            Self::Sync => RunKind::Sync,
        }
    }
}

/// When it comes round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// At moments of a wall clock.
    Cron {
        /// Five fields, six with the second first, or a name such as `@daily`.
        expression: String,
        /// IANA time zone.
        timezone: String,
    },
    /// After so much elapsed time, whatever clocks on the wall do.
    Every {
        /// Seconds, at least 60.
        seconds: i64,
    },
}

/// What to do when the source is still busy with another sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Nothing; the next slot comes.
    Skip,
    /// Run once when it is over, however many slots passed meanwhile.
    Queue,
    /// Ask it to stop, then run.
    Cancel,
}

/// When a source syncs by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When it comes round.
    pub rhythm: Rhythm,
    /// What to do when the source is busy.
    pub overlap: Overlap,
    /// A slot missed longer ago than these seconds is dropped; what was missed within them becomes one run.
    pub catch_up_s: i64,
    /// Starts are spread over so many seconds after the slot; `None` takes the default.
    pub jitter_s: Option<i64>,
}

/// A slot, and when it starts: later than the slot by the source's share of the jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The moment the schedule names.
    pub slot: Instant,
    /// The moment of the start.
    pub at: Instant,
}

/// A schedule of a source, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// What it asks for.
    pub kind: ScheduleKind,
    /// When.
    pub schedule: Schedule,
    /// Intervals are counted from here.
    pub anchor_at: Instant,
    /// What comes next; `None` while the source is paused.
    pub next: Option<Start>,
    /// A slot that waits for the present run to end.
    pub queued_slot: Option<Instant>,
}

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotOutcome {
    /// A run was started.
    Started,
    /// It waits for the present run to end.
    Queued,
    /// The source was busy.
    Skipped,
    /// It was missed, too long ago to make up for.
    Missed,
}

/// A slot that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastSlot {
    /// Of which schedule.
    pub kind: ScheduleKind,
    /// The moment the schedule named.
    pub slot: Instant,
    /// When it was dealt with.
    pub fired_at: Instant,
    /// What became of it.
    pub outcome: SlotOutcome,
    /// The run it started.
    pub run_id: Option<crate::RunId>,
}

/// A schedule whose moment has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueSchedule {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// Of which source.
    pub source_id: SourceId,
    /// The schedule, as it was read.
    pub scheduled: Scheduled,
}

/// Why a source is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// Somebody wanted it.
    ByHand,
    /// Too many runs in a row failed.
    Failures,
    /// Its schedule cannot be computed any more.
    Schedule,
}

/// A pause: no schedule of the source fires. Syncs by hand work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Since when.
    pub at: Instant,
    /// Who paused it, such as `user:…`; `schedule` for the server itself.
    pub by: String,
    /// Why.
    pub reason: PauseReason,
    /// In words, and what to do.
    pub note: String,
}
