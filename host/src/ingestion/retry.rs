//! What a failure means for a run: try again, wait, start over, or give up and say what to do.

use std::time::Duration;

use tributary_core::{
    contract::{Failure, Fault},
    job::Lease,
    run::RunError,
    source::Health,
};

use super::stage::STALLED;
use crate::jobs;

/// How long a source is left alone that asks for it without saying how long.
const UNSPOKEN: Duration = Duration::from_secs(30);

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
    let asked = failure.retry_after_ms.map(Duration::from_millis);
    let again = |asked| {
        if lease.attempt < lease.max_attempts {
            Verdict::Retry(jobs::pause(lease.attempt, asked))
        } else {
            Verdict::GiveUp(Health::Failing)
        }
    };
    match failure.fault {
        Fault::RateLimited => Verdict::Wait(jobs::pause(lease.attempt, asked.or(Some(UNSPOKEN)))),
        Fault::Transient => again(asked),
        Fault::Trap | Fault::Deadline | Fault::Memory | Fault::Internal if lease.attempt < 3 => again(None),
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tributary_core::{JobId, RunId, WorkspaceId, job::Work};

    use super::*;

    fn decided(fault: Fault, retry_after_ms: Option<u64>, attempt: i64) -> Verdict {
        let lease = Lease {
            job_id: JobId::new(),
            workspace_id: WorkspaceId(uuid::Uuid::now_v7()),
            attempt,
            max_attempts: 25,
            work: Work::Sync { run_id: RunId::new() },
            late_ms: 0,
        };
        verdict(&Failure { retry_after_ms, ..Failure::new(fault, "code", "message") }, &lease)
    }

    #[test]
    fn a_source_is_never_asked_again_before_the_moment_it_named() {
        let hours = Duration::from_secs(2_000)..=Duration::from_secs(2_200);
        let asked = Some(2_000_000);
        for _ in 0..50 {
            let (Verdict::Wait(quota), Verdict::Retry(broken)) =
                (decided(Fault::RateLimited, asked, 1), decided(Fault::Transient, asked, 3))
            else {
                panic!("both are tried again")
            };
            assert!(hours.contains(&quota) && hours.contains(&broken), "{quota:?} {broken:?}");
        }
        let Verdict::Wait(unspoken) = decided(Fault::RateLimited, None, 9) else { panic!("it waits") };
        assert!(unspoken >= UNSPOKEN && unspoken <= UNSPOKEN * 2, "{unspoken:?}");
    }

    #[test]
    fn what_fails_for_good_is_given_up_and_the_rest_less_and_less_often_tried() {
        let pause = |attempt| match decided(Fault::Transient, None, attempt) {
            Verdict::Retry(pause) => pause,
            other => panic!("{other:?}"),
        };
        assert!(pause(1) <= Duration::from_secs(2) && pause(8) >= Duration::from_secs(100));
        assert_eq!(decided(Fault::Transient, None, 25), Verdict::GiveUp(Health::Failing));
        assert_eq!(decided(Fault::Trap, None, 3), Verdict::GiveUp(Health::Failing), "a defect does not go away");
        assert_eq!(decided(Fault::AuthExpired, None, 1), Verdict::GiveUp(Health::NeedsAttention));
        assert_eq!(decided(Fault::CursorExpired, None, 1), Verdict::StartOver);
    }
}
