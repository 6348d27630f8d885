//! Components that attack before their first call: while they are compiled, instantiated and asked to describe themselves.

use std::time::{Duration, Instant};

use tributary_sandbox::{Sandbox, SandboxOptions};

use super::{
    by_hand::{ByHand, HOST, PAGE, with},
    forget_peak, options, peak_mib, pulled, sibling, with_sibling,
};

/// Their installation is refused, for this reason, while a sibling works.
async fn refused<'a>(components: impl IntoIterator<Item = (&'a str, Vec<u8>, &'a str)>) {
    forget_peak();
    let sandbox = Sandbox::new(options()).unwrap();
    let mut wrong = Vec::new();
    for (what, wasm, says) in components {
        let start = Instant::now();
        match with_sibling(&sandbox, what, sandbox.install(wasm)).await {
            Ok(_) => wrong.push(format!("{what} is installed")),
            Err(error) if !error.to_string().contains(says) => wrong.push(format!("{what}: {error}")),
            Err(_) if start.elapsed() > Duration::from_secs(10) => {
                wrong.push(format!("{what} took {:?}", start.elapsed()))
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(peak_mib() < 1024, "{} MiB", peak_mib());
}

fn resting(rest: &str) -> Vec<u8> {
    ByHand { rest, ..ByHand::default() }.component()
}

fn describing(describe: &str) -> Vec<u8> {
    ByHand { describe, memory: "40", ..ByHand::default() }.component()
}

#[tokio::test]
async fn starting_and_describing_is_limited_too() {
    let loops = "(loop (br 0))";
    refused([
        ("a start without end", resting(&format!("(func $f {loops}) (start $f)")), "used up its 300 ms of processor time"),
        ("a start that crashes", resting("(func $f unreachable) (start $f)"), "crashed"),
        ("a description without end", describing(&format!("{loops} unreachable")), "used up its 300 ms"),
        ("a description that is too deep", describing("(call $describe)"), "ran out of stack"),
        ("data outside of memory", resting(r#"(data (i32.const 131072) "x")"#), "reached outside its memory"),
        ("a memory of 4 GiB", ByHand { memory: "65536", ..ByHand::default() }.component(), "memory"),
        ("a table of ten million", resting("(table 10000000 funcref)"), "table"),
        (
            // 2,000 hosts that are the same kilobyte: the guest needs 16 KB for them, the host twice what may be handed over.
            "a text handed over again and again",
            describing(
                "(local $n i32) (i32.store (i32.const 1056) (i32.const 131072)) (i32.store (i32.const 1060) (i32.const 2000))
                (loop (i32.store (i32.add (i32.const 131072) (i32.mul (local.get $n) (i32.const 8))) (i32.const 0))
                    (i32.store (i32.add (i32.const 131076) (i32.mul (local.get $n) (i32.const 8))) (i32.const 1024))
                    (local.set $n (i32.add (local.get $n) (i32.const 1))) (br_if 0 (i32.lt_u (local.get $n) (i32.const 2000))))
                (i32.const 1024)",
            ),
            "handed over more than",
        ),
    ])
    .await;
}

#[tokio::test]
async fn instances_memories_and_tables_are_counted() {
    let good = ByHand::default().component();
    let module = |what: &str, times: usize| {
        let instances = "(core instance (instantiate $extra))".repeat(times);
        with(&good, &format!("(core module $extra {what}) {instances}"))
    };
    refused([
        ("a hundred instances", module("", 100), "instance"),
        ("ten memories", module("(memory 1)", 10), "memor"),
        ("thirty tables", module("(table 1 funcref)", 30), "table"),
    ])
    .await;
    let (_, connector) = Sandbox::new(options()).unwrap().open_connector(module("(memory 1)", 1)).await.unwrap();
    assert!(pulled(&connector).await.is_ok(), "one more is allowed");
}

/// Places are reserved ahead for all calls: calls that take the most they may must not leave others without.
#[tokio::test]
async fn greedy_components_leave_room_for_others() {
    let sandbox = Sandbox::new(SandboxOptions { max_calls: 16, ..options() }).unwrap();
    let sibling = sibling(&sandbox).await;
    let sleeps = format!("(call $block (call $timer (i64.const -1))) {PAGE}");
    let sleeper = ByHand { imports: HOST, pull: &sleeps, ..ByHand::default() }.component();
    // With those of the component itself: 4 memories, 16 tables and most of 64 instances.
    let more = format!(
        "(core module $memory (memory 1)) (core module $table (table 1 funcref)) {} {}",
        "(core instance (instantiate $memory))".repeat(3),
        "(core instance (instantiate $table))".repeat(14),
    );
    let (_, greedy) = sandbox.open_connector(with(&sleeper, &more)).await.unwrap();
    let all = futures::future::join_all((0..15).map(|_| pulled(&greedy)));
    let good = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        pulled(&sibling).await
    };
    let (ended, good) = tokio::join!(all, good);
    assert!(ended.iter().all(|one| one.as_ref().unwrap_err().code == "deadline"), "{ended:?}");
    assert!(good.is_ok(), "{good:?}");
}

/// Compiling is on threads of its own, one component at a time: others go on, and what is too much is refused.
#[tokio::test]
async fn compiling_does_not_take_the_server_along() {
    forget_peak();
    let sum = "(drop (i32.add (i32.const 1) (i32.const 2)))";
    let locals = format!("(func (local {}) {})", "i64 ".repeat(49_000), sum);
    let nested = format!("(func {} {})", "(block ".repeat(20_000), ")".repeat(20_000));
    let long = format!(
        "(func (export \"f\") (param i32) (result i32) (local.get 0) {})",
        "(i32.mul (local.get 0)) ".repeat(200_000)
    );
    let wide = format!("(func (export \"f\") (param i32) (block (br_table {} (local.get 0))))", "0 ".repeat(100_000));
    for (what, rest) in [
        ("ten thousand functions", format!("(func {sum})").repeat(10_000)),
        ("forty-nine thousand locals", locals),
        ("twenty thousand blocks in each other", nested),
        ("a function of 600 KB", long),
        ("a jump to a hundred thousand places", wide),
    ] {
        let sandbox = Sandbox::new(SandboxOptions { cache_dir: None, ..options() }).unwrap();
        let start = Instant::now();
        let ended = with_sibling(&sandbox, what, sandbox.install(resting(&rest))).await;
        eprintln!("{what}: {:?}, {:?}, {} MiB", start.elapsed(), ended.map(|it| it.size_bytes), peak_mib());
        assert!(start.elapsed() < Duration::from_secs(30), "{what} took {:?}", start.elapsed());
    }
    let beside = "(component)".repeat(10_000);
    let beside = wat::parse_str(format!("(component {beside})")).unwrap();
    let huge = format!("(func (param i32) (result i32) (local.get 0) {})", "(i32.mul (local.get 0)) ".repeat(400_000));
    refused([
        ("ten thousand components in each other", nest(10_000), "more than 16 components in each other"),
        ("ten thousand components beside each other", beside, "more than 1000 modules and components"),
        ("a function of more than a megabyte", resting(&huge), "a function of more than 1 MiB"),
    ])
    .await;
    assert!(peak_mib() < 2048, "{} MiB", peak_mib());
}

/// A component with a component in it, and so on.
fn nest(depth: usize) -> Vec<u8> {
    const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut wasm = EMPTY.to_vec();
    for _ in 0..depth {
        let mut outer = [EMPTY, &[4]].concat();
        let mut len = wasm.len();
        while len > 0x7f {
            outer.push(len as u8 | 0x80);
            len >>= 7;
        }
        outer.push(len as u8);
        outer.append(&mut wasm);
        wasm = outer;
    }
    wasm
}
