//! Runs: asking for them, following them, stopping them. Their pages are committed in `ingest`, their end in `finish`.

use std::collections::HashMap;

use sqlx::types::Json;
use tributary_core::{
    Instant, JobId, RunId, SourceId,
    citation::ConnectorRef,
    contract::Progress,
    job::{Lease, Priority, Work},
    run::{Counts, FailedItem, Recording, RecordingState, Run, RunError, RunKind, RunStatus, Stage, Trigger, Waiting},
    source::Source,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    jobs,
    rows::{Page, limited, name_of, named, refuse_nul},
    seen, sources,
    tenant::TenantDb,
};

/// A run to be made.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Of which source.
    pub source_id: SourceId,
    /// What kind.
    pub kind: RunKind,
    /// What started it.
    pub trigger: Trigger,
    /// Accept deletions past the guard's threshold.
    pub accept_deletions: bool,
    /// The connector it runs with; `None` takes the source's.
    pub connector: Option<ConnectorRef>,
    /// Record what its connector is told and answers.
    pub record: bool,
    /// Now.
    pub now: Instant,
}

/// Which runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFilter {
    /// Those that stand here.
    pub status: Option<RunStatus>,
    /// Those of this kind.
    pub kind: Option<RunKind>,
}

/// A run that a worker has taken up.
#[derive(Clone, Debug, PartialEq)]
pub struct BegunRun {
    /// The run, running.
    pub run: Run,
    /// Its source as it is now. When `config_revision` differs from the run's, the run cannot go on from its cursor.
    pub source: Source,
    /// A person asked to stop it.
    pub cancel_requested: bool,
}

/// What became of the wish to stop a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelRequest {
    /// No worker had it; it is cancelled.
    Cancelled,
    /// Its worker is told at its next heartbeat.
    Asked,
    /// It had ended before.
    AlreadyOver,
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct Row {
    id: Uuid,
    source_id: Uuid,
    kind: String,
    status: String,
    triggered_by: String,
    connector_id: String,
    connector_version: String,
    connector_digest: String,
    config_revision: i64,
    accept_deletions: bool,
    pub(crate) cancel_requested: bool,
    queued_at: Instant,
    started_at: Option<Instant>,
    finished_at: Option<Instant>,
    seen: i64,
    added: i64,
    updated: i64,
    unchanged: i64,
    deleted: i64,
    failed: i64,
    bytes: i64,
    requests: i64,
    progress: Option<Json<Progress>>,
    error_code: Option<String>,
    error_detail: Option<String>,
    error_pointer: Option<String>,
    page_no: i64,
    page_cursor: Option<String>,
    change_seq: Option<i64>,
    retry_of: Option<Uuid>,
    stage: Option<String>,
    stage_since: Option<Instant>,
    stage_moved_at: Option<Instant>,
    waiting_for: Option<String>,
    waiting_until: Option<Instant>,
    stale_pages: i64,
    traversal: Option<String>,
    recording: Option<String>,
    recorded_on: Option<Json<Vec<String>>>,
    recorded_pages: i64,
    recorded_bytes: i64,
}

/// What [`Row`] reads, from a table called `r`.
macro_rules! columns {
    () => {
        "r.id, r.source_id, r.kind, r.status, r.triggered_by, r.connector_id, r.connector_version, r.connector_digest,
         r.config_revision, r.accept_deletions, r.cancel_requested, r.queued_at, r.started_at, r.finished_at, r.seen, r.added, r.updated,
         r.unchanged, r.deleted, r.failed, r.bytes, r.requests, r.progress, r.error_code, r.error_detail, r.error_pointer, r.page_no,
         r.page_cursor, r.change_seq, r.retry_of, r.stage, r.stage_since, r.stage_moved_at, r.waiting_for, r.waiting_until, r.stale_pages, r.traversal,
         r.recording, r.recorded_on, r.recorded_pages, r.recorded_bytes"
    };
}

