//! The queue: jobs per second with each one acknowledged, how soon an idle worker has a job, and what a claim costs before a long queue.
//!
//! Every job is queued by a call of its own, claimed, and completed by a call of its own that resolves when the database has it. SQLite
//! runs with `synchronous=FULL`; what PostgreSQL promises is its own setting, which is printed.
//!
//! `cargo xtask bench queue`; PostgreSQL when `TRIBUTARY_TEST_POSTGRES` is set. Arguments: jobs (20,000).
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{Connection, PgConnection};
use tributary_core::{
    RunId, WorkspaceId,
    citation::ConnectorRef,
    job::{NewJob, Work},
};
use tributary_store::{Engine, NewWorkspace, SystemDb, testing};

const LEASE_MS: i64 = 60_000;
/// Callers at the same time.
const PRODUCERS: usize = 64;
const WORKERS: usize = 64;

fn job() -> NewJob {
    NewJob::now(Work::Sync { run_id: RunId::new() })
}

async fn workspace(system: &SystemDb, slug: &str) -> WorkspaceId {
    let connector = ConnectorRef { id: "builtin:push".to_owned(), version: "0".to_owned(), digest: "d".to_owned() };
    let new = NewWorkspace {
        name: slug.to_owned(),
        slug: slug.to_owned(),
        push_connector: connector,
        now: chrono::Utc::now(),
    };
    system.create_workspace(new).await.unwrap().id
}

/// Queued by many callers at once, each for itself.
async fn fill(system: &SystemDb, workspaces: &[WorkspaceId], jobs: usize) -> Duration {
    let began = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let producers = (0..PRODUCERS).map(|_| {
        let (system, next, workspaces) = (system.clone(), next.clone(), workspaces.to_vec());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= jobs {
                    return;
                }
                system.enqueue(workspaces[number % workspaces.len()], job()).await.unwrap();
            }
        })
    });
    for producer in producers.collect::<Vec<_>>() {
        producer.await.unwrap();
    }
    began.elapsed()
}

/// A host's pool: claims as many as it has hands free; each job is completed for itself.
async fn drain(system: SystemDb, name: String, left: Arc<AtomicUsize>) {
    let mut claimer = system.claimer("sync", &name, LEASE_MS, i64::MAX);
    let hands = Arc::new(tokio::sync::Semaphore::new(WORKERS));
    while left.load(Ordering::Acquire) > 0 {
        let first = hands.clone().acquire_owned().await.unwrap();
        let mut free: Vec<_> = std::iter::from_fn(|| hands.clone().try_acquire_owned().ok()).collect();
        free.push(first);
        let leases = claimer.claim(free.len() as i64).await.unwrap().leases;
        if leases.is_empty() {
            drop(free);
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        }
        for (lease, hand) in leases.into_iter().zip(free) {
            let (system, left) = (system.clone(), left.clone());
            tokio::spawn(async move {
                assert!(system.complete(&lease).await.unwrap());
                left.fetch_sub(1, Ordering::Release);
                drop(hand);
            });
        }
    }
}

fn rate(jobs: usize, took: Duration) -> u64 {
    (jobs as f64 / took.as_secs_f64()) as u64
}

#[tokio::main]
async fn main() {
    let jobs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(20_000_usize);
    for test in testing::databases().await {
        let system = test.db.system();
        let durability = match test.engine() {
            Engine::Sqlite => "synchronous=FULL".to_owned(),
            Engine::Postgres => {
                let mut connection = PgConnection::connect(&test.url).await.unwrap();
                let setting = async |connection: &mut PgConnection, sql: &'static str| -> String {
                    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
                };
                let commit = setting(&mut connection, "SELECT current_setting('synchronous_commit')").await;
                format!(
                    "synchronous_commit={commit} fsync={}",
                    setting(&mut connection, "SELECT current_setting('fsync')").await
                )
            }
        };
        println!("{} ({durability})", test.name);
        let mut workspaces = Vec::new();
        for number in 0..8 {
            workspaces.push(workspace(&system, &format!("w{number}")).await);
        }

        let took = fill(&system, &workspaces, jobs).await;
        println!("  queued          {:>8}/s  ({PRODUCERS} callers, each job acknowledged)", rate(jobs, took));
        for hosts in [1, 2] {
            if hosts > 1 {
                fill(&system, &workspaces, jobs).await;
            }
            let began = Instant::now();
            let left = Arc::new(AtomicUsize::new(jobs));
            let pools =
                (0..hosts).map(|host| tokio::spawn(drain(system.clone(), format!("host {host}"), left.clone())));
            for pool in pools.collect::<Vec<_>>() {
                pool.await.unwrap();
            }
            while left.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            println!("  claimed, done   {:>8}/s  ({hosts} pools of {WORKERS} workers)", rate(jobs, began.elapsed()));
        }
        let began = Instant::now();
        let left = Arc::new(AtomicUsize::new(jobs));
        let pool = tokio::spawn(drain(system.clone(), "host".to_owned(), left.clone()));
        fill(&system, &workspaces, jobs).await;
        pool.await.unwrap();
        while left.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("  the whole way   {:>8}/s  (queued, claimed and done at the same time)", rate(jobs, began.elapsed()));

        // Woken at once, as within a host: from the call that queues to the moment a worker has it.
        let mut claimer = system.claimer("sync", "idle", LEASE_MS, i64::MAX);
        let mut took: Vec<Duration> = Vec::new();
        for _ in 0..500 {
            let began = Instant::now();
            system.enqueue(workspaces[0], job()).await.unwrap();
            let lease = claimer.claim(1).await.unwrap().leases.remove(0);
            took.push(began.elapsed());
            system.complete(&lease).await.unwrap();
        }
        took.sort();
        println!("  picked up       p50 {:?}, p99 {:?}  (idle queue)", took[250], took[494]);

        fill(&system, &workspaces[..1], 10_000).await;
        fill(&system, &workspaces[1..2], 1).await;
        let mut took = Vec::new();
        for limit in [2, 64, 64, 64] {
            let began = Instant::now();
            assert_eq!(claimer.claim(limit).await.unwrap().leases.len(), limit as usize);
            took.push(began.elapsed());
        }
        println!("  a claim of 64 before 10,000 queued jobs of one workspace: {:?}", took[2]);
    }
}
