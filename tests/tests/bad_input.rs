//! Bad input: each a specific message, nothing half-written, and the server keeps serving.

use std::{fs, os::unix::fs::symlink};

use reqwest::Method;
use serde_json::{Value, json};
use tributary_tests::{
    Database, Server, databases,
    documents::standing,
    server::{Answer, Options, text},
};

async fn shop(folder: &std::path::Path) -> (Server, String) {
    let server = Options::default().root("shop", folder).start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    (server, workspace)
}

fn pointers(problem: &Value) -> Vec<String> {
    problem["errors"]
        .as_array()
        .map(|errors| errors.iter().map(|error| text(&error["pointer"])).collect())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_cannot_work_is_refused_with_the_field_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    let (server, workspace) = shop(folder.path()).await;
    let sources = format!("/api/v1/workspaces/{workspace}/sources");
    let refused = async |body: Value, code: &str, pointer: &str| {
        let problem = server.post(&sources, body).await.problem(422, code);
        assert!(pointers(&problem).contains(&pointer.to_owned()), "{pointer}: {problem}");
        text(&problem["detail"])
    };
    let with = |config: Value| json!({ "name": "Files", "connector": "file", "config": config });
    let detail =
        refused(json!({ "name": "x", "connector": "fiel", "config": {} }), "unknown_connector", "/connector").await;
    assert!(detail.contains("file"), "the message names what there is: {detail}");
    refused(with(json!({})), "invalid_config", "/config/root").await;
    refused(with(json!({ "root": 7 })), "invalid_config", "/config/root").await;
    refused(with(json!({ "root": "shop", "inclde": [] })), "invalid_config", "/config/inclde").await;
    let detail = refused(with(json!({ "root": "secret" })), "root_not_granted", "/config/root").await;
    assert!(detail.contains("--root secret=PATH"), "{detail}");
    let scheduled = |cron: &str, timezone: &str| json!({ "name": "x", "connector": "file", "config": { "root": "shop" }, "schedule": { "cron": cron, "timezone": timezone } });
    let detail = refused(scheduled(&vec!["*"; 6_000].join(" "), "UTC"), "invalid_schedule", "/schedule/cron").await;
    assert!(detail.contains("6000 fields"), "{detail}");
    let detail = refused(scheduled("0 3 * * *", "Europe/Atlantis"), "invalid_schedule", "/schedule/timezone").await;
    assert!(detail.contains("Europe/Atlantis"), "{detail}");
    let also = |name: &str, value: Value| {
        let mut body = json!({ "name": "x", "connector": "file", "config": { "root": "shop" } });
        body[name] = value;
        body
    };
    let detail = refused(also("schedule", json!({ "every": "10s" })), "invalid_schedule", "/schedule/every").await;
    assert!(detail.contains("at least 1m"), "{detail}");
    let often = json!({ "cron": "*/5 * * * * *" });
    let detail = refused(also("full_schedule", often), "invalid_schedule", "/full_schedule/cron").await;
    assert!(detail.contains("once a minute"), "{detail}");
    refused(also("schedule", json!({})), "invalid_schedule", "/schedule/cron").await;
    let both = json!({ "every": "1h", "cron": "0 3 * * *" });
    refused(also("schedule", both), "invalid_schedule", "/schedule/every").await;
    let overlap = json!({ "every": "1h", "overlap": "twice" });
    refused(also("schedule", overlap), "invalid_body", "/schedule/overlap").await;
    let catch_up = json!({ "every": "1h", "catch_up": "a while" });
    refused(also("schedule", catch_up), "invalid_schedule", "/schedule/catch_up").await;
    refused(also("pause_after_failures", json!(1)), "invalid_body", "/pause_after_failures").await;
    refused(json!({ "name": "", "connector": "file", "config": { "root": "shop" } }), "invalid_body", "/name").await;

    let names = server.get(&sources).await.ok();
    assert_eq!(names["items"].as_array().unwrap().len(), 1, "only the built-in push source: nothing was half-written");
    server.file_source(&workspace, json!({ "root": "shop" })).await;
    server.post(&sources, with(json!({ "root": "shop" }))).await.problem(409, "name_taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_fail_alone() {
    for database in databases().await {
        let name = database.name();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret.md"), "the canary is K7Q-SECRET").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8]| fs::write(folder.path().join(name), content).unwrap();
        file("good.md", b"# Good\n\nA fine document about parcels.");
        symlink(outside.path().join("secret.md"), folder.path().join("link.md")).unwrap();
        symlink(outside.path(), folder.path().join("linked")).unwrap();
        file("latin.txt", b"Caf\xe9 cr\xe8me br\xfbl\xe9e \xff");
        file("ragged.csv", b"sku,name\nA1,One\nA2,Two,too many\nA3\nA4,Four\n");
        file(
            "bomb.html",
            format!("<html><body>{}deep{}</body></html>", "<div>".repeat(200_000), "</div>".repeat(200_000)).as_bytes(),
        );
        file(
            "attributes.html",
            format!(
                "<html><body><p {}>text</p></body></html>",
                (0..200_000).map(|n| format!("a{n}=1 ")).collect::<String>()
            )
            .as_bytes(),
        );
        file("broken.json", b"[{\"id\": 1, \"name\": \"one\"}, {\"id\": ");
        fs::File::create(folder.path().join("huge.txt")).unwrap().set_len(2 << 30).unwrap();

        let server = Options::default().root("shop", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let source = server.file_source(&workspace, json!({ "root": "shop" })).await;
        let run = server.sync(&source).await;
        assert_eq!(run["status"], "partial", "{name}: {run}");
        let failed: Vec<(String, String)> = run["failed_items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (text(&item["external_id"]), text(&item["message"])))
            .collect();
        let message =
            |id: &str| failed.iter().find(|(failed, _)| failed.starts_with(id)).map(|(_, message)| message.as_str());
        assert!(message("huge.txt").is_some(), "{name}: {failed:?}");
        assert!(
            message("ragged.csv").is_some_and(|message| message.contains('3') && message.contains('2')),
            "row and field numbers: {failed:?}"
        );
        assert!(message("broken.json").is_some(), "{failed:?}");
        let standing = standing(&server.documents(&workspace).await);
        assert!(standing.contains_key("good.md") && standing.contains_key("latin.txt"), "{name}: {standing:?}");
        assert_eq!(
            standing.keys().filter(|id| id.starts_with("ragged.csv")).count(),
            2,
            "the sound rows are there: {standing:?}"
        );
        assert!(standing.keys().all(|id| !id.starts_with("link")), "{standing:?}");
        let found = server
            .post("/api/v1/knowledge/query", json!({ "workspace_id": workspace, "query": "canary K7Q-SECRET" }))
            .await
            .ok();
        assert!(!found.to_string().contains("the canary is"), "nothing outside the root is read: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_vanished_or_is_empty_deletes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("shop");
    fs::create_dir(&folder).unwrap();
    for n in 0..8 {
        fs::write(folder.join(format!("{n}.md")), format!("document {n}")).unwrap();
    }
    let (server, workspace) = shop(&folder).await;
    let source = server.file_source(&workspace, json!({ "root": "shop" })).await;
    server.sync(&source).await;

    let away = parent.path().join("away");
    fs::rename(&folder, &away).unwrap();
    let run = server.sync(&source).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("root_missing")), "{run}");
    assert_eq!(server.get(&source).await.ok()["health"], "needs_attention");
    fs::create_dir(&folder).unwrap();
    let run = server.sync(&source).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("partial"), &json!("deletions_held")), "{run}");
    assert_eq!(server.documents(&workspace).await.len(), 8);

    // A person who means it may say so.
    let accepted = server.start_sync(&source, json!({ "accept_deletions": true })).await;
    let run = server.finished(&accepted).await;
    assert_eq!((&run["status"], &run["counts"]["deleted"]), (&json!("succeeded"), &json!(8)), "{run}");
    assert!(server.documents(&workspace).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (server, workspace) = shop(folder.path()).await;
    let raw = async |path: &str, body: &'static str| {
        Answer::of(server.request(Method::POST, path).header("content-type", "application/json").body(body)).await
    };
    let problem = raw("/api/v1/workspaces", "{\"name\": ").await.problem(400, "invalid_json");
    assert!(text(&problem["detail"]).contains("line 1"), "{problem}");
    let problem = raw("/api/v1/workspaces", "{\"name\": 5}").await.problem(422, "invalid_body");
    assert_eq!(pointers(&problem), ["/name"]);
    let problem = raw("/api/v1/workspaces", "{\"nam\": \"x\"}").await.problem(422, "invalid_body");
    assert!(text(&problem["detail"]).contains("nam"), "{problem}");
    Answer::of(server.request(Method::POST, "/api/v1/workspaces").body("name=x"))
        .await
        .problem(415, "unsupported_media_type");
    let large = Answer::of(
        server
            .request(Method::POST, "/api/v1/workspaces")
            .header("content-type", "application/json")
            // The server closes a connection whose body it does not want to read.
            .header("connection", "close")
            .body(vec![b' '; 3 << 20]),
    )
    .await;
    large.problem(413, "too_large");

    let documents = format!("/api/v1/workspaces/{workspace}/documents");
    let twice = json!({ "documents": [{ "external_id": "a", "title": "A", "content": "a" }, { "external_id": "a", "title": "B", "content": "b" }] });
    let problem = server.post(&documents, twice).await.problem(422, "invalid_body");
    assert_eq!(pointers(&problem), ["/documents/1/external_id"]);
    server.post(&documents, json!({ "documents": [] })).await.problem(422, "invalid_body");
    let mixed = json!({ "documents": [{ "external_id": "", "title": "A", "content": "a" }, { "external_id": "b", "title": "B", "content": "b" },
        { "external_id": "c", "title": "C", "content": "c", "media_type": "application/x-unheard-of" }] });
    let pushed = server.post(&documents, mixed).await.ok();
    let outcomes: Vec<_> =
        pushed["results"].as_array().unwrap().iter().map(|result| text(&result["outcome"])).collect();
    assert_eq!(outcomes, ["failed", "added", "failed"], "{pushed}");

    let ask = async |body: Value| server.post("/api/v1/knowledge/query", body).await;
    ask(json!({ "workspace_id": workspace, "query": " " })).await.problem(422, "invalid_body");
    ask(json!({ "workspace_id": workspace, "query": "x", "top_k": 0 })).await.problem(422, "invalid_body");
    ask(json!({ "workspace_id": workspace, "query": "x", "mode": "vector" })).await.problem(422, "invalid_body");
    ask(json!({ "workspace_id": "not-an-id", "query": "x" })).await.problem(404, "not_found");
    ask(json!({ "workspace_id": workspace, "query": "\" AND ( title:[* TO ~~ \\ \u{0} OR" })).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_says_so_and_reads_go_on() {
    let server =
        Options::default().arg("--database-max-bytes").arg((2 << 20).to_string()).start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    let documents = format!("/api/v1/workspaces/{workspace}/documents");
    let batch = |n: usize| {
        let words: String = (0..2_000).map(|word| format!("word{n}x{word} ")).collect();
        let many: Vec<_> =
            (0..10).map(|i| json!({ "external_id": format!("{n}/{i}"), "title": "Long", "content": words })).collect();
        json!({ "documents": many })
    };
    let mut stored = 0;
    let full = loop {
        let answer = server.post(&documents, batch(stored)).await;
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
        assert!(stored < 100, "two megabytes hold only so much");
    };
    let problem = full.problem(507, "database_full");
    assert!(text(&problem["detail"]).contains("full"), "{problem}");
    assert_eq!(server.documents(&workspace).await.len(), stored * 10, "nothing is half-written");
    server.get("/readyz").await;
    server.post("/api/v1/knowledge/query", json!({ "workspace_id": workspace, "query": "word0x1" })).await.ok();
}