impl TryFrom<Row> for Run {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            source_id: row.source_id.into(),
            kind: named(&row.kind)?,
            status: named(&row.status)?,
            trigger: named(&row.triggered_by)?,
            connector: ConnectorRef {
                id: row.connector_id,
                version: row.connector_version,
                digest: row.connector_digest,
            },
            config_revision: row.config_revision,
            accept_deletions: row.accept_deletions,
            queued_at: row.queued_at,
            started_at: row.started_at,
            finished_at: row.finished_at,
            counts: Counts {
                seen: row.seen,
                added: row.added,
                updated: row.updated,
                unchanged: row.unchanged,
                deleted: row.deleted,
                failed: row.failed,
            },
            bytes: row.bytes,
            requests: row.requests,
            progress: row.progress.map(|progress| progress.0),
            error: row.error_code.zip(row.error_detail).map(|(code, detail)| RunError {
                code,
                detail,
                config_pointer: row.error_pointer,
            }),
            page_no: row.page_no,
            cursor: row.page_cursor,
            retry_of: row.retry_of.map(Into::into),
            stage: match (row.stage, row.stage_since, row.stage_moved_at) {
                (Some(name), Some(since), Some(moved_at)) => Some(Stage { name: named(&name)?, since, moved_at }),
                _ => None,
            },
            waiting: match (row.waiting_for, row.waiting_until) {
                (Some(reason), Some(until)) => Some(Waiting { reason: named(&reason)?, until }),
                _ => None,
            },
            stale_pages: row.stale_pages,
            traversal: row.traversal.as_deref().map(named).transpose()?,
            position: row.change_seq,
            recording: match row.recording {
                Some(state) => Some(Recording {
                    state: named(&state)?,
                    hosts: row.recorded_on.map(|hosts| hosts.0).unwrap_or_default(),
                    pages: row.recorded_pages,
                    bytes: row.recorded_bytes,
                }),
                None => None,
            },
        })
    }
}

pub(crate) async fn find(cx: &mut Cx, workspace: Uuid, id: RunId) -> Result<Option<Run>> {
    let row = q!(
        cx,
        fetch_optional as Row,
        concat!("SELECT ", columns!(), " FROM run r WHERE r.workspace_id = $1 AND r.id = $2"),
        workspace,
        id.0
    )?;
    row.map(Run::try_from).transpose()
}

/// Locks a run until the transaction ends; after its source, before anything else.
pub(crate) async fn lock(cx: &mut Cx, workspace: Uuid, id: RunId) -> Result<Row> {
    q!(
        cx,
        fetch_optional as Row,
        concat!("SELECT ", columns!(), " FROM run r WHERE r.workspace_id = $1 AND r.id = $2 {lock}"),
        workspace,
        id.0
    )?
    .ok_or(Error::NotFound("run"))
}

/// Several runs in one read; `ids` is a JSON list.
pub(crate) async fn find_all(cx: &mut Cx, workspace: Uuid, ids: &str) -> Result<HashMap<RunId, Run>> {
    let rows = q!(
        cx,
        fetch_all as Row,
        concat!("SELECT ", columns!(), " FROM run r WHERE r.workspace_id = $1 AND r.id IN {ids $2}"),
        workspace,
        ids
    )?;
    rows.into_iter().map(|row| Ok((row.id.into(), Run::try_from(row)?))).collect()
}

/// The sync of a source that has not ended.
pub(crate) async fn active(cx: &mut Cx, workspace: Uuid, source: SourceId) -> Result<Option<RunId>> {
    let id = q!(
        cx,
        fetch_optional as (Uuid),
        "SELECT id FROM run WHERE workspace_id = $1 AND source_id = $2 AND status IN ('queued', 'running', 'waiting')
             AND kind IN ('sync', 'full')",
        workspace,
        source.0
    )?;
    Ok(id.map(Into::into))
}

/// The dry run of a source that has not ended.
async fn active_dry_run(cx: &mut Cx, workspace: Uuid, source: SourceId) -> Result<Option<RunId>> {
    let id = q!(
        cx,
        fetch_optional as (Uuid),
        "SELECT id FROM run WHERE workspace_id = $1 AND source_id = $2 AND status IN ('queued', 'running', 'waiting')
             AND kind = 'dry_run' ORDER BY id LIMIT 1",
        workspace,
        source.0
    )?;
    Ok(id.map(Into::into))
}

/// Makes a run of a locked source that has no active sync, with a job unless it is a push.
pub(crate) async fn insert(cx: &mut Cx, workspace: Uuid, source: &Source, new: &NewRun) -> Result<RunId> {
    insert_retry(cx, workspace, source, new, None).await
}

