//! Firing schedules: any number of hosts ask what is due, each slot fires once.

use chrono::TimeDelta;
use tributary_core::{
    Instant, RunId,
    run::{RunKind, Trigger},
    source::{DueSource, Schedule},
};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::{Error, Result},
    rows::limited,
    runs::{self, NewRun},
    sources,
    tenant::SystemDb,
};

/// Fired slots are remembered for so long; a host that read its list of due sources longer ago than this is not to be expected.
const REMEMBERED: TimeDelta = TimeDelta::days(7);

/// What firing a slot did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fired {
    /// A sync was queued.
    Started(RunId),
    /// The source was still busy with another sync; this slot is skipped.
    Overlapped,
    /// Another host was first, or the source is no longer due.
    AlreadyFired,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    workspace_id: Uuid,
    id: Uuid,
    cron: String,
    timezone: String,
    next_run_at: Instant,
}

impl SystemDb {
    /// Sources whose moment has come, the longest due first.
    pub async fn due(&self, now: Instant, limit: i64) -> Result<Vec<DueSource>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT workspace_id, id, cron, timezone, next_run_at FROM source
             WHERE next_run_at IS NOT NULL AND deleted_at IS NULL AND next_run_at <= $1 AND cron IS NOT NULL AND timezone IS NOT NULL
                 AND workspace_id NOT IN (SELECT id FROM workspace WHERE archived_at IS NOT NULL OR deleting_at IS NOT NULL)
             ORDER BY next_run_at, workspace_id, id LIMIT $2",
            now,
            limited(limit)
        )?;
        let due = rows.into_iter().map(|row| DueSource {
            workspace_id: row.workspace_id.into(),
            source_id: row.id.into(),
            schedule: Schedule { cron: row.cron, timezone: row.timezone },
            slot: row.next_run_at,
        });
        Ok(due.collect())
    }

    /// Fires one slot, once whoever else tries, and moves the source on to `next_run_at`: one transaction.
    pub async fn fire(&self, due: &DueSource, next_run_at: Option<Instant>, now: Instant) -> Result<Fired> {
        let workspace = due.workspace_id.0;
        let mut cx = self.write().await?;
        let source = match sources::lock(&mut cx, workspace, due.source_id).await {
            Ok(source) if source.next_run_at == Some(due.slot) => source,
            Ok(_) | Err(Error::NotFound(_)) => return Ok(Fired::AlreadyFired),
            Err(error) => return Err(error),
        };
        let first = q!(
            cx,
            execute,
            "INSERT INTO schedule_slot (workspace_id, source_id, slot, fired_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            workspace,
            due.source_id.0,
            due.slot,
            now
        )?;
        let fired = if first == 0 {
            Fired::AlreadyFired
        } else if runs::active(&mut cx, workspace, due.source_id).await?.is_some() {
            Fired::Overlapped
        } else {
            let new = NewRun {
                source_id: due.source_id,
                kind: RunKind::Sync,
                trigger: Trigger::Schedule,
                accept_deletions: false,
                connector: None,
                now,
            };
            Fired::Started(runs::insert(&mut cx, workspace, &source, &new).await?)
        };
        if let Fired::Started(run_id) = fired {
            q!(
                cx,
                execute,
                "UPDATE schedule_slot SET run_id = $4 WHERE workspace_id = $1 AND source_id = $2 AND slot = $3",
                workspace,
                due.source_id.0,
                due.slot,
                run_id.0
            )?;
        }
        q!(
            cx,
            execute,
            "UPDATE source SET next_run_at = $3 WHERE workspace_id = $1 AND id = $2",
            workspace,
            due.source_id.0,
            next_run_at
        )?;
        q!(
            cx,
            execute,
            "DELETE FROM schedule_slot WHERE workspace_id = $1 AND source_id = $2 AND slot < $3",
            workspace,
            due.source_id.0,
            due.slot - REMEMBERED
        )?;
        cx.commit().await?;
        Ok(fired)
    }
}
