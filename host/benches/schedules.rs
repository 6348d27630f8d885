//! What schedules cost: a tick over 10,000 sources when nothing is due, when one is, and when all are; how late their runs start; memory.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant as Elapsed};

use chrono::TimeDelta;
use futures::StreamExt;
use serde_json::json;
use support::{
    report::{Aim, Report, median, ms, percentile},
    sized,
    usage::memory_mib,
};
use tributary::schedules::{Draft, Plan, tick};
use tributary_core::{Instant, SourceId, citation::ConnectorRef, schedule::ScheduleKind};
use tributary_store::{
    NewSchedule, NewSource, NewWorkspace, TenantDb,
    testing::{self, TestDb},
};

const IDLE_TICKS: usize = 200;

fn main() {
    support::runtime().block_on(run());
}

async fn run() {
    let mut report = Report::new("schedules");
    let sources = sized(10_000);
    for test in testing::databases().await {
        idle(&mut report, &test, sources).await;
        all_at_once(&mut report, &test, sources).await;
    }
    // Others, so that the runs of the first do not count.
    for test in testing::databases().await {
        spread(&mut report, &test, sources).await;
    }
    report.finish();
}

fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

async fn workspace(test: &TestDb, slug: &str) -> TenantDb {
    let connector = ConnectorRef { id: "builtin:push".into(), version: "0".into(), digest: "d".into() };
    let now = at("2026-11-20T12:00:00Z");
    let new = NewWorkspace { name: slug.into(), slug: slug.into(), push_connector: connector, now };
    test.db.system().tenant(test.db.system().create_workspace(new).await.unwrap().id)
}

/// Sources at three in the morning, and when each starts.
async fn nightly(tenant: &TenantDb, sources: usize, jitter: Option<&str>) -> Vec<Instant> {
    let now = at("2026-11-20T12:00:00Z");
    let (cron, timezone) = (Some("0 3 * * *".to_owned()), Some("Europe/Berlin".to_owned()));
    let draft = Draft { cron, timezone, jitter: jitter.map(str::to_owned), ..Draft::default() };
    let made = (0..sources).map(|n| {
        let (id, schedule) = (SourceId::new(), draft.clone().read(ScheduleKind::Sync).unwrap());
        let first = Plan::accept(&schedule, id, now).unwrap().next_after(now).unwrap();
        let new = NewSource {
            id,
            name: format!("Source {n}"),
            connector: ConnectorRef { id: "file".into(), version: "0".into(), digest: "d".into() },
            config: json!({}),
            schedules: vec![NewSchedule { kind: ScheduleKind::Sync, schedule, anchor_at: now, first: Some(first) }],
            pause_after_failures: None,
            now,
        };
        async move {
            tenant.create_source(new).await.unwrap();
            first.at
        }
    });
    futures::stream::iter(made).buffer_unordered(12).collect().await
}

async fn timed(test: &TestDb, now: Instant) -> (Duration, usize) {
    let began = Elapsed::now();
    let ticked = tick(&test.db, now).await.unwrap();
    (began.elapsed(), ticked.started)
}

async fn idle(report: &mut Report, test: &TestDb, sources: usize) {
    report.section(&format!("{}: {sources} sources of one workspace at 0 3 * * *, nothing due", test.name));
    let busy = workspace(test, "busy").await;
    nightly(&busy, sources, Some("0s")).await;
    let mut took = Vec::new();
    for _ in 0..IDLE_TICKS {
        took.push(timed(test, at("2026-11-21T01:00:00Z")).await.0);
    }
    report.aimed("a tick, median", ms(median(&took)), "ms", Aim::AtMost(5.0));
    report.figure("a tick, p99", ms(percentile(&took, 0.99)), "ms");
}

async fn all_at_once(report: &mut Report, test: &TestDb, sources: usize) {
    report.section(&format!("{}: all {sources} due in the same second, and one of another workspace", test.name));
    let other = workspace(test, "other").await;
    nightly(&other, 1, Some("0s")).await;
    let lone = other.list_sources(None, 10).await.unwrap().items.pop().unwrap().source.id;
    let before = memory_mib(std::process::id(), "VmRSS");
    let db = test.db.clone();
    let began = Elapsed::now();
    let ticking = tokio::spawn(async move { tick(&db, at("2026-11-21T02:00:00Z")).await.unwrap().started });
    while other.get_source(lone).await.unwrap().last_run.is_none() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let other_started = began.elapsed();
    assert_eq!(ticking.await.unwrap(), sources + 1);
    let took = began.elapsed();
    report.aimed("the tick", ms(took), "ms", Aim::AtMost(10_000.0));
    report.figure("runs started a second", sources as f64 / took.as_secs_f64(), "/s");
    report.aimed("the other workspace's run is there after", ms(other_started), "ms", Aim::AtMost(1_000.0));
    let grown = memory_mib(std::process::id(), "VmRSS") - before;
    report.aimed("memory it took", grown, "MiB", Aim::AtMost(64.0));
}

async fn spread(report: &mut Report, test: &TestDb, sources: usize) {
    report
        .section(&format!("{}: {sources} sources at 0 3 * * * with the default spread, a tick each second", test.name));
    let starts = nightly(&workspace(test, "busy").await, sources, None).await;
    let (mut late, mut took, mut started) = (Vec::new(), Vec::new(), 0);
    // A tick that takes longer than a second holds up the next, as the ticker does.
    let (mut now, mut since) = (at("2026-11-21T02:00:00Z"), at("2026-11-21T01:00:00Z"));
    while started < sources {
        let (tick, fired) = timed(test, now).await;
        let over = now + TimeDelta::from_std(tick).unwrap();
        late.extend(starts.iter().filter(|at| **at > since && **at <= now).map(|at| (over - *at).to_std().unwrap()));
        took.push(tick);
        started += fired;
        since = now;
        now = over.max(now + TimeDelta::seconds(1));
    }
    report.figure("runs started in a second, on average", sources as f64 / took.len() as f64, "");
    report.figure("a tick, median", ms(median(&took)), "ms");
    report.figure("a tick, longest", ms(percentile(&took, 1.0)), "ms");
    report.figure("from the tick to its runs, median", ms(median(&late)), "ms");
    report.aimed("from the tick to its runs, p99", ms(percentile(&late, 0.99)), "ms", Aim::AtMost(2_000.0));
}
