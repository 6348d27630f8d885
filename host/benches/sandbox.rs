//! What the sandbox costs: the same connector and extractor as components and as native code, over the same host services.
//!
//! What an empty call of a component costs is in the sandbox's own benchmark, `call`.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    component, corpus, native,
    report::{Aim, Report, median, us},
    sized, usage,
};
use tributary::ingestion::{Intake, Item, Material};
use tributary_core::{
    citation::ConnectorRef,
    contract::{Change, Content, Document, Next, Page, PullRequest},
    fields::Fields,
    ledger::Ledger,
    run::{RunKind, RunStatus, Trigger},
};
use tributary_sandbox::{Blob, Connector, EmptyLedger, Extractor, Files, HostServices, Meter, Sandbox, SandboxOptions};
use tributary_store::{FinishRun, NewRun, NewSource, NewWorkspace, PageCommit, Prune, testing};

/// Each measurement is taken so often, sandboxed and native in turn; the one in the middle counts.
const ROUNDS: usize = 5;

fn main() {
    support::runtime().block_on(run());
}

async fn run() {
    let mut report = Report::new("sandbox");
    let code = tempfile::tempdir().unwrap();
    let sandbox =
        Sandbox::new(SandboxOptions { cache_dir: Some(code.path().to_owned()), ..SandboxOptions::default() }).unwrap();
    let digest = sandbox.install(component("tributary_plugin_file")).await.unwrap().digest;
    let connector: Arc<dyn Connector> = sandbox.connector(digest).unwrap();
    let digest = sandbox.install(component("tributary_plugin_extract")).await.unwrap().digest;
    let extractor: Arc<dyn Extractor> = Arc::new(sandbox.extractor(digest).unwrap());
    let plugins =
        [(connector, extractor), (Arc::new(native::NativeConnector) as _, Arc::new(native::NativeExtractor) as _)];

    report.section("Extracting, one document after another");
    let page = |number| Blob::from_bytes(corpus::html(number));
    let note = |number| Blob::from_bytes(corpus::markdown(number));
    let extractors = plugins.each_ref().map(|(_, extractor)| extractor.clone());
    extract(&mut report, "1 byte of text", &extractors, &[Blob::from_bytes("x")], "text/plain", sized(2_000)).await;
    let notes: Vec<_> = (0..100).map(note).collect();
    extract(&mut report, "2 KB of Markdown", &extractors, &notes, "text/markdown", sized(2_000)).await;
    let pages: Vec<_> = (0..20).map(page).collect();
    extract(&mut report, "50 KB of HTML", &extractors, &pages, "text/html", sized(400)).await;

    let count = sized(10_000);
    let tree = tempfile::tempdir().unwrap();
    corpus::write_tree(tree.path(), count);
    let each = |took: Duration| us(took) / count as f64;

    report.section(&format!("Pulling {count} files of 2 KB, all pages"));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for ((connector, _), times) in plugins.iter().zip(&mut times) {
            times.push(Took::of(pull_all(connector.as_ref(), tree.path(), count)).await);
        }
    }
    ratios(&mut report, "pull", each, &times, None);

    report.section(&format!(
        "Syncing {count} files of 2 KB end to end on SQLite (pull, intake, commit; no indexing beside it)"
    ));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS - 2 {
        for (plugins, times) in plugins.iter().zip(&mut times) {
            times.push(sync(plugins, tree.path(), count).await);
        }
    }
    ratios(&mut report, "sync", each, &times, Some(Aim::AtMost(1.3)));
    report.finish();
}

/// Wall-clock and processor time.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
}

impl Took {
    async fn of(work: impl Future<Output = ()>) -> Self {
        let (started, cpu) = (Instant::now(), usage::cpu());
        work.await;
        Self { wall: started.elapsed(), cpu: usage::cpu() - cpu }
    }
}

fn ratios(report: &mut Report, what: &str, each: impl Fn(Duration) -> f64, times: &[Vec<Took>; 2], aim: Option<Aim>) {
    type Part = fn(&Took) -> Duration;
    let parts: [(&str, Part); 2] = [("wall-clock time", |took| took.wall), ("processor time", |took| took.cpu)];
    for (name, part) in parts {
        let [sandboxed, native] = times.each_ref().map(|times| median(&times.iter().map(part).collect::<Vec<_>>()));
        report.figure(format!("{what}, sandboxed, {name}"), each(sandboxed), "µs/document");
        report.figure(format!("{what}, native, {name}"), each(native), "µs/document");
        let ratio = sandboxed.as_secs_f64() / native.as_secs_f64();
        match aim {
            Some(aim) => report.aimed(format!("{what}, ratio of {name}"), ratio, "×", aim),
            None => report.figure(format!("{what}, ratio of {name}"), ratio, "×"),
        }
    }
}

