//! Extism modules: one that its own PDK built, connectors written by hand, and hostile ones.
#![allow(clippy::unwrap_used)]

#[path = "support/extism.rs"]
mod guests;
mod support;

use std::{collections::BTreeMap, sync::Arc};

use guests::{Scripted, connector, installed, module, options, pull, refusal, saying, shop};
use serde_json::{Value, json};
use support::{files, request, services, services_over, text};
use tributary_core::contract::{BrowseRequest, Change, CheckStatus, Fault, Next};
use tributary_sandbox::{Sandbox, SandboxOptions, with_manifest};

#[tokio::test]
async fn a_module_of_extisms_own_pdk_runs_unmodified() {
    let wasm = include_bytes!("fixtures/extism/count_vowels.wasm");
    let sandbox = Sandbox::new(SandboxOptions { pooling: true, ..options() }).unwrap();
    let module = sandbox.open_extism(&wasm[..]).await.unwrap();
    for (text, count) in [("Hello, World!", 3), ("", 0), (&"aeiou xyz ".repeat(2_000), 10_000)] {
        let output = module.call("count_vowels", text.as_bytes(), &services()).await.unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&output).unwrap(), json!({ "count": count }));
    }
    // Not UTF-8: the guest says so itself.
    let failure = module.call("count_vowels", b"\xff", &services()).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Internal, "guest_error"));
    assert!(failure.message.contains("utf-8"), "{failure:?}");
    assert_eq!(module.call("count", b"", &services()).await.unwrap_err().code, "missing_export");
    // It counts vowels and reads no source.
    assert!(refusal(wasm.to_vec()).await.contains("has no function `describe`"));
}

#[tokio::test]
async fn a_connector_describes_itself_is_checked_and_pulls_page_by_page() {
    let connector = installed(shop()).await;
    let descriptor = connector.describe().await.unwrap();
    assert_eq!((descriptor.id.as_str(), descriptor.version.as_str()), ("by_hand", "1.0.0"));
    assert!(descriptor.capabilities.deletion_feed && !descriptor.capabilities.browse);
    let checked = connector.check("{}", &services()).await.unwrap();
    assert_eq!(checked[0].status, CheckStatus::Ok);

    let http = Arc::new(Scripted::default());
    let services = services().with_http(http.clone());
    let mut asked = request(json!({}));
    let page = connector.pull(&asked, &services).await.unwrap();
    assert_eq!((text(&page, "page"), page.next), ("first", Next::More));
    asked.cursor = page.cursor;
    let page = connector.pull(&asked, &services).await.unwrap();
    assert_eq!((text(&page, "page"), page.next, page.cursor.as_deref()), ("second", Next::CompleteExhaustive, None));
    let sent: Vec<_> = http.0.lock().unwrap().iter().map(|request| request.url.clone()).collect();
    assert_eq!(sent, ["https://shop.example/1", "https://shop.example/2"]);
    assert_eq!(services.meter.bytes(), 15);
}

#[tokio::test]
async fn a_failure_of_the_host_ends_the_call_as_itself() {
    let asks = |url: &str, method: &str| {
        let ask = json!({"url": url, "method": method}).to_string();
        let body = "(drop (call $http_request (call $block (i32.const $ASK) (i32.const $ASK.len)) (i64.const 0))) (i32.const 0)";
        connector(&[("ASK", &ask)], body)
    };
    let cases = [
        (asks("https://evil.example/", "GET"), Fault::Permission, "host_not_granted"),
        (asks("https://shop.example/1", "DELETE"), Fault::Unsupported, "method_not_allowed"),
        (
            connector(&[], "(drop (call $http_request (i64.const 99) (i64.const 0))) (i32.const 0)"),
            Fault::SourceContract,
            "bad_handle",
        ),
    ];
    for (wasm, fault, code) in cases {
        let services = services().with_http(Arc::new(Scripted::default()));
        let failure = pull(&installed(wasm).await, &services).await.unwrap_err();
        assert_eq!((failure.fault, failure.code.as_str()), (fault, code));
    }
    // What has no way out at all.
    let failure = pull(&installed(asks("https://shop.example/1", "GET")).await, &services()).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Permission, "not_available"));
}

