//! What is secret stays secret: in answers, in logs and in the database file.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use reqwest::Method;
use serde_json::{Value, json};
use tributary_tests::{
    Database, Server, databases,
    server::{Answer, EMAIL, Options, PASSWORD, binary, text},
};

/// A part of every secret of these tests.
const CANARY: &str = "K7Q";

fn secrets(server: &Server, arguments: &[&str]) -> Output {
    Command::new(binary())
        .arg("secrets")
        .args(arguments)
        .args(["--database-url", &server.database_url(), "--data-dir"])
        .arg(server.data_dir())
        .output()
        .expect("the command runs")
}

/// GETs every address of the document, with these ids, as far as it holds no other, and gives all answers as one text.
async fn everything(server: &Server, ids: &[(&str, &str)]) -> String {
    let document = server.get("/openapi.json").await.ok();
    let mut answers = String::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = ids.iter().fold(path.clone(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id));
        if item.get("get").is_some() && !path.contains('{') {
            let workspace = ids[0].1;
            let answer = server.request(Method::GET, &format!("{path}?workspace_id={workspace}")).send().await;
            answers += &answer.expect("an answer").text().await.expect("a body");
        }
    }
    answers
}

/// Every file below a directory that holds the bytes.
fn files_with(directory: &Path, bytes: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        if entry.path().is_dir() {
            found.extend(files_with(&entry.path(), bytes));
        } else if fs::read(entry.path())
            .is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes.as_bytes()))
        {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_comes_out_anywhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let mut server =
        Options::default().root("docs", directory.path()).log_everything(&log).start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    let credentials = format!("/api/v1/workspaces/{workspace}/credentials");
    let value = json!({ "user": "K7Q-USER", "password": "K7Q-PASSWORD" });
    let new = json!({ "name": "shop", "kind": "basic", "value": value });
    let made = server.post(&credentials, new.clone()).await.expect(201);
    assert_eq!(made["fields"], json!(["password", "user"]));
    let id = text(&made["id"]);
    let one = format!("{credentials}/{id}");
    let replaced = server.request(Method::PUT, &one).json(&json!({ "kind": "basic", "value": { "key": "K7Q-NEW" } }));
    assert_eq!(Answer::of(replaced).await.ok()["fields"], json!(["key"]));
    let mut refusals = server.post(&credentials, new).await.problem(409, "name_taken").to_string();
    for wrong in [json!("K7Q-TEXT"), json!({ "key": ["K7Q-LIST"] }), json!({ "key": { "K7Q": "K7Q" } }), json!(null)] {
        let new = json!({ "name": "wrong", "kind": "basic", "value": wrong });
        refusals += &server.post(&credentials, new).await.expect(422).to_string();
    }
    let wrong = json!({ "email": EMAIL, "password": "K7Q-WRONG" });
    refusals += &server.post("/api/v1/auth/login", wrong).await.expect(401).to_string();
    let source = server.file_source(&workspace, json!({ "root": "docs" })).await;
    server.sync(&source).await;
    // The file connector has no secrets; a configuration that holds one is refused and not kept.
    let config =
        json!({ "name": "Wrong", "connector": "file", "config": { "root": "docs", "password": "K7Q-CONFIG" } });
    server.post(&format!("/api/v1/workspaces/{workspace}/sources"), config).await.expect(422);
    let forged = server.anonymous(Method::GET, &one).bearer_auth("K7Q-TOKEN");
    refusals += &Answer::of(forged).await.expect(401).to_string();

    let source = source.rsplit('/').next().expect("an id");
    let answers =
        everything(&server, &[("workspace_id", &workspace), ("credential_id", &id), ("source_id", source)]).await;
    assert!(answers.contains("\"shop\"") && answers.contains("PUT /api/v1"), "credentials and the audit log were read");
    assert!(!answers.contains(CANARY) && !refusals.contains(CANARY), "{answers}\n{refusals}");
    assert!(!answers.contains(PASSWORD));

    server.signal("TERM");
    assert!(server.wait().success());
    let logged = fs::read_to_string(&log).expect("a log");
    assert!(logged.len() > 10_000, "everything was logged");
    assert!(!logged.contains(CANARY) && !logged.contains(PASSWORD), "{}", around(&logged));
    assert_eq!(files_with(server.data_dir(), CANARY), [""; 0]);
    assert_eq!(files_with(server.data_dir(), PASSWORD), [""; 0]);
    let key = fs::read_to_string(server.data_dir().join("master.key")).expect("a key");
    assert!(!logged.contains(key.trim()));
    assert_eq!(files_with(server.data_dir(), key.trim()).len(), 1, "the key is in its file alone");
}

/// The line of a log that says too much.
fn around(log: &str) -> &str {
    log.lines().find(|line| line.contains(CANARY) || line.contains(PASSWORD)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_made_listed_replaced_and_deleted_without_their_values() {
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let other = server.workspace("Other").await;
        let credentials = format!("/api/v1/workspaces/{workspace}/credentials");
        let new = json!({ "name": "shop", "kind": "api_key", "value": { "key": "K7Q" } });
        let made = server.post(&credentials, new).await.expect(201);
        let one = format!("{credentials}/{}", text(&made["id"]));
        assert_eq!(server.get(&one).await.ok(), made);
        assert_eq!(server.get(&credentials).await.ok()["items"], json!([made]));
        assert_eq!(made["last_used_at"], Value::Null);
        let elsewhere = one.replace(&workspace, &other);
        server.get(&elsewhere).await.problem(404, "not_found");
        server.delete(&elsewhere).await.problem(404, "not_found");
        let large = json!({ "name": "large", "kind": "api_key", "value": { "key": "x".repeat(16 << 10) } });
        server.post(&credentials, large).await.problem(422, "invalid_body");
        server.delete(&one).await.expect(204);
        server.get(&one).await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_master_key_takes_effect_with_the_next_start() {
    for database in databases().await {
        let mut server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let credentials = format!("/api/v1/workspaces/{workspace}/credentials");
        let new = |name: &str| json!({ "name": name, "kind": "api_key", "value": { "key": "K7Q" } });
        server.post(&credentials, new("before")).await.expect(201);
        let status = secrets(&server, &["status"]);
        assert!(status.status.success() && !String::from_utf8_lossy(&status.stdout).contains("none"), "{status:?}");
        let rotated = secrets(&server, &["rotate"]);
        let said = String::from_utf8_lossy(&rotated.stdout).into_owned();
        assert!(rotated.status.success() && said.contains("restart all hosts"), "{rotated:?}");
        // The running host has the old key: it changes nothing that it could not open again.
        server.post(&credentials, new("between")).await.problem(500, "internal");
        server.restart().await;
        server.post(&credentials, new("after")).await.expect(201);
        assert_eq!(server.get(&credentials).await.ok()["items"].as_array().map(Vec::len), Some(2));
        let key = server.data_dir().join("master.key");
        fs::remove_file(&key).expect("the key can be taken away");
        let status = secrets(&server, &["status"]);
        assert_eq!(status.status.code(), Some(1), "{status:?}");
        let started = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--database-url", &server.database_url(), "--data-dir"])
            .arg(server.data_dir())
            .output()
            .expect("the command runs");
        let said = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(!started.status.success() && said.contains("--master-key-file"), "{said}");
        assert!(!key.exists());
    }
}
