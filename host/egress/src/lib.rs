//! Requests that Tributary makes for connectors: only to hosts that were granted, never inside the operator's own networks unless
//! they were named, with credentials the connector never sees, at rates that all sources of an account share, bounded in size and time.
//!
//! [`Egress`] is the server's one way out; [`Egress::for_source`] narrows it to one source, as the port
//! [`Http`](tributary_core::http::Http).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod addresses;
mod budgets;
mod client;
mod grants;
mod inject;
mod secrets;
mod source;
mod tokens;

pub use client::{Egress, EgressOptions};
pub use grants::HostGrants;
pub use secrets::{Secret, Secrets};
pub use source::{SourceAccess, SourceHttp};
