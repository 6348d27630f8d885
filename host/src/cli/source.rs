//! `tributary source`: what a source's configuration may say, for the operator.

use std::fs;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tributary_core::contract::Choice;

use super::{operator::Common, plugin, record};
use crate::sources::{Browse, Error};

#[derive(Args)]
pub(super) struct Source {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what a field of a configuration may be set to: folders, files, drives
    Browse(Box<BrowseField>),
}

#[derive(Args)]
struct BrowseField {
    /// The field, as a JSON pointer with 0 for an element of a list, such as /folders/0
    field: String,
    /// The workspace, by slug or id: its credentials are used
    #[arg(long)]
    workspace: String,
    /// A source whose connector and configuration are taken
    #[arg(long, value_name = "NAME|ID", conflicts_with_all = ["connector", "source_config"])]
    source: Option<String>,
    /// The connector, when there is no source yet
    #[arg(long, value_name = "ID", required_unless_present = "source")]
    connector: Option<String>,
    /// Its configuration so far: a file, or JSON that begins with {
    #[arg(long, value_name = "FILE|JSON", default_value = "{}")]
    source_config: String,
    /// What is shown as OPENS of a line: what lies under it
    #[arg(long, value_name = "PLACE")]
    at: Option<String>,
    /// More of the same, after those shown
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    #[command(flatten)]
    common: Common,
}

impl Source {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Command::Browse(browse) = self.command;
        browse.run()
    }
}

impl BrowseField {
    fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            let operator = self.common.open().await?;
            let (_, tenant) = operator.workspace(&self.workspace).await?;
            let (connector, config) = match (self.source, self.connector) {
                (Some(named), _) => {
                    let source = operator.source(&tenant, &named).await?;
                    (source.connector.id, source.config)
                }
                (None, Some(connector)) => (connector, configuration(&self.source_config)?),
                (None, None) => bail!("name a source or a connector"),
            };
            let asked = Browse { connector, config, pointer: self.field, at: self.at, after: self.after };
            let found = operator.sources()?.browse(&tenant, asked).await.map_err(explained)?;
            if operator.json() {
                println!("{}", serde_json::to_string_pretty(&json!(found))?);
                return Ok(());
            }
            operator.print(["VALUE", "TITLE", "OPENS", "DESCRIPTION"], &found.items, row)?;
            if let Some(next) = found.next {
                println!("There are more: --after {}", quoted(&next));
            }
            Ok(())
        })
    }
}

fn configuration(given: &str) -> anyhow::Result<Value> {
    let text = match given.trim_start().starts_with('{') {
        true => given.to_owned(),
        false => fs::read_to_string(given).with_context(|| format!("the configuration {given} cannot be read"))?,
    };
    serde_json::from_str(&text).context("the configuration is not JSON")
}

fn row(choice: &Choice) -> [String; 4] {
    let value = choice.value.as_ref().map(Value::to_string).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [value, choice.title.clone(), text(&choice.opens), text(&choice.description)].map(|cell| plugin::printable(&cell))
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", plugin::printable(text).replace('\'', "'\\''"))
}

/// With what is wrong in the configuration.
fn explained(error: Error) -> anyhow::Error {
    let Error::InvalidConfig { faults, .. } = &error else { return error.into() };
    let faults: Vec<_> = faults.iter().map(|(pointer, fault)| format!("{fault} (at {pointer})")).collect();
    anyhow::anyhow!("{}", faults.join("; "))
}
