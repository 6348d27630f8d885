//! Who is calling.

use crate::{UserId, WorkspaceId};

/// A verified caller. Built only by `auth`; services and the store take it on trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A person with a session.
    User {
        /// Who.
        id: UserId,
        /// Administers the instance: may enter every workspace.
        instance_admin: bool,
        /// The workspaces they belong to.
        workspaces: Vec<WorkspaceId>,
    },
}

impl Principal {
    /// Whether this caller may enter the workspace at all.
    pub fn may_enter(&self, workspace: WorkspaceId) -> bool {
        match self {
            Self::User { instance_admin, workspaces, .. } => *instance_admin || workspaces.contains(&workspace),
        }
    }

    /// Whether this caller administers the instance.
    pub fn is_instance_admin(&self) -> bool {
        match self {
            Self::User { instance_admin, .. } => *instance_admin,
        }
    }

    /// How records name this caller: `user:<id>`.
    pub fn label(&self) -> String {
        match self {
            Self::User { id, .. } => format!("user:{id}"),
        }
    }
}
