//! Connectors that the sandbox had to end again and again: no run uses them until they are released or replaced.
//!
//! A digest is counted over all workspaces, so its reason says nothing of any of them.

use tributary_core::{Instant, contract::Fault, run::RunStatus, source::Health};

use crate::{db::Cx, dialect::q, error::Result, rows::name_of, tenant::SystemDb};

/// So many runs in a row that the sandbox ended, without a success of any source between.
const MOST_TRAPPED_RUNS: i64 = 3;
/// What a source of such a connector, and a run that was refused, say.
pub const QUARANTINED: &str = "connector_quarantined";

/// Counts the end of a run. The answer is the digest when this one was one too many: [`SystemDb::mark_quarantined`] it.
pub(crate) async fn count(
    cx: &mut Cx,
    digest: &str,
    status: RunStatus,
    killed: Option<Fault>,
    now: Instant,
) -> Result<Option<String>> {
    if matches!(status, RunStatus::Succeeded | RunStatus::Partial) {
        q!(
            cx,
            execute,
            "UPDATE connector SET trapped_runs = 0 WHERE digest = $1 AND trapped_runs > 0 AND quarantined_at IS NULL",
            digest
        )?;
        return Ok(None);
    }
    let Some(fault) = killed else { return Ok(None) };
    let last = match fault {
        Fault::Memory => "it asked for more memory than it may have",
        Fault::Deadline => "it took longer than it may",
        _ => "it crashed",
    };
    let reason = format!("{MOST_TRAPPED_RUNS} runs in a row were ended by the sandbox, the last one because {last}");
    let trapped = q!(
        cx,
        fetch_optional as (i64),
        "UPDATE connector SET trapped_runs = trapped_runs + 1,
             quarantined_at = CASE WHEN trapped_runs + 1 >= $2 THEN $3 ELSE quarantined_at END,
             quarantine_reason = CASE WHEN trapped_runs + 1 >= $2 THEN $4 ELSE quarantine_reason END
         WHERE digest = $1 AND quarantined_at IS NULL RETURNING trapped_runs",
        digest,
        MOST_TRAPPED_RUNS,
        now,
        &reason
    )?;
    Ok(trapped.filter(|trapped| *trapped >= MOST_TRAPPED_RUNS).map(|_| digest.to_owned()))
}

/// Sources of an id that are not at `except` and waited for this are no longer in need of attention.
pub(crate) async fn lift(cx: &mut Cx, id: &str, except: &str, why: &str, now: Instant) -> Result<()> {
    q!(
        cx,
        execute,
        "UPDATE source SET health = $3, health_code = 'connector_changed', health_detail = $4, health_since = $5
         WHERE connector_id = $1 AND connector_digest <> $2 AND health_code = $6",
        id,
        except,
        name_of(&Health::Degraded),
        format!("The connector was in quarantine, until {why}; the next sync shows whether it works."),
        now,
        QUARANTINED
    )?;
    Ok(())
}

/// What an administrator and the people of a source read about a quarantine.
pub fn quarantine_advice(id: &str, version: &str, reason: &str) -> String {
    format!(
        "The connector {id} {version} is in quarantine: {reason}. No run uses it until an administrator of the server installs another \
         version, or releases it with `tributary plugin release {id}`."
    )
}

impl SystemDb {
    /// Says on every source of a digest in quarantine that it needs attention, and what to do.
    pub async fn mark_quarantined(&self, digest: &str, now: Instant) -> Result<()> {
        let Some(connector) = self.find_connector(digest).await? else { return Ok(()) };
        let Some(quarantine) = connector.quarantine else { return Ok(()) };
        let reference = &connector.connector;
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "UPDATE source SET health = $2, health_code = $3, health_detail = $4, health_since = $5
             WHERE connector_digest = $1 AND deleted_at IS NULL",
            digest,
            name_of(&Health::NeedsAttention),
            QUARANTINED,
            quarantine_advice(&reference.id, &reference.version, &quarantine.reason),
            now
        )?;
        cx.commit().await
    }

    /// Lets runs use a connector again. False when it was not in quarantine.
    pub async fn release_connector(&self, id: &str, now: Instant) -> Result<bool> {
        if id.contains('\0') {
            return Ok(false);
        }
        let mut cx = self.write().await?;
        lift(&mut cx, id, "", "an administrator released it", now).await?;
        let released = q!(
            cx,
            execute,
            "UPDATE connector SET quarantined_at = NULL, quarantine_reason = NULL, trapped_runs = 0
             WHERE connector_id = $1 AND quarantined_at IS NOT NULL",
            id
        )?;
        cx.commit().await?;
        Ok(released > 0)
    }
}
