//! The command line: one file for each command, one plain sentence for each error.

mod audit;
mod job;
mod key;
mod openapi;
mod operator;
mod plugin;
mod recipe;
mod record;
mod schedule;
mod secrets;
mod serve;
mod source;
mod sync;
mod user;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chat with what your team knows: sources in, cited answers out.
#[derive(Parser)]
#[command(name = "tributary", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<serve::Serve>),
    /// Make, deactivate and list accounts; set passwords
    User(user::User),
    /// List workspaces and who belongs to them
    Workspace(workspace::Workspace),
    /// Make, revoke and list API keys
    Key(key::Key),
    /// See what the queue holds, and what to do about jobs that were given up
    Job(job::Job),
    /// Read and check the audit log, also while a server runs
    Audit(audit::Audit),
    /// Show when a schedule comes round
    Schedule(schedule::Schedule),
    /// Look after the master key that seals secrets
    Secrets(secrets::Secrets),
    /// Write, test and look at connectors; install them into a server
    Plugin(plugin::Plugin),
    /// See what a source's configuration may say
    Source(source::Source),
    /// Start a sync, and look at one that was recorded
    Sync(sync::Sync),
    /// Configurations of the api connector for well-known shops, trackers and feeds
    Recipe(recipe::Recipe),
    /// Print the OpenAPI document of the HTTP API
    Openapi,
}

/// Runs the command given on the command line.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::User(user) => user.run(),
        Command::Workspace(workspace) => workspace.run(),
        Command::Key(key) => key.run(),
        Command::Job(job) => job.run(),
        Command::Audit(audit) => audit.run(),
        Command::Schedule(schedule) => schedule.run(),
        Command::Secrets(secrets) => secrets.run(),
        Command::Plugin(plugin) => plugin.run(),
        Command::Source(source) => source.run(),
        Command::Sync(sync) => sync.run(),
        Command::Recipe(recipe) => recipe.run(),
        Command::Openapi => openapi::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tributary: {error:#}");
            ExitCode::FAILURE
        }
    }
}
