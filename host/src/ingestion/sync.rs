//! A run, page by page: pull, intake, commit; only then the next page.
//!
//! Kill the host anywhere and the next worker goes on from the last committed cursor. Every transaction proves the lease first,
//! so a worker that lost it can do no harm.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant as Elapsed, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tributary_core::{
    Clock, RunId,
    contract::{Change, Container, Content, Document, Failure, Fault, Gone, Next, Page, Progress, PullRequest},
    job::Lease,
    run::{FailedItem, Run, RunError, RunKind, RunStatus},
    source::Health,
};
use tributary_sandbox::{Files, HostServices, Meter, Roots};
use tributary_store::{BegunRun, Db, FinishRun, Heartbeat, NewRun, PageCommit, Prune, TenantDb};

use super::{
    Intake, Item, Material,
    intake::fields,
    retry::{self, Verdict},
};
use crate::{plugins::Plugins, settings::Config, wake::Wake};

/// A connector that pages longer than this has gone astray.
const MOST_PAGES: i64 = 1_000_000;
/// The wall-clock time of one page, however little processor time it uses.
const PAGE_DEADLINE: Duration = Duration::from_secs(120);
/// Bytes of text and blobs in a page.
const PAGE_BYTES: u64 = 8 << 20;
/// Shorter waits are sat out by the worker.
const SHORT_WAIT: Duration = Duration::from_secs(2);

/// Drives runs.
pub struct Syncs {
    db: Db,
    clock: Arc<dyn Clock>,
    plugins: Arc<Plugins>,
    wake: Wake,
    roots: Arc<Roots>,
    lease: Duration,
    page_items: u32,
}

/// Why a run stopped before its end.
enum Stop {
    /// Another worker has it, or may have: touch nothing.
    Lost,
    /// A person asked.
    Cancelled,
    /// The server is going down: hand the job back.
    Shutdown,
    /// The connector, or what it returned.
    Failed(Failure),
    /// The record.
    Store(tributary_store::Error),
    /// A defect of ours.
    Internal(anyhow::Error),
}

impl From<tributary_store::Error> for Stop {
    fn from(error: tributary_store::Error) -> Self {
        match error {
            tributary_store::Error::LeaseLost
            | tributary_store::Error::StalePage { .. }
            | tributary_store::Error::RunOver => Self::Lost,
            // The source was deleted under the run.
            tributary_store::Error::NotFound("source") => Self::Cancelled,
            error => Self::Store(error),
        }
    }
}

impl Syncs {
    /// Wired from the settings.
    pub fn new(db: Db, clock: Arc<dyn Clock>, plugins: Arc<Plugins>, wake: Wake, config: &Config) -> Self {
        let (roots, lease, page_items) = (Arc::new(config.roots.clone()), config.lease, config.page_items);
        Self { db, clock, plugins, wake, roots, lease, page_items }
    }

    /// Works on a leased run until it is over, handed back or lost.
    pub async fn work(&self, lease: Lease, run_id: RunId, shutdown: &CancellationToken) {
        let tenant = self.db.system().tenant(lease.workspace_id);
        let stopped = match self.heartbeat_while(&lease, shutdown, self.run(&tenant, &lease, run_id)).await {
            Ok(()) => return,
            Err(stop) => stop,
        };
        if let Err(error) = self.settle(&tenant, &lease, run_id, stopped).await {
            // The lease runs out and another worker takes the run up where it stands.
            tracing::warn!(run = %run_id, %error, "the end of a run could not be recorded; it will be taken up again");
        }
    }

    /// Runs `work`, keeping the lease alive, until it ends or has to stop.
    async fn heartbeat_while(
        &self,
        lease: &Lease,
        shutdown: &CancellationToken,
        work: impl Future<Output = Result<(), Stop>>,
    ) -> Result<(), Stop> {
        // Polled side by side: the heartbeat may have to wait for a transaction that `work` holds open.
        tokio::select! {
            result = work => result,
            stop = self.heartbeat(lease) => Err(stop),
            () = shutdown.cancelled() => Err(Stop::Shutdown),
        }
    }

