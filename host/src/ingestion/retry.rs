//! What a failure means for a run: try again, wait, start over, or give up and say what to do.

use std::time::Duration;

use rand::RngExt;
use tributary_core::{
    contract::{Failure, Fault},
    job::Lease,
    run::RunError,
    source::Health,
};

use super::stage::STALLED;

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// What to do next.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Ask again later; does not count as a try.
    Wait(Duration),
    /// Try again later; counts.
    Retry(Duration),
    /// The cursor is void: give this run up and start a full one.
    StartOver,
    /// Over.
    GiveUp(Health),
}

/// Decides by the kind of fault and the tries so far.
pub(super) fn verdict(failure: &Failure, lease: &Lease) -> Verdict {
    let again = |pause: Duration| {
        if lease.attempt < lease.max_attempts { Verdict::Retry(pause) } else { Verdict::GiveUp(Health::Failing) }
    };
    match failure.fault {
        Fault::RateLimited => Verdict::Wait(
            failure
                .retry_after_ms
                .map_or(Duration::from_secs(30), Duration::from_millis)
                .min(Duration::from_secs(3_600)),
        ),
        Fault::Transient => {
            again(failure.retry_after_ms.map_or_else(|| pause(lease.attempt), Duration::from_millis).min(LONGEST_PAUSE))
        }
        Fault::Trap | Fault::Deadline | Fault::Memory | Fault::Internal if lease.attempt < 3 => {
            again(pause(lease.attempt))
        }
        Fault::CursorExpired => Verdict::StartOver,
        Fault::Config | Fault::AuthInvalid | Fault::AuthExpired | Fault::Permission | Fault::NotFound => {
            Verdict::GiveUp(Health::NeedsAttention)
        }
        _ => Verdict::GiveUp(Health::Failing),
    }
}

/// Whether the sandbox had to end the connector. A stage that stood still may have waited for somebody else.
pub(super) fn is_kill(failure: &Failure) -> bool {
    matches!(failure.fault, Fault::Trap | Fault::Memory | Fault::Deadline) && failure.code != STALLED
}

/// Exponential with full jitter, from one second.
/// <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>
fn pause(attempt: i64) -> Duration {
    let ceiling_ms = 1_000_u64.saturating_mul(1 << attempt.clamp(0, 9)).min(LONGEST_PAUSE.as_millis() as u64);
    Duration::from_millis(rand::rng().random_range(ceiling_ms / 2..=ceiling_ms))
}

/// The failure as the admin reads it.
pub(super) fn error(failure: &Failure) -> RunError {
    let advice = match failure.fault {
        Fault::Trap | Fault::Internal => " The connector has a defect; tell its author, with the run's id.",
        Fault::Deadline => " It took too long; raise connector_cpu_ms, or split the source.",
        Fault::Memory => " It needs more memory than it may have; split the source.",
        _ => "",
    };
    RunError {
        code: failure.code.clone(),
        detail: format!("{}{advice}", failure.message),
        config_pointer: failure.config_pointer.as_ref().map(|pointer| format!("/config{pointer}")),
    }
}
