//! What the benchmarks share: a corpus, the server as a process or in this process, native plugins, and a table of figures.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod corpus;
pub mod native;
pub mod process;
pub mod report;
pub mod usage;

/// The bytes of a component that was built for this target directory.
pub fn component(name: &str) -> Vec<u8> {
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join("wasm32-wasip2/component").join(name).with_extension("wasm");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask bench`", path.display()))
}

/// A runtime like the server's.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// Whether the benchmark was called with this flag.
pub fn flag(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}

/// `--quick` makes everything a tenth as large: to see that it runs, not for figures.
pub fn sized(full: usize) -> usize {
    if flag("--quick") { (full / 10).max(10) } else { full }
}
