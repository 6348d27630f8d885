//! A schedule as people write it, and the rules it has to keep.

use tributary_core::schedule::{Overlap, Rhythm, Schedule, ScheduleKind};

use super::{
    InvalidSchedule,
    plan::{LONGEST_S, WIDEST_S, duration_s},
};

/// How long ago a slot may have been missed and is still made up for, in seconds, unless the schedule says otherwise.
const CATCH_UP_S: i64 = 86_400;

/// A schedule as people write it; what is left out takes its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// A cron expression; this or `every`.
    pub cron: Option<String>,
    /// IANA time zone of `cron`; UTC when absent.
    pub timezone: Option<String>,
    /// An interval such as `15m`.
    pub every: Option<String>,
    /// What to do when the source is busy.
    pub overlap: Option<Overlap>,
    /// How long ago a slot may have been missed, such as `24h`.
    pub catch_up: Option<String>,
    /// How far starts are spread, such as `5m`.
    pub jitter: Option<String>,
}

impl Draft {
    /// What it says, checked field by field; whether it ever comes round is for `Plan::accept` to say.
    pub fn read(self, kind: ScheduleKind) -> Result<Schedule, InvalidSchedule> {
        let rhythm = match (self.cron, self.every) {
            (Some(_), Some(_)) => {
                return Err(InvalidSchedule::new("every", "a schedule has either cron or every, not both"));
            }
            (None, None) => {
                let message = "a schedule needs cron, as in 0 3 * * *, or every, as in 15m";
                return Err(InvalidSchedule::new("cron", message));
            }
            (Some(expression), None) => {
                let timezone = self.timezone.unwrap_or_else(|| "UTC".to_owned());
                Rhythm::Cron { expression: expression.trim().to_owned(), timezone }
            }
            (None, Some(_)) if self.timezone.is_some() => {
                let message = "an interval is elapsed time and has no time zone; leave it out";
                return Err(InvalidSchedule::new("timezone", message));
            }
            (None, Some(every)) => Rhythm::Every { seconds: duration_s("every", &every)? },
        };
        let catch_up_s = self.catch_up.map(|text| duration_s("catch_up", &text)).transpose()?.unwrap_or(CATCH_UP_S);
        if catch_up_s > LONGEST_S {
            return Err(InvalidSchedule::new("catch_up", "the catch-up window is at most ten years"));
        }
        let jitter_s = self.jitter.map(|text| duration_s("jitter", &text)).transpose()?;
        if jitter_s.is_some_and(|jitter_s| jitter_s > WIDEST_S) {
            return Err(InvalidSchedule::new("jitter", "the jitter is at most 1d"));
        }
        // A full resync that is skipped would be missing for a week; a sync comes again soon.
        let overlap = self.overlap.unwrap_or(match kind {
            ScheduleKind::Sync => Overlap::Skip,
            ScheduleKind::Full => Overlap::Queue,
        });
        Ok(Schedule { rhythm, overlap, catch_up_s, jitter_s })
    }
}
