//! A source's small memory during one page: read through the ledger once, overlaid with what the page writes.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::sync::OnceCell;
use tributary_core::{
    contract::{Failure, Fault},
    ledger::Ledger,
};

/// Bytes of all keys and values of one source.
pub const MAX_STATE_BYTES: usize = 64 << 10;
pub(crate) const MAX_KEY_BYTES: usize = 256;
/// Keys a page may touch; a removed key costs nothing of `MAX_STATE_BYTES`.
pub(crate) const MAX_WRITES: usize = 1024;

/// The state one page sees and writes. The caller commits `into_writes` with the page.
pub struct StateBuffer {
    ledger: Arc<dyn Ledger>,
    committed: OnceCell<BTreeMap<String, String>>,
    writes: Mutex<BTreeMap<String, Option<String>>>,
    /// Writes that were there before the page's own.
    carried: usize,
}

impl StateBuffer {
    /// Nothing written yet; the committed state is read when first asked for.
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, committed: OnceCell::new(), writes: Mutex::default(), carried: 0 }
    }

    /// The same, with what is written already: the page sees it and commits it with what it writes itself.
    #[must_use]
    pub fn with_writes(self, writes: BTreeMap<String, Option<String>>) -> Self {
        Self { carried: writes.len(), writes: Mutex::new(writes), ..self }
    }

    /// The value of `key` as this page sees it.
    pub async fn get(&self, key: &str) -> Result<Option<String>, Failure> {
        if let Some(written) = self.overlay().get(key) {
            return Ok(written.clone());
        }
        Ok(self.committed().await?.get(key).cloned())
    }

    /// Sets or removes `key` for this page.
    pub async fn set(&self, key: String, value: Option<String>) -> Result<(), Failure> {
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(Failure::new(
                Fault::TooLarge,
                "state_key_length",
                format!("a state key has 1 to {MAX_KEY_BYTES} bytes, this one {}", key.len()),
            ));
        }
        let committed = self.committed().await?;
        let mut writes = self.overlay();
        if !writes.contains_key(&key) && writes.len() >= self.carried + MAX_WRITES {
            return Err(Failure::new(
                Fault::TooLarge,
                "too_many_state_writes",
                format!("a page may write at most {MAX_WRITES} state keys"),
            ));
        }
        let kept = committed.iter().filter(|(name, _)| **name != key && !writes.contains_key(*name));
        let written = writes.iter().filter(|(name, _)| **name != key);
        let size = kept.map(|(name, value)| name.len() + value.len()).sum::<usize>()
            + written.filter_map(|(name, value)| Some(name.len() + value.as_ref()?.len())).sum::<usize>()
            + value.as_ref().map_or(0, |value| key.len() + value.len());
        if size > MAX_STATE_BYTES && value.is_some() {
            return Err(Failure::new(
                Fault::TooLarge,
                "state_full",
                format!(
                    "a source may remember {MAX_STATE_BYTES} bytes, this would make {size}; use the ledger for per-item memory"
                ),
            ));
        }
        writes.insert(key, value);
        Ok(())
    }

    /// Takes what was written: `None` removes the key.
    pub fn into_writes(&self) -> BTreeMap<String, Option<String>> {
        std::mem::take(&mut *self.overlay())
    }

    /// Takes over what a buffer over the same state accepted.
    pub fn take_over(&self, writes: BTreeMap<String, Option<String>>) {
        self.overlay().extend(writes);
    }

    async fn committed(&self) -> Result<&BTreeMap<String, String>, Failure> {
        self.committed.get_or_try_init(|| self.ledger.state()).await
    }

    fn overlay(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        self.writes.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::EmptyLedger;

    #[tokio::test]
    async fn a_page_reads_its_own_writes_and_hands_them_over() {
        let state = StateBuffer::new(Arc::new(EmptyLedger));
        state.set("a".into(), Some("1".into())).await.unwrap();
        state.set("b".into(), None).await.unwrap();
        assert_eq!(state.get("a").await.unwrap().as_deref(), Some("1"));
        assert_eq!(state.get("b").await.unwrap(), None);
        let writes = state.into_writes();
        assert_eq!(writes, BTreeMap::from([("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)]));
    }

    #[tokio::test]
    async fn what_is_written_already_is_seen_counted_and_handed_over() {
        let carried = BTreeMap::from([("a".to_owned(), Some("1".to_owned())), ("b".to_owned(), None)]);
        let state = StateBuffer::new(Arc::new(EmptyLedger)).with_writes(carried);
        assert_eq!(state.get("a").await.unwrap().as_deref(), Some("1"));
        let full = "x".repeat(MAX_STATE_BYTES - 1);
        assert_eq!(state.set("c".into(), Some(full)).await.unwrap_err().code, "state_full");
        state.set("a".into(), Some("2".into())).await.unwrap();
        let writes = state.into_writes();
        assert_eq!(writes, BTreeMap::from([("a".to_owned(), Some("2".to_owned())), ("b".to_owned(), None)]));
    }

    #[tokio::test]
    async fn the_total_is_capped_and_replacing_frees_room() {
        let state = StateBuffer::new(Arc::new(EmptyLedger));
        let half = "x".repeat(MAX_STATE_BYTES / 2 - 1);
        state.set("a".into(), Some(half.clone())).await.unwrap();
        state.set("b".into(), Some(half.clone())).await.unwrap();
        assert_eq!(state.set("c".into(), Some("y".into())).await.unwrap_err().code, "state_full");
        state.set("a".into(), None).await.unwrap();
        state.set("c".into(), Some("y".into())).await.unwrap();
        assert_eq!(state.set("k".repeat(300), None).await.unwrap_err().code, "state_key_length");
    }
}
