//! Extism modules written by hand: a few instructions around texts.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tributary_core::{
    contract::{Failure, Fault, Page},
    http::{Http, HttpRequest, HttpResponse},
};
use tributary_sandbox::{Connector, HostServices, Kind, Sandbox, SandboxOptions};

use crate::support::request;

/// A module of `extism:host/env` with memory, texts and `body`; `$name` in `body` is where a text starts, `$name.len` its length.
pub fn module(texts: &[(&str, &str)], body: &str) -> Vec<u8> {
    let (mut data, mut body, mut at) = (String::new(), body.to_owned(), 64);
    for (name, text) in texts {
        let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        data += &format!("(data (i32.const {at}) \"{escaped}\")");
        body = body
            .replace(&format!("${name}.len"), &text.len().to_string())
            .replace(&format!("${name}"), &at.to_string());
        at += text.len();
    }
    let pages = at / 65536 + 1;
    wat::parse_str(format!(
        r#"(module
        (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
        (import "extism:host/env" "free" (func $free (param i64)))
        (import "extism:host/env" "length" (func $length (param i64) (result i64)))
        (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
        (import "extism:host/env" "load_u64" (func $load_u64 (param i64) (result i64)))
        (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
        (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
        (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
        (import "extism:host/env" "input_length" (func $input_length (result i64)))
        (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
        (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
        (import "extism:host/env" "error_set" (func $error_set (param i64)))
        (import "extism:host/env" "error_get" (func $error_get (result i64)))
        (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
        (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
        (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
        (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
        (import "extism:host/env" "http_status_code" (func $http_status_code (result i32)))
        (import "extism:host/env" "http_headers" (func $http_headers (result i64)))
        (import "extism:host/env" "log_info" (func $log_info (param i64)))
        (memory (export "memory") {pages})
        {data}
        (func $write (param $from i32) (param $len i32) (param $to i64)
            (loop $next (if (local.get $len) (then
                (call $store_u8 (local.get $to) (i32.load8_u (local.get $from)))
                (local.set $from (i32.add (local.get $from) (i32.const 1)))
                (local.set $to (i64.add (local.get $to) (i64.const 1)))
                (local.set $len (i32.sub (local.get $len) (i32.const 1)))
                (br $next)))))
        (func $copy (param $from i64) (param $len i64) (param $to i64)
            (loop $next (if (i64.ne (local.get $len) (i64.const 0)) (then
                (call $store_u8 (local.get $to) (call $load_u8 (local.get $from)))
                (local.set $from (i64.add (local.get $from) (i64.const 1)))
                (local.set $to (i64.add (local.get $to) (i64.const 1)))
                (local.set $len (i64.sub (local.get $len) (i64.const 1)))
                (br $next)))))
        (func $block (param $from i32) (param $len i32) (result i64) (local $to i64)
            (local.set $to (call $alloc (i64.extend_i32_u (local.get $len))))
            (call $write (local.get $from) (local.get $len) (local.get $to))
            (local.get $to))
        (func $answer (param $block i64)
            (call $output_set (local.get $block) (call $length (local.get $block))))
        (func $input_has (param $what i64) (result i32) (local $at i64)
            (loop $next
                (if (i64.eq (call $input_load_u64 (local.get $at)) (local.get $what)) (then (return (i32.const 1))))
                (local.set $at (i64.add (local.get $at) (i64.const 1)))
                (br_if $next (i64.lt_u (local.get $at) (call $input_length))))
            (i32.const 0))
        {body})"#
    ))
    .unwrap()
}

pub fn descriptor() -> Value {
    json!({
        "id": "by_hand", "version": "1.0.0", "title": "By hand", "config_schema": {"type": "object"},
        "capabilities": ["incremental", "deletion_feed"],
    })
}

/// A connector that describes itself, finds nothing wrong, and pulls as `pull` does: instructions that leave an i32.
pub fn connector(texts: &[(&str, &str)], pull: &str) -> Vec<u8> {
    let (about, checked) = (descriptor().to_string(), json!([{"name": "fine", "status": "ok"}]).to_string());
    let mut all = vec![("ABOUT", about.as_str()), ("CHECKED", checked.as_str())];
    all.extend(texts);
    module(
        &all,
        &format!(
            r#"
        (func (export "describe") (result i32)
            (call $answer (call $block (i32.const $ABOUT) (i32.const $ABOUT.len))) (i32.const 0))
        (func (export "check") (result i32)
            (call $answer (call $block (i32.const $CHECKED) (i32.const $CHECKED.len))) (i32.const 0))
        (func $pull (export "pull") (result i32) (local $one i64) (local $other i64) {pull})"#
        ),
    )
}

/// A connector whose page is this text.
pub fn saying(page: &str) -> Vec<u8> {
    connector(&[("PAGE", page)], "(call $answer (call $block (i32.const $PAGE) (i32.const $PAGE.len))) (i32.const 0)")
}

/// Eight bytes to look for in the input.
pub fn eight(text: &[u8; 8]) -> String {
    format!("(i64.const {})", i64::from_le_bytes(*text))
}

/// The example in AssemblyScript, built from its sources with npm.
pub fn in_assemblyscript() -> Vec<u8> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/examples/assemblyscript");
    let built = tempfile::tempdir().unwrap();
    let script = "cp -r package.json package-lock.json assembly \"$0\" && cd \"$0\" && npm ci && npm run build";
    let done = Command::new("sh").args(["-c", script]).arg(built.path()).current_dir(sources).status();
    assert!(done.unwrap().success());
    std::fs::read(built.path().join("build/lines.wasm")).unwrap()
}

/// Answers for one host, as the egress would; refuses every other.
#[derive(Default)]
pub struct Scripted(pub Mutex<Vec<HttpRequest>>);

#[async_trait]
impl Http for Scripted {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let url = request.url.clone();
        self.0.lock().unwrap().push(request);
        let Some(path) = url.strip_prefix("https://shop.example/") else {
            return Err(Failure::new(Fault::Permission, "host_not_granted", "grant it with: hosts add"));
        };
        let body = match path {
            "1" => "\"first\"".to_owned(),
            "2" => "\"second\"".to_owned(),
            "lines/1.txt" => "a\tÄpfel\tsay \"hi\"\nb\tB\ttwo\n".to_owned(),
            "large" => "x".repeat(8 << 20),
            _ => "none".to_owned(),
        };
        let headers = [("x-page", path), ("set-cookie", "a"), ("set-cookie", "b")];
        Ok(HttpResponse {
            status: if body == "none" { 404 } else { 200 },
            url: url.clone(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: stream::iter([Ok(Bytes::from(body))]).boxed(),
        })
    }
}

/// Asks `shop.example` for the page of the cursor and makes a document of its answer.
pub fn shop() -> Vec<u8> {
    let head = r#"{"changes": [{"upsert": {"external_id": "page", "kind": "page", "content": {"sections": [{"text": "#;
    let asks = |page: u32| json!({"url": format!("https://shop.example/{page}"), "method": "GET"}).to_string();
    let (first, second) = (asks(1), asks(2));
    let texts = [
        ("HEAD", head),
        ("MORE", r#"}]}}}], "cursor": "2", "next": "more"}"#),
        ("DONE", r#"}]}}}], "next": "complete_exhaustive"}"#),
        ("FIRST", &first),
        ("SECOND", &second),
    ];
    let page = |ask: &str, tail: &str| {
        format!(
            "(local.set $one (call $http_request (call $block (i32.const ${ask}) (i32.const ${ask}.len)) (i64.const 0)))
            (local.set $other (call $alloc (i64.add (call $length (local.get $one)) (i64.const {}))))
            (call $write (i32.const $HEAD) (i32.const $HEAD.len) (local.get $other))
            (call $copy (local.get $one) (call $length (local.get $one))
                (i64.add (local.get $other) (i64.const $HEAD.len)))
            (call $write (i32.const ${tail}) (i32.const ${tail}.len)
                (i64.add (local.get $other) (i64.add (i64.const $HEAD.len) (call $length (local.get $one)))))
            (call $answer (local.get $other))",
            head.len() + 38
        )
    };
    assert!(texts[1].1.len() == 38 && texts[2].1.len() == 38);
    let body = format!(
        "(if (call $input_has {}) (then {}) (else {})) (i32.const 0)",
        eight(b"ursor\":n"),
        page("FIRST", "MORE"),
        page("SECOND", "DONE")
    );
    connector(&texts, &body)
}

pub fn options() -> SandboxOptions {
    let mut options = SandboxOptions { pooling: false, ..crate::support::options() };
    options.pull.cpu_ms = 500;
    options.pull.deadline_ms = 4_000;
    options.pull.memory_bytes = 32 << 20;
    options
}

pub async fn installed(wasm: Vec<u8>) -> Arc<dyn Connector> {
    let sandbox = Sandbox::new(options()).unwrap();
    let artifact = sandbox.install(wasm).await.unwrap();
    assert_eq!(artifact.kind, Kind::ExtismConnector);
    sandbox.connector(artifact.digest).unwrap()
}

pub async fn refusal(wasm: Vec<u8>) -> String {
    Sandbox::new(options()).unwrap().install(wasm).await.unwrap_err().to_string()
}

pub async fn pull(connector: &Arc<dyn Connector>, services: &HostServices) -> Result<Page, Failure> {
    connector.pull(&request(json!({"shop": "x"})), services).await
}
