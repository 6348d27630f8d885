//! Connectors of strangers, installed into servers that run.
//!
//! They are one component, whose descriptor is written into the built file: `tests/components/changeable`.

use std::{
    fs,
    sync::{Arc, Mutex, mpsc},
};

use reqwest::{Method, header, redirect::Policy};
use serde_json::{Value, json};
use tributary_fakes::{Answer as Answered, Request, serve};
use tributary_tests::{
    Database, Server,
    changeable::{built, component, install, send, version},
    databases, eventually,
    server::{Answer, EMAIL, Options, PASSWORD, text},
};

/// What opens `/metrics`.
const METRICS: &str = "a token for Prometheus alone";

async fn source(server: &Server, workspace: &str, config: Value) -> String {
    let sources = format!("/api/v1/workspaces/{workspace}/sources");
    let new = json!({ "name": "Strange", "connector": "changeable", "config": config });
    format!("{sources}/{}", text(&server.post(&sources, new).await.expect(201)["id"]))
}

/// Pages of the console, as its administrator sees them.
async fn console(server: &Server, paths: &[String]) -> Vec<String> {
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let form = format!("email={}&password={}", EMAIL.replace('@', "%40"), PASSWORD.replace(' ', "+"));
    let request = client.post(server.url("/console/login")).body(form);
    let answer = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let mut pages = Vec::new();
    for path in paths {
        let page = client.get(server.url(path)).header(header::COOKIE, &cookie).send().await.unwrap();
        assert_eq!(page.status(), 200, "{path}");
        pages.push(page.text().await.unwrap());
    }
    pages
}

