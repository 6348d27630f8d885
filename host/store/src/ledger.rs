//! What a running connector may ask about the past of its source.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use serde::Serialize;
use tributary_core::{
    SourceId,
    contract::{Failure, Fault},
    ledger::Ledger,
    run::{Run, RunKind},
};

use crate::{
    dialect::q,
    error::{Error, Result},
    rows::json_list,
    tenant::TenantDb,
};

/// The ledger of one run. A full run sees no fingerprints; its connector's memory it does see.
#[derive(Clone, Debug)]
pub struct RunLedger {
    tenant: TenantDb,
    source_id: SourceId,
    basis: String,
    hidden: bool,
}

#[derive(Serialize)]
struct Asked<'a> {
    external_id: &'a str,
}

impl TenantDb {
    /// The ledger of a run, under the basis that its pages are committed with.
    pub fn ledger(&self, run: &Run, basis: String) -> RunLedger {
        RunLedger { tenant: self.clone(), source_id: run.source_id, basis, hidden: run.kind == RunKind::Full }
    }
}

impl RunLedger {
    async fn fingerprints(&self, external_ids: &[String]) -> Result<HashMap<String, String>> {
        let asked: Vec<_> =
            external_ids.iter().filter(|id| !id.contains('\0')).map(|external_id| Asked { external_id }).collect();
        let asked = json_list(&asked)?;
        let mut cx = self.tenant.read().await?;
        let rows = q!(
            cx,
            fetch_all as (String, String),
            "SELECT c.external_id, c.fingerprint FROM {rows $3: external_id text} AS a
             {look up container c: c.workspace_id = $1 AND c.source_id = $2 AND c.external_id = a.external_id}
             WHERE c.basis = $4
             UNION ALL
             SELECT d.external_id, d.fingerprint FROM {rows $3: external_id text} AS a
             {look up document d: d.workspace_id = $1 AND d.source_id = $2 AND d.external_id = a.external_id}
             WHERE d.basis = $4 AND d.gone IS NULL AND d.fingerprint IS NOT NULL",
            self.tenant.key(),
            self.source_id.0,
            asked,
            &self.basis
        )?;
        Ok(rows.into_iter().collect())
    }

    async fn entries(&self) -> Result<BTreeMap<String, String>> {
        let mut cx = self.tenant.read().await?;
        let rows = q!(
            cx,
            fetch_all as (String, String),
            "SELECT entry_key, entry_value FROM connector_state WHERE workspace_id = $1 AND source_id = $2",
            self.tenant.key(),
            self.source_id.0
        )?;
        Ok(rows.into_iter().collect())
    }
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
