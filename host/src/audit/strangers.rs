//! How much of the log people without a log-in may fill: else anybody could fill the disk.

use std::sync::{Mutex, PoisonError};

use tributary_core::Instant;

/// Events of strangers that one host records in a minute.
const PER_MINUTE: u32 = 120;

/// Counts strangers' events of this minute.
#[derive(Default)]
pub(super) struct Strangers(Mutex<Window>);

#[derive(Default)]
struct Window {
    minute: i64,
    recorded: u32,
    /// Events that were left out since the last one recorded.
    skipped: u64,
}

/// Whether to record a stranger's event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Yes, and say how many were left out before it.
    Granted { skipped: u64 },
    /// No; it is counted.
    Refused,
}

impl Strangers {
    pub(super) fn turn(&self, now: Instant) -> Turn {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = now.timestamp() / 60;
        if minute != window.minute {
            (window.minute, window.recorded) = (minute, 0);
        }
        if window.recorded >= PER_MINUTE {
            window.skipped += 1;
            return Turn::Refused;
        }
        window.recorded += 1;
        Turn::Granted { skipped: std::mem::take(&mut window.skipped) }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_flood_of_strangers_is_counted_and_told_of_with_the_next_event() {
        let (strangers, now) = (Strangers::default(), Instant::UNIX_EPOCH);
        for _ in 0..PER_MINUTE {
            assert_eq!(strangers.turn(now), Turn::Granted { skipped: 0 });
        }
        assert_eq!(strangers.turn(now), Turn::Refused);
        assert_eq!(strangers.turn(now), Turn::Refused);
        let later = now + TimeDelta::minutes(1);
        assert_eq!(strangers.turn(later), Turn::Granted { skipped: 2 });
        assert_eq!(strangers.turn(later), Turn::Granted { skipped: 0 });
    }
}
