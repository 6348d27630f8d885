//! Runs on bad days, with connectors written for the occasion, on both databases.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tributary_core::{
    Clock, RunId, SystemClock,
    citation::ConnectorRef,
    contract::{Capabilities, Change},
    contract::{
        CheckItem, Content, Descriptor, Document, Extracted, Failure, Fault, Gone, Next, Page, PullRequest, Section,
    },
    hash::Sha256Hash,
    job::Lease,
    run::{ChangeKind, RecordingState, Run, RunKind, RunStatus, StageName, Trigger, WaitingFor},
    source::Health,
};
use tributary_sandbox::{Blob, Connector, Extractor, ExtractorWorker, HostServices};
use tributary_store::{
    NewRun, NewSource, NewWorkspace, TenantDb,
    testing::{TestDb, databases},
};

use super::{stage::StageLimits, sync::Syncs};
use crate::{
    metrics::Metrics,
    plugins::{Grants, Plugins},
    recording::{Recording, Shelf},
    secrets::{Credentials, Vault},
    settings::{Config, Settings},
    wake::Wake,
};

type Pull = dyn Fn(PullRequest) -> BoxFuture<'static, Result<Page, Failure>> + Send + Sync;

/// A connector that does what the test says.
struct Scripted(Arc<Pull>);

#[async_trait]
impl Connector for Scripted {
    async fn describe(&self) -> Result<Descriptor, Failure> {
        Ok(descriptor())
    }

    async fn check(&self, _: &str, _: &HostServices) -> Result<Vec<CheckItem>, Failure> {
        Ok(vec![])
    }

    async fn pull(&self, request: &PullRequest, _: &HostServices) -> Result<Page, Failure> {
        (self.0)(request.clone()).await
    }
}

/// None of these connectors has files.
struct NoExtractor;

impl Extractor for NoExtractor {
    fn digest(&self) -> Sha256Hash {
        Sha256Hash::of("NoExtractor")
    }

    fn worker(&self) -> Box<dyn ExtractorWorker> {
        Box::new(Self)
    }
}

#[async_trait]
impl ExtractorWorker for NoExtractor {
    async fn extract(&mut self, _: &Blob, _: &str, _: Option<&str>) -> Result<Extracted, Failure> {
        Err(Failure::new(Fault::Unsupported, "no_files", "There are no files here."))
    }
}

fn descriptor() -> Descriptor {
    Descriptor {
        id: "scripted".to_owned(),
        version: "1.0.0".to_owned(),
        title: "Scripted".to_owned(),
        config_schema: serde_json::json!({}),
        hosts: vec![],
        roots: vec![],
        capabilities: Capabilities::default(),
    }
}

fn reference(id: &str) -> ConnectorRef {
    ConnectorRef { id: id.to_owned(), version: "1.0.0".to_owned(), digest: format!("{id}-digest") }
}

fn document(id: &str, text: &str) -> Change {
    Change::Upsert(Document {
        external_id: id.to_owned(),
        title: format!("Title of {id}"),
        kind: "page".to_owned(),
        language: None,
        content: Content::Sections(vec![Section { text: text.to_owned(), ..Section::default() }]),
        fields: vec![],
        provenance: Default::default(),
        fingerprint: None,
        container: None,
    })
}

fn page(changes: Vec<Change>, cursor: Option<String>, next: Next) -> Result<Page, Failure> {
    Ok(Page { changes, cursor, next, progress: None })
}

/// The number in a cursor, 0 on the first page.
fn number(request: &PullRequest) -> usize {
    request.cursor.as_deref().map_or(0, |cursor| cursor.parse().unwrap())
}

/// Documents `from..to`, ten a page, all that there are.
fn listing(request: &PullRequest, from: usize, to: usize) -> Result<Page, Failure> {
    let begin = from + 10 * number(request);
    let changes = (begin..to.min(begin + 10)).map(|n| document(&format!("{n:03}"), "text")).collect();
    match begin + 10 < to {
        true => page(changes, Some((number(request) + 1).to_string()), Next::More),
        false => page(changes, None, Next::CompleteExhaustive),
    }
}

struct World {
    test: TestDb,
    tenant: TenantDb,
    source: tributary_core::SourceId,
    grants: Arc<Grants>,
    config: Config,
    _data: tempfile::TempDir,
}

