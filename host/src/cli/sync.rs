//! `tributary sync`: a sync that was recorded, looked at again without the network.

use clap::{Args, Subcommand};

use super::plugin::Replay;

#[derive(Args)]
pub(super) struct Sync {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a recorded sync again, offline: the connector must answer byte for byte what it answered then
    Replay(Replay),
}

impl Sync {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Command::Replay(replay) = self.command;
        replay.run()
    }
}