#[tokio::test]
async fn status_and_headers_of_an_answer_can_be_read() {
    let ask = json!({"url": "https://shop.example/none"}).to_string();
    let wasm = module(
        &[("ASK", &ask)],
        r#"(func (export "head") (result i32)
            (drop (call $http_request (call $block (i32.const $ASK) (i32.const $ASK.len)) (i64.const 0)))
            (call $answer (call $http_headers))
            (i32.sub (call $http_status_code) (i32.const 404)))"#,
    );
    let module = Sandbox::new(options()).unwrap().open_extism(wasm).await.unwrap();
    let services = services().with_http(Arc::new(Scripted::default()));
    let headers: Value = serde_json::from_slice(&module.call("head", b"", &services).await.unwrap()).unwrap();
    assert_eq!(headers, json!({"x-page": "none", "set-cookie": "a, b"}));
}

/// A module that hands its input to each function of `extism:host/user`, and its answer back.
fn asking() -> Vec<u8> {
    let names = [
        "files_list",
        "files_open",
        "blob_create",
        "blob_append",
        "blob_finish",
        "blob_read",
        "ledger_lookup",
        "state_get",
        "state_set",
        "http_send",
    ];
    let imports: String = names
        .map(|name| format!(r#"(import "extism:host/user" "{name}" (func ${name} (param i64) (result i64)))"#))
        .concat();
    let exports: String = names
        .map(|name| {
            format!(
                r#"(func (export "{name}") (result i32) (local $answer i64)
                (local.set $answer (call ${name} (call $input)))
                (call $output (local.get $answer) (call $length (local.get $answer))) (i32.const 0))"#
            )
        })
        .concat();
    wat::parse_str(format!(
        r#"(module {imports}
        (import "extism:host/env" "input_offset" (func $input (result i64)))
        (import "extism:host/env" "length" (func $length (param i64) (result i64)))
        (import "extism:host/env" "output_set" (func $output (param i64 i64)))
        {exports})"#
    ))
    .unwrap()
}

#[tokio::test]
async fn the_hosts_interfaces_answer_in_json() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("a.txt"), "hello").unwrap();
    let http = Arc::new(Scripted::default());
    let services = services_over(files(root.path())).with_http(http.clone());
    let module = Sandbox::new(options()).unwrap().open_extism(asking()).await.unwrap();
    let ask = async |name: &str, question: Value| -> Value {
        let answer = module.call(name, question.to_string().as_bytes(), &services).await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    };
    let listing = ask("files_list", json!({"root": "docs", "dir": "", "limit": 10})).await;
    let entry = &listing["ok"]["entries"][0];
    assert_eq!((&entry["name"], &entry["kind"], &entry["size_bytes"]), (&json!("a.txt"), &json!("file"), &json!(5)));
    assert!(entry["modified_at"].is_i64());
    let opened = ask("files_open", json!({"root": "docs", "path": "a.txt", "max_bytes": 9})).await;
    let read = json!({"blob": opened["ok"], "offset": 1, "len": 3, "encoding": "text"});
    assert_eq!(ask("blob_read", read).await, json!({"ok": {"text": "ell"}}));
    let outside = ask("files_open", json!({"root": "docs", "path": "../a", "max_bytes": 9})).await;
    assert_eq!((&outside["err"]["fault"], &outside["err"]["code"]), (&json!("permission"), &json!("path_not_allowed")));

    let blob = ask("blob_create", json!({})).await["ok"].clone();
    ask("blob_append", json!({"blob": blob, "bytes": {"text": "a"}})).await;
    assert_eq!(ask("blob_append", json!({"blob": blob, "bytes": {"base64": "/w=="}})).await, json!({"ok": null}));
    assert_eq!(ask("blob_finish", json!({"blob": blob})).await["ok"]["size_bytes"], 2);
    let read = |encoding: &str| json!({"blob": blob, "offset": 0, "len": 9, "encoding": encoding});
    assert_eq!(ask("blob_read", read("base64")).await, json!({"ok": {"base64": "Yf8="}}));
    assert_eq!(ask("blob_read", read("text")).await["err"]["code"], "not_text");
    assert_eq!(ask("blob_read", json!({"blob": 99, "offset": 0, "len": 9})).await["err"]["fault"], "not_found");

    assert_eq!(ask("ledger_lookup", json!({"external_ids": ["a", "b"]})).await, json!({"ok": [null, null]}));
    ask("state_set", json!({"key": "k", "value": "v"})).await;
    assert_eq!(ask("state_get", json!({"key": "k"})).await, json!({"ok": "v"}));
    assert_eq!(services.state.into_writes()["k"].as_deref(), Some("v"));

    let sent = ask(
        "http_send",
        json!({
            "method": "post", "url": "https://shop.example/1", "headers": [["accept", "*/*"]], "body": {"text": "q"},
            "credential": {"name": "shop", "inject": {"header": ["x-key", ""]}}, "max_bytes": 100,
            "rates": [{"requests": 2, "per_ms": 1000}],
        }),
    )
    .await;
    assert_eq!((&sent["ok"]["status"], &sent["ok"]["size_bytes"]), (&json!(200), &json!(7)));
    let request = http.0.lock().unwrap()[0].clone();
    assert_eq!((request.credential.unwrap().name.as_str(), request.rates[0].requests), ("shop", 2));
    // What is no question at all ends the call.
    let failure = module.call("state_get", b"[", &services).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::SourceContract, "bad_question"));
}

