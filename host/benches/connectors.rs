//! What connectors cost a server: a thousand that rest, two hundred that pull at once, and one that reads an API, beside a plain loop.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeSet,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use axum::{
    Router,
    extract::{Query, State},
    http::header::CONTENT_TYPE,
    response::IntoResponse,
    routing::get,
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use support::{
    component, corpus,
    process::Server,
    report::{Aim, Report, median, ms, percentile},
    sized,
    usage::memory_mib,
};
use tributary_core::contract::{Failure, Next, PullRequest};
use tributary_egress::{Egress, EgressOptions, HostGrants, Secret, Secrets, SourceAccess};
use tributary_sandbox::{Connector, EmptyLedger, Files, HostServices, Meter, Sandbox, SandboxOptions};

/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(5);
/// Each way of reading the API is measured so often, in turn; the one in the middle counts.
const ROUNDS: usize = 5;
/// Records in a page of the API.
const PER_PAGE: usize = 100;

fn main() {
    support::runtime().block_on(run());
}

async fn run() {
    let mut report = Report::new("connectors");
    idle(&mut report, sized(1_000)).await;

    let code = tempfile::tempdir().unwrap();
    let options = SandboxOptions { cache_dir: Some(code.path().to_owned()), ..SandboxOptions::default() };
    let sandbox = Sandbox::new(options).unwrap();
    let digest = sandbox.install(component("tributary_plugin_file")).await.unwrap().digest;
    crowd(&mut report, sandbox.connector(digest).unwrap(), sized(200)).await;
    let digest = sandbox.install(component("tributary_plugin_api")).await.unwrap().digest;
    api(&mut report, sandbox.connector(digest).unwrap(), sized(200)).await;
    report.finish();
}

/// Sources that have nothing to do until the night.
async fn idle(report: &mut Report, sources: usize) {
    report.section(&format!("{sources} sources at rest, each with a nightly schedule"));
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = format!("shop={}", files.path().display());
    let (mut server, _) = Server::start_with(data.path(), &["--root", &root]).await;
    server.log_in().await;
    let workspace = server.get("/api/v1/workspaces").await["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/workspaces/{workspace}/sources");
    let make = async |number: usize| {
        let config = json!({ "root": "shop", "include": [format!("{number}/**")] });
        let schedule = json!({ "cron": "0 3 * * *", "timezone": "Europe/Berlin" });
        server
            .post(&path, json!({ "name": format!("Source {number}"), "connector": "file", "config": config, "schedule": schedule }))
            .await;
    };
    // The first one loads what all of them share.
    make(0).await;
    tokio::time::sleep(IDLE).await;
    let before = memory_mib(server.pid(), "RssAnon");
    for number in 1..sources {
        make(number).await;
    }
    tokio::time::sleep(IDLE).await;
    let grown = memory_mib(server.pid(), "RssAnon") - before;
    report.figure("memory with one source, without mapped files", before, "MiB");
    report.aimed("and so much more with all of them", grown, "MiB", Aim::AtMost(10.0));
    let cpu = server_cpu(&server);
    tokio::time::sleep(2 * IDLE).await;
    let share = (server_cpu(&server) - cpu).as_secs_f64() / (2 * IDLE).as_secs_f64() * 100.0;
    report.aimed("processor time at rest", share, "%", Aim::AtMost(2.0));
}

fn server_cpu(server: &Server) -> Duration {
    support::usage::cpu_of(server.pid())
}

/// As many pulls at once as there are callers, over and over.
async fn crowd(report: &mut Report, connector: Arc<dyn Connector>, callers: usize) {
    let tree = tempfile::tempdir().unwrap();
    corpus::write_tree(tree.path(), PER_PAGE);
    let pull = async || {
        let started = Instant::now();
        let services = services(files(tree.path()));
        let page = connector.pull(&request(&json!({ "root": "files" }), None), &services).await.unwrap();
        assert_eq!(page.changes.len(), PER_PAGE);
        started.elapsed()
    };
    report.section(&format!("{callers} pulls of {PER_PAGE} files at once"));
    let alone: Vec<_> = stream::iter(0..50).then(|_| pull()).collect().await;
    let alone = median(&alone);
    report.figure("one alone, median", ms(alone), "ms");
    let started = Instant::now();
    let rounds = 10;
    let pulls = stream::iter(0..rounds * callers).map(|_| pull()).buffer_unordered(callers);
    let took: Vec<_> = pulls.collect().await;
    let each = started.elapsed() / (rounds * callers) as u32;
    report.figure("pulls a second, all together", 1.0 / each.as_secs_f64(), "/s");
    report.figure("at once, median", ms(median(&took)), "ms");
    let p99 = percentile(&took, 0.99);
    report.figure("at once, p99", ms(p99), "ms");
    // A fair turn: everybody waits for as long as all pulls take.
    let fair = each * callers as u32;
    report.aimed("p99 over a fair turn", p99.as_secs_f64() / fair.as_secs_f64(), "×", Aim::AtMost(2.0));
}

