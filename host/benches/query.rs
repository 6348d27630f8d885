//! Knowledge queries over 20,000 documents: the optimised server as a process, asked over HTTP by clients that keep their connection.
//!
//! The clients run on the same processors; what the service itself took is listed beside what a client waited.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use support::{
    corpus,
    process::{Client, Server},
    report::{Aim, Report, ms, percentile},
    sized, usage,
};

fn main() {
    support::runtime().block_on(run());
}

async fn run() {
    let mut report = Report::new("query");
    let documents = sized(20_000);
    let data = tempfile::tempdir().unwrap();
    let (mut server, _) = Server::start(data.path()).await;
    server.log_in().await;
    let started = Instant::now();
    let workspace = server.push_corpus(documents).await;
    report.section(&format!("{documents} documents of 2 KB, top 10, a different query each time"));
    let rate = documents as f64 / started.elapsed().as_secs_f64();
    report.figure("pushed by the thousand and found, one push at a time", rate, "documents/s");

    let queries: Arc<Vec<_>> = Arc::new((0..sized(8_000)).map(|number| corpus::query(number, documents)).collect());
    let warm_up = queries.len() / 16;
    ask(&server, &workspace, &queries, 0..warm_up, 1).await;
    let one = ask(&server, &workspace, &queries, warm_up..queries.len() / 2, 1).await;
    show(&mut report, "1 client", &one);
    let sixteen = ask(&server, &workspace, &queries, queries.len() / 2..queries.len(), 16).await;
    show(&mut report, "16 clients", &sixteen);
    report.figure("memory of the server, resident", usage::memory_mib(server.pid(), "VmRSS"), "MiB");
    report.figure("memory of the server, without mapped files", usage::memory_mib(server.pid(), "RssAnon"), "MiB");
    report.finish();
}

/// What many queries took.
struct Took {
    all: Duration,
    waited: Vec<Duration>,
    served: Vec<Duration>,
    answered: usize,
}

/// Asks these queries, shared out among `clients`.
async fn ask(
    server: &Server,
    workspace: &str,
    queries: &Arc<Vec<String>>,
    range: std::ops::Range<usize>,
    clients: usize,
) -> Took {
    let started = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|place| {
            let (client, workspace, queries) = (server.client(), workspace.to_owned(), queries.clone());
            let mine = range.clone().skip(place).step_by(clients);
            tokio::spawn(
                async move { one_client(&client, &workspace, mine.map(|number| queries[number].as_str())).await },
            )
        })
        .collect();
    let mut took = Took { all: Duration::ZERO, waited: Vec::new(), served: Vec::new(), answered: 0 };
    for task in tasks {
        for (waited, served, answered) in task.await.unwrap() {
            took.waited.push(waited);
            took.served.push(served);
            took.answered += usize::from(answered);
        }
    }
    took.all = started.elapsed();
    took
}

async fn one_client<'a>(
    client: &Client,
    workspace: &str,
    queries: impl Iterator<Item = &'a str>,
) -> Vec<(Duration, Duration, bool)> {
    let mut times = Vec::new();
    for query in queries {
        let (waited, served, answer) = client.query(workspace, query).await;
        times.push((waited, served, answer["results"].as_array().is_some_and(|results| !results.is_empty())));
    }
    times
}

fn show(report: &mut Report, who: &str, took: &Took) {
    let count = took.waited.len() as f64;
    let (p50, p99) = (percentile(&took.waited, 0.5), percentile(&took.waited, 0.99));
    if who == "1 client" {
        report.aimed(format!("{who}, p50"), ms(p50), "ms", Aim::AtMost(2.0));
    } else {
        report.figure(format!("{who}, p50"), ms(p50), "ms");
    }
    report.figure(format!("{who}, p99"), ms(p99), "ms");
    report.figure(format!("{who}, p50 inside the service"), ms(percentile(&took.served, 0.5)), "ms");
    report.figure(format!("{who}, p99 inside the service"), ms(percentile(&took.served, 0.99)), "ms");
    report.figure(format!("{who}, requests"), count / took.all.as_secs_f64(), "/s");
    report.figure(format!("{who}, queries with a result"), 100.0 * took.answered as f64 / count, "%");
}
