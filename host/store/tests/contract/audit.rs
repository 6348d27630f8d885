//! The audit log: a chain that shows every change to it.

use futures::TryStreamExt;
use serde_json::json;
use tributary_store::{
    AuditCheck, AuditEvent, AuditFault, AuditFilter, AuditOutcome, Db, Engine, Error, NewAuditEvent, Options,
    testing::{TestDb, databases, drop_audit_triggers, execute},
};

use crate::support::{at, workspace};

fn event(number: i64) -> NewAuditEvent {
    NewAuditEvent {
        at: at(number),
        actor: format!("user:{}", number % 2),
        action: if number % 2 == 0 { "POST /sources" } else { "DELETE /sources/{id}" }.to_owned(),
        workspace_id: None,
        target: format!("source_id={number} “ä”"),
        from_ip: (number % 3 == 0).then(|| "192.0.2.1".to_owned()),
        request_id: Some(format!("r-{number}")),
        outcome: AuditOutcome::Ok,
        detail: json!({ "status": 201, "ratio": 1.50, "z": null, "a": "ä\n" }),
    }
}

async fn with_events(test: &TestDb, count: i64) -> Vec<AuditEvent> {
    let mut events = Vec::new();
    for number in 1..=count {
        events.push(test.db.system().append_audit(event(number)).await.unwrap());
    }
    events
}

#[tokio::test]
async fn events_are_listed_newest_first_as_they_were_recorded() {
    for test in databases().await {
        let system = test.db.system();
        assert!(matches!(system.verify_audit().await.unwrap(), AuditCheck::Whole { events: 0, .. }));
        let recorded = with_events(&test, 7).await;
        let newest_first: Vec<_> = recorded.iter().rev().cloned().collect();
        let first = system.list_audit(&AuditFilter::default(), None, 4).await.unwrap();
        assert!(first.more && first.items == newest_first[..4], "{}", test.name);
        let rest = system.list_audit(&AuditFilter::default(), Some(first.items[3].seq), 4).await.unwrap();
        assert!(!rest.more && rest.items == newest_first[4..], "{}", test.name);
        let exported: Vec<_> = system.export_audit(AuditFilter::default()).try_collect().await.unwrap();
        assert_eq!(exported, recorded, "{}", test.name);
        let check = system.verify_audit().await.unwrap();
        assert_eq!(check, AuditCheck::Whole { events: 7, head: recorded[6].hash }, "{}", test.name);
    }
}

#[tokio::test]
async fn a_filter_chooses_by_workspace_actor_action_and_time() {
    for test in databases().await {
        let system = test.db.system();
        let (ours, theirs) = (workspace(&system, "ours").await.id, workspace(&system, "theirs").await.id);
        with_events(&test, 6).await;
        for id in [ours, theirs] {
            system.append_audit(NewAuditEvent { workspace_id: Some(id), ..event(7) }).await.unwrap();
        }
        let found = async |filter: AuditFilter| {
            let listed = system.list_audit(&filter, None, 100).await.unwrap().items;
            let mut exported: Vec<_> = system.export_audit(filter).try_collect().await.unwrap();
            exported.reverse();
            assert_eq!(listed, exported, "{}", test.name);
            listed.into_iter().map(|event| event.seq).collect::<Vec<_>>()
        };
        let all = AuditFilter::default;
        assert_eq!(found(AuditFilter { workspace: Some(ours), ..all() }).await, [7]);
        assert_eq!(found(AuditFilter { actor: Some("user:0".into()), ..all() }).await, [6, 4, 2]);
        assert_eq!(found(AuditFilter { action: Some("DELETE".into()), ..all() }).await, [8, 7, 5, 3, 1]);
        assert_eq!(found(AuditFilter { action: Some("%".into()), ..all() }).await, [0; 0], "no wildcards");
        assert_eq!(found(AuditFilter { since: Some(at(2)), until: Some(at(4)), ..all() }).await, [3, 2]);
        let through_tenant = system.tenant(theirs).list_audit(&all(), None, 10).await.unwrap().items;
        assert_eq!(through_tenant.iter().map(|event| event.seq).collect::<Vec<_>>(), [8], "{}", test.name);
        let asking_for_another = AuditFilter { workspace: Some(ours), ..all() };
        assert_eq!(
            system.tenant(theirs).list_audit(&asking_for_another, None, 10).await.unwrap().items,
            through_tenant
        );
    }
}

