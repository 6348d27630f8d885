//! How often an account may be asked: the rates that connectors declare, and the pauses that sources ask for. All sources that use
//! one credential share them.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use governor::{
    DefaultDirectRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
};
use moka::sync::Cache;
use tributary_core::{
    contract::{Failure, Fault},
    http::Rate,
};

/// Accounts remembered; one that is not asked for an hour is forgotten.
const MOST_ACCOUNTS: u64 = 10_000;
const IDLE: Duration = Duration::from_secs(3_600);
/// Rates one request may name.
pub(crate) const MOST_RATES: usize = 4;
/// No pause that a source asks for is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);
/// Shorter waits are waited for here; for a longer one the connector gives its place away.
const SHORT_WAIT: Duration = Duration::from_secs(2);

pub(crate) struct Budgets {
    rates: Cache<(Arc<str>, Rate), Arc<DefaultDirectRateLimiter>>,
    pauses: Cache<Arc<str>, Arc<Mutex<Instant>>>,
    clock: DefaultClock,
}

impl Budgets {
    pub(crate) fn new() -> Self {
        Self {
            rates: Cache::builder().max_capacity(MOST_ACCOUNTS).time_to_idle(IDLE).build(),
            pauses: Cache::builder().max_capacity(MOST_ACCOUNTS).time_to_idle(IDLE).build(),
            clock: DefaultClock::default(),
        }
    }

    /// Waits for the account's turn, or says how long it would take.
    pub(crate) async fn take(&self, account: &Arc<str>, rates: &[Rate]) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            let Some(wait) = self.wait(account, rates) else { return Ok(()) };
            if start.elapsed() + wait > SHORT_WAIT {
                let mut failure = Failure::new(
                    Fault::RateLimited,
                    "rate_limited",
                    format!("the source may be asked again in {} s", wait.as_secs().max(1)),
                );
                failure.retry_after_ms = Some(wait.as_millis() as u64);
                return Err(failure);
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Nobody asks this account for so long.
    pub(crate) fn pause(&self, account: &Arc<str>, pause: Duration) {
        let until = Instant::now() + pause.min(LONGEST_PAUSE);
        let known = self.pauses.get_with(account.clone(), || Arc::new(Mutex::new(until)));
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = (*known).max(until);
    }

    fn wait(&self, account: &Arc<str>, rates: &[Rate]) -> Option<Duration> {
        if let Some(until) = self.pauses.get(account) {
            let until = *until.lock().unwrap_or_else(PoisonError::into_inner);
            let left = until.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Some(left);
            }
        }
        for rate in rates {
            let Some(quota) = quota(*rate) else { continue };
            let limiter = self.rates.get_with((account.clone(), *rate), || Arc::new(RateLimiter::direct(quota)));
            if let Err(not_until) = limiter.check() {
                return Some(not_until.wait_time_from(self.clock.now()).max(Duration::from_millis(1)));
            }
        }
        None
    }
}

fn quota(rate: Rate) -> Option<Quota> {
    let requests = NonZeroU32::new(rate.requests)?;
    let each = Duration::from_millis(rate.per_ms.clamp(1, 86_400_000)) / rate.requests;
    Some(Quota::with_period(each)?.allow_burst(requests))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sources_of_one_account_share_its_rate_and_others_do_not_wait() {
        let budgets = Budgets::new();
        let (ours, theirs): (Arc<str>, Arc<str>) = ("ours".into(), "theirs".into());
        let hourly = [Rate { requests: 2, per_ms: 3_600_000 }];
        budgets.take(&ours, &hourly).await.unwrap();
        budgets.take(&ours, &hourly).await.unwrap();
        let refused = budgets.take(&ours, &hourly).await.unwrap_err();
        assert_eq!(refused.fault, Fault::RateLimited);
        assert!(refused.retry_after_ms.unwrap() > 1_000_000, "{refused:?}");
        budgets.take(&theirs, &hourly).await.unwrap();
    }

    #[tokio::test]
    async fn a_source_that_asks_for_a_pause_gets_it_from_everybody() {
        let budgets = Budgets::new();
        let account: Arc<str> = "shop".into();
        budgets.pause(&account, Duration::from_secs(90));
        budgets.pause(&account, Duration::from_secs(5));
        let refused = budgets.take(&account, &[]).await.unwrap_err();
        assert!((85_000..=90_000).contains(&refused.retry_after_ms.unwrap()), "{refused:?}");
    }

    #[tokio::test]
    async fn a_rate_of_nothing_is_no_rate() {
        let budgets = Budgets::new();
        budgets
            .take(&"x".into(), &[Rate { requests: 0, per_ms: 0 }, Rate { requests: u32::MAX, per_ms: 1 }])
            .await
            .unwrap();
    }
}
