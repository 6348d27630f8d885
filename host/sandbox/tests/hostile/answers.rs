//! Guests that keep the canonical ABI badly: what they hand over is not where, or what, they say.

use tributary_core::contract::Fault;

use super::{
    Attack, attacks,
    by_hand::{BLANK, ByHand, CHANGES, CURSOR, HOST, NEXT, PAGE, RESULT},
};

/// Stores numbers into the blank page and answers with it.
fn page(stores: &[(u32, u32)]) -> String {
    let stores: String =
        stores.iter().map(|(at, word)| format!("(i32.store (i32.const {at}) (i32.const {word}))")).collect();
    format!("{stores} (i32.const {BLANK})")
}

fn pulling(pull: &str) -> Vec<u8> {
    ByHand { pull, ..ByHand::default() }.component()
}

const BROKEN: (Fault, &str) = (Fault::Trap, "broken");

#[tokio::test]
async fn answers_that_are_not_where_or_what_they_say() {
    let text = |at, len| page(&[(CURSOR, 1), (CURSOR + 4, at), (CURSOR + 8, len)]);
    let list = |at, len| page(&[(CHANGES, at), (CHANGES + 4, len)]);
    let cases = [
        ("a result outside of memory", "(i32.const -8)".to_owned(), BROKEN),
        ("a result that ends outside of memory", "(i32.const 131064)".to_owned(), BROKEN),
        ("a result at an odd place", "(i32.const 3073)".to_owned(), BROKEN),
        ("neither a page nor a failure", page(&[(RESULT, 7)]), BROKEN),
        ("a failure of no known kind", page(&[(RESULT, 1), (BLANK + 8, 99)]), BROKEN),
        ("nothing known comes next", page(&[(NEXT, 9)]), BROKEN),
        ("neither a cursor nor none", page(&[(CURSOR, 2)]), BROKEN),
        ("a text that ends outside of memory", text(131_000, 100), BROKEN),
        ("a text of 4 GiB", text(8, u32::MAX), BROKEN),
        ("a text that is not UTF-8", page(&[(CURSOR, 1), (CURSOR + 4, 8), (CURSOR + 8, 2), (8, 0xfffe)]), BROKEN),
        ("a list at an odd place", list(9, 1), BROKEN),
        ("a list that ends outside of memory", list(65_536, 4_000), BROKEN),
        ("a list whose length in bytes overflows", list(8, u32::MAX), BROKEN),
        ("a list whose length in bytes overflows to little", list(8, 1 << 28), BROKEN),
        (
            "a cursor of 32 MiB",
            "(drop (memory.grow (i32.const 600)))".to_owned() + &text(8, 32 << 20),
            (Fault::TooLarge, "handed_over_too_much"),
        ),
    ];
    attacks(cases.map(|(what, pull, ends)| Attack { what, wasm: pulling(&pull), ends })).await;
}

#[tokio::test]
async fn memory_for_what_the_host_hands_over() {
    let realloc = |realloc| ByHand { imports: HOST, realloc, ..ByHand::default() }.component();
    let cases = [
        ("realloc outside of memory", realloc("(i32.const -1)"), BROKEN),
        ("realloc that ends outside of memory", realloc("(i32.const 131071)"), BROKEN),
        ("realloc that crashes", realloc("unreachable"), (Fault::Trap, "trap")),
        ("realloc without end", realloc("(loop (br 0)) unreachable"), (Fault::Deadline, "cpu_budget")),
        (
            "realloc that takes all memory",
            realloc("(loop (drop (memory.grow (i32.const 16))) (br 0)) unreachable"),
            (Fault::Memory, "memory_limit"),
        ),
        (
            "realloc that calls the host, which is calling it",
            realloc("(call $log (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 65536)"),
            (Fault::Trap, "trap"),
        ),
        (
            "realloc at an odd place, for a list",
            ByHand {
                imports: HOST,
                realloc: "(if (result i32) (i32.eq (local.get $align) (i32.const 1)) (then (i32.const 70000)) (else (i32.const 70001)))",
                pull: &format!("(call $lookup (i32.const 5000) (i32.const 1) (i32.const 6000)) {PAGE}"),
                ..ByHand::default()
            }
            .component(),
            BROKEN,
        ),
    ];
    attacks(cases.map(|(what, wasm, ends)| Attack { what, wasm, ends })).await;
}

#[tokio::test]
async fn what_comes_after_the_answer() {
    let post = |body: &str| {
        let rest =
            format!(r#"(func (export "cabi_post_tributary:connector/connector@0.1.0#pull") (param i32) {body})"#);
        ByHand { imports: HOST, rest: &rest, ..ByHand::default() }.component()
    };
    let cases = [
        ("an end without end", post("(loop (br 0))"), (Fault::Deadline, "cpu_budget")),
        ("an end that crashes", post("unreachable"), (Fault::Trap, "trap")),
        (
            "an end that calls the host",
            post("(call $log (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))"),
            (Fault::Trap, "trap"),
        ),
    ];
    attacks(cases.map(|(what, wasm, ends)| Attack { what, wasm, ends })).await;
}