impl World {
    async fn on(test: TestDb) -> Self {
        let now = chrono::Utc::now();
        let system = test.db.system();
        let new = NewWorkspace { name: "W".into(), slug: "w".into(), push_connector: reference("builtin:push"), now };
        let tenant = system.tenant(system.create_workspace(new).await.unwrap().id);
        let new = NewSource {
            id: tributary_core::SourceId::new(),
            name: "S".into(),
            connector: reference("scripted"),
            config: serde_json::json!({}),
            schedules: Vec::new(),
            pause_after_failures: Some(0),
            now,
        };
        let source = tenant.create_source(new).await.unwrap().id;
        let data = tempfile::tempdir().unwrap();
        let config = Settings { data_dir: Some(data.path().to_owned()), ..Settings::default() }.resolve().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let vault = Vault::open(test.db.clone(), clock.clone(), &config).await.unwrap();
        let grants = Arc::new(Grants::new(&config, Arc::new(Credentials::new(Arc::new(vault), clock))));
        Self { test, tenant, source, grants, config, _data: data }
    }

    fn syncs(
        &self,
        pull: impl Fn(PullRequest) -> BoxFuture<'static, Result<Page, Failure>> + Send + Sync + 'static,
    ) -> Syncs {
        let clock = Arc::new(SystemClock);
        let scripted = (reference("scripted"), descriptor(), Arc::new(Scripted(Arc::new(pull))) as Arc<dyn Connector>);
        let plugins = Plugins::scripted(self.test.db.clone(), clock.clone(), scripted, Arc::new(NoExtractor)).unwrap();
        let grants = self.grants.clone();
        Syncs::new(
            self.test.db.clone(),
            clock,
            Arc::new(plugins),
            Wake::local(),
            Metrics::default(),
            grants,
            &self.config,
        )
    }

    fn new_run(&self, kind: RunKind) -> NewRun {
        NewRun {
            source_id: self.source,
            kind,
            trigger: Trigger::Api,
            accept_deletions: false,
            connector: None,
            record: false,
            now: chrono::Utc::now(),
        }
    }

    async fn asked(&self, kind: RunKind) -> RunId {
        self.tenant.create_run(self.new_run(kind)).await.unwrap()
    }

