//! Durable work.

use serde::{Deserialize, Serialize};

use crate::{JobId, RunId, SourceId, WorkspaceId};

/// What a job does, with what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Drive a run to its end.
    Sync {
        /// Which run.
        run_id: RunId,
    },
    /// Remove everything of the job's workspace.
    DeleteWorkspace,
    /// Remove everything of a deleted source.
    PurgeSource {
        /// Which source.
        source_id: SourceId,
    },
}

/// What goes first among the jobs of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Somebody waits for it.
    High,
    /// A schedule asked for it.
    Normal,
    /// It only makes room.
    Low,
}

impl Priority {
    /// As stored: the smaller, the sooner.
    pub fn rank(self) -> i64 {
        match self {
            Self::High => 0,
            Self::Normal => 1,
            Self::Low => 2,
        }
    }
}

/// A job to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// What to do.
    pub work: Work,
    /// What it goes before.
    pub priority: Priority,
    /// Milliseconds until it may begin; 0: at once.
    pub delay_ms: i64,
    /// While an open job of the workspace has this key, no second one is made.
    pub dedup_key: Option<String>,
}

impl NewJob {
    /// To be done as soon as its turn comes.
    pub fn now(work: Work) -> Self {
        let priority = work.priority();
        Self { work, priority, delay_ms: 0, dedup_key: None }
    }
}

impl Work {
    /// Every kind there is.
    pub const KINDS: [&str; 3] = ["sync", "delete_workspace", "purge_source"];

    /// What it goes before when nobody says otherwise.
    pub fn priority(&self) -> Priority {
        match self {
            Self::Sync { .. } => Priority::Normal,
            Self::DeleteWorkspace | Self::PurgeSource { .. } => Priority::Low,
        }
    }

    /// The name workers claim by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sync { .. } => "sync",
            Self::DeleteWorkspace => "delete_workspace",
            Self::PurgeSource { .. } => "purge_source",
        }
    }
}

/// A worker's hold on a job. Every transaction of the worker proves it first: `id` is still leased with this `attempt`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub job_id: JobId,
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// Grows with every claim; the fence.
    pub attempt: i64,
    /// Tries allowed in all.
    pub max_attempts: i64,
    /// What to do.
    pub work: Work,
    /// How long it had been due when it was claimed, in milliseconds.
    pub late_ms: i64,
}
