//! The tick with an injected clock, on both databases.

use serde_json::json;
use tributary::schedules::{next_after, tick};
use tributary_core::{Instant, citation::ConnectorRef, source::Schedule};
use tributary_store::{
    NewSource, NewWorkspace, TenantDb,
    testing::{self, TestDb},
};

fn at(text: &str) -> Instant {
    text.parse().expect("a time")
}

fn connector(id: &str) -> ConnectorRef {
    ConnectorRef { id: id.to_owned(), version: "0.1.0".to_owned(), digest: "0".repeat(64) }
}

/// A source that is due at three in the morning, Berlin time.
async fn nightly(test: &TestDb, now: Instant) -> (TenantDb, tributary_core::SourceId) {
    let system = test.db.system();
    let new = NewWorkspace { name: "Shop".into(), slug: "shop".into(), push_connector: connector("builtin:push"), now };
    let tenant = system.tenant(system.create_workspace(new).await.expect("a workspace").id);
    let schedule = Schedule { cron: "0 3 * * *".into(), timezone: "Europe/Berlin".into() };
    let next_run_at = next_after(&schedule, now).expect("a valid schedule");
    let new = NewSource {
        name: "Files".into(),
        connector: connector("file"),
        config: json!({}),
        schedule: Some(schedule),
        next_run_at,
        now,
    };
    let source = tenant.create_source(new).await.expect("a source").id;
    (tenant, source)
}

#[tokio::test]
async fn a_source_is_due_at_its_time_and_not_before() {
    for test in testing::databases().await {
        let (tenant, source) = nightly(&test, at("2026-11-20T12:00:00Z")).await;
        assert_eq!(tick(&test.db, at("2026-11-21T01:59:59Z")).await.unwrap(), 0, "{}", test.name);
        assert_eq!(tick(&test.db, at("2026-11-21T02:00:00Z")).await.unwrap(), 1, "{}", test.name);
        assert_eq!(tick(&test.db, at("2026-11-21T02:00:01Z")).await.unwrap(), 0, "once");
        assert_eq!(tenant.get_source(source).await.unwrap().next_run_at, Some(at("2026-11-22T02:00:00Z")));
    }
}

#[tokio::test]
async fn three_missed_nights_make_one_run() {
    for test in testing::databases().await {
        let (tenant, source) = nightly(&test, at("2026-11-20T12:00:00Z")).await;
        assert_eq!(tick(&test.db, at("2026-11-24T09:00:00Z")).await.unwrap(), 1, "{}", test.name);
        assert_eq!(tenant.get_source(source).await.unwrap().next_run_at, Some(at("2026-11-25T02:00:00Z")));
        assert_eq!(tenant.list_runs(source, None, 10).await.unwrap().items.len(), 1);
    }
}

#[tokio::test]
async fn many_hosts_fire_a_slot_once() {
    for test in testing::databases().await {
        let (tenant, source) = nightly(&test, at("2026-11-20T12:00:00Z")).await;
        let ticks = (0..8).map(|_| {
            let db = test.db.clone();
            tokio::spawn(async move { tick(&db, at("2026-11-21T02:00:00Z")).await.unwrap() })
        });
        let started: usize = futures::future::join_all(ticks).await.into_iter().map(|ticked| ticked.unwrap()).sum();
        assert_eq!(started, 1, "{}", test.name);
        assert_eq!(tenant.list_runs(source, None, 10).await.unwrap().items.len(), 1);
    }
}
