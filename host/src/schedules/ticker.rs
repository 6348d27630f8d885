//! The tick: asks the database what is due and fires each slot once, whatever the number of hosts.

use std::{sync::Arc, time::Duration};

use tokio_cron_scheduler::{Job, JobScheduler};
use tributary_core::Instant;
use tributary_store::{Db, Fired};

use super::next_after;
use crate::app::App;

/// How often the database is asked.
const EVERY: Duration = Duration::from_secs(1);
/// Sources fired in one go; the rest waits for the next turn of the loop.
const BATCH: i64 = 200;

/// Fires everything that is due at `now` and returns the number of runs started.
///
/// A slot missed while the server was down fires once, not once for each time it was missed: the next slot is computed from `now`.
pub async fn tick(db: &Db, now: Instant) -> Result<usize, tributary_store::Error> {
    let system = db.system();
    let mut started = 0;
    loop {
        let due = system.due(now, BATCH).await?;
        for source in &due {
            // A schedule that no longer parses (a zone dropped from the database of zones) stops, it must not be asked for ever.
            let next = next_after(&source.schedule, now).ok().flatten();
            match system.fire(source, next, now).await? {
                Fired::Started(run_id) => {
                    started += 1;
                    tracing::info!(source = %source.source_id, run = %run_id, slot = %source.slot, "schedule fired");
                }
                Fired::Overlapped => {
                    tracing::info!(source = %source.source_id, slot = %source.slot, "slot skipped: the last run is still going")
                }
                Fired::AlreadyFired => {}
            }
        }
        if due.len() < BATCH as usize {
            return Ok(started);
        }
    }
}

/// The running ticker.
pub struct Ticker(JobScheduler);

impl Ticker {
    /// Starts ticking.
    pub async fn start(app: Arc<App>) -> anyhow::Result<Self> {
        let scheduler = JobScheduler::new().await?;
        let job = Job::new_repeated_async(EVERY, move |_, _| {
            let app = app.clone();
            Box::pin(async move {
                match tick(&app.db, app.clock.now()).await {
                    Ok(0) => {}
                    Ok(_) => app.wake.jobs(),
                    Err(error) => {
                        tracing::warn!(%error, "the schedule could not be read; trying again with the next tick")
                    }
                }
            })
        })?;
        scheduler.add(job).await?;
        scheduler.start().await?;
        Ok(Self(scheduler))
    }

    /// Stops ticking.
    pub async fn stop(mut self) {
        if let Err(error) = self.0.shutdown().await {
            tracing::warn!(%error, "the ticker did not stop cleanly");
        }
    }
}