    async fn lease(&self) -> Lease {
        let began = Instant::now();
        loop {
            let leases = self.test.db.system().claim(&["sync"], "worker", 3_600_000, 1).await.unwrap();
            if let Some(lease) = leases.into_iter().next() {
                return lease;
            }
            // PostgreSQL may still be rolling back what was dropped.
            assert!(began.elapsed() < Duration::from_secs(20), "no job to be had");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// One run from its beginning to its end or its next pause.
    async fn run(&self, syncs: &Syncs, kind: RunKind) -> Run {
        let run = self.asked(kind).await;
        syncs.work(self.lease().await, run, &CancellationToken::new()).await;
        self.tenant.get_run(run).await.unwrap()
    }

    /// External id → version of everything live.
    async fn live(&self) -> BTreeMap<String, i64> {
        let page = self.tenant.list_documents(&Default::default(), None, 1_000).await.unwrap();
        page.items.into_iter().map(|document| (document.external_id, document.version)).collect()
    }

    async fn reason(&self) -> (Health, Option<String>) {
        let source = self.tenant.get_source(self.source).await.unwrap();
        (source.health, source.condition.reason.map(|reason| reason.code))
    }
}

async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for test in databases().await {
        worlds.push(World::on(test).await);
    }
    worlds
}

#[tokio::test]
async fn a_connector_that_returns_the_same_page_for_ever_is_stopped_and_says_so() {
    for world in worlds().await {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let syncs = world.syncs(move |request| {
            counted.fetch_add(1, Relaxed);
            let cursor = Some((number(&request) + 1).to_string());
            Box::pin(async move { page(vec![document("a", "text"), document("b", "text")], cursor, Next::More) })
        });
        let run = world.run(&syncs, RunKind::Sync).await;
        let error = run.error.unwrap();
        assert_eq!((run.status, error.code.as_str()), (RunStatus::Failed, "page_repeats"), "{}", world.test.name);
        assert!(error.detail.contains("again and again"), "{}", error.detail);
        assert!(calls.load(Relaxed) < 10, "{}: {calls:?}", world.test.name);
        assert_eq!(world.live().await.len(), 2, "what it brought stays");
        assert_eq!(world.reason().await, (Health::Failing, Some("page_repeats".to_owned())));
    }
}

#[tokio::test]
async fn a_connector_that_never_comes_to_an_end_is_stopped() {
    for world in worlds().await {
        let syncs = world.syncs(|request| {
            let cursor = Some((number(&request) + 1).to_string());
            Box::pin(async move { page(vec![], cursor, Next::WaitMs(0)) })
        });
        let run = world.run(&syncs, RunKind::Sync).await;
        assert_eq!(run.error.unwrap().code, "no_progress", "{}", world.test.name);
        assert_eq!(run.page_no, 1_000, "{}", world.test.name);
    }
}

#[tokio::test]
async fn a_stage_that_stands_still_is_ended_and_the_run_tried_again() {
    for world in worlds().await {
        let short = Duration::from_millis(200);
        let limits = StageLimits { pull: short, extract: short, index: Duration::from_secs(60) };
        let syncs = world.syncs(|_| Box::pin(std::future::pending())).with_stage_limits(limits);
        let run = world.run(&syncs, RunKind::Sync).await;
        assert_eq!(run.status, RunStatus::Waiting, "{}: {run:?}", world.test.name);
        assert_eq!(run.waiting.unwrap().reason, WaitingFor::Retry, "{}", world.test.name);

        // The third time it is given up.
        for _ in 0..2 {
            testing_due(&world).await;
            syncs.work(world.lease().await, run.id, &CancellationToken::new()).await;
        }
        let run = world.tenant.get_run(run.id).await.unwrap();
        let error = run.error.unwrap();
        assert_eq!((run.status, error.code.as_str()), (RunStatus::Failed, "stalled"), "{}", world.test.name);
        assert!(error.detail.contains("the connector read nothing"), "{}", error.detail);
    }
}

/// Every queued job is due.
async fn testing_due(world: &World) {
    let past = "UPDATE job SET run_at = created_at";
    tributary_store::testing::execute(&world.test.url, past).await.unwrap();
}

#[tokio::test]
async fn a_connector_in_a_call_is_stopped_within_a_second_of_the_wish() {
    for world in worlds().await {
        let syncs = world.syncs(|_| Box::pin(std::future::pending()));
        let run = world.asked(RunKind::Sync).await;
        let lease = world.lease().await;
        let tenant = world.tenant.clone();
        let asker = async {
            // The stage shows what it is doing.
            while tenant.get_run(run).await.unwrap().stage.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let stage = tenant.get_run(run).await.unwrap().stage.unwrap();
            assert_eq!(stage.name, StageName::Pull);
            tenant.request_cancel(run, chrono::Utc::now()).await.unwrap();
            Instant::now()
        };
        let shutdown = CancellationToken::new();
        let ((), asked) = tokio::join!(syncs.work(lease, run, &shutdown), asker);
        let took = asked.elapsed();
        let run = world.tenant.get_run(run).await.unwrap();
        assert_eq!((run.status, run.stage), (RunStatus::Cancelled, None), "{}", world.test.name);
        assert!(took < Duration::from_secs(1), "{}: {took:?}", world.test.name);
    }
}

#[tokio::test]
async fn a_source_that_asks_to_wait_says_until_when() {
    for world in worlds().await {
        let syncs = world.syncs(|_| {
            let failure =
                Failure { retry_after_ms: Some(600_000), ..Failure::new(Fault::RateLimited, "slow_down", "Wait.") };
            Box::pin(async move { Err(failure) })
        });
        let run = world.run(&syncs, RunKind::Sync).await;
        let waiting = run.waiting.unwrap();
        assert_eq!((run.status, waiting.reason), (RunStatus::Waiting, WaitingFor::Quota), "{}", world.test.name);
        let left = (waiting.until - chrono::Utc::now()).num_seconds();
        // Never sooner than it asked, and a little later, so that not everybody comes back at once.
        assert!((590..=660).contains(&left), "{}: {left} s", world.test.name);
    }
}

#[tokio::test]
async fn neither_a_lost_root_nor_a_partial_listing_nor_a_lie_deletes_anything() {
    for world in worlds().await {
        let all = world.syncs(|request| Box::pin(async move { listing(&request, 0, 100) }));
        assert_eq!(world.run(&all, RunKind::Sync).await.status, RunStatus::Succeeded);

        let lost = Failure::new(Fault::NotFound, "root_missing", "The root is not there; mount it.");
        let lost = world.syncs(move |_| Box::pin(std::future::ready(Err(lost.clone()))));
        let run = world.run(&lost, RunKind::Sync).await;
        assert_eq!((run.status, run.error.unwrap().code.as_str()), (RunStatus::Failed, "root_missing"));
        assert_eq!(world.reason().await, (Health::NeedsAttention, Some("root_missing".to_owned())));

        // Access is refused in the middle of the listing.
        let refused = world.syncs(|request| {
            Box::pin(async move {
                match number(&request) {
                    0 => listing(&request, 0, 100),
                    _ => Err(Failure::new(Fault::Permission, "forbidden", "The account may not list this.")),
                }
            })
        });
        assert_eq!(world.run(&refused, RunKind::Sync).await.status, RunStatus::Failed);

        // It says that this is all there is, and it is not.
        for (from, to) in [(0, 20), (0, 0)] {
            let liar = world.syncs(move |request| Box::pin(async move { listing(&request, from, to) }));
            let run = world.run(&liar, RunKind::Sync).await;
            assert_eq!(run.error.unwrap().code, "deletions_held", "{}", world.test.name);
            assert_eq!(world.reason().await.1.as_deref(), Some("deletions_held"), "{}", world.test.name);
        }
        // Deletions of a feed are no lie that anybody could tell from the truth, and what never was is not deleted.
        let feed = world.syncs(|_| {
            let gone = ["000", "never"].map(|id| Change::Delete(id.to_owned(), Gone::Deleted)).to_vec();
            Box::pin(async move { page(gone, None, Next::Complete) })
        });
        assert_eq!(world.run(&feed, RunKind::Sync).await.counts.deleted, 1);
        assert_eq!(world.live().await.len(), 99, "{}", world.test.name);
    }
}

#[tokio::test]
async fn a_dry_run_shows_what_a_sync_then_does() {
    for world in worlds().await {
        let before = world.syncs(|request| Box::pin(async move { listing(&request, 0, 30) }));
        world.run(&before, RunKind::Sync).await;
        let live = world.live().await;
        let after = world.syncs(|request| Box::pin(async move { listing(&request, 5, 40) }));
        let dry = world.run(&after, RunKind::DryRun).await;
        assert_eq!((dry.status, dry.position), (RunStatus::Succeeded, None), "{}: {dry:?}", world.test.name);
        assert_eq!(world.live().await, live, "{}", world.test.name);
        let listed = world.tenant.preview(dry.id, Some(ChangeKind::Delete), -1, 100).await.unwrap().items;
        let names: Vec<_> = listed.iter().map(|change| change.external_id.as_str()).collect();
        assert_eq!(names, ["000", "001", "002", "003", "004"], "{}", world.test.name);
        let real = world.run(&after, RunKind::Sync).await;
        assert_eq!(real.counts, dry.counts, "{}", world.test.name);
        assert_eq!((real.counts.added, real.counts.unchanged, real.counts.deleted), (10, 25, 5));
    }
}

/// Polls `work` so many times and drops it then, as `kill -9` would; whether it came to its end.
async fn killed_after(polls: usize, work: impl Future<Output = ()>) -> bool {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        work.as_mut().poll(context).map(|()| true)
    })
    .await
}

