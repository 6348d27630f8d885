//! What is forgotten when it is old, a bounded slice at a time, and chores: work of the whole instance that one host at a time does.

use tributary_core::Instant;
use uuid::Uuid;

use crate::{
    dialect::q,
    error::Result,
    rows::{json_list, limited},
    tenant::SystemDb,
};

impl SystemDb {
    /// Takes on a chore that is to be done every so often, when its time has come and nobody else is at it. The holder has it for
    /// `lease_ms`; after that, it may be anybody's.
    pub async fn take_chore(&self, name: &str, holder: &str, lease_ms: i64) -> Result<bool> {
        let mut reading = self.read().await?;
        let waits = q!(
            reading,
            fetch_optional as (bool),
            "SELECT next_at > {now} OR COALESCE(lease_until > {now}, FALSE) FROM chore WHERE name = $1",
            name
        )?;
        drop(reading);
        if waits == Some(true) {
            return Ok(false);
        }
        let mut cx = self.write().await?;
        q!(cx, execute, "INSERT INTO chore (name, next_at) VALUES ($1, {now}) ON CONFLICT DO NOTHING", name)?;
        let taken = q!(
            cx,
            execute,
            "UPDATE chore SET lease_until = {later $3}, holder = $2
             WHERE name = $1 AND next_at <= {now} AND (lease_until IS NULL OR lease_until <= {now})",
            name,
            holder,
            lease_ms
        )?;
        cx.commit().await?;
        Ok(taken > 0)
    }

    /// Ends a chore that is held; it is to be done again in `every_ms`. False: somebody else has it by now.
    pub async fn finish_chore(&self, name: &str, holder: &str, every_ms: i64) -> Result<bool> {
        let mut cx = self.write().await?;
        let finished = q!(
            cx,
            execute,
            "UPDATE chore SET next_at = {later $3}, lease_until = NULL, holder = NULL WHERE name = $1 AND holder = $2",
            name,
            holder,
            every_ms
        )?;
        cx.commit().await?;
        Ok(finished > 0)
    }

    /// Forgets jobs that ended longer ago than this: done and cancelled ones, and dead ones, which somebody may still want to look at.
    /// A dead deletion of a workspace stays: somebody has to try it again. At most `limit` of each; how many it were.
    pub async fn forget_jobs(&self, done_ms: i64, dead_ms: i64, limit: i64) -> Result<u64> {
        let mut cx = self.write().await?;
        let mut forgotten = 0;
        for (states, age_ms) in [(&["done", "cancelled"][..], done_ms), (&["dead"][..], dead_ms)] {
            forgotten += q!(
                cx,
                execute,
                "DELETE FROM job WHERE id IN (SELECT j.id FROM job j
                     WHERE j.finished_at IS NOT NULL AND j.finished_at < {later 0 - $1} AND j.state IN {texts $2}
                         AND NOT (j.state = 'dead' AND j.kind = 'delete_workspace')
                     ORDER BY j.finished_at LIMIT $3 {skip locked j})",
                age_ms,
                json_list(states)?,
                limited(limit)
            )?;
        }
        cx.commit().await?;
        Ok(forgotten)
    }

    /// Forgets log-ins that ended, and refresh tokens, resets and invitations that ran out, before this moment. At most `limit` of each; how
    /// many it were.
    pub async fn purge_identity(&self, before: Instant, limit: i64) -> Result<u64> {
        let limit = limited(limit);
        let mut cx = self.write().await?;
        let over = q!(
            cx,
            fetch_all as (Uuid),
            "SELECT id FROM session WHERE expires_at < $1 OR ended_at < $1 LIMIT $2",
            before,
            limit
        )?;
        let over = json_list(&over)?;
        q!(cx, execute, "DELETE FROM refresh_token WHERE session_id IN {ids $1}", &over)?;
        let mut gone = q!(cx, execute, "DELETE FROM session WHERE id IN {ids $1}", &over)?;
        gone += q!(
            cx,
            execute,
            "DELETE FROM refresh_token WHERE hash IN (SELECT t.hash FROM refresh_token t WHERE t.expires_at < $1
                 ORDER BY t.expires_at LIMIT $2)",
            before,
            limit
        )?;
        gone += q!(
            cx,
            execute,
            "DELETE FROM password_reset WHERE token_hash IN (SELECT r.token_hash FROM password_reset r WHERE r.expires_at < $1 LIMIT $2)",
            before,
            limit
        )?;
        gone += q!(
            cx,
            execute,
            "DELETE FROM invitation WHERE token_hash IN (SELECT i.token_hash FROM invitation i WHERE i.expires_at < $1 LIMIT $2)",
            before,
            limit
        )?;
        cx.commit().await?;
        Ok(gone)
    }

    /// Forgets fired slots older than this of sources that fire no more. (Firing forgets those of its own source.)
    pub async fn forget_slots(&self, age_ms: i64, limit: i64) -> Result<u64> {
        let mut cx = self.write().await?;
        let forgotten = q!(
            cx,
            execute,
            "DELETE FROM schedule_slot WHERE (workspace_id, source_id, kind, slot) IN (SELECT s.workspace_id, s.source_id, s.kind, s.slot
                 FROM schedule_slot s WHERE s.fired_at < {later 0 - $1} LIMIT $2)",
            age_ms,
            limited(limit)
        )?;
        cx.commit().await?;
        Ok(forgotten)
    }

    /// Forgets what ended runs saw; a run whose workers were lost leaves it behind. At most `limit` runs' at once.
    pub async fn forget_seen(&self, limit: i64) -> Result<u64> {
        let mut cx = self.write().await?;
        let forgotten = q!(
            cx,
            execute,
            "DELETE FROM run_seen WHERE (workspace_id, run_id) IN (SELECT r.workspace_id, r.id FROM run r WHERE r.finished_at IS NOT NULL
                 AND (r.workspace_id, r.id) IN (SELECT s.workspace_id, s.run_id FROM run_seen s) LIMIT $1)",
            limited(limit)
        )?;
        cx.commit().await?;
        Ok(forgotten)
    }
}
