//! What is known of the recordings of syncs. The files are with the hosts that wrote them.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{
    Instant, RunId, WorkspaceId,
    job::Lease,
    run::{Recording, RecordingState},
};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::Result,
    jobs,
    rows::{json_list, name_of},
    tenant::{SystemDb, TenantDb},
};

/// What a worker wrote at a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedPart {
    /// `Complete`, or why there is less.
    pub state: RecordingState,
    /// Pages in it.
    pub pages: i64,
    /// Its length before compression.
    pub bytes: i64,
}

#[derive(Serialize)]
struct Kept {
    workspace_id: WorkspaceId,
    run_id: RunId,
}

impl TenantDb {
    /// A worker begins to record a stretch of a run on `host`. A stretch before it that never ended was killed: something may be missing.
    pub async fn begin_recording(&self, lease: &Lease, run: RunId, so_far: &Recording, host: &str) -> Result<()> {
        let mut hosts = so_far.hosts.clone();
        if !hosts.iter().any(|known| known == host) {
            hosts.push(host.to_owned());
        }
        let mut cx = self.write().await?;
        jobs::fence(&mut cx, self.key(), lease).await?;
        q!(
            cx,
            execute,
            "UPDATE run SET recorded_on = $3,
                 recording = CASE WHEN recording IN ('asked', 'complete') THEN 'recording' WHEN recording = 'recording' THEN 'incomplete'
                     ELSE recording END
             WHERE workspace_id = $1 AND id = $2 AND recording IS NOT NULL",
            self.key(),
            run.0,
            Json(hosts)
        )?;
        cx.commit().await
    }

    /// The stretch is on disk, or is not. What was missing before is missing still.
    pub async fn end_recording(&self, lease: &Lease, run: RunId, part: RecordedPart) -> Result<()> {
        let mut cx = self.write().await?;
        jobs::fence(&mut cx, self.key(), lease).await?;
        q!(
            cx,
            execute,
            "UPDATE run SET recorded_pages = recorded_pages + $4, recorded_bytes = recorded_bytes + $5,
                 recording = CASE WHEN $3 = 'complete' AND recording <> 'recording' THEN recording ELSE $3 END
             WHERE workspace_id = $1 AND id = $2 AND recording IS NOT NULL",
            self.key(),
            run.0,
            name_of(&part.state),
            part.pages,
            part.bytes
        )?;
        cx.commit().await
    }
}

impl SystemDb {
    /// Which of these runs' recordings are still kept: of runs that did not end before `ended_before`, of sources that are not removed for
    /// good or about to be.
    pub async fn kept_recordings(
        &self,
        runs: &[(WorkspaceId, RunId)],
        ended_before: Instant,
    ) -> Result<HashSet<RunId>> {
        let asked: Vec<_> =
            runs.iter().map(|(workspace_id, run_id)| Kept { workspace_id: *workspace_id, run_id: *run_id }).collect();
        let mut cx = self.read().await?;
        let kept = q!(
            cx,
            fetch_all as (Uuid),
            "SELECT r.id FROM {rows $1: workspace_id uuid, run_id uuid} AS a
             {look up run r: r.workspace_id = a.workspace_id AND r.id = a.run_id}
             {look up source s: s.workspace_id = r.workspace_id AND s.id = r.source_id}
             WHERE s.purging_at IS NULL AND s.purged_at IS NULL AND (r.finished_at IS NULL OR r.finished_at >= $2)",
            json_list(&asked)?,
            ended_before
        )?;
        Ok(kept.into_iter().map(RunId).collect())
    }
}
