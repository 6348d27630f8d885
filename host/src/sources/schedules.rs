//! A source's schedules: setting them, looking ahead, pausing and resuming.

use tributary_core::{
    Instant, SourceId,
    principal::Principal,
    schedule::{PastSlot, Pause, PauseReason, ScheduleKind, Scheduled, Start},
    source::PUSH_CONNECTOR,
};
use tributary_search::text;
use tributary_store::{NewSchedule, SourceWithRun, TenantDb};

use super::{Error, Sources};
use crate::schedules::{self, Draft, InvalidSchedule, Plan};

/// Starts shown ahead.
const AHEAD: usize = 10;
/// Slots shown of the past.
const PAST: i64 = 20;
/// A source is paused after so many failed runs in a row, at most.
const MOST_FAILURES: i64 = 100;

/// A schedule and what it will do.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// As it stands.
    pub scheduled: Scheduled,
    /// The next starts, each with its slot as the schedule's own clock shows it; none while the source is paused.
    pub upcoming: Vec<(Start, LocalTime)>,
}

/// A moment with the offset of a time zone.
pub type LocalTime = chrono::DateTime<chrono::FixedOffset>;

/// The name of a schedule in a request's body.
fn field(kind: ScheduleKind) -> &'static str {
    match kind {
        ScheduleKind::Sync => "schedule",
        ScheduleKind::Full => "full_schedule",
    }
}

impl Sources {
    /// Checks a schedule that is to be set.
    pub(super) fn accept_schedule(
        &self,
        source: SourceId,
        kind: ScheduleKind,
        draft: Draft,
    ) -> Result<NewSchedule, Error> {
        let now = self.clock.now();
        let accept = || -> Result<_, InvalidSchedule> {
            let schedule = draft.read(kind)?;
            let first = Plan::accept(&schedule, source, now)?.next_after(now);
            Ok(NewSchedule { kind, schedule, anchor_at: now, first })
        };
        accept().map_err(|fault| Error::InvalidSchedule { pointer: format!("/{}/{}", field(kind), fault.field), fault })
    }

    /// The next slots of a schedule that nobody has saved, each also as the schedule's own clock shows it.
    pub fn preview(&self, draft: Draft) -> Result<Vec<(Instant, LocalTime)>, Error> {
        let slots = || schedules::preview(draft, self.clock.now(), AHEAD);
        slots().map_err(|fault| Error::InvalidSchedule { pointer: format!("/{}", fault.field), fault })
    }

    /// What the schedules of a source will do, and what became of their last slots.
    pub async fn outlook(&self, tenant: &TenantDb, id: SourceId) -> Result<(Vec<Outlook>, Vec<PastSlot>), Error> {
        let SourceWithRun { schedules, .. } =
            tenant.find_source_with_run(id).await?.ok_or(tributary_store::Error::NotFound("source"))?;
        let outlook = schedules.into_iter().map(|scheduled| {
            // What cannot be computed is paused by the tick, with a note.
            let upcoming = match (Plan::of(&scheduled, id), scheduled.next) {
                (Ok(plan), Some(next)) => {
                    let following = plan.upcoming(next.slot);
                    std::iter::once(next)
                        .chain(following)
                        .take(AHEAD)
                        .map(|start| (start, plan.local(start.slot)))
                        .collect()
                }
                _ => Vec::new(),
            };
            Outlook { scheduled, upcoming }
        });
        Ok((outlook.collect(), tenant.past_slots(id, PAST).await?))
    }

    /// Pauses a source: its schedules wait until it is resumed. Syncs by hand go on.
    pub async fn pause(
        &self,
        tenant: &TenantDb,
        id: SourceId,
        by: &Principal,
        note: &str,
    ) -> Result<SourceWithRun, Error> {
        self.refuse_push(tenant, id).await?;
        let note = text::line(note);
        if note.is_empty() || note.chars().count() > 500 {
            let message = "say in 1 to 500 characters why, for whoever finds it paused".to_owned();
            return Err(Error::Invalid { pointer: "/note", message });
        }
        let pause = Pause { at: self.clock.now(), by: by.label(), reason: PauseReason::ByHand, note };
        tenant.pause_source(id, pause).await?;
        self.get(tenant, id).await
    }

    /// Lets the schedules of a source go on, from now: what was missed meanwhile is not made up for.
    pub async fn resume(&self, tenant: &TenantDb, id: SourceId) -> Result<SourceWithRun, Error> {
        self.refuse_push(tenant, id).await?;
        let (now, source) = (self.clock.now(), self.get(tenant, id).await?);
        let mut next = Vec::with_capacity(source.schedules.len());
        for scheduled in &source.schedules {
            let kind = scheduled.kind;
            let plan = Plan::of(scheduled, id).map_err(|fault| Error::InvalidSchedule {
                pointer: format!("/{}/{}", field(kind), fault.field),
                fault,
            })?;
            next.push((kind, plan.next_after(now)));
        }
        tenant.resume_source(id, &next, now).await?;
        self.get(tenant, id).await
    }

    async fn refuse_push(&self, tenant: &TenantDb, id: SourceId) -> Result<(), Error> {
        if tenant.get_source(id).await?.connector.id == PUSH_CONNECTOR { Err(Error::NothingToSync) } else { Ok(()) }
    }
}

/// The number of failed runs in a row that pause a source.
pub(super) fn accept_failures(failures: Option<i64>) -> Result<Option<i64>, Error> {
    match failures {
        Some(n) if n != 0 && !(2..=MOST_FAILURES).contains(&n) => Err(Error::Invalid {
            pointer: "/pause_after_failures",
            message: format!("a source is paused after 2 to {MOST_FAILURES} failed runs in a row, or never: 0"),
        }),
        other => Ok(other),
    }
}