async fn extract(
    report: &mut Report,
    what: &str,
    extractors: &[Arc<dyn Extractor>; 2],
    blobs: &[Blob],
    media_type: &str,
    calls: usize,
) {
    let mut times = [Vec::new(), Vec::new()];
    let mut extractors = extractors.each_ref().map(|extractor| extractor.worker());
    for call in 0..calls {
        let blob = &blobs[call % blobs.len()];
        for (extractor, times) in extractors.iter_mut().zip(&mut times) {
            let started = Instant::now();
            extractor.extract(blob, media_type, None).await.unwrap();
            times.push(started.elapsed());
        }
    }
    let [sandboxed, native] = times.each_ref().map(|times| median(times));
    report.figure(format!("{what}, sandboxed, p50"), us(sandboxed), "µs");
    report.figure(format!("{what}, native, p50"), us(native), "µs");
    report.figure(format!("{what}, ratio"), sandboxed.as_secs_f64() / native.as_secs_f64(), "×");
}

fn files(tree: &Path) -> Arc<Files> {
    let roots = BTreeMap::from([("files".to_owned(), tree.to_owned())]);
    Arc::new(Files::new(Arc::new(roots), ["files".to_owned()]))
}

/// The pages of a run, as the server asks for them.
struct Pages<'a> {
    connector: &'a dyn Connector,
    files: Arc<Files>,
    ledger: Arc<dyn Ledger>,
    cursor: Option<String>,
}

impl Pages<'_> {
    async fn next(&mut self) -> (Page, HostServices) {
        let services = HostServices::new(self.files.clone(), self.ledger.clone(), Arc::new(Meter::default()), "bench");
        let request = PullRequest {
            config: json!({ "root": "files" }).to_string(),
            cursor: self.cursor.take(),
            full: false,
            upper_bound_ms: 0,
            max_items: 256,
            max_bytes: 8 << 20,
            deadline_ms: 60_000,
        };
        let page = self.connector.pull(&request, &services).await.unwrap();
        self.cursor = page.cursor.clone();
        (page, services)
    }
}

async fn pull_all(connector: &dyn Connector, tree: &Path, count: usize) {
    let mut pages = Pages { connector, files: files(tree), ledger: Arc::new(EmptyLedger), cursor: None };
    let mut pulled = 0;
    loop {
        let (page, _) = pages.next().await;
        pulled += page.changes.len();
        if page.next == Next::CompleteExhaustive {
            break;
        }
    }
    assert_eq!(pulled, count);
}

/// A run as the server does it, with its loop written out: the server itself only takes components.
async fn sync((connector, extractor): &(Arc<dyn Connector>, Arc<dyn Extractor>), tree: &Path, count: usize) -> Took {
    let test = testing::sqlite(tributary_store::Options::default()).await;
    let (system, now) = (test.db.system(), chrono::Utc::now());
    let reference = |id: &str| ConnectorRef { id: id.to_owned(), version: "0".to_owned(), digest: "0".to_owned() };
    let new = NewWorkspace { name: "b".to_owned(), slug: "b".to_owned(), push_connector: reference("push"), now };
    let tenant = system.tenant(system.create_workspace(new).await.unwrap().id);
    let new = NewSource {
        id: tributary_core::SourceId::new(),
        name: "files".to_owned(),
        connector: reference("file"),
        config: json!({ "root": "files" }),
        schedules: Vec::new(),
        pause_after_failures: None,
        now,
    };
    let source_id = tenant.create_source(new).await.unwrap().id;
    let new = NewRun {
        source_id,
        kind: RunKind::Push,
        trigger: Trigger::Api,
        accept_deletions: false,
        connector: None,
        record: false,
        now,
    };
    let run = tenant.get_run(tenant.create_run(new).await.unwrap()).await.unwrap();

    let took = Took::of(async {
        let intake = Intake::new(extractor.clone(), tenant.clone());
        let ledger = Arc::new(tenant.ledger(&run, "basis".to_owned()));
        let mut pages = Pages { connector: connector.as_ref(), files: files(tree), ledger, cursor: None };
        for page_no in 0.. {
            let (page, services) = pages.next().await;
            let items = page.changes.into_iter().map(|change| item(change, &services)).collect();
            let drafts = intake.take(items).await.unwrap().into_iter().map(Result::unwrap).collect();
            let commit = PageCommit {
                run_id: run.id,
                source_id,
                page_no,
                drafts,
                containers: Vec::new(),
                deletes: Vec::new(),
                failed: Vec::new(),
                state: services.state.into_writes(),
                cursor: page.cursor,
                traversal: None,
                progress: page.progress,
                bytes: 0,
                requests: 1,
                basis: "basis".to_owned(),
                now,
            };
            tenant.commit_page(None, commit).await.unwrap();
            if page.next == Next::CompleteExhaustive {
                break;
            }
        }
        let finish = FinishRun::with(run.id, RunStatus::Succeeded, None, None, now);
        tenant.finish_run(None, FinishRun { prune: Some(Prune::default()), ..finish }).await.unwrap();
    });
    let took = took.await;
    assert_eq!(tenant.get_run(run.id).await.unwrap().counts.added, count as i64);
    took
}

fn item(change: Change, services: &HostServices) -> Item {
    let Change::Upsert(Document { external_id, kind, content: Content::Blob { blob, media_type }, .. }) = change else {
        panic!("{change:?} is not a file");
    };
    Item {
        external_id,
        title: String::new(),
        kind,
        language: None,
        url: None,
        fields: Fields::new(),
        provenance: Default::default(),
        fingerprint: None,
        container: None,
        material: Material::Blob(services.blobs.get(blob).unwrap(), media_type),
    }
}
