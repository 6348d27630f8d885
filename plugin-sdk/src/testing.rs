//! The test kit: a host in memory over real folders, and a sync that commits pages as the real host does. Native only.

mod folder;
mod sync;

pub use folder::{FolderHost, LogLine};
pub use sync::{PullLimits, Synced, sync};
