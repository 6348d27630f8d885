//! What a call of a component costs: `cargo bench -p tributary-sandbox` (build the test components first).
//!
//! Prints microseconds of wall time per call on one thread, store, WASI context, instance and drop included. On a busy machine
//! the tenth percentile is the one that says something about the sandbox.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::{component, probing, request, services};
use tributary_sandbox::{Blob, Extractor, Sandbox, SandboxOptions};

const CALLS: usize = 5000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = component("tributary-misbehaving");
    for (name, pooling) in [("pooled", true), ("on demand", false)] {
        let options = SandboxOptions { cache_dir: Some(dir.path().to_owned()), pooling, ..SandboxOptions::default() };
        let sandbox = Sandbox::new(options.clone()).unwrap();
        let start = Instant::now();
        sandbox.install(wasm.clone()).await.unwrap();
        println!("{name}: install, compiling         {:>9.1} ms", ms(start.elapsed()));
        drop(sandbox);
        let start = Instant::now();
        let sandbox = Sandbox::new(options).unwrap();
        println!("{name}: set up the sandbox         {:>9.1} ms", ms(start.elapsed()));
        let start = Instant::now();
        let artifact = sandbox.install(wasm.clone()).await.unwrap();
        println!("{name}: install, compiled before   {:>9.1} ms", ms(start.elapsed()));

        let connector = sandbox.connector(artifact.digest).unwrap();
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            let start = Instant::now();
            connector.describe().await.unwrap();
            times.push(start.elapsed());
        }
        report(&format!("{name}: describe"), times);
        let mut times = Vec::with_capacity(CALLS);
        let asked = request(json!({"do": "many changes", "n": 100}));
        for _ in 0..CALLS {
            let services = services();
            let start = Instant::now();
            connector.pull(&asked, &services).await.unwrap();
            times.push(start.elapsed());
        }
        report(&format!("{name}: pull of 100 documents"), times);
    }
    let extractor = probing().await;
    let blob = Blob::from_bytes("hello");
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = Instant::now();
        extractor.worker().extract(&blob, "text/plain", None).await.unwrap();
        times.push(start.elapsed());
    }
    report("pooled: extract", times);
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    println!("{what:34} p10 {:7.1} µs   p50 {:7.1} µs   p99 {:7.1} µs", at(0.1), at(0.5), at(0.99));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
