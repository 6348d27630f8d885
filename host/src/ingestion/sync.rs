//! A run, page by page: pull, intake, commit; only then the next page.
//!
//! Kill the host anywhere and the next worker goes on from the last committed cursor. Every transaction proves the lease first,
//! so a worker that lost it can do no harm.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use tokio::time::{Instant as Elapsed, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tributary_core::{
    Clock, RunId,
    citation::ConnectorRef,
    contract::{Failure, Fault, Next, Progress, PullRequest},
    job::Lease,
    run::{Run, RunError, RunKind, RunStatus, StageName, Traversal, WaitingFor},
    source::Health,
};
use tributary_sandbox::HostServices;
use tributary_store::{BegunRun, Db, FinishRun, Heartbeat, NewRun, PageCommit, Prune, QUARANTINED, TenantDb};

use super::{
    Intake, carry, page,
    retry::{self, Verdict},
    stage::{StageLimits, Stages},
    tape::Tape,
};
use crate::{
    jobs,
    metrics::{Metrics, counted},
    plugins::{Grants, Plugins, Ready},
    recording::Shelf,
    settings::Config,
    wake::Wake,
};

/// The wall-clock time of one page, however little processor time it uses.
const PAGE_DEADLINE: Duration = Duration::from_secs(120);
/// Bytes of text and blobs in a page.
const PAGE_BYTES: u64 = 8 << 20;
/// How often it is asked whether somebody wants the run to stop.
const CANCEL_POLL: Duration = Duration::from_millis(250);
/// How often the stage is recorded, when it changed.
const STAGE_POLL: Duration = Duration::from_secs(1);
/// Shorter waits are sat out by the worker.
const SHORT_WAIT: Duration = Duration::from_secs(2);

