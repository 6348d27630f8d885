//! Who changed what: every change leaves a trace, no trace holds a secret, and tampering is found.

use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tributary_store::testing::{drop_audit_triggers, execute};
use tributary_tests::{
    Database, Server, databases, eventually,
    server::{Answer, EMAIL, Options, binary, text},
};

/// The newest events of a filter.
async fn events(server: &Server, filter: &str) -> Vec<Value> {
    server.get(&format!("/api/v1/audit?limit=100{filter}")).await.ok()["items"].as_array().expect("items").clone()
}

async fn exported(server: &Server) -> String {
    let answer = server.request(Method::GET, "/api/v1/audit/export").send().await.expect("an answer");
    assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
    answer.text().await.expect("a whole export")
}

fn audit(server: &Server, arguments: &[&str]) -> Output {
    Command::new(binary())
        .arg("audit")
        .args(arguments)
        .args(["--database-url", &server.database_url()])
        .output()
        .expect("the command runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_that_changes_something_leaves_an_event() {
    let mut server = Server::start(Database::Sqlite).await;
    let document = server.get("/openapi.json").await.ok();
    let id = "01890000-0000-7000-8000-000000000000";
    let mut changing = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if !["post", "put", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            // What visitors do changes nothing but their own visit.
            let asks = ["/api/v1/chat", "/api/v1/knowledge/query"].contains(&path.as_str())
                || path.ends_with("/schedule-preview")
                || path.starts_with("/api/v1/widgets/");
            let closed = operation.get("security").is_some();
            if !closed && path != "/api/v1/auth/login" {
                continue;
            }
            let filled: Vec<_> = path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect();
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let request_id = format!("op-{changing}");
            let login = json!({ "email": EMAIL, "password": "wrong" });
            let body = if closed { json!({ "name": "K7Q-BODY" }) } else { login };
            let request = server.request(method.clone(), &filled.join("/")).header("x-request-id", &request_id);
            let answer = Answer::of(request.json(&body)).await;
            changing += 1;
            // Some of these end the session.
            if path.starts_with("/api/v1/auth/") {
                server.log_in().await;
            }
            let found: Vec<_> =
                events(&server, "").await.into_iter().filter(|event| event["request_id"] == *request_id).collect();
            if asks {
                assert!(found.is_empty(), "{method} {path}");
                continue;
            }
            assert_eq!(found.len(), 1, "{method} {path}");
            assert_eq!(found[0]["action"], format!("{method} {path}"));
            assert_eq!(found[0]["from_ip"], "127.0.0.1");
            if closed {
                assert!(text(&found[0]["actor"]).starts_with("user:"), "{method} {path}");
                assert_eq!(found[0]["detail"]["status"], answer.status.as_u16(), "{method} {path}");
                assert_eq!(found[0]["workspace_id"] == id, path.contains("{workspace_id}"), "{method} {path}");
                assert_eq!(found[0]["target"] == "", !path.replace("{workspace_id}", "").contains('{'), "{path}");
            }
        }
    }
    assert!(changing >= 10, "{changing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_tells_who_did_what_where_and_how_it_ended() {
    let docs = tempfile::tempdir().expect("a directory");
    for database in databases().await {
        let server = Options::default().root("docs", docs.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let other = server.workspace("Other").await;
        let sources = format!("/api/v1/workspaces/{workspace}/sources");
        let source = server.file_source(&workspace, json!({ "root": "docs" })).await;
        let source_id = source.rsplit('/').next().expect("an id").to_owned();
        server.delete(&source).await.expect(204);
        server.post(&sources, json!({ "nome": "x" })).await.expect(422);
        Answer::of(server.anonymous(Method::POST, &sources)).await.expect(401);

        let of_workspace = server.get(&format!("/api/v1/workspaces/{workspace}/audit")).await.ok();
        let of_workspace = of_workspace["items"].as_array().expect("items");
        let told: Vec<_> = of_workspace
            .iter()
            .map(|event| (text(&event["action"]), text(&event["outcome"]), event["detail"]["status"].clone()))
            .collect();
        let (make, one) = ("/api/v1/workspaces/{workspace_id}/sources", "/{source_id}");
        let expected = [
            (format!("POST {make}"), "failed".to_owned(), json!(422)),
            (format!("DELETE {make}{one}"), "ok".to_owned(), json!(204)),
            (format!("POST {make}"), "ok".to_owned(), json!(201)),
        ];
        assert_eq!(told, expected);
        // What a stranger tried stands in the log of the server, not in that of the workspace.
        let tried = events(&server, "&actor=anonymous&action=POST%20/api/v1/workspaces").await;
        assert_eq!((tried[0]["detail"]["status"].as_i64(), tried[0]["workspace_id"].is_null()), (Some(401), true));
        assert_eq!(tried[0]["target"], format!("workspace_id={workspace}"));
        let me = text(&server.get("/api/v1/auth/me").await.ok()["id"]);
        assert_eq!(of_workspace[1]["actor"], format!("user:{me}"));
        assert_eq!(of_workspace[1]["target"], format!("source_id={source_id}"));
        assert!(events(&server, &format!("&workspace_id={other}")).await.is_empty());
        assert_eq!(events(&server, "&action=DELETE").await.len(), 1);

        let page = server.get("/api/v1/audit?limit=2").await.ok();
        let next = server.get(&format!("/api/v1/audit?limit=2&cursor={}", text(&page["next_cursor"]))).await.ok();
        assert_eq!(next["items"][0]["seq"].as_i64(), page["items"][1]["seq"].as_i64().map(|seq| seq - 1));

        let lines = exported(&server).await;
        let numbers: Vec<_> = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["seq"].as_i64().expect("a number"))
            .collect();
        assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_ins_are_recorded_without_address_or_password() {
    let server = Server::start(Database::Sqlite).await;
    let wrong = json!({ "email": "K7Q-SOMEBODY@example.org", "password": "K7Q-PASSWORD" });
    server.post("/api/v1/auth/login", wrong).await.expect(401);
    let log_ins = events(&server, "&action=POST%20/api/v1/auth/login").await;
    assert_eq!(log_ins.len(), 2);
    assert_eq!((&log_ins[0]["actor"], &log_ins[0]["outcome"]), (&json!("anonymous"), &json!("denied")));
    assert_eq!(log_ins[0]["detail"]["email_domain"], "example.org");
    assert!(text(&log_ins[1]["actor"]).starts_with("user:"));
    assert_eq!(log_ins[1]["outcome"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_secret_of_a_request_is_in_the_log() {
    let server = Server::start(Database::Sqlite).await;
    let workspace = server.workspace("K7Q-NAME").await;
    let wrong = json!({ "email": "K7Q-MAIL", "password": "K7Q-PASSWORD" });
    server.post("/api/v1/auth/login", wrong).await.expect(401);
    let sources = format!("/api/v1/workspaces/{workspace}/sources?token=K7Q-QUERY");
    let config = json!({ "root": "docs", "password": "K7Q-CONFIG" });
    server.post(&sources, json!({ "name": "K7Q-SOURCE", "connector": "file", "config": config })).await;
    let forged = server.anonymous(Method::POST, &sources).bearer_auth("K7Q-TOKEN").header("cookie", "K7Q-COOKIE");
    Answer::of(forged).await.expect(401);
    let log = exported(&server).await;
    assert!(log.lines().count() >= 5 && !log.contains("K7Q"), "{log}");
    let token = server.request(Method::GET, "/").build().expect("a request").headers()["authorization"].clone();
    let signature = token.to_str().expect("text").rsplit('.').next().expect("a signature").to_owned();
    assert!(!log.contains(&signature), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_strangers_does_not_fill_the_log() {
    let server = Server::start(Database::Sqlite).await;
    let flood = (0..600).map(|_| Answer::of(server.anonymous(Method::POST, "/api/v1/workspaces")));
    futures::future::join_all(flood).await;
    server.workspace("Shop").await;
    let log = exported(&server).await;
    let strangers = log.lines().filter(|line| line.contains("\"anonymous\"")).count();
    // The flood may fall into two minutes.
    assert!((1..=241).contains(&strangers), "{strangers}");
    assert!(log.lines().last().is_some_and(|line| line.contains("\"user:")), "those who are known are always recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_half_way_leaves_an_event_too() {
    let server = Server::start(Database::Sqlite).await;
    let address = server.url("").replace("http://", "");
    let token = server.request(Method::GET, "/").build().expect("a request").headers()["authorization"].clone();
    let head = format!(
        "POST /api/v1/workspaces HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nx-request-id: gone\r\n\
         content-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        token.to_str().expect("text")
    );
    let mut connection = tokio::net::TcpStream::connect(address).await.expect("a connection");
    connection.write_all(head.as_bytes()).await.expect("half a request");
    drop(connection);
    let event = eventually("the event", async || {
        events(&server, "").await.into_iter().find(|event| event["request_id"] == "gone")
    })
    .await;
    assert_eq!((&event["action"], &event["outcome"]), (&json!("POST /api/v1/workspaces"), &json!("failed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_checks_and_shows_the_log_of_a_running_server() {
    for database in databases().await {
        let server = Options::default().start(database).await;
        server.workspace("Shop").await;
        let verified = audit(&server, &["verify"]);
        assert!(verified.status.success(), "{verified:?}");
        assert!(String::from_utf8_lossy(&verified.stdout).contains("is whole: 2 events"), "{verified:?}");
        let verified: Value = serde_json::from_slice(&audit(&server, &["verify", "--json"]).stdout).expect("JSON");
        assert_eq!((&verified["whole"], &verified["events"]), (&json!(true), &json!(2)));
        let shown = audit(&server, &["list", "--action", "POST /api/v1/workspaces"]);
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert_eq!(shown.lines().count(), 1, "{shown}");
        assert!(shown.contains(" ok ") && shown.contains("POST /api/v1/workspaces"), "{shown}");
        let listed = audit(&server, &["list", "--json", "--limit", "1"]);
        let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
        assert_eq!(listed["seq"], 2);

        drop_audit_triggers(&server.database_url()).await.expect("triggers can be dropped");
        let changed = "UPDATE audit_event SET actor = 'user:somebody-else' WHERE seq = 1";
        execute(&server.database_url(), changed).await.expect("an event can be changed");
        let broken = audit(&server, &["verify"]);
        let said = String::from_utf8_lossy(&broken.stderr).into_owned();
        assert_eq!(broken.status.code(), Some(1));
        assert!(said.contains("broken: event 1 was changed") && said.lines().count() == 1, "{said}");
        let broken = audit(&server, &["verify", "--json"]);
        assert_eq!(broken.status.code(), Some(1));
        let broken: Value = serde_json::from_slice(&broken.stdout).expect("JSON");
        assert_eq!((&broken["seq"], &broken["fault"]), (&json!(1), &json!("changed")));
    }
}

#[tokio::test]
async fn the_audit_commands_make_no_database() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = Command::new(binary())
        .args(["audit", "verify", "--data-dir"])
        .arg(directory.path())
        .output()
        .expect("the command runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("tributary.db"), "{output:?}");
    assert_eq!(std::fs::read_dir(directory.path()).expect("the directory").count(), 0);
}
