//! The tick with an injected clock, on both databases.
#![allow(clippy::unwrap_used)]

use chrono::TimeDelta;
use futures::StreamExt;
use serde_json::json;
use tributary::schedules::{Draft, Plan, Ticked, mend, tick};
use tributary_core::{
    Instant, RunId, SourceId,
    citation::ConnectorRef,
    job::Lease,
    run::{RunError, RunKind, RunStatus},
    schedule::{Overlap, PastSlot, PauseReason, ScheduleKind, SlotOutcome},
};
use tributary_store::{
    FinishRun, NewSchedule, NewSource, NewWorkspace, TenantDb,
    testing::{self, TestDb},
};

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

fn connector(id: &str) -> ConnectorRef {
    ConnectorRef { id: id.to_owned(), version: "0.1.0".to_owned(), digest: "0".repeat(64) }
}

/// At this time of the day in Berlin, to the second.
fn daily(time: &str) -> Draft {
    let (cron, timezone) = (Some(format!("{time} * * *")), Some("Europe/Berlin".to_owned()));
    Draft { cron, timezone, jitter: Some("0s".to_owned()), ..Draft::default() }
}

fn every(interval: &str) -> Draft {
    Draft { every: Some(interval.to_owned()), jitter: Some("0s".to_owned()), ..Draft::default() }
}

/// A source with schedules, and the server's hosts, which all have the same clock.
struct Shop<'a> {
    test: &'a TestDb,
    tenant: TenantDb,
    source: SourceId,
}

impl<'a> Shop<'a> {
    async fn open(test: &'a TestDb, made: &str, schedules: &[(ScheduleKind, Draft)]) -> Self {
        let (system, now) = (test.db.system(), at(made));
        let new =
            NewWorkspace { name: "Shop".into(), slug: "shop".into(), push_connector: connector("builtin:push"), now };
        let tenant = system.tenant(system.create_workspace(new).await.unwrap().id);
        let id = SourceId::new();
        let schedules = schedules.iter().cloned().map(|(kind, draft)| {
            let schedule = draft.read(kind).unwrap();
            let first = Plan::accept(&schedule, id, now).unwrap().next_after(now);
            NewSchedule { kind, schedule, anchor_at: now, first }
        });
        let new = NewSource {
            id,
            name: "Files".into(),
            connector: connector("file"),
            config: json!({}),
            schedules: schedules.collect(),
            pause_after_failures: Some(3),
            now,
        };
        let source = tenant.create_source(new).await.unwrap().id;
        Self { test, tenant, source }
    }

    async fn sync(test: &'a TestDb, made: &str, draft: Draft) -> Self {
        Self::open(test, made, &[(ScheduleKind::Sync, draft)]).await
    }

    /// Ticks and returns the number of runs started.
    async fn tick(&self, now: &str) -> usize {
        tick(&self.test.db, at(now)).await.unwrap().started
    }

    async fn next(&self) -> Instant {
        self.tenant.find_source_with_run(self.source).await.unwrap().unwrap().schedules[0].next.unwrap().slot
    }

    async fn runs(&self) -> usize {
        self.tenant.list_runs(self.source, None, 1_000).await.unwrap().items.len()
    }

    async fn past(&self) -> Vec<PastSlot> {
        self.tenant.past_slots(self.source, 1_000).await.unwrap()
    }

    /// A worker takes the waiting run up.
    async fn begin(&self, now: &str) -> (Lease, RunId) {
        let lease = self.test.db.system().claim(&["sync"], "worker", 3_600_000, 1).await.unwrap().remove(0);
        let tributary_core::job::Work::Sync { run_id } = lease.work else { panic!("{lease:?}") };
        self.tenant.begin_run(&lease, run_id, at(now)).await.unwrap();
        (lease, run_id)
    }

    async fn end(&self, (lease, run): (Lease, RunId), status: RunStatus, now: &str) {
        let error =
            RunError { code: "root_missing".into(), detail: "The folder is not there.".into(), config_pointer: None };
        let error = (status == RunStatus::Failed).then_some(error);
        self.tenant.finish_run(Some(&lease), FinishRun::with(run, status, error, None, at(now))).await.unwrap();
    }

    async fn finish(&self, now: &str) {
        let begun = self.begin(now).await;
        self.end(begun, RunStatus::Succeeded, now).await;
    }
}

#[tokio::test]
async fn a_source_is_due_at_its_time_and_not_before() {
    for test in testing::databases().await {
        let shop = Shop::sync(&test, "2026-11-20T12:00:00Z", daily("0 3")).await;
        assert_eq!(shop.tick("2026-11-21T01:59:59Z").await, 0, "{}", test.name);
        assert_eq!(shop.tick("2026-11-21T02:00:00Z").await, 1, "{}", test.name);
        assert_eq!(shop.tick("2026-11-21T02:00:01Z").await, 0, "once");
        assert_eq!(shop.next().await, at("2026-11-22T02:00:00Z"));
    }
}

