//! What a limiter answers.

use std::borrow::Cow;

use super::{
    counting::{Call, Counted},
    policy::LARGEST,
};

/// A key's standing under every policy it was asked for, in their order. Several decisions may be joined into one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// One for each policy.
    pub standings: Vec<Standing>,
}

/// A key's standing under one policy, after the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Name of the policy.
    pub policy: Cow<'static, str>,
    /// Units a window.
    pub quota: u64,
    /// Length of the window in seconds.
    pub window_s: u64,
    /// Units left.
    pub remaining: u64,
    /// Seconds until the whole quota is there again, at least one.
    pub reset_s: u64,
    /// Whether the cost did not fit.
    pub violated: bool,
}

impl Decision {
    pub(super) fn new(call: &Call<'_>, counted: &[Counted]) -> Self {
        let now_ms = call.now.timestamp_millis();
        let standing = |(policy, &Counted { counter, violated }): (&super::Policy, &Counted)| {
            let quota = policy.quota.min(LARGEST);
            Standing {
                policy: policy.name.clone(),
                quota,
                window_s: policy.window.length_s(call.now),
                remaining: quota.saturating_sub(counter.used),
                reset_s: counter.ends_ms.saturating_sub(now_ms).max(1).cast_unsigned().div_ceil(1_000),
                violated,
            }
        };
        Self { standings: call.policies.iter().zip(counted).map(standing).collect() }
    }

    /// Whether the cost fitted under every policy.
    pub fn allowed(&self) -> bool {
        self.violated().next().is_none()
    }

    /// Itself when the cost fitted, and itself as the error when it did not.
    pub fn granted(self) -> Result<Self, Self> {
        if self.allowed() { Ok(self) } else { Err(self) }
    }

    /// Names of the policies under which it did not.
    pub fn violated(&self) -> impl Iterator<Item = &str> {
        self.standings.iter().filter(|standing| standing.violated).map(|standing| standing.policy.as_ref())
    }

    /// Seconds until none of the violated policies is in the way; `None` when none is.
    pub fn retry_after_s(&self) -> Option<u64> {
        self.standings.iter().filter(|standing| standing.violated).map(|standing| standing.reset_s).max()
    }

    /// Adds another key's standings.
    pub fn join(mut self, other: Self) -> Self {
        self.standings.extend(other.standings);
        self
    }
}
