//! The tick: asks the database what is due and fires each slot once, whatever the number of hosts.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::sync::Mutex;
use tokio_cron_scheduler::{Job, JobScheduler};
use tributary_core::{
    Instant,
    schedule::{DueSchedule, Pause, PauseReason},
};
use tributary_store::{Db, Fired, Firing, SystemDb};

use super::{InvalidSchedule, Plan};
use crate::app::App;

/// How often the database is asked.
const EVERY: Duration = Duration::from_secs(1);
/// Slots fired in one transaction, which holds their sources' locks.
const BATCH: usize = 500;
/// How often it is looked for schedules that a clock which went wrong has left in the future; at once when the clock moves so far.
const MEND_EVERY: TimeDelta = TimeDelta::minutes(10);
/// Clocks of two hosts differ by less.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// What a tick did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticked {
    /// Runs started.
    pub started: usize,
    /// Slots that found their source busy: skipped, or waiting for it.
    pub overlapped: usize,
    /// Slots missed too long ago.
    pub missed: usize,
}

/// Fires everything that is due at `now`.
///
/// Slots missed while the server was down fire once, not once for each, and only within the schedule's catch-up window. What another host
/// is just firing is left to it.
pub async fn tick(db: &Db, now: Instant) -> Result<Ticked, tributary_store::Error> {
    let system = db.system();
    let mut ticked = Ticked::default();
    loop {
        let due = system.due(now, BATCH as i64).await?;
        let full = due.len() == BATCH;
        let mut firings = Vec::with_capacity(due.len());
        for due in due {
            match turn(&due, now) {
                Ok(firing) => firings.extend(firing),
                Err(error) => give_up(&system, &due, &error, now).await?,
            }
        }
        if !ticked.fire(&system, firings, now).await? || !full {
            break;
        }
    }
    loop {
        let queued = system.queued_slots(BATCH as i64).await?;
        let full = queued.len() == BATCH;
        if !ticked.fire(&system, queued.into_iter().map(Firing::Queued).collect(), now).await? || !full {
            return Ok(ticked);
        }
    }
}

fn turn(due: &DueSchedule, now: Instant) -> Result<Option<Firing>, InvalidSchedule> {
    let plan = Plan::of(&due.scheduled, due.source_id)?;
    let Some(next) = due.scheduled.next else { return Ok(None) };
    let turn = plan.turn(next.slot, now);
    Ok(Some(Firing::Due { due: due.clone(), slot: turn.slot, missed: turn.missed, next: turn.next }))
}

impl Ticked {
    /// Fires a batch; false when nothing of it was ours.
    async fn fire(
        &mut self,
        system: &SystemDb,
        firings: Vec<Firing>,
        now: Instant,
    ) -> Result<bool, tributary_store::Error> {
        if firings.is_empty() {
            return Ok(false);
        }
        let fired = system.fire(&firings, now).await?;
        for (firing, fired) in firings.iter().zip(&fired) {
            let (Firing::Due { due, .. } | Firing::Queued(due)) = firing;
            let (source, kind) = (due.source_id, due.scheduled.kind);
            match fired {
                Fired::Started(run) => {
                    self.started += 1;
                    tracing::info!(%source, ?kind, %run, "schedule fired");
                }
                Fired::Skipped => {
                    self.overlapped += 1;
                    tracing::info!(%source, ?kind, "slot skipped: the last run is still going");
                }
                Fired::Queued { stop: None } => {
                    self.overlapped += 1;
                    tracing::info!(%source, ?kind, "slot waits: the last run is still going");
                }
                Fired::Queued { stop: Some(run) } => {
                    self.overlapped += 1;
                    tracing::info!(%source, ?kind, %run, "slot waits: the last run is still going and was asked to stop");
                    system.tenant(due.workspace_id).request_cancel(*run, now).await?;
                }
                Fired::Missed => {
                    self.missed += 1;
                    tracing::warn!(%source, ?kind, "slot dropped: it was missed longer ago than the catch-up window");
                }
                Fired::NotOurs => {}
            }
        }
        Ok(fired.iter().any(|fired| *fired != Fired::NotOurs))
    }
}

/// A schedule that cannot be computed any more, such as of a zone dropped from the database of zones, must not be asked for ever, nor
/// silently be forgotten.
async fn give_up(
    system: &SystemDb,
    due: &DueSchedule,
    error: &InvalidSchedule,
    now: Instant,
) -> Result<(), tributary_store::Error> {
    tracing::error!(source = %due.source_id, %error, "a source was paused: its schedule cannot be computed");
    let note = format!("Its schedule cannot be computed any more: {error}. Set a new one, then resume the source.");
    let pause = Pause { at: now, by: "schedule".to_owned(), reason: PauseReason::Schedule, note };
    match system.tenant(due.workspace_id).pause_source(due.source_id, pause).await {
        Ok(()) | Err(tributary_store::Error::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives schedules that were moved on by a clock far in the future their place in the present again; returns how many. Without this, a
/// source would wait until that future has come.
pub async fn mend(db: &Db, now: Instant) -> Result<usize, tributary_store::Error> {
    let system = db.system();
    let mut mended = 0;
    loop {
        let astray = system.schedules_of_the_future(now + SKEW, BATCH as i64).await?;
        if astray.is_empty() {
            return Ok(mended);
        }
        let moved = astray.into_iter().map(|due| {
            let next = Plan::of(&due.scheduled, due.source_id).ok().and_then(|plan| plan.next_after(now));
            let next = next.or(due.scheduled.next);
            (due, next)
        });
        let moved = moved.collect::<Vec<_>>();
        let count = system.reschedule(&moved, now).await?;
        if count == 0 {
            return Ok(mended);
        }
        mended += count;
    }
}

/// The running ticker.
pub struct Ticker(JobScheduler);

impl Ticker {
    /// Starts ticking.
    pub async fn start(app: Arc<App>) -> anyhow::Result<Self> {
        let scheduler = JobScheduler::new().await?;
        let mended_at = Arc::new(Mutex::new(None));
        let job = Job::new_repeated_async(EVERY, move |_, _| {
            let (app, mended_at) = (app.clone(), mended_at.clone());
            Box::pin(async move {
                // A tick that takes longer than a second stands in for those that come meanwhile.
                let Ok(mut mended_at) = mended_at.try_lock() else { return };
                if let Err(error) = work(&app, &mut mended_at).await {
                    tracing::warn!(%error, "the schedules could not be read or fired; trying again with the next tick");
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

async fn work(app: &App, mended_at: &mut Option<Instant>) -> Result<(), tributary_store::Error> {
    let now = app.clock.now();
    if mended_at.is_none_or(|at| (now - at).abs() >= MEND_EVERY) {
        let mended = mend(&app.db, now).await?;
        if mended > 0 {
            tracing::warn!(
                schedules = mended,
                "the clock was turned back; schedules that waited for the future are in the present again"
            );
        }
        *mended_at = Some(now);
    }
    let ticked = tick(&app.db, now).await;
    // Also after a failure: what was committed before it waits for workers.
    if !matches!(ticked, Ok(Ticked { started: 0, overlapped: 0, .. })) {
        app.wake.jobs();
    }
    ticked.map(|_| ())
}
