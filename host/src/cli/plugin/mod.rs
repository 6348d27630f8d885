//! `tributary plugin`: what the author of a connector needs, without a server; and what the operator of a server does with connectors.

mod build;
mod check;
mod component;
mod convert;
mod diff;
mod doctor;
mod extract;
mod inspect;
mod install;
mod manage;
mod new;
mod pack;
mod project;
mod replay;
mod run;
mod show;
mod subject;
mod surroundings;
mod test;
mod watch;

use clap::{Args, Subcommand};

pub(super) use manage::plugins;
pub(super) use replay::Replay;

#[derive(Args)]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Begin a connector: a project that builds, tests and runs
    New(new::New),
    /// See whether this machine can build connectors, and add what is missing
    Doctor(doctor::Doctor),
    /// Build a connector's component
    Build(build::Build),
    /// Play a connector's scenarios against its component in the sandbox
    Test(test::Test),
    /// Read a source into the terminal, without a server
    Run(Box<run::Run>),
    /// Try a configuration
    Check(Box<check::Check>),
    /// Tell which documents another version of a connector would change, by what was recorded of a run
    Diff(diff::Diff),
    /// Show what a component is and wants
    Inspect(inspect::Inspect),
    /// Put a component and its manifest into a folder, ready to hand over
    Pack(pack::Pack),
    /// Install a connector, or another version of it, into a server, also while it runs
    Install(Box<install::Install>),
    /// List the connectors of a server
    List(Box<manage::List>),
    /// Grant an installed connector hosts that it may reach
    Grant(Box<manage::Grant>),
    /// Let a connector run again that is in quarantine
    Release(Box<manage::Release>),
    /// Remove an installed connector that no source uses
    Remove(Box<manage::Remove>),
}

impl Plugin {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::New(new) => new.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Build(build) => build.run(),
            Command::Test(test) => test.run(),
            Command::Run(run) => run.run(),
            Command::Check(check) => check.run(),
            Command::Diff(diff) => diff.run(),
            Command::Inspect(inspect) => inspect.run(),
            Command::Pack(pack) => pack.run(),
            Command::Install(install) => install.run(),
            Command::List(list) => list.run(),
            Command::Grant(grant) => grant.run(),
            Command::Release(release) => release.run(),
            Command::Remove(remove) => remove.run(),
        }
    }
}
