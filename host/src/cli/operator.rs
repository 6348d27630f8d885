//! What the commands about people, workspaces and keys share: the record, the accounts, the audit log, a table.

use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::json;
use tributary_core::{Clock, SourceId, SystemClock, UserId, source::Source, workspace::Workspace};
use tributary_store::{AuditOutcome, Db, NewAuditEvent, TenantDb, User};

use super::{plugin, record};
use crate::{
    auth::Auth,
    metrics::Metrics,
    plugins::Grants,
    secrets::{Credentials, Vault},
    settings::{Config, Settings},
    sources::Sources,
    wake::Wake,
};

/// Options of every such command.
#[derive(Args)]
pub(super) struct Common {
    #[command(flatten)]
    settings: Settings,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The server's record, opened beside it or without it.
pub(super) struct Operator {
    pub db: Db,
    pub auth: Auth,
    pub vault: Arc<Vault>,
    pub clock: Arc<dyn Clock>,
    pub config: Config,
    json: bool,
}

impl Common {
    pub(super) async fn open(self) -> anyhow::Result<Operator> {
        let config = self.settings.resolve()?;
        let db = record::open(&config).await?;
        db.system()
            .identity_epoch()
            .await
            .context("this database has another schema; start this version of `tributary serve` on it once")?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let vault = Arc::new(Vault::open(db.clone(), clock.clone(), &config).await?);
        let auth = Auth::open(db.clone(), clock.clone(), config.environment, vault.clone()).await?;
        Ok(Operator { db, auth, vault, clock, config, json: self.json })
    }
}

impl Operator {
    /// The account of an address.
    pub(super) async fn user(&self, email: &str) -> anyhow::Result<User> {
        let found = self.db.system().find_user_by_email(email.trim()).await?;
        Ok(found
            .with_context(|| format!("nobody has the address {email}; `tributary user list` shows who there is"))?
            .0)
    }

    /// The workspace of a slug or an id.
    pub(super) async fn workspace(&self, named: &str) -> anyhow::Result<(Workspace, TenantDb)> {
        let system = self.db.system();
        let found = match system.find_workspace_by_slug(named).await? {
            Some(found) => Some(found),
            None => match named.parse() {
                Ok(id) => system.tenant(id).workspace().await.ok(),
                Err(_) => None,
            },
        };
        let found =
            found.with_context(|| format!("there is no workspace {named}; `tributary workspace list` shows them"))?;
        let tenant = system.tenant(found.id);
        Ok((found, tenant))
    }

    /// The source of an id or a name.
    pub(super) async fn source(&self, tenant: &TenantDb, named: &str) -> anyhow::Result<Source> {
        let unknown = || format!("there is no source {named} in this workspace");
        if let Ok(id) = named.parse::<SourceId>() {
            return tenant.find_source(id).await?.with_context(unknown);
        }
        let mut after = None;
        loop {
            let page = tenant.list_sources(after, 100).await?;
            after = page.items.last().map(|it| it.source.id);
            match page.items.into_iter().map(|it| it.source).find(|source| source.name == named) {
                Some(source) => return Ok(source),
                None if page.more => {}
                None => anyhow::bail!(unknown()),
            }
        }
    }

    /// The source service over this record. It wakes nobody in the server.
    pub(super) fn sources(&self) -> anyhow::Result<Sources> {
        let credentials = Arc::new(Credentials::new(self.vault.clone(), self.clock.clone()));
        let grants = Arc::new(Grants::new(&self.config, credentials));
        Ok(Sources::new(self.clock.clone(), plugin::of_server(self)?, Wake::local(), Metrics::default(), grants))
    }

    /// Records what was done here, like what is done over the API.
    pub(super) async fn done(&self, action: &str, tenant: Option<&TenantDb>, target: String) -> anyhow::Result<()> {
        let event = NewAuditEvent {
            at: self.clock.now(),
            actor: "operator".to_owned(),
            action: format!("tributary {action}"),
            workspace_id: tenant.map(TenantDb::workspace_id),
            target,
            from_ip: None,
            request_id: None,
            outcome: AuditOutcome::Ok,
            detail: json!({}),
        };
        self.db.system().append_audit(event).await.context("it is done, but could not be recorded in the audit log")?;
        Ok(())
    }

    /// Rows for people, or the same as a JSON list.
    pub(super) fn print<const N: usize, T: Serialize>(
        &self,
        heading: [&str; N],
        items: &[T],
        row: impl Fn(&T) -> [String; N],
    ) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(items)?);
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_header(heading);
        items.iter().for_each(|item| {
            table.add_row(row(item));
        });
        println!("{table}");
        Ok(())
    }

    /// Whether JSON is wanted.
    pub(super) fn json(&self) -> bool {
        self.json
    }

    /// One thing: a sentence for people, or the thing as JSON.
    pub(super) fn say(&self, sentence: &str, thing: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string_pretty(thing)?);
        } else {
            println!("{sentence}");
        }
        Ok(())
    }
}

/// How an account is shown as JSON.
pub(super) fn user_json(user: &User) -> serde_json::Value {
    json!({
        "id": user.id, "email": user.email, "name": user.name, "instance_admin": user.instance_admin,
        "active": user.deactivated_at.is_none(), "created_at": user.created_at,
    })
}

/// How the audit log names an account.
pub(super) fn user_target(id: UserId) -> String {
    format!("user_id={id}")
}
