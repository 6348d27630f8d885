//! The clock, injected wherever time decides something.

use std::sync::Mutex;

use chrono::{SubsecRound, Utc};

use crate::Instant;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now, truncated to microseconds.
    fn now(&self) -> Instant;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Utc::now().trunc_subsecs(6)
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(Mutex<Instant>);

impl ManualClock {
    /// Stands at `now`.
    pub fn at(now: Instant) -> Self {
        Self(Mutex::new(now))
    }

    /// Jumps to `now`, backwards too.
    pub fn set(&self, now: Instant) {
        *self.0.lock().unwrap_or_else(|broken| broken.into_inner()) = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}
