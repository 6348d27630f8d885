//! Group commit, and commit order, seen from inside.

use std::{sync::Arc, time::Duration};

use tributary_core::{
    Instant, WorkspaceId,
    citation::ConnectorRef,
    run::{RunKind, Trigger},
};
use uuid::Uuid;

use crate::{
    NewRun, NewWorkspace, Options, TenantDb,
    db::{Cx, Db},
    dialect::q,
    error::{Error, Result},
    testing::{self, TestDb},
};

fn now() -> Instant {
    chrono::DateTime::from_timestamp(1_750_000_000, 0).expect("a moment")
}

async fn insert(cx: &mut Cx, email: &str) -> Result<()> {
    q!(
        cx,
        execute,
        "INSERT INTO app_user (id, email, password_hash, instance_admin, created_at) VALUES ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        email,
        "x",
        false,
        now()
    )?;
    Ok(())
}

async fn write(db: &Db, email: &str) -> Result<()> {
    let mut cx = db.system().write().await?;
    insert(&mut cx, email).await?;
    cx.commit().await
}

async fn users(db: &Db) -> Vec<String> {
    let mut cx = db.system().read().await.unwrap();
    q!(cx, fetch_all as (String), "SELECT email FROM app_user ORDER BY email").unwrap()
}

/// Groups stay open for as long as somebody waits, so that a slow machine cannot split them.
async fn sqlite() -> TestDb {
    testing::sqlite(Options { group_hold_ms: 60_000, ..Options::default() }).await
}

/// Lets the committer go back to sleep, so that it queues behind those who come next.
async fn idle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_small_writes_share_commits() {
    let test = sqlite().await;
    let before = test.db.group_commits();
    let writes = (0..200).map(|number| {
        let db = test.db.clone();
        tokio::spawn(async move { write(&db, &format!("{number}")).await })
    });
    for written in futures::future::join_all(writes).await {
        written.unwrap().unwrap();
    }
    assert_eq!(users(&test.db).await.len(), 200, "what was answered is there");
    let commits = test.db.group_commits() - before;
    assert!((1..100).contains(&commits), "200 writes took {commits} commits");
}

#[tokio::test]
async fn a_lone_write_is_committed_without_waiting_for_company() {
    let test = sqlite().await;
    for number in 0..3 {
        let before = test.db.group_commits();
        write(&test.db, &format!("{number}")).await.unwrap();
        assert_eq!(test.db.group_commits() - before, 1);
    }
}

