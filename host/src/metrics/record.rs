//! What the record says at a scrape: jobs, connectors, sources and how far the indexes of this host are behind.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicU64},
};

use prometheus_client::{
    encoding::text::encode_registry,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::task::spawn_blocking;
use tributary_core::{Instant, SourceId, WorkspaceId, source::Health};
use tributary_search::Indexes;
use tributary_store::{JobGauge, SourceGauge, SystemDb};

use super::{
    Metrics,
    labels::{Connector, Job, MOST_SOURCES, SourceOf, SourceState, Workspace},
};

/// Workspaces with series of their own.
const MOST_WORKSPACES: usize = 2_000;

/// Documents of each source.
pub(super) type Counted = HashMap<(WorkspaceId, SourceId), i64>;

type Seconds = Gauge<f64, AtomicU64>;

/// Read at one moment.
pub(super) struct Record {
    jobs: Vec<JobGauge>,
    connectors: Vec<(String, bool)>,
    sources: Vec<SourceGauge>,
    documents: Arc<Counted>,
    behind: Vec<(WorkspaceId, i64)>,
}

impl Record {
    pub(super) async fn read(system: &SystemDb, indexes: Indexes, documents: Arc<Counted>) -> anyhow::Result<Self> {
        let jobs = system.job_gauges().await?;
        let connectors = system.connector_gauges().await?;
        let sources = system.source_gauges(MOST_SOURCES as i64).await?;
        let mut positions = system.workspace_positions().await?;
        positions.truncate(MOST_WORKSPACES);
        let behind = spawn_blocking(move || {
            let behind = positions.into_iter().map(|(id, position)| Ok((id, (position - indexes.applied(id)?).max(0))));
            behind.collect::<Result<_, tributary_search::Error>>()
        });
        Ok(Self { jobs, connectors, sources, documents, behind: behind.await?? })
    }

    /// As OpenMetrics text, without its end.
    pub(super) fn text(&self, metrics: &Metrics, now: Instant) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("tributary");
        let jobs: Family<Job, Gauge> = Family::default();
        registry.register(
            "jobs",
            "Jobs by kind and state: queued, waiting for their time, running, dead",
            jobs.clone(),
        );
        for job in &self.jobs {
            let labels = Job { kind: job.kind.clone(), state: job.state.clone() };
            jobs.get_or_create(&labels).set(job.jobs);
        }
        let quarantine: Family<Connector, Gauge> = Family::default();
        let help = "1 for a connector in quarantine, which no run uses, 0 for the others";
        registry.register("connector_quarantined", help, quarantine.clone());
        for (id, quarantined) in &self.connectors {
            quarantine.get_or_create(&Connector { connector: id.clone() }).set((*quarantined).into());
        }
        let behind: Family<Workspace, Gauge> = Family::default();
        let help = "Commits of a workspace that this host's search index has not taken in yet";
        registry.register("index_lag_commits", help, behind.clone());
        for (workspace, commits) in &self.behind {
            behind.get_or_create(&Workspace { workspace: workspace.to_string() }).set(*commits);
        }
        self.sources(&mut registry, metrics, now);
        let mut text = String::new();
        encode_registry(&mut text, &registry)?;
        Ok(text)
    }

    fn sources(&self, registry: &mut Registry, metrics: &Metrics, now: Instant) {
        let since = |moment: Instant| (now - moment).as_seconds_f64().max(0.0);
        let health: Family<SourceState, Gauge> = Family::default();
        let success: Family<SourceOf, Seconds> = Family::default();
        let lag: Family<SourceOf, Seconds> = Family::default();
        let documents: Family<SourceOf, Gauge> = Family::default();
        let held: Family<SourceOf, Gauge> = Family::default();
        registry.register("source_health", "1 for the state a source is in, 0 for the others", health.clone());
        let help = "Seconds since a source's last run without failure; absent when there was none";
        registry.register("source_last_success_age_seconds", help, success.clone());
        let help = "Seconds since a source should have begun to run and did not";
        registry.register("source_lag_seconds", help, lag.clone());
        registry.register("source_documents", "Documents of a source", documents.clone());
        registry.register("source_held_deletions", "Deletions of a source that wait for a person", held.clone());
        for (of, sources) in grouped(&self.sources, metrics) {
            for (state, name) in [
                (Health::Healthy, "healthy"),
                (Health::Degraded, "degraded"),
                (Health::Failing, "failing"),
                (Health::NeedsAttention, "needs_attention"),
                (Health::Paused, "paused"),
            ] {
                let number = sources.iter().filter(|source| source.health == state).count();
                let labels = SourceState { of: of.clone(), state: name };
                health.get_or_create(&labels).set(i64::try_from(number).unwrap_or(i64::MAX));
            }
            // Of several that share their labels, the worst.
            if let Some(oldest) = sources.iter().filter_map(|source| source.last_success_at).min() {
                success.get_or_create(&of).set(since(oldest));
            }
            lag.get_or_create(&of)
                .set(sources.iter().filter_map(|source| source.due_at).map(since).fold(0.0, f64::max));
            let counted =
                sources.iter().filter_map(|source| self.documents.get(&(source.workspace_id, source.source_id)));
            documents.get_or_create(&of).set(counted.sum());
            held.get_or_create(&of).set(sources.iter().map(|source| source.held).sum());
        }
    }
}

/// The sources by their labels: one each, and all that are too many together.
fn grouped<'a>(sources: &'a [SourceGauge], metrics: &Metrics) -> HashMap<SourceOf, Vec<&'a SourceGauge>> {
    let mut groups: HashMap<_, Vec<_>> = HashMap::new();
    for source in sources {
        groups.entry(metrics.source(source.source_id, &source.connector_id)).or_default().push(source);
    }
    groups
}

/// What is asked of this host at each scrape.
pub(super) fn of_this_host(text: &mut String, streams: usize, database_up: bool) -> Result<(), std::fmt::Error> {
    let mut registry = Registry::with_prefix("tributary");
    let open: Gauge = Gauge::default();
    open.set(i64::try_from(streams).unwrap_or(i64::MAX));
    registry.register("event_streams", "Live streams of runs that are open on this host", open);
    let up: Gauge = Gauge::default();
    up.set(database_up.into());
    registry.register("database_up", "Whether the record could be read for this scrape", up);
    encode_registry(text, &registry)
}
