//! Rate limits: named policies, counted by key, with the same results in memory and in Redis.
//!
//! A key is a text such as `ip:192.0.2.1` or `login:<hash of an address>`. It is charged under several policies at once, under all or
//! under none. With Redis all hosts count together; without it, or while it does not answer, each counts for itself.

mod counting;
mod decision;
pub mod headers;
pub mod keys;
mod memory;
mod policy;

use std::sync::Arc;

use tributary_core::Clock;

pub use decision::{Decision, Standing};
pub use policy::{LARGEST, Policy, Window};

use counting::{Call, Operation};
use memory::Memory;

/// Counts and decides. Its methods never fail.
pub struct Limiter {
    clock: Arc<dyn Clock>,
    memory: Memory,
}

impl Limiter {
    /// For this host alone.
    pub fn local(clock: Arc<dyn Clock>) -> Self {
        Self { clock, memory: Memory::new() }
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
        self.memory.run(&call)
    }
}

#[cfg(test)]
mod tests;
