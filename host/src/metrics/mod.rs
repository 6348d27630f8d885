//! What this host counts for Prometheus. What all hosts share is read from the record at each scrape, in [`record`].
//!
//! `prometheus-client` instead of a façade with a global recorder: the metrics are fields of one struct that is handed to those who count,
//! and their labels are types. A label is a source's or workspace's id, or one of a few words; never what somebody wrote.

mod extractor;
mod labels;
mod record;

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use moka::future::Cache;
use prometheus_client::{
    encoding::text::{encode_eof, encode_registry},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use secrecy::{ExposeSecret, SecretString};
use tributary_core::{
    Instant, SourceId,
    contract::Failure,
    run::{Run, RunKind, RunStatus},
};
use tributary_search::Indexes;
use tributary_store::SystemDb;

use crate::limits::streams::Streams;
pub(crate) use extractor::counted;
use labels::{Call, Change, Kind, Outcome, Reason, Request, Route, Seats, SourceOf, SourceRun};

/// What is read from the record serves scrapes for so long.
const FRESH: Duration = Duration::from_secs(10);
/// Documents are counted one by one.
const COUNTED: Duration = Duration::from_secs(60);
/// Seconds; of answers.
const REQUEST_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// Seconds; from due to taken up.
const PICKUP_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0, 3_600.0];
/// Seconds; of work.
const WORK_BUCKETS: [f64; 10] = [0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0];

/// A family of histograms.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The counters of this host. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    seats: RwLock<Seats>,
    record: Cache<(), Arc<str>>,
    counted: Cache<(), Arc<record::Counted>>,
    requests: Family<Request, Counter>,
    request_seconds: Histograms<Route>,
    log_ins_refused: Family<Reason, Counter>,
    pickup_seconds: Histograms<Kind>,
    job_seconds: Histograms<Kind>,
    runs: Family<SourceRun, Counter>,
    run_seconds: Histograms<Outcome>,
    documents: Family<Change, Counter>,
    bytes: Family<SourceOf, Counter>,
    source_requests: Family<SourceOf, Counter>,
    calls: Family<Call, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let request_seconds: Histograms<Route> = Family::new_with_constructor(|| Histogram::new(REQUEST_BUCKETS));
        let pickup_seconds: Histograms<Kind> = Family::new_with_constructor(|| Histogram::new(PICKUP_BUCKETS));
        let job_seconds: Histograms<Kind> = Family::new_with_constructor(|| Histogram::new(WORK_BUCKETS));
        let run_seconds: Histograms<Outcome> = Family::new_with_constructor(|| Histogram::new(WORK_BUCKETS));
        let mut inner = Inner {
            registry: Registry::with_prefix("tributary"),
            seats: RwLock::default(),
            record: Cache::builder().max_capacity(1).time_to_live(FRESH).build(),
            counted: Cache::builder().max_capacity(1).time_to_live(COUNTED).build(),
            requests: Family::default(),
            request_seconds,
            log_ins_refused: Family::default(),
            pickup_seconds,
            job_seconds,
            runs: Family::default(),
            run_seconds,
            documents: Family::default(),
            bytes: Family::default(),
            source_requests: Family::default(),
            calls: Family::default(),
        };
        inner.register();
        Self(Arc::new(inner))
    }
}

impl Inner {
    fn register(&mut self) {
        let all = &mut self.registry;
        all.register("http_requests", "Requests answered, by route, method and class of status", self.requests.clone());
        all.register("http_request_seconds", "Time until an answer began", self.request_seconds.clone());
        all.register("log_ins_refused", "Log-ins that were refused, by reason", self.log_ins_refused.clone());
        all.register(
            "job_pickup_seconds",
            "Time from when a job was due until a worker had it",
            self.pickup_seconds.clone(),
        );
        all.register("job_seconds", "Time a worker spent on a job", self.job_seconds.clone());
        all.register("runs", "Runs that this host ended, by source and outcome", self.runs.clone());
        all.register("run_seconds", "Time from the start of a run to its end, by outcome", self.run_seconds.clone());
        all.register(
            "run_documents",
            "Documents of ended runs: added, updated, deleted, failed",
            self.documents.clone(),
        );
        all.register("run_bytes", "Bytes that ended runs read from their source", self.bytes.clone());
        all.register("run_requests", "Requests that ended runs made to their source", self.source_requests.clone());
        all.register(
            "sandbox_calls",
            "Calls of connectors and of the extractor, by how they ended",
            self.calls.clone(),
        );
    }
}

