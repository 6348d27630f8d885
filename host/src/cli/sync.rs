//! `tributary sync`: starts a sync, and looks at one that was recorded without the network.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use tributary_core::{
    RunId, SourceId,
    run::Trigger,
    source::{PUSH_CONNECTOR, Source},
};
use tributary_store::TenantDb;

use super::{
    operator::Common,
    plugin::{self, Replay},
    record,
};
use crate::sources::{Wish, request_sync};

#[derive(Args)]
pub(super) struct Sync {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Have the server sync a source now
    Start(Box<Start>),
    /// Run a recorded sync again, offline: the connector must answer byte for byte what it answered then
    Replay(Box<Replay>),
}

#[derive(Args)]
struct Start {
    /// Slug or id of the workspace
    workspace: String,
    /// Name or id of the source
    source: String,
    /// Read everything again
    #[arg(long)]
    full: bool,
    /// Record what the connector is told and answers, for `tributary sync replay`
    #[arg(long)]
    record: bool,
    #[command(flatten)]
    common: Common,
}

impl Sync {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Start(start) => record::block_on(start.run()),
            Command::Replay(replay) => replay.run(),
        }
    }
}

impl Start {
    async fn run(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let (_, tenant) = operator.workspace(&self.workspace).await?;
        let source = find(&tenant, &self.source)
            .await?
            .with_context(|| format!("there is no source {} in the workspace {}", self.source, self.workspace))?;
        let wish = Wish { full: self.full, accept_deletions: false, record: self.record };
        let clock = operator.clock.clone();
        let run =
            request_sync(&*plugin::of_server(&operator)?, &*clock, &tenant, source.id, wish, Trigger::Manual).await?;
        // Workers that are not told find it at their next poll.
        let _ = operator.db.system().notify("jobs").await;
        operator.done("sync start", Some(&tenant), format!("source_id={}", source.id)).await?;
        operator.say(&sentence(&source, run, self.record), &json!({ "run_id": run }))
    }
}

fn sentence(source: &Source, run: RunId, record: bool) -> String {
    let name = &source.name;
    match record {
        false => format!("A sync of {name} is queued: run {run}."),
        true => format!(
            "A sync of {name} is queued and will be recorded: run {run}. When it is over, on the host that worked on it: tributary sync replay {run}"
        ),
    }
}

/// By id, or by name.
async fn find(tenant: &TenantDb, named: &str) -> anyhow::Result<Option<Source>> {
    if let Ok(id) = named.parse::<SourceId>() {
        return Ok(tenant.find_source(id).await?);
    }
    let mut after = None;
    loop {
        let page = tenant.list_sources(after, 100).await?;
        after = page.items.last().map(|it| it.source.id);
        let mut sources = page.items.into_iter().map(|it| it.source).filter(|it| it.connector.id != PUSH_CONNECTOR);
        match sources.find(|source| source.name == named) {
            Some(source) => return Ok(Some(source)),
            None if page.more => {}
            None => return Ok(None),
        }
    }
}
