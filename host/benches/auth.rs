//! What letting somebody in costs: the optimised server as a process, an open route beside authenticated ones, ten thousand log-ins
//! while others go on, and what the audit log and row-level security add.
//!
//! The clients run on the same processors; the ten thousand stand back behind the server there.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    path::Path,
    sync::{Arc, OnceLock},
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
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tributary_core::citation::ConnectorRef;
use tributary_store::{
    AuditOutcome, Db, DocumentFilter, Engine, NewAuditEvent, NewUser, NewWorkspace, Options,
    testing::{databases, execute},
};

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
    drop(server);
    record(&mut report).await;
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

/// More log-ins than passwords can be checked: all at the same moment, then so many a second. Each comes from an address of its own.
async fn log_ins(report: &mut Report, server: &Server, data: &Path) {
    let people = sized(10_000);
    accounts(data, people).await;
    report.section(&format!(
        "{people} log-ins at once, over 1,000 connections, from threads that stand back behind the server"
    ));
    let ((answers, took), meanwhile) = watched(server, elsewhere().spawn(at_once(server.client(), people))).await;
    let crowd = Crowd::of(answers.unwrap());
    report.figure("accepted", crowd.accepted.len() as f64, "log-ins");
    report.figure("answered", people as f64 / took.as_secs_f64(), "log-ins/s");
    meanwhile.tell(report);

    report.section(&format!("1,000 log-ins a second, {people} in all"));
    let ((answers, took), meanwhile) = watched(server, steadily(server.client(), people)).await;
    let crowd = Crowd::of(answers);
    report.figure("accepted", crowd.accepted.len() as f64 / took.as_secs_f64(), "log-ins/s");
    report.aimed("accepted, p95", ms(percentile(&crowd.accepted, 0.95)), "ms", Aim::AtMost(250.0));
    report.figure("turned away with 503, p95", ms(percentile(&crowd.busy, 0.95)), "ms");
    meanwhile.tell(report);
}

type Answer = (StatusCode, Duration);

/// How long those who were let in waited, and those who were turned away.
struct Crowd {
    accepted: Vec<Duration>,
    busy: Vec<Duration>,
}

impl Crowd {
    fn of(answers: Vec<Answer>) -> Self {
        let with = |status| answers.iter().filter(|(it, _)| *it == status).map(|(_, took)| *took).collect::<Vec<_>>();
        let (accepted, busy) = (with(StatusCode::OK), with(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(accepted.len() + busy.len(), answers.len(), "a log-in was answered neither way");
        Self { accepted, busy }
    }
}

async fn log_in(client: Arc<Client>, number: usize) -> Answer {
    let started = Instant::now();
    let body = json!({ "email": email(number), "password": PASSWORD });
    (client.log_in_from(number, &body).await, started.elapsed())
}

/// As many connections as one program may have open; the others wait for one of them.
async fn at_once(client: Client, people: usize) -> Vec<Answer> {
    let client = Arc::new(client.with_token(""));
    futures::stream::iter(0..people)
        .map(|number| log_in(client.clone(), number))
        .buffer_unordered(1_000)
        .collect()
        .await
}

/// One each millisecond, whatever becomes of those before.
async fn steadily(client: Client, people: usize) -> Vec<Answer> {
    let (client, mut every) = (Arc::new(client.with_token("")), tokio::time::interval(Duration::from_millis(1)));
    let mut sent = Vec::with_capacity(people);
    for number in 0..people {
        every.tick().await;
        sent.push(tokio::spawn(log_in(client.clone(), number)));
    }
    futures::future::join_all(sent).await.into_iter().map(Result::unwrap).collect()
}

/// What others saw meanwhile.
struct Meanwhile {
    health: Vec<Duration>,
    read: Vec<Duration>,
}

impl Meanwhile {
    fn tell(&self, report: &mut Report) {
        report.aimed("/healthz meanwhile, p95", ms(percentile(&self.health, 0.95)), "ms", Aim::AtMost(10.0));
        report.aimed("authenticated read meanwhile, p95", ms(percentile(&self.read, 0.95)), "ms", Aim::AtMost(10.0));
    }
}

/// Does something, and asks two routes over and over for as long as it takes; how long that was.
async fn watched<T>(server: &Server, work: impl Future<Output = T>) -> ((T, Duration), Meanwhile) {
    let done = CancellationToken::new();
    // On threads of their own: in the queue of the thousand others they would measure the client.
    let watch = |path: &'static str, client: Client| {
        let done = done.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let mut took = Vec::new();
                while !done.is_cancelled() {
                    let started = Instant::now();
                    assert_eq!(client.status(Method::GET, path, None).await, StatusCode::OK);
                    took.push(started.elapsed());
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                took
            })
        })
    };
    let (health, read) = (watch("/healthz", server.client()), watch("/api/v1/workspaces", server.client()));
    let started = Instant::now();
    let done_with = (work.await, started.elapsed());
    done.cancel();
    (done_with, Meanwhile { health: health.join().unwrap(), read: read.join().unwrap() })
}

