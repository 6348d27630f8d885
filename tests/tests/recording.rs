//! A run is recorded and played again, offline, to the same component and to another: one of the command line, and one of a server.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tributary_fakes::{
    serve,
    woocommerce::{KEY, WooCommerce},
};
use tributary_tests::{
    Database, Server, databases, eventually,
    server::{Answer, Options, PASSWORD, binary, text},
};

fn component(name: &str) -> String {
    let target = binary().parent().and_then(Path::parent).expect("the binary is in target/debug").to_path_buf();
    let path = target.join("wasm32-wasip2/component").join(name).with_extension("wasm");
    assert!(path.is_file(), "{} is missing: cargo xtask plugins --all", path.display());
    path.display().to_string()
}

/// `tributary …` in a folder: whether it went well, and all it printed.
fn tributary(folder: &Path, args: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } = Command::new(binary())
        .args(args)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .output()
        .expect("it can be started");
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

fn contents(recording: &Path) -> String {
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(recording).expect("it is there")).read_to_string(&mut text).expect("text");
    text
}

fn shop_config(folder: &Path, url: &str) -> PathBuf {
    let (done, printed) =
        tributary(folder, &["recipe", "show", "woocommerce", "--set", "shop=shop.example", "--set", "currency=EUR"]);
    assert!(done, "{printed}");
    let mut config: Value = serde_json::from_str(&printed).expect("JSON");
    config["base_url"] = format!("{url}/wp-json/wc/v3").into();
    let path = folder.join("shop.json");
    fs::write(&path, config.to_string()).expect("a file");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_sync_of_a_shop_is_replayed_without_the_shop_and_holds_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = serve(Arc::new(WooCommerce::with_products(230))).await;
    let config = shop_config(folder.path(), &served.url).display().to_string();
    let api = component("tributary_plugin_api");
    let credential = format!("woocommerce=basic:user={},password={}", KEY.0, KEY.1);
    let run = ["plugin", "run", &api, "--config", &config, "--credential", &credential];
    let more = ["--egress-network", "127.0.0.0/8", "--record", "shop.rec"];
    let (done, printed) = tributary(folder.path(), &[run.as_slice(), &more].concat());
    assert!(done && printed.contains("recorded"), "{printed}");
    let text = contents(&folder.path().join("shop.rec"));
    assert!(text.contains("Product 77") && !text.contains(KEY.1), "the answers are in it, the key is not");
    drop(served);

    // The api connector is in the program: its digest finds it.
    let (done, printed) = tributary(folder.path(), &["sync", "replay", "shop.rec"]);
    assert!(done && printed.contains("byte for byte as recorded"), "{printed}");

    let (done, printed) = tributary(folder.path(), &["plugin", "diff", "shop.rec", &api]);
    assert!(done && printed.contains("0 new, 0 changed, 0 no longer named, 0 read again, "), "{printed}");
    let file = component("tributary_plugin_file");
    let (done, printed) = tributary(folder.path(), &["plugin", "diff", "shop.rec", &file]);
    assert!(!done && printed.contains("the recording is of api, the component is file"), "{printed}");

    let (done, printed) = tributary(folder.path(), &[run.as_slice(), &more].concat());
    assert!(!done && printed.contains("name a new file"), "{printed}");
}

fn library() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("docs")).expect("a folder");
    for number in 0..300 {
        fs::write(folder.path().join(format!("docs/{number}.md")), format!("# Page {number}\n\nText."))
            .expect("a file");
    }
    folder
}

#[test]
fn files_are_replayed_after_they_are_gone() {
    let folder = library();
    let file = component("tributary_plugin_file");
    let config = json!({ "root": "docs" }).to_string();
    let run = ["plugin", "run", &file, "--config", &config, "--root", "docs=docs", "--record", "files.rec"];
    let (done, printed) = tributary(folder.path(), &run);
    assert!(done, "{printed}");
    fs::remove_dir_all(folder.path().join("docs")).expect("gone");
    let (done, printed) = tributary(folder.path(), &["sync", "replay", "files.rec", "--component", &file]);
    assert!(done && printed.contains("300 changes: byte for byte as recorded"), "{printed}");
}

#[test]
fn time_and_chance_are_those_of_the_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let component = component("tributary_misbehaving");
    let config = json!({ "do": "time and chance" }).to_string();
    let run = |record: &str| {
        let (done, printed) =
            tributary(folder.path(), &["plugin", "run", &component, "--config", &config, "--json", "--record", record]);
        assert!(done, "{printed}");
        printed.lines().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let (first, second) = (run("one.rec"), run("two.rec"));
    assert!(first[0] != second[0] && first[1] != second[1], "each run has its own: {first:?}");
    let (done, printed) = tributary(folder.path(), &["sync", "replay", "one.rec", "--component", &component]);
    assert!(done && printed.contains("2 changes: byte for byte as recorded"), "{printed}");
    let (done, printed) = tributary(folder.path(), &["sync", "replay", "one.rec"]);
    assert!(!done && printed.contains("give its component with --component"), "{printed}");
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("notes.txt"), "notes").expect("a file");
    for name in ["notes.txt", "nowhere.rec"] {
        let (done, printed) = tributary(folder.path(), &["sync", "replay", name]);
        assert!(!done && printed.contains(&format!("{name} is not played: it cannot be read")), "{printed}");
    }
}

