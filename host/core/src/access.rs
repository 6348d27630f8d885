//! Who may do what: the one table of roles, scopes and actions.
//!
//! Every closed route names its [`Action`]; [`Power::allows`] is the only place that decides. `docs/authentication.md` shows the same
//! table, and a test keeps the two alike.

use serde::{Deserialize, Serialize};

/// What a person is in a workspace. Each may do everything the one before may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Asks and reads.
    Viewer,
    /// Also brings documents in and runs syncs.
    Editor,
    /// Also decides who belongs, which keys there are and how the workspace answers.
    Admin,
    /// Also hands out ownership and deletes the workspace.
    Owner,
}

impl Role {
    /// Every role, from the least to the most.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Editor, Self::Admin, Self::Owner];

    /// Its name in the API and the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no role; there are viewer, editor, admin and owner"))
    }
}

/// What an API key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Ask, and read the key's own conversations.
    #[serde(rename = "chat")]
    Chat,
    /// Search and read documents.
    #[serde(rename = "knowledge:read")]
    KnowledgeRead,
    /// Push and delete documents.
    #[serde(rename = "documents:write")]
    DocumentsWrite,
    /// Make, change, sync and delete sources.
    #[serde(rename = "sources:manage")]
    SourcesManage,
    /// Set up webhooks.
    #[serde(rename = "webhooks:manage")]
    WebhooksManage,
    /// Everything an admin of the workspace may.
    #[serde(rename = "admin")]
    Admin,
}

/// Something that is done in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// See that the workspace is there, and its name.
    ReadWorkspace,
    /// Ask, and read one's own conversations.
    Chat,
    /// Search and read documents.
    ReadKnowledge,
    /// See sources, their runs and what failed.
    ReadSources,
    /// Push and delete documents.
    WriteDocuments,
    /// Make, change, check, sync and delete sources.
    ManageSources,
    /// See who belongs.
    ReadMembers,
    /// Invite, change roles, remove.
    ManageMembers,
    /// Make, rotate and revoke API keys and widget keys.
    ManageKeys,
    /// Name, settings, commerce profile, archive.
    ManageWorkspace,
    /// Stored secrets for connectors.
    ManageCredentials,
    /// Who did what.
    ReadAudit,
    /// Delete the workspace with everything in it.
    DeleteWorkspace,
}

/// One line of the table: from which role on, and with which scope, an action is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The action.
    pub action: Action,
    /// The least role.
    pub role: Role,
    /// What a key needs; `None`: no key may, whatever its scopes.
    pub scope: Option<Scope>,
}

/// The table.
pub const RULES: [Rule; 13] = {
    use Action as A;
    use Role::{Admin, Editor, Owner, Viewer};
    const fn rule(action: Action, role: Role, scope: Option<Scope>) -> Rule {
        Rule { action, role, scope }
    }
    [
        rule(A::ReadWorkspace, Viewer, Some(Scope::Chat)),
        rule(A::Chat, Viewer, Some(Scope::Chat)),
        rule(A::ReadKnowledge, Viewer, Some(Scope::KnowledgeRead)),
        rule(A::ReadSources, Viewer, Some(Scope::SourcesManage)),
        rule(A::WriteDocuments, Editor, Some(Scope::DocumentsWrite)),
        rule(A::ManageSources, Editor, Some(Scope::SourcesManage)),
        rule(A::ReadMembers, Viewer, Some(Scope::Admin)),
        rule(A::ManageMembers, Admin, None),
        rule(A::ManageKeys, Admin, None),
        rule(A::ManageWorkspace, Admin, Some(Scope::Admin)),
        rule(A::ManageCredentials, Admin, Some(Scope::Admin)),
        rule(A::ReadAudit, Admin, Some(Scope::Admin)),
        rule(A::DeleteWorkspace, Owner, None),
    ]
};

impl Action {
    /// Whether it reaches beyond single documents, so that somebody who is limited to some of them may not do it: they could lift
    /// their own limit.
    pub fn needs_all_documents(self) -> bool {
        use Action as A;
        matches!(
            self,
            A::ManageMembers
                | A::ManageKeys
                | A::ManageWorkspace
                | A::ManageCredentials
                | A::ReadAudit
                | A::DeleteWorkspace
        )
    }

    /// Whether it is possible in a workspace that is put aside.
    pub fn in_archive(self) -> bool {
        use Action as A;
        match self {
            A::ReadWorkspace | A::ReadKnowledge | A::ReadSources | A::ReadMembers | A::ReadAudit => true,
            A::ManageMembers | A::ManageKeys | A::ManageWorkspace | A::DeleteWorkspace => true,
            A::Chat | A::WriteDocuments | A::ManageSources | A::ManageCredentials => false,
        }
    }

    /// Its line in the table.
    pub fn rule(self) -> Rule {
        RULES.into_iter().find(|rule| rule.action == self).expect("every action has a line in the table")
    }
}

/// What somebody may do in one workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Power {
    /// A person's role.
    Role(Role),
    /// A key's scopes.
    Scopes(Vec<Scope>),
    /// A visitor of a widget: they ask and read their own conversation, nothing else.
    Visitor,
}

impl Power {
    /// Whether the action is allowed.
    pub fn allows(&self, action: Action) -> bool {
        let rule = action.rule();
        match self {
            Self::Role(role) => *role >= rule.role,
            Self::Visitor => action == Action::Chat,
            // A key is there to be used: that its workspace exists is no secret to it.
            Self::Scopes(_) if action == Action::ReadWorkspace => true,
            Self::Scopes(scopes) => {
                rule.scope.is_some_and(|scope| scopes.contains(&scope) || scopes.contains(&Scope::Admin))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_one_line() {
        for (place, rule) in RULES.iter().enumerate() {
            assert_eq!(rule.action.rule().action, rule.action);
            assert!(RULES[..place].iter().all(|other| other.action != rule.action), "{:?}", rule.action);
        }
    }

    #[test]
    fn no_key_makes_keys_or_members_or_deletes_the_workspace() {
        let all = Power::Scopes(vec![Scope::Admin, Scope::Chat, Scope::SourcesManage]);
        for action in [Action::ManageKeys, Action::ManageMembers, Action::DeleteWorkspace] {
            assert!(!all.allows(action));
        }
        assert!(!Power::Scopes(vec![Scope::Chat]).allows(Action::ReadKnowledge));
        assert!(Power::Scopes(vec![Scope::Admin]).allows(Action::ReadKnowledge));
    }

    #[test]
    fn a_visitor_chats_and_does_nothing_else() {
        let allowed: Vec<_> = RULES.iter().map(|rule| rule.action).filter(|it| Power::Visitor.allows(*it)).collect();
        assert_eq!(allowed, [Action::Chat]);
    }
}