#[tokio::test]
async fn configuration_and_variables_are_values_by_name() {
    let wasm = connector(
        &[("KEY", "shop"), ("GONE", "gone")],
        "(local.set $one (call $config_get (call $block (i32.const $KEY) (i32.const $KEY.len))))
        (call $var_set (call $block (i32.const $KEY) (i32.const $KEY.len)) (local.get $one))
        (local.set $other (call $var_get (call $block (i32.const $KEY) (i32.const $KEY.len))))
        (if (i64.ne (i64.const 0) (call $config_get (call $block (i32.const $GONE) (i32.const $GONE.len)))) (then unreachable))
        (call $log_info (call $alloc (i64.const 100000)))
        (call $error_set (local.get $other)) (if (i64.ne (call $error_get) (local.get $other)) (then unreachable))
        (i32.const 7)",
    );
    let failure = pull(&installed(wasm).await, &services()).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.message.as_str()), ("guest_error", "x"));
    let silent = installed(connector(&[], "(i32.const 7)")).await;
    assert_eq!(pull(&silent, &services()).await.unwrap_err().message, "`pull` returned 7");
}

/// The same checks as for components.
#[tokio::test]
async fn a_page_is_checked_like_a_components() {
    let document = |id: &str, more: Value| {
        let mut document = json!({"external_id": id, "kind": "page", "content": {"sections": [{"text": "t\u{0}"}]}});
        document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "upsert": document })
    };
    let page = json!({
        "changes": [
            document("good", json!({"title": "two\nlines\u{202e}", "provenance": {"url": "javascript:x"},
                "fields": [["price", {"money": ["19.90", "EUR"]}], ["n", {"integer": 3}]]})),
            document("", json!({})),
            document("kind", json!({"kind": "Not A Kind"})),
            document("blob", json!({"content": {"blob": [7, "text/plain"]}})),
            {"delete": ["gone", "trashed"]},
            {"failed": ["item", {"fault": "not_found", "code": "x", "message": "m"}]},
            {"container": {"external_id": "csv", "fingerprint": "f"}},
        ],
        "next": {"wait_ms": u64::MAX},
        "progress": {"done": 1, "total": 2},
    });
    let page = pull(&installed(saying(&page.to_string())).await, &services()).await.unwrap();
    let codes: Vec<_> = page
        .changes
        .iter()
        .map(|change| match change {
            Change::Upsert(document) => document.title.clone(),
            Change::Failed(id, failure) => format!("{id}: {}", failure.code),
            Change::Delete(id, gone) => format!("{id} {}", gone.as_str()),
            Change::Container(container) => container.fingerprint.clone(),
        })
        .collect();
    let expected = [
        "two lines\\u{202e}",
        ": bad_external_id",
        "kind: bad_kind",
        "blob: unknown_blob",
        "gone trashed",
        "item: x",
        "f",
    ];
    assert_eq!(codes, expected);
    assert_eq!((text(&page, "good"), page.next), ("t\u{fffd}", Next::WaitMs(86_400_000)));
    let Change::Upsert(document) = &page.changes[0] else { panic!() };
    assert_eq!((document.provenance.url.as_deref(), document.fields.len()), (None, 2));
    let many = json!({"changes": vec![json!({"delete": ["a", "deleted"]}); 257], "next": "complete"});
    let failure = pull(&installed(saying(&many.to_string())).await, &services()).await.unwrap_err();
    assert_eq!(failure.code, "page_too_large");
    let forged = json!({"changes": [{"delete": ["a", "source_deleted"]}], "next": "complete"});
    assert_eq!(pull(&installed(saying(&forged.to_string())).await, &services()).await.unwrap_err().code, "bad_answer");
}

