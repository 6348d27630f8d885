//! Items of a run that could not be read: listed, and read again.

use tributary_core::{
    Instant, RunId,
    run::{FailedItem, RunKind, Trigger},
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    rows::{Page, limited, named},
    runs::{self, NewRun},
    sources,
    tenant::TenantDb,
};

/// What became of the wish to read failed items again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryRequest {
    /// A run was queued.
    Queued(RunId),
    /// The run is still going.
    NotOver,
    /// No item of it failed.
    NothingFailed,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    item_no: i64,
    external_id: String,
    fault: String,
    message: String,
}

impl TenantDb {
    /// Failed items of a run in the order they came, after the one with this number, each with its number.
    pub async fn failed_items_after(&self, run: RunId, after: i64, limit: i64) -> Result<Page<(i64, FailedItem)>> {
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT item_no, external_id, fault, message FROM run_failed_item
             WHERE workspace_id = $1 AND run_id = $2 AND item_no > $3 ORDER BY item_no LIMIT $4",
            self.key(),
            run.0,
            after,
            limit + 1
        )?;
        Page::of(rows, limit).try_map(|row| {
            let Row { item_no, external_id, fault, message } = row;
            Ok((item_no, FailedItem { external_id, fault: named(&fault)?, message }))
        })
    }

    /// Asks for an incremental run that reads a run's failed items again: the ledger does not offer their fingerprints. `AlreadyRunning`
    /// when the source has a sync.
    pub async fn retry_failed(&self, run: RunId, trigger: Trigger, now: Instant) -> Result<RetryRequest> {
        let mut cx = self.write().await?;
        let Some(of) = runs::find(&mut cx, self.key(), run).await? else { return Err(Error::NotFound("run")) };
        if !self.audience().admits_source(of.source_id) {
            return Err(Error::NotFound("run"));
        }
        let source = sources::lock(&mut cx, self.key(), of.source_id).await?;
        if !of.status.is_final() {
            return Ok(RetryRequest::NotOver);
        }
        if of.counts.failed == 0 {
            return Ok(RetryRequest::NothingFailed);
        }
        if let Some(run_id) = runs::active(&mut cx, self.key(), of.source_id).await? {
            return Err(Error::AlreadyRunning { run_id });
        }
        let new = NewRun {
            source_id: of.source_id,
            kind: RunKind::Sync,
            trigger,
            accept_deletions: false,
            connector: None,
            record: false,
            now,
        };
        let id = runs::insert_retry(&mut cx, self.key(), &source, &new, Some(run)).await?;
        cx.commit().await?;
        Ok(RetryRequest::Queued(id))
    }
}

/// The external ids of a run's failed items, as far as they are kept.
pub(crate) async fn failed_ids(cx: &mut Cx, workspace: Uuid, run: RunId) -> Result<Vec<String>> {
    Ok(q!(
        cx,
        fetch_all as (String),
        "SELECT external_id FROM run_failed_item WHERE workspace_id = $1 AND run_id = $2",
        workspace,
        run.0
    )?)
}
