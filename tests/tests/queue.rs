//! The queue as whoever runs the server meets it: a restart of the database, hosts that hear of each other, jobs that were given up.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tributary_core::{
    WorkspaceId,
    job::{NewJob, Work},
    run::{RunKind, Trigger},
};
use tributary_store::{Db, NewRun, testing};
use tributary_tests::{
    Database, Server, databases, eventually,
    server::{Answer, Options, text},
};

fn library(files: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for number in 0..files {
        std::fs::write(
            folder.path().join(format!("{number:04}.md")),
            format!("# Document {number}\n\nText {number}.\n"),
        )
        .expect("a file");
    }
    folder
}

fn id_of(address: &str) -> String {
    address.rsplit('/').next().expect("an id").to_owned()
}

/// Another host's hand in the database.
async fn record(server: &Server) -> Db {
    Db::open(&server.database_url(), Default::default()).await.expect("the record opens")
}

async fn queue_sync(db: &Db, workspace: &str, source: &str) -> String {
    let new = NewRun {
        source_id: id_of(source).parse().expect("an id"),
        kind: RunKind::Sync,
        trigger: Trigger::Manual,
        accept_deletions: false,
        connector: None,
        record: false,
        now: chrono::Utc::now(),
    };
    let tenant = db.system().tenant(workspace.parse().expect("an id"));
    format!("{source}/runs/{}", tenant.create_run(new).await.expect("a run"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_survives_a_restart_of_postgresql_in_its_middle() {
    const FILES: usize = 1_500;
    let Some(test) = testing::postgres(Default::default()).await else { return };
    let admin = std::env::var(testing::POSTGRES_URL).expect("there is a cluster");
    let database = test.url.rsplit('/').next().and_then(|it| it.split('?').next()).expect("a database").to_owned();
    let folder = library(FILES);
    let server = Options::default()
        .root("library", folder.path())
        .arg("--page-items")
        .arg("20")
        .start(Database::Postgres(test))
        .await;
    let workspace = server.workspace("Library").await;
    let source = server.file_source(&workspace, json!({ "root": "library" })).await;
    let run = server.start_sync(&source, json!({})).await;
    eventually("the run to be on its way", async || {
        (server.get(&run).await.ok()["counts"]["seen"].as_i64() > Some(0)).then_some(())
    })
    .await;

    // What a restart is for its clients: every connection ends, none is let in for a while.
    let as_admin = async |sql: String| testing::execute(&admin, &sql).await.expect("the cluster obeys");
    as_admin(format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false")).await;
    as_admin(format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(Answer::of(server.anonymous(Method::GET, "/healthz")).await.status, StatusCode::OK);
    as_admin(format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true")).await;

    let run = eventually("the run to end after the restart", async || {
        let answer = server.get(&run).await;
        let over = matches!(answer.body["status"].as_str(), Some("succeeded" | "partial" | "failed" | "cancelled"));
        (answer.status == StatusCode::OK && over).then_some(answer.body)
    })
    .await;
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run["counts"]["added"], FILES, "{run}");
    assert_eq!(server.documents(&workspace).await.len(), FILES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_hears_of_another_hosts_job_long_before_it_would_ask() {
    let Some(test) = testing::postgres(Default::default()).await else { return };
    let folder = library(1);
    let server = Options::default()
        .root("library", folder.path())
        .arg("--job-poll-ms")
        .arg("60000")
        .start(Database::Postgres(test))
        .await;
    let workspace = server.workspace("Library").await;
    let source = server.file_source(&workspace, json!({ "root": "library" })).await;
    // Its own jobs need no telling; and the first one waits until the connectors are compiled.
    server.sync(&source).await;
    let other = record(&server).await;
    let run = queue_sync(&other, &workspace, &source).await;
    let began = std::time::Instant::now();
    other.system().notify("jobs").await.expect("it is said");
    let run = server.finished(&run).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_found_by_asking_when_nobody_says_anything() {
    for database in databases().await {
        let name = database.name();
        let folder = library(1);
        // Nothing listens on port 1.
        let server = Options::default()
            .root("library", folder.path())
            .arg("--redis-url")
            .arg("redis://127.0.0.1:1")
            .start(database)
            .await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        let other = record(&server).await;
        let run = queue_sync(&other, &workspace, &source).await;
        assert_eq!(server.finished(&run).await["status"], "succeeded", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_jobs_tries_them_again_cancels_and_discards_them() {
    for database in databases().await {
        let name = database.name();
        let folder = library(2);
        let server = Options::default().root("library", folder.path()).start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        let run = server.sync(&source).await;

        let listed = server.get(&format!("/api/v1/jobs?workspace_id={workspace}&state=done")).await.ok();
        let job = listed["items"][0].clone();
        assert_eq!((&job["kind"], &job["run_id"]), (&json!("sync"), &run["id"]), "{name}: {listed}");
        let address = format!("/api/v1/jobs/{}", text(&job["id"]));
        assert_eq!(server.get(&address).await.ok(), job, "{name}");
        let refused = server.post(&format!("{address}/retry"), Value::Null).await.problem(409, "job_state");
        assert!(text(&refused["detail"]).contains("is done"), "{refused}");
        server.post(&format!("{address}/cancel"), Value::Null).await.problem(409, "job_state");

        // As if its workers had been lost too often.
        testing::execute(&server.database_url(), "UPDATE job SET state = 'dead', last_error = 'lost'").await.unwrap();
        let (went_well, table) = server.command(&["job", "list", "--state", "dead"]);
        assert!(went_well && table.contains(&text(&job["id"])) && table.contains("lost"), "{name}: {table}");
        let again = server.post(&format!("{address}/retry"), Value::Null).await.expect(202);
        let new_run = format!("{source}/runs/{}", text(&again["run_id"]));
        assert_eq!(server.finished(&new_run).await["status"], "succeeded", "{name}");
        server.get(&address).await.problem(404, "not_found");

        // One that waits for its time.
        let db = record(&server).await;
        let new =
            NewJob { delay_ms: 3_600_000, ..NewJob::now(Work::Sync { run_id: id_of(&new_run).parse().unwrap() }) };
        let id: WorkspaceId = workspace.parse().unwrap();
        let waiting = db.system().enqueue(id, new).await.unwrap().id;
        let open = server.get("/api/v1/jobs/open").await.ok();
        assert_eq!((&open["items"][0]["kind"], &open["items"][0]["waiting"]), (&json!("sync"), &json!(1)), "{open}");
        let address = format!("/api/v1/jobs/{waiting}");
        server.delete(&address).await.problem(409, "job_state");
        assert_eq!(
            server.post(&format!("{address}/cancel"), Value::Null).await.expect(202)["cancelled"],
            true,
            "{name}"
        );
        let (went_well, shown) = server.command(&["job", "show", &waiting.to_string(), "--json"]);
        assert!(went_well, "{shown}");
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["state"], "cancelled", "{name}");
        let (went_well, _) = server.command(&["job", "discard", &waiting.to_string()]);
        assert!(went_well, "{name}");
        server.delete(&address).await.problem(404, "not_found");
        let (went_well, said) = server.command(&["job", "retry", &waiting.to_string()]);
        assert!(!went_well && said.contains("no such job"), "{name}: {said}");
        server.get("/api/v1/jobs?kind=dance").await.problem(400, "invalid_query");
        server.get("/api/v1/jobs?state=dance").await.problem(400, "invalid_query");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_shows_in_the_health_and_recovers_with_more_room() {
    let mut full =
        Options::default().arg("--database-max-bytes").arg((2 << 20).to_string()).start(Database::Sqlite).await;
    let workspace = full.workspace("Shop").await;
    let documents = format!("/api/v1/workspaces/{workspace}/documents");
    let document = |n: usize| {
        let words: String = (0..20_000).map(|word| format!("word{n}x{word} ")).collect();
        json!({ "documents": [{ "external_id": n.to_string(), "title": "Long", "content": words }] })
    };
    let mut stored = 0;
    while full.post(&documents, document(stored)).await.status == StatusCode::OK {
        stored += 1;
        assert!(stored < 100, "two megabytes hold only so much");
    }
    let ready = |server: &Server| {
        let request = server.anonymous(Method::GET, "/readyz");
        async move {
            let answer = request.send().await.expect("an answer");
            (answer.status(), answer.text().await.expect("a body"))
        }
    };
    let (status, said) = ready(&full).await;
    assert!(status == StatusCode::OK && said.contains("the database is full"), "{said}");
    assert!(said.contains("database_max_bytes"), "it says what to do: {said}");

    full.kill();
    let roomy = Options::default().beside(&full).start(Database::Sqlite).await;
    assert_eq!(ready(&roomy).await, (StatusCode::OK, "ready".to_owned()));
    roomy.post(&documents, document(stored)).await.ok();
    assert_eq!(roomy.documents(&workspace).await.len(), stored + 1);
}
