//! What a run is doing right now: its stage, what it waits for, and whether somebody wants it to stop.

use tributary_core::{
    Instant, RunId,
    job::Lease,
    run::{Stage, WaitingFor},
};

use crate::{
    dialect::q,
    error::{Error, Result},
    jobs,
    rows::name_of,
    tenant::TenantDb,
};

impl TenantDb {
    /// Says what the worker of a run is doing.
    pub async fn set_stage(&self, lease: &Lease, run: RunId, stage: &Stage) -> Result<()> {
        let mut cx = self.write().await?;
        jobs::fence(&mut cx, self.key(), lease).await?;
        q!(
            cx,
            execute,
            "UPDATE run SET stage = $3, stage_since = $4, stage_moved_at = $5
             WHERE workspace_id = $1 AND id = $2 AND finished_at IS NULL",
            self.key(),
            run.0,
            name_of(&stage.name),
            stage.since,
            stage.moved_at
        )?;
        cx.commit().await
    }

    /// Says that a run waits, what for and until when. It is in no stage then.
    pub async fn set_waiting(&self, lease: &Lease, run: RunId, reason: WaitingFor, until: Instant) -> Result<()> {
        let mut cx = self.write().await?;
        jobs::fence(&mut cx, self.key(), lease).await?;
        q!(
            cx,
            execute,
            "UPDATE run SET status = 'waiting', stage = NULL, waiting_for = $3, waiting_until = $4
             WHERE workspace_id = $1 AND id = $2 AND finished_at IS NULL",
            self.key(),
            run.0,
            name_of(&reason),
            until
        )?;
        cx.commit().await
    }

    /// Whether somebody asked to stop a run, or it is over. One row: cheap enough to ask several times a second.
    pub async fn is_cancelled(&self, run: RunId) -> Result<bool> {
        let mut cx = self.read().await?;
        let asked = q!(
            cx,
            fetch_optional as (bool),
            "SELECT cancel_requested FROM run WHERE workspace_id = $1 AND id = $2",
            self.key(),
            run.0
        )?;
        asked.ok_or(Error::NotFound("run"))
    }
}