#[tokio::test]
async fn a_manifest_gives_hosts_and_values_and_takes_memory() {
    let manifest = json!({
        "wasm": [{"path": "by_hand.wasm"}], "memory": {"max_pages": 4}, "timeout_ms": 60_000,
        "config": {"shop": "from the manifest", "lang": "en"}, "allowed_hosts": ["shop.example"],
    })
    .to_string();
    let wasm = connector(
        &[("KEY", "lang")],
        "(call $error_set (call $config_get (call $block (i32.const $KEY) (i32.const $KEY.len)))) (i32.const 1)",
    );
    let connector = installed(with_manifest(&wasm, manifest.as_bytes()).unwrap()).await;
    assert_eq!(connector.describe().await.unwrap().hosts, ["shop.example"]);
    assert_eq!(pull(&connector, &services()).await.unwrap_err().message, "en");
    let wasm = guests::connector(&[], "(drop (memory.grow (i32.const 4))) (i32.const 1)");
    let small = installed(with_manifest(&wasm, manifest.as_bytes()).unwrap()).await;
    assert_eq!(pull(&small, &services()).await.unwrap_err().fault, Fault::Memory);
}

#[tokio::test]
async fn of_wasi_there_is_a_clock_chance_output_and_nothing_else() {
    let wasm = wat::parse_str(
        r#"(module
        (import "extism:host/env" "free" (func (param i64)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func $expect (param $found i32) (param $wanted i32)
            (if (i32.ne (local.get $found) (local.get $wanted)) (then unreachable)))
        (func (export "look") (result i32)
            (i32.store (i32.const 0) (i32.const -1))
            (call $expect (call $environ (i32.const 0) (i32.const 4)) (i32.const 0))
            (call $expect (i32.load (i32.const 0)) (i32.const 0))
            (call $expect (call $clock (i32.const 0) (i64.const 1) (i32.const 8)) (i32.const 0))
            (call $expect (call $random (i32.const 16) (i32.const 8)) (i32.const 0))
            (call $expect (i64.eqz (i64.load (i32.const 16))) (i32.const 0))
            (call $expect (call $prestat (i32.const 3) (i32.const 0)) (i32.const 8))
            (call $expect (call $random (i32.const 65530) (i32.const 100)) (i32.const 21))
            (call $expect (call $write (i32.const 1) (i32.const -8) (i32.const 9) (i32.const 0)) (i32.const 21))
            (call $expect (call $write (i32.const 5) (i32.const 0) (i32.const 1) (i32.const 0)) (i32.const 8))
            (i32.const 0))
        (func (export "leave") (result i32) (call $exit (i32.const 3)) (i32.const 0)))"#,
    )
    .unwrap();
    let module = Sandbox::new(options()).unwrap().open_extism(wasm).await.unwrap();
    module.call("look", b"", &services()).await.unwrap();
    let failure = module.call("leave", b"", &services()).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Trap, "exited"));
}