/// The pages of an API: by the connector, and by a loop that only fetches and parses them.
async fn api(report: &mut Report, connector: Arc<dyn Connector>, pages: usize) {
    report.section(&format!("An API of {pages} pages with {PER_PAGE} records of 2 KB, on this machine"));
    let base = serve(pages).await;
    let egress = Arc::new(Egress::new(EgressOptions {
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressOptions::default()
    }));
    let config = json!({
        "base_url": base,
        "collections": [{
            "name": "articles",
            "request": { "path": "/articles" },
            "response": { "records": "/items" },
            "pagination": { "kind": "cursor", "param": "after", "cursor": "/next" },
            "document": { "id": "/id", "title": "/title", "kind": "article", "body": ["/body"] },
        }],
    });
    let described = connector.describe().await.unwrap();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let access = SourceAccess {
            workspace: "bench".to_owned(),
            hosts: HostGrants::new("api", &described.hosts, &config, None),
            credentials: BTreeSet::new(),
            secrets: Arc::new(NoSecrets),
        };
        let http = Arc::new(egress.clone().for_source(access));
        let started = Instant::now();
        let (mut cursor, mut records) = (None, 0);
        loop {
            let services = services(Files::none()).with_http(http.clone());
            let page = connector.pull(&request(&config, cursor), &services).await.unwrap();
            records += page.changes.len();
            cursor = page.cursor;
            if !matches!(page.next, Next::More) {
                break;
            }
        }
        assert_eq!(records, pages * PER_PAGE);
        times[0].push(started.elapsed());

        let (client, started) = (reqwest::Client::new(), Instant::now());
        let (mut after, mut records) = (json!("0"), 0);
        while let Some(cursor) = after.as_str() {
            let answer = client.get(format!("{base}/articles?after={cursor}")).send().await.unwrap();
            let page: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            records += page["items"].as_array().unwrap().len();
            after = page["next"].clone();
        }
        assert_eq!(records, pages * PER_PAGE);
        times[1].push(started.elapsed());
    }
    let [connector, plain] = times.each_ref().map(|times| median(times));
    report.figure("the connector", pages as f64 / connector.as_secs_f64(), "pages/s");
    report.figure("the plain loop", pages as f64 / plain.as_secs_f64(), "pages/s");
    report.figure("time of the connector over that of the loop", connector.as_secs_f64() / plain.as_secs_f64(), "×");
}

/// Serves the API; where it is.
async fn serve(pages: usize) -> String {
    let page = |number: usize| {
        let record = |at: usize| {
            let id = number * PER_PAGE + at;
            json!({ "id": id, "title": format!("Article {id}"), "body": corpus::markdown(id) })
        };
        let next = (number + 1 < pages).then(|| (number + 1).to_string());
        json!({ "items": (0..PER_PAGE).map(record).collect::<Vec<_>>(), "next": next }).to_string()
    };
    let pages: Arc<[String]> = (0..pages).map(page).collect();
    let router = Router::new().route("/articles", get(one_page)).with_state(pages);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

async fn one_page(
    State(pages): State<Arc<[String]>>,
    Query(asked): Query<std::collections::HashMap<String, usize>>,
) -> impl IntoResponse {
    let number = asked.get("after").copied().unwrap_or_default();
    ([(CONTENT_TYPE, "application/json")], pages[number].clone())
}

fn request(config: &Value, cursor: Option<String>) -> PullRequest {
    PullRequest {
        config: config.to_string(),
        cursor,
        full: false,
        upper_bound_ms: 0,
        max_items: 256,
        max_bytes: 8 << 20,
        deadline_ms: 60_000,
    }
}

fn files(tree: &Path) -> Files {
    Files::new(Arc::new([("files".to_owned(), tree.to_owned())].into()), ["files".to_owned()])
}

fn services(files: Files) -> HostServices {
    HostServices::new(Arc::new(files), Arc::new(EmptyLedger), Arc::new(Meter::default()), "bench")
}

/// The API wants none.
struct NoSecrets;

#[async_trait]
impl Secrets for NoSecrets {
    async fn reveal(&self, _: &str) -> Result<Option<Secret>, Failure> {
        Ok(None)
    }

    async fn keep_refresh_token(&self, _: &str, _: &str, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}
