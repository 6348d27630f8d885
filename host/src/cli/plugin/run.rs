//! `tributary plugin run`: reads a source into the terminal, through the real sandbox and the real network, without a server.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use tributary_core::{citation::ConnectorRef, hash::Sha256Hash};
use tributary_sandbox::Connector;
use tributary_scenario::{Change, Next, Outcome, Page, PullLimits, Record, World, pull_all};

use super::{
    component::{self, Component},
    extract, show,
    subject::{Network, Sandboxed},
    surroundings::Surroundings,
    watch,
};
use crate::recording::{Recorded, Recorder, Writing};

/// Of every document this much is shown.
const SHOWN_CHARS: usize = 400;
/// Longest pause that a source is granted here.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub(super) struct Run {
    /// The component, or the folder of a connector, which is built first
    component: PathBuf,
    #[command(flatten)]
    surroundings: Surroundings,
    /// Read everything again, whatever is known
    #[arg(long)]
    full: bool,
    /// Read files as the server does: show the text that its extractor finds in PDFs, office documents and others
    #[arg(long)]
    extract: bool,
    /// Stop after so many documents
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Keep fingerprints and the connector's memory in this file, so that the next run reads only what changed
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Write everything the connector is told, and what it makes of it, into this new file
    #[arg(long, value_name = "FILE", conflicts_with = "watch")]
    record: Option<PathBuf>,
    /// Print one JSON object per line: changes, then the summary
    #[arg(long)]
    json: bool,
    /// Run again whenever the component, or the sources of the connector, change
    #[arg(long)]
    watch: bool,
}

/// What a state file holds.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// What the fingerprints rest on: component and configuration.
    basis: String,
    record: Record,
}

impl Run {
    pub(super) fn run(self) -> anyhow::Result<()> {
        quiet();
        on_runtime(async {
            let cancel = CancellationToken::new();
            let interrupt = cancel.clone();
            tokio::spawn(async move {
                if tokio::signal::ctrl_c().await.is_ok() {
                    interrupt.cancel();
                }
            });
            loop {
                let before = watch::stamp(&self.component);
                let result = self.once(&cancel).await;
                if !self.watch || cancel.is_cancelled() {
                    return result;
                }
                if let Err(error) = result {
                    eprintln!("tributary: {error:#}");
                }
                eprintln!("waiting for a change of {} (Ctrl-C ends)", self.component.display());
                tokio::select! {
                    () = watch::changed(&self.component, before) => eprintln!(),
                    () = cancel.cancelled() => return Ok(()),
                }
            }
        })
    }

