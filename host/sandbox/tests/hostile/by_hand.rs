//! Components of the contract written by hand: a core module that keeps the canonical ABI, or does not, made a component by
//! `wit-component`. What a compiler would never do is said in a few instructions.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A page without changes that ends the run lies here.
pub const PAGE: &str = "(i32.const 3072)";
/// A page to be made: `result<page, failure>`, all zeros, which is an empty page with more to come.
pub const BLANK: u32 = 4096;
/// Within `BLANK`: the case of the result, the list of changes, the cursor, what comes next.
pub const RESULT: u32 = BLANK;
pub const CHANGES: u32 = BLANK + 8;
pub const CURSOR: u32 = BLANK + 16;
pub const NEXT: u32 = BLANK + 32;

/// A connector; what is not said is as it should be.
pub struct ByHand<'a> {
    pub imports: &'a str,
    pub memory: &'a str,
    /// Instructions from `(param $old i32) (param $old_len i32) (param $align i32) (param $len i32)` to an i32.
    pub realloc: &'a str,
    /// Instructions that leave the place of a descriptor.
    pub describe: &'a str,
    /// Instructions that leave the place of a result.
    pub pull: &'a str,
    /// Functions, data, and what else a module has.
    pub rest: &'a str,
}

impl Default for ByHand<'_> {
    fn default() -> Self {
        Self {
            imports: "",
            memory: "2",
            realloc: "(global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.get $free) (global.set $free (i32.add (global.get $free) (local.get $len)))",
            describe: "(i32.const 1024)",
            pull: PAGE,
            rest: "",
        }
    }
}

/// What a hand-written module may import, beside the contract.
const WASI: [&str; 3] = [
    "package wasi:io@0.2.0; interface poll {
        resource pollable { ready: func() -> bool; block: func(); }
        poll: func(in: list<borrow<pollable>>) -> list<u32>;
    }",
    "package wasi:clocks@0.2.0; interface monotonic-clock {
        use wasi:io/poll@0.2.0.{pollable};
        now: func() -> u64;
        subscribe-duration: func(when: u64) -> pollable;
    }",
    "package wasi:random@0.2.0; interface random {
        get-random-bytes: func(len: u64) -> list<u8>;
        get-random-u64: func() -> u64;
    }",
];
const WORLD: &str = "package by:hand; world connector {
    include tributary:connector/connector-plugin@0.1.0;
    import wasi:io/poll@0.2.0; import wasi:clocks/monotonic-clock@0.2.0; import wasi:random/random@0.2.0;
}";

/// Imports by the names that `pull` and others may call.
pub const HOST: &str = r#"
    (import "tributary:connector/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))
    (import "tributary:connector/ledger@0.1.0" "lookup" (func $lookup (param i32 i32 i32)))
    (import "tributary:connector/state@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i32)))
    (import "tributary:connector/blobs@0.1.0" "create" (func $create (param i32)))
    (import "tributary:connector/blobs@0.1.0" "append" (func $append (param i64 i32 i32 i32)))
    (import "tributary:connector/blobs@0.1.0" "finish" (func $finish (param i64 i32)))
    (import "wasi:io/poll@0.2.0" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.0" "[resource-drop]pollable" (func $drop (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $timer (param i64) (result i32)))
    (import "wasi:random/random@0.2.0" "get-random-bytes" (func $random (param i64 i32)))
    (import "wasi:random/random@0.2.0" "get-random-u64" (func $chance (result i64)))"#;

impl ByHand<'_> {
    pub fn component(&self) -> Vec<u8> {
        let Self { imports, memory, realloc, describe, pull, rest } = self;
        let words = |words: &[u32]| {
            words.iter().flat_map(|word| word.to_le_bytes()).map(|byte| format!("\\{byte:02x}")).collect::<String>()
        };
        // Id, version, title and schema; no hosts, no roots, nothing it can do.
        let descriptor = words(&[1100, 7, 1107, 5, 1100, 7, 1112, 2]);
        let module = format!(
            r#"(module {imports}
            (memory (export "memory") {memory})
            (global $free (mut i32) (i32.const 65536))
            (data (i32.const 1024) "{descriptor}")
            (data (i32.const 1100) "by_hand1.0.0{{}}")
            (data (i32.const 3104) "\02")
            (func (export "cabi_realloc") (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
                {realloc})
            (func $describe (export "tributary:connector/connector@0.1.0#describe") (result i32) {describe})
            (func (export "tributary:connector/connector@0.1.0#check") (param i32 i32) (result i32) (i32.const 2048))
            (func $pull (export "tributary:connector/connector@0.1.0#pull")
                (param i32 i32 i32 i32 i32 i32 i64 i32 i64 i64) (result i32) (local $n i32) {pull})
            {rest})"#
        );
        let mut wasm = wat::parse_str(&module).unwrap_or_else(|error| panic!("{error}: {module}"));
        let mut resolve = Resolve::default();
        resolve.push_str("connector.wit", include_str!("../../../../wit/v0_1/connector.wit")).unwrap();
        for package in WASI {
            resolve.push_str("wasi.wit", package).unwrap();
        }
        let package = resolve.push_str("world.wit", WORLD).unwrap();
        let world = resolve.select_world(&[package], Some("connector")).unwrap();
        embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).unwrap();
        ComponentEncoder::default().validate(false).module(&wasm).unwrap().encode().unwrap()
    }
}

/// The same component with more in it: what `more` says comes after everything else.
pub fn with(component: &[u8], more: &str) -> Vec<u8> {
    let text = wasmprinter::print_bytes(component).unwrap();
    let open = text.trim_end().strip_suffix(')').unwrap();
    wat::parse_str(format!("{open} {more})")).unwrap()
}