/// The work is dropped after each number of steps: between pages, in the middle of one, between its writes and their commit.
#[tokio::test]
async fn a_run_that_is_killed_at_every_step_ends_like_one_that_was_not() {
    for world in worlds().await {
        let before = world.syncs(|request| Box::pin(async move { listing(&request, 0, 45) }));
        world.run(&before, RunKind::Sync).await;
        let after = world.syncs(|request| Box::pin(async move { listing(&request, 5, 60) }));
        let run = world.asked(RunKind::Sync).await;
        let (mut kills, mut pages) = (0, 0);
        // More steps each time, and afresh with every committed page, so that each page is killed at its steps. They grow faster later
        // on: a job that is lost 25 times without a page is given up.
        let mut polls = 1;
        loop {
            let lease = world.lease().await;
            if killed_after(polls, after.work(lease.clone(), run, &CancellationToken::new())).await {
                break;
            }
            kills += 1;
            // What was left open is rolled back, as when the process is gone; then the lease runs out.
            while world.test.db.system().heartbeat(&lease, 0).await.is_err() {}
            let now = world.tenant.get_run(run).await.unwrap();
            polls = if now.page_no > pages { 1 } else { polls + 1 + polls / 6 };
            pages = now.page_no;
            if now.status.is_final() {
                break;
            }
        }
        let run = world.tenant.get_run(run).await.unwrap();
        println!("{}: killed {kills} times", world.test.name);
        assert!(kills > 20, "{}: {kills}", world.test.name);
        assert_eq!((run.status, run.page_no), (RunStatus::Succeeded, 6), "{}: {run:?}", world.test.name);
        let counts = run.counts;
        assert_eq!(
            (counts.seen, counts.added, counts.unchanged, counts.deleted),
            (55, 15, 40, 5),
            "{}",
            world.test.name
        );
        let expected: BTreeMap<_, _> = (5..60).map(|n| (format!("{n:03}"), 1)).collect();
        assert_eq!(world.live().await, expected, "{}", world.test.name);
    }
}

