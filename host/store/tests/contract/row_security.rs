//! PostgreSQL's row-level security, the second net: it holds when a statement forgets to ask for the workspace.

use std::process::Command;

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tributary_core::run::RunKind;
use tributary_store::{
    DocumentFilter, NewQuestion,
    testing::{self, DROPPED},
};

use crate::{
    predicates,
    support::{Page, World, at, draft, workspace},
};

/// A world on PostgreSQL with a document and a conversation, where there is a cluster.
async fn world() -> Option<World> {
    let world = World::on(testing::postgres(Default::default()).await?).await;
    world.begin(RunKind::Sync).await.commit(Page { drafts: vec![draft("a", "one")], ..Page::default() }).await;
    let content = "How long?".to_owned();
    let question = NewQuestion { thread_id: None, owner: "user:ada".to_owned(), content, now: at(1) };
    world.tenant.save_question(question).await.unwrap();
    Some(world)
}

#[tokio::test]
async fn a_connection_that_names_no_workspace_sees_nothing_and_writes_nothing() {
    let Some(world) = world().await else { return };
    let mut record = PgConnection::connect(&world.test.url).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT table_name::text FROM information_schema.columns
         WHERE table_schema = 'public' AND (column_name = 'workspace_id' OR table_name = 'workspace' AND column_name = 'id')",
    )
    .fetch_all(&mut record)
    .await
    .unwrap();
    let forced = "SELECT relname::text FROM pg_class WHERE relrowsecurity AND relforcerowsecurity";
    let forced: Vec<String> = sqlx::query_scalar(forced).fetch_all(&mut record).await.unwrap();
    for table in tables {
        assert!(forced.contains(&table), "{table} has a workspace: add it to row-level security in its migration");
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let seen: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut record).await.unwrap();
        assert_eq!(seen, 0, "{table}");
    }
    let untouched = sqlx::query("UPDATE workspace SET name = 'stolen'").execute(&mut record).await.unwrap();
    assert_eq!(untouched.rows_affected(), 0);
    let forged = "INSERT INTO thread (workspace_id, id, owner, created_at) VALUES ($1, $1, 'user:eve', now())";
    let refused = sqlx::query(forged).bind(world.workspace.id.0).execute(&mut record).await.unwrap_err();
    assert!(refused.to_string().contains("row-level security"), "{refused}");

    // What was set for one transaction is gone with it.
    let mut transaction = record.begin_with("BEGIN; SET LOCAL tributary.system = 'on'").await.unwrap();
    let count = "SELECT COUNT(*) FROM document";
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *transaction).await.unwrap(), 1);
    transaction.commit().await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut record).await.unwrap(), 0);
}

#[tokio::test]
async fn without_its_predicate_a_statement_still_reaches_its_workspace_alone() {
    if world().await.is_none() {
        return;
    }
    let read = predicates::all().into_iter().filter(|it| matches!(it.file.as_str(), "documents.rs" | "chat.rs"));
    for predicate in read {
        let probe = ["--exact", "row_security::probe"];
        let output =
            Command::new(std::env::current_exe().unwrap()).args(probe).env(DROPPED, &predicate.place).output().unwrap();
        assert!(output.status.success(), "{}: {}", predicate.place, String::from_utf8_lossy(&output.stdout));
    }
}

/// One workspace reads while another has something. Does so with a predicate left out alone, when the test above runs it.
#[tokio::test]
async fn probe() {
    if std::env::var_os(DROPPED).is_none() {
        return;
    }
    let Some(world) = world().await else { return };
    let stranger = world.system.tenant(workspace(&world.system, "stranger").await.id);
    let document = world.tenant.list_documents(&DocumentFilter::default(), None, 10).await.unwrap().items.remove(0);
    assert!(stranger.list_documents(&DocumentFilter::default(), None, 10).await.unwrap().items.is_empty());
    assert!(stranger.find_document(document.id).await.unwrap().is_none());
    assert_eq!(stranger.delete_document(document.id, "user:ada", at(60)).await.unwrap(), None);
    let thread = world.tenant.list_messages(None, None, None, 10).await.unwrap().items.remove(0).thread_id;
    assert!(stranger.list_messages(None, None, None, 10).await.unwrap().items.is_empty());
    assert!(stranger.list_messages(None, Some(thread), None, 10).await.unwrap().items.is_empty());
    assert_eq!(world.live().await.len(), 1);
}
