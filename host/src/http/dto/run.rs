//! Runs, and how far they have come.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tributary_core::run::{self, RecordingState, RunKind, RunStatus, Trigger};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Connector;
use crate::http::problem::{FieldError, Problem};

/// What a run did.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Counts {
    /// Items the source named.
    pub seen: i64,
    pub added: i64,
    pub updated: i64,
    pub unchanged: i64,
    pub deleted: i64,
    pub failed: i64,
}

/// How far a run has come.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Progress {
    pub done: u64,
    /// Null when the source cannot tell.
    pub total: Option<u64>,
    pub phase: String,
}

/// An item that could not be read.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct FailedItem {
    pub external_id: String,
    /// What kind of failure: unsupported, too_large, permission, …
    #[schema(value_type = String)]
    pub fault: tributary_core::contract::Fault,
    pub message: String,
}

impl From<run::FailedItem> for FailedItem {
    fn from(run::FailedItem { external_id, fault, message }: run::FailedItem) -> Self {
        Self { external_id, fault, message }
    }
}

/// What a worker is doing.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RunStage {
    /// pull, extract or index.
    #[schema(value_type = String)]
    pub name: run::StageName,
    pub since: DateTime<Utc>,
    /// When it last moved on.
    pub moved_at: DateTime<Utc>,
}

impl From<run::Stage> for RunStage {
    fn from(run::Stage { name, since, moved_at }: run::Stage) -> Self {
        Self { name, since, moved_at }
    }
}

/// A pause of a run.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RunWaiting {
    /// quota (the source asked to slow down) or retry.
    #[schema(value_type = String)]
    pub reason: run::WaitingFor,
    pub until: DateTime<Utc>,
}

impl From<run::Waiting> for RunWaiting {
    fn from(run::Waiting { reason, until }: run::Waiting) -> Self {
        Self { reason, until }
    }
}

/// The recording of a run.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RunRecording {
    /// asked, recording, complete, incomplete (a host was lost, or its disk refused) or too_long (it reached 512 MiB and stops there).
    #[schema(value_type = String)]
    pub state: RecordingState,
    /// The hosts that have it, each what it recorded itself.
    pub hosts: Vec<String>,
    /// Pages in it.
    pub pages: i64,
    /// Its length before compression.
    pub bytes: i64,
}

impl RunRecording {
    fn new(it: run::Recording, over: bool) -> Self {
        // Whoever was to end it is gone.
        let lost = over && matches!(it.state, RecordingState::Asked | RecordingState::Recording);
        let state = if lost { RecordingState::Incomplete } else { it.state };
        Self { state, hosts: it.hosts, pages: it.pages, bytes: it.bytes }
    }
}

/// A run of a source.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Run {
    pub id: Uuid,
    /// sync, full, push or dry_run.
    #[schema(value_type = String)]
    pub kind: RunKind,
    /// queued, running, waiting, succeeded, partial, failed or cancelled.
    #[schema(value_type = String)]
    pub status: RunStatus,
    /// schedule, manual, api or webhook.
    #[schema(value_type = String)]
    pub trigger: Trigger,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// From the start to the end, pauses included.
    pub duration_ms: Option<i64>,
    /// What its worker is doing; null while no worker has it.
    pub stage: Option<RunStage>,
    /// What it waits for.
    pub waiting: Option<RunWaiting>,
    /// The run whose failed items this one reads again.
    pub retry_of: Option<Uuid>,
    /// The revision of the source's configuration it ran with.
    pub config_revision: i64,
    /// Pages committed.
    pub pages: i64,
    pub counts: Counts,
    /// Bytes read from the source.
    pub bytes: i64,
    /// Requests made of the source.
    pub requests: i64,
    pub progress: Option<Progress>,
    pub error: Option<Problem>,
    /// At most 100; `counts.failed` has the number.
    pub failed_items: Vec<FailedItem>,
    pub connector: Connector,
    /// The newest commit of this run: send it as `min_position` to search what it brought.
    pub position: Option<i64>,
    /// Set when somebody asked for it.
    pub recording: Option<RunRecording>,
}

impl Run {
    pub(in crate::http) fn new(run: run::Run, failed_items: Vec<run::FailedItem>) -> Self {
        let run::Counts { seen, added, updated, unchanged, deleted, failed } = run.counts;
        let error = run.error.map(|error| {
            let mut problem =
                Problem::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, &error.code, error.detail.clone());
            problem.errors.extend(error.config_pointer.map(|pointer| FieldError { pointer, detail: error.detail }));
            problem
        });
        Self {
            id: run.id.0,
            kind: run.kind,
            status: run.status,
            trigger: run.trigger,
            queued_at: run.queued_at,
            duration_ms: run.started_at.zip(run.finished_at).map(|(from, to)| (to - from).num_milliseconds()),
            stage: run.stage.map(Into::into),
            waiting: run.waiting.map(Into::into),
            retry_of: run.retry_of.map(|run| run.0),
            config_revision: run.config_revision,
            pages: run.page_no,
            started_at: run.started_at,
            finished_at: run.finished_at,
            counts: Counts { seen, added, updated, unchanged, deleted, failed },
            bytes: run.bytes,
            requests: run.requests,
            progress: run.progress.filter(|_| !run.status.is_final()).map(|progress| Progress {
                done: progress.done,
                total: progress.total,
                phase: progress.phase,
            }),
            error,
            failed_items: failed_items.into_iter().map(Into::into).collect(),
            connector: run.connector.into(),
            position: run.position,
            recording: run.recording.map(|recording| RunRecording::new(recording, run.status.is_final())),
        }
    }
}