/// A server with the shop as a source, and that source's address.
async fn server_of(url: &str, folder: &Path, database: Database) -> (Server, String, String) {
    let server = Options::default().arg("--egress-network").arg("127.0.0.0/8").start(database).await;
    let workspace = server.workspace("Shop").await;
    let credentials = format!("/api/v1/workspaces/{workspace}/credentials");
    let value = json!({ "user": KEY.0, "password": KEY.1 });
    server.post(&credentials, json!({ "name": "woocommerce", "kind": "basic", "value": value })).await.expect(201);
    let config: Value = serde_json::from_slice(&fs::read(shop_config(folder, url)).expect("a file")).expect("JSON");
    let sources = format!("/api/v1/workspaces/{workspace}/sources");
    let new = json!({ "name": "Products", "connector": "api", "config": config });
    let source = format!("{sources}/{}", text(&server.post(&sources, new).await.expect(201)["id"]));
    (server, workspace, source)
}

async fn download(server: &Server, run: &str, path: &Path) {
    let answer = server.request(Method::GET, &format!("{run}/recording")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{run}");
    assert_eq!(answer.headers()["content-type"], "application/gzip");
    fs::write(path, answer.bytes().await.expect("a whole body")).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_sync_is_recorded_and_replayed_when_the_shop_is_gone() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().expect("a folder");
        let served = serve(Arc::new(WooCommerce::with_products(230))).await;
        let (server, workspace, source) = server_of(&served.url, folder.path(), database).await;
        let plain = server.start_sync(&source, json!({})).await;
        assert_eq!(server.finished(&plain).await["recording"], Value::Null, "{name}: nobody asked");
        let problem = server.get(&format!("{plain}/recording")).await.problem(404, "not_recorded");
        assert!(text(&problem["detail"]).contains("\"record\": true"), "{problem}");

        let recorded = server.start_sync(&source, json!({ "full": true, "record": true })).await;
        let run = server.finished(&recorded).await;
        assert_eq!(
            (&run["status"], &run["recording"]["state"]),
            (&json!("succeeded"), &json!("complete")),
            "{name}: {run}"
        );
        assert_eq!(run["recording"]["hosts"].as_array().map(Vec::len), Some(1), "{name}: {run}");
        let rec = folder.path().join("monday.rec");
        download(&server, &recorded, &rec).await;
        let lines = contents(&rec);
        assert!(
            lines.contains("Product 77") && !lines.contains(KEY.1),
            "{name}: the answers are in it, the key is not"
        );
        let id = text(&run["id"]);
        let events = server.get(&format!("/api/v1/workspaces/{workspace}/audit?action=GET")).await.ok();
        let event = events["items"].as_array().and_then(|events| events.iter().find(|it| it["outcome"] == "ok"));
        let target = event.map(|event| text(&event["target"])).unwrap_or_default();
        assert!(target.contains(&format!("run_id={id}")), "{name}: who took it is known: {events}");

        // The command line, on the server's own data.
        let (done, printed) = server.command(&["sync", "start", "shop", "Products", "--record"]);
        assert!(done && printed.contains("will be recorded: run "), "{name}: {printed}");
        let by_hand = printed.rsplit(' ').next().expect("an id").trim().to_owned();
        let run = server.finished(&format!("{source}/runs/{by_hand}")).await;
        assert_eq!(
            (&run["trigger"], &run["recording"]["state"]),
            (&json!("manual"), &json!("complete")),
            "{name}: {run}"
        );
        assert!(!server.command(&["sync", "start", "shop", "Nothing"]).0);

        drop(served);
        let (done, printed) = tributary(folder.path(), &["sync", "replay", "monday.rec"]);
        assert!(done && printed.contains("byte for byte as recorded"), "{name}: {printed}");
        for run in [&id, &by_hand] {
            let (done, printed) = server.command(&["sync", "replay", run]);
            assert!(done && printed.contains(", as recorded"), "{name}: {printed}");
        }
        let (done, printed) = server.command(&["sync", "replay", &workspace]);
        assert!(!done && printed.contains("no recording of the run"), "{name}: {printed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_is_for_those_who_manage_the_source_alone() {
    let folder = library();
    let server = Options::default().root("docs", &folder.path().join("docs")).start(Database::Sqlite).await;
    let (workspace, other) = (server.workspace("Ours").await, server.workspace("Theirs").await);
    let source = server.file_source(&workspace, json!({ "root": "docs" })).await;
    let run = server.start_sync(&source, json!({ "record": true })).await;
    server.finished(&run).await;
    let address = format!("{run}/recording");
    let key = async |workspace: &str, scopes: Value, audience: Value| {
        let new = json!({ "name": "key", "scopes": scopes, "audience": audience });
        text(&server.post(&format!("/api/v1/workspaces/{workspace}/keys"), new).await.expect(201)["key"])
    };
    let ask = async |bearer: &str, address: &str| {
        Answer::of(server.anonymous(Method::GET, address).bearer_auth(bearer)).await
    };
    let everything = json!({});
    let reader = key(&workspace, json!(["knowledge:read", "chat"]), everything.clone()).await;
    ask(&reader, &address).await.problem(403, "forbidden");
    let manager = key(&workspace, json!(["sources:manage"]), everything.clone()).await;
    ask(&manager, &address).await.expect(200);
    let id = source.rsplit('/').next().expect("an id");
    let part = json!({ "source_ids": [id], "kinds": ["invoice"] });
    let limited = key(&workspace, json!(["sources:manage"]), part).await;
    ask(&limited, &address).await.problem(403, "forbidden");
    let stranger = key(&other, json!(["sources:manage"]), everything).await;
    ask(&stranger, &address).await.problem(404, "not_found");
    ask(&stranger, &address.replace(&workspace, &other)).await.problem(404, "not_found");
    Answer::of(server.anonymous(Method::GET, &address)).await.problem(401, "unauthenticated");

    let email = "viewer@example.com";
    let new = json!({ "email": email, "name": "Vera", "password": PASSWORD });
    let viewer = text(&server.post("/api/v1/users", new).await.expect(201)["id"]);
    let member = server.request(Method::PUT, &format!("/api/v1/workspaces/{workspace}/members/{viewer}"));
    Answer::of(member.json(&json!({ "role": "viewer" }))).await.expect(204);
    let log_in =
        server.anonymous(Method::POST, "/api/v1/auth/login").json(&json!({ "email": email, "password": PASSWORD }));
    let token = text(&Answer::of(log_in).await.ok()["access_token"]);
    ask(&token, &address).await.problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_costs_the_recording_a_page_and_the_run_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..2_000 {
        fs::write(folder.path().join(format!("{number:04}.md")), format!("# Page {number}\n\nText.")).expect("a file");
    }
    let options = Options::default().root("docs", folder.path()).arg("--page-items").arg("20");
    let mut server = options.arg("--lease-ms").arg("900").start(Database::Sqlite).await;
    let workspace = server.workspace("Docs").await;
    let source = server.file_source(&workspace, json!({ "root": "docs" })).await;
    let run = server.start_sync(&source, json!({ "record": true })).await;
    eventually("some pages", async || (server.get(&run).await.ok()["pages"].as_i64() > Some(3)).then_some(())).await;
    server.get(&format!("{run}/recording")).await.problem(409, "run_not_over");
    server.kill();
    server.restart().await;
    let ended = server.finished(&run).await;
    assert_eq!((&ended["status"], &ended["counts"]["added"]), (&json!("succeeded"), &json!(2_000)), "{ended}");
    assert_eq!(ended["recording"]["state"], "incomplete", "{ended}");
    let rec = folder.path().join("run.rec");
    download(&server, &run, &rec).await;
    let (done, printed) = tributary(folder.path(), &["sync", "replay", "run.rec"]);
    assert!(done && printed.contains("byte for byte as recorded; the recording ends early"), "{printed}");
    let pages = printed.lines().filter(|line| line.ends_with(", as recorded")).count();
    assert!(pages >= 90, "all but what was on its way: {pages} of {}", ended["pages"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_run_of_an_installed_connector_is_replayed_with_the_component_of_the_server() {
    for database in databases().await {
        let name = database.name();
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let (done, printed) = server.command(&["plugin", "install", &component("tributary_misbehaving")]);
        assert!(done, "{name}: {printed}");
        let sources = format!("/api/v1/workspaces/{workspace}/sources");
        let new = json!({ "name": "Dice", "connector": "misbehaving", "config": { "do": "time and chance" } });
        let source = format!("{sources}/{}", text(&server.post(&sources, new).await.expect(201)["id"]));
        let run = server.start_sync(&source, json!({ "record": true })).await;
        let run = server.finished(&run).await;
        assert_eq!(run["recording"]["state"], "complete", "{name}: {run}");
        let (done, printed) = server.command(&["sync", "replay", &text(&run["id"])]);
        assert!(done && printed.contains("2 changes, as recorded"), "{name}: {printed}");
        // Another host has other files.
        let elsewhere = tempfile::tempdir().expect("a folder");
        let (done, printed) = tributary(elsewhere.path(), &["sync", "replay", &text(&run["id"])]);
        assert!(!done && printed.contains("there is no recording of the run"), "{name}: {printed}");
    }
}
