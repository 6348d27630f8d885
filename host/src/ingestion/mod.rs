//! Ingestion: from what a connector or a caller gives to committed documents.
//!
//! `intake` validates and normalises; `sync` drives a run page by page, `page` looks at each, `carry` takes over what another version
//! remembered, `tape` records the run when asked to; `push` takes documents over the API. Nothing a connector returns is trusted before
//! `intake` has seen it.

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod bad_days;
mod carry;
mod intake;
mod page;
mod push;
mod retry;
mod stage;
mod sync;
mod tape;

pub use intake::{Intake, Item, Limits, Material};
pub use push::{Push, PushError, PushOutcome, PushResult, Pushed};
pub use sync::Syncs;
