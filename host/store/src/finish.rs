//! The end of a run: prune what a complete traversal did not name, say how it went, finish its job. One transaction.
//!
//! Pruning is a set difference in memory between the source's live documents and the 16-byte digests that the run's pages left behind; its
//! guard holds deletions back that look like a source gone missing.

use std::collections::HashSet;

use tributary_core::{
    Instant, RunId, SourceId,
    contract::{Fault, Gone},
    job::Lease,
    run::{Run, RunError, RunKind, RunStatus},
    source::Health,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    guard, jobs, preview,
    quarantine::{self, Suspect},
    rows::{json_list, name_of},
    runs, schedules,
    seen::{self, Seen},
    sources,
    tenant::TenantDb,
};

/// Rows read or written by one statement of a prune.
pub(crate) const SLICE: usize = 5_000;

/// Deletions past both limits are held back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prune {
    /// Share of the source's documents, 0 to 1.
    pub max_share: f64,
    /// Number of documents.
    pub max_items: i64,
}

impl Default for Prune {
    fn default() -> Self {
        Self { max_share: 0.20, max_items: 50 }
    }
}

/// How a run ends.
#[derive(Clone, Debug)]
pub struct FinishRun {
    /// Which.
    pub run_id: RunId,
    /// Its final status. Held deletions turn `succeeded` into `partial`.
    pub status: RunStatus,
    /// Why it is not simply succeeded.
    pub error: Option<RunError>,
    /// Remove what was not named, within these limits unless the source has its own. Only after a traversal that the connector called
    /// exhaustive.
    pub prune: Option<Prune>,
    /// Remove it whatever the limits say (the run's own `accept_deletions` does the same).
    pub allow_deletions: bool,
    /// How the source is doing now; `None` leaves it as it is.
    pub health: Option<Health>,
    /// The sandbox had to end the connector, and why: trap, memory or deadline.
    pub killed: Option<Fault>,
    /// Now.
    pub now: Instant,
}

impl FinishRun {
    /// Ends a run without pruning.
    pub fn with(
        run_id: RunId,
        status: RunStatus,
        error: Option<RunError>,
        health: Option<Health>,
        now: Instant,
    ) -> Self {
        Self { run_id, status, error, prune: None, allow_deletions: false, health, killed: None, now }
    }
}

/// Deletions that were held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Documents that were not named.
    pub unseen: i64,
    /// Of so many.
    pub live: i64,
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// As it ended.
    pub run: Run,
    /// Set when deletions were held back.
    pub held: Option<Held>,
    /// The connector when the sandbox had to end too many of its runs: decide with [`crate::SystemDb::quarantine`].
    pub suspect: Option<Suspect>,
}