#[tokio::test]
async fn nothing_is_answered_before_its_commit() {
    let test = sqlite().await;
    idle().await;
    let mut first = test.db.system().write().await.unwrap();
    insert(&mut first, "first").await.unwrap();
    // The second waits for the writer, so that it joins the first's batch and the batch stays open behind it.
    let second = tokio::spawn({
        let db = test.db.clone();
        async move { db.system().write().await }
    });
    idle().await;
    let answered = tokio::spawn(first.commit());
    let mut second = second.await.unwrap().unwrap();
    assert!(users(&test.db).await.is_empty(), "readers see only what is committed");
    assert!(!answered.is_finished());
    insert(&mut second, "second").await.unwrap();
    drop(second);
    answered.await.unwrap().unwrap();
    assert_eq!(users(&test.db).await, ["first"], "the dropped sibling left no trace and did no harm");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_transaction_disturbs_no_sibling() {
    for test in testing::databases().await {
        let writes = (0..60).map(|number| {
            let db = test.db.clone();
            tokio::spawn(async move {
                let mut cx = db.system().write().await.unwrap();
                insert(&mut cx, &format!("{number:02}")).await.unwrap();
                match number % 3 {
                    0 => cx.commit().await.unwrap(),
                    1 => drop(cx),
                    // A statement that fails, then the transaction is dropped.
                    _ => assert!(insert(&mut cx, &format!("{number:02}")).await.is_err()),
                }
            })
        });
        futures::future::join_all(writes).await.into_iter().for_each(|it| it.unwrap());
        let expected: Vec<_> = (0..60).step_by(3).map(|number| format!("{number:02}")).collect();
        assert_eq!(users(&test.db).await, expected, "{}", test.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_go_away_leave_the_writer_usable() {
    let test = sqlite().await;
    for number in 0..200_u64 {
        let write = write(&test.db, "gone");
        // Cut off at another place each time: waiting, entering, inserting, committing.
        let _ = tokio::time::timeout(Duration::from_micros(number * 10), write).await;
        if users(&test.db).await == ["gone"] {
            let mut cx = test.db.system().write().await.unwrap();
            q!(cx, execute, "DELETE FROM app_user").unwrap();
            cx.commit().await.unwrap();
        }
    }
    write(&test.db, "stays").await.unwrap();
    assert!(users(&test.db).await.contains(&"stays".to_owned()));
}

#[tokio::test]
async fn a_commit_that_fails_fails_the_whole_batch_and_the_writer_goes_on() {
    let test = sqlite().await;
    let tenant = tenant(&test.db).await;
    let push = tenant.push_source().await.unwrap();
    let new = NewRun {
        source_id: push.id,
        kind: RunKind::Push,
        trigger: Trigger::Api,
        accept_deletions: false,
        connector: None,
        record: false,
        now: now(),
    };
    tenant.create_run(new).await.unwrap();
    idle().await;
    let mut first = test.db.system().write().await.unwrap();
    insert(&mut first, "first").await.unwrap();
    let second = tokio::spawn({
        let db = test.db.clone();
        async move {
            let mut cx = db.system().write().await?;
            // A version without its document: a deferred reference, refused only by COMMIT.
            q!(
                cx,
                execute,
                "INSERT INTO document_version (workspace_id, document_id, version, title, kind, fields, provenance, content_hash,
                     text_bytes, run_id, created_at) SELECT r.workspace_id, $1, 1, 't', 'k', '[]', '[]', x'00', 0, r.id, $2 FROM run r",
                Uuid::now_v7(),
                now()
            )?;
            cx.commit().await
        }
    });
    idle().await;
    let first = tokio::spawn(first.commit());
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert!(matches!(first, Err(Error::Commit(_))), "{first:?}");
    assert!(matches!(second, Err(Error::Commit(_))), "{second:?}");
    assert!(users(&test.db).await.is_empty());
    write(&test.db, "later").await.unwrap();
    assert_eq!(users(&test.db).await, ["later"]);
}

/// SQLite may undo the whole group with the statement that found no room: then nobody is told that theirs is kept.
#[tokio::test]
async fn a_transaction_that_finds_no_room_is_not_kept_and_its_siblings_know_whether_they_are() {
    let test = testing::sqlite(Options { group_hold_ms: 60_000, max_pages: Some(120), ..Options::default() }).await;
    idle().await;
    let mut first = test.db.system().write().await.unwrap();
    insert(&mut first, "first").await.unwrap();
    let second = tokio::spawn({
        let db = test.db.clone();
        async move {
            let mut cx = db.system().write().await?;
            loop {
                insert(&mut cx, &"long ".repeat(1000).replace("long", &Uuid::now_v7().to_string())).await?;
            }
        }
    });
    idle().await;
    let first = tokio::spawn(first.commit());
    let (first, second): (_, Result<()>) = (first.await.unwrap(), second.await.unwrap());
    assert!(matches!(second, Err(Error::Full(_))), "{second:?}");
    match first {
        Ok(()) => assert_eq!(users(&test.db).await, ["first"]),
        Err(Error::Commit(why)) => {
            assert!(why.contains("ran out of space"), "{why}");
            assert!(users(&test.db).await.is_empty());
        }
        Err(other) => panic!("{other}"),
    }
    write(&test.db, "there is room again").await.unwrap();
}

#[tokio::test]
async fn closing_commits_what_waits_and_refuses_the_rest() {
    let test = sqlite().await;
    let mut cx = test.db.system().write().await.unwrap();
    insert(&mut cx, "last").await.unwrap();
    let committing = tokio::spawn(cx.commit());
    tokio::task::yield_now().await;
    test.db.close().await.unwrap();
    committing.await.unwrap().unwrap();
    assert!(matches!(write(&test.db, "late").await, Err(Error::Closed)));
    let again = Db::open(&test.url, Default::default()).await.unwrap();
    assert_eq!(users(&again).await, ["last"]);
}

async fn tenant(db: &Db) -> TenantDb {
    let new = NewWorkspace {
        name: "w".to_owned(),
        slug: "w".to_owned(),
        push_connector: ConnectorRef { id: "builtin:push".to_owned(), version: "0".to_owned(), digest: "d".to_owned() },
        now: now(),
    };
    let id: WorkspaceId = db.system().create_workspace(new).await.unwrap().id;
    db.system().tenant(id)
}

/// With a plain sequence the second transaction takes 2, commits first, a tailer applies 2 and never sees 1.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_numbered_first_and_committed_last_is_not_lost_to_a_tailer() {
    for test in testing::databases().await {
        let tenant = Arc::new(tenant(&test.db).await);
        let mut first = tenant.write().await.unwrap();
        assert_eq!(tenant.next_position(&mut first).await.unwrap(), 1);
        let mut second = tokio::spawn({
            let tenant = tenant.clone();
            async move {
                let mut second = tenant.write().await.unwrap();
                let position = tenant.next_position(&mut second).await.unwrap();
                second.commit().await.unwrap();
                position
            }
        });
        let early = tokio::time::timeout(Duration::from_millis(150), &mut second).await;
        assert!(early.is_err(), "{}: the second waits for the first", test.name);
        assert_eq!(tenant.position().await.unwrap(), 0, "{}: a tailer sees neither", test.name);
        first.commit().await.unwrap();
        assert_eq!(second.await.unwrap(), 2, "{}", test.name);
        assert_eq!(tenant.position().await.unwrap(), 2);

        // And one that is given up leaves no gap.
        let mut dropped = tenant.write().await.unwrap();
        assert_eq!(tenant.next_position(&mut dropped).await.unwrap(), 3);
        drop(dropped);
        let mut next = tenant.write().await.unwrap();
        assert_eq!(tenant.next_position(&mut next).await.unwrap(), 3, "{}", test.name);
        next.commit().await.unwrap();
    }
}
