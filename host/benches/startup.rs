//! How soon the optimised server is ready, on an empty directory and on existing data, and what memory it holds when idle.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use support::{
    process::Server,
    report::{Aim, Report, median, ms, percentile},
    sized, usage,
};

const STARTS: usize = 10;
/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(5);

fn main() {
    support::runtime().block_on(run());
}

async fn run() {
    let mut report = Report::new("startup");

    report.section("An empty directory");
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        let data = tempfile::tempdir().unwrap();
        ready.push(Server::start(data.path()).await.1);
    }
    show(&mut report, &ready);

    let data = tempfile::tempdir().unwrap();
    let (mut server, _) = Server::start(data.path()).await;
    let started = Instant::now();
    server.log_in().await;
    server.get("/api/v1/connectors").await;
    report.figure("then, connectors compiled (once)", ms(started.elapsed()), "ms");
    memory(&mut report, &server).await;

    let documents = sized(10_000);
    report.section(&format!("{documents} documents of 2 KB, stopped before"));
    server.push_corpus(documents).await;
    server.stop();
    let mut ready = Vec::new();
    for _ in 0..STARTS {
        let (server, took) = Server::start(data.path()).await;
        ready.push(took);
        server.stop();
    }
    show(&mut report, &ready);
    let (mut server, _) = Server::start(data.path()).await;
    let started = Instant::now();
    server.log_in().await;
    server.get("/api/v1/connectors").await;
    report.figure("then, log-in and connectors loaded", ms(started.elapsed()), "ms");
    memory(&mut report, &server).await;
    report.finish();
}

fn show(report: &mut Report, ready: &[Duration]) {
    report.aimed("from start to ready, in the middle of ten", ms(median(ready)), "ms", Aim::AtMost(300.0));
    report.figure("from start to ready, the slowest", ms(percentile(ready, 1.0)), "ms");
}

async fn memory(report: &mut Report, server: &Server) {
    tokio::time::sleep(IDLE).await;
    let (all, own) = (usage::memory_mib(server.pid(), "VmRSS"), usage::memory_mib(server.pid(), "RssAnon"));
    report.aimed("idle memory, resident", all, "MiB", Aim::AtMost(60.0));
    report.figure("idle memory, without mapped files", own, "MiB");
}