fn local() -> Options {
    Options::default().arg("--egress-network").arg("127.0.0.0/8")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_connector_is_installed_syncs_on_every_host_and_is_cited() {
    for database in databases().await {
        let name = database.name();
        let first = Server::start(database).await;
        let second = Options::default().beside(&first).start(Database::Sqlite).await;
        let workspace = first.workspace("Shop").await;
        let unknown = json!({ "name": "Strange", "connector": "changeable", "config": {} });
        let sources = format!("/api/v1/workspaces/{workspace}/sources");
        first.post(&sources, unknown).await.problem(422, "unknown_connector");

        let installed = install(&first, version("1.0.0")).await;
        assert_eq!(installed["moved_sources"], 0);
        let connector = &installed["connector"];
        assert_eq!((&connector["id"], &connector["version"]), (&json!("changeable"), &json!("1.0.0")));
        assert_eq!(connector["installation"]["granted_hosts"], json!([]), "nothing is granted by itself");
        assert_eq!(connector["installation"]["not_granted"], json!(["/url"]));

        // At once, and on the other host as well.
        for server in [&first, &second] {
            let listed = server.get("/api/v1/connectors").await.ok();
            let ids: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| text(&one["id"])).collect();
            assert!(ids.contains(&"changeable".to_owned()) && ids.contains(&"file".to_owned()), "{name}: {ids:?}");
        }
        let source = source(&second, &workspace, json!({})).await;
        let run = second.sync(&source).await;
        assert_eq!(run["status"], "succeeded", "{name}: {run}");
        let query = json!({ "workspace_id": workspace, "query": "warranty", "min_position": run["position"] });
        let found = first.post("/api/v1/knowledge/query", query).await.ok();
        assert_eq!(found["results"][0]["external_id"], "hello", "{name}: {found}");
        let chat = json!({ "workspace_id": workspace, "message": "How long does the warranty last?" });
        let answer = first.post("/api/v1/chat", chat).await.ok();
        assert_eq!(answer["citations"][0]["connector"]["digest"], connector["digest"], "{name}: {answer}");

        let shown = first.get("/api/v1/connectors/changeable").await.ok();
        assert_eq!((&shown["installation"]["sources"], &shown["shipped"]), (&json!(1), &json!(false)));
        assert!(text(&shown["installation"]["installed_by"]).starts_with("user:"), "{shown}");
        first.get("/api/v1/connectors/nothing").await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_going_ends_with_the_version_it_began_with() {
    for database in databases().await {
        let name = database.name();
        let (open, gate) = mpsc::channel::<()>();
        let (gate, asked) = (Mutex::new(gate), Arc::new(Mutex::new(false)));
        let seen = asked.clone();
        let fake = serve(Arc::new(move |_: &Request| {
            *seen.lock().unwrap() = true;
            // Until the test lets go, or is over.
            tokio::task::block_in_place(|| gate.lock().unwrap().recv().ok());
            Answered::json(&json!({}))
        }))
        .await;
        let server = local().start(database).await;
        let workspace = server.workspace("Shop").await;
        let first = send(&server, version("1.0.0"), "?grant_hosts=/url").await.expect(201);
        let source = source(&server, &workspace, json!({ "do": "two pages", "url": fake.url })).await;
        let run = server.start_sync(&source, json!({})).await;
        eventually("the second page", async || asked.lock().unwrap().then_some(())).await;

        let second = install(&server, version("2.0.0")).await;
        assert_eq!(second["moved_sources"], 1, "{name}");
        assert_eq!(second["connector"]["installation"]["granted_hosts"], json!(["/url"]), "the grant is kept");
        assert_eq!(server.get(&source).await.ok()["connector"]["version"], "2.0.0");
        open.send(()).unwrap();
        let run = server.finished(&run).await;
        assert_eq!(
            (&run["status"], &run["connector"]["version"]),
            (&json!("succeeded"), &json!("1.0.0")),
            "{name}: {run}"
        );
        let documents = server.documents(&workspace).await;
        assert_eq!(documents.len(), 2, "{name}");

        open.send(()).unwrap();
        let next = server.sync(&source).await;
        assert_eq!(
            (&next["connector"]["version"], &next["counts"]["updated"]),
            (&json!("2.0.0"), &json!(2)),
            "{name}: {next}"
        );
        assert_ne!(first["connector"]["digest"], next["connector"]["digest"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_a_source_does_not_fit_is_refused_with_the_source_and_the_field() {
    let server = Server::start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    install(&server, version("1.0.0")).await;
    let source = source(&server, &workspace, json!({ "shop": 5 })).await;
    let schema =
        json!({ "type": "object", "properties": { "shop": { "type": "string" } }, "required": ["shop", "token"] });
    let wasm = component("changeable", "2.0.0", &schema, &[]);
    let problem = send(&server, wasm.clone(), "").await.problem(409, "config_mismatch");
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| text(&error["pointer"])).collect();
    assert!(
        pointers.contains(&"/config/shop".to_owned()) && pointers.contains(&"/config/token".to_owned()),
        "{problem}"
    );
    let id = source.rsplit('/').next().unwrap();
    assert!(problem["errors"].as_array().unwrap().iter().all(|error| text(&error["detail"]).contains(id)), "{problem}");
    assert_eq!(server.get(&source).await.ok()["connector"]["version"], "1.0.0", "nothing happened");

    server.patch(&source, json!({ "config": { "shop": "one", "token": "t" } })).await.ok();
    assert_eq!(install(&server, wasm).await["moved_sources"], 1);
    // Each step doubles the work, and there are forty.
    let mut steps = serde_json::Map::from_iter([("s40".to_owned(), json!(true))]);
    steps.extend((0..40).map(|n| {
        let next = json!({ "$ref": format!("#/$defs/s{}", n + 1) });
        (format!("s{n}"), json!({ "allOf": [next, next] }))
    }));
    let bomb = component("changeable", "3.0.0", &json!({ "$defs": steps, "$ref": "#/$defs/s0" }), &[]);
    let refused = send(&server, bomb, "").await.problem(422, "invalid_component");
    assert!(text(&refused["detail"]).contains("too long"), "{refused}");
    let broken = component("changeable", "3.0.0", &json!({ "type": "strange" }), &[]);
    send(&server, broken, "").await.problem(422, "invalid_component");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_reached_once_it_is_granted_and_no_more_once_it_is_not() {
    let fake = serve(Arc::new(|_: &Request| Answered::json(&json!({ "stock": 5 })))).await;
    let server = local().start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    install(&server, version("1.0.0")).await;
    let source = source(&server, &workspace, json!({ "do": "fetch", "url": fake.url })).await;
    let refused = server.sync(&source).await;
    assert_eq!(
        (&refused["status"], &refused["error"]["code"]),
        (&json!("failed"), &json!("host_not_granted")),
        "{refused}"
    );
    let line = "tributary plugin grant changeable --host 127.0.0.1";
    assert!(text(&refused["error"]["detail"]).contains(line), "{refused}");
    server.post(&format!("{source}/check"), json!({})).await.problem(422, "invalid_config");

    // The line is what it says.
    let (well, said) = server.command(&line.split(' ').skip(1).collect::<Vec<_>>());
    assert!(well && said.contains("may reach 127.0.0.1"), "{said}");
    assert_eq!(server.sync(&source).await["status"], "succeeded");

    let grants = async |hosts: Value| {
        let request = server.request(Method::PUT, "/api/v1/connectors/changeable/grants");
        Answer::of(request.json(&json!({ "hosts": hosts }))).await
    };
    assert_eq!(grants(json!([])).await.ok()["installation"]["granted_hosts"], json!([]));
    assert_eq!(server.sync(&source).await["error"]["code"], "host_not_granted");
    assert_eq!(grants(json!(["/url"])).await.ok()["installation"]["not_granted"], json!([]));
    assert_eq!(server.sync(&source).await["status"], "succeeded");
    grants(json!(["https://example.com/x"])).await.problem(422, "invalid_host");
    let request = server.request(Method::PUT, "/api/v1/connectors/file/grants");
    Answer::of(request.json(&json!({ "hosts": [] }))).await.problem(409, "shipped_connector");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_crashes_again_and_again_is_put_into_quarantine() {
    for database in databases().await {
        let name = database.name();
        let server = Options::default().arg("--metrics-token").arg(METRICS).start(database).await;
        let workspace = server.workspace("Shop").await;
        install(&server, version("1.0.0")).await;
        let source = source(&server, &workspace, json!({ "do": "trap" })).await;
        for _ in 0..3 {
            let run = server.sync(&source).await;
            assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("trap")), "{name}: {run}");
        }
        let problem = server.post(&format!("{source}/sync"), json!({})).await.problem(409, "connector_quarantined");
        assert!(text(&problem["detail"]).contains("tributary plugin release changeable"), "{problem}");
        server.post(&format!("{source}/check"), json!({})).await.problem(409, "connector_quarantined");
        let reason = async || {
            let source = server.get(&source).await.ok();
            (text(&source["health"]), source["health_reason"]["code"].clone())
        };
        eventually("the source to say so", async || (reason().await.1 == "connector_quarantined").then_some(())).await;
        assert_eq!(reason().await.0, "needs_attention", "{name}");
        let shown = server.get("/api/v1/connectors/changeable").await.ok();
        assert!(text(&shown["quarantine"]["detail"]).contains("3 runs in a row"), "{name}: {shown}");
        let scraped = server.anonymous(Method::GET, "/metrics").bearer_auth(METRICS).send().await.unwrap();
        let scraped = scraped.text().await.unwrap();
        assert!(scraped.contains("tributary_connector_quarantined{connector=\"changeable\"} 1\n"), "{name}: {scraped}");
        // Whatever its last run said, the console names what stops it.
        let pages = [format!("/console/workspaces/{workspace}"), source.replacen("/api/v1", "/console", 1)];
        for page in console(&server, &pages).await {
            let says = page.matches("is in quarantine: 3 runs in a row").count();
            assert!(says == 1 && page.contains("tributary plugin release changeable"), "{name}: {page}");
        }

        let released = server.post("/api/v1/connectors/changeable/release", json!({})).await.ok();
        assert_eq!(released["quarantine"], Value::Null);
        server.post("/api/v1/connectors/changeable/release", json!({})).await.problem(409, "not_quarantined");
        server.patch(&source, json!({ "config": {} })).await.ok();
        assert_eq!(server.sync(&source).await["status"], "succeeded", "{name}");
        assert_eq!(reason().await.0, "healthy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_crashes_in_one_workspace_goes_on_in_another() {
    for database in databases().await {
        let name = database.name();
        let server = Server::start(database).await;
        let (ours, theirs) = (server.workspace("Ours").await, server.workspace("Theirs").await);
        install(&server, version("1.0.0")).await;
        let well = source(&server, &ours, json!({})).await;
        let bad = source(&server, &theirs, json!({ "do": "trap" })).await;
        for _ in 0..3 {
            let run = server.sync(&bad).await;
            assert_eq!((&run["status"], &run["error"]["code"]), (&json!("failed"), &json!("trap")), "{name}: {run}");
        }
        let shown = server.get("/api/v1/connectors/changeable").await.ok();
        assert_eq!(shown["quarantine"], Value::Null, "{name}: another workspace uses it");
        let failing = server.get(&bad).await.ok();
        assert_eq!(failing["health"], "failing", "{name}");
        assert!(text(&failing["health_reason"]["detail"]).contains("tell its author"), "{name}: {failing}");
        assert_eq!(server.sync(&well).await["status"], "succeeded", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_removed_once_no_source_uses_it() {
    let server = Server::start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    install(&server, version("1.0.0")).await;
    let source = source(&server, &workspace, json!({})).await;
    let run = server.sync(&source).await;
    let problem = server.delete("/api/v1/connectors/changeable").await.problem(409, "connector_in_use");
    assert!(text(&problem["detail"]).contains("1 source uses"), "{problem}");
    let documents = server.documents(&workspace).await;
    server.delete(&source).await.expect(204);
    server.delete("/api/v1/connectors/changeable").await.expect(204);
    server.get("/api/v1/connectors/changeable").await.problem(404, "not_found");
    server.delete("/api/v1/connectors/changeable").await.problem(404, "not_found");
    server.delete("/api/v1/connectors/file").await.problem(409, "shipped_connector");

    // The source comes back with what it had, says what is missing, and syncs once that is there again.
    server.post(&format!("{source}/restore"), json!({})).await.ok();
    assert_eq!(server.documents(&workspace).await.len(), documents.len());
    let missing = server.sync(&source).await;
    assert_eq!(missing["error"]["code"], "connector_missing", "{missing}");
    assert_eq!(server.get(&source).await.ok()["health"], "needs_attention");
    server.post(&format!("{source}/check"), json!({})).await.problem(422, "unknown_connector");
    install(&server, version("1.0.0")).await;
    let again = server.sync(&source).await;
    assert_eq!((&again["status"], &again["connector"]), (&json!("succeeded"), &run["connector"]), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_connector_or_not_the_one_that_was_meant_is_refused() {
    let server = Server::start(Database::Sqlite).await;
    let wrong = format!("?digest=sha256:{}", "0".repeat(64));
    let problem = send(&server, version("1.0.0"), &wrong).await.problem(422, "digest_mismatch");
    assert!(text(&problem["detail"]).contains("sha256:0000"), "{problem}");
    for (wasm, says) in [
        (b"not webassembly".to_vec(), "not WebAssembly"),
        (b"\0asm\x01\0\0\0".to_vec(), "core WebAssembly module"),
        (version("1.0.0")[..5000].to_vec(), "damaged"),
        (built("tributary_plugin_extract"), "extractor"),
        (component("No Id", "1.0.0", &json!({}), &[]), "not made of a-z"),
        (component("changeable", "1.0.0", &json!([]), &[]), "not a JSON object"),
    ] {
        let problem = send(&server, wasm, "").await.problem(422, "invalid_component");
        assert!(text(&problem["detail"]).contains(says), "{says}: {problem}");
    }
    let taken = component("file", "9.0.0", &json!({ "type": "object" }), &[]);
    send(&server, taken, "").await.problem(409, "shipped_connector");
    let request = server.request(Method::POST, "/api/v1/connectors").header("content-type", "application/wasm");
    Answer::of(request.body(vec![0; (64 << 20) + 1])).await.problem(413, "too_large");
    let request = server.request(Method::POST, "/api/v1/connectors").body(version("1.0.0"));
    Answer::of(request).await.problem(415, "unsupported_media_type");
    send(&server, version("1.0.0"), "?grant_hosts=*.com").await.problem(422, "invalid_host");
    let listed = server.get("/api/v1/connectors").await.ok();
    assert!(listed["items"].as_array().unwrap().iter().all(|one| one["shipped"] == true), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_of_the_server_installs_and_sees_what_was_granted() {
    let server = Server::start(Database::Sqlite).await;
    install(&server, version("1.0.0")).await;
    let person = json!({ "email": "ada@example.com", "password": "a rather long password" });
    server.post("/api/v1/users", person.clone()).await.expect(201);
    let log_in = Answer::of(server.anonymous(Method::POST, "/api/v1/auth/login").json(&person)).await.ok();
    let as_ada = |method, path: &str| server.anonymous(method, path).bearer_auth(text(&log_in["access_token"]));
    let shown = Answer::of(as_ada(Method::GET, "/api/v1/connectors/changeable")).await.ok();
    assert_eq!((&shown["id"], &shown["installation"]), (&json!("changeable"), &Value::Null));
    for (method, path) in [
        (Method::POST, "/api/v1/connectors"),
        (Method::DELETE, "/api/v1/connectors/changeable"),
        (Method::POST, "/api/v1/connectors/changeable/release"),
        (Method::PUT, "/api/v1/connectors/changeable/grants"),
    ] {
        let request = as_ada(method, path).json(&json!({ "hosts": [] }));
        Answer::of(request).await.problem(403, "forbidden");
    }
    let events = server.get("/api/v1/audit?limit=100").await.ok();
    let actions: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| text(&event["action"])).collect();
    assert!(actions.contains(&"POST /api/v1/connectors".to_owned()), "{actions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_nothing_is_installed_that_they_did_not_sign() {
    let signer = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let stranger = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let sign =
        |by: &minisign::KeyPair, wasm: &[u8]| minisign::sign(None, &by.sk, wasm, None, None).unwrap().to_string();
    let server = Options::default().arg("--plugin-key").arg(signer.pk.to_base64()).start(Database::Sqlite).await;
    let wasm = version("1.0.0");
    let folder = tempfile::tempdir().unwrap();
    let put = async |signature: Option<&str>| {
        let mut request = server.request(Method::POST, "/api/v1/connectors").header("content-type", "application/wasm");
        if let Some(signature) = signature {
            request = request.header("tributary-signature", signature);
        }
        Answer::of(request.body(wasm.clone())).await
    };
    // As `base64 -w0` makes it.
    let base64 = |text: &str| {
        let file = folder.path().join("plain");
        fs::write(&file, text).unwrap();
        let output = std::process::Command::new("base64").arg("-w0").arg(file).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let unsigned = put(None).await.problem(422, "signature_refused");
    assert!(text(&unsigned["detail"]).contains("minisign -Sm"), "{unsigned}");
    put(Some(&base64(&sign(&stranger, &wasm)))).await.problem(422, "signature_refused");
    put(Some(&base64(&sign(&signer, b"something else")))).await.problem(422, "signature_refused");
    put(Some("not base64!")).await.problem(400, "invalid_signature");
    let installed = put(Some(&base64(&sign(&signer, &wasm)))).await.expect(201);
    let key = text(&installed["connector"]["installation"]["signed_by"]);
    let comment = signer.pk.to_box().unwrap().to_string();
    assert!(comment.contains(&key), "{key} is how minisign shows it: {comment}");

    // At the command line the signature is found beside the component.
    let file = folder.path().join("changeable.wasm");
    fs::write(&file, version("2.0.0")).unwrap();
    let (file, key) = (file.display().to_string(), signer.pk.to_base64());
    let command = ["plugin", "install", &file, "--plugin-key", &key];
    let (well, said) = server.command(&command);
    assert!(!well && said.contains("signed components alone"), "{said}");
    fs::write(format!("{file}.minisig"), sign(&signer, &version("2.0.0"))).unwrap();
    let (well, said) = server.command(&command);
    assert!(well && said.contains("changeable 2.0.0 is installed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_does_all_of_it_at_the_command_line() {
    for database in databases().await {
        let name = database.name();
        let server = Server::start(database).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("changeable.wasm");
        fs::write(&file, component("changeable", "1.0.0", &json!({}), &["api.example.com", "*.cdn.example.com"]))
            .unwrap();
        let file = file.display().to_string();
        let well = |arguments: &[&str]| {
            let (well, said) = server.command(arguments);
            assert!(well, "{name}: {arguments:?}: {said}");
            said
        };
        let badly = |arguments: &[&str]| {
            let (well, said) = server.command(arguments);
            assert!(!well, "{name}: {arguments:?}: {said}");
            said
        };
        // The server has just begun to start: its own connectors are not even compiled.
        let ours = folder.path().join("file.wasm");
        fs::write(&ours, component("file", "9.0.0", &json!({ "type": "object" }), &[])).unwrap();
        let said = badly(&["plugin", "install", &ours.display().to_string()]);
        assert!(said.contains("the connector \"file\" comes with the server"), "{said}");
        let said = well(&["plugin", "install", &file, "--grant-host", "api.example.com"]);
        assert!(said.contains("changeable 1.0.0 is installed, on every host at once"), "{said}");
        assert!(said.contains("tributary plugin grant changeable --host '*.cdn.example.com'"), "{said}");
        let listed = well(&["plugin", "list"]);
        assert!(listed.contains("with the server") && listed.contains("api.example.com"), "{listed}");
        let listed: Value = serde_json::from_str(&well(&["plugin", "list", "--json"])).unwrap();
        let installed = listed.as_array().unwrap().iter().find(|one| one["id"] == "changeable").unwrap();
        assert_eq!(installed["not_granted"], json!(["*.cdn.example.com"]), "{listed}");
        well(&["plugin", "grant", "changeable", "--all-asked"]);
        assert!(well(&["plugin", "grant", "changeable", "--only"]).contains("may reach nothing"));
        assert!(
            badly(&["plugin", "grant", "changeable", "--host", "example.com"]).contains("it asks for api.example.com")
        );
        assert!(badly(&["plugin", "grant", "changeable"]).contains("--host"));
        assert!(badly(&["plugin", "release", "changeable"]).contains("not in quarantine"));
        assert!(badly(&["plugin", "install", &file, "--digest", "sha256:00"]).contains("not the one that was meant"));

        let workspace = server.workspace("Shop").await;
        let source = source(&server, &workspace, json!({ "depth": 3 })).await;
        assert_eq!(server.sync(&source).await["status"], "succeeded", "{name}");
        assert!(badly(&["plugin", "remove", "changeable"]).contains("1 source uses the connector changeable"));
        fs::write(
            &file,
            component("changeable", "2.0.0", &json!({ "properties": { "depth": { "type": "string" } } }), &[]),
        )
        .unwrap();
        let misfit = badly(&["plugin", "install", &file]);
        assert!(misfit.contains("Strange") && misfit.contains("/config/depth"), "{misfit}");
        server.delete(&source).await.expect(204);
        assert!(well(&["plugin", "remove", "changeable"]).contains("is removed"));
        assert!(badly(&["plugin", "remove", "changeable"]).contains("there is no connector"));
        let events = server.get("/api/v1/audit?limit=100").await.ok();
        let actions: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| text(&event["action"])).collect();
        for action in ["tributary plugin install", "tributary plugin grant", "tributary plugin remove"] {
            assert!(actions.contains(&action.to_owned()), "{action}: {actions:?}");
        }
    }
}