    async fn once(&self, cancel: &CancellationToken) -> anyhow::Result<()> {
        let path = self.component.clone();
        let path = tokio::task::spawn_blocking(move || component::find(&path)).await??;
        let component = Component::open(&path).await?;
        let (connector, descriptor) = component.connector()?;
        let ready = self.surroundings.ready(&descriptor)?;
        let config = ready.config.to_string();
        let basis = Sha256Hash::of(format!("{}:{config}", component.artifact.digest)).to_string();
        let record = self.known(&basis)?;
        let mut world = World::over(record);
        world.roots = ready.roots;
        let world = Arc::new(world);
        eprintln!("{} {} ({})", descriptor.id, descriptor.version, &component.artifact.digest.to_string()[..12]);

        let (connector, writing) = self.recorded(connector, &component.reference(&descriptor))?;
        let mut subject = Sandboxed::new(connector, descriptor, Network::Real(ready.http), SHOWN_CHARS);
        subject.cancel = cancel.clone();
        if self.extract {
            subject.extractor = Some(extract::open().await?);
        }
        let meter = subject.meter.clone();
        let limits = PullLimits {
            config,
            full: self.full,
            now_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64),
            max_items: self.limit.map_or(256, |limit| limit.min(256) as u32),
            replay: false,
        };
        let (json, limit, cancelled, seen) = (self.json, self.limit, cancel.clone(), world.clone());
        let start = Instant::now();
        let outcome = tokio::task::spawn_blocking(move || {
            let mut printer = Printer { json, pages: 0, documents: 0, limit, cancelled };
            pull_all(&subject, &seen, &limits, |page| printer.see(page))
        })
        .await?;
        self.keep(basis, &world)?;
        if let Some(writing) = writing {
            let kept = writing.end().await.context("the recording could not be written")?;
            let short = if kept.whole { "" } else { "; it was too long and ends early" };
            eprintln!("recorded {} ({}){short}", show::count(kept.pages as usize, "page"), show::bytes(kept.bytes));
        }
        let (documents, seconds) = (world.record().documents.len(), start.elapsed().as_secs_f64());
        if self.json {
            let _ = writeln!(io::stdout(), "{}", summary_json(&outcome, documents, meter.bytes(), meter.requests()));
        } else {
            eprintln!("{}", show::summary(&outcome, documents, meter.bytes(), meter.requests(), seconds));
        }
        if cancel.is_cancelled() {
            bail!("interrupted; what came before is counted above");
        }
        if let Some(failure) = &outcome.failure {
            bail!("{}", show::failure(failure));
        }
        match outcome.failed.len() {
            0 => Ok(()),
            failed => bail!("{} could not be read", show::count(failed, "item")),
        }
    }

    /// The connector with a recorder before it, when that was asked for.
    fn recorded(
        &self,
        connector: Arc<dyn Connector>,
        reference: &ConnectorRef,
    ) -> anyhow::Result<(Arc<dyn Connector>, Option<Writing>)> {
        let Some(path) = &self.record else { return Ok((connector, None)) };
        let (recorder, writing) = Recorder::begin(path, reference.clone())
            .with_context(|| format!("the recording {} cannot be begun; name a new file", path.display()))?;
        Ok((Arc::new(Recorded::new(connector, Arc::new(recorder))), Some(writing)))
    }

    /// What earlier runs left. Another component or configuration makes fingerprints void, as on a server.
    fn known(&self, basis: &str) -> anyhow::Result<Record> {
        let Some(path) = self.state.as_ref().filter(|path| path.exists()) else { return Ok(Record::default()) };
        let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut kept: Kept = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not the state of earlier runs; name another file", path.display()))?;
        if kept.basis != basis {
            eprintln!("component or configuration changed since the last run: everything is read again");
            kept.record.ledger.clear();
        }
        Ok(kept.record)
    }

    fn keep(&self, basis: String, world: &World) -> anyhow::Result<()> {
        let Some(path) = &self.state else { return Ok(()) };
        let text = serde_json::to_vec(&Kept { basis, record: world.record() })?;
        write_whole(path, &text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// The file is as it was, or whole.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut next = path.as_os_str().to_owned();
    next.push(".new");
    fs::write(&next, bytes)?;
    fs::rename(&next, path)
}

/// Shows pages as they come.
struct Printer {
    json: bool,
    pages: usize,
    documents: u64,
    limit: Option<u64>,
    cancelled: CancellationToken,
}

impl Printer {
    fn see(&mut self, page: &mut Page) -> bool {
        if self.limit.is_some_and(|limit| self.documents >= limit) {
            return false;
        }
        self.pages += 1;
        for change in &mut page.changes {
            let line = if self.json { change_json(change).to_string() } else { show::change(change) };
            // Whoever reads has gone, such as `head`.
            if writeln!(io::stdout(), "{line}").is_err() {
                return false;
            }
            if let Change::Upsert(document) = change {
                self.documents += 1;
                // Shown is shown: a long run keeps names and fingerprints alone.
                document.text = document.text.take().map(|_| String::new());
                document.fields.clear();
            }
        }
        let state = match page.state.len() {
            0 => String::new(),
            count => {
                format!("; remembers {}", page.state.keys().take(count.min(5)).cloned().collect::<Vec<_>>().join(", "))
            }
        };
        eprintln!("{}{}", show::page(self.pages, page), show::printable(&state));
        if let Next::WaitMs(ms) = page.next {
            let pause = Duration::from_millis(ms).min(LONGEST_PAUSE);
            eprintln!("the source asks to wait {ms} ms; waiting {:.1} s", pause.as_secs_f64());
            let until = Instant::now() + pause;
            while Instant::now() < until && !self.cancelled.is_cancelled() {
                std::thread::sleep(Duration::from_millis(50).min(pause));
            }
        }
        !self.cancelled.is_cancelled()
    }
}

fn change_json(change: &Change) -> Value {
    match change {
        Change::Upsert(document) if document.text.is_none() => json!({ "unchanged": document.external_id }),
        Change::Upsert(document) => json!({ "document": document }),
        Change::Container { external_id, fingerprint, unchanged } => {
            json!({ "container": { "external_id": external_id, "fingerprint": fingerprint, "unchanged": unchanged } })
        }
        Change::Delete(id, why) => json!({ "deleted": id, "why": why }),
        Change::Failed(id, failure) => json!({ "failed": id, "failure": failure }),
    }
}

fn summary_json(outcome: &Outcome, documents: usize, bytes: u64, requests: u64) -> Value {
    let committed = &outcome.committed;
    json!({ "summary": {
        "documents": documents,
        "added": committed.added.len(),
        "changed": committed.updated.len(),
        "unchanged": committed.unchanged.len(),
        "deleted": committed.deleted,
        "failed": outcome.failed.len(),
        "exhaustive": outcome.exhaustive,
        "pages": outcome.pages,
        "requests": requests,
        "bytes": bytes,
        "failure": outcome.failure,
    }})
}

/// What the connector logs goes to standard error; of the sandbox only what went wrong.
pub(super) fn quiet() {
    let filter = EnvFilter::new("warn,tributary::guest=debug");
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .without_time()
        .with_ansi(false)
        .try_init();
}

/// Threads for calls that block.
pub(super) fn on_runtime<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(command)
}