/// The same, for a run that reads the failed items of another again.
pub(crate) async fn insert_retry(
    cx: &mut Cx,
    workspace: Uuid,
    source: &Source,
    new: &NewRun,
    retry_of: Option<RunId>,
) -> Result<RunId> {
    let id = RunId::new();
    let driven = new.kind != RunKind::Push;
    let job_id = driven.then(JobId::new);
    let status = if driven { RunStatus::Queued } else { RunStatus::Running };
    let connector = new.connector.as_ref().unwrap_or(&source.connector);
    q!(
        cx,
        execute,
        "INSERT INTO run (workspace_id, id, source_id, job_id, kind, status, triggered_by, connector_id, connector_version,
             connector_digest, config_revision, accept_deletions, cancel_requested, queued_at, started_at, seen, added, updated, unchanged,
             deleted, failed, bytes, requests, page_no, retry_of, recording)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0, 0, 0, 0, 0, 0, 0, 0, 0, $16, $17)",
        workspace,
        id.0,
        source.id.0,
        job_id.map(|id| id.0),
        name_of(&new.kind),
        name_of(&status),
        name_of(&new.trigger),
        &connector.id,
        &connector.version,
        &connector.digest,
        source.config_revision,
        new.accept_deletions,
        false,
        new.now,
        (!driven).then_some(new.now),
        retry_of.map(|run| run.0),
        new.record.then(|| name_of(&RecordingState::Asked))
    )?;
    if let Some(job_id) = job_id {
        // Whoever asked waits for it.
        let priority = if new.trigger == Trigger::Schedule { Priority::Normal } else { Priority::High };
        jobs::insert_first(cx, workspace, job_id, &Work::Sync { run_id: id }, priority, new.now).await?;
    }
    // A dry run leaves no trace in the source.
    if new.kind != RunKind::DryRun {
        q!(
            cx,
            execute,
            "UPDATE source SET last_run_id = $3 WHERE workspace_id = $1 AND id = $2",
            workspace,
            source.id.0,
            id.0
        )?;
    }
    Ok(id)
}

impl TenantDb {
    /// Asks for a run. A sync or a dry run gets its job in the same transaction, or `AlreadyRunning` when the source has one; a push is
    /// `running` at once and driven by its caller.
    pub async fn create_run(&self, new: NewRun) -> Result<RunId> {
        if !self.audience().admits_source(new.source_id) {
            return Err(Error::NotFound("source"));
        }
        let mut cx = self.write().await?;
        let source = sources::lock(&mut cx, self.key(), new.source_id).await?;
        let active = match new.kind {
            RunKind::Sync | RunKind::Full => active(&mut cx, self.key(), new.source_id).await?,
            RunKind::DryRun => active_dry_run(&mut cx, self.key(), new.source_id).await?,
            RunKind::Push => None,
        };
        if let Some(run_id) = active {
            return Err(Error::AlreadyRunning { run_id });
        }
        let id = insert(&mut cx, self.key(), &source, &new).await?;
        cx.commit().await?;
        Ok(id)
    }

    /// A run, when there is one.
    pub async fn find_run(&self, id: RunId) -> Result<Option<Run>> {
        let run = find(&mut self.read().await?, self.key(), id).await?;
        Ok(run.filter(|run| self.audience().admits_source(run.source_id)))
    }

    /// A run.
    pub async fn get_run(&self, id: RunId) -> Result<Run> {
        self.find_run(id).await?.ok_or(Error::NotFound("run"))
    }

    /// Runs of a source, newest first.
    pub async fn list_runs(&self, source: SourceId, before: Option<RunId>, limit: i64) -> Result<Page<Run>> {
        self.find_runs(source, RunFilter::default(), before, limit).await
    }

