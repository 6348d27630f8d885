//! The memory through which an Extism module and its host exchange bytes: an address space of its own, cut into blocks.
//!
//! The guest names places in it by number and may name any: what is not there reads as zero and takes nothing, as in Extism's own
//! kernel. All of it is charged to the guest's memory limit.

use std::collections::BTreeMap;

use crate::limits::{Exhausted, Limiter};

/// What keeping track of a block costs, so that empty ones cannot be had for nothing.
const BLOCK_BYTES: usize = 128;
/// Place 0 means "nothing", so the first block starts after it.
const START: usize = 8;
/// A freed block is used again for one that is at least about half as long.
const SLACK_BYTES: u64 = 128;

/// Blocks of bytes.
pub(super) struct Arena {
    bytes: Vec<u8>,
    /// Blocks in use by where they start.
    blocks: BTreeMap<u64, Block>,
    /// Where freed blocks of a size start.
    free: BTreeMap<u64, Vec<u64>>,
}

#[derive(Clone, Copy)]
struct Block {
    size: u64,
    used: u64,
}

impl Arena {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; START], blocks: BTreeMap::new(), free: BTreeMap::new() }
    }

    /// A new block of `length` bytes; 0 for none. More than the limit leaves ends the call.
    pub(super) fn alloc(&mut self, length: u64, limiter: &mut Limiter) -> Result<u64, Exhausted> {
        if length == 0 {
            return Ok(0);
        }
        if let Some((size, start)) = self.reuse(length) {
            self.blocks.insert(start, Block { size, used: length });
            return Ok(start);
        }
        let more = usize::try_from(length).map_err(|_| Exhausted::Memory)?;
        limiter.take(more.saturating_add(BLOCK_BYTES))?;
        self.bytes.try_reserve(more).map_err(|_| Exhausted::Memory)?;
        let start = self.bytes.len() as u64;
        self.bytes.resize(self.bytes.len() + more, 0);
        self.blocks.insert(start, Block { size: length, used: length });
        Ok(start)
    }

    /// A block that holds `bytes`; 0 when there are none.
    pub(super) fn put(&mut self, bytes: &[u8], limiter: &mut Limiter) -> Result<u64, Exhausted> {
        let start = self.alloc(bytes.len() as u64, limiter)?;
        if let Some(place) = self.slice_mut(start, bytes.len() as u64) {
            place.copy_from_slice(bytes);
        }
        Ok(start)
    }

    fn reuse(&mut self, length: u64) -> Option<(u64, u64)> {
        let longest = length.saturating_mul(2).saturating_add(SLACK_BYTES);
        let (size, starts) = self.free.range_mut(length..=longest).next()?;
        let (size, start) = (*size, starts.pop()?);
        if starts.is_empty() {
            self.free.remove(&size);
        }
        Some((size, start))
    }

    /// Gives a block back; whether there was one.
    pub(super) fn free(&mut self, start: u64) -> bool {
        let Some(block) = self.blocks.remove(&start) else { return false };
        self.free.entry(block.size).or_default().push(start);
        true
    }

    /// Bytes of the block that starts here; 0 when none does.
    pub(super) fn length(&self, start: u64) -> u64 {
        self.blocks.get(&start).map_or(0, |block| block.used)
    }

    /// The block that starts here.
    pub(super) fn block(&self, start: u64) -> Option<&[u8]> {
        self.slice(start, self.blocks.get(&start)?.used)
    }

    /// `length` bytes from anywhere.
    pub(super) fn slice(&self, start: u64, length: u64) -> Option<&[u8]> {
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(start.checked_add(length)?).ok()?);
        self.bytes.get(start..end)
    }

    pub(super) fn slice_mut(&mut self, start: u64, length: u64) -> Option<&mut [u8]> {
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(start.checked_add(length)?).ok()?);
        self.bytes.get_mut(start..end)
    }

    /// The `N` bytes at `start`; zeros when they are not all there.
    pub(super) fn load<const N: usize>(&self, start: u64) -> [u8; N] {
        self.slice(start, N as u64).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    /// Writes all of `bytes` to `start`, or nothing. The bytes before the first block are nobody's.
    pub(super) fn store(&mut self, start: u64, bytes: &[u8]) {
        if start >= START as u64
            && let Some(place) = self.slice_mut(start, bytes.len() as u64)
        {
            place.copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks_hold_what_was_put_and_are_used_again() {
        let (mut arena, mut limiter) = (Arena::new(), Limiter::new(1 << 20));
        let hello = arena.put(b"hello", &mut limiter).unwrap();
        let world = arena.put(b"world", &mut limiter).unwrap();
        assert_eq!((arena.block(hello), arena.length(world)), (Some(&b"hello"[..]), 5));
        assert_eq!(arena.length(hello + 1), 0, "only where it starts");
        assert_eq!(u64::from_le_bytes(arena.load(world)), 0, "eight bytes are not all there");
        assert!(arena.free(hello) && !arena.free(hello) && !arena.free(0));
        let used = limiter.used_bytes();
        assert_eq!(arena.alloc(4, &mut limiter).unwrap(), hello);
        assert_eq!((arena.length(hello), limiter.used_bytes()), (4, used));
        assert_eq!(arena.alloc(0, &mut limiter).unwrap(), 0);
    }

    #[test]
    fn every_block_is_charged_even_a_small_one() {
        let (mut arena, mut limiter) = (Arena::new(), Limiter::new(1 << 16));
        let made = std::iter::from_fn(|| arena.alloc(1, &mut limiter).ok()).count();
        assert!(made < (1 << 16) / BLOCK_BYTES, "{made}");
        assert_eq!(arena.alloc(u64::MAX, &mut limiter), Err(Exhausted::Memory));
        assert_eq!(arena.alloc(u64::MAX / 2 + 1, &mut limiter), Err(Exhausted::Memory));
    }

    fn place() -> impl Strategy<Value = u64> {
        prop_oneof![0..64u64, Just(u64::MAX), u64::MAX - 16..u64::MAX, any::<u64>(), Just(1 << 32)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn wild_places_are_answered(steps in prop::collection::vec((0..6u8, place(), place()), 1..60)) {
            let (mut arena, mut limiter) = (Arena::new(), Limiter::new(1 << 16));
            for (what, one, other) in steps {
                match what {
                    0 => { let _ = arena.alloc(one, &mut limiter); }
                    1 => { arena.free(one); }
                    2 => arena.store(one, &other.to_le_bytes()),
                    3 => { let _: [u8; 8] = arena.load(one); }
                    4 => { let _ = (arena.slice(one, other), arena.block(one)); }
                    _ => { let _ = arena.put(&vec![1; (one % 200) as usize], &mut limiter); }
                }
                prop_assert!(arena.bytes.len() <= 1 << 16);
                for (start, block) in &arena.blocks {
                    prop_assert!(block.used <= block.size && start + block.size <= arena.bytes.len() as u64);
                }
            }
        }
    }
}
