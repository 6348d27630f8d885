//! What every limiter promises, whatever it counts in.

use std::sync::Arc;

use chrono::TimeDelta;
use tributary_core::{Instant, ManualClock};

use super::*;

const BURST: Policy = Policy::new("burst", 3, Window::Seconds(60));
const DAILY: Policy = Policy::new("daily", 5, Window::Day);

fn start() -> Instant {
    "2027-03-31T12:00:00Z".parse().unwrap()
}

fn local() -> (Arc<ManualClock>, Limiter) {
    let clock = Arc::new(ManualClock::at(start()));
    (clock.clone(), Limiter::local(clock))
}

/// Policy, remaining and reset of every standing.
fn standings(decision: &Decision) -> Vec<(&str, u64, u64)> {
    decision.standings.iter().map(|one| (one.policy.as_ref(), one.remaining, one.reset_s)).collect()
}

#[tokio::test]
async fn a_window_begins_with_the_first_charge_and_ends_to_the_second() {
    let (clock, limiter) = local();
    clock.set(start() + TimeDelta::milliseconds(12_345));
    assert_eq!(standings(&limiter.take("a", &[BURST], 1).await), [("burst", 2, 60)]);
    clock.set(start() + TimeDelta::milliseconds(12_345 + 59_001));
    assert!(limiter.take("a", &[BURST], 2).await.allowed());
    let refused = limiter.take("a", &[BURST], 1).await;
    assert_eq!((refused.allowed(), refused.retry_after_s()), (false, Some(1)));
    assert!(limiter.take("b", &[BURST], 3).await.allowed(), "another key has its own window");
    clock.set(start() + TimeDelta::milliseconds(12_345 + 60_000));
    assert_eq!(standings(&limiter.take("a", &[BURST], 1).await), [("burst", 2, 60)]);
}

#[tokio::test]
async fn a_key_is_charged_under_all_policies_or_under_none() {
    let (clock, limiter) = local();
    assert!(limiter.take("a", &[BURST, DAILY], 3).await.allowed());
    clock.set(start() + TimeDelta::seconds(60));
    let refused = limiter.take("a", &[BURST, DAILY], 3).await;
    assert_eq!(refused.violated().collect::<Vec<_>>(), ["daily"]);
    assert_eq!(standings(&refused), [("burst", 3, 60), ("daily", 2, 12 * 3_600 - 60)]);
    assert_eq!(refused.retry_after_s(), Some(12 * 3_600 - 60));
    assert!(limiter.take("a", &[BURST, DAILY], 2).await.allowed());
}

#[tokio::test]
async fn what_was_used_after_the_fact_counts_past_the_quota() {
    let (clock, limiter) = local();
    let over = limiter.charge("a", &[DAILY], 50).await;
    assert_eq!((over.allowed(), standings(&over)), (false, vec![("daily", 0, 12 * 3_600)]));
    assert!(!limiter.peek("a", &[DAILY]).await.allowed());
    assert!(!limiter.charge("a", &[DAILY], u64::MAX).await.allowed());
    clock.set("2027-04-01T00:00:00Z".parse().unwrap());
    assert!(limiter.take("a", &[DAILY], 5).await.allowed(), "a new day");
}

#[tokio::test]
async fn asking_counts_nothing() {
    let (_, limiter) = local();
    for _ in 0..10 {
        assert_eq!(standings(&limiter.peek("a", &[BURST]).await), [("burst", 3, 60)]);
    }
    limiter.take("a", &[BURST], 3).await;
    assert!(!limiter.peek("a", &[BURST]).await.allowed());
}

#[tokio::test]
async fn what_is_given_back_can_be_taken_again_but_never_more() {
    let (_, limiter) = local();
    limiter.take("a", &[BURST], 3).await;
    limiter.refund("a", &[BURST], 1).await;
    assert!(!limiter.take("a", &[BURST], 2).await.allowed());
    limiter.refund("a", &[BURST], 100).await;
    assert!(!limiter.take("a", &[BURST], 4).await.allowed());
    assert!(limiter.take("a", &[BURST], 3).await.allowed());
}

#[tokio::test]
async fn a_clock_set_back_locks_nobody_out_for_longer_than_a_window() {
    let (clock, limiter) = local();
    clock.set(start() + TimeDelta::days(365));
    limiter.take("a", &[BURST, DAILY], 3).await;
    clock.set(start());
    assert_eq!(limiter.take("a", &[BURST], 1).await.retry_after_s(), Some(60));
    clock.set(start() + TimeDelta::seconds(60));
    assert!(limiter.take("a", &[BURST], 1).await.allowed());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_get_no_more_than_the_quota() {
    let (_, limiter) = local();
    let limiter = Arc::new(limiter);
    let tasks = (0..200).map(|_| {
        tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.take("a", &[Policy::new("burst", 50, Window::Seconds(60))], 1).await.allowed() }
        })
    });
    let let_in = futures::future::join_all(tasks).await.into_iter().filter(|allowed| matches!(allowed, Ok(true)));
    assert_eq!(let_in.count(), 50);
}