#[tokio::test]
async fn an_export_gives_everything_over_many_batches() {
    for test in databases().await {
        let appends = (0..1_101).map(|number| {
            let system = test.db.system();
            async move { system.append_audit(event(number)).await.unwrap() }
        });
        futures::future::join_all(appends).await;
        let exported: Vec<_> = test
            .db
            .system()
            .export_audit(AuditFilter::default())
            .map_ok(|event| event.seq)
            .try_collect()
            .await
            .unwrap();
        assert_eq!(exported, (1..=1_101).collect::<Vec<_>>(), "{}", test.name);
    }
}

#[tokio::test]
async fn parallel_appends_of_two_hosts_make_one_chain_without_gaps() {
    for test in databases().await {
        let other = Db::open(&test.url, Options::default()).await.unwrap();
        let appends = (0..20).map(|number| {
            let system = if number % 2 == 0 { test.db.system() } else { other.system() };
            tokio::spawn(async move { system.append_audit(event(number)).await.unwrap().seq })
        });
        let mut numbers: Vec<_> =
            futures::future::join_all(appends).await.into_iter().map(|appended| appended.unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=20).collect::<Vec<_>>(), "{}", test.name);
        let check = test.db.system().verify_audit().await.unwrap();
        assert!(matches!(check, AuditCheck::Whole { events: 20, .. }), "{}: {check:?}", test.name);
    }
}

#[tokio::test]
async fn the_database_refuses_to_change_or_remove_events() {
    for test in databases().await {
        with_events(&test, 3).await;
        let mut attempts = vec![
            "UPDATE audit_event SET actor = 'user:9' WHERE seq = 2",
            "DELETE FROM audit_event WHERE seq = 3",
            "DELETE FROM audit_event",
            "DELETE FROM audit_head",
        ];
        match test.engine() {
            Engine::Sqlite => {
                attempts.push("INSERT OR REPLACE INTO audit_event SELECT * FROM audit_event WHERE seq = 1")
            }
            Engine::Postgres => attempts.extend(["TRUNCATE audit_event", "TRUNCATE audit_head"]),
        }
        for sql in attempts {
            let error = execute(&test.url, sql).await.expect_err(sql).to_string();
            assert!(error.contains("is refused"), "{} {sql}: {error}", test.name);
        }
        let check = test.db.system().verify_audit().await.unwrap();
        assert!(matches!(check, AuditCheck::Whole { events: 3, .. }), "{}: {check:?}", test.name);
    }
}

