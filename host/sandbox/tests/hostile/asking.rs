//! Guests that misuse what the host offers them: floods, forged handles, clocks.

use tributary_core::contract::Fault;
use tributary_sandbox::Sandbox;

use super::{
    Attack, TIME, attacks,
    by_hand::{ByHand, HOST, PAGE},
    options, pulled,
};

fn pulling(body: &str) -> Vec<u8> {
    ByHand { imports: HOST, pull: &format!("{body} {PAGE}"), ..ByHand::default() }.component()
}

fn for_ever(body: &str) -> Vec<u8> {
    // What the host hands over each time finds room.
    pulling(&format!("(loop (global.set $free (i32.const 65536)) {body} (br 0))"))
}

const CPU: (Fault, &str) = (Fault::Deadline, "cpu_budget");
const TRAP: (Fault, &str) = (Fault::Trap, "trap");
const BROKEN: (Fault, &str) = (Fault::Trap, "broken");
const TOO_MUCH: (Fault, &str) = (Fault::TooLarge, "handed_over_too_much");

#[tokio::test]
async fn floods_end() {
    // A key that is another each time.
    let key = "(local.set $n (i32.add (local.get $n) (i32.const 1)))
        (i32.store (i32.const 5000) (i32.or (i32.and (local.get $n) (i32.const 0x0f0f0f0f)) (i32.const 0x40404040)))";
    let cases = [
        (
            "the log, for ever",
            for_ever("(call $log (i32.const 3) (i32.const 1100) (i32.const 12) (i32.const 0) (i32.const 0))"),
            CPU,
        ),
        (
            "a line of the log with a million fields",
            pulling(
                "(drop (memory.grow (i32.const 300))) (call $log (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 131072) (i32.const 1000000))",
            ),
            TOO_MUCH,
        ),
        ("the ledger, for ever", for_ever("(call $lookup (i32.const 5000) (i32.const 1) (i32.const 6000))"), CPU),
        (
            "the ledger, for a million ids at once",
            pulling(
                "(drop (memory.grow (i32.const 300))) (call $lookup (i32.const 131072) (i32.const 1000000) (i32.const 6000))",
            ),
            TOO_MUCH,
        ),
        (
            "the state, for ever",
            for_ever(&format!(
                "{key} (call $set (i32.const 5000) (i32.const 4) (i32.const 1) (i32.const 1100) (i32.const 12) (i32.const 6000))"
            )),
            CPU,
        ),
        ("blobs, for ever", for_ever("(call $create (i32.const 6000))"), CPU),
        (
            "a blob without end",
            pulling(
                "(call $create (i32.const 6000)) (loop (call $append (i64.load (i32.const 6008)) (i32.const 0) (i32.const 60000) (i32.const 6000)) (global.set $free (i32.const 65536)) (br 0))",
            ),
            TIME,
        ),
        ("the clock, for ever", for_ever("(drop (call $now))"), CPU),
        ("chance, for ever", for_ever("(call $random (i64.const 60000) (i32.const 6000))"), CPU),
        ("timers that nobody drops", for_ever("(drop (call $timer (i64.const -1)))"), BROKEN),
    ];
    attacks(cases.map(|(what, wasm, ends)| Attack { what, wasm, ends })).await;
}

#[tokio::test]
async fn waiting_for_ever_ends_at_the_deadline() {
    let deadline = (Fault::Deadline, "deadline");
    let cases = [
        ("a timer of 584 years", pulling("(call $block (call $timer (i64.const -1)))"), deadline),
        (
            "a poll of many such timers",
            pulling(
                "(loop (i32.store (i32.add (i32.const 8192) (i32.mul (local.get $n) (i32.const 4))) (call $timer (i64.const -1)))
                    (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $n) (i32.const 500))))
                (call $poll (i32.const 8192) (i32.const 500) (i32.const 6000))",
            ),
            deadline,
        ),
        ("a poll of what is always ready, for ever", for_ever("(local.set $n (call $timer (i64.const 0))) (call $block (local.get $n)) (call $drop (local.get $n))"), TIME),
    ];
    attacks(cases.map(|(what, wasm, ends)| Attack { what, wasm, ends })).await;
}

#[tokio::test]
async fn forged_handles_are_none() {
    let cases = [
        ("a forged resource, waited for", pulling("(call $block (i32.const 12345))"), BROKEN),
        ("a forged resource, dropped", pulling("(call $drop (i32.const 7))"), BROKEN),
        (
            "a resource dropped twice",
            pulling(
                "(local.set $n (call $timer (i64.const 0))) (call $drop (local.get $n)) (call $drop (local.get $n))",
            ),
            BROKEN,
        ),
        ("a poll of forged resources", pulling("(call $poll (i32.const 1024) (i32.const 4) (i32.const 6000))"), BROKEN),
        ("a poll of nothing", pulling("(call $poll (i32.const 0) (i32.const 0) (i32.const 6000))"), BROKEN),
        ("more chance than there is", pulling("(call $random (i64.const -1) (i32.const 6000))"), BROKEN),
        ("an answer of the host outside of memory", pulling("(call $create (i32.const -8))"), BROKEN),
        ("an answer of the host at an odd place", pulling("(call $create (i32.const 6001))"), BROKEN),
        (
            "a level of the log that there is not",
            pulling("(call $log (i32.const 9) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"),
            BROKEN,
        ),
        (
            "itself, without end",
            pulling(
                "(drop (call $describe)) (drop (call $pull (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0) (i64.const 0) (i64.const 0)))",
            ),
            TRAP,
        ),
    ];
    attacks(cases.map(|(what, wasm, ends)| Attack { what, wasm, ends })).await;
}

/// What an administrator was shown, and granted, is what it says every time: in `describe` there is one moment and no chance.
#[tokio::test]
async fn a_descriptor_does_not_depend_on_chance_or_time() {
    // The version becomes a digit out of chance and the clock.
    let describe = "(i32.store8 (i32.const 1107) (i32.add (i32.const 48)
        (i32.wrap_i64 (i64.rem_u (i64.add (call $chance) (call $now)) (i64.const 10))))) (i32.const 1024)";
    let wasm = ByHand { imports: HOST, describe, ..ByHand::default() }.component();
    let (first, connector) = Sandbox::new(options()).unwrap().open_connector(wasm).await.unwrap();
    for _ in 0..20 {
        assert_eq!(Some(connector.describe().await.unwrap()), first.descriptor);
    }
    assert!(pulled(&connector).await.is_ok());
}
