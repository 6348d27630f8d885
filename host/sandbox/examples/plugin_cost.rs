//! temporary
#![allow(clippy::unwrap_used, missing_docs)]
use std::{collections::BTreeMap, sync::Arc, time::Instant};
use tributary_core::contract::*;
use tributary_sandbox::*;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let sandbox =
        Sandbox::new(SandboxOptions { cache_dir: Some(dir.path().to_owned()), ..SandboxOptions::default() }).unwrap();
    let wasm = |n: &str| {
        std::fs::read(format!("/work/main/target/wasm32-wasip2/component/tributary_plugin_{n}.wasm")).unwrap()
    };
    let t = Instant::now();
    let x = sandbox.install(wasm("extract")).await.unwrap();
    println!("compile extract {:?}", t.elapsed());
    let x = sandbox.extractor(x.digest).unwrap();
    let args: Vec<String> = std::env::args().skip(1).collect();
    for path in &args {
        let bytes = std::fs::read(path).unwrap();
        let n = bytes.len();
        let blob = Blob::from_bytes(bytes);
        let mut times = vec![];
        for _ in 0..(3_000_000 / (n + 2000)).clamp(15, 2000) {
            let t = Instant::now();
            let e = x.extract(&blob, "", Some(path)).await;
            times.push(t.elapsed());
            drop(e);
        }
        times.sort();
        println!(
            "{path} {n} bytes: p10 {:?} p50 {:?} {:.0} MB/s at p10",
            times[times.len() / 10],
            times[times.len() / 2],
            n as f64 / times[times.len() / 10].as_secs_f64() / 1e6
        );
    }
    let t = Instant::now();
    let c = sandbox.install(wasm("file")).await.unwrap();
    println!("compile file {:?}", t.elapsed());
    let c = sandbox.connector(c.digest).unwrap();
    let root = tempfile::tempdir().unwrap();
    for n in 0..2000 {
        std::fs::write(root.path().join(format!("{n:05}.md")), "word ".repeat(400)).unwrap();
    }
    for _ in 0..5 {
        let files = Arc::new(Files::new(
            Arc::new(BTreeMap::from([("docs".to_owned(), root.path().to_owned())])),
            ["docs".to_owned()],
        ));
        let mut cursor = None;
        let mut n = 0;
        let mut pages = 0;
        let t = Instant::now();
        loop {
            let services = HostServices::new(files.clone(), Arc::new(EmptyLedger), Arc::new(Meter::default()), "t");
            let page = c
                .pull(
                    &PullRequest {
                        config: r#"{"root":"docs"}"#.into(),
                        cursor: cursor.take(),
                        full: false,
                        upper_bound_ms: 0,
                        max_items: 256,
                        max_bytes: 8 << 20,
                        deadline_ms: 10_000,
                    },
                    &services,
                )
                .await
                .unwrap();
            n += page.changes.len();
            pages += 1;
            cursor = page.cursor.clone();
            if !matches!(page.next, Next::More) {
                break;
            }
        }
        println!(
            "pull {n} in {pages} pages: {:?}, {:.1} us/doc",
            t.elapsed(),
            t.elapsed().as_secs_f64() * 1e6 / n as f64
        );
    }
}
