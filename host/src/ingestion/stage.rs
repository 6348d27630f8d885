//! What a worker is doing with a page, since when, and whether it still moves.
//!
//! Each stage has a limit for standing still, above every limit inside of it: connector and extractor have deadlines of their own, and
//! may have to wait for their turn before these begin. So this net catches what slipped through the others, and never healthy work. A
//! run that is queued or waits is in no stage.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant as Elapsed;
use tributary_core::{
    Clock,
    contract::{Failure, Fault},
    run::{Stage, StageName},
};
use tributary_sandbox::Meter;

/// The code of a run whose stage stood still.
pub(super) const STALLED: &str = "stalled";
/// How often it is looked whether a stage moves.
const LOOK: Duration = Duration::from_millis(500);

/// How long a stage may stand still.
#[derive(Clone, Copy, Debug)]
pub(super) struct StageLimits {
    /// No byte read and no page returned.
    pub pull: Duration,
    /// No file finished.
    pub extract: Duration,
    /// No page committed.
    pub index: Duration,
}

impl Default for StageLimits {
    fn default() -> Self {
        Self { pull: Duration::from_secs(240), extract: Duration::from_secs(240), index: Duration::from_secs(180) }
    }
}

impl StageLimits {
    fn of(self, stage: StageName) -> Duration {
        match stage {
            StageName::Pull => self.pull,
            StageName::Extract => self.extract,
            StageName::Index => self.index,
        }
    }
}

/// The stages of one run on one worker.
pub(super) struct Stages {
    clock: Arc<dyn Clock>,
    limits: StageLimits,
    meter: Arc<Meter>,
    extracted: Arc<AtomicU64>,
    current: Mutex<Option<Current>>,
}

#[derive(Clone, Copy)]
struct Current {
    stage: Stage,
    moved: Elapsed,
    mark: (u64, u64, u64),
}

impl Stages {
    /// In no stage yet.
    pub(super) fn new(clock: Arc<dyn Clock>, limits: StageLimits) -> Self {
        let (meter, extracted) = Default::default();
        Self { clock, limits, meter, extracted, current: Mutex::new(None) }
    }

    /// Counts what is read from the source.
    pub(super) fn meter(&self) -> Arc<Meter> {
        self.meter.clone()
    }

    /// Counts files that were extracted.
    pub(super) fn extracted(&self) -> Arc<AtomicU64> {
        self.extracted.clone()
    }

    /// The next stage begins.
    pub(super) fn enter(&self, name: StageName) {
        let now = self.clock.now();
        let stage = Stage { name, since: now, moved_at: now };
        *self.lock() = Some(Current { stage, moved: Elapsed::now(), mark: self.mark() });
    }

    /// Work pauses: time passes that counts for no stage.
    pub(super) fn leave(&self) {
        *self.lock() = None;
    }

    /// Where the work stands now.
    pub(super) fn current(&self) -> Option<Stage> {
        self.look().map(|current| current.stage)
    }

    /// Ends when a stage has stood still for its limit.
    pub(super) async fn stalled(&self) -> Failure {
        loop {
            tokio::time::sleep(LOOK.min(self.limits.pull / 4)).await;
            let Some(current) = self.look() else { continue };
            let limit = self.limits.of(current.stage.name);
            if current.moved.elapsed() >= limit {
                return failure(current.stage.name, limit);
            }
        }
    }

    fn look(&self) -> Option<Current> {
        let mark = self.mark();
        let mut current = self.lock();
        let current = current.as_mut()?;
        if current.mark != mark {
            (current.mark, current.moved, current.stage.moved_at) = (mark, Elapsed::now(), self.clock.now());
        }
        Some(*current)
    }

    fn mark(&self) -> (u64, u64, u64) {
        (self.meter.bytes(), self.meter.requests(), self.extracted.load(Relaxed))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure(stage: StageName, limit: Duration) -> Failure {
    let what = match stage {
        StageName::Pull => "the connector read nothing and returned no page",
        StageName::Extract => "no file was turned into text",
        StageName::Index => "the database took no page",
    };
    let message = format!("the run stood still: {what} for {} s; it goes on from its last page", limit.as_secs_f64());
    Failure::new(Fault::Deadline, STALLED, message)
}
