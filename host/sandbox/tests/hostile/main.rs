//! What hostile connectors try, and how each attempt ends: as a typed failure, in bounded time and memory, while a sibling on the
//! same engine goes on undisturbed.
//!
//! | They try | It ends as | In |
//! | --- | --- | --- |
//! | to loop: in a call, at the start, in `describe`, in `realloc`, after the answer, through the host | `deadline` (`cpu_budget`) | `in_rust`, `starting`, `answers`, `asking`, `modules` |
//! | to wait for ever | `deadline` | `in_rust`, `asking` |
//! | to take all memory: step by step, at once, in `realloc`, as blocks of Extism, before the first call | `memory` | `in_rust`, `answers`, `starting`, `modules` |
//! | to recurse, crash, exit | `trap` | `in_rust`, `starting`, `asking`, `modules` |
//! | to take all instances, memories and tables | not installed, or room for the others | `starting` |
//! | to be compiled for ever: many functions, huge ones, deep nesting | compiled or not installed, others go on | `starting` |
//! | to hand over a gigabyte, or one text again and again | `too_large` | `in_rust`, `answers`, `starting`, `modules` |
//! | to hand over what is not there: places outside, odd places, lengths that overflow, bad UTF-8, cases that do not exist | `trap` (`broken`) | `answers` |
//! | to call the host while the host calls | `trap` | `answers` |
//! | to use resources, blobs and blocks that are not theirs | `trap`, `unknown_blob`, `bad_handle` | `asking`, `in_rust`, `modules` |
//! | to flood log, ledger, state, blobs, clock, randomness | `deadline`, `too_large`; lines past the 200th are dropped | `asking`, `in_rust` |
//! | to describe themselves another way each time | described the same way each time | `asking` |
//! | to leave their root: `..`, links, pipes, devices | `permission`, `unsupported` | `paths` |
//! | to bring bad items: names, numbers, addresses, sizes | that item fails | `in_rust` |
//! | to see the machine, or leave something for the next call | nothing to see | `in_rust` |
//! | to import what is not offered | not installed | `modules`, `tests/install.rs` |
//! | to reach inside addresses: directly, by a redirect, by a name that changes | `permission` | `host/egress/tests/egress.rs`, `host/egress/src/addresses.rs` |
#![allow(clippy::unwrap_used)]

mod answers;
mod asking;
mod by_hand;
#[path = "../support/extism.rs"]
mod guests;
mod in_rust;
mod modules;
mod paths;
mod starting;
#[path = "../support/mod.rs"]
mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{component, request, services};
use tributary_core::contract::{Failure, Fault, Page};
use tributary_sandbox::{Connector, Sandbox, SandboxOptions};

/// A page of the sibling takes some milliseconds, and some slices of others' time on a busy machine.
const SIBLINGS_PAGE: Duration = Duration::from_secs(1);
/// A fifth of a second of processor time, which a busy machine takes a while to give; or a deadline of four seconds.
const ATTACK: Duration = Duration::from_secs(6);

fn options() -> SandboxOptions {
    let mut options = support::options();
    options.describe.cpu_ms = 300;
    options.pull.cpu_ms = 200;
    options.pull.deadline_ms = 4_000;
    options.pull.memory_bytes = 64 << 20;
    options.pull.result_bytes = 4 << 20;
    options
}

/// Out of time: of processor time, or of waiting, as it comes.
const TIME: (Fault, &str) = (Fault::Deadline, "");

/// A component, and how its page ends: the fault, and its code unless that may be any.
struct Attack {
    what: &'static str,
    wasm: Vec<u8>,
    ends: (Fault, &'static str),
}

/// Each beside a sibling, all in one sandbox: what one leaves behind would be found by the next.
async fn attacks(attacks: impl IntoIterator<Item = Attack>) {
    forget_peak();
    let sandbox = Sandbox::new(options()).unwrap();
    let mut wrong = Vec::new();
    for Attack { what, wasm, ends } in attacks {
        let start = Instant::now();
        let ended = match sandbox.open_connector(wasm).await {
            Ok((_, connector)) => with_sibling(&sandbox, what, pulled(&connector)).await,
            Err(error) => panic!("{what} is not installed: {error}"),
        };
        match ended {
            Ok(_) => wrong.push(format!("{what} came through")),
            Err(failure) if failure.fault != ends.0 || !(ends.1.is_empty() || failure.code == ends.1) => {
                wrong.push(format!("{what}: {failure:?}"));
            }
            Err(_) if start.elapsed() > ATTACK => wrong.push(format!("{what} took {:?}", start.elapsed())),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(peak_mib() < 1024, "{} MiB", peak_mib());
}

async fn pulled(connector: &Arc<dyn Connector>) -> Result<Page, Failure> {
    connector.pull(&request(json!({"do": "count", "n": 1_000})), &services()).await
}

/// A connector that behaves.
async fn sibling(sandbox: &Sandbox) -> Arc<dyn Connector> {
    let artifact = sandbox.install(component("tributary-misbehaving")).await.unwrap();
    sandbox.connector(artifact.digest).unwrap()
}

/// While something goes on, a sibling pulls page after page: all are whole, and none is late.
async fn with_sibling<T>(sandbox: &Sandbox, what: &str, goes_on: impl Future<Output = T>) -> T {
    let sibling = sibling(sandbox).await;
    let pages = async {
        loop {
            let start = Instant::now();
            let page = pulled(&sibling).await.unwrap_or_else(|failure| panic!("beside {what}: {failure:?}"));
            assert!(!support::text(&page, "sum").is_empty());
            assert!(start.elapsed() < SIBLINGS_PAGE, "beside {what} a page took {:?}", start.elapsed());
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        never = pages => never,
        result = goes_on => result,
    }
}

/// The most memory that this process has had.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// From now on.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}
