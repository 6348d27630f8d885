//! The google_docs connector in the server: a Google served over HTTP, credentials of a workspace, syncs and what is cited of them.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use serde_json::{Value, json};
use tributary_fakes::{
    Served,
    google::{DOCUMENT, DRIVE_READONLY, Google, PRESENTATION},
    serve,
};
use tributary_tests::{
    Database, Server, databases,
    documents::standing,
    server::{Options, binary, text},
};

/// A server, a Google with a handbook that is shared with its service account, and a workspace.
struct Office {
    google: Arc<Google>,
    served: Served,
    server: Server,
    workspace: String,
}

impl Office {
    async fn open(database: Database) -> Self {
        let google = Arc::new(Google::new());
        google.add_shared_folder("handbook", "Handbook");
        google.add(
            "shipping",
            "Shipping",
            DOCUMENT,
            Some("handbook"),
            "# Shipping\n\n## Norway\n\nParcels to Norway take 19 days.",
        );
        google.add("pitch", "Pitch", PRESENTATION, Some("handbook"), "We sell winter boots.");
        google.add_folder("people", "People", "handbook");
        google.add(
            "leave",
            "leave.md",
            "text/markdown",
            Some("people"),
            "# Leave\n\nEverybody has thirty days of leave.",
        );
        let served = serve(google.clone()).await;
        let server = Options::default().arg("--egress-network").arg("127.0.0.0/8").start(database).await;
        let workspace = server.workspace("Office").await;
        Self { google, served, server, workspace }
    }

    async fn credential(&self, kind: &str, value: Value) {
        let new = json!({ "name": "google", "kind": kind, "value": value });
        self.server.post(&format!("/api/v1/workspaces/{}/credentials", self.workspace), new).await.expect(201);
    }

    /// The key file of the service account, field by field.
    async fn service_account(&self) {
        let key = self.google.service_account_json(&self.served.url);
        self.credential("google_service_account", serde_json::from_str(&key).expect("a key file")).await;
    }

    async fn source(&self, name: &str, folders: Value) -> String {
        let config = json!({ "credential": "google", "folders": folders, "drive_url": self.served.url, "docs_url": self.served.url });
        let sources = format!("/api/v1/workspaces/{}/sources", self.workspace);
        let new = json!({ "name": name, "connector": "google_docs", "config": config });
        format!("{sources}/{}", text(&self.server.post(&sources, new).await.expect(201)["id"]))
    }

    /// Ids and titles of all documents, in order.
    async fn titles(&self) -> Vec<(String, String)> {
        let documents = standing(&self.server.documents(&self.workspace).await);
        documents.into_iter().map(|(id, (title, _))| (id, title)).collect()
    }

