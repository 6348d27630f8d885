//! Keeps the record short: what ended long ago is forgotten, by one host at a time and a slice at a time.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use tributary_core::Instant;
use tributary_store::{Result, SystemDb};
use uuid::Uuid;

use super::retention::Retention;
use crate::app::App;

/// The chore's name in the record.
const NAME: &str = "history";
/// How often it is due, among all hosts.
const EVERY: Duration = Duration::from_secs(600);
/// How often a host asks whether it is.
const ASK: Duration = Duration::from_secs(30);
/// Whoever took it on has it for so long.
const LEASE: Duration = Duration::from_secs(300);
/// Rows of a table in one transaction.
const SLICE: i64 = 1_000;
/// Slices in one go; what is left waits for the next, so that it never has the database to itself.
const SLICES: usize = 100;
/// Fired slots of sources that fire no more are of no use for longer than this.
const SLOTS: Duration = Duration::from_secs(7 * 86_400);
/// How long log-ins, invitations and resets that are over are kept.
const IDENTITY: TimeDelta = TimeDelta::days(30);

/// What is remembered for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remember {
    pub jobs: Duration,
    pub dead_jobs: Duration,
}

/// Does the chore whenever it is due and nobody else does it.
pub(super) async fn run(app: Arc<App>, shutdown: CancellationToken) {
    let holder = Uuid::now_v7().to_string();
    let remember = Remember { jobs: app.config.job_history, dead_jobs: app.config.dead_jobs };
    let mut ask = tokio::time::interval(ASK);
    while shutdown.run_until_cancelled(ask.tick()).await.is_some() {
        let done = shutdown.run_until_cancelled(turn(&app.db.system(), &holder, remember, app.clock.now())).await;
        match done {
            Some(Ok(Some(forgotten @ 1..))) => tracing::info!(rows = forgotten, "old history forgotten"),
            Some(Err(error)) => tracing::warn!(%error, "old history could not be forgotten; trying again later"),
            _ => {}
        }
    }
}

/// One go, when it is this host's: how many rows were forgotten.
async fn turn(system: &SystemDb, holder: &str, remember: Remember, now: Instant) -> Result<Option<u64>> {
    if !system.take_chore(NAME, holder, millis(LEASE)).await? {
        return Ok(None);
    }
    let forgotten = forget(system, remember, now).await?;
    system.finish_chore(NAME, holder, millis(EVERY)).await?;
    Ok(Some(forgotten))
}

async fn forget(system: &SystemDb, remember: Remember, now: Instant) -> Result<u64> {
    let retention = Retention::read(system, now).await?;
    let mut forgotten = 0;
    for _ in 0..SLICES {
        let slice = system.forget_jobs(millis(remember.jobs), millis(remember.dead_jobs), SLICE).await?
            + system.purge_identity(now - IDENTITY, SLICE).await?
            + system.forget_slots(millis(SLOTS), SLICE).await?
            + system.forget_seen(SLICE).await?
            + retention.slice(system).await?;
        forgotten += slice;
        if slice == 0 {
            break;
        }
        // Others want to write, too.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(forgotten)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