/// The crowd's own machine, as far as there is one: its threads have what the server leaves of the processors.
fn elsewhere() -> &'static Runtime {
    static ELSEWHERE: OnceLock<Runtime> = OnceLock::new();
    ELSEWHERE.get_or_init(|| {
        let give_way = || {
            #[cfg(target_os = "linux")]
            rustix::process::setpriority_process(None, 19).unwrap();
        };
        tokio::runtime::Builder::new_multi_thread().enable_all().on_thread_start(give_way).build().unwrap()
    })
}

/// What a change's event in the audit log costs, and a read that PostgreSQL checks once more.
async fn record(report: &mut Report) {
    let rounds = sized(1_000);
    report.section(&format!("{rounds} events in the audit log, one after the other"));
    for test in databases().await {
        let system = test.db.system();
        let mut took = Vec::new();
        for _ in 0..rounds {
            let event = NewAuditEvent {
                at: chrono::Utc::now(),
                actor: "user:bench".to_owned(),
                action: "POST /bench".to_owned(),
                workspace_id: None,
                target: String::new(),
                from_ip: None,
                request_id: None,
                outcome: AuditOutcome::Ok,
                detail: json!({ "status": 200 }),
            };
            let started = Instant::now();
            system.append_audit(event).await.unwrap();
            took.push(started.elapsed());
        }
        report.figure(format!("append on {}, median", test.name), us(percentile(&took, 0.5)), "us");
    }
    let Some(test) = databases().await.into_iter().find(|test| test.engine() == Engine::Postgres) else { return };
    report.section(&format!(
        "{rounds} reads of a page of documents on PostgreSQL, with row-level security and without, taking turns"
    ));
    let connector = ConnectorRef { id: "builtin:push".to_owned(), version: "1".to_owned(), digest: "d".to_owned() };
    let new = NewWorkspace {
        name: "Bench".to_owned(),
        slug: "bench".to_owned(),
        push_connector: connector,
        now: chrono::Utc::now(),
    };
    let tenant = test.db.system().tenant(test.db.system().create_workspace(new).await.unwrap().id);
    let mut took = [const { Vec::new() }; 2];
    for _ in 0..10 {
        for (security, took) in ["ENABLE", "DISABLE"].into_iter().zip(&mut took) {
            execute(&test.url, &row_security(security)).await.unwrap();
            for round in 0..rounds / 10 + 10 {
                let started = Instant::now();
                tenant.list_documents(&DocumentFilter::default(), None, 50).await.unwrap();
                // The first ones plan their statements anew.
                if round >= 10 {
                    took.push(started.elapsed());
                }
            }
        }
    }
    let [with, without] = took.each_ref().map(|took| us(percentile(took, 0.5)));
    report.figure("without, median", without, "us");
    report.figure("what it adds, median", with - without, "us");
}

/// Turns the policies of every table on or off.
fn row_security(turn: &str) -> String {
    format!(
        "DO $$ DECLARE it text; BEGIN
             FOR it IN SELECT relname FROM pg_class WHERE relforcerowsecurity LOOP
                 EXECUTE format('ALTER TABLE %I {turn} ROW LEVEL SECURITY', it);
             END LOOP;
         END $$"
    )
}

/// Puts accounts into the record past the server, all with one password: making them over the API would take minutes of hashing.
async fn accounts(data: &Path, people: usize) {
    let db = Db::open(&format!("sqlite://{}/tributary.db", data.display()), Options::default()).await.unwrap();
    let password_hash = tributary::auth::Passwords::new().unwrap().enter().unwrap().hash(PASSWORD).await.unwrap();
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
