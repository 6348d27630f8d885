//! An Extism module as a connector of a server that runs: installed at the command line, granted, synced and cited like any other.

use std::{
    fs,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tributary_fakes::{Answer, Request, serve};
use tributary_tests::{
    databases,
    server::{Options, text},
};

/// Sends the request that its configuration holds, and takes the answer for a page. Written by hand: no kit, no compiler.
const MODULE: &str = r#"(module
    (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
    (import "extism:host/env" "length" (func $length (param i64) (result i64)))
    (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
    (import "extism:host/env" "output_set" (func $output (param i64 i64)))
    (import "extism:host/env" "config_get" (func $config (param i64) (result i64)))
    (import "extism:host/env" "http_request" (func $http (param i64 i64) (result i64)))
    (memory (export "memory") 1)
    (data (i32.const 0) "$ABOUT")
    (data (i32.const 4096) "[{\"name\": \"nothing to look at\", \"status\": \"ok\"}]")
    (data (i32.const 8192) "request")
    (func $block (param $from i32) (param $len i32) (result i64) (local $at i64) (local $to i64)
        (local.set $at (call $alloc (i64.extend_i32_u (local.get $len))))
        (local.set $to (local.get $at))
        (loop $next
            (call $store (local.get $to) (i32.load8_u (local.get $from)))
            (local.set $from (i32.add (local.get $from) (i32.const 1)))
            (local.set $to (i64.add (local.get $to) (i64.const 1)))
            (br_if $next (local.tee $len (i32.sub (local.get $len) (i32.const 1)))))
        (local.get $at))
    (func $answer (param $block i64) (result i32)
        (call $output (local.get $block) (call $length (local.get $block))) (i32.const 0))
    (func (export "describe") (result i32) (call $answer (call $block (i32.const 0) (i32.const $LENGTH))))
    (func (export "check") (result i32) (call $answer (call $block (i32.const 4096) (i32.const 48))))
    (func (export "pull") (result i32)
        (call $answer (call $http (call $config (call $block (i32.const 8192) (i32.const 7))) (i64.const 0)))))"#;

fn module() -> Vec<u8> {
    let about = json!({
        "id": "by_hand", "version": "1.0.0", "title": "By hand", "hosts": ["/request/url"], "capabilities": ["enumerate"],
        "config_schema": {"type": "object", "required": ["request"]},
    })
    .to_string();
    let wat = MODULE.replace("$LENGTH", &about.len().to_string()).replace("$ABOUT", &about.replace('"', "\\\""));
    wat::parse_str(wat).unwrap()
}

fn page(articles: &[(&str, &str)]) -> Value {
    let upsert = |(id, text): &(&str, &str)| {
        json!({"upsert": {
            "external_id": id, "title": id, "kind": "page", "content": {"sections": [{"text": text}]},
            "provenance": {"url": format!("https://shop.example/{id}")},
        }})
    };
    json!({"changes": articles.iter().map(upsert).collect::<Vec<_>>(), "next": "complete_exhaustive"})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extism_module_is_installed_into_a_running_server_and_what_it_reads_is_cited() {
    for database in databases().await {
        let name = database.name();
        let articles = [
            ("warranty", "The warranty of the lamp LX-40 lasts 7 years."),
            ("returns", "Returns are free within 30 days."),
            ("shipping", "Parcels leave on the next day."),
            ("payment", "We take cards and invoices."),
            ("repairs", "Repairs take two weeks."),
            ("discontinued", "The lamp LX-30 is not made any more."),
        ];
        let now = Arc::new(Mutex::new(page(&articles)));
        let said = now.clone();
        let api = serve(Arc::new(move |_: &Request| Answer::json(&said.lock().unwrap()))).await;
        let server = Options::default().arg("--egress-network").arg("127.0.0.0/8").start(database).await;
        let workspace = server.workspace("Shop").await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("by_hand.wasm");
        fs::write(&file, module()).unwrap();
        let (well, said) = server.command(&["plugin", "install", &file.display().to_string()]);
        assert!(well && said.contains("by_hand 1.0.0 is installed, on every host at once"), "{name}: {said}");

        let config = json!({"request": {"url": format!("{}/page", api.url)}});
        let new = json!({"name": "By hand", "connector": "by_hand", "config": config});
        let sources = format!("/api/v1/workspaces/{workspace}/sources");
        let source = format!("{sources}/{}", text(&server.post(&sources, new).await.expect(201)["id"]));
        let refused = server.sync(&source).await;
        assert_eq!(refused["status"], "failed", "{name}: {refused}");
        assert!(text(&refused["error"]["detail"]).contains("tributary plugin grant by_hand"), "{name}: {refused}");
        let (well, said) = server.command(&["plugin", "grant", "by_hand", "--all-asked"]);
        assert!(well, "{name}: {said}");

        let run = server.sync(&source).await;
        assert_eq!((&run["status"], &run["counts"]["added"]), (&json!("succeeded"), &json!(6)), "{name}: {run}");
        let query = json!({"workspace_id": workspace, "query": "warranty", "min_position": run["position"]});
        server.post("/api/v1/knowledge/query", query).await.ok();
        let chat = json!({"workspace_id": workspace, "message": "How long does the warranty of LX-40 last?"});
        let answer = server.post("/api/v1/chat", chat).await.ok();
        assert!(text(&answer["answer"]).contains("lasts 7 years. [1]"), "{name}: {answer}");
        let citation = &answer["citations"][0];
        let installed = server.get("/api/v1/connectors/by_hand").await.ok();
        assert_eq!(citation["connector"]["id"], "by_hand", "{name}: {answer}");
        assert_eq!(citation["connector"]["digest"], installed["digest"], "{name}: {answer}");

        // What the page does not name any more is gone, as with every connector.
        *now.lock().unwrap() = page(&articles[..5]);
        let run = server.sync(&source).await;
        assert_eq!((&run["counts"]["unchanged"], &run["counts"]["deleted"]), (&json!(5), &json!(1)), "{name}: {run}");
    }
}
