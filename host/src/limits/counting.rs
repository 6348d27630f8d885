//! The rule of counting, for one key under several policies. `shared.lua` is its twin for Redis.

use tributary_core::Instant;

use super::policy::{LARGEST, Policy};

/// What is done with the cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Counted under all policies, or under none when one has too little left.
    Take,
    /// Counted, even past the quota.
    Charge,
    /// Given back.
    Refund,
}

impl Operation {
    /// Its name in the script.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Take => "take",
            Self::Charge => "charge",
            Self::Refund => "refund",
        }
    }
}

/// One question to a limiter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub key: &'a str,
    pub policies: &'a [Policy],
    pub operation: Operation,
    /// At most [`LARGEST`]. Zero changes nothing and asks whether one unit would be let in.
    pub cost: u64,
    pub now: Instant,
}

/// What a key has used of one policy in its open window. A window in which nothing is used is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counter {
    /// At most [`LARGEST`].
    pub used: u64,
    /// Milliseconds of the Unix epoch.
    pub ends_ms: i64,
}

/// One policy after the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub counter: Counter,
    /// The cost did not fit.
    pub violated: bool,
}

impl Call<'_> {
    /// Counts; `stored` gives what is known of a policy, whether its window is still open or not.
    pub(super) fn count(&self, stored: impl Fn(&Policy) -> Option<Counter>) -> Vec<Counted> {
        let mut counted: Vec<_> = self
            .policies
            .iter()
            .map(|policy| {
                let counter = self.open_window(policy, stored(policy));
                Counted { counter, violated: counter.used + self.cost.max(1) > policy.quota.min(LARGEST) }
            })
            .collect();
        if self.operation == Operation::Take && counted.iter().any(|counted| counted.violated) {
            return counted;
        }
        for Counted { counter, .. } in &mut counted {
            counter.used = match self.operation {
                Operation::Take | Operation::Charge => (counter.used + self.cost).min(LARGEST),
                Operation::Refund => counter.used.saturating_sub(self.cost),
            };
        }
        counted
    }

    /// The window that is open now. None ends later than one that begins now would: a clock that was set back, or a
    /// window that was made shorter, locks nobody out for longer.
    fn open_window(&self, policy: &Policy, stored: Option<Counter>) -> Counter {
        let end_from_now = policy.window.end_ms(self.now);
        match stored {
            Some(Counter { used, ends_ms }) if ends_ms > self.now.timestamp_millis() => {
                Counter { used, ends_ms: ends_ms.min(end_from_now) }
            }
            _ => Counter { used: 0, ends_ms: end_from_now },
        }
    }
}
