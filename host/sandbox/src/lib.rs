//! Tributary's sandbox: untrusted WASM components behind plain traits. The only crate that knows wasmtime.
//!
//! [`Sandbox::install`] checks and compiles a component, or an Extism module; [`Sandbox::connector`] and [`Sandbox::extractor`] hand it out as a
//! [`Connector`] or an [`Extractor`]. Each call of a connector gets a fresh instance; an extractor's reads file after file of one
//! source. Each call has limits on processor time, waiting, memory and what it hands over, and ends as a value or a typed
//! [`Failure`](tributary_core::contract::Failure), whatever the component does.
//! What a connector can reach is a [`HostServices`], which native code may use just as well.
//!
//! Nothing here knows databases, HTTP servers or what documents mean.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bindings;
mod blobs;
mod cache;
mod convert;
mod cpu;
mod engine;
mod extism;
mod files;
mod gate;
mod guest;
mod guest_log;
mod http;
mod limits;
mod plugin;
mod sandbox;
mod services;
mod state;
mod stdio;
mod text;
mod turn;
mod wasm;

pub use blobs::{Blob, BlobLimits, Blobs};
pub use extism::{BadManifest, ExtismModule, with_manifest};
pub use files::{Entry, FileAccess, FileKind, Files, Listing, MAX_SLICE, Roots};
pub use gate::{InstallError, Kind};
pub use guest_log::{GuestLog, Level};
pub use http::{Answer, NoNetwork};
pub use limits::{CallLimits, SandboxOptions};
pub use plugin::{Connector, Extractor, ExtractorWorker};
pub use sandbox::{Artifact, Sandbox};
pub use services::{EmptyLedger, HostServices, MAX_EXTERNAL_ID_BYTES, MAX_LOOKUP_IDS, MAX_OPEN_ALL, Meter, Moment};
pub use state::{MAX_STATE_BYTES, StateBuffer};
pub use wasm::WasmExtractor;
