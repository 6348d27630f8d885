//! Extism modules: the same attacks through the other door.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tributary_core::contract::Fault;
use tributary_sandbox::{Sandbox, with_manifest};

use crate::{
    guests::{self, Scripted, connector, installed, options, pull, refusal, saying, shop},
    support::{services, text},
};

/// Each of them a typed failure in bounded time, and whoever runs beside them notices nothing.
#[tokio::test]
async fn hostile_modules_are_contained_while_a_sibling_works() {
    let flood = |text: &str| format!("{}]", text.repeat(20_000));
    let deep = "[".repeat(100_000);
    let (long, many) = (flood(" "), flood("[],"));
    let wild = "
        (drop (call $load_u64 (i64.const -1))) (drop (call $load_u8 (i64.const -1)))
        (call $store_u64 (i64.const -1) (i64.const 1)) (call $store_u64 (i64.const 0) (i64.const -1))
        (call $store_u8 (i64.const 1099511627776) (i32.const 1)) (call $store_u64 (i64.const -8) (i64.const 1))
        (drop (call $length (i64.const -1))) (call $free (i64.const -1)) (call $free (call $input_offset))
        (if (i64.ne (call $input_length) (i64.const 0)) (then unreachable))
        (drop (call $input_load_u64 (i64.const -1))) (drop (call $input_load_u64 (i64.const -8)))
        (call $output_set (i64.const -1) (i64.const -1)) (call $output_set (i64.const 1) (i64.const -1))
        (call $error_set (i64.const -1)) (i32.const 0)";
    let cases: Vec<(&str, Vec<u8>, Fault, &str)> = vec![
        ("loop", connector(&[], "(loop (br 0)) (i32.const 0)"), Fault::Deadline, "cpu_budget"),
        (
            "loop through the host",
            connector(&[], "(loop (drop (call $length (i64.const 1))) (br 0)) (i32.const 0)"),
            Fault::Deadline,
            "cpu_budget",
        ),
        (
            "memory",
            connector(&[], "(loop (drop (memory.grow (i32.const 100))) (br 0)) (i32.const 0)"),
            Fault::Memory,
            "memory_limit",
        ),
        (
            "blocks",
            connector(&[], "(loop (drop (call $alloc (i64.const 1048576))) (br 0)) (i32.const 0)"),
            Fault::Memory,
            "memory_limit",
        ),
        (
            "tiny blocks",
            connector(&[], "(loop (drop (call $alloc (i64.const 1))) (br 0)) (i32.const 0)"),
            Fault::Memory,
            "memory_limit",
        ),
        (
            "a giant block",
            connector(&[], "(drop (call $alloc (i64.const -1))) (i32.const 0)"),
            Fault::Memory,
            "memory_limit",
        ),
        ("wild places", connector(&[], wild), Fault::SourceContract, "bad_answer"),
        (
            "a wild key",
            connector(&[], "(drop (call $config_get (i64.const -1))) (i32.const 0)"),
            Fault::SourceContract,
            "bad_handle",
        ),
        (
            "a wild variable",
            connector(&[], "(call $var_set (call $block (i32.const 64) (i32.const 1)) (i64.const -1)) (i32.const 0)"),
            Fault::SourceContract,
            "bad_handle",
        ),
        (
            "variables",
            connector(
                &[],
                "(call $var_set (call $block (i32.const 64) (i32.const 1)) (call $alloc (i64.const 1048576))) (i32.const 0)",
            ),
            Fault::TooLarge,
            "vars_full",
        ),
        ("unreachable", connector(&[], "unreachable"), Fault::Trap, "trap"),
        ("recursion", connector(&[], "(call $pull)"), Fault::Trap, "trap"),
        ("a long page", saying(&long), Fault::SourceContract, "bad_answer"),
        ("a page of very many values", saying(&many), Fault::TooLarge, "handed_over_too_much"),
        ("a deep page", saying(&deep), Fault::TooLarge, "handed_over_too_much"),
        ("a less deep page", saying(&deep[..10_000]), Fault::SourceContract, "bad_answer"),
        ("no page", saying("null"), Fault::SourceContract, "bad_answer"),
    ];
    let mut options = options();
    options.pull.result_bytes = 1 << 20;
    // So little that it is full before the time is up, even byte by byte on a busy machine.
    options.pull.memory_bytes = 4 << 20;
    // Places reserved ahead: what one module leaves behind is not found by the next.
    options.pooling = true;
    let sandbox = Sandbox::new(options).unwrap();
    let (_, sibling) = sandbox.open_connector(shop()).await.unwrap();
    let http = services().with_http(Arc::new(Scripted::default()));
    for (what, wasm, fault, code) in cases {
        let (_, connector) = sandbox.open_connector(wasm).await.unwrap();
        let start = Instant::now();
        let services = services();
        let bad = async { (pull(&connector, &services).await.map(|_| what).unwrap_err(), start.elapsed()) };
        let good = async {
            for _ in 0..5 {
                assert_eq!(text(&pull(&sibling, &http).await.unwrap(), "page"), "first");
            }
        };
        let ((failure, took), ()) = tokio::join!(bad, good);
        assert_eq!((failure.fault, failure.code.as_str()), (fault, code), "{what}: {failure:?}");
        assert!(took < Duration::from_secs(5), "{what} took {took:?}");
    }
}

