//! Values to choose from for a field of a configuration, as an admin who makes a source sees them.

use std::{fs, sync::Arc};

use serde_json::{Value, json};
use tributary_fakes::{
    Answer as Answered, Request,
    google::{DOCUMENT, Google},
    serve,
};
use tributary_tests::{
    Database, Server,
    changeable::{send, version},
    server::{Answer, Options, text},
};

/// Asks for the choices of a field.
async fn look(server: &Server, workspace: &str, connector: &str, request: Value) -> Answer {
    server.post(&format!("/api/v1/workspaces/{workspace}/connectors/{connector}/browse"), request).await
}

/// The titles of choices.
fn titles(choices: &Value) -> Vec<String> {
    choices["items"].as_array().unwrap().iter().map(|item| text(&item["title"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_and_files_of_a_root_are_offered_as_globs_and_what_is_chosen_is_read() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("guide/deep")).unwrap();
    for path in ["top.md", "guide/a.md", "guide/deep/b.md", "guide/photo.raw"] {
        fs::write(folder.path().join(path), "# Hello").unwrap();
    }
    let server = Options::default().root("docs", folder.path()).start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    let config = json!({ "root": "docs" });
    let first = json!({ "config": config, "pointer": "/include/0" });
    let found = look(&server, &workspace, "file", first.clone()).await.ok();
    assert_eq!((titles(&found), &found["next"]), (vec!["*.md".into(), "guide/".into(), "top.md".into()], &Value::Null));
    let opens = &found["items"][1]["opens"];
    let below = json!({ "config": config, "pointer": "/include/0", "at": opens });
    let below = look(&server, &workspace, "file", below).await.ok();
    assert_eq!(titles(&below), ["*.md", "a.md", "deep/", "photo.raw"]);
    let chosen = &below["items"][2]["value"];
    let source = server.file_source(&workspace, json!({ "root": "docs", "include": [chosen] })).await;
    assert_eq!(server.sync(&source).await["counts"]["added"], 1);

    // What is marked is what can be browsed.
    let connector = server.get("/api/v1/connectors/file").await.ok();
    assert_eq!(connector["config_schema"]["properties"]["include"]["items"]["x-browse"], true);

    let asked = |change: Value| {
        let mut request = first.clone();
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        request
    };
    for (connector, change, status, code, pointer) in [
        ("file", json!({ "pointer": "/root" }), 422, "browse_unsupported", "/pointer"),
        ("api", json!({}), 422, "browse_unsupported", "/pointer"),
        ("builtin:push", json!({}), 422, "browse_unsupported", "/pointer"),
        ("nothing", json!({}), 422, "unknown_connector", "/connector"),
        ("file", json!({ "pointer": "include" }), 422, "invalid_body", "/pointer"),
        ("file", json!({ "config": [] }), 422, "invalid_body", "/config"),
        ("file", json!({ "at": "x".repeat(5_000) }), 422, "invalid_body", "/at"),
        ("file", json!({ "config": { "root": "bank" } }), 422, "root_not_granted", "/config/root"),
        ("file", json!({ "config": {} }), 422, "invalid_config", "/config/root"),
    ] {
        let problem = look(&server, &workspace, connector, asked(change.clone())).await.problem(status, code);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{connector} {change}: {problem}");
    }
    for place in ["../..", "nowhere", "/etc", "top.md"] {
        look(&server, &workspace, "file", asked(json!({ "at": place }))).await.problem(422, "invalid_config");
    }

    // The operator does the same beside the server.
    let root = format!("docs={}", folder.path().display());
    let new = ["source", "browse", "/include/0", "--workspace", &workspace, "--root", &root];
    let with = |more: &[&str]| server.command(&[&new[..], more].concat());
    let (well, said) = with(&["--connector", "file", "--source-config", "{\"root\":\"docs\"}"]);
    assert!(well && said.contains("\"guide/**\"") && said.contains("OPENS"), "{said}");
    let id = source.rsplit('/').next().unwrap();
    let (well, said) = with(&["--source", id, "--at", "guide", "--json"]);
    let found: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    assert!(well && titles(&found) == titles(&below), "{said}");
    let (well, said) = with(&["--connector", "api"]);
    assert!(!well && said.contains("the connector api offers no choices;"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_account_of_google_sees_is_offered_from_drives_and_shares_down() {
    let google = Arc::new(Google::new());
    google.add_shared_folder("handbook", "Handbook");
    google.add_folder("people", "People", "handbook");
    google.add("shipping", "Shipping", DOCUMENT, Some("handbook"), "# Shipping");
    google.add_drive("0Acompany", "Company");
    let served = serve(google.clone()).await;
    let server = Options::default().arg("--egress-network").arg("127.0.0.0/8").start(Database::Sqlite).await;
    let workspace = server.workspace("Office").await;
    let key: Value = serde_json::from_str(&google.service_account_json(&served.url)).unwrap();
    let new = json!({ "name": "google", "kind": "google_service_account", "value": key });
    server.post(&format!("/api/v1/workspaces/{workspace}/credentials"), new).await.expect(201);
    let config = json!({ "credential": "google", "drive_url": served.url });
    let ask = async |pointer: &str, at: &Value| {
        let request = json!({ "config": config, "pointer": pointer, "at": at });
        look(&server, &workspace, "google_docs", request).await.ok()
    };
    let start = ask("/folders/0", &Value::Null).await;
    assert_eq!(titles(&start), ["Shared with me", "My Drive", "Shared drives"]);
    let shared = ask("/folders/0", &start["items"][0]["opens"]).await;
    assert_eq!((titles(&shared), &shared["items"][0]["value"]), (vec!["Handbook".into()], &json!("handbook")));
    assert_eq!(titles(&ask("/folders/0", &shared["items"][0]["opens"]).await), ["People"]);
    let files = ask("/files/0", &shared["items"][0]["opens"]).await;
    assert_eq!(files["items"].as_array().unwrap().iter().filter(|item| item["value"] == "shipping").count(), 1);
    let drives = ask("/shared_drives/0", &Value::Null).await;
    assert_eq!((titles(&drives), &drives["items"][0]["value"]), (vec!["Company".into()], &json!("0Acompany")));

    // Without signing in there is nothing to see, and the answer says where to mend it.
    for (config, pointer) in
        [(json!({}), "/config/credential"), (json!({ "credential": "other", "drive_url": served.url }), "")]
    {
        let request = json!({ "config": config, "pointer": "/folders/0", "at": "shared" });
        let problem = look(&server, &workspace, "google_docs", request).await.problem(422, "invalid_config");
        assert!(text(&problem["errors"][0]["pointer"]).starts_with(pointer), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_choices_are_bounded_and_reach_what_was_granted() {
    let fake = serve(Arc::new(|_: &Request| Answered::json(&json!({ "stock": 5 })))).await;
    let server = Options::default().arg("--egress-network").arg("127.0.0.0/8").start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    send(&server, version("1.0.0"), "").await.expect(201);
    let ask = async |config: Value, after: Value| {
        look(&server, &workspace, "changeable", json!({ "config": config, "pointer": "/shop", "after": after })).await
    };
    let first = ask(json!({}), Value::Null).await.ok();
    assert_eq!((&first["items"][0]["value"], &first["next"]), (&json!(1), &json!("first")));
    let second = ask(json!({}), first["next"].clone()).await.ok();
    assert_eq!((&second["items"][0]["value"], &second["next"]), (&json!("two"), &Value::Null));
    for (what, says) in [("flood", "201 choices"), ("trap", "crashed")] {
        let problem = ask(json!({ "do": what }), Value::Null).await.problem(422, "invalid_config");
        assert!(text(&problem["detail"]).contains(says), "{problem}");
    }
    let fetch = json!({ "do": "fetch", "url": fake.url });
    let refused = ask(fetch.clone(), Value::Null).await.problem(422, "invalid_config");
    assert!(text(&refused["detail"]).contains("tributary plugin grant changeable --host 127.0.0.1"), "{refused}");
    let (well, said) = server.command(&["plugin", "grant", "changeable", "--host", "127.0.0.1"]);
    assert!(well, "{said}");
    assert!(text(&ask(fetch, Value::Null).await.ok()["items"][0]["title"]).contains("stock"));
}
