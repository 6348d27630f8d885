//! Durable work.

use serde::{Deserialize, Serialize};

use crate::{JobId, RunId, WorkspaceId};

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
}

impl Work {
    /// The name workers claim by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Sync { .. } => "sync",
            Self::DeleteWorkspace => "delete_workspace",
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
}
