//! Connectors that the sandbox had to end again and again: no run uses them until they are released or replaced.
//!
//! A digest is counted over all workspaces, so its reason says nothing of any of them. One workspace alone stops no connector that
//! others use.

use tributary_core::{Instant, contract::Fault, run::RunStatus, source::Health};
use uuid::Uuid;

use crate::{db::Cx, dialect::q, error::Result, rows::name_of, tenant::SystemDb};

/// So many runs in a row that the sandbox ended, without a success of any source between.
const MOST_TRAPPED_RUNS: i64 = 3;
/// What a source of such a connector, and a run that was refused, say.
pub const QUARANTINED: &str = "connector_quarantined";

/// A connector that was ended often enough to be looked at: [`SystemDb::quarantine`] decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Its digest.
    pub digest: String,
    /// What the sandbox saw, without anything of any workspace.
    pub reason: String,
}

/// Counts the end of a run of a workspace. It sees no other workspace, so that it only counts; a suspect is for
/// [`SystemDb::quarantine`], after the transaction.
pub(crate) async fn count(
    cx: &mut Cx,
    workspace: Uuid,
    digest: &str,
    status: RunStatus,
    killed: Option<Fault>,
) -> Result<Option<Suspect>> {
    if matches!(status, RunStatus::Succeeded | RunStatus::Partial) {
        q!(
            cx,
            execute,
            "UPDATE connector SET trapped_runs = 0, trapped_workspace = NULL, trapped_several = FALSE
             WHERE digest = $1 AND trapped_runs > 0 AND quarantined_at IS NULL",
            digest
        )?;
        return Ok(None);
    }
    let Some(fault) = killed else { return Ok(None) };
    let trapped = q!(
        cx,
        fetch_optional as (i64),
        "UPDATE connector SET trapped_runs = trapped_runs + 1, trapped_workspace = COALESCE(trapped_workspace, $2),
             trapped_several = CASE WHEN trapped_workspace <> $2 THEN TRUE ELSE trapped_several END
         WHERE digest = $1 AND quarantined_at IS NULL RETURNING trapped_runs",
        digest,
        workspace
    )?;
    let last = match fault {
        Fault::Memory => "it asked for more memory than it may have",
        Fault::Deadline => "it took longer than it may",
        _ => "it crashed",
    };
    Ok(trapped.filter(|trapped| *trapped >= MOST_TRAPPED_RUNS).map(|trapped| Suspect {
        digest: digest.to_owned(),
        reason: format!("{trapped} runs in a row were ended by the sandbox, the last one because {last}"),
    }))
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
    /// Puts a suspect into quarantine and says so on each of its sources, if runs of several workspaces were ended, or of the only one
    /// whose sources use it: nobody stops a connector that works for others. False when it was not.
    pub async fn quarantine(&self, suspect: &Suspect, now: Instant) -> Result<bool> {
        let mut cx = self.write().await?;
        let quarantined = q!(
            cx,
            fetch_optional as (String, String),
            "UPDATE connector SET quarantined_at = $3, quarantine_reason = $4
             WHERE digest = $1 AND quarantined_at IS NULL AND trapped_runs >= $2
                 AND (trapped_several OR NOT EXISTS (
                     SELECT 1 FROM source s
                     WHERE s.connector_digest = $1 AND s.deleted_at IS NULL AND s.workspace_id <> connector.trapped_workspace))
             RETURNING connector_id, version",
            &suspect.digest,
            MOST_TRAPPED_RUNS,
            now,
            &suspect.reason
        )?;
        let Some((id, version)) = quarantined else { return Ok(false) };
        cx.commit().await?;
        // In a transaction of its own: the end of a run holds its source while it counts for the connector.
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "UPDATE source SET health = $2, health_code = $3, health_detail = $4, health_since = $5
             WHERE connector_digest = $1 AND deleted_at IS NULL",
            &suspect.digest,
            name_of(&Health::NeedsAttention),
            QUARANTINED,
            quarantine_advice(&id, &version, &suspect.reason),
            now
        )?;
        cx.commit().await?;
        Ok(true)
    }

    /// The current connector of every id, by id, and whether it is in quarantine.
    pub async fn connector_gauges(&self) -> Result<Vec<(String, bool)>> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_all as (String, bool),
            "SELECT connector_id, quarantined_at IS NOT NULL FROM (
                 SELECT c.*, row_number() OVER (PARTITION BY connector_id ORDER BY installed_at DESC, digest DESC) AS age
                 FROM connector c WHERE removed_at IS NULL
             ) AS newest WHERE age = 1 ORDER BY connector_id"
        )?)
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
            "UPDATE connector SET quarantined_at = NULL, quarantine_reason = NULL, trapped_runs = 0, trapped_workspace = NULL,
                 trapped_several = FALSE
             WHERE connector_id = $1 AND quarantined_at IS NOT NULL",
            id
        )?;
        cx.commit().await?;
        Ok(released > 0)
    }
}
