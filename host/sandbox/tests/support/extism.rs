//! Extism modules written by hand: a few instructions around texts.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use serde_json::{Value, json};

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
