//! `tributary secrets`: the master key and what it seals.

use std::sync::Arc;

use clap::{Args, Subcommand};
use tributary_core::SystemClock;

use super::record;
use crate::{
    secrets::{self, Rotated, Status},
    settings::{Config, Settings},
};

#[derive(Args)]
pub(super) struct Secrets {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show which master key is in force and whether this host has it
    Status(Box<Settings>),
    /// Put a new master key in the place of the old one
    Rotate(Box<Settings>),
}

impl Secrets {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Status(settings) => record::block_on(status(settings.resolve()?)),
            Command::Rotate(settings) => record::block_on(rotate(settings.resolve()?)),
        }
    }
}

async fn status(config: Config) -> anyhow::Result<()> {
    let db = record::open(&config).await?;
    let Status { in_force, given, sealed } = secrets::status(&db, &config).await?;
    db.close().await?;
    let place = match &config.master_key {
        Some(_) => "TRIBUTARY_MASTER_KEY".to_owned(),
        None => config.master_key_file.display().to_string(),
    };
    println!("master key in force  {}", in_force.as_deref().unwrap_or("none yet; the first start makes one"));
    println!("key of this host     {} ({place})", given.as_deref().unwrap_or("none"));
    println!("sealed secrets       {}", sealed.secrets);
    println!("credentials          {}", sealed.credentials);
    anyhow::ensure!(
        in_force.is_none() || in_force == given,
        "this host does not have the master key in force; give it with --master-key-file or TRIBUTARY_MASTER_KEY"
    );
    Ok(())
}

async fn rotate(config: Config) -> anyhow::Result<()> {
    let db = record::open(&config).await?;
    let rotated = secrets::rotate(&db, Arc::new(SystemClock), &config).await;
    db.close().await?;
    let Rotated { from, to, secrets, new_file, old_file } = rotated?;
    println!("The master key {to} has taken the place of {from}; {secrets} secrets were sealed anew.");
    match old_file {
        Some(old) => {
            println!("The new key is in {}, the old one in {}.", new_file.display(), old.display());
            println!("Now copy {} to every other host and restart all hosts.", new_file.display());
            println!("Keep the old key with the backups of before: they open with it alone.");
        }
        None => {
            println!("The new key is in {}.", new_file.display());
            println!(
                "Now set TRIBUTARY_MASTER_KEY to its content on every host, restart all hosts and delete the file."
            );
            println!("Keep the old key with the backups of before: they open with it alone.");
        }
    }
    Ok(())
}
