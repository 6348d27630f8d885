//! `tributary sync`: starts a sync, and looks at one that was recorded without the network.

use clap::{Args, Subcommand};
use serde_json::json;
use tributary_core::{RunId, run::Trigger, source::Source};

use super::{operator::Common, plugin::Replay, record};
use crate::sources::Wish;

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
        let source = operator.source(&tenant, &self.source).await?;
        let wish = Wish { full: self.full, accept_deletions: false, record: self.record };
        let run = operator.sources()?.sync(&tenant, source.id, wish, Trigger::Manual).await?;
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
