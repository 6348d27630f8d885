//! What an API key may ask for: requests with every call, tokens of language models after the fact.

use tributary_core::{
    KeyId,
    principal::{Actor, Principal},
};

use super::{Decision, Limiter, Policy, Window};

/// Requests a minute of a key that names no limit.
const REQUESTS_PER_MINUTE: u64 = 600;

/// Lets a request in, or says under which policy it is refused. People are not counted: there are few of them, and their log-ins are.
pub async fn request(limiter: &Limiter, principal: &Principal) -> Result<Decision, Decision> {
    let Actor::Key(key) = principal.actor else { return Ok(Decision::default()) };
    let limits = principal.limits;
    let mut policies =
        vec![Policy::new("burst", limits.requests_per_minute.unwrap_or(REQUESTS_PER_MINUTE), Window::Seconds(60))];
    policies.extend(limits.requests_per_day.map(|quota| Policy::new("daily", quota, Window::Day)));
    policies.extend(limits.requests_per_month.map(|quota| Policy::new("monthly", quota, Window::Month)));
    let mut decision = limiter.take(&of(key), &policies, 1).await;
    let tokens = tokens(principal);
    if !tokens.is_empty() && decision.allowed() {
        // Nothing is asked of a model any more once the tokens are used up; an answer that was begun is brought to its end.
        let mut standing = limiter.peek(&of(key), &tokens).await;
        standing.standings.iter_mut().for_each(|standing| standing.violated = standing.remaining == 0);
        decision = decision.join(standing);
    }
    decision.granted()
}

/// Counts tokens that an answer used.
pub async fn spent(limiter: &Limiter, principal: &Principal, used: u64) {
    let (Actor::Key(key), true) = (principal.actor, used > 0) else { return };
    limiter.charge(&of(key), &tokens(principal), used).await;
}

fn tokens(principal: &Principal) -> Vec<Policy> {
    let limits = principal.limits;
    let day = limits.tokens_per_day.map(|quota| Policy::new("daily-tokens", quota, Window::Day));
    let month = limits.tokens_per_month.map(|quota| Policy::new("monthly-tokens", quota, Window::Month));
    day.into_iter().chain(month).collect()
}

fn of(key: KeyId) -> String {
    format!("key:{key}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use tributary_core::{Clock, ManualClock, SystemClock, principal::KeyLimits};

    use super::*;

    fn key(limits: KeyLimits) -> Principal {
        Principal { actor: Actor::Key(KeyId::new()), instance_admin: false, grants: Vec::new(), limits }
    }

    #[tokio::test]
    async fn a_key_asks_no_more_than_it_may_and_others_go_on() {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let limiter = Limiter::local(clock.clone());
        let one = key(KeyLimits { requests_per_minute: Some(2), ..KeyLimits::default() });
        let other = key(KeyLimits::default());
        for _ in 0..2 {
            assert!(request(&limiter, &one).await.is_ok());
        }
        let refused = request(&limiter, &one).await.unwrap_err();
        assert_eq!(refused.violated().collect::<Vec<_>>(), ["burst"]);
        assert!(request(&limiter, &other).await.is_ok());
        clock.set(clock.now() + TimeDelta::seconds(60));
        assert!(request(&limiter, &one).await.is_ok());
        assert!(request(&limiter, &Principal::operator()).await.unwrap().standings.is_empty());
    }

    #[tokio::test]
    async fn tokens_are_counted_after_the_fact_and_then_nothing_is_asked() {
        let limiter = Limiter::local(Arc::new(SystemClock));
        let one = key(KeyLimits { tokens_per_day: Some(100), ..KeyLimits::default() });
        assert!(request(&limiter, &one).await.is_ok());
        spent(&limiter, &one, 90).await;
        assert!(request(&limiter, &one).await.is_ok(), "ten are left, so an answer is begun");
        spent(&limiter, &one, 60).await;
        let refused = request(&limiter, &one).await.unwrap_err();
        assert_eq!(refused.violated().collect::<Vec<_>>(), ["daily-tokens"]);
    }
}
