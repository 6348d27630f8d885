//! The test kit: a host in memory over real folders and scripted answers, and a sync that commits pages as the real host does. Native only.

mod host;
mod http;
mod native;
mod scenarios;
mod sync;

pub use host::{LogLine, TestHost};
pub use http::{Answer, hosts_of, may_reach};
pub use native::Native;
pub use scenarios::{conformance, run_conformance, run_scenarios};
pub use sync::{PullLimits, Synced, sync};
pub use tributary_scenario::{Report, Scenario, play};