    /// Some of the runs of a source, newest first.
    pub async fn find_runs(
        &self,
        source: SourceId,
        filter: RunFilter,
        before: Option<RunId>,
        limit: i64,
    ) -> Result<Page<Run>> {
        if !self.audience().admits_source(source) {
            return Ok(Page { items: Vec::new(), more: false });
        }
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM run r WHERE r.workspace_id = $1 AND r.source_id = $2 AND r.id < $3
                     AND ($5 IS NULL OR r.status = $5) AND ($6 IS NULL OR r.kind = $6)
                 ORDER BY r.id DESC LIMIT $4"
            ),
            self.key(),
            source.0,
            before.map_or(Uuid::max(), |id| id.0),
            limit + 1,
            filter.status.as_ref().map(name_of),
            filter.kind.as_ref().map(name_of)
        )?;
        Page::of(rows, limit).try_map(Run::try_from)
    }

    /// Items of a run that could not be read, in the order they came. Only the first of very many are kept; the run's count says how
    /// many there were.
    pub async fn failed_items(&self, run: RunId, limit: i64) -> Result<Vec<FailedItem>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as (String, String, String),
            "SELECT external_id, fault, message FROM run_failed_item WHERE workspace_id = $1 AND run_id = $2 ORDER BY item_no LIMIT $3",
            self.key(),
            run.0,
            limited(limit)
        )?;
        let items = rows.into_iter();
        items
            .map(|(external_id, fault, message)| Ok(FailedItem { external_id, fault: named(&fault)?, message }))
            .collect()
    }

    /// Asks to stop a run.
    pub async fn request_cancel(&self, run: RunId, now: Instant) -> Result<CancelRequest> {
        let mut cx = self.write().await?;
        let job_id = q!(
            cx,
            fetch_optional as (Option<Uuid>),
            "SELECT job_id FROM run WHERE workspace_id = $1 AND id = $2",
            self.key(),
            run.0
        )?
        .ok_or(Error::NotFound("run"))?;
        // Jobs are locked before runs, here as in every worker's transaction.
        let unclaimed = match job_id {
            Some(job_id) => jobs::cancel(&mut cx, self.key(), job_id).await?,
            None => false,
        };
        let row = lock(&mut cx, self.key(), run).await?;
        if row.finished_at.is_some() {
            return Ok(CancelRequest::AlreadyOver);
        }
        let status = if unclaimed { name_of(&RunStatus::Cancelled) } else { row.status };
        q!(
            cx,
            execute,
            "UPDATE run SET cancel_requested = $3, status = $4, finished_at = $5, stage = NULL, waiting_for = NULL
             WHERE workspace_id = $1 AND id = $2",
            self.key(),
            run.0,
            true,
            status,
            unclaimed.then_some(now)
        )?;
        if unclaimed {
            seen::forget(&mut cx, self.key(), run).await?;
        }
        cx.commit().await?;
        Ok(if unclaimed { CancelRequest::Cancelled } else { CancelRequest::Asked })
    }

    /// Takes a run up, for the first time or again. A first page runs with the source's connector and configuration of this moment;
    /// later ones with those of the first.
    pub async fn begin_run(&self, lease: &Lease, run: RunId, now: Instant) -> Result<BegunRun> {
        let mut cx = self.write().await?;
        jobs::fence(&mut cx, self.key(), lease).await?;
        let source_id = find(&mut cx, self.key(), run).await?.ok_or(Error::NotFound("run"))?.source_id;
        let source = sources::lock(&mut cx, self.key(), source_id).await?;
        let row = lock(&mut cx, self.key(), run).await?;
        if row.finished_at.is_some() {
            return Err(Error::RunOver);
        }
        let cancel_requested = row.cancel_requested;
        let mut run = Run::try_from(row)?;
        run.status = RunStatus::Running;
        run.started_at = run.started_at.or(Some(now));
        (run.stage, run.waiting) = (None, None);
        if run.page_no == 0 {
            run.connector = source.connector.clone();
            run.config_revision = source.config_revision;
        }
        q!(
            cx,
            execute,
            "UPDATE run SET status = 'running', started_at = $3, connector_id = $4, connector_version = $5, connector_digest = $6,
                 config_revision = $7, stage = NULL, waiting_for = NULL
             WHERE workspace_id = $1 AND id = $2",
            self.key(),
            run.id.0,
            run.started_at,
            &run.connector.id,
            &run.connector.version,
            &run.connector.digest,
            run.config_revision
        )?;
        cx.commit().await?;
        Ok(BegunRun { run, source, cancel_requested })
    }

    /// Says how far a run has come, between pages.
    pub async fn set_progress(&self, lease: &Lease, run: RunId, progress: &Progress) -> Result<()> {
        refuse_nul([progress.phase.as_str()])?;
        let mut cx = self.write().await?;
        jobs::fence(&mut cx, self.key(), lease).await?;
        q!(
            cx,
            execute,
            "UPDATE run SET progress = $3 WHERE workspace_id = $1 AND id = $2 AND finished_at IS NULL",
            self.key(),
            run.0,
            Json(progress)
        )?;
        cx.commit().await
    }
}