impl Metrics {
    /// A request was answered. `route` is the template, such as `/api/v1/me`.
    pub fn request(&self, route: &str, method: &'static str, status: u16, took: Duration) {
        let labels = Request { route: route.to_owned(), method, status: class(status) };
        self.0.requests.get_or_create(&labels).inc();
        let labels = Route { route: labels.route, method };
        self.0.request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A log-in was refused.
    pub fn log_in_refused(&self, reason: &'static str) {
        self.0.log_ins_refused.get_or_create(&Reason { reason }).inc();
    }

    /// A worker took a job up, so long after it was due.
    pub fn job_taken(&self, kind: &'static str, late: Duration) {
        self.0.pickup_seconds.get_or_create(&Kind { kind }).observe(late.as_secs_f64());
    }

    /// A worker is through with a job, whatever became of it.
    pub fn job_left(&self, kind: &'static str, took: Duration) {
        self.0.job_seconds.get_or_create(&Kind { kind }).observe(took.as_secs_f64());
    }

    /// A run ended on this host.
    pub fn run_ended(&self, run: &Run) {
        // What a dry run counts did not happen.
        if run.kind == RunKind::DryRun {
            return;
        }
        let of = self.source(run.source_id, &run.connector.id);
        let outcome = outcome(run.status);
        self.0.runs.get_or_create(&SourceRun { of: of.clone(), outcome }).inc();
        if let (Some(began), Some(ended)) = (run.started_at, run.finished_at) {
            let took = (ended - began).to_std().unwrap_or_default();
            self.0.run_seconds.get_or_create(&Outcome { outcome }).observe(took.as_secs_f64());
        }
        let counts = &run.counts;
        for (change, number) in [
            ("added", counts.added),
            ("updated", counts.updated),
            ("deleted", counts.deleted),
            ("failed", counts.failed),
        ] {
            self.0.documents.get_or_create(&Change { of: of.clone(), change }).inc_by(positive(number));
        }
        self.0.bytes.get_or_create(&of).inc_by(positive(run.bytes));
        self.0.source_requests.get_or_create(&of).inc_by(positive(run.requests));
    }

    /// A call into the sandbox ended.
    pub fn call<T>(&self, component: &str, ended: &Result<T, Failure>) {
        let outcome = ended.as_ref().map_or_else(|failure| failure.fault.as_str(), |_| "ok");
        self.0.calls.get_or_create(&Call { component: component.to_owned(), outcome }).inc();
    }

    /// Everything as OpenMetrics text. What the record says is at most [`FRESH`] old; when the database does not answer, the rest
    /// comes without it and `tributary_database_up` is 0.
    pub async fn scrape(
        &self,
        system: SystemDb,
        indexes: Indexes,
        streams: &Streams,
        now: Instant,
    ) -> Result<String, std::fmt::Error> {
        let metrics = self.clone();
        let record = self.0.record.try_get_with((), async move {
            let documents = metrics.0.counted.try_get_with((), async { system.document_counts().await.map(Arc::new) });
            let documents = documents.await.map_err(anyhow::Error::from)?;
            let read = record::Record::read(&system, indexes, documents).await?;
            anyhow::Ok(Arc::<str>::from(read.text(&metrics, now)?))
        });
        let record = record.await.map_err(|error| tracing::warn!(%error, "metrics go without what the record says"));
        let mut text = String::new();
        encode_registry(&mut text, &self.0.registry)?;
        record::of_this_host(&mut text, streams.open(), record.is_ok())?;
        text.push_str(record.as_deref().unwrap_or_default());
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// The labels of a source; the same for all those that are one too many.
    fn source(&self, id: SourceId, connector: &str) -> SourceOf {
        if let Some(known) = self.0.seats.read().unwrap_or_else(PoisonError::into_inner).find(id) {
            return known;
        }
        self.0.seats.write().unwrap_or_else(PoisonError::into_inner).give(id, connector)
    }
}

/// Whether a caller knows the token, in a time that tells nothing about it.
pub fn admits(token: &SecretString, given: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(token.expose_secret().as_bytes(), given.as_bytes()).is_ok()
}

fn class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

fn outcome(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Succeeded => "succeeded",
        RunStatus::Partial => "partial",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        _ => "open",
    }
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
