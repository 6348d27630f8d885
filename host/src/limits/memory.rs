//! Counters of this host alone.

use std::borrow::Cow;

use moka::{Entry, ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use super::{
    counting::{Call, Counter},
    decision::Decision,
};

/// Keys that are remembered: some tens of megabytes.
const MOST_KEYS: u64 = 100_000;

/// Counters outlive their windows a little, as in Redis: a clock may be set back, and whether a window is over is decided by `now`.
const MARGIN_MS: i64 = 60_000;

/// A bounded map of counters; a key's counters change together.
pub(super) struct Memory {
    keys: Cache<String, Vec<(Cow<'static, str>, Counter)>>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self::of(MOST_KEYS)
    }

    /// The key idle for longest gives way, and begins a fresh window when it comes back. Moka's usual policy would turn
    /// new keys away while older ones are popular, and a key that is never stored is never stopped.
    fn of(most_keys: u64) -> Self {
        Self { keys: Cache::builder().max_capacity(most_keys).eviction_policy(EvictionPolicy::lru()).build() }
    }

    pub(super) fn run(&self, call: &Call<'_>) -> Decision {
        let mut decision = Decision::default();
        self.keys.entry_by_ref(call.key).and_compute_with(|entry| {
            let mut counters = entry.map(Entry::into_value).unwrap_or_default();
            let counted = call
                .count(|policy| counters.iter().find(|(name, _)| *name == policy.name).map(|&(_, counter)| counter));
            decision = Decision::new(call, &counted);
            if call.cost == 0 {
                return Op::Nop;
            }
            let (policies, now_ms) = (call.policies, call.now.timestamp_millis());
            counters.retain(|(name, counter)| {
                counter.ends_ms + MARGIN_MS > now_ms && policies.iter().all(|policy| policy.name != *name)
            });
            let counted = policies.iter().zip(counted).map(|(policy, counted)| (policy.name.clone(), counted.counter));
            counters.extend(counted.filter(|(_, counter)| counter.used > 0));
            if counters.is_empty() { Op::Remove } else { Op::Put(counters) }
        });
        decision
    }
}

#[cfg(test)]
mod tests {
    use tributary_core::{Clock, SystemClock};

    use super::*;
    use crate::limits::{Policy, Window, counting::Operation};

    const POLICY: [Policy; 1] = [Policy::new("burst", 5, Window::Seconds(60))];

    fn take(memory: &Memory, key: &str) -> bool {
        let call = Call { key, policies: &POLICY, operation: Operation::Take, cost: 1, now: SystemClock.now() };
        memory.run(&call).allowed()
    }

    #[test]
    fn a_flood_of_keys_neither_fills_the_memory_nor_lets_the_flooding_key_through() {
        let memory = Memory::of(100);
        let mut let_in = 0;
        for round in 0..20 {
            let_in += u32::from(take(&memory, "guesser"));
            for other in 0..40 {
                take(&memory, &format!("{round}-{other}"));
            }
        }
        memory.keys.run_pending_tasks();
        assert!(memory.keys.entry_count() <= 100);
        assert_eq!(let_in, 5, "a key in use keeps its counter while others come and go");
    }

    #[test]
    fn a_new_key_is_counted_while_the_memory_is_full_of_busier_ones() {
        let memory = Memory::of(100);
        for _ in 0..5 {
            (0..100).for_each(|other| _ = take(&memory, &other.to_string()));
        }
        memory.keys.run_pending_tasks();
        let let_in = (0..50).filter(|_| {
            memory.keys.run_pending_tasks();
            take(&memory, "new")
        });
        assert_eq!(let_in.count(), 5);
    }
}
