//! Workers: lease durable jobs from the database and do them.
//!
//! Each kind has a pool of its own, so that a flood of one kind keeps no other waiting. A pool claims as many jobs as it has hands free,
//! and sleeps until it is woken, a job that waits is due, or the poll comes round.

mod admin;
mod backoff;
mod history;
mod retention;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tributary_core::job::{Lease, Work};
use tributary_store::Claimed;
use uuid::Uuid;

pub use admin::{Error, Jobs, Retried};
pub use backoff::pause;

use crate::{app::App, sources};

/// How long a pool rests when the database does not answer.
const UNREACHABLE: Duration = Duration::from_secs(1);

/// Starts this host's workers, and what keeps the history short. They stop with `shutdown`, after handing back what they hold.
pub fn start(app: &Arc<App>, tasks: &TaskTracker, shutdown: &CancellationToken) {
    for (kind, workers) in &app.config.workers {
        tasks.spawn(pool(app.clone(), kind, *workers, tasks.clone(), shutdown.clone()));
    }
    tasks.spawn(history::run(app.clone(), shutdown.clone()));
}

async fn pool(app: Arc<App>, kind: &'static str, workers: usize, tasks: TaskTracker, shutdown: CancellationToken) {
    let worker = format!("{}:{}", std::process::id(), Uuid::now_v7());
    let lease_ms = app.config.lease.as_millis() as i64;
    let mut claimer = app.db.system().claimer(kind, &worker, lease_ms, app.config.workspace_jobs);
    let mut wakes = app.wake.of_jobs();
    let hands = Arc::new(Semaphore::new(workers));
    let mut reachable = true;
    while let Some(Ok(hand)) = shutdown.run_until_cancelled(hands.clone().acquire_owned()).await {
        // Nobody else takes them: what is free now stays free.
        let mut free: Vec<_> = std::iter::from_fn(|| hands.clone().try_acquire_owned().ok()).collect();
        free.push(hand);
        // A wake-up from here on is about something that this claim may have missed.
        wakes.heard();
        match claimer.claim(free.len() as i64).await {
            Ok(Claimed { leases, wait_ms }) if leases.is_empty() => {
                drop(free);
                let poll = app.config.job_poll;
                let rest = wait_ms.map_or(poll, |ms| Duration::from_millis(ms.max(0).cast_unsigned()).min(poll));
                shutdown.run_until_cancelled(wakes.wait(rest)).await;
            }
            Ok(Claimed { leases, .. }) => {
                for lease in &leases {
                    let late_ms = u64::try_from(lease.late_ms).unwrap_or(0);
                    app.metrics.job_taken(kind, Duration::from_millis(late_ms));
                }
                for (lease, hand) in leases.into_iter().zip(free) {
                    let (app, shutdown) = (app.clone(), shutdown.clone());
                    tasks.spawn(async move {
                        let began = Instant::now();
                        work(&app, lease, lease_ms, &shutdown).await;
                        app.metrics.job_left(kind, began.elapsed());
                        drop(hand);
                        app.wake.job_ended();
                    });
                }
            }
            Err(error) => {
                if reachable {
                    tracing::warn!(%error, kind, "no job can be taken up; trying again every second");
                }
                reachable = false;
                drop(free);
                shutdown.run_until_cancelled(tokio::time::sleep(UNREACHABLE)).await;
                continue;
            }
        }
        if !reachable {
            tracing::info!(kind, "jobs can be taken up again");
        }
        reachable = true;
    }
}

async fn work(app: &App, lease: Lease, lease_ms: i64, shutdown: &CancellationToken) {
    match lease.work {
        Work::Sync { run_id } => app.syncs.work(lease, run_id, shutdown).await,
        Work::DeleteWorkspace => app.workspaces.remove(lease, lease_ms, shutdown).await,
        Work::PurgeSource { source_id } => {
            sources::purge(&app.db.system(), app.clock.as_ref(), lease, source_id, lease_ms, shutdown).await;
        }
    }
}