#[tokio::test]
async fn what_is_handed_over_is_bounded() {
    let mut options = options();
    options.pull.result_bytes = 1 << 20;
    let body = "(call $answer (call $alloc (i64.const 1048577))) (i32.const 0)";
    let (_, connector) = Sandbox::new(options).unwrap().open_connector(connector(&[], body)).await.unwrap();
    let failure = pull(&connector, &services()).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::TooLarge, "handed_over_too_much"));
    // So is what comes in from a source: an answer that does not fit into the guest's memory.
    let ask = json!({"url": "https://shop.example/large"}).to_string();
    let body =
        "(drop (call $http_request (call $block (i32.const $ASK) (i32.const $ASK.len)) (i64.const 0))) (i32.const 0)";
    let wasm = with_manifest(&guests::connector(&[("ASK", &ask)], body), br#"{"memory": {"max_pages": 64}}"#).unwrap();
    let services = services().with_http(Arc::new(Scripted::default()));
    let failure = pull(&installed(wasm).await, &services).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Memory, "memory_limit"));
}

#[tokio::test]
async fn what_does_not_fit_is_not_installed() {
    let wat = |text: &str| wat::parse_str(text).unwrap();
    let import = |module: &str, name: &str, ty: &str| {
        wat(&format!(
            r#"(module (import "extism:host/env" "input_length" (func (result i64))) (import "{module}" "{name}" {ty}))"#
        ))
    };
    assert!(refusal(wat("(module)")).await.starts_with("this is a core WebAssembly module"));
    for (module, name) in [
        ("wasi_snapshot_preview1", "path_open"),
        ("wasi_snapshot_preview1", "sock_accept"),
        ("extism:host/user", "run_command"),
        ("extism:host/env", "reset"),
        ("env", "system"),
    ] {
        let refusal = refusal(import(module, name, "(func)")).await;
        assert!(refusal.contains(&format!("imports `{module}.{name}`, which is not offered")), "{refusal}");
    }
    let wrong = refusal(import("extism:host/env", "alloc", "(func (param i32) (result i32))")).await;
    assert!(wrong.starts_with("the Extism module does not fit"), "{wrong}");
    assert!(refusal(import("env", "memory", "(memory 1)")).await.contains("`env.memory`"));
    let module =
        |exports: &str| wat(&format!(r#"(module (import "extism:host/env" "free" (func (param i64))) {exports})"#));
    assert!(refusal(module("")).await.contains("no function `describe`"));
    let exports = r#"(func (export "describe") (result i32) (i32.const 0)) (func (export "check") (param i32) (result i32) (i32.const 0))"#;
    assert!(refusal(module(exports)).await.contains("no function `check`"));
    let whole = saying("{}");
    assert!(refusal(whole[..whole.len() / 2].to_vec()).await.starts_with("the component is damaged, cut off"));
    let starts = r#"(func $f (loop (br 0))) (start $f) (func (export "describe") (export "check") (export "pull") (result i32) (i32.const 0))"#;
    let mut options = options();
    options.describe.cpu_ms = 100;
    let error = Sandbox::new(options).unwrap().install(module(starts)).await.unwrap_err().to_string();
    assert!(error.contains("used up its 100 ms of processor time"), "{error}");
}

#[tokio::test]
async fn a_descriptor_does_not_depend_on_chance() {
    let about = guests::descriptor().to_string();
    let digit = about.find("1.0.0").unwrap();
    let wasm = wat::parse_str(format!(
        r#"(module
        (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
        (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
        (import "extism:host/env" "output_set" (func $output (param i64 i64)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 0) "{}")
        (func (export "describe") (result i32) (local $to i64) (local $n i32)
            (drop (call $random (i32.const 2000) (i32.const 4))) (drop (call $clock (i32.const 0) (i64.const 1) (i32.const 2008)))
            (i32.store8 (i32.const {digit}) (i32.add (i32.const 48) (i32.rem_u
                (i32.add (i32.load (i32.const 2000)) (i32.load (i32.const 2008))) (i32.const 10))))
            (local.set $to (call $alloc (i64.const {len})))
            (loop (call $store (i64.add (local.get $to) (i64.extend_i32_u (local.get $n))) (i32.load8_u (local.get $n)))
                (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {len}))))
            (call $output (local.get $to) (i64.const {len})) (i32.const 0))
        (func (export "check") (export "pull") (result i32) (i32.const 1)))"#,
        about.replace('"', "\\\""),
        len = about.len(),
    ))
    .unwrap();
    let (first, connector) = Sandbox::new(options()).unwrap().open_connector(wasm).await.unwrap();
    for _ in 0..20 {
        assert_eq!(Some(connector.describe().await.unwrap()), first.descriptor);
    }
}
