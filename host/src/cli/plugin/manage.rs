//! `tributary plugin list|remove|grant|release`: the connectors of a server, for the operator.

use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use tributary_store::InstalledConnector;

use crate::{
    cli::{
        operator::{Common, Operator},
        record,
    },
    plugins::{self, Plugins, SHIPPED, not_granted},
};

#[derive(Args)]
pub(super) struct List {
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct Remove {
    /// Id of the connector
    connector: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct Grant {
    /// Id of the connector
    connector: String,
    /// A host it asks for, such as api.example.com, *.example.com or the pointer /base_url; may be given more than once
    #[arg(long = "host", value_name = "HOST", required_unless_present_any = ["all_asked", "only"])]
    hosts: Vec<String>,
    /// Everything it asks for
    #[arg(long, conflicts_with = "hosts")]
    all_asked: bool,
    /// Take back what is not named here
    #[arg(long)]
    only: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
pub(super) struct Release {
    /// Id of the connector
    connector: String,
    #[command(flatten)]
    common: Common,
}

/// The plugins of the server with the operator's settings.
pub(in crate::cli) fn plugins(operator: &Operator) -> anyhow::Result<Arc<Plugins>> {
    let config = &operator.config;
    let sandbox = plugins::sandbox(config)?;
    Ok(Arc::new(Plugins::new(operator.db.clone(), operator.clock.clone(), sandbox, config.plugin_keys.clone())))
}

impl List {
    pub(super) fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            let operator = self.common.open().await?;
            let uses = operator.db.system().connector_uses().await?;
            let known = operator.db.system().list_connectors().await?;
            let readied = |id: &&str| known.iter().any(|known| known.connector.id == **id);
            let missing: Vec<_> = SHIPPED.iter().map(|(id, _)| *id).filter(|id| !readied(id)).collect();
            if !missing.is_empty() {
                // Beside the list, so that JSON stays JSON.
                eprintln!(
                    "Not listed yet: {}. They come with the server, which makes them ready when it first starts; that can take a minute.",
                    missing.join(", ")
                );
            }
            let items = known.iter().map(|known| {
                let sources = uses.iter().find(|(id, _)| *id == known.connector.id).map_or(0, |(_, sources)| *sources);
                as_json(known, Some(sources))
            });
            let items: Vec<_> = items.collect();
            operator.print(["ID", "VERSION", "SOURCES", "STATE", "GRANTED", "NOT GRANTED", "DIGEST"], &items, |item| {
                let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
                let hosts = |field: &str| {
                    let hosts = item[field].as_array().into_iter().flatten().filter_map(Value::as_str);
                    hosts.collect::<Vec<_>>().join(" ")
                };
                let shipped = item["shipped"] == true;
                let state = match (item["quarantine"].is_null(), shipped) {
                    (false, _) => "quarantine",
                    (true, true) => "with the server",
                    (true, false) => "installed",
                };
                [
                    text("id"),
                    text("version"),
                    item["sources"].to_string(),
                    state.to_owned(),
                    if shipped { hosts("hosts") } else { hosts("granted_hosts") },
                    hosts("not_granted"),
                    text("digest").chars().take(12).collect(),
                ]
            })
        })
    }
}

impl Remove {
    pub(super) fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            let operator = self.common.open().await?;
            let id = &self.connector;
            plugins(&operator)?.remove(id).await?;
            operator.done("plugin remove", None, format!("connector={id}")).await?;
            let sentence = format!("{id} is removed. What its documents say of it stays.");
            operator.say(&sentence, &json!({ "id": id }))
        })
    }
}

impl Grant {
    pub(super) fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            let operator = self.common.open().await?;
            let (plugins, id) = (plugins(&operator)?, &self.connector);
            let before = plugins.installed(id).await?;
            let mut hosts = if self.only { Vec::new() } else { before.granted_hosts.unwrap_or_default() };
            hosts.extend(if self.all_asked { before.descriptor.hosts } else { self.hosts });
            let known = plugins.grant(id, &hosts).await?;
            operator.done("plugin grant", None, format!("connector={id}")).await?;
            let granted = known.granted_hosts.clone().unwrap_or_default();
            let reaches = if granted.is_empty() { "nothing".to_owned() } else { granted.join(", ") };
            let sentence = format!("{id} may reach {reaches}, beginning with the next run.{}", wanting(&known));
            operator.say(&sentence, &as_json(&known, None))
        })
    }
}

impl Release {
    pub(super) fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            let operator = self.common.open().await?;
            let id = &self.connector;
            let known = plugins(&operator)?.release(id).await?;
            operator.done("plugin release", None, format!("connector={id}")).await?;
            let sentence = format!(
                "{id} may run again. When the sandbox has to end three more runs in a row, it can be in quarantine once more."
            );
            operator.say(&sentence, &as_json(&known, None))
        })
    }
}

/// What it asks for and does not have, with the line that grants it.
pub(super) fn wanting(connector: &InstalledConnector) -> String {
    let missing = not_granted(connector);
    if missing.is_empty() {
        return String::new();
    }
    let id = &connector.connector.id;
    let flags: String = missing.iter().map(|host| format!(" --host '{host}'")).collect();
    format!(
        "\nIt also asks for {}. Grant what you trust it with: tributary plugin grant {id}{flags}",
        missing.join(", ")
    )
}

pub(super) fn as_json(known: &InstalledConnector, sources: Option<i64>) -> Value {
    let reference = &known.connector;
    let mut shown = json!({
        "id": reference.id, "version": reference.version, "digest": reference.digest, "title": known.descriptor.title,
        "hosts": known.descriptor.hosts, "shipped": known.installed_by.is_none(), "size_bytes": known.size_bytes,
        "installed_at": known.installed_at, "installed_by": known.installed_by, "signed_by": known.signed_by,
        "granted_hosts": known.granted_hosts, "not_granted": not_granted(known),
        "quarantine": known.quarantine.as_ref().map(|it| json!({ "since": it.at, "reason": it.reason })),
    });
    if let Some(sources) = sources {
        shown["sources"] = json!(sources);
    }
    shown
}
