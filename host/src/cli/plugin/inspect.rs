//! `tributary plugin inspect`: what a component is and wants.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tributary_core::contract::Descriptor;
use tributary_sandbox::{Artifact, Kind};

use super::{
    component::{self, Component},
    show,
};
use crate::cli::record;

#[derive(Args)]
pub(super) struct Inspect {
    /// The component, or the folder of a connector, which is built first
    component: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let path = component::find(&self.component)?;
        let component = record::block_on(Component::open(&path))?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&as_json(&component.artifact))?);
        } else {
            println!("{}", in_words(&component.artifact));
        }
        Ok(())
    }
}

/// Also what a manifest says.
pub(super) fn as_json(artifact: &Artifact) -> Value {
    json!({
        "kind": kind(artifact.kind),
        "digest": artifact.digest.to_string(),
        "size_bytes": artifact.size_bytes,
        "contract": "tributary:connector@0.1.0",
        "descriptor": artifact.descriptor,
    })
}

fn in_words(artifact: &Artifact) -> String {
    let mut lines = vec![
        ("kind", kind(artifact.kind).to_owned()),
        ("digest", artifact.digest.to_string()),
        ("size", show::bytes(artifact.size_bytes as u64)),
    ];
    let Some(descriptor) = &artifact.descriptor else { return show::lines(&lines) };
    lines.splice(
        1..1,
        [("id", descriptor.id.clone()), ("version", descriptor.version.clone()), ("title", descriptor.title.clone())],
    );
    lines.push(("hosts", wanted(&descriptor.hosts)));
    lines.push(("roots", wanted(&descriptor.roots)));
    lines.push(("can", capabilities(descriptor)));
    let fields = fields(&descriptor.config_schema);
    let heading = if fields.is_empty() { "\n\nIt takes no configuration." } else { "\n\nConfiguration:" };
    let rows = fields.into_iter().map(|[name, kind, what]| {
        let row = format!("  {name:<20} {kind:<22} {what}");
        format!("\n{}", row.trim_end())
    });
    format!("{}{heading}{}", show::lines(&lines), rows.collect::<String>())
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Connector => "connector",
        Kind::ExtismConnector => "extism connector",
        Kind::Extractor => "extractor",
    }
}

/// Hosts or roots, with JSON pointers told apart from names.
fn wanted(entries: &[String]) -> String {
    let shown = entries.iter().map(|entry| match entry.starts_with('/') {
        true => format!("what the configuration says at {entry}"),
        false => entry.clone(),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    if shown.is_empty() { "none".to_owned() } else { shown }
}

fn capabilities(descriptor: &Descriptor) -> String {
    let can = &descriptor.capabilities;
    let named = [
        (can.incremental, "read only what changed"),
        (can.deletion_feed, "name deletions"),
        (can.enumerate, "list ids"),
        (can.refetch, "read single items again"),
        (can.browse, "offer a tree to choose from"),
    ];
    let named = named.into_iter().filter_map(|(can, what)| can.then_some(what)).collect::<Vec<_>>().join(", ");
    if named.is_empty() { "read everything".to_owned() } else { named }
}

/// Name, type and description of each field at the top of the schema.
fn fields(schema: &Value) -> Vec<[String; 3]> {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let field = |(name, field): (&String, &Value)| {
        let kind = if field["x-credential"] == Value::Bool(true) {
            "credential"
        } else {
            field["type"].as_str().unwrap_or("any")
        };
        let needed = if required.contains(&name.as_str()) { "required" } else { "optional" };
        let what = field["description"].as_str().or(field["title"].as_str()).unwrap_or_default();
        [show::printable(name), show::printable(&format!("{kind}, {needed}")), show::printable(what)]
    };
    schema["properties"].as_object().into_iter().flatten().map(field).collect()
}
