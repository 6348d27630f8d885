//! PostgreSQL and Redis stop and start again under a running server: nothing is lost, and nobody has to restart it.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use tributary_tests::{
    Database, Server,
    documents::{Standing, standing},
    eventually,
    server::{Answer, EMAIL, Options, PASSWORD, text},
    services::Service,
};

fn library(folder: &Path, files: usize) {
    fs::create_dir_all(folder).unwrap();
    for n in 0..files {
        let content = format!("# Document {n}\n\nParcel {n} goes to town {}.\n", n * 7 % 1_000);
        fs::write(folder.join(format!("{n:05}.md")), content).unwrap();
    }
}

fn expected(files: usize) -> Standing {
    (0..files).map(|n| (format!("{n:05}.md"), (format!("Document {n}"), 1))).collect()
}

async fn ready(server: &Server) -> Answer {
    Answer::of(server.anonymous(Method::GET, "/readyz")).await
}

/// Until `/readyz` says so.
async fn until_ready(server: &Server) {
    eventually("the server to be ready", async || (ready(server).await.status == 200).then_some(())).await;
}

/// Until `/readyz` says that the database is away.
async fn until_away(server: &Server) {
    let away = eventually("the server to say so", async || {
        let answer = ready(server).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    away.problem(503, "database_unavailable");
}

/// As many requests at once as there may be connections, and more.
async fn requests(server: &Server, workspace: &str) -> Vec<Answer> {
    let path = format!("/api/v1/workspaces/{workspace}");
    join_all((0..40).map(async |_| server.get(&path).await)).await
}

async fn everything_answers(server: &Server, workspace: &str) {
    let answers = requests(server, workspace).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    assert!(refused.is_empty(), "{} of 40 were refused: {:?}", refused.len(), refused.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_stops_and_starts_in_the_middle_of_a_sync() {
    const FILES: usize = 1_500;
    let Some(mut postgres) = Service::postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    library(&folder.path().join("large"), FILES);
    let small = ["a", "b", "c"];
    small.iter().for_each(|name| library(&folder.path().join(name), 20));
    let server = small
        .iter()
        .chain(&["large"])
        .fold(Options::default(), |options, name| options.root(name, &folder.path().join(name)));
    let server = server.arg("--page-items").arg("50").arg("--lease-ms").arg("3000").arg("--sync-workers").arg("1");
    let server = server.arg("--database-url").arg(postgres.url.clone()).start(Database::Sqlite).await;
    let mut syncs = Vec::new();
    for name in ["large", "a", "b", "c"] {
        let workspace = server.workspace(name).await;
        let source = server.file_source(&workspace, json!({ "root": name })).await;
        syncs.push((workspace, server.start_sync(&source, json!({})).await));
    }
    let (large, run) = syncs[0].clone();
    let seen = async || server.get(&run).await.ok()["counts"]["seen"].as_u64().unwrap();
    eventually("the sync to be under way", async || (seen().await >= 200).then_some(())).await;
    let process = server.pid();

    postgres.stop();
    until_away(&server).await;
    // Some wait for a connection, longer than a lease.
    let began = Instant::now();
    for answer in requests(&server, &large).await {
        answer.problem(503, "database_unavailable");
    }
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    postgres.start();
    until_ready(&server).await;
    everything_answers(&server, &large).await;
    let stood_at = server.get(&run).await.ok();
    assert!(stood_at["counts"]["seen"].as_u64() < Some(FILES as u64), "it was stopped in the middle: {stood_at}");

    for ((workspace, run), files) in syncs.iter().zip([FILES, 20, 20, 20]) {
        let run = server.finished(run).await;
        assert_eq!((&run["status"], &run["counts"]["added"]), (&json!("succeeded"), &json!(files)), "{run}");
        assert_eq!(standing(&server.documents(workspace).await), expected(files));
        let query = json!({ "workspace_id": workspace, "query": "parcel 11", "min_position": run["position"] });
        let found = server.post("/api/v1/knowledge/query", query).await.ok();
        assert_eq!(found["results"][0]["external_id"], "00011.md", "the index caught up: {found}");
    }
    let jobs = server.get("/api/v1/jobs?limit=100").await.ok();
    let states: Vec<_> = jobs["items"].as_array().unwrap().iter().map(|job| text(&job["state"])).collect();
    assert_eq!(states, vec!["done"; 4], "each sync was one job: {jobs}");
    assert_eq!(server.pid(), process);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_stops_and_starts_while_nothing_happens() {
    let Some(mut postgres) = Service::postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), 20);
    let log = folder.path().join("log");
    let options = || Options::default().arg("--database-url").arg(postgres.url.clone()).root("library", folder.path());
    let server = options().log_to(&log).start(Database::Sqlite).await;
    let workspace = server.workspace("Library").await;
    let source = server.file_source(&workspace, json!({ "root": "library", "include": ["*.md"] })).await;
    server.sync(&source).await;
    everything_answers(&server, &workspace).await;

    // Back before anybody noticed: connections from before are not handed out.
    postgres.stop();
    postgres.start();
    everything_answers(&server, &workspace).await;
    // Away until everybody noticed.
    let logged = async |line: &str| {
        eventually("a line in the log", async || fs::read_to_string(&log).unwrap().contains(line).then_some(())).await;
    };
    postgres.stop();
    until_away(&server).await;
    logged("no job can be taken up").await;
    postgres.start();
    until_ready(&server).await;
    logged("jobs can be taken up again").await;
    everything_answers(&server, &workspace).await;

    library(folder.path(), 30);
    let run = server.sync(&source).await;
    assert_eq!((&run["status"], &run["counts"]["added"]), (&json!("succeeded"), &json!(10)), "{run}");
    assert_eq!(standing(&server.documents(&workspace).await), expected(30));
    assert!(!fs::read_to_string(&log).unwrap().contains("panicked"));
}

async fn get_as(server: &Server, bearer: &str, path: &str) -> u16 {
    Answer::of(server.anonymous(Method::GET, path).bearer_auth(bearer)).await.status.as_u16()
}

/// How many of so many requests with a key a host lets through.
async fn let_through(server: &Server, key: &str, path: &str, requests: usize) -> usize {
    let mut granted = 0;
    for _ in 0..requests {
        match get_as(server, key, path).await {
            200 => granted += 1,
            status => assert_eq!(status, 429),
        }
    }
    granted
}

/// On SQLite: there the hosts have nothing but Redis to wake each other.
#[tokio::test(flavor = "multi_thread")]
async fn redis_stops_and_starts_under_two_hosts() {
    let Some(mut redis) = Service::redis() else { return };
    let folder = tempfile::tempdir().unwrap();
    library(&folder.path().join("large"), 10_000);
    let small = ["before", "meanwhile", "after"];
    small.iter().for_each(|name| library(&folder.path().join(name), 5));
    let options = |log: &Path| {
        let options = small
            .iter()
            .chain(&["large"])
            .fold(Options::default(), |options, name| options.root(name, &folder.path().join(name)));
        // One hand each, and polls so rare that what is taken up soon was heard of.
        ["--sync-workers=1", "--page-items=20", "--job-poll-ms=60000", "--lease-ms=60000"]
            .into_iter()
            .fold(options, Options::arg)
            .arg("--redis-url")
            .arg(redis.url.clone())
            .log_to(log)
    };
    let logs = [folder.path().join("first.log"), folder.path().join("second.log")];
    let first = options(&logs[0]).start(Database::Sqlite).await;
    let workspace = first.workspace("Library").await;
    let here = format!("/api/v1/workspaces/{workspace}");
    let sources = async |name: &str| {
        let new = json!({ "name": name, "connector": "file", "config": { "root": name } });
        format!("{here}/sources/{}", text(&first.post(&format!("{here}/sources"), new).await.expect(201)["id"]))
    };
    let busy = first.start_sync(&sources("large").await, json!({})).await;
    eventually("the first host to be busy", async || {
        (first.get(&busy).await.ok()["status"] == "running").then_some(())
    })
    .await;
    let second = options(&logs[1]).beside(&first).start(Database::Sqlite).await;
    // Begun on the host that has no hand free: the other has to hear of it.
    let taken_up = async |run: &str| {
        let began = Instant::now();
        assert_eq!(second.finished(run).await["status"], "succeeded");
        assert!(began.elapsed() < Duration::from_secs(20), "nobody was woken: {:?}", began.elapsed());
        assert_eq!(first.get(&busy).await.ok()["status"], "running", "the first host did it");
    };
    let new_key = async |name: &str| {
        let new = json!({ "name": name, "scopes": ["admin"], "limits": { "requests_per_minute": 4 } });
        text(&first.post(&format!("{here}/keys"), new).await.expect(201)["key"])
    };
    // A Redis that is slow for once, on a busy machine, is left alone for two seconds.
    let counted_together = async || {
        eventually("the hosts to count together", async || {
            let key = new_key("together").await;
            let granted = let_through(&first, &key, &here, 3).await + let_through(&second, &key, &here, 3).await;
            (granted == 4).then_some(())
        })
        .await;
    };
    let session = async || {
        let body = json!({ "email": EMAIL, "password": PASSWORD });
        text(&first.post("/api/v1/auth/login", body).await.ok()["access_token"])
    };
    let log_out = async |token: String| {
        assert_eq!(get_as(&second, &token, &here).await, 200);
        let request = first.anonymous(Method::POST, "/api/v1/auth/logout").bearer_auth(&token);
        Answer::of(request).await.expect(204);
        let began = Instant::now();
        eventually("it to be refused", async || (get_as(&second, &token, &here).await == 401).then_some(())).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    };

    taken_up(&first.start_sync(&sources("before").await, json!({})).await).await;
    counted_together().await;
    log_out(session().await).await;

    redis.stop();
    let key = new_key("meanwhile").await;
    assert_eq!((let_through(&first, &key, &here, 5).await, let_through(&second, &key, &here, 5).await), (4, 4));
    log_out(session().await).await;
    let waiting = first.start_sync(&sources("meanwhile").await, json!({})).await;
    let wakes = ["Redis cannot be reached; going on without it", "hosts wake each other through it again"];
    let rates = ["each host limits rates by its own count", "rates are limited by the count of all hosts again"];
    let said = |log: &Path, what: &str| fs::read_to_string(log).unwrap().matches(what).count();
    for log in &logs {
        eventually("the log to say so", async || (said(log, wakes[0]) == 1).then_some(())).await;
        assert!(said(log, rates[0]) > said(log, rates[1]), "{}", fs::read_to_string(log).unwrap());
    }

    redis.start();
    // Whoever was not told looks when Redis is back.
    taken_up(&waiting).await;
    for log in &logs {
        let used = || said(log, wakes[1]) == 1 && said(log, rates[1]) == said(log, rates[0]);
        eventually("Redis to be used again", async || used().then_some(())).await;
    }
    taken_up(&first.start_sync(&sources("after").await, json!({})).await).await;
    counted_together().await;
    log_out(session().await).await;
    for log in &logs {
        assert_eq!((said(log, wakes[0]), said(log, wakes[1])), (1, 1), "{}", fs::read_to_string(log).unwrap());
    }
    first.post(&format!("{busy}/cancel"), json!({})).await.expect(202);
}