    async fn ask(&self, message: &str, run: &Value) -> Value {
        let query = json!({ "workspace_id": self.workspace, "query": message, "min_position": run["position"] });
        self.server.post("/api/v1/knowledge/query", query).await.ok();
        let chat = json!({ "workspace_id": self.workspace, "message": message });
        self.server.post("/api/v1/chat", chat).await.ok()
    }
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, title)| ((*id).to_owned(), (*title).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_folder_becomes_cited_answers_and_is_followed() {
    for database in databases().await {
        let name = database.name();
        let office = Office::open(database).await;
        office.service_account().await;
        let source = office.source("Drive", json!(["https://drive.google.com/drive/folders/handbook"])).await;
        let run = office.server.sync(&source).await;
        assert_eq!(run["status"], "succeeded", "{name}: {run}");
        assert_eq!((&run["counts"]["added"], &run["counts"]["failed"]), (&json!(3), &json!(0)), "{name}: {run}");
        assert_eq!(
            office.titles().await,
            pairs(&[("leave", "leave.md"), ("pitch", "Pitch"), ("shipping", "Shipping")]),
            "{name}"
        );

        let answer = office.ask("How many days do parcels to Norway take?", &run).await;
        assert!(text(&answer["answer"]).contains("Parcels to Norway take 19 days. [1]"), "{name}: {answer}");
        let citation = &answer["citations"][0];
        assert_eq!(citation["url"], "https://docs.google.com/document/d/shipping/edit?usp=drivesdk", "{name}");
        assert_eq!((&citation["external_id"], &citation["title"]), (&json!("shipping"), &json!("Shipping")));
        assert_eq!(citation["section"], json!(["Shipping", "Norway"]), "{name}");
        assert_eq!((&citation["connector"]["id"], &citation["run_id"]), (&json!("google_docs"), &run["id"]));

        // Nothing new costs one request.
        let asked = Arc::new(AtomicU32::new(0));
        let counter = asked.clone();
        office.google.intercept(move |_| {
            counter.fetch_add(1, Relaxed);
            None
        });
        let again = office.server.sync(&source).await;
        office.google.let_go();
        assert_eq!((&again["status"], asked.load(Relaxed)), (&json!("succeeded"), 1), "{name}: {again}");

        office.google.edit("shipping", "# Shipping\n\n## Norway\n\nParcels to Norway take 5 days.");
        office.google.trash("pitch");
        office.google.add("new", "Gifts", DOCUMENT, Some("people"), "Gift cards never expire.");
        office.google.take_downloads();
        let third = office.server.sync(&source).await;
        let counts = &third["counts"];
        assert_eq!(
            (&third["status"], &counts["added"], &counts["updated"], &counts["deleted"]),
            (&json!("succeeded"), &json!(1), &json!(1), &json!(1)),
            "{name}: {third}"
        );
        assert_eq!(office.google.take_downloads(), 2, "{name}: only what changed is fetched");
        assert_eq!(
            office.titles().await,
            pairs(&[("leave", "leave.md"), ("new", "Gifts"), ("shipping", "Shipping")]),
            "{name}"
        );
        let answer = office.ask("How many days do parcels to Norway take?", &third).await;
        assert!(text(&answer["answer"]).contains("take 5 days"), "{name}: {answer}");

        // A folder takes what is in it along, and a run that reads everything changes nothing.
        office.google.trash("people");
        let fourth = office.server.sync(&source).await;
        assert_eq!(
            (&fourth["status"], &fourth["counts"]["deleted"]),
            (&json!("succeeded"), &json!(2)),
            "{name}: {fourth}"
        );
        assert_eq!(office.titles().await, pairs(&[("shipping", "Shipping")]), "{name}");
        let full = office.server.start_sync(&source, json!({ "full": true })).await;
        let full = office.server.finished(&full).await;
        assert_eq!((&full["status"], &full["position"]), (&json!("succeeded"), &Value::Null), "{name}: {full}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_the_missing_share_and_a_dead_key_fails_the_run_and_keeps_the_documents() {
    let office = Office::open(Database::Sqlite).await;
    office.google.add("private", "Private", "application/vnd.google-apps.folder", None, "");
    office.service_account().await;
    let source = office.source("Drive", json!(["handbook"])).await;
    let wrong = office.source("Both", json!(["handbook", "private"])).await;
    let items = office.server.post(&format!("{source}/check"), json!({})).await.ok()["items"].clone();
    let told: Vec<_> =
        items.as_array().expect("items").iter().map(|item| (text(&item["name"]), text(&item["status"]))).collect();
    let account = office.google.service_account();
    assert!(told.contains(&(format!("signed in as {account}"), "ok".to_owned())), "{told:?}");
    assert!(told.iter().all(|(_, status)| status == "ok") && told.len() == 4, "{told:?}");

    let items = office.server.post(&format!("{wrong}/check"), json!({})).await.ok()["items"].clone();
    let missing: Vec<_> = items.as_array().expect("items").iter().filter(|item| item["status"] != "ok").collect();
    assert_eq!(missing.len(), 1, "{items}");
    assert_eq!((&missing[0]["name"], &missing[0]["pointer"]), (&json!("folder private"), &json!("/config/folders/1")));
    let expected = format!(
        "The selected folder private is not there for {account}; share it with that account (Viewer), or take it out of the configuration."
    );
    assert_eq!(text(&missing[0]["message"]), expected);

    let run = office.server.sync(&wrong).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("folder_not_shared")), "{run}");
    assert!(run["error"].to_string().contains(account), "{run}");
    assert_eq!(office.server.sync(&source).await["status"], "succeeded");

    // The key is deleted in the Cloud console.
    office.google.delete_key();
    office.google.revoke();
    let run = office.server.sync(&source).await;
    assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("grant_refused")), "{run}");
    assert!(run["error"].to_string().contains("Invalid JWT Signature"), "{run}");
    assert_eq!(office.titles().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_changes_with_each_use_is_kept() {
    for database in databases().await {
        let name = database.name();
        let mut office = Office::open(database).await;
        let refresh_token = office.google.refresh_token(&[DRIVE_READONLY], true);
        let value = json!({
            "token_url": format!("{}/token", office.served.url),
            "client_id": "fake-client",
            "client_secret": "fake-client-secret",
            "refresh_token": refresh_token,
        });
        office.credential("oauth2", value).await;
        let source = office.source("Drive", json!(["handbook"])).await;
        let run = office.server.sync(&source).await;
        assert_eq!((&run["status"], &run["counts"]["added"]), (&json!("succeeded"), &json!(3)), "{name}: {run}");

        // A server that was started again has no access token, and the refresh token of before is used up.
        office.server.restart().await;
        office.google.edit("leave", "# Leave\n\nEverybody has forty days of leave.");
        let run = office.server.sync(&source).await;
        assert_eq!((&run["status"], &run["counts"]["updated"]), (&json!("succeeded"), &json!(1)), "{name}: {run}");

        // The person takes the access away.
        office.google.revoke();
        let run = office.server.sync(&source).await;
        assert_eq!(
            (&run["status"], &run["error"]["code"]),
            (&json!("failed"), &json!("grant_expired")),
            "{name}: {run}"
        );
        assert_eq!(office.titles().await.len(), 3, "{name}");
    }
}

#[test]
fn the_connectors_scenarios_and_the_contract_hold_in_the_sandbox() {
    let target = binary().parent().and_then(Path::parent).expect("the binary is in target/debug").to_path_buf();
    let component = target.join("wasm32-wasip2/component/tributary_plugin_google_docs.wasm");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/google_docs/tests/scenarios");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let played = Command::new(binary())
        .args(["plugin", "test", "--conformance", "--component"])
        .arg(component)
        .arg("--scenarios")
        .arg(scenarios)
        .current_dir(folder.path())
        .env("XDG_CACHE_HOME", folder.path().join("cache"))
        .output()
        .expect("it can be started");
    let said = format!("{}{}", String::from_utf8_lossy(&played.stdout), String::from_utf8_lossy(&played.stderr));
    assert!(played.status.success() && said.contains("3 passed, 0 failed"), "{said}");
}
