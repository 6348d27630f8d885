//! What letting somebody in costs: the optimised server as a process, an open route beside authenticated ones, and ten thousand log-ins
//! at once while others go on.
//!
//! The clients run on the same processors.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use reqwest::{Method, StatusCode};
use serde_json::json;
use support::{
    process::{Client, PASSWORD, Server},
    report::{Aim, Report, ms, percentile, us},
    sized,
};
use tributary_store::{Db, NewUser, Options};

/// Answered without a look at who asks, and without a read.
const OPEN: &str = "/.well-known/jwks.json";
/// Answered from what is known of the caller, without a read.
const CLOSED: &str = "/api/v1/auth/me";

fn main() {
    support::runtime().block_on(run());
}

async fn run() {
    let mut report = Report::new("auth");
    let data = tempfile::tempdir().unwrap();
    let (mut server, _) = Server::start_with(data.path(), &["--trusted-proxies", "127.0.0.1"]).await;
    server.log_in().await;
    overhead(&mut report, &server).await;
    log_ins(&mut report, &server, data.path()).await;
    report.finish();
}

/// The same connection asks one route after the other, so that both see the same machine.
async fn overhead(report: &mut Report, server: &Server) {
    let rounds = sized(10_000);
    report.section(&format!(
        "{rounds} rounds of an open route and authenticated ones, taking turns, one connection, warm"
    ));
    let workspaces = server.get("/api/v1/workspaces").await;
    let keys = format!("/api/v1/workspaces/{}/keys", workspaces["items"][0]["id"].as_str().unwrap());
    let limits = json!({ "requests_per_minute": 100_000_000 });
    let key = server.post(&keys, json!({ "name": "bench", "scopes": ["chat"], "limits": limits })).await;
    let stranger = server.client();
    let by_key = stranger.with_token(key["key"].as_str().unwrap());
    let anonymous = stranger.with_token("");
    let mut took = [const { Vec::new() }; 3];
    for round in 0..rounds + rounds / 10 {
        for ((client, path), took) in
            [(&anonymous, OPEN), (&stranger, CLOSED), (&by_key, CLOSED)].into_iter().zip(&mut took)
        {
            let started = Instant::now();
            assert_eq!(client.status(Method::GET, path, None).await, StatusCode::OK);
            if round >= rounds / 10 {
                took.push(started.elapsed());
            }
        }
    }
    let [open, token, key] = took.each_ref().map(|took| percentile(took, 0.5));
    report.figure("open route, median", us(open), "us");
    let over = |of: Duration| us(of) - us(open);
    report.aimed("access token, over the open route, median", over(token), "us", Aim::AtMost(50.0));
    report.aimed("API key with its quota, over the open route, median", over(key), "us", Aim::AtMost(50.0));
}

/// Everybody logs in at the same moment, each from an address and with an account of their own.
async fn log_ins(report: &mut Report, server: &Server, data: &std::path::Path) {
    let people = sized(10_000);
    accounts(data, people).await;
    report.section(&format!("{people} log-ins at once, and what others see meanwhile"));
    let done = tokio_util::sync::CancellationToken::new();
    let watch = |path: &'static str, client: Client| {
        let done = done.clone();
        tokio::spawn(async move {
            let mut took = Vec::new();
            while !done.is_cancelled() {
                let started = Instant::now();
                assert_eq!(client.status(Method::GET, path, None).await, StatusCode::OK);
                took.push(started.elapsed());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            took
        })
    };
    let (health, read) = (watch("/healthz", server.client()), watch("/api/v1/workspaces", server.client()));
    let client = Arc::new(server.client().with_token(""));
    let started = Instant::now();
    // As many connections as one program may have open; the others wait for one of them.
    let answers: Vec<_> = futures::stream::iter(0..people)
        .map(|number| {
            let client = client.clone();
            async move {
                let started = Instant::now();
                let body = json!({ "email": email(number), "password": PASSWORD });
                (client.log_in_from(number, &body).await, started.elapsed())
            }
        })
        .buffer_unordered(1_000)
        .collect()
        .await;
    let all = started.elapsed();
    done.cancel();
    let of = |status: StatusCode| -> Vec<Duration> {
        answers.iter().filter(|(it, _)| *it == status).map(|(_, took)| *took).collect()
    };
    let (accepted, busy) = (of(StatusCode::OK), of(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(accepted.len() + busy.len(), people, "a log-in was answered neither way");
    report.figure("accepted", accepted.len() as f64, "log-ins");
    report.figure("accepted", accepted.len() as f64 / all.as_secs_f64(), "log-ins/s");
    report.aimed("accepted, p95", ms(percentile(&accepted, 0.95)), "ms", Aim::AtMost(250.0));
    report.figure("turned away with 503, p95", ms(percentile(&busy, 0.95)), "ms");
    let (health, read) = (health.await.unwrap(), read.await.unwrap());
    report.aimed("/healthz meanwhile, p95", ms(percentile(&health, 0.95)), "ms", Aim::AtMost(10.0));
    report.aimed("authenticated read meanwhile, p95", ms(percentile(&read, 0.95)), "ms", Aim::AtMost(10.0));
}

/// Puts accounts into the record past the server, all with one password: making them over the API would take minutes of hashing.
async fn accounts(data: &std::path::Path, people: usize) {
    let db = Db::open(&format!("sqlite://{}/tributary.db", data.display()), Options::default()).await.unwrap();
    let password_hash = tributary::auth::Passwords::new().unwrap().hash(PASSWORD).await.unwrap();
    let system = db.system();
    futures::stream::iter(0..people)
        .for_each_concurrent(200, |number| {
            let (system, password_hash) = (system.clone(), password_hash.clone());
            async move {
                let new = NewUser {
                    email: email(number),
                    name: String::new(),
                    password_hash,
                    instance_admin: false,
                    now: chrono::Utc::now(),
                };
                system.create_user(new).await.unwrap();
            }
        })
        .await;
    db.close().await.unwrap();
}

fn email(number: usize) -> String {
    format!("person{number}@example.com")
}
