//! The end of a run: prune what a complete traversal did not name, say how it went, finish its job. One transaction.
//!
//! Pruning is a set difference in memory between the source's live documents and the 16-byte digests that the run's pages left behind; its
//! guard holds deletions back that look like a source gone missing.

use std::collections::HashSet;

use tributary_core::{
    Instant, RunId,
    contract::Gone,
    hash::{IdDigest, id_digest},
    job::Lease,
    run::{Run, RunError, RunStatus},
    source::Health,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    jobs,
    rows::{json_list, name_of},
    runs, schedules, sources,
    tenant::TenantDb,
};

/// Rows read or written by one statement of a prune.
const SLICE: usize = 5_000;

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
    /// Remove what was not named. Only after a traversal that the connector called exhaustive.
    pub prune: Option<Prune>,
    /// Remove it whatever the limits say (the run's own `accept_deletions` does the same).
    pub allow_deletions: bool,
    /// How the source is doing now; `None` leaves it as it is.
    pub health: Option<Health>,
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
        Self { run_id, status, error, prune: None, allow_deletions: false, health, now }
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
        let mut held = None;
        if let (Some(prune), Some(source)) = (finish.prune, &source)
            // A traversal under an older configuration says nothing about the documents of this one.
            && source.config_revision == run.config_revision
        {
            held = self.prune(&mut cx, &run, prune, finish.allow_deletions || run.accept_deletions).await?;
        }
        if let Some(held) = held {
            finish.error = Some(held.error());
            finish.health = Some(Health::NeedsAttention);
            if finish.status == RunStatus::Succeeded {
                finish.status = RunStatus::Partial;
            }
        }
        end(&mut cx, self.key(), &finish).await?;
        if let (Some(health), Some(source)) = (finish.health, &source) {
            q!(
                cx,
                execute,
                "UPDATE source SET health = $3 WHERE workspace_id = $1 AND id = $2",
                self.key(),
                source.id.0,
                name_of(&health)
            )?;
        }
        if let Some(source) = source.as_ref().filter(|_| finish.status == RunStatus::Failed) {
            schedules::pause_if_failing(&mut cx, self.key(), source, finish.now).await?;
        }
        if let Some(lease) = lease {
            jobs::done(&mut cx, lease).await?;
        }
        let run = runs::find(&mut cx, self.key(), run.id).await?.ok_or(Error::NotFound("run"))?;
        cx.commit().await?;
        Ok(Finished { run, held })
    }

    /// Removes what the run did not name, or says what it held back.
    async fn prune(&self, cx: &mut Cx, run: &Run, prune: Prune, accepted: bool) -> Result<Option<Held>> {
        let seen = Seen::of(cx, self.key(), run.id).await?;
        let mut live = 0;
        let mut unseen = Vec::new();
        let mut after = String::new();
        loop {
            let rows = q!(
                cx,
                fetch_all as (String, Uuid, Option<String>),
                "SELECT external_id, id, container FROM document
                 WHERE workspace_id = $1 AND source_id = $2 AND external_id > $3 AND gone IS NULL ORDER BY external_id LIMIT $4",
                self.key(),
                run.source_id.0,
                &after,
                SLICE as i64
            )?;
            let full = rows.len() == SLICE;
            for (external_id, id, container) in rows {
                live += 1;
                if !seen.document(&external_id, container.as_deref()) {
                    unseen.push(id);
                }
                after = external_id;
            }
            if !full {
                break;
            }
        }

        let held = Held { unseen: i64::try_from(unseen.len()).unwrap_or(i64::MAX), live };
        let share = held.unseen as f64 / live.max(1) as f64;
        let suspicious = seen.nothing() || (held.unseen > prune.max_items && share >= prune.max_share);
        if held.unseen > 0 && suspicious && !accepted {
            return Ok(Some(held));
        }
        self.prune_containers(cx, run, &seen).await?;
        if unseen.is_empty() {
            return Ok(None);
        }
        let position = self.next_position(cx).await?;
        for slice in unseen.chunks(SLICE) {
            q!(
                cx,
                execute,
                "UPDATE document SET gone = $3, change_seq = $4 WHERE workspace_id = $1 AND id IN {ids $2}",
                self.key(),
                json_list(slice)?,
                Gone::Deleted.as_str(),
                position
            )?;
        }
        q!(
            cx,
            execute,
            "UPDATE run SET deleted = deleted + $3, change_seq = $4 WHERE workspace_id = $1 AND id = $2",
            self.key(),
            run.id.0,
            held.unseen,
            position
        )?;
        Ok(None)
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

impl Held {
    fn error(self) -> RunError {
        let Self { unseen, live } = self;
        RunError {
            code: "deletions_held".to_owned(),
            detail: format!(
                "{unseen} of {live} documents were not found this time, so none was removed. If they are really gone, sync again with \
                 accept_deletions; otherwise check that the source's root or account is reachable and complete."
            ),
            config_pointer: None,
        }
    }
}

/// Writes a run's end and drops what it saw.
pub(crate) async fn end(cx: &mut Cx, workspace: Uuid, finish: &FinishRun) -> Result<()> {
    let error = finish.error.as_ref();
    q!(
        cx,
        execute,
        "UPDATE run SET status = $3, finished_at = $4, error_code = $5, error_detail = $6, error_pointer = $7
         WHERE workspace_id = $1 AND id = $2",
        workspace,
        finish.run_id.0,
        name_of(&finish.status),
        finish.now,
        error.map(|error| error.code.replace('\0', "")),
        error.map(|error| error.detail.replace('\0', "")),
        error.and_then(|error| error.config_pointer.as_ref()).map(|pointer| pointer.replace('\0', ""))
    )?;
    runs::forget_seen(cx, workspace, finish.run_id).await
}

/// What a run named: 16 bytes an id.
struct Seen {
    documents: HashSet<IdDigest>,
    containers: HashSet<IdDigest>,
    kept: HashSet<IdDigest>,
}

impl Seen {
    async fn of(cx: &mut Cx, workspace: Uuid, run: RunId) -> Result<Self> {
        let mut seen = Self { documents: HashSet::new(), containers: HashSet::new(), kept: HashSet::new() };
        let mut after = -1;
        loop {
            let rows = q!(
                cx,
                fetch_all as (i64, Vec<u8>, Vec<u8>, Vec<u8>),
                "SELECT page_no, documents, containers, kept FROM run_seen WHERE workspace_id = $1 AND run_id = $2 AND page_no > $3
                 ORDER BY page_no LIMIT 500",
                workspace,
                run.0,
                after
            )?;
            let Some((last, ..)) = rows.last() else { return Ok(seen) };
            after = *last;
            for (_, documents, containers, kept) in rows {
                extend(&mut seen.documents, &documents);
                extend(&mut seen.containers, &containers);
                extend(&mut seen.kept, &kept);
            }
        }
    }

    fn nothing(&self) -> bool {
        self.documents.is_empty() && self.containers.is_empty() && self.kept.is_empty()
    }

    fn document(&self, external_id: &str, container: Option<&str>) -> bool {
        self.documents.contains(&id_digest(external_id))
            || container.is_some_and(|id| self.kept.contains(&id_digest(id)))
    }

    fn container(&self, external_id: &str) -> bool {
        let digest = id_digest(external_id);
        self.containers.contains(&digest) || self.kept.contains(&digest)
    }
}

fn extend(set: &mut HashSet<IdDigest>, digests: &[u8]) {
    let (digests, _) = digests.as_chunks::<16>();
    set.extend(digests);
}