#[tokio::test]
async fn through_every_change_of_clocks_a_nightly_slot_is_one_run_a_night() {
    // The nights before and after: half past one and half past two are in a gap in spring, or come twice in autumn.
    let changes = [
        ("Europe/Berlin", "2026-03-27T12:00:00Z"),
        ("Europe/Berlin", "2026-10-23T12:00:00Z"),
        ("America/New_York", "2026-03-06T12:00:00Z"),
        ("America/New_York", "2026-10-30T12:00:00Z"),
    ];
    for (zone, from) in changes {
        for test in testing::databases().await {
            let shop = Shop::sync(&test, from, Draft { timezone: Some(zone.into()), ..daily("30 1,2") }).await;
            let mut fired = 0;
            for half_hour in 1..=4 * 48 {
                let now = (at(from) + TimeDelta::minutes(30 * half_hour)).to_rfc3339();
                if shop.tick(&now).await > 0 {
                    fired += 1;
                    shop.finish(&now).await;
                }
            }
            assert_eq!((fired, shop.runs().await), (4 * 2, 4 * 2), "{zone}, {from}, {}", test.name);
        }
    }
}

#[tokio::test]
async fn three_days_asleep_and_five_hundred_missed_slots_make_one_run() {
    for test in testing::databases().await {
        let shop = Shop::sync(&test, "2026-11-20T12:00:00Z", daily("0 3")).await;
        assert_eq!(shop.tick("2026-11-24T09:00:00Z").await, 1, "{}", test.name);
        assert_eq!((shop.next().await, shop.runs().await), (at("2026-11-25T02:00:00Z"), 1));
        assert_eq!(shop.past().await[0].slot, at("2026-11-24T02:00:00Z"), "{}: the last that was missed", test.name);
    }
    for test in testing::databases().await {
        let shop = Shop::sync(&test, "2026-11-20T12:00:00Z", every("10m")).await;
        assert_eq!(shop.tick("2026-11-23T23:25:00Z").await, 1, "{}", test.name);
        for second in 0..60 {
            assert_eq!(
                shop.tick(&format!("2026-11-23T23:26:{second:02}Z")).await,
                0,
                "{}: no storm follows",
                test.name
            );
        }
        assert_eq!((shop.next().await, shop.runs().await), (at("2026-11-23T23:30:00Z"), 1), "{}", test.name);
    }
}

#[tokio::test]
async fn what_was_missed_longer_ago_than_the_window_waits_for_the_next() {
    for test in testing::databases().await {
        let schedule = Draft { catch_up: Some("2h".to_owned()), ..daily("0 3") };
        let shop = Shop::sync(&test, "2026-11-20T12:00:00Z", schedule).await;
        let ticked = tick(&test.db, at("2026-11-21T04:30:00Z")).await.unwrap();
        assert_eq!((ticked.started, ticked.missed), (0, 1), "{}", test.name);
        assert_eq!((shop.next().await, shop.runs().await), (at("2026-11-22T02:00:00Z"), 0));
        assert_eq!(shop.past().await[0].outcome, SlotOutcome::Missed, "{}: and it is told", test.name);
        assert_eq!(shop.tick("2026-11-22T03:59:00Z").await, 1, "{}: within the window", test.name);
    }
}

#[tokio::test]
async fn many_hosts_fire_a_slot_once() {
    for test in testing::databases().await {
        let shop = Shop::sync(&test, "2026-11-20T12:00:00Z", daily("0 3")).await;
        let ticks = (0..8).map(|_| {
            let db = test.db.clone();
            tokio::spawn(async move { tick(&db, at("2026-11-21T02:00:00Z")).await.unwrap().started })
        });
        let started: usize = futures::future::join_all(ticks).await.into_iter().map(|ticked| ticked.unwrap()).sum();
        assert_eq!((started, shop.runs().await), (1, 1), "{}", test.name);
    }
}

