//! `tributary workspace`: workspaces and who belongs to them, for the operator.

use clap::{Args, Subcommand};
use serde_json::json;
use tributary_core::{access::Role, audience::Audience};
use tributary_store::Visible;

use super::{
    operator::{Common, Operator, user_target},
    record,
};

#[derive(Args)]
pub(super) struct Workspace {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show every workspace
    List(Box<Common>),
    /// Show who belongs to a workspace
    Members(Box<One>),
    /// Make an account a member, or change what it is
    SetMember(Box<SetMember>),
}

#[derive(Args)]
struct One {
    /// Slug or id
    workspace: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct SetMember {
    /// Slug or id
    workspace: String,
    /// E-mail address
    email: String,
    /// viewer, editor, admin or owner
    role: Role,
    #[command(flatten)]
    common: Common,
}

impl Workspace {
    pub(super) fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            match self.command {
                Command::List(common) => list(common.open().await?).await,
                Command::Members(one) => one.members().await,
                Command::SetMember(set) => set.run().await,
            }
        })
    }
}

async fn list(operator: Operator) -> anyhow::Result<()> {
    let (mut workspaces, mut after) = (Vec::new(), None);
    loop {
        let page = operator.db.system().list_workspaces(&Visible::All, after, 1_000).await?;
        after = page.items.last().map(|workspace| workspace.id);
        workspaces.extend(page.items);
        if !page.more {
            break;
        }
    }
    operator.print(["SLUG", "NAME", "ARCHIVED", "SINCE", "ID"], &workspaces, |workspace| {
        let archived = if workspace.archived_at.is_some() { "yes" } else { "no" };
        let since = workspace.created_at.format("%Y-%m-%d").to_string();
        [workspace.slug.clone(), workspace.name.clone(), archived.to_owned(), since, workspace.id.to_string()]
    })
}

impl One {
    async fn members(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let (_, tenant) = operator.workspace(&self.workspace).await?;
        let members: Vec<_> = tenant
            .members()
            .await?
            .into_iter()
            .map(|it| json!({ "user_id": it.user_id, "email": it.email, "name": it.name, "role": it.role, "audience": it.audience }))
            .collect();
        let text = |member: &serde_json::Value, field: &str| member[field].as_str().unwrap_or_default().to_owned();
        operator.print(["E-MAIL", "NAME", "ROLE", "SEES"], &members, |member| {
            let all = member["audience"].as_object().is_none_or(serde_json::Map::is_empty);
            let sees = if all { "everything".to_owned() } else { member["audience"].to_string() };
            [text(member, "email"), text(member, "name"), text(member, "role"), sees]
        })
    }
}

impl SetMember {
    async fn run(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let (workspace, tenant) = operator.workspace(&self.workspace).await?;
        let user = operator.user(&self.email).await?;
        tenant.set_member(user.id, self.role, &Audience::everything(), operator.clock.now()).await?;
        operator.done("workspace set-member", Some(&tenant), user_target(user.id)).await?;
        let sentence = format!("{} is {} of {} now.", user.email, self.role.as_str(), workspace.name);
        operator.say(&sentence, &json!({ "workspace_id": workspace.id, "user_id": user.id, "role": self.role }))
    }
}