#[tokio::test]
async fn a_run_is_recorded_over_its_pauses_and_a_kill_costs_the_recording_alone() {
    for world in worlds().await {
        let name = world.test.name;
        let waited = Arc::new(AtomicUsize::new(0));
        let shelf = Shelf::new(&world.config.data_dir);
        let syncs = |hang: bool| {
            let waited = waited.clone();
            world.syncs(move |request| {
                let page_no = number(&request);
                let wait = page_no == 1 && waited.fetch_add(1, Relaxed) == 0;
                Box::pin(async move {
                    if hang && page_no == 2 {
                        std::future::pending::<()>().await;
                    }
                    let slow =
                        || Failure { retry_after_ms: Some(1), ..Failure::new(Fault::RateLimited, "slow", "Wait.") };
                    if wait { Err(slow()) } else { listing(&request, 0, 30) }
                })
            })
        };
        let ask = async || {
            let new = NewRun { record: true, ..world.new_run(RunKind::Full) };
            world.tenant.create_run(new).await.unwrap()
        };
        let state = async |run| world.tenant.get_run(run).await.unwrap().recording.unwrap();
        let read = async |run| {
            let parts = shelf.open(world.tenant.workspace_id(), run).await.unwrap();
            let recording = Recording::read_parts(parts).unwrap();
            (recording.pages(), recording.whole)
        };

        let run = ask().await;
        syncs(false).work(world.lease().await, run, &CancellationToken::new()).await;
        assert_eq!(state(run).await.state, RecordingState::Complete, "{name}: so far");
        testing_due(&world).await;
        syncs(false).work(world.lease().await, run, &CancellationToken::new()).await;
        assert_eq!(world.tenant.get_run(run).await.unwrap().status, RunStatus::Succeeded, "{name}");
        let recorded = state(run).await;
        assert_eq!((recorded.state, recorded.pages), (RecordingState::Complete, 4), "{name}: one of them failed");
        assert_eq!(recorded.hosts, [shelf.host()], "{name}");
        assert_eq!(read(run).await, (4, true), "{name}");

        // The worker is gone from one moment to the next.
        let run = ask().await;
        let lease = world.lease().await;
        let (hanging, shutdown) = (syncs(true), CancellationToken::new());
        {
            let work = pin!(hanging.work(lease.clone(), run, &shutdown));
            let third = async {
                while world.tenant.get_run(run).await.unwrap().page_no < 2 {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::select! { () = work => panic!("{name}: it hangs"), () = third => {} }
        }
        assert!(world.test.db.system().release(&lease, 0).await.unwrap());
        syncs(false).work(world.lease().await, run, &CancellationToken::new()).await;
        let run = world.tenant.get_run(run).await.unwrap();
        assert_eq!(
            (run.status, run.counts.seen),
            (RunStatus::Succeeded, 30),
            "{name}: the run is as it would have been"
        );
        assert_eq!(run.recording.unwrap().state, RecordingState::Incomplete, "{name}");
        assert_eq!(read(run.id).await.0, 3, "{name}");
    }
}
