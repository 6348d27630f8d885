//! Workspaces.

use serde::{Deserialize, Serialize};

use crate::{Instant, WorkspaceId};

/// The unit of tenancy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// For people.
    pub name: String,
    /// For URLs and models: lower-case letters, digits and dashes; unique.
    pub slug: String,
    /// When it was made.
    pub created_at: Instant,
}
