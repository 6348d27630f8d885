//! Kill -9 and frozen workers: what is committed stays, what is not is done again, and the end is the same.

use std::{fs, path::Path, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tributary_tests::{
    Database, Server, databases,
    documents::{Standing, standing},
    eventually,
    server::Options,
};

const FILES: usize = 5_000;
const KILLS: usize = 20;

fn library(folder: &Path) {
    for n in 0..FILES {
        let shelf = folder.join(format!("shelf-{:02}", n % 40));
        fs::create_dir_all(&shelf).unwrap();
        fs::write(
            shelf.join(format!("{n:05}.md")),
            format!("# Document {n}\n\nParcel {n} goes to town {}.\n", n * 7 % 1_000),
        )
        .unwrap();
    }
}

/// Small pages and a short lease, so that there is much to interrupt and little to wait for.
fn options(folder: &Path) -> Options {
    Options::default().root("library", folder).arg("--page-items").arg("50").arg("--lease-ms").arg("900")
}

fn expected() -> Standing {
    (0..FILES).map(|n| (format!("shelf-{:02}/{n:05}.md", n % 40), (format!("Document {n}"), 1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_killed_twenty_times_ends_in_the_same_documents() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path());
    for database in databases().await {
        let name = database.name();
        let seed = rand::random::<u64>();
        println!("{name}: seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut server = options(folder.path()).start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        let run = server.start_sync(&source, json!({})).await;
        let mut interrupted = 0;
        for _ in 0..KILLS {
            sleep(Duration::from_millis(rng.random_range(0..1_200))).await;
            let status = server.get(&run).await.ok()["status"].clone();
            interrupted += usize::from(status == "running");
            server.kill();
            server.restart().await;
        }
        let run = server.finished(&run).await;
        println!("{name}: {interrupted} of {KILLS} kills hit a running sync");
        assert!(interrupted >= 3, "{name}, seed {seed}: the sync was over before it could be killed");
        assert_eq!(run["status"], "succeeded", "{name}, seed {seed}: {run}");
        assert_eq!(run["counts"]["added"], FILES, "{name}, seed {seed}: each document is counted once: {run}");
        assert_eq!(standing(&server.documents(&workspace).await), expected(), "{name}, seed {seed}");
        let query = json!({ "workspace_id": workspace, "query": "document 4711", "min_position": run["position"] });
        let found = server.post("/api/v1/knowledge/query", query).await.ok();
        assert_eq!(
            found["results"][0]["external_id"], "shelf-31/04711.md",
            "{name}, seed {seed}: the index caught up: {found}"
        );
    }
}

/// A second server on the first one's database.
async fn colleague(of: &Server, folder: &Path) -> Server {
    options(folder).beside(of).start(Database::Sqlite).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_frozen_past_its_lease_commits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path());
    for database in databases().await {
        let name = database.name();
        let frozen = options(folder.path()).start(database).await;
        let workspace = frozen.workspace("Library").await;
        let source = frozen.file_source(&workspace, json!({ "root": "library" })).await;
        let run = frozen.start_sync(&source, json!({})).await;
        let other = colleague_that_takes_over(&frozen, folder.path(), &run).await;
        let finished = other.finished(&run).await;
        assert_eq!(finished["status"], "succeeded", "{name}: {finished}");
        let before = other.documents(&workspace).await;

        frozen.signal("CONT");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(other.get(&run).await.ok(), finished, "{name}: the run is as its new worker left it");
        assert_eq!(other.documents(&workspace).await, before, "{name}");
        assert_eq!(standing(&before), expected(), "{name}");
        assert_eq!(frozen.get(&run).await.ok()["status"], "succeeded", "{name}: the thawed server serves on");
    }
}

/// Freezes the first server in the middle of the run. Frozen inside a transaction it holds the database's lock, and nobody can
/// take over (or even start) before it lets go: then it is thawed for a moment and frozen again.
async fn colleague_that_takes_over(frozen: &Server, folder: &Path, run: &str) -> Server {
    eventually("the run to start", async || (frozen.get(run).await.ok()["status"] == "running").then_some(())).await;
    let other = colleague(frozen, folder).await;
    for attempt in 0..20 {
        sleep(Duration::from_millis(37 * attempt)).await;
        assert_eq!(
            frozen.get(run).await.ok()["status"],
            "running",
            "the run must not be over before the server is frozen"
        );
        frozen.signal("STOP");
        let taken_over = async {
            let left_at = other.get(run).await.ok()["counts"]["seen"].clone();
            while other.get(run).await.ok()["counts"]["seen"] == left_at {
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(Duration::from_secs(5), taken_over).await.is_ok() {
            return other;
        }
        frozen.signal("CONT");
    }
    panic!("the server was always frozen inside a transaction");
}
