//! `tributary audit`: reads and checks the audit log in the database itself.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use tributary_core::{Instant, WorkspaceId};
use tributary_store::{AuditCheck, AuditEvent, AuditFilter};

use super::record;
use crate::settings::Settings;

#[derive(Args)]
pub(super) struct Audit {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check that no event was changed or removed; fails when one was
    Verify(Box<Verify>),
    /// Show events, newest first
    List(Box<List>),
}

#[derive(Args)]
struct Verify {
    #[command(flatten)]
    settings: Settings,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    settings: Settings,

    /// Print one JSON object a line
    #[arg(long)]
    json: bool,

    /// Only this workspace's
    #[arg(long, value_name = "ID")]
    workspace: Option<WorkspaceId>,

    /// Only this actor's, such as user:… or anonymous
    #[arg(long)]
    actor: Option<String>,

    /// Only actions that begin so, such as DELETE
    #[arg(long, value_name = "PREFIX")]
    action: Option<String>,

    /// From this moment on, such as 2026-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<Instant>,

    /// Before this moment
    #[arg(long, value_name = "TIME")]
    until: Option<Instant>,

    /// How many, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
}

impl Audit {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Verify(verify) => record::block_on(verify.run()),
            Command::List(list) => record::block_on(list.run()),
        }
    }
}

const UNREADABLE: &str = "the audit log cannot be read; has this version of `tributary serve` run on this database?";

impl Verify {
    async fn run(self) -> anyhow::Result<()> {
        let db = record::open(&self.settings.resolve()?).await?;
        let check = db.system().verify_audit().await.context(UNREADABLE)?;
        db.close().await?;
        if self.json {
            let shown = match &check {
                AuditCheck::Whole { events, head } => json!({ "whole": true, "events": events, "head": head }),
                AuditCheck::Broken { seq, fault } => json!({ "whole": false, "seq": seq, "fault": fault }),
            };
            println!("{shown}");
        }
        match check {
            AuditCheck::Whole { events, head } => {
                if !self.json {
                    println!("The audit log is whole: {events} events, the newest has the hash {head}.");
                }
                Ok(())
            }
            AuditCheck::Broken { seq, fault } => {
                bail!("the audit log is broken: event {seq} {fault}; keep this database and compare it with a backup")
            }
        }
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let db = record::open(&self.settings.resolve()?).await?;
        let filter = AuditFilter {
            workspace: self.workspace,
            actor: self.actor,
            action: self.action,
            since: self.since,
            until: self.until,
        };
        let page = db.system().list_audit(&filter, None, self.limit).await.context(UNREADABLE)?;
        db.close().await?;
        for event in &page.items {
            println!("{}", if self.json { serde_json::to_string(event)? } else { line(event) });
        }
        Ok(())
    }
}

/// `12  2026-01-31 12:00:00  ok  user:…  192.0.2.1  DELETE /… source_id=…`
fn line(event: &AuditEvent) -> String {
    let outcome = json!(event.outcome);
    format!(
        "{:>7}  {}  {:<6}  {:<41}  {:<15}  {} {}",
        event.seq,
        event.at.format("%F %T"),
        outcome.as_str().unwrap_or_default(),
        event.actor,
        event.from_ip.as_deref().unwrap_or("-"),
        event.action,
        event.target
    )
    .trim_end()
    .to_owned()
}
