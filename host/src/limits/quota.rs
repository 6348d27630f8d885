//! What keys and visitors may ask for: requests with every call, tokens of language models after the fact.

use tributary_core::{
    KeyId, VisitorId,
    principal::{Actor, KeyLimits, Principal},
};

use super::{Decision, Limiter, Policy, Window};

/// Of a key that names no limits.
const KEY: KeyLimits = KeyLimits { requests_per_minute: Some(600), ..NONE };
/// Of a widget key, with all its visitors.
const WIDGET: KeyLimits = KeyLimits {
    requests_per_minute: Some(300),
    requests_per_day: Some(20_000),
    tokens_per_day: Some(5_000_000),
    ..NONE
};
/// Of one visitor.
const VISITOR: KeyLimits =
    KeyLimits { requests_per_minute: Some(20), requests_per_day: Some(200), tokens_per_day: Some(100_000), ..NONE };
const NONE: KeyLimits = KeyLimits {
    requests_per_minute: None,
    requests_per_day: None,
    requests_per_month: None,
    tokens_per_day: None,
    tokens_per_month: None,
};

/// Lets a request in, or says under which policy it is refused. People are not counted: there are few of them, and their log-ins are.
pub async fn request(limiter: &Limiter, principal: &Principal) -> Result<Decision, Decision> {
    match principal.actor {
        Actor::Key(key) => take(limiter, &of_key(key), &names::KEY, principal.limits.or(KEY)).await,
        Actor::Visitor { id, key } => {
            let limits = principal.visitor_limits.or(VISITOR);
            let alone = take(limiter, &of_visitor(id), &names::VISITOR, limits).await?;
            // How busy the site is concerns no visitor, unless it is in their way.
            match take(limiter, &of_key(key), &names::KEY, principal.limits.or(WIDGET)).await {
                Ok(_) => Ok(alone),
                Err(together) => {
                    limiter.refund(&of_visitor(id), &requests(&names::VISITOR, limits), 1).await;
                    Err(alone.join(together))
                }
            }
        }
        Actor::User { .. } | Actor::Operator => Ok(Decision::default()),
    }
}

/// Counts tokens that an answer used.
pub async fn spent(limiter: &Limiter, principal: &Principal, used: u64) {
    if used == 0 {
        return;
    }
    match principal.actor {
        Actor::Key(key) => {
            limiter.charge(&of_key(key), &tokens(&names::KEY, principal.limits.or(KEY)), used).await;
        }
        Actor::Visitor { id, key } => {
            let alone = tokens(&names::VISITOR, principal.visitor_limits.or(VISITOR));
            limiter.charge(&of_visitor(id), &alone, used).await;
            limiter.charge(&of_key(key), &tokens(&names::KEY, principal.limits.or(WIDGET)), used).await;
        }
        Actor::User { .. } | Actor::Operator => {}
    }
}

async fn take(limiter: &Limiter, key: &str, names: &Names, limits: KeyLimits) -> Result<Decision, Decision> {
    let mut decision = limiter.take(key, &requests(names, limits), 1).await;
    let tokens = tokens(names, limits);
    if !tokens.is_empty() && decision.allowed() {
        // Nothing is asked of a model any more once the tokens are used up; an answer that was begun is brought to its end.
        let mut standing = limiter.peek(key, &tokens).await;
        standing.standings.iter_mut().for_each(|standing| standing.violated = standing.remaining == 0);
        decision = decision.join(standing);
    }
    decision.granted()
}

/// What clients see the policies called.
struct Names {
    minute: &'static str,
    day: &'static str,
    month: &'static str,
    day_tokens: &'static str,
    month_tokens: &'static str,
}

mod names {
    use super::Names;

    pub(super) const KEY: Names = Names {
        minute: "burst",
        day: "daily",
        month: "monthly",
        day_tokens: "daily-tokens",
        month_tokens: "monthly-tokens",
    };
    pub(super) const VISITOR: Names = Names {
        minute: "visitor-burst",
        day: "visitor-daily",
        month: "visitor-monthly",
        day_tokens: "visitor-daily-tokens",
        month_tokens: "visitor-monthly-tokens",
    };
}

fn requests(names: &Names, limits: KeyLimits) -> Vec<Policy> {
    let minute = limits.requests_per_minute.map(|quota| Policy::new(names.minute, quota, Window::Seconds(60)));
    let day = limits.requests_per_day.map(|quota| Policy::new(names.day, quota, Window::Day));
    let month = limits.requests_per_month.map(|quota| Policy::new(names.month, quota, Window::Month));
    [minute, day, month].into_iter().flatten().collect()
}

fn tokens(names: &Names, limits: KeyLimits) -> Vec<Policy> {
    let day = limits.tokens_per_day.map(|quota| Policy::new(names.day_tokens, quota, Window::Day));
    let month = limits.tokens_per_month.map(|quota| Policy::new(names.month_tokens, quota, Window::Month));
    day.into_iter().chain(month).collect()
}

fn of_key(key: KeyId) -> String {
    format!("key:{key}")
}

fn of_visitor(visitor: VisitorId) -> String {
    format!("visitor:{visitor}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use tributary_core::{Clock, ManualClock, SystemClock, principal::KeyLimits};

    use super::*;

    fn key(limits: KeyLimits) -> Principal {
        Principal { actor: Actor::Key(KeyId::new()), instance_admin: false, limits, ..Principal::operator() }
    }

    fn visitor(key: KeyId, limits: KeyLimits, visitor_limits: KeyLimits) -> Principal {
        let actor = Actor::Visitor { id: VisitorId::new(), key };
        Principal { actor, instance_admin: false, limits, visitor_limits, ..Principal::operator() }
    }

    #[tokio::test]
    async fn a_visitor_is_limited_alone_and_with_all_the_others_of_the_widget() {
        let limiter = Limiter::local(Arc::new(SystemClock));
        let per_minute = |quota| KeyLimits { requests_per_minute: Some(quota), ..KeyLimits::default() };
        let key = KeyId::new();
        let [one, two, three] = [(); 3].map(|()| visitor(key, per_minute(5), per_minute(2)));
        for who in [&one, &one, &two, &two] {
            let decision = request(&limiter, who).await.unwrap();
            assert!(decision.standings.iter().all(|it| it.policy.starts_with("visitor-")), "of their own, and no more");
        }
        let alone = request(&limiter, &one).await.unwrap_err();
        assert_eq!(alone.violated().collect::<Vec<_>>(), ["visitor-burst"]);
        assert!(request(&limiter, &three).await.is_ok());
        let together = request(&limiter, &three).await.unwrap_err();
        assert_eq!(together.violated().collect::<Vec<_>>(), ["burst"]);
        let untouched = limiter.peek(&of_visitor(three_id(&three)), &requests(&names::VISITOR, per_minute(2))).await;
        assert_eq!(untouched.standings[0].remaining, 1, "what was refused to all is not charged to one");
        let daily =
            request(&limiter, &visitor(KeyId::new(), KeyLimits::default(), KeyLimits::default())).await.unwrap();
        assert!(
            daily.standings.iter().any(|it| it.policy == "visitor-daily"),
            "a ceiling stands without being asked for"
        );
    }

    fn three_id(principal: &Principal) -> VisitorId {
        let Actor::Visitor { id, .. } = principal.actor else { panic!("a visitor") };
        id
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
