//! Versions of a connector that carry over what sources had under another: configurations, and what is remembered between runs.

use std::sync::{Arc, Mutex, mpsc};

use serde_json::{Value, json};
use tributary_fakes::{Answer as Answered, Request, serve};
use tributary_tests::{
    Database, Server,
    changeable::{install, send, told},
    databases, eventually,
    server::{Options, text},
};

/// A version that wants these fields and no others, beside what it does.
fn version(version: &str, fields: &[&str], more: Value) -> Vec<u8> {
    let mut properties = json!({ "do": {}, "url": {}, "login": { "x-credential": true } });
    fields.iter().for_each(|field| properties[*field] = json!({ "type": "string" }));
    let schema =
        json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": fields });
    let mut all = json!({ "id": "changeable", "version": version, "schema": schema, "hosts": ["/url"] });
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    told(&all)
}

async fn source(server: &Server, workspace: &str, name: &str, config: Value) -> String {
    let sources = format!("/api/v1/workspaces/{workspace}/sources");
    let new = json!({ "name": name, "connector": "changeable", "config": config });
    format!("{sources}/{}", text(&server.post(&sources, new).await.expect(201)["id"]))
}

/// What the only document says after a sync.
async fn memory(server: &Server, workspace: &str, source: &str) -> String {
    let run = server.sync(source).await;
    assert_eq!(run["status"], "succeeded", "{run}");
    let query = json!({ "workspace_id": workspace, "query": "remembers", "min_position": run["position"] });
    let found = server.post("/api/v1/knowledge/query", query).await.ok();
    assert_eq!(found["results"].as_array().unwrap().len(), 1, "{found}");
    text(&found["results"][0]["text"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_takes_sources_over_with_their_configuration_and_memory() {
    for database in databases().await {
        let name = database.name();
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        install(&server, version("1.0.0", &["shop"], json!({ "key": "mark" }))).await;
        let source = source(&server, &workspace, "Strange", json!({ "do": "remember", "shop": "one" })).await;
        assert_eq!(memory(&server, &workspace, &source).await, "It remembers nothing.", "{name}");
        assert_eq!(memory(&server, &workspace, &source).await, "It remembers the warranty of 1.0.0.", "{name}");

        let rename = json!({ "do": "rename", "from": "shop", "to": "store" });
        let second = version("2.0.0", &["store"], json!({ "key": "mark2", "config": rename, "state": "rename" }));
        let installed = install(&server, second.clone()).await;
        assert_eq!(
            (&installed["moved_sources"], &installed["carried_configs"]),
            (&json!(1), &json!(1)),
            "{name}: {installed}"
        );
        let shown = server.get(&source).await.ok();
        assert_eq!(shown["config"], json!({ "do": "remember", "store": "one" }), "{name}");
        assert_eq!(shown["connector"]["version"], "2.0.0");
        // The same again carries nothing over.
        assert_eq!(install(&server, second).await["carried_configs"], 0, "{name}");

        // A dry run sees what a sync will see, and leaves it to the sync.
        let queued = server.post(&format!("{source}/dry-run"), json!({})).await.expect(202);
        let dry = server.finished(&format!("{source}/runs/{}", text(&queued["run_id"]))).await;
        assert_eq!((&dry["status"], &dry["counts"]["updated"]), (&json!("succeeded"), &json!(1)), "{name}: {dry}");
        let carried = "It remembers the warranty of 1.0.0, carried over from 1.0.0.";
        assert_eq!(memory(&server, &workspace, &source).await, carried, "{name}");
        assert_eq!(memory(&server, &workspace, &source).await, "It remembers the warranty of 2.0.0.", "{name}");

        // Whatever goes wrong, the run reads everything, and nothing is lost.
        for (number, state) in [(3, "refuse"), (4, "forget"), (5, "trap")] {
            let (this, key) = (format!("{number}.0.0"), format!("mark{number}"));
            let installed = install(&server, version(&this, &["store"], json!({ "key": key, "state": state }))).await;
            assert_eq!(installed["carried_configs"], 0, "{name}");
            assert_eq!(memory(&server, &workspace, &source).await, "It remembers nothing.", "{name}: {state}");
            let now = format!("It remembers the warranty of {this}.");
            assert_eq!(memory(&server, &workspace, &source).await, now, "{name}: {state}");
        }
        // A version that says nothing of it finds the memory as it was.
        install(&server, version("6.0.0", &["store"], json!({ "key": "mark5" }))).await;
        assert_eq!(memory(&server, &workspace, &source).await, "It remembers the warranty of 5.0.0.", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_not_carried_over_refuses_the_version_and_moves_nothing() {
    for database in databases().await {
        let name = database.name();
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        // It takes any configuration.
        let loose =
            json!({ "id": "changeable", "version": "1.0.1", "schema": { "type": "object" }, "hosts": ["/url"] });
        install(&server, told(&loose)).await;
        let good = source(&server, &workspace, "Good", json!({ "shop": "one" })).await;
        let bad = source(&server, &workspace, "Bad", json!({ "shop": 5 })).await;
        let refused = async |wasm: Vec<u8>| {
            let problem = send(&server, wasm, "").await.problem(409, "config_mismatch");
            for (source, shop) in [(&good, json!("one")), (&bad, json!(5))] {
                let shown = server.get(source).await.ok();
                assert_eq!(
                    (&shown["config"], &shown["connector"]["version"]),
                    (&json!({ "shop": shop }), &json!("1.0.1"))
                );
            }
            problem["errors"].as_array().unwrap().clone()
        };
        let rename = json!({ "do": "rename", "from": "shop", "to": "store" });
        let second = version("2.0.0", &["store"], json!({ "config": rename }));
        let errors = refused(second.clone()).await;
        let id = bad.rsplit('/').next().unwrap();
        assert!(errors.len() == 1 && errors[0]["pointer"] == "/config/store", "{name}: {errors:?}");
        assert!(text(&errors[0]["detail"]).contains(id), "{name}: {errors:?}");

        let does = |what: &str| version("2.0.0", &["shop"], json!({ "config": { "do": what } }));
        for (what, says) in [
            ("refuse", "Say which of the shops of 1.0.1 is meant."),
            ("trap", "while it carried the configuration over"),
            ("text", "not JSON"),
            ("reach", "not available during this call"),
        ] {
            let errors = refused(does(what)).await;
            assert_eq!(errors.len(), 2, "{name}: {what}: {errors:?}");
            assert!(errors.iter().all(|error| text(&error["detail"]).contains(says)), "{name}: {what}: {errors:?}");
        }
        // What an administrator did not let it have, it does not give itself.
        for (field, value, says) in [
            ("login", "bank", "names the credential \"bank\""),
            ("url", "https://evil.example", "names the host \"evil.example\""),
        ] {
            let set = json!({ "config": { "do": "set", "to": field, "value": value } });
            let errors = refused(version("2.0.0", &[], set)).await;
            assert!(errors.iter().all(|error| text(&error["detail"]).contains(says)), "{name}: {field}: {errors:?}");
        }

        server.patch(&bad, json!({ "config": { "shop": "two" } })).await.ok();
        let installed = install(&server, second).await;
        assert_eq!((&installed["moved_sources"], &installed["carried_configs"]), (&json!(2), &json!(2)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_never_ends_is_ended() {
    let server = Server::start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    install(&server, version("1.0.0", &["shop"], json!({}))).await;
    source(&server, &workspace, "Strange", json!({ "shop": "one" })).await;
    let spin = version("2.0.0", &["shop"], json!({ "config": { "do": "spin" } }));
    let problem = send(&server, spin, "").await.problem(409, "config_mismatch");
    assert!(text(&problem["errors"][0]["detail"]).contains("processor time"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_going_ends_with_the_configuration_it_began_with() {
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
        let server = Options::default().arg("--egress-network").arg("127.0.0.0/8").start(database).await;
        let workspace = server.workspace("Shop").await;
        send(&server, version("1.0.0", &["shop"], json!({})), "?grant_hosts=/url").await.expect(201);
        let config = json!({ "do": "two pages", "url": fake.url, "shop": "one" });
        let source = source(&server, &workspace, "Strange", config).await;
        let run = server.start_sync(&source, json!({})).await;
        eventually("the second page", async || asked.lock().unwrap().then_some(())).await;

        let rename = json!({ "do": "rename", "from": "shop", "to": "store" });
        let installed = install(&server, version("2.0.0", &["store"], json!({ "config": rename }))).await;
        assert_eq!(installed["carried_configs"], 1, "{name}");
        open.send(()).unwrap();
        let run = server.finished(&run).await;
        assert_eq!(
            (&run["status"], &run["connector"]["version"]),
            (&json!("succeeded"), &json!("1.0.0")),
            "{name}: {run}"
        );
        open.send(()).unwrap();
        let next = server.sync(&source).await;
        assert_eq!(
            (&next["status"], &next["connector"]["version"], &next["counts"]["updated"]),
            (&json!("succeeded"), &json!("2.0.0"), &json!(2)),
            "{name}: {next}"
        );
        assert_eq!(server.documents(&workspace).await.len(), 2, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_reads_what_was_carried_over() {
    let server = Server::start(Database::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("changeable.wasm");
    let put = |wasm: Vec<u8>| {
        std::fs::write(&file, wasm).unwrap();
        server.command(&["plugin", "install", &file.display().to_string()])
    };
    assert!(put(version("1.0.0", &["shop"], json!({}))).0);
    let workspace = server.workspace("Shop").await;
    source(&server, &workspace, "Strange", json!({ "shop": "one" })).await;
    let (well, said) = put(version("2.0.0", &["shop"], json!({ "config": { "do": "refuse" } })));
    assert!(!well && said.contains("Strange") && said.contains("Say which of the shops of 1.0.0 is meant."), "{said}");
    let rename = json!({ "do": "rename", "from": "shop", "to": "store" });
    let (well, said) = put(version("2.0.0", &["store"], json!({ "config": rename })));
    assert!(well && said.contains("It carried the configuration of 1 source over to its own."), "{said}");
}
