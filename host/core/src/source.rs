//! Sources.

use serde::{Deserialize, Serialize};

use crate::{Instant, RunId, SourceId, citation::ConnectorRef, schedule::Pause};

/// How a source is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// The last run was fine, or there was none.
    Healthy,
    /// The last run finished with failed items.
    Degraded,
    /// The last run failed.
    Failing,
    /// A person has to act: wrong config, expired credential, held deletions.
    NeedsAttention,
    /// Its schedules wait until it is resumed. Shown instead of the others while it is paused; never stored.
    Paused,
}

/// Why a source is not healthy: a stable code, and a sentence saying what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthReason {
    /// Stable, snake_case.
    pub code: String,
    /// One sentence.
    pub detail: String,
}

/// How a source is doing, since when and why, and when it last did well.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Why it is not healthy.
    pub reason: Option<HealthReason>,
    /// Since when it is as it is.
    pub since: Instant,
    /// The end of the last run that was not given up.
    pub last_success_at: Option<Instant>,
    /// The end of the last run that changed a document.
    pub last_change_at: Option<Instant>,
}

/// A place documents come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// For people; unique in its workspace.
    pub name: String,
    /// The connector that serves it, at the digest in use.
    pub connector: ConnectorRef,
    /// Its configuration.
    pub config: serde_json::Value,
    /// Grows with every change of the configuration, from 1.
    pub config_revision: i64,
    /// Set while its schedules do not fire.
    pub pause: Option<Pause>,
    /// So many failed runs in a row pause it; 0: none ever do.
    pub pause_after_failures: i64,
    /// Runs asked for before this do not count as failures.
    pub failures_since: Option<Instant>,
    /// The newest run.
    pub last_run: Option<RunId>,
    /// How it is doing.
    pub health: Health,
    /// Since when, and why.
    pub condition: Condition,
    /// When it was made.
    pub created_at: Instant,
}

/// The connector id of each workspace's built-in source for pushed and uploaded documents.
pub const PUSH_CONNECTOR: &str = "builtin:push";