#[tokio::test]
async fn a_clock_that_goes_back_fires_nothing_twice_and_keeps_nobody_waiting() {
    for test in testing::databases().await {
        let shop = Shop::sync(&test, "2026-11-20T12:00:00Z", daily("0 3")).await;
        assert_eq!(shop.tick("2026-11-21T02:00:00Z").await, 1, "{}", test.name);
        shop.finish("2026-11-21T02:01:00Z").await;
        // Back by an hour: the slot comes a second time.
        assert_eq!(mend(&test.db, at("2026-11-21T01:00:00Z")).await.unwrap(), 1, "{}", test.name);
        assert_eq!(shop.tick("2026-11-21T02:00:00Z").await, 0, "{}", test.name);
        assert_eq!((shop.next().await, shop.runs().await), (at("2026-11-22T02:00:00Z"), 1), "{}", test.name);

        // A year ahead, and back: without mending it would wait for that year.
        assert_eq!(shop.tick("2027-11-21T02:00:00Z").await, 1, "{}", test.name);
        shop.finish("2027-11-21T02:01:00Z").await;
        assert_eq!(shop.next().await, at("2027-11-22T02:00:00Z"));
        assert_eq!(mend(&test.db, at("2026-11-21T09:00:00Z")).await.unwrap(), 1, "{}", test.name);
        assert_eq!(mend(&test.db, at("2026-11-21T09:00:00Z")).await.unwrap(), 0, "{}: it is well now", test.name);
        assert_eq!(shop.tick("2026-11-22T02:00:00Z").await, 1, "{}", test.name);
        assert_eq!(shop.runs().await, 3, "{}", test.name);
    }
}

#[tokio::test]
async fn a_busy_source_skips_queues_or_cancels_as_its_schedule_says() {
    for test in testing::databases().await {
        let shop = Shop::sync(&test, "2026-11-21T00:00:00Z", every("1h")).await;
        assert_eq!(shop.tick("2026-11-21T01:00:00Z").await, 1);
        let running = shop.begin("2026-11-21T01:00:01Z").await;
        assert_eq!(shop.tick("2026-11-21T02:00:00Z").await, 0);
        shop.end(running, RunStatus::Succeeded, "2026-11-21T02:30:00Z").await;
        assert_eq!(shop.tick("2026-11-21T02:30:01Z").await, 0, "{}: a skipped slot is over", test.name);
        assert_eq!(shop.past().await[0].outcome, SlotOutcome::Skipped, "{}", test.name);
    }
    for test in testing::databases().await {
        let queue = Draft { overlap: Some(Overlap::Queue), ..every("1h") };
        let shop = Shop::sync(&test, "2026-11-21T00:00:00Z", queue).await;
        assert_eq!(shop.tick("2026-11-21T01:00:00Z").await, 1);
        let running = shop.begin("2026-11-21T01:00:01Z").await;
        for hour in 2..6 {
            assert_eq!(shop.tick(&format!("2026-11-21T0{hour}:00:00Z")).await, 0);
        }
        shop.end(running, RunStatus::Succeeded, "2026-11-21T05:30:00Z").await;
        assert_eq!(shop.tick("2026-11-21T05:30:01Z").await, 1, "{}: one for all that waited", test.name);
        assert_eq!(shop.tick("2026-11-21T05:30:02Z").await, 0, "{}", test.name);
        assert_eq!((shop.next().await, shop.runs().await), (at("2026-11-21T06:00:00Z"), 2), "{}", test.name);
    }
    for test in testing::databases().await {
        let cancel = Draft { overlap: Some(Overlap::Cancel), ..every("1h") };
        let shop = Shop::sync(&test, "2026-11-21T00:00:00Z", cancel).await;
        assert_eq!(shop.tick("2026-11-21T01:00:00Z").await, 1);
        let running = shop.begin("2026-11-21T01:00:01Z").await;
        assert_eq!(shop.tick("2026-11-21T02:00:00Z").await, 0);
        let heartbeat = test.db.system().heartbeat(&running.0, 60_000).await.unwrap();
        assert_eq!(heartbeat, tributary_store::Heartbeat::CancelRequested, "{}", test.name);
        shop.end(running, RunStatus::Cancelled, "2026-11-21T02:00:01Z").await;
        assert_eq!(shop.tick("2026-11-21T02:00:02Z").await, 1, "{}", test.name);
        // One that no worker has is cancelled at once, and the new one takes its place within the tick.
        assert_eq!(shop.tick("2026-11-21T03:00:00Z").await, 1, "{}", test.name);
        assert_eq!(shop.runs().await, 3, "{}", test.name);
    }
}

