//! Schedules: the schedule is data, the database decides what is due, tokio-cron-scheduler only ticks.

mod draft;
mod plan;
mod ticker;

use tributary_core::{Instant, SourceId, schedule::ScheduleKind};
use uuid::Uuid;

pub use draft::Draft;
pub use plan::{Plan, Turn, in_words};
pub use ticker::{Ticked, Ticker, mend, tick};

/// Why a schedule cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidSchedule {
    /// The field at fault, such as `cron`.
    pub field: &'static str,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl InvalidSchedule {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

/// The next slots of a schedule that nobody has saved, each also as the schedule's own clock shows it.
pub fn preview(
    draft: Draft,
    now: Instant,
    count: usize,
) -> Result<Vec<(Instant, chrono::DateTime<chrono::FixedOffset>)>, InvalidSchedule> {
    let schedule = draft.read(ScheduleKind::Sync)?;
    let plan = Plan::accept(&schedule, SourceId(Uuid::nil()), now)?;
    Ok(plan.upcoming(now).take(count).map(|start| (start.slot, plan.local(start.slot))).collect())
}