#[tokio::test]
async fn verifying_names_the_first_event_at_fault() {
    let tampering = [
        ("UPDATE audit_event SET actor = 'user:9' WHERE seq = 3", 3, AuditFault::Changed),
        ("UPDATE audit_event SET detail = '{\"status\": 201}' WHERE seq = 1", 1, AuditFault::Changed),
        ("UPDATE audit_event SET from_ip = '' WHERE seq = 2", 2, AuditFault::Changed),
        ("DELETE FROM audit_event WHERE seq = 1", 1, AuditFault::Missing),
        ("DELETE FROM audit_event WHERE seq = 4", 4, AuditFault::Missing),
        ("DELETE FROM audit_event WHERE seq >= 5", 5, AuditFault::Missing),
        ("DELETE FROM audit_event", 1, AuditFault::Missing),
        (
            "UPDATE audit_event SET seq = 99 WHERE seq = 2; UPDATE audit_event SET seq = 2 WHERE seq = 3;
             UPDATE audit_event SET seq = 3 WHERE seq = 99",
            2,
            AuditFault::Changed,
        ),
        // A removed event whose gap was closed by renumbering.
        (
            "DELETE FROM audit_event WHERE seq = 4; UPDATE audit_event SET seq = 4 WHERE seq = 5;
             UPDATE audit_event SET seq = 5 WHERE seq = 6",
            4,
            AuditFault::Changed,
        ),
        ("UPDATE audit_head SET seq = 4", 5, AuditFault::Surplus),
        ("UPDATE audit_head SET hash = (SELECT hash FROM audit_event WHERE seq = 1)", 6, AuditFault::NotTheHead),
        ("DELETE FROM audit_head", 6, AuditFault::NoHead),
    ];
    for (sql, seq, fault) in tampering {
        for test in databases().await {
            with_events(&test, 6).await;
            drop_audit_triggers(&test.url).await.unwrap();
            execute(&test.url, sql).await.unwrap();
            let check = test.db.system().verify_audit().await.unwrap();
            assert_eq!(check, AuditCheck::Broken { seq, fault }, "{} {sql}", test.name);
        }
    }
}

#[tokio::test]
async fn a_field_that_cannot_be_read_at_all_is_found_too() {
    let test = tributary_store::testing::sqlite(Options::default()).await;
    with_events(&test, 6).await;
    drop_audit_triggers(&test.url).await.unwrap();
    for (sql, seq) in [
        ("UPDATE audit_event SET at = 'yesterday' WHERE seq = 5", 5),
        ("UPDATE audit_event SET workspace_id = x'00' WHERE seq = 4", 4),
        ("UPDATE audit_event SET actor = CAST(x'ff' AS TEXT) WHERE seq = 2", 2),
    ] {
        execute(&test.url, sql).await.unwrap();
        let check = test.db.system().verify_audit().await.unwrap();
        assert_eq!(check, AuditCheck::Broken { seq, fault: AuditFault::Changed }, "{sql}");
    }
}

#[tokio::test]
async fn an_event_replaced_together_with_its_hash_is_found_by_the_next() {
    for test in databases().await {
        with_events(&test, 2).await;
        // Another log, whose first event has a valid hash of its own.
        for forger in databases().await.into_iter().filter(|forger| forger.name == test.name) {
            let forged = forger.db.system().append_audit(event(9)).await.unwrap();
            drop_audit_triggers(&test.url).await.unwrap();
            let hash = match test.engine() {
                Engine::Sqlite => format!("unhex('{}')", forged.hash),
                Engine::Postgres => format!("decode('{}', 'hex')", forged.hash),
            };
            let time = match test.engine() {
                Engine::Sqlite => forged.at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, false),
                Engine::Postgres => forged.at.to_rfc3339(),
            };
            let sql = format!(
                "UPDATE audit_event SET at = '{time}', actor = '{}', action = '{}', target = '{}', from_ip = '192.0.2.1',
                     request_id = 'r-9', hash = {hash} WHERE seq = 1",
                forged.actor, forged.action, forged.target
            );
            execute(&test.url, &sql).await.unwrap();
            let check = test.db.system().verify_audit().await.unwrap();
            assert_eq!(check, AuditCheck::Broken { seq: 2, fault: AuditFault::Unlinked }, "{}", test.name);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_refused_and_leaves_no_gap() {
    for test in databases().await {
        let system = test.db.system();
        for wrong in [
            NewAuditEvent { target: "a\0b".into(), ..event(1) },
            NewAuditEvent { action: "x".repeat(4_097), ..event(1) },
            NewAuditEvent { detail: json!({ "text": "x".repeat(4_097) }), ..event(1) },
        ] {
            assert!(matches!(system.append_audit(wrong).await, Err(Error::Invalid(_))), "{}", test.name);
        }
        assert_eq!(system.append_audit(event(1)).await.unwrap().seq, 1, "{}", test.name);
    }
}
