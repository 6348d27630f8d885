//! Who is calling.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    KeyId, SessionId, UserId, VisitorId, WorkspaceId,
    access::{Action, Power, Role},
    audience::Audience,
};

/// A verified caller. Built only by `auth`; services and the store take it on trust.
#[derive(Clone, Debug, PartialEq)]
pub struct Principal {
    /// Who.
    pub actor: Actor,
    /// Administers the instance: may enter every workspace, as an owner.
    pub instance_admin: bool,
    /// What they may do where.
    pub grants: Vec<Grant>,
    /// How much a key may ask for, with all its visitors when it is a widget's; for people nothing is set.
    pub limits: KeyLimits,
    /// How much a visitor may ask for alone.
    pub visitor_limits: KeyLimits,
}

/// How much a key may ask for. What is absent is as the server has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyLimits {
    /// Requests a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Requests a day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_day: Option<u64>,
    /// Requests a month (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_month: Option<u64>,
    /// Tokens of language models a day (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Tokens of language models a month (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_month: Option<u64>,
}

impl KeyLimits {
    /// These, and the others where nothing is set.
    pub fn or(self, others: Self) -> Self {
        Self {
            requests_per_minute: self.requests_per_minute.or(others.requests_per_minute),
            requests_per_day: self.requests_per_day.or(others.requests_per_day),
            requests_per_month: self.requests_per_month.or(others.requests_per_month),
            tokens_per_day: self.tokens_per_day.or(others.tokens_per_day),
            tokens_per_month: self.tokens_per_month.or(others.tokens_per_month),
        }
    }
}

/// A person or a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person with a session.
    User {
        /// Who.
        id: UserId,
        /// By which log-in.
        session: SessionId,
    },
    /// A program with a key.
    Key(KeyId),
    /// Somebody who chats on a site through a widget.
    Visitor {
        /// Who.
        id: VisitorId,
        /// By which widget key.
        key: KeyId,
    },
    /// The server's own command line or its first start.
    Operator,
}

/// What a caller may do in one workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// Where.
    pub workspace_id: WorkspaceId,
    /// What.
    pub power: Power,
    /// With which documents.
    pub audience: Audience,
    /// Whether the workspace is put aside.
    pub archived: bool,
}

impl Principal {
    /// The operator of the server.
    pub fn operator() -> Self {
        Self {
            actor: Actor::Operator,
            instance_admin: true,
            grants: Vec::new(),
            limits: KeyLimits::default(),
            visitor_limits: KeyLimits::default(),
        }
    }

    /// What this caller was granted in a workspace by name; an instance administrator needs none.
    pub fn grant(&self, workspace: WorkspaceId) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.workspace_id == workspace)
    }

    /// What this caller may do in a workspace, if they may enter it at all.
    pub fn access(&self, workspace: WorkspaceId) -> Option<Grant> {
        if self.instance_admin {
            let (power, audience) = (Power::Role(Role::Owner), Audience::everything());
            let archived = self.grant(workspace).is_some_and(|grant| grant.archived);
            return Some(Grant { workspace_id: workspace, power, audience, archived });
        }
        self.grant(workspace).cloned()
    }

    /// Whether this caller may do something in a workspace; `None` when they may not even know of it.
    pub fn may(&self, action: Action, workspace: WorkspaceId) -> Option<bool> {
        self.access(workspace).map(|grant| grant.power.allows(action))
    }

    /// How records name this caller: `user:<id>`, `key:<id>`, `visitor:<id>`, `operator`.
    pub fn label(&self) -> String {
        self.actor.to_string()
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User { id, .. } => write!(f, "user:{id}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Visitor { id, .. } => write!(f, "visitor:{id}"),
            Self::Operator => f.write_str("operator"),
        }
    }
}
