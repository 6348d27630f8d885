//! Rate limits: named policies, counted by key, with the same results in memory and in Redis.
//!
//! A key is a text such as `ip:192.0.2.1`. It is charged under several policies at once, under all or under none.
//! With Redis all hosts count together; without it, or while it does not answer, each counts for itself.

mod counting;
mod decision;
pub mod headers;
pub mod keys;
mod login;
mod memory;
mod policy;
pub mod quota;
mod shared;
pub mod strangers;
pub mod streams;

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use tributary_core::Clock;

pub use decision::{Decision, Standing};
pub use login::{Attempt, login};
pub use policy::{LARGEST, Policy, Window};

use counting::{Call, Operation};
use memory::Memory;
use shared::Shared;

/// How long a request waits for Redis before this host decides alone.
const PATIENCE: Duration = Duration::from_millis(50);

/// Counts and decides. Its methods never fail.
pub struct Limiter {
    clock: Arc<dyn Clock>,
    memory: Memory,
    shared: Option<Shared>,
}

impl Limiter {
    /// For this host alone.
    pub fn local(clock: Arc<dyn Clock>) -> Self {
        Self { clock, memory: Memory::new(), shared: None }
    }

    /// Together with the other hosts of this Redis. One that cannot be reached is tried again until `shutdown`, with one
    /// log line each time it goes or comes back.
    pub async fn with_redis(clock: Arc<dyn Clock>, client: redis::Client, shutdown: CancellationToken) -> Self {
        Self { shared: Some(Shared::open(client, PATIENCE, shutdown).await), ..Self::local(clock) }
    }

    /// Counts `cost` under every policy when it fits under all, and nothing otherwise.
    pub async fn take(&self, key: &str, policies: &[Policy], cost: u64) -> Decision {
        self.run(key, policies, Operation::Take, cost).await
    }

    /// Counts what was used after the fact, even past the quota; the policies it went past are called violated.
    pub async fn charge(&self, key: &str, policies: &[Policy], cost: u64) -> Decision {
        self.run(key, policies, Operation::Charge, cost).await
    }

    /// Gives back what was taken for something that did not happen.
    pub async fn refund(&self, key: &str, policies: &[Policy], cost: u64) -> Decision {
        self.run(key, policies, Operation::Refund, cost).await
    }

    /// Whether a cost of one would be let in, without counting anything.
    pub async fn peek(&self, key: &str, policies: &[Policy]) -> Decision {
        self.run(key, policies, Operation::Take, 0).await
    }

    async fn run(&self, key: &str, policies: &[Policy], operation: Operation, cost: u64) -> Decision {
        let call = Call { key, policies, operation, cost: cost.min(LARGEST), now: self.clock.now() };
        if let Some(shared) = &self.shared
            && let Some(decision) = shared.run(&call).await
        {
            return decision;
        }
        self.memory.run(&call)
    }
}

#[cfg(test)]
mod redis_tests;
#[cfg(test)]
mod tests;
