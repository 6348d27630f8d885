//! The test kit: a host in memory over real folders and scripted answers, and a sync that commits pages as the real host does. Native only.

mod host;
mod http;
mod sync;

pub use host::{LogLine, TestHost};
pub use http::{Answer, hosts_of, may_reach};
pub use sync::{PullLimits, Synced, sync};
