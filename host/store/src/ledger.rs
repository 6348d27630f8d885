//! What a running connector may ask about the past of its source.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use serde::Serialize;
use tokio::sync::OnceCell;
use tributary_core::{
    RunId, SourceId,
    contract::{Failure, Fault},
    ledger::Ledger,
    run::{Run, RunKind},
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    preview, retries,
    rows::json_list,
    tenant::TenantDb,
};

/// The ledger of one run. A full run sees no fingerprints; its connector's memory it does see.
///
/// A run that reads failed items again sees no fingerprint of these, nor of any container: which one a failed item stands in, nobody
/// may know. So containers are read again, and documents in them that did not change cost no write.
#[derive(Clone, Debug)]
pub struct RunLedger {
    tenant: TenantDb,
    source_id: SourceId,
    basis: String,
    hidden: bool,
    /// A dry run: its memory is its own.
    dry_run: Option<RunId>,
    /// The run whose failed items are to be read again.
    retry_of: Option<RunId>,
    failed: OnceCell<HashSet<String>>,
}

#[derive(Serialize)]
struct Asked<'a> {
    external_id: &'a str,
}

impl TenantDb {
    /// What the source of a run remembers, and the version of its connector that wrote it, when that was another than the run's: the
    /// one of the last run that committed a page.
    pub async fn state_of_another_version(&self, run: &Run) -> Result<Option<(String, BTreeMap<String, String>)>> {
        let mut cx = self.read().await?;
        let last = q!(
            cx,
            fetch_optional as (String, String),
            "SELECT connector_version, connector_digest FROM run
             WHERE workspace_id = $1 AND source_id = $2 AND id < $3 AND kind IN ('sync', 'full') AND page_no > 0
             ORDER BY id DESC LIMIT 1",
            self.key(),
            run.source_id.0,
            run.id.0
        )?;
        let Some((version, _)) = last.filter(|(_, digest)| *digest != run.connector.digest) else { return Ok(None) };
        let entries = entries(&mut cx, self.key(), run.source_id).await?;
        Ok((!entries.is_empty()).then_some((version, entries)))
    }

    /// The ledger of a run, under the basis that its pages are committed with.
    pub fn ledger(&self, run: &Run, basis: String) -> RunLedger {
        RunLedger {
            tenant: self.clone(),
            source_id: run.source_id,
            basis,
            hidden: run.kind == RunKind::Full,
            dry_run: (run.kind == RunKind::DryRun).then_some(run.id),
            retry_of: run.retry_of,
            failed: OnceCell::new(),
        }
    }
}

impl RunLedger {
    async fn fingerprints(&self, external_ids: &[String]) -> Result<HashMap<String, String>> {
        let asked: Vec<_> =
            external_ids.iter().filter(|id| !id.contains('\0')).map(|external_id| Asked { external_id }).collect();
        let asked = json_list(&asked)?;
        let mut cx = self.tenant.read().await?;
        if let Some(run) = self.retry_of
            && !self.failed.initialized()
        {
            let ids = retries::failed_ids(&mut cx, self.tenant.key(), run).await?;
            let _ = self.failed.set(ids.into_iter().collect());
        }
        let rows = q!(
            cx,
            fetch_all as (String, String, bool),
            "SELECT c.external_id, c.fingerprint, true FROM {rows $3: external_id text} AS a
             {look up container c: c.workspace_id = $1 AND c.source_id = $2 AND c.external_id = a.external_id}
             WHERE c.basis = $4
             UNION ALL
             SELECT d.external_id, d.fingerprint, false FROM {rows $3: external_id text} AS a
             {look up document d: d.workspace_id = $1 AND d.source_id = $2 AND d.external_id = a.external_id}
             WHERE d.basis = $4 AND d.gone IS NULL AND d.fingerprint IS NOT NULL",
            self.tenant.key(),
            self.source_id.0,
            asked,
            &self.basis
        )?;
        let hidden = |id: &str, container| {
            self.retry_of.is_some() && (container || self.failed.get().is_some_and(|failed| failed.contains(id)))
        };
        let offered = rows.into_iter().filter(|(id, _, container)| !hidden(id, *container));
        Ok(offered.map(|(id, fingerprint, _)| (id, fingerprint)).collect())
    }

    async fn entries(&self) -> Result<BTreeMap<String, String>> {
        let mut cx = self.tenant.read().await?;
        let mut entries = entries(&mut cx, self.tenant.key(), self.source_id).await?;
        if let Some(run) = self.dry_run {
            for (key, value) in preview::state(&mut cx, self.tenant.key(), run).await? {
                match value {
                    Some(value) => entries.insert(key, value),
                    None => entries.remove(&key),
                };
            }
        }
        Ok(entries)
    }
}

async fn entries(cx: &mut Cx, workspace: Uuid, source: SourceId) -> Result<BTreeMap<String, String>> {
    let rows = q!(
        cx,
        fetch_all as (String, String),
        "SELECT entry_key, entry_value FROM connector_state WHERE workspace_id = $1 AND source_id = $2",
        workspace,
        source.0
    )?;
    Ok(rows.into_iter().collect())
}

#[async_trait]
impl Ledger for RunLedger {
    async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        if self.hidden || external_ids.is_empty() {
            return Ok(vec![None; external_ids.len()]);
        }
        let known = self.fingerprints(&external_ids).await.map_err(failure)?;
        Ok(external_ids.iter().map(|id| known.get(id).cloned()).collect())
    }

    async fn state(&self) -> Result<BTreeMap<String, String>, Failure> {
        self.entries().await.map_err(failure)
    }
}

/// The connector learns that the ledger is out of reach, not how the database is built.
fn failure(error: Error) -> Failure {
    tracing::warn!(%error, "the ledger could not be read");
    Failure::new(
        Fault::Transient,
        "ledger_unavailable",
        "The server could not read what it has committed before; it tries again.",
    )
}
