//! The domain of Tributary: types, ids, the clock and the ports.
//!
//! Nothing here does I/O, knows SQL, HTTP, an index or a WASM engine; every other crate depends on this one.

pub mod access;
pub mod audience;
pub mod citation;
pub mod clock;
pub mod contract;
pub mod document;
pub mod fields;
pub mod hash;
pub mod http;
pub mod id;
pub mod job;
pub mod ledger;
pub mod principal;
pub mod query;
pub mod run;
pub mod schedule;
pub mod source;
pub mod widget;
pub mod workspace;

pub use clock::{Clock, ManualClock, SystemClock};
pub use id::{
    CredentialId, DocumentId, JobId, KeyId, MessageId, RunId, SessionId, SourceId, ThreadId, UserId, VisitorId,
    WorkspaceId,
};

/// A moment, UTC, always truncated to microseconds so that it survives both databases unchanged.
pub type Instant = chrono::DateTime<chrono::Utc>;

/// The number of a committed writing transaction of one workspace, gapless and in commit order (`change_seq`).
/// A search index that has applied position `n` reflects every commit up to and including `n`.
pub type Position = i64;
