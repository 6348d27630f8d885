//! How much a guest may use, and the wasmtime limiter that adds up what it holds.

use std::path::PathBuf;

use wasmtime::ResourceLimiter;

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Milliseconds of processor time.
    pub cpu_ms: u64,
    /// Milliseconds from start to end, waiting included.
    pub deadline_ms: u64,
    /// Bytes of all linear memories and tables together.
    pub memory_bytes: usize,
    /// Bytes handed to the host at once: a page, what was extracted.
    pub result_bytes: usize,
}

/// How the sandbox is set up.
#[derive(Clone, Debug)]
pub struct SandboxOptions {
    /// Where compiled code is kept; made when missing, readable by this user alone. `None`: compiled again at every start.
    pub cache_dir: Option<PathBuf>,
    /// Largest component that can be installed.
    pub max_component_bytes: usize,
    /// Calls at the same time; more wait.
    pub max_calls: u32,
    /// Milliseconds a call waits for its turn before it is told to come back later.
    pub max_wait_ms: u64,
    /// Reserve address space ahead for fast starts. When there is too little of it, the sandbox does without by itself.
    pub pooling: bool,
    /// For `describe`.
    pub describe: CallLimits,
    /// For `check`.
    pub check: CallLimits,
    /// For carrying what a source has over from another version.
    pub upgrade: CallLimits,
    /// For `browse`.
    pub browse: CallLimits,
    /// For `pull`; a request's own deadline can only shorten it.
    pub pull: CallLimits,
    /// For `extract`.
    pub extract: CallLimits,
}

const MIB: usize = 1 << 20;

impl Default for SandboxOptions {
    fn default() -> Self {
        let limits = |cpu_ms, deadline_ms, memory_mib, result_mib| CallLimits {
            cpu_ms,
            deadline_ms,
            memory_bytes: memory_mib * MIB,
            result_bytes: result_mib * MIB,
        };
        Self {
            cache_dir: None,
            max_component_bytes: 64 * MIB,
            max_calls: 32,
            max_wait_ms: 30_000,
            pooling: true,
            describe: limits(2_000, 10_000, 128, 1),
            check: limits(5_000, 60_000, 256, 4),
            upgrade: limits(2_000, 10_000, 256, 8),
            browse: limits(5_000, 30_000, 256, 4),
            pull: limits(30_000, 300_000, 256, 32),
            extract: limits(20_000, 60_000, 512, 128),
        }
    }
}

/// Core instances, tables and memories of one component.
pub(crate) const MAX_INSTANCES: usize = 64;
pub(crate) const MAX_TABLES: usize = 16;
pub(crate) const MAX_MEMORIES: usize = 4;
/// Elements of one table.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Why the host stopped a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exhausted {
    #[error("processor time is used up")]
    Cpu,
    #[error("more memory was asked for than is allowed")]
    Memory,
}

/// A store's data with a limiter in it.
pub(crate) trait Limited {
    fn limiter(&mut self) -> &mut Limiter;
}

/// Adds up all memories and tables of a store; asking for more ends the call.
pub(crate) struct Limiter {
    allowed_bytes: usize,
    left_bytes: usize,
}

impl Limiter {
    pub(crate) fn new(memory_bytes: usize) -> Self {
        Self { allowed_bytes: memory_bytes, left_bytes: memory_bytes }
    }

    /// Bytes of all memories and tables together.
    pub(crate) fn used_bytes(&self) -> usize {
        self.allowed_bytes - self.left_bytes
    }

    /// Charges bytes that the host keeps for the guest.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or(Exhausted::Memory)?;
        Ok(())
    }

    fn grow(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
        unit_bytes: usize,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current).saturating_mul(unit_bytes);
        let left_bytes = self.left_bytes.checked_sub(more).ok_or(Exhausted::Memory)?;
        // Past its own maximum growing fails softly, as the program expects, and nothing is used.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.left_bytes = left_bytes;
        Ok(true)
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, 1)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(current, desired, maximum, size_of::<usize>())
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_and_tables_are_summed() {
        let mut limiter = Limiter::new(10 * 65536);
        assert!(limiter.memory_growing(0, 4 * 65536, None).unwrap());
        assert!(limiter.memory_growing(0, 5 * 65536, None).unwrap());
        assert!(limiter.table_growing(0, 8192, None).unwrap());
        let error = limiter.table_growing(8192, 8193, None).unwrap_err();
        assert_eq!(error.downcast_ref::<Exhausted>(), Some(&Exhausted::Memory));
    }

    #[test]
    fn growing_past_the_own_maximum_fails_softly() {
        assert!(!Limiter::new(1 << 30).memory_growing(0, 3 * 65536, Some(2 * 65536)).unwrap());
    }
}