#[tokio::test]
async fn a_module_may_carry_sources_over_and_offer_choices() {
    let plain = installed(saying("{}")).await;
    assert_eq!(plain.upgrade_config("0.9.0", "{\"a\":1}").await.unwrap(), "{\"a\":1}");
    let state = BTreeMap::from([("mark".to_owned(), "7".to_owned())]);
    assert_eq!(plain.upgrade_state("0.9.0", state.clone()).await.unwrap(), Some(state.clone()));
    let request = BrowseRequest { config: "{}".to_owned(), pointer: "/shop".to_owned(), ..BrowseRequest::default() };
    assert_eq!(plain.browse(&request, &services()).await.unwrap_err().code, "browse_unsupported");

    let (config, state_text) = (r#"{"store": "one"}"#, r#"{"mark2": "7"}"#);
    let choices = r#"{"items": [{"value": "one", "title": "One", "opens": "1"}, {"title": "More"}], "next": "2"}"#;
    let answers = |name: &str, text: &str| {
        format!(
            r#"(func (export "{name}") (result i32)
                (call $answer (call $block (i32.const ${text}) (i32.const ${text}.len))) (i32.const 0))"#
        )
    };
    let hooks = [("upgrade_config", "CONFIG"), ("upgrade_state", "STATE"), ("browse", "CHOICES")];
    let hooks: String = hooks.iter().map(|(name, text)| answers(name, text)).collect();
    let texts = [("CONFIG", config), ("STATE", state_text), ("CHOICES", choices)];
    let able = installed(connector(&texts, &format!("(i32.const 1)) {hooks} (func (export \"more\")"))).await;
    assert_eq!(able.upgrade_config("0.9.0", "{}").await.unwrap(), r#"{"store":"one"}"#);
    let carried = BTreeMap::from([("mark2".to_owned(), "7".to_owned())]);
    assert_eq!(able.upgrade_state("0.9.0", state).await.unwrap(), Some(carried));
    let found = able.browse(&request, &services()).await.unwrap();
    let (first, second) = (&found.items[0], &found.items[1]);
    assert_eq!((first.value.as_ref(), first.opens.as_deref()), (Some(&json!("one")), Some("1")));
    assert_eq!((second.value.as_ref(), found.next.as_deref()), (None, Some("2")));
}

#[tokio::test]
async fn a_connector_in_assemblyscript_reads_pages() {
    if std::env::var_os("TRIBUTARY_TEST_FULL").is_none() {
        return;
    }
    let connector = installed(guests::in_assemblyscript()).await;
    assert_eq!(connector.describe().await.unwrap().hosts, ["/base_url"]);

    let services = services().with_http(Arc::new(Scripted::default()));
    let config = json!({"base_url": "https://shop.example/lines"});
    let checked = connector.check(&config.to_string(), &services).await.unwrap();
    assert_eq!(checked[0].status, CheckStatus::Ok);
    let mut asked = request(config);
    let page = connector.pull(&asked, &services).await.unwrap();
    assert_eq!((text(&page, "a"), text(&page, "b"), page.next), ("say \"hi\"", "two", Next::More));
    let Change::Upsert(document) = &page.changes[0] else { panic!("{page:?}") };
    assert_eq!(document.title, "Äpfel");
    asked.cursor = page.cursor;
    let page = connector.pull(&asked, &services).await.unwrap();
    assert_eq!((page.changes.len(), page.next), (0, Next::CompleteExhaustive));
    let missing = json!({"base_url": "https://shop.example/elsewhere"}).to_string();
    assert_eq!(connector.check(&missing, &services).await.unwrap()[0].status, CheckStatus::Failed);
}
