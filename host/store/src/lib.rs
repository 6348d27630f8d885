//! The record: everything Tributary knows, on SQLite or PostgreSQL, from one SQL text.
//!
//! The only crate that knows SQL; one file per aggregate. [`Db`] opens a database. A workspace is reached through a [`TenantDb`] alone,
//! which a verified principal is needed for; workers, the first start and login use a [`SystemDb`].
//!
//! Lists and rows travel as one JSON parameter, so a page of documents is one statement per table, never one per row. Whatever a
//! transaction changes for readers carries the workspace's next `change_seq`, numbered in commit order.

mod api_keys;
mod audit;
mod chat;
mod claim;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod commit_tests;
mod components;
mod connectors;
mod credentials;
mod db;
mod deleted_sources;
mod dialect;
mod documents;
mod epoch;
mod error;
mod extractions;
mod feed;
mod finish;
mod firing;
mod gauges;
mod group;
mod guard;
mod holds;
mod housekeeping;
mod ingest;
mod job_admin;
mod jobs;
mod ledger;
mod listing;
mod members;
mod moves;
mod page;
mod passages;
mod plan;
#[cfg(feature = "testing")]
mod predicates;
mod preview;
mod push;
mod quarantine;
mod recordings;
mod retries;
mod rows;
mod runs;
mod schedules;
mod secrets;
mod seen;
mod sessions;
mod signing_keys;
mod sources;
mod stages;
mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
mod tombstones;
mod users;
mod versions;
mod wake;
mod workspaces;
mod writer;

pub use api_keys::{ApiKey, KeyRotation, KeyUsage, KeyUse, NextKey};
pub use audit::{AuditCheck, AuditEvent, AuditFault, AuditFilter, AuditOutcome, NewAuditEvent};
pub use chat::{Message, NewAnswer, NewQuestion, Question, Role};
pub use claim::{Claimed, Claimer};
pub use components::{CarriedConfig, NewComponent, Removal, Usage};
pub use connectors::{InstalledConnector, Quarantine};
pub use credentials::{Credential, SealedValue};
pub use db::{Db, Durability, Engine, Options, QUEUE_CONNECTIONS};
pub use deleted_sources::{DeletedSource, Purged};
pub use documents::DocumentWithText;
pub use error::{Error, Result};
pub use extractions::KnownExtraction;
pub use feed::{Changes, FeedCursor, FeedLimits};
pub use finish::{FinishRun, Finished, Held, Prune};
pub use firing::{Fired, Firing};
pub use gauges::{JobGauge, SourceGauge};
pub use holds::{Approval, Hold};
pub use job_admin::{Job, JobChange, JobFilter, OpenJobs};
pub use jobs::{Enqueued, Heartbeat};
pub use ledger::RunLedger;
pub use listing::{DocumentCount, DocumentFilter, DocumentPage};
pub use members::{Invitation, Invited, Member, Membership};
pub use moves::Moved;
pub use page::{PageCommit, PageOutcome};
pub use passages::Passage;
pub use preview::PreviewedChange;
pub use push::{Push, Pushed};
pub use quarantine::{QUARANTINED, Suspect, quarantine_advice};
pub use recordings::RecordedPart;
pub use retries::RetryRequest;
pub use rows::Page;
pub use runs::{BegunRun, CancelRequest, NewRun, RunFilter};
pub use schedules::NewSchedule;
pub use secrets::{SealedCounts, SealedSecret};
pub use sessions::{NewSession, Refresh, Refreshed, Session};
pub use signing_keys::SigningKey;
pub use sources::{NewSource, SourceUpdate, SourceWithRun};
pub use tenant::{SystemDb, TenantDb};
pub use tombstones::{PurgeDeleted, Restored};
pub use users::{NewUser, User, UserUpdate};
pub use versions::{KeepVersions, OldVersions};
pub use wake::Listener;
pub use workspaces::{NewWorkspace, Visible, WorkspaceDeletion, WorkspaceUpdate};
