//! `tributary sync replay`: a recording, played to the connector that it was made with.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use tributary_core::{RunId, citation::ConnectorRef, hash::Sha256Hash};
use tributary_sandbox::Connector;

use super::{
    component::{self, Component},
    run::{on_runtime, quiet},
    show,
};
use crate::{
    cli::record,
    plugins::SHIPPED,
    recording::{
        Recording, Shelf,
        replay::{ReplayedPage, replay},
    },
    settings::{Config, Settings},
};

/// Most that is shown of a value that differs.
const SHOWN_CHARS: usize = 200;

#[derive(Args)]
pub(in crate::cli) struct Replay {
    /// The recording, or the id of a run that this host recorded
    recording: PathBuf,
    /// The component that was recorded, or the folder it is built from [default: the one of this program with its digest]
    #[arg(long, value_name = "COMPONENT")]
    component: Option<PathBuf>,
    /// Print one JSON object per page
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Replay {
    pub(in crate::cli) fn run(self) -> anyhow::Result<()> {
        quiet();
        on_runtime(async {
            let run: Option<RunId> =
                self.recording.to_str().and_then(|id| id.parse().ok()).filter(|_| !self.recording.exists());
            let (recording, component) = match run {
                None => {
                    let recording = read(self.recording).await?;
                    let component = component_of(&recording, self.component, None).await?;
                    (recording, component)
                }
                Some(run) => {
                    let config = self.settings.resolve()?;
                    let recording = read_run(&Shelf::new(&config.data_dir), run).await?;
                    let component = component_of(&recording, self.component, Some(&config)).await?;
                    (recording, component)
                }
            };
            let (connector, descriptor) = component.connector()?;
            let same = component.reference(&descriptor) == recording.connector;
            if !same {
                eprintln!("this is not the component that was recorded: differences are to be expected");
            }
            self::play(&*connector, &recording, self.json).await
        })
    }
}

async fn play(connector: &dyn Connector, recording: &Recording, json: bool) -> anyhow::Result<()> {
    let (mut pages, mut changes, mut different) = (0, 0, 0);
    replay(connector, recording, |page| {
        pages += 1;
        changes += page.changes;
        different += usize::from(page.difference.is_some());
        println!("{}", if json { json!({ "page": page }).to_string() } else { line(&page) });
    })
    .await;
    let end = if recording.whole { "" } else { "; the recording ends early" };
    let all = format!("{}, {}", show::count(pages, "page"), show::count(changes, "change"));
    match different {
        0 => eprintln!("{all}: byte for byte as recorded{end}"),
        _ => bail!("{all}: {} came out otherwise{end}", show::count(different, "page")),
    }
    Ok(())
}

fn line(page: &ReplayedPage) -> String {
    let mut line = format!("page {}: {}", page.page, show::count(page.changes, "change"));
    match &page.difference {
        None => line.push_str(", as recorded"),
        Some(difference) => {
            let shown = |value: &serde_json::Value| {
                let text = value.to_string();
                let short: String = text.chars().take(SHOWN_CHARS).collect();
                let more = if short.len() < text.len() { "…" } else { "" };
                format!("{}{more}", show::printable(&short))
            };
            let (recorded, now) = (shown(&difference.recorded), shown(&difference.now));
            let at = show::printable(&difference.at);
            line.push_str(&format!(", parts at {at}\n    recorded: {recorded}\n    now:      {now}"));
        }
    }
    for what in &page.not_recorded {
        line.push_str(&format!("\n    not recorded: {}", show::printable(what)));
    }
    line
}

/// A recording from a file.
pub(super) async fn read(path: PathBuf) -> anyhow::Result<Recording> {
    tokio::task::spawn_blocking(move || {
        Recording::read(&path).with_context(|| format!("{} is not played", path.display()))
    })
    .await?
}

/// The recording of a run, out of this host's data directory.
async fn read_run(shelf: &Shelf, run: RunId) -> anyhow::Result<Recording> {
    let parts = shelf.find(run).await.context("the recordings of this host cannot be read")?;
    if parts.is_empty() {
        bail!(
            "there is no recording of the run {run} on this host, {}; the run's `recording` in the API says where it is",
            shelf.host()
        );
    }
    tokio::task::spawn_blocking(move || Recording::read_parts(parts))
        .await?
        .with_context(|| format!("the recording of the run {run} is not played"))
}

/// The one that was given, or that was recorded: of this program, or of the server with these settings.
async fn component_of(
    recording: &Recording,
    given: Option<PathBuf>,
    config: Option<&Config>,
) -> anyhow::Result<Component> {
    if let Some(path) = given {
        return open(path).await;
    }
    let digest = &recording.connector.digest;
    if let Some(component) = shipped(digest).await? {
        return Ok(component);
    }
    if let Some(config) = config
        && let Some(bytes) = record::open(config).await?.system().find_component(digest).await?
    {
        return Component::install(bytes).await;
    }
    let ConnectorRef { id, version, .. } = &recording.connector;
    let place = if config.is_some() { "this program or this server" } else { "this program" };
    bail!(
        "{id} {version} ({}) is not a connector of {place}; give its component with --component",
        &digest[..digest.len().min(12)]
    )
}

/// A component from a file or a folder.
pub(super) async fn open(path: PathBuf) -> anyhow::Result<Component> {
    let path = tokio::task::spawn_blocking(move || component::find(&path)).await??;
    Component::open(&path).await
}

async fn shipped(digest: &str) -> anyhow::Result<Option<Component>> {
    let mut shipped = SHIPPED.iter().map(|(_, bytes)| *bytes);
    match shipped.find(|bytes| Sha256Hash::of(bytes).to_string() == digest) {
        Some(bytes) => Ok(Some(Component::install(bytes.to_vec()).await?)),
        None => Ok(None),
    }
}