impl TenantDb {
    /// Ends a run and its job. `lease` as for a page. `RunOver` when it had ended before; `LeaseLost` when the worker lost its job.
    pub async fn finish_run(&self, lease: Option<&Lease>, finish: FinishRun) -> Result<Finished> {
        if !finish.status.is_final() {
            return Err(Error::Invalid("a run ends as succeeded, partial, failed or cancelled".to_owned()));
        }
        let mut finish = finish;
        let mut cx = self.write().await?;
        if let Some(lease) = lease {
            jobs::fence(&mut cx, self.key(), lease).await?;
        }
        let run = runs::find(&mut cx, self.key(), finish.run_id).await?.ok_or(Error::NotFound("run"))?;
        // A deleted source has nothing left to prune; its run still ends.
        let source = match sources::lock(&mut cx, self.key(), run.source_id).await {
            Ok(source) => Some(source),
            Err(Error::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        let run = Run::try_from(runs::lock(&mut cx, self.key(), run.id).await?)?;
        if run.status.is_final() {
            return Err(Error::RunOver);
        }
        let dry = run.kind == RunKind::DryRun;
        let mut held = None;
        let mut open_hold = None;
        if let Some(source) = &source {
            let accepted = finish.allow_deletions || run.accept_deletions;
            // A traversal under an older configuration says nothing about the documents of this one.
            let prune = finish.prune.filter(|_| source.config_revision == run.config_revision);
            let missing = match prune {
                Some(default) => {
                    let prune = guard::guard(&mut cx, self.key(), source.id).await?.unwrap_or(default);
                    // What a dry run's connector called gone is still there.
                    let gone = if dry { preview::deleted(&mut cx, self.key(), run.id).await? } else { HashSet::new() };
                    let kept = if accepted { HashSet::new() } else { self.kept(&mut cx, &run).await? };
                    Some(Missing::of(&mut cx, self.key(), &run, prune, &gone, &kept).await?)
                }
                None => None,
            };
            held = missing.as_ref().filter(|missing| missing.suspicious && !accepted).map(|missing| missing.held);
            match &missing {
                Some(missing) if dry => self.preview_deletions(&mut cx, run.id, &missing.documents).await?,
                Some(missing) if held.is_none() => self.prune(&mut cx, &run, missing, finish.now).await?,
                _ => {}
            }
            if !dry {
                if missing.is_some() {
                    self.end_dismissals(&mut cx, &run, accepted).await?;
                }
                open_hold = self.settle_hold(&mut cx, &run, missing.as_ref(), held, finish.now).await?;
            }
        }
        if let Some(held) = held {
            finish.error = Some(if dry { held.warning() } else { held.error() });
            if finish.status == RunStatus::Succeeded && !dry {
                finish.status = RunStatus::Partial;
            }
        }
        end(&mut cx, self.key(), &finish).await?;
        let run = runs::find(&mut cx, self.key(), run.id).await?.ok_or(Error::NotFound("run"))?;
        if let (false, Some(source)) = (dry, &source) {
            // Whatever this run says, a decision that waits comes first; but not before what a person has to repair.
            let mut reason = finish.error.clone();
            if let (Some(open), Some(Health::Healthy | Health::Degraded)) = (&open_hold, finish.health) {
                (finish.health, reason) = (Some(Health::NeedsAttention), Some(open.held.error()));
            }
            condition(&mut cx, self.key(), source.id, &finish, reason, run.position.is_some()).await?;
        }
        if let Some(source) = source.as_ref().filter(|_| finish.status == RunStatus::Failed) {
            schedules::pause_if_failing(&mut cx, self.key(), source, finish.now).await?;
        }
        if let Some(lease) = lease {
            jobs::done(&mut cx, lease).await?;
        }
        let digest = &run.connector.digest;
        let suspect = quarantine::count(&mut cx, self.key(), digest, finish.status, finish.killed).await?;
        cx.commit().await?;
        Ok(Finished { run, held, suspect })
    }

    /// Removes what the run did not name.
    async fn prune(&self, cx: &mut Cx, run: &Run, missing: &Missing, now: Instant) -> Result<()> {
        self.prune_containers(cx, run, &missing.seen).await?;
        if missing.documents.is_empty() {
            return Ok(());
        }
        let position = self.next_position(cx).await?;
        for slice in missing.documents.chunks(SLICE) {
            q!(
                cx,
                execute,
                "UPDATE document SET gone = $3, change_seq = $4, gone_at = $5, gone_by = NULL, gone_run_id = $6
                 WHERE workspace_id = $1 AND id IN {ids $2}",
                self.key(),
                json_list(slice)?,
                Gone::Deleted.as_str(),
                position,
                now,
                run.id.0
            )?;
        }
        q!(
            cx,
            execute,
            "UPDATE run SET deleted = deleted + $3, change_seq = $4 WHERE workspace_id = $1 AND id = $2",
            self.key(),
            run.id.0,
            missing.held.unseen,
            position
        )?;
        Ok(())
    }

    /// Forgets containers that are not there any more.
    async fn prune_containers(&self, cx: &mut Cx, run: &Run, seen: &Seen) -> Result<()> {
        let mut after = String::new();
        loop {
            let rows = q!(
                cx,
                fetch_all as (String),
                "SELECT external_id FROM container WHERE workspace_id = $1 AND source_id = $2 AND external_id > $3
                 ORDER BY external_id LIMIT $4",
                self.key(),
                run.source_id.0,
                &after,
                SLICE as i64
            )?;
            let Some(last) = rows.last() else { return Ok(()) };
            after.clone_from(last);
            let full = rows.len() == SLICE;
            let gone: Vec<_> = rows.iter().filter(|id| !seen.container(id)).collect();
            if !gone.is_empty() {
                q!(
                    cx,
                    execute,
                    "DELETE FROM container WHERE workspace_id = $1 AND source_id = $2 AND external_id IN {texts $3}",
                    self.key(),
                    run.source_id.0,
                    json_list(&gone)?
                )?;
            }
            if !full {
                return Ok(());
            }
        }
    }
}

/// What a traversal did not name, but for what a person keeps all the same.
pub(crate) struct Missing {
    /// Live documents of the source.
    pub(crate) documents: Vec<Uuid>,
    /// How many, of how many.
    pub(crate) held: Held,
    /// It looks like a source gone missing rather than like deletions.
    suspicious: bool,
    pub(crate) seen: Seen,
}

impl Missing {
    async fn of(
        cx: &mut Cx,
        workspace: Uuid,
        run: &Run,
        prune: Prune,
        gone: &HashSet<Uuid>,
        kept: &HashSet<Uuid>,
    ) -> Result<Self> {
        let seen = Seen::of(cx, workspace, run.id).await?;
        let mut live = 0;
        let mut documents = Vec::new();
        let mut after = String::new();
        loop {
            let rows = q!(
                cx,
                fetch_all as (String, Uuid, Option<String>),
                "SELECT external_id, id, container FROM document
                 WHERE workspace_id = $1 AND source_id = $2 AND external_id > $3 AND gone IS NULL ORDER BY external_id LIMIT $4",
                workspace,
                run.source_id.0,
                &after,
                SLICE as i64
            )?;
            let full = rows.len() == SLICE;
            for (external_id, id, container) in rows {
                let missed = !seen.document(&external_id, container.as_deref());
                // Judged as if the source did not have them.
                let left_out = gone.contains(&id) || (missed && kept.contains(&id));
                live += i64::from(!left_out);
                if missed && !left_out {
                    documents.push(id);
                }
                after = external_id;
            }
            if !full {
                break;
            }
        }
        let held = Held { unseen: i64::try_from(documents.len()).unwrap_or(i64::MAX), live };
        let share = held.unseen as f64 / live.max(1) as f64;
        let suspicious =
            held.unseen > 0 && (seen.nothing() || (held.unseen > prune.max_items && share >= prune.max_share));
        Ok(Self { documents, held, suspicious, seen })
    }
}

impl Held {
    fn error(self) -> RunError {
        let Self { unseen, live } = self;
        RunError {
            code: "deletions_held".to_owned(),
            detail: format!(
                "{unseen} of {live} documents were not found this time, so none was removed. If they are really gone, approve the held \
                 deletions or sync again with accept_deletions; otherwise check that the source's root or account is reachable and complete."
            ),
            config_pointer: None,
        }
    }

    fn warning(self) -> RunError {
        let Self { unseen, live } = self;
        RunError {
            code: "deletions_would_be_held".to_owned(),
            detail: format!(
                "{unseen} of {live} documents were not found. A sync would remove none of them before somebody approves it; check that \
                 the source's root or account is reachable and complete."
            ),
            config_pointer: None,
        }
    }
}

/// Says how a source is doing after a run, since when, and why.
pub(crate) async fn condition(
    cx: &mut Cx,
    workspace: Uuid,
    source: SourceId,
    finish: &FinishRun,
    reason: Option<RunError>,
    changed: bool,
) -> Result<()> {
    let reason = reason.filter(|_| finish.health != Some(Health::Healthy));
    q!(
        cx,
        execute,
        "UPDATE source SET health = COALESCE($3, health),
             health_since = CASE WHEN $3 IS NULL OR ($3 = health AND COALESCE($4, '') = COALESCE(health_code, '')) THEN health_since
                 ELSE $6 END,
             health_code = CASE WHEN $3 IS NULL THEN health_code ELSE $4 END,
             health_detail = CASE WHEN $3 IS NULL THEN health_detail ELSE $5 END,
             last_success_at = CASE WHEN $7 THEN $6 ELSE last_success_at END,
             last_change_at = CASE WHEN $8 THEN $6 ELSE last_change_at END
         WHERE workspace_id = $1 AND id = $2",
        workspace,
        source.0,
        finish.health.as_ref().map(name_of),
        reason.as_ref().map(|reason| reason.code.replace('\0', "")),
        reason.as_ref().map(|reason| reason.detail.replace('\0', "")),
        finish.now,
        matches!(finish.status, RunStatus::Succeeded | RunStatus::Partial),
        changed
    )?;
    Ok(())
}

/// Writes a run's end and drops what it saw.
pub(crate) async fn end(cx: &mut Cx, workspace: Uuid, finish: &FinishRun) -> Result<()> {
    let error = finish.error.as_ref();
    q!(
        cx,
        execute,
        "UPDATE run SET status = $3, finished_at = $4, error_code = $5, error_detail = $6, error_pointer = $7, stage = NULL,
             waiting_for = NULL
         WHERE workspace_id = $1 AND id = $2",
        workspace,
        finish.run_id.0,
        name_of(&finish.status),
        finish.now,
        error.map(|error| error.code.replace('\0', "")),
        error.map(|error| error.detail.replace('\0', "")),
        error.and_then(|error| error.config_pointer.as_ref()).map(|pointer| pointer.replace('\0', ""))
    )?;
    seen::forget(cx, workspace, finish.run_id).await
}