/// Drives runs.
pub struct Syncs {
    db: Db,
    clock: Arc<dyn Clock>,
    plugins: Arc<Plugins>,
    wake: Wake,
    metrics: Metrics,
    grants: Arc<Grants>,
    shelf: Shelf,
    lease: Duration,
    page_items: u32,
    stage_limits: StageLimits,
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
    pub fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        plugins: Arc<Plugins>,
        wake: Wake,
        metrics: Metrics,
        grants: Arc<Grants>,
        config: &Config,
    ) -> Self {
        let shelf = Shelf::new(&config.data_dir);
        let (lease, page_items, stage_limits) = (config.lease, config.page_items, StageLimits::default());
        Self { db, clock, plugins, wake, metrics, grants, shelf, lease, page_items, stage_limits }
    }

    /// The same with other limits, for tests that do not want to wait.
    #[cfg(test)]
    pub(super) fn with_stage_limits(self, stage_limits: StageLimits) -> Self {
        Self { stage_limits, ..self }
    }

    /// Works on a leased run until it is over, handed back or lost.
    pub async fn work(&self, lease: Lease, run_id: RunId, shutdown: &CancellationToken) {
        let tenant = self.db.system().tenant(lease.workspace_id);
        let stages = Stages::new(self.clock.clone(), self.stage_limits);
        let tape = Tape::new(&self.shelf, &tenant, &lease);
        let work = self.run(&tenant, &lease, run_id, &stages, &tape);
        let stopped = tokio::select! {
            // Polled side by side: the others may have to wait for a transaction that the work holds open.
            result = work => result,
            stop = self.heartbeat(&lease) => Err(stop),
            stop = cancelled(&tenant, run_id) => Err(stop),
            failure = stages.stalled() => Err(Stop::Failed(failure)),
            never = record_stages(&tenant, &lease, run_id, &stages) => never,
            () = shutdown.cancelled() => Err(Stop::Shutdown),
        };
        let stopped = match stopped {
            Ok(()) => return,
            Err(stop) => stop,
        };
        tape.end().await;
        if let Err(error) = self.settle(&tenant, &lease, run_id, stopped).await {
            // The lease runs out and another worker takes the run up where it stands.
            tracing::warn!(run = %run_id, %error, "the end of a run could not be recorded; it will be taken up again");
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

    async fn run(
        &self,
        tenant: &TenantDb,
        lease: &Lease,
        run_id: RunId,
        stages: &Stages,
        tape: &Tape<'_>,
    ) -> Result<(), Stop> {
        let begun = tenant.begin_run(lease, run_id, self.clock.now()).await?;
        if begun.cancel_requested {
            return Err(Stop::Cancelled);
        }
        let BegunRun { run, source, .. } = begun;
        let ready = self.connector(&run.connector).await.map_err(Stop::Failed)?;
        if run.page_no > 0 && source.config_revision != run.config_revision {
            let message = "the source's configuration changed during the run, so that its cursor means nothing any more; it starts again from the beginning";
            return Err(Stop::Failed(Failure::new(Fault::CursorExpired, "config_changed", message)));
        }
        let basis = self.plugins.basis(&run.connector.digest, run.config_revision).await.map_err(Stop::Internal)?;
        let intake = Intake::new(
            counted(self.plugins.extractor().await.map_err(Stop::Internal)?, &self.metrics),
            tenant.clone(),
        );
        let files = self.grants.files(&ready, &source.config);
        let http = self.grants.http(&ready, tenant, &source.config);
        let meter = stages.meter();
        let ledger: Arc<dyn tributary_core::ledger::Ledger> = Arc::new(tenant.ledger(&run, basis.clone()));
        let config = source.config.to_string();
        let upper_bound_ms = run.started_at.unwrap_or(run.queued_at).timestamp_millis();

        let (mut cursor, mut page_no) = (run.cursor.clone(), run.page_no);
        let (mut done, mut read) = (run.counts.seen, (0, 0));
        // Killed between the last page and the end: there is nothing left to read.
        if let Some(traversal) = run.traversal {
            return self.finish(tenant, lease, &run, traversal).await;
        }
        let other = if page_no == 0 { tenant.state_of_another_version(&run).await? } else { None };
        let mut carried = match other {
            Some((version, state)) => {
                carry::over(&*ready.connector, &run, &version, state).await.map_err(Stop::Failed)?
            }
            None => BTreeMap::new(),
        };
        let secrets = self.grants.secrets(&ready, tenant, &source.config);
        let connector = tape.before(ready.connector.clone(), &run, secrets).await;
        let traversal = loop {
            let services = HostServices::new(files.clone(), ledger.clone(), meter.clone(), source.name.clone())
                .with_http(http.clone())
                .with_state_writes(mem::take(&mut carried));
            let request = PullRequest {
                config: config.clone(),
                cursor: cursor.clone(),
                full: run.kind == RunKind::Full,
                upper_bound_ms,
                max_items: self.page_items,
                max_bytes: PAGE_BYTES,
                deadline_ms: PAGE_DEADLINE.as_millis() as u64,
            };
            stages.enter(StageName::Pull);
            let pulled = connector.pull(&request, &services).await;
            self.metrics.call(&run.connector.id, &pulled);
            let page = pulled.map_err(Stop::Failed)?;
            let next = page::check(&page, &cursor, page_no, self.page_items).map_err(Stop::Failed)?;
            done += page.changes.len() as i64;
            let progress = page.progress.clone().unwrap_or(Progress {
                done: done.cast_unsigned(),
                total: None,
                phase: "reading".to_owned(),
            });
            let sorted = page::sort(page.changes, &services).map_err(Stop::Failed)?;
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
                traversal: match next {
                    Next::More | Next::WaitMs(_) => None,
                    Next::Complete => Some(Traversal::Complete),
                    Next::CompleteExhaustive => Some(Traversal::Exhaustive),
                },
                progress: Some(progress),
                bytes: meter.bytes().cast_signed() - read.0,
                requests: meter.requests().cast_signed() + 1 - read.1,
                basis: basis.clone(),
                now: self.clock.now(),
            };
            read = (meter.bytes().cast_signed(), meter.requests().cast_signed());
            stages.enter(StageName::Extract);
            for taken in intake
                .take_counting(sorted.items, stages.extracted())
                .await
                .map_err(|error| Stop::Internal(error.into()))?
            {
                match taken {
                    Ok(draft) => commit.drafts.push(draft),
                    Err(failed) => commit.failed.push(failed),
                }
            }
            stages.enter(StageName::Index);
            let named = !(commit.drafts.is_empty() && commit.containers.is_empty() && commit.failed.is_empty());
            let outcome = match run.kind {
                RunKind::DryRun => tenant.preview_page(lease, commit).await?,
                _ => tenant.commit_page(Some(lease), commit).await?,
            };
            if outcome.position.is_some() {
                self.wake.documents();
            }
            (cursor, page_no) = (page.cursor, page_no + 1);
            stages.leave();
            if matches!(next, Next::More | Next::WaitMs(_)) {
                page::check_circle(named, outcome.stale_pages).map_err(Stop::Failed)?;
            }
            match next {
                Next::More => {}
                Next::WaitMs(ms) if Duration::from_millis(ms) <= SHORT_WAIT => {
                    tokio::time::sleep(Duration::from_millis(ms)).await
                }
                Next::WaitMs(ms) => {
                    let pause = Duration::from_millis(ms.min(3_600_000));
                    tape.end().await;
                    self.set_waiting(tenant, lease, run_id, WaitingFor::Quota, pause).await?;
                    self.db.system().release(lease, pause.as_millis() as i64).await?;
                    return Ok(());
                }
                Next::Complete => break Traversal::Complete,
                Next::CompleteExhaustive => break Traversal::Exhaustive,
            }
        };
        tape.end().await;
        self.finish(tenant, lease, &run, traversal).await
    }

    /// The connector of a run, or why it cannot run.
    async fn connector(&self, reference: &ConnectorRef) -> Result<Arc<Ready>, Failure> {
        let ConnectorRef { id, version, digest } = reference;
        let found = self.plugins.at_digest(digest).await.map_err(|error| {
            tracing::error!(
                connector = id,
                version,
                digest,
                error = format!("{error:#}"),
                "a connector could not be loaded"
            );
            let message = format!(
                "the connector {id} {version} could not be loaded; the server's log says why. It is tried again"
            );
            Failure::new(Fault::Transient, "connector_unavailable", message)
        })?;
        match found {
            Some(ready) => match &ready.quarantine {
                Some(advice) => Err(Failure::new(Fault::Config, QUARANTINED, advice)),
                None => Ok(ready),
            },
            None => {
                let message = format!(
                    "the connector {id} {version} is not installed any more; have an administrator of the server install it again, or edit the source to move it to the current version"
                );
                // Or a newer host moved the source on and is about to take the run over.
                let recorded = self.db.system().find_connector(digest).await;
                let removed = recorded.is_ok_and(|known| known.is_some_and(|known| known.removed_at.is_some()));
                let fault = if removed { Fault::Config } else { Fault::Transient };
                Err(Failure::new(fault, "connector_missing", message))
            }
        }
    }

    /// The last transaction: tombstones what an exhaustive traversal did not see, unless the guard holds it.
    async fn finish(&self, tenant: &TenantDb, lease: &Lease, run: &Run, traversal: Traversal) -> Result<(), Stop> {
        let failed = tenant.get_run(run.id).await?.counts.failed;
        let (status, health) =
            if failed > 0 { (RunStatus::Partial, Health::Degraded) } else { (RunStatus::Succeeded, Health::Healthy) };
        let error = (failed > 0).then(|| RunError {
            code: "items_failed".to_owned(),
            detail: format!(
                "{failed} {} could not be read; failed_items lists them with the reason, and retry-failed reads them again",
                if failed == 1 { "item" } else { "items" }
            ),
            config_pointer: None,
        });
        let finish = FinishRun {
            run_id: run.id,
            status,
            error,
            prune: (traversal == Traversal::Exhaustive).then(Prune::default),
            allow_deletions: run.accept_deletions,
            health: Some(health),
            killed: None,
            now: self.clock.now(),
        };
        let finished = tenant.finish_run(Some(lease), finish).await?;
        self.wake.documents();
        self.metrics.run_ended(&finished.run);
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
        let (system, now) = (self.db.system(), self.clock.now());
        let failed = |error, health| FinishRun::with(run_id, RunStatus::Failed, Some(error), Some(health), now);
        match stop {
            Stop::Lost => tracing::info!(run = %run_id, "another worker has this run now"),
            Stop::Shutdown => {
                system.release(lease, 0).await?;
            }
            Stop::Cancelled => {
                self.end(tenant, lease, FinishRun::with(run_id, RunStatus::Cancelled, None, None, now)).await?
            }
            Stop::Failed(failure) => {
                tracing::warn!(run = %run_id, fault = failure.fault.as_str(), code = failure.code, "the connector failed: {}", failure.message);
                match retry::verdict(&failure, lease) {
                    Verdict::Wait(pause) => {
                        self.set_waiting(tenant, lease, run_id, WaitingFor::Quota, pause).await?;
                        system.release(lease, pause.as_millis() as i64).await?;
                    }
                    Verdict::Retry(pause) => {
                        self.set_waiting(tenant, lease, run_id, WaitingFor::Retry, pause).await?;
                        system.retry(lease, pause.as_millis() as i64, &failure.message).await?;
                    }
                    Verdict::StartOver => {
                        let run = tenant.get_run(run_id).await?;
                        self.end(tenant, lease, failed(retry::error(&failure), Health::Degraded)).await?;
                        if run.kind == RunKind::DryRun {
                            return Ok(());
                        }
                        let full = NewRun {
                            source_id: run.source_id,
                            kind: RunKind::Full,
                            trigger: run.trigger,
                            accept_deletions: run.accept_deletions,
                            connector: None,
                            record: run.recording.is_some(),
                            now: self.clock.now(),
                        };
                        match tenant.create_run(full).await {
                            Ok(_) | Err(tributary_store::Error::AlreadyRunning { .. }) => self.wake.jobs(),
                            Err(error) => return Err(error),
                        }
                    }
                    Verdict::GiveUp(health) => {
                        let killed = retry::is_kill(&failure).then_some(failure.fault);
                        let end = FinishRun { killed, ..failed(retry::error(&failure), health) };
                        self.end(tenant, lease, end).await?
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
                self.end(tenant, lease, failed(error, Health::NeedsAttention)).await?;
            }
            Stop::Store(error) => {
                tracing::warn!(run = %run_id, %error, "the database failed during a run; trying again");
                let pause_ms = jobs::pause(lease.attempt, None).as_millis() as i64;
                system.retry(lease, pause_ms, &error.to_string()).await?;
            }
            Stop::Internal(error) => {
                tracing::error!(run = %run_id, error = format!("{error:#}"), "a run failed on our side");
                let error = RunError {
                    code: "internal".to_owned(),
                    detail: "the server failed; its log has the details under this run's id".to_owned(),
                    config_pointer: None,
                };
                self.end(tenant, lease, failed(error, Health::Failing)).await?;
            }
        }
        Ok(())
    }

    async fn end(&self, tenant: &TenantDb, lease: &Lease, finish: FinishRun) -> Result<(), tributary_store::Error> {
        let now = finish.now;
        match tenant.finish_run(Some(lease), finish).await {
            Ok(finished) => {
                self.metrics.run_ended(&finished.run);
                if let Some(suspect) = finished.suspect {
                    let ConnectorRef { id: connector, version, digest } = &finished.run.connector;
                    if self.db.system().quarantine(&suspect, now).await? {
                        tracing::error!(connector, version, digest, "a connector is in quarantine: {}", suspect.reason);
                    } else {
                        tracing::warn!(
                            connector,
                            version,
                            digest,
                            workspace = %lease.workspace_id,
                            source = %finished.run.source_id,
                            "a connector is ended again and again in this workspace alone, and not quarantined: others use it"
                        );
                    }
                }
                Ok(())
            }
            Err(tributary_store::Error::LeaseLost) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn set_waiting(
        &self,
        tenant: &TenantDb,
        lease: &Lease,
        run_id: RunId,
        reason: WaitingFor,
        pause: Duration,
    ) -> Result<(), tributary_store::Error> {
        tenant.set_waiting(lease, run_id, reason, self.clock.now() + pause).await
    }
}

/// Ends when somebody wants the run to stop. The heartbeat says so as well, but not within a second.
async fn cancelled(tenant: &TenantDb, run_id: RunId) -> Stop {
    loop {
        tokio::time::sleep(CANCEL_POLL).await;
        // A database that cannot be reached is the heartbeat's affair.
        if let Ok(true) = tenant.is_cancelled(run_id).await {
            return Stop::Cancelled;
        }
    }
}

/// Records the stage while it moves, for whoever watches the run from another host.
async fn record_stages(tenant: &TenantDb, lease: &Lease, run_id: RunId, stages: &Stages) -> ! {
    let mut recorded = None;
    loop {
        tokio::time::sleep(STAGE_POLL).await;
        let Some(stage) = stages.current().filter(|stage| recorded != Some(*stage)) else { continue };
        match tenant.set_stage(lease, run_id, &stage).await {
            Ok(()) => recorded = Some(stage),
            Err(error) => tracing::debug!(run = %run_id, %error, "the stage could not be recorded"),
        }
    }
}
