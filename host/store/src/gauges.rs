//! What a scrape of metrics asks of the whole instance, in a fixed number of statements.

use std::collections::HashMap;

use tributary_core::{Instant, SourceId, WorkspaceId, source::Health};
use uuid::Uuid;

use crate::{dialect::q, error::Result, rows::named, tenant::SystemDb};

/// How many jobs of a kind are in a state.
#[derive(Clone, Debug, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct JobGauge {
    /// `sync` and so on.
    pub kind: String,
    /// `queued`, `waiting` (for its time), `running` or `dead`.
    pub state: String,
    /// How many.
    pub jobs: i64,
}

/// How a source is doing, as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceGauge {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// Which.
    pub source_id: SourceId,
    /// Its connector's id.
    pub connector_id: String,
    /// Its health, or that it is paused.
    pub health: Health,
    /// When a run of it last did not fail.
    pub last_success_at: Option<Instant>,
    /// When it should begin to run, or should have: the earliest of its next start, a moment that waits for the run before it, and a run that
    /// nobody has taken up.
    pub due_at: Option<Instant>,
    /// Deletions that wait for a person.
    pub held: i64,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    workspace_id: Uuid,
    id: Uuid,
    connector_id: String,
    health: String,
    paused: bool,
    last_success_at: Option<Instant>,
    next_at: Option<Instant>,
    queued_at: Option<Instant>,
    held: i64,
}

impl SystemDb {
    /// The jobs that are not over, and those that were given up, by kind and state.
    pub async fn job_gauges(&self) -> Result<Vec<JobGauge>> {
        let mut cx = self.read_queue().await?;
        // One part for each partial index: what is done is never looked at.
        Ok(q!(
            cx,
            fetch_all as JobGauge,
            "SELECT kind, 'queued' AS state, COUNT(*) AS jobs FROM job WHERE state = 'queued' AND due GROUP BY kind
             UNION ALL SELECT kind, 'waiting', COUNT(*) FROM job WHERE state = 'queued' AND NOT due GROUP BY kind
             UNION ALL SELECT kind, 'running', COUNT(*) FROM job WHERE state = 'leased' GROUP BY kind
             UNION ALL SELECT kind, 'dead', COUNT(*) FROM job WHERE state = 'dead' GROUP BY kind"
        )?)
    }

    /// Up to `limit` sources that are not deleted, the oldest first.
    pub async fn source_gauges(&self, limit: i64) -> Result<Vec<SourceGauge>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT s.workspace_id, s.id, s.connector_id, s.health, s.paused_at IS NOT NULL AS paused, s.last_success_at,
                 (SELECT MIN(COALESCE(c.queued_slot_at, c.next_at)) FROM schedule c
                     WHERE c.workspace_id = s.workspace_id AND c.source_id = s.id) AS next_at,
                 (SELECT MIN(r.queued_at) FROM run r WHERE r.workspace_id = s.workspace_id AND r.source_id = s.id
                     AND r.status = 'queued' AND r.kind IN ('sync', 'full')) AS queued_at,
                 (SELECT CAST(COALESCE(SUM(h.unseen), 0) AS BIGINT) FROM deletion_hold h
                     WHERE h.workspace_id = s.workspace_id AND h.source_id = s.id AND h.decision IS NULL) AS held
             FROM source s JOIN workspace w ON w.id = s.workspace_id
             WHERE s.deleted_at IS NULL AND w.deleting_at IS NULL ORDER BY s.id, s.workspace_id LIMIT $1",
            limit
        )?;
        rows.into_iter().map(SourceGauge::try_from).collect()
    }

    /// How many documents each source has.
    pub async fn document_counts(&self) -> Result<HashMap<(WorkspaceId, SourceId), i64>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as (Uuid, Uuid, i64),
            "SELECT workspace_id, source_id, COUNT(*) FROM document WHERE gone IS NULL GROUP BY workspace_id, source_id"
        )?;
        Ok(rows.into_iter().map(|(workspace, id, documents)| ((workspace.into(), id.into()), documents)).collect())
    }
}

impl TryFrom<Row> for SourceGauge {
    type Error = crate::Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            workspace_id: row.workspace_id.into(),
            source_id: row.id.into(),
            connector_id: row.connector_id,
            health: if row.paused { Health::Paused } else { named(&row.health)? },
            last_success_at: row.last_success_at,
            due_at: [row.next_at, row.queued_at].into_iter().flatten().min(),
            held: row.held,
        })
    }
}
