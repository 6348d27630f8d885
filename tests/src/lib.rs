//! The harness of the black-box tests: the real server as a process of its own, on either database, spoken to over HTTP.

pub mod browser;
pub mod changeable;
pub mod documents;
pub mod server;
pub mod services;

use std::time::{Duration, Instant};

pub use server::{Database, Server, databases};

/// Asks again until the answer is there; fails after a minute with what was waited for.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
