//! Runs: one sync, full resync, push or dry run of a source.

use serde::{Deserialize, Serialize};

use crate::{
    Instant, Position, RunId, SourceId,
    citation::ConnectorRef,
    contract::{Fault, Progress},
};

/// What kind of run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// Incremental.
    Sync,
    /// Everything again.
    Full,
    /// Documents pushed over the API.
    Push,
    /// Nothing committed.
    DryRun,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Waiting for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// Waiting for a quota or a retry.
    Waiting,
    /// All fine.
    Succeeded,
    /// Done, with failed items or held deletions.
    Partial,
    /// Given up.
    Failed,
    /// Stopped by a person.
    Cancelled,
}

impl RunStatus {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Partial | Self::Failed | Self::Cancelled)
    }
}

/// What a worker is doing with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageName {
    /// The connector is asked for the page.
    Pull,
    /// Its files are turned into text.
    Extract,
    /// It is compared with what is known and committed.
    Index,
}

/// Where the work on a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What is being done.
    pub name: StageName,
    /// Since when.
    pub since: Instant,
    /// When it last moved on: bytes read, a file extracted, a page committed.
    pub moved_at: Instant,
}

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingFor {
    /// The source asked to slow down.
    Quota,
    /// Something failed that is likely to pass.
    Retry,
}

/// A pause of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What for.
    pub reason: WaitingFor,
    /// Until when.
    pub until: Instant,
}

/// How the pages of a run came to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Traversal {
    /// Absence says nothing.
    Complete,
    /// Everything that exists was named.
    Exhaustive,
}

/// What a dry run would do to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A new document.
    Add,
    /// A new version.
    Update,
    /// A tombstone.
    Delete,
}

/// What started a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// Its schedule.
    Schedule,
    /// A person.
    Manual,
    /// A program.
    Api,
    /// A webhook.
    Webhook,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Items the connector named.
    pub seen: i64,
    /// New documents.
    pub added: i64,
    /// New versions.
    pub updated: i64,
    /// Nothing to write.
    pub unchanged: i64,
    /// Tombstones.
    pub deleted: i64,
    /// Items that could not be read.
    pub failed: i64,
}

/// An item that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedItem {
    /// Its name in the source.
    pub external_id: String,
    /// What kind of failure.
    pub fault: Fault,
    /// One sentence.
    pub message: String,
}

/// Why a run is not simply `succeeded`: stable code, sentence, JSON pointer into the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunError {
    /// Stable, snake_case.
    pub code: String,
    /// One sentence: what happened and what to do.
    pub detail: String,
    /// JSON pointer into the source's configuration.
    pub config_pointer: Option<String>,
}

/// Where the recording of a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingState {
    /// No worker has begun.
    Asked,
    /// A worker writes it; or did when it was lost.
    Recording,
    /// All that happened so far is in it.
    Complete,
    /// A worker was lost, or a disk refused: something may be missing.
    Incomplete,
    /// It reached the length that one may have, and stops there.
    TooLong,
}

/// What is known of the recording of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// Where it stands.
    pub state: RecordingState,
    /// The hosts that have it, each what it recorded itself.
    pub hosts: Vec<String>,
    /// Pages in it.
    pub pages: i64,
    /// Its length before compression.
    pub bytes: i64,
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its source.
    pub source_id: SourceId,
    /// What kind.
    pub kind: RunKind,
    /// Where it stands.
    pub status: RunStatus,
    /// What started it.
    pub trigger: Trigger,
    /// The connector it runs with.
    pub connector: ConnectorRef,
    /// The revision of the configuration it runs with.
    pub config_revision: i64,
    /// Accept deletions past the guard's threshold.
    pub accept_deletions: bool,
    /// When it was asked for.
    pub queued_at: Instant,
    /// When a worker first took it.
    pub started_at: Option<Instant>,
    /// When it ended.
    pub finished_at: Option<Instant>,
    /// What it did so far.
    pub counts: Counts,
    /// Bytes read from the source.
    pub bytes: i64,
    /// Requests made of the source (pages pulled, files opened).
    pub requests: i64,
    /// How far it has come.
    pub progress: Option<Progress>,
    /// Why it is not simply succeeded.
    pub error: Option<RunError>,
    /// Pages committed; the next page has this number.
    pub page_no: i64,
    /// Cursor after the last committed page.
    pub cursor: Option<String>,
    /// The run whose failed items this one reads again.
    pub retry_of: Option<RunId>,
    /// What its worker is doing; `None` while no worker has it.
    pub stage: Option<Stage>,
    /// What it waits for.
    pub waiting: Option<Waiting>,
    /// Pages in a row that named nothing new: nothing at all, or what one of the pages just before had named.
    pub stale_pages: i64,
    /// Set with the last page: only the end of the run is missing.
    pub traversal: Option<Traversal>,
    /// The newest commit of this run.
    pub position: Option<Position>,
    /// Set when somebody asked for a recording.
    pub recording: Option<Recording>,
}