#[tokio::test]
async fn a_full_resync_beside_the_syncs_is_neither_lost_nor_doubled() {
    for test in testing::databases().await {
        let full = Draft { cron: Some("0 3 * * SUN".to_owned()), ..daily("0 3") };
        let both = [(ScheduleKind::Sync, every("1h")), (ScheduleKind::Full, full)];
        // Sunday, 22 November 2026, 03:00 in Berlin is 02:00 in UTC.
        let shop = Shop::open(&test, "2026-11-21T23:00:00Z", &both).await;
        assert_eq!(shop.tick("2026-11-22T01:00:00Z").await, 1);
        shop.finish("2026-11-22T01:01:00Z").await;
        let ticked = tick(&test.db, at("2026-11-22T02:00:00Z")).await.unwrap();
        assert_eq!((ticked.started, ticked.overlapped), (1, 1), "{}: the full one does what the sync would", test.name);
        let kind = async || shop.tenant.list_runs(shop.source, None, 1).await.unwrap().items[0].kind;
        assert_eq!(kind().await, RunKind::Full, "{}", test.name);
        shop.finish("2026-11-22T02:01:00Z").await;

        // A week later a sync by hand is in the way: the full one follows it.
        let new = tributary_store::NewRun {
            source_id: shop.source,
            kind: RunKind::Sync,
            trigger: tributary_core::run::Trigger::Api,
            accept_deletions: false,
            connector: None,
            record: false,
            now: at("2026-11-29T01:59:00Z"),
        };
        shop.tenant.create_run(new).await.unwrap();
        let running = shop.begin("2026-11-29T01:59:01Z").await;
        assert_eq!(shop.tick("2026-11-29T02:00:00Z").await, 0, "{}", test.name);
        shop.end(running, RunStatus::Succeeded, "2026-11-29T02:10:00Z").await;
        assert_eq!(shop.tick("2026-11-29T02:10:01Z").await, 1, "{}", test.name);
        assert_eq!(kind().await, RunKind::Full, "{}", test.name);
    }
}

#[tokio::test]
async fn a_source_that_keeps_failing_is_paused_with_a_reason_and_not_at_its_first_failure() {
    for test in testing::databases().await {
        let shop = Shop::sync(&test, "2026-11-21T00:00:00Z", every("1h")).await;
        for hour in 1..=3 {
            assert_eq!(shop.tenant.get_source(shop.source).await.unwrap().pause, None, "{}: {hour}", test.name);
            let now = format!("2026-11-21T0{hour}:00:00Z");
            assert_eq!(shop.tick(&now).await, 1, "{}", test.name);
            let begun = shop.begin(&now).await;
            shop.end(begun, RunStatus::Failed, &now).await;
        }
        let pause = shop.tenant.get_source(shop.source).await.unwrap().pause.unwrap();
        assert_eq!(pause.reason, PauseReason::Failures, "{}", test.name);
        assert!(pause.note.contains("The folder is not there.") && pause.note.contains("resume"), "{}", pause.note);
        assert_eq!(shop.tick("2026-11-21T09:00:00Z").await, 0, "{}: nothing fires", test.name);
    }
}

/// So many sources with the same schedule in a workspace of their own.
async fn crowd(test: &TestDb, sources: usize, draft: &Draft) {
    let (system, now) = (test.db.system(), at("2026-11-20T12:00:00Z"));
    let new = NewWorkspace { name: "Busy".into(), slug: "busy".into(), push_connector: connector("builtin:push"), now };
    let tenant = system.tenant(system.create_workspace(new).await.unwrap().id);
    let made = (0..sources).map(|n| {
        let (tenant, id, schedule) = (tenant.clone(), SourceId::new(), draft.clone().read(ScheduleKind::Sync).unwrap());
        let first = Plan::new(&schedule, id, now).unwrap().next_after(now);
        let new = NewSource {
            id,
            name: format!("Source {n}"),
            connector: connector("file"),
            config: json!({}),
            schedules: vec![NewSchedule { kind: ScheduleKind::Sync, schedule, anchor_at: now, first }],
            pause_after_failures: None,
            now,
        };
        async move { tenant.create_source(new).await.unwrap() }
    });
    futures::stream::iter(made).buffer_unordered(12).for_each(async |_| ()).await;
}

#[tokio::test]
async fn two_thousand_sources_due_in_the_same_second_all_start_and_another_workspace_is_not_held_up() {
    for test in testing::databases().await {
        let shop = Shop::sync(&test, "2026-11-20T12:00:00Z", daily("0 3")).await;
        crowd(&test, 2_000, &daily("0 3")).await;
        // The first batch has the lone source of the shop in it.
        let first = test.db.system().due(at("2026-11-21T02:00:00Z"), 10).await.unwrap();
        assert!(first.iter().any(|due| due.source_id == shop.source), "{}", test.name);
        let ticked = tick(&test.db, at("2026-11-21T02:00:00Z")).await.unwrap();
        assert_eq!(ticked, Ticked { started: 2_001, ..Ticked::default() }, "{}", test.name);
        assert_eq!(test.db.system().due(at("2026-11-21T02:00:00Z"), 10).await.unwrap(), [], "{}", test.name);
    }
}
