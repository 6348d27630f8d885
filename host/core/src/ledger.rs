//! The port through which a running connector asks what was committed before.

use async_trait::async_trait;

use crate::contract::Failure;

/// What the record knows of one source. Implemented by the store for a run, and in memory for connectors run without a server.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// One answer per id, in order: the fingerprint of a live document or container.
    async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure>;

    /// The connector's small memory, whole, as committed.
    async fn state(&self) -> Result<std::collections::BTreeMap<String, String>, Failure>;
}
