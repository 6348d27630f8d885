//! The API's manners: closed by default, problems everywhere, request ids, documentation, orderly start and stop.

use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use tributary_tests::{
    Database, Server, databases,
    server::{Answer, EMAIL, Options, text},
};

/// Every operation of the OpenAPI document: method, path with ids filled in, whether it is closed.
fn operations(document: &Value) -> Vec<(Method, String, bool)> {
    let id = "01890000-0000-7000-8000-000000000000";
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else { continue };
            let filled =
                path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect::<Vec<_>>().join("/");
            operations.push((method, filled, operation.get("security").is_some()));
        }
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_closed_unless_meant_to_be_open() {
    let server = Server::start(Database::Sqlite).await;
    let document = Answer::of(server.anonymous(Method::GET, "/openapi.json")).await.ok();
    let operations = operations(&document);
    assert!(operations.len() >= 20, "{}", operations.len());
    let open: Vec<_> = operations.iter().filter(|(_, _, closed)| !closed).map(|(_, path, _)| path.as_str()).collect();
    let expected = [
        "/.well-known/jwks.json",
        "/api/v1/auth/invitations/accept",
        "/api/v1/auth/login",
        "/api/v1/auth/password/reset",
        "/api/v1/auth/refresh",
        "/api/v1/widgets/01890000-0000-7000-8000-000000000000/sessions",
        "/healthz",
        "/readyz",
    ];
    assert_eq!(open, expected);
    for (method, path, closed) in operations {
        if closed {
            let path_is_of_a_widget = path.starts_with("/api/v1/widgets/");
            Answer::of(server.anonymous(method.clone(), &path)).await.problem(401, "unauthenticated");
            let forged = server.anonymous(method, &path).bearer_auth("eyJhbGciOiJub25lIn0.e30.");
            // A widget's routes look at the key in their address first.
            let code = if path_is_of_a_widget { "invalid_key" } else { "invalid_token" };
            Answer::of(forged).await.problem(401, code);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_every_answer() {
    let server = Server::start(Database::Sqlite).await;
    let document = Answer::of(server.anonymous(Method::GET, "/openapi.json")).await.ok();
    assert!(text(&document["openapi"]).starts_with("3."));
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let responses =
                operation["responses"].as_object().unwrap_or_else(|| panic!("{method} {path} has no responses"));
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(operation.get("security").is_none() || responses.contains_key("401"), "{method} {path}");
        }
    }
    // Every reference leads somewhere.
    let json = document.to_string();
    for reference in json.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_page_loads_nothing_from_other_hosts() {
    let server = Server::start(Database::Sqlite).await;
    let response = server.anonymous(Method::GET, "/docs/").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'self'"));
    let page = response.text().await.unwrap();
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http") && !page.contains("//cdn"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_get_problems_with_the_request_id() {
    let server = Server::start(Database::Sqlite).await;
    server.get("/api/v1/nothing").await.problem(404, "not_found");
    server.get("/nothing/at/all").await.problem(404, "not_found");
    let answer = server.delete("/api/v1/workspaces").await;
    assert!(answer.headers.contains_key("allow"), "{answer:?}");
    answer.problem(405, "method_not_allowed");
    server.get("/api/v1/workspaces/01890000-0000-7000-8000-000000000000").await.problem(404, "not_found");
    server.get("/api/v1/workspaces/x/sources").await.problem(404, "not_found");
    let wrong = json!({ "email": EMAIL, "password": "wrong" });
    server.post("/api/v1/auth/login", wrong).await.problem(401, "wrong_credentials");
    let unknown = json!({ "email": "nobody@example.com", "password": "wrong" });
    server.post("/api/v1/auth/login", unknown).await.problem(401, "wrong_credentials");

    let named = Answer::of(server.request(Method::GET, "/api/v1/nothing").header("x-request-id", "order-4711")).await;
    assert_eq!(named.problem(404, "not_found")["request_id"], "order-4711");
    let nasty = Answer::of(server.request(Method::GET, "/api/v1/nothing").header("x-request-id", "a b;c")).await;
    assert_ne!(nasty.problem(404, "not_found")["request_id"], "a b;c");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_ends_in_order_and_goes_on_where_it_was() {
    for database in databases().await {
        let mut server = Options::default().start(database).await;
        let workspace = server.workspace("Shop").await;
        assert_eq!(Answer::of(server.anonymous(Method::GET, "/healthz")).await.status, 200);
        assert_eq!(Answer::of(server.anonymous(Method::GET, "/readyz")).await.status, 200);
        server.signal("TERM");
        assert!(server.wait().success());
        server.restart().await;
        assert_eq!(server.get(&format!("/api/v1/workspaces/{workspace}")).await.ok()["name"], "Shop");
    }
}

#[tokio::test]
async fn the_command_line_says_what_is_wrong() {
    let binary = std::env::var("TRIBUTARY_BIN")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/tributary").to_owned());
    let dir = tempfile::tempdir().unwrap();
    let fails = |arguments: &[&str], part: &str| {
        let output = Command::new(&binary)
            .arg("serve")
            .args(arguments)
            .current_dir(dir.path())
            .output()
            .expect("the command runs");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success());
        assert!(message.contains(part) && !message.contains("panicked"), "{arguments:?}: {message}");
    };
    fails(&["--root", "docs"], "NAME=PATH");
    fails(&["--listen", "localhost"], "--listen");
    fails(&["--config", "missing.toml"], "missing.toml");
    fails(&["--database-url", "mysql://localhost/x"], "sqlite://");
    fails(&["--database-url", "postgres://nobody:hunter2@127.0.0.1:1/x"], "PostgreSQL");
    fails(&["--sync-workers", "0"], "sync_workers");
    let output = Command::new(&binary)
        .args(["serve", "--database-url", "postgres://nobody:hunter2@127.0.0.1:1/x"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "no password in a message");
}