    /// Keeps the lease alive; returns when the work has to stop.
    async fn heartbeat(&self, lease: &Lease) -> Stop {
        let mut beat = tokio::time::interval((self.lease / 3).min(Duration::from_millis(900)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last_alive = Elapsed::now();
        loop {
            beat.tick().await;
            match self.db.system().heartbeat(lease, self.lease.as_millis() as i64).await {
                Ok(Heartbeat::Alive) => last_alive = Elapsed::now(),
                Ok(Heartbeat::CancelRequested) => return Stop::Cancelled,
                Ok(Heartbeat::Lost) => return Stop::Lost,
                // The database may be back before the lease is over; the fence guards every commit anyway.
                Err(_) if last_alive.elapsed() < self.lease => {}
                Err(error) => return error.into(),
            }
        }
    }

    async fn run(&self, tenant: &TenantDb, lease: &Lease, run_id: RunId) -> Result<(), Stop> {
        let begun = tenant.begin_run(lease, run_id, self.clock.now()).await?;
        if begun.cancel_requested {
            return Err(Stop::Cancelled);
        }
        let BegunRun { run, source, .. } = begun;
        let Some(ready) = self.plugins.at_digest(&run.connector.digest).await.map_err(Stop::Internal)? else {
            let message = format!(
                "the connector {} {} is not installed any more; edit the source to move it to the current one",
                run.connector.id, run.connector.version
            );
            return Err(Stop::Failed(Failure::new(Fault::Transient, "connector_missing", message)));
        };
        if run.page_no > 0 && source.config_revision != run.config_revision {
            let message = "the source's configuration changed during the run, so that its cursor means nothing any more; it starts again from the beginning";
            return Err(Stop::Failed(Failure::new(Fault::CursorExpired, "config_changed", message)));
        }
        let basis = self.plugins.basis(&run.connector.digest, run.config_revision).await.map_err(Stop::Internal)?;
        let intake = Intake::new(self.plugins.extractor().await.map_err(Stop::Internal)?);
        let files = Arc::new(Files::new(self.roots.clone(), ready.roots_of(&source.config)));
        let meter = Arc::new(Meter::default());
        let ledger: Arc<dyn tributary_core::ledger::Ledger> = Arc::new(tenant.ledger(&run, basis.clone()));
        let config = source.config.to_string();
        let upper_bound_ms = run.started_at.unwrap_or(run.queued_at).timestamp_millis();

        let (mut cursor, mut page_no) = (run.cursor.clone(), run.page_no);
        let (mut done, mut read) = (run.counts.seen, (0, 0));
        let exhaustive = loop {
            let services = HostServices::new(files.clone(), ledger.clone(), meter.clone(), source.name.clone());
            let request = PullRequest {
                config: config.clone(),
                cursor: cursor.clone(),
                full: run.kind == RunKind::Full,
                upper_bound_ms,
                max_items: self.page_items,
                max_bytes: PAGE_BYTES,
                deadline_ms: PAGE_DEADLINE.as_millis() as u64,
            };
            let page = ready.connector.pull(&request, &services).await.map_err(Stop::Failed)?;
            let next = self.check_page(&page, &cursor, page_no).map_err(Stop::Failed)?;
            done += page.changes.len() as i64;
            let progress = page.progress.clone().unwrap_or(Progress {
                done: done.cast_unsigned(),
                total: None,
                phase: "reading".to_owned(),
            });
            let sorted = sort_page(page.changes, &services)?;
            let mut commit = PageCommit {
                run_id,
                source_id: source.id,
                page_no,
                drafts: Vec::with_capacity(sorted.items.len()),
                containers: sorted.containers,
                deletes: sorted.deletes,
                failed: sorted.failed,
                state: services.state.into_writes(),
                cursor: page.cursor.clone(),
                progress: Some(progress),
                bytes: meter.bytes().cast_signed() - read.0,
                requests: meter.requests().cast_signed() + 1 - read.1,
                basis: basis.clone(),
                now: self.clock.now(),
            };
            read = (meter.bytes().cast_signed(), meter.requests().cast_signed());
            for taken in intake.take(sorted.items).await.map_err(|error| Stop::Internal(error.into()))? {
                match taken {
                    Ok(draft) => commit.drafts.push(draft),
                    Err(failed) => commit.failed.push(failed),
                }
            }
            let outcome = tenant.commit_page(Some(lease), commit).await?;
            if outcome.position.is_some() {
                self.wake.documents();
            }
            (cursor, page_no) = (page.cursor, page_no + 1);
            match next {
                Next::More => {}
                Next::WaitMs(ms) if Duration::from_millis(ms) <= SHORT_WAIT => {
                    tokio::time::sleep(Duration::from_millis(ms)).await
                }
                Next::WaitMs(ms) => {
                    tenant.set_waiting(lease, run_id).await?;
                    self.db.system().release(lease, ms.min(3_600_000).cast_signed()).await?;
                    return Ok(());
                }
                Next::Complete => break false,
                Next::CompleteExhaustive => break true,
            }
        };
        self.finish(tenant, lease, &run, exhaustive).await
    }

    /// The last transaction: tombstones what an exhaustive traversal did not see, unless the guard holds it.
    async fn finish(&self, tenant: &TenantDb, lease: &Lease, run: &Run, exhaustive: bool) -> Result<(), Stop> {
        let failed = tenant.get_run(run.id).await?.counts.failed;
        let (status, health) =
            if failed > 0 { (RunStatus::Partial, Health::Degraded) } else { (RunStatus::Succeeded, Health::Healthy) };
        let error = (failed > 0).then(|| RunError {
            code: "items_failed".to_owned(),
            detail: format!(
                "{failed} {} could not be read; failed_items lists them with the reason",
                if failed == 1 { "item" } else { "items" }
            ),
            config_pointer: None,
        });
        let finish = FinishRun {
            run_id: run.id,
            status,
            error,
            prune: exhaustive.then(Prune::default),
            allow_deletions: run.accept_deletions,
            health: Some(health),
            now: self.clock.now(),
        };
        let finished = tenant.finish_run(Some(lease), finish).await?;
        self.wake.documents();
        let counts = finished.run.counts;
        tracing::info!(
            run = %run.id, status = ?finished.run.status, seen = counts.seen, added = counts.added, updated = counts.updated,
            unchanged = counts.unchanged, deleted = counts.deleted, failed = counts.failed, "run over"
        );
        Ok(())
    }

    /// Records why a run stopped, and what happens next.
    async fn settle(
        &self,
        tenant: &TenantDb,
        lease: &Lease,
        run_id: RunId,
        stop: Stop,
    ) -> Result<(), tributary_store::Error> {
        let system = self.db.system();
        match stop {
            Stop::Lost => tracing::info!(run = %run_id, "another worker has this run now"),
            Stop::Shutdown => {
                system.release(lease, 0).await?;
            }
            Stop::Cancelled => self.end(tenant, lease, run_id, RunStatus::Cancelled, None, None).await?,
            Stop::Failed(failure) => {
                tracing::warn!(run = %run_id, fault = failure.fault.as_str(), code = failure.code, "the connector failed: {}", failure.message);
                match retry::verdict(&failure, lease) {
                    Verdict::Wait(pause) => {
                        tenant.set_waiting(lease, run_id).await?;
                        system.release(lease, pause.as_millis() as i64).await?;
                    }
                    Verdict::Retry(pause) => {
                        tenant.set_waiting(lease, run_id).await?;
                        system.retry(lease, pause.as_millis() as i64, &failure.message).await?;
                    }
                    Verdict::StartOver => {
                        let run = tenant.get_run(run_id).await?;
                        self.end(
                            tenant,
                            lease,
                            run_id,
                            RunStatus::Failed,
                            Some(retry::error(&failure)),
                            Some(Health::Degraded),
                        )
                        .await?;
                        let full = NewRun {
                            source_id: run.source_id,
                            kind: RunKind::Full,
                            trigger: run.trigger,
                            accept_deletions: run.accept_deletions,
                            connector: None,
                            now: self.clock.now(),
                        };
                        match tenant.create_run(full).await {
                            Ok(_) | Err(tributary_store::Error::AlreadyRunning { .. }) => self.wake.jobs(),
                            Err(error) => return Err(error),
                        }
                    }
                    Verdict::GiveUp(health) => {
                        self.end(tenant, lease, run_id, RunStatus::Failed, Some(retry::error(&failure)), Some(health))
                            .await?
                    }
                }
            }
            Stop::Store(error @ tributary_store::Error::Full(_)) => {
                tracing::error!(run = %run_id, %error, "a run stopped");
                let error = RunError {
                    code: "database_full".to_owned(),
                    detail: format!("{error}; make room, then sync again"),
                    config_pointer: None,
                };
                self.end(tenant, lease, run_id, RunStatus::Failed, Some(error), Some(Health::NeedsAttention)).await?;
            }
            Stop::Store(error) => {
                tracing::warn!(run = %run_id, %error, "the database failed during a run; trying again");
                system.retry(lease, 1_000, &error.to_string()).await?;
            }
            Stop::Internal(error) => {
                tracing::error!(run = %run_id, error = format!("{error:#}"), "a run failed on our side");
                let error = RunError {
                    code: "internal".to_owned(),
                    detail: "the server failed; its log has the details under this run's id".to_owned(),
                    config_pointer: None,
                };
                self.end(tenant, lease, run_id, RunStatus::Failed, Some(error), Some(Health::Failing)).await?;
            }
        }
        Ok(())
    }

    async fn end(
        &self,
        tenant: &TenantDb,
        lease: &Lease,
        run_id: RunId,
        status: RunStatus,
        error: Option<RunError>,
        health: Option<Health>,
    ) -> Result<(), tributary_store::Error> {
        let finish =
            FinishRun { run_id, status, error, prune: None, allow_deletions: false, health, now: self.clock.now() };
        match tenant.finish_run(Some(lease), finish).await {
            Ok(_) | Err(tributary_store::Error::LeaseLost) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A page must lead somewhere.
    fn check_page(&self, page: &Page, cursor: &Option<String>, page_no: i64) -> Result<Next, Failure> {
        let broken = |code: &str, message: String| Err(Failure::new(Fault::SourceContract, code, message));
        if page.changes.len() > self.page_items as usize {
            return broken(
                "page_too_large",
                format!(
                    "the connector returned {} changes in a page, it was asked for at most {}",
                    page.changes.len(),
                    self.page_items
                ),
            );
        }
        match page.next {
            Next::More | Next::WaitMs(_) if page.cursor.is_none() => {
                broken("cursor_missing", "the connector wants to go on but gave no cursor".to_owned())
            }
            Next::More if page.cursor == *cursor => {
                broken("cursor_stuck", "the connector returned the cursor it was given: it would never end".to_owned())
            }
            Next::More | Next::WaitMs(_) if page_no >= MOST_PAGES => {
                broken("too_many_pages", format!("the run has {MOST_PAGES} pages and no end"))
            }
            next => Ok(next),
        }
    }
}

/// A page by kind of change.
#[derive(Default)]
struct Sorted {
    items: Vec<Item>,
    containers: Vec<Container>,
    deletes: Vec<(String, Gone)>,
    failed: Vec<FailedItem>,
}

/// When a page names a document twice, the later one stands.
fn sort_page(changes: Vec<Change>, services: &HostServices) -> Result<Sorted, Stop> {
    let mut sorted = Sorted::default();
    let mut place: HashMap<String, usize> = HashMap::with_capacity(changes.len());
    for change in changes {
        match change {
            Change::Upsert(document) => {
                let id = document.external_id.clone();
                let item = item(document, services).map_err(Stop::Failed)?;
                match place.get(&id) {
                    Some(&index) => sorted.items[index] = item,
                    None => {
                        place.insert(id, sorted.items.len());
                        sorted.items.push(item);
                    }
                }
            }
            Change::Container(container) => sorted.containers.push(container),
            Change::Delete(id, gone) => sorted.deletes.push((id, gone)),
            Change::Failed(external_id, failure) => {
                sorted.failed.push(FailedItem { external_id, fault: failure.fault, message: failure.message });
            }
        }
    }
    Ok(sorted)
}

fn item(document: Document, services: &HostServices) -> Result<Item, Failure> {
    let material = match document.content {
        Content::Sections(sections) => Material::Sections(sections),
        Content::Blob { blob, media_type } => Material::Blob(services.blobs.get(blob)?, media_type),
        Content::Unchanged => Material::Unchanged,
    };
    Ok(Item {
        external_id: document.external_id,
        title: document.title,
        kind: document.kind,
        language: document.language,
        url: document.provenance.url.clone(),
        fields: fields(document.fields),
        provenance: document.provenance,
        fingerprint: document.fingerprint,
        container: document.container,
        material,
    })
}
