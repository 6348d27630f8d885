//! Schedules with the real ticker.

use std::{fs, path::Path, process::Command};

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use tributary_store::testing;
use tributary_tests::{
    Database, Server, databases, eventually,
    server::{Options, binary, text},
};

/// Once a day, at a moment so many seconds from now.
fn soon(seconds: i64) -> Value {
    let at = Utc::now() + TimeDelta::seconds(seconds);
    json!({ "cron": at.format("%-S %-M %-H * * *").to_string(), "jitter": "0s" })
}

async fn scheduled(server: &Server, workspace: &str, name: &str, root: &str, schedule: Value) -> String {
    let sources = format!("/api/v1/workspaces/{workspace}/sources");
    let source = json!({ "name": name, "connector": "file", "config": { "root": root }, "schedule": schedule });
    let source = server.post(&sources, source).await.expect(201);
    assert!(source["next_run_at"].is_string(), "{source}");
    format!("{sources}/{}", text(&source["id"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_source_syncs_by_itself() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.md"), "# A\n\nText.").unwrap();
        let server = Options::default().root("shop", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let source = scheduled(&server, &workspace, "Files", "shop", soon(2)).await;
        let run = eventually("a scheduled run", async || {
            let source = server.get(&source).await.ok();
            (source["last_run"]["status"] == "succeeded").then(|| source["last_run"].clone())
        })
        .await;
        assert_eq!(run["trigger"], "schedule", "{name}: {run}");
        assert_eq!(server.documents(&workspace).await.len(), 1, "{name}");
        let past = server.get(&format!("{source}/schedule")).await.ok()["past"].clone();
        assert_eq!((&past[0]["outcome"], &past[0]["run_id"]), (&json!("started"), &run["id"]), "{name}: {past}");

        let unscheduled = server.patch(&source, json!({ "schedule": null })).await.ok();
        assert_eq!((&unscheduled["schedule"], &unscheduled["next_run_at"]), (&json!(null), &json!(null)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_can_be_looked_at_before_and_after_it_is_saved() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        let server = Options::default().root("shop", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let preview = format!("/api/v1/workspaces/{workspace}/schedule-preview");
        let nightly = json!({ "cron": "30 2 * * *", "timezone": "Europe/Berlin" });
        let shown = server.post(&preview, nightly.clone()).await.ok();
        let items = shown["items"].as_array().unwrap();
        assert_eq!(items.len(), 10, "{name}: {shown}");
        for item in items {
            let local = text(&item["local"]);
            assert!(local.contains("T02:30:00+0") || local.contains("T03:00:00+02:00"), "{name}: {item}");
        }
        let problem = server.post(&preview, json!({ "cron": "30 2 * *" })).await.problem(422, "invalid_schedule");
        assert_eq!(problem["errors"][0]["pointer"], "/cron", "{name}: {problem}");

        let source = scheduled(&server, &workspace, "Files", "shop", nightly).await;
        let full = json!({ "full_schedule": { "every": "7d", "jitter": "2h" }, "pause_after_failures": 3 });
        let changed = server.patch(&source, full).await.ok();
        let expected =
            json!({ "cron": "30 2 * * *", "timezone": "Europe/Berlin", "overlap": "skip", "catch_up": "1d" });
        assert_eq!(changed["schedule"], expected, "{name}: left as it was");
        let expected = json!({ "every": "7d", "overlap": "queue", "catch_up": "1d", "jitter": "2h" });
        assert_eq!((&changed["full_schedule"], &changed["pause_after_failures"]), (&expected, &json!(3)), "{name}");
        let saved = server.get(&format!("{source}/schedule")).await.ok();
        let upcoming = saved["schedule"]["upcoming"].as_array().unwrap();
        assert_eq!((upcoming.len(), &upcoming[0]["slot"]), (10, &items[0]["slot"]), "{name}: {saved}");
        assert_eq!(upcoming[0]["starts_at"], changed["next_run_at"], "{name}: the nightly one comes first");
        assert_eq!(saved["full_schedule"]["upcoming"].as_array().unwrap().len(), 10, "{name}");

        // As it was answered it can be sent again.
        let again = server.patch(&source, json!({ "schedule": changed["schedule"] })).await.ok();
        assert_eq!(again["schedule"], changed["schedule"], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_source_says_who_when_and_why_and_goes_on_when_resumed() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        let server = Options::default().root("shop", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let source = scheduled(&server, &workspace, "Files", "shop", json!({ "every": "1h" })).await;
        server.post(&format!("{source}/pause"), json!({ "note": " " })).await.problem(422, "invalid_body");
        let paused = server.post(&format!("{source}/pause"), json!({ "note": "The shop moves." })).await.ok();
        assert_eq!((&paused["health"], &paused["next_run_at"]), (&json!("paused"), &json!(null)), "{name}: {paused}");
        assert_eq!(paused["paused"]["note"], "The shop moves.", "{name}");
        assert_eq!(paused["paused"]["reason"], "by_hand", "{name}");
        assert!(text(&paused["paused"]["by"]).starts_with("user:"), "{name}: {paused}");
        assert_eq!(server.sync(&source).await["status"], "succeeded", "{name}: by hand it still syncs");
        assert_eq!(server.get(&source).await.ok()["paused"], paused["paused"], "{name}");

        let resumed = server.post(&format!("{source}/resume"), json!({})).await.ok();
        assert_eq!((&resumed["health"], &resumed["paused"]), (&json!("healthy"), &json!(null)), "{name}: {resumed}");
        assert!(text(&resumed["next_run_at"]) > Utc::now().to_rfc3339(), "{name}: {resumed}");

        let sources = server.get(&format!("/api/v1/workspaces/{workspace}/sources")).await.ok();
        let push =
            sources["items"].as_array().unwrap().iter().find(|it| it["connector"]["id"] == "builtin:push").unwrap();
        let push = format!("/api/v1/workspaces/{workspace}/sources/{}", text(&push["id"]));
        server.post(&format!("{push}/pause"), json!({ "note": "no" })).await.problem(409, "nothing_to_sync");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_again_and_again_is_paused_and_says_what_to_do() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("docs");
        fs::create_dir(&root).unwrap();
        let server = Options::default().root("shop", &root).start(database).await;
        let workspace = server.workspace("Shop").await;
        let source = scheduled(&server, &workspace, "Files", "shop", json!({ "every": "1h" })).await;
        server.patch(&source, json!({ "pause_after_failures": 2 })).await.ok();
        fs::remove_dir(&root).unwrap();
        assert_eq!(server.sync(&source).await["status"], "failed", "{name}");
        assert_eq!(server.get(&source).await.ok()["paused"], json!(null), "{name}: not at its first failure");
        assert_eq!(server.sync(&source).await["status"], "failed", "{name}");
        let paused = server.get(&source).await.ok();
        assert_eq!(paused["paused"]["reason"], "failures", "{name}: {paused}");
        assert!(text(&paused["paused"]["note"]).contains("resume the source"), "{name}: {paused}");

        fs::create_dir(&root).unwrap();
        assert_eq!(server.sync(&source).await["status"], "succeeded", "{name}");
        assert_eq!(server.get(&source).await.ok()["health"], "paused", "{name}: until somebody resumes it");
        server.post(&format!("{source}/resume"), json!({})).await.ok();
        assert_eq!(server.get(&source).await.ok()["health"], "healthy", "{name}");
    }
}

#[test]
fn the_command_line_shows_the_next_moments_without_a_server() {
    let preview = |arguments: &[&str]| {
        let output = Command::new(binary()).args(["schedule", "preview"]).args(arguments).output().unwrap();
        let printed = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(printed).unwrap())
    };
    let berlin = ["0 3 * * *", "--timezone", "Europe/Berlin", "--after", "2026-03-27T12:00:00Z"];
    let (went_well, table) = preview(&berlin);
    assert!(went_well, "{table}");
    let lines: Vec<_> = table.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 11, "{table}");
    assert!(
        lines[1].starts_with("Sat 2026-03-28 03:00:00 +01:00") && lines[1].ends_with("2026-03-28 02:00:00"),
        "{table}"
    );
    assert!(
        lines[2].starts_with("Sun 2026-03-29 03:00:00 +02:00") && lines[2].ends_with("2026-03-29 01:00:00"),
        "{table}"
    );

    let (_, slots) = preview(&[&berlin[..], &["--json", "--count", "2"]].concat());
    let slots: Value = serde_json::from_str(&slots).unwrap();
    let first = json!({ "slot": "2026-03-28T02:00:00Z", "local": "2026-03-28T03:00:00+01:00" });
    assert_eq!((&slots[0], slots.as_array().unwrap().len()), (&first, 2));

    let (_, every) = preview(&["--every", "15m", "--after", "2026-03-27T12:00:00Z", "--count", "1"]);
    assert!(every.contains("2026-03-27 12:15:00"), "{every}");
    let (went_well, error) = preview(&["0 3 * * *", "--timezone", "Europe/Berlinn"]);
    assert!(!went_well && error.contains("Europe/Berlinn") && error.lines().count() == 1, "{error}");
}

const FILES: usize = 1_500;

fn library(folder: &Path) {
    for n in 0..FILES {
        fs::write(folder.join(format!("{n:04}.md")), format!("# Document {n}\n\nParcel {n}.\n")).unwrap();
    }
}

/// The only run of a source, once it is over.
async fn only_run(server: &Server, source: &str) -> Value {
    let run = eventually("a scheduled run to end", async || {
        let runs = server.get(&format!("{source}/runs")).await.ok();
        let run = runs["items"].get(0)?.clone();
        matches!(run["status"].as_str(), Some("succeeded" | "partial" | "failed" | "cancelled")).then_some(run)
    });
    run.await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hosts_fire_each_slot_once_and_the_run_of_a_killed_one_ends_elsewhere() {
    let Some(postgres) = testing::postgres(tributary_store::Options::default()).await else { return };
    let (folder, small) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    library(folder.path());
    fs::write(small.path().join("a.md"), "# A\n\nText.").unwrap();
    // A worker each, so that three long runs are one on each host; small pages and a short lease.
    let options = || {
        let options = Options::default().root("library", folder.path()).root("small", small.path());
        options.arg("--page-items").arg("10").arg("--lease-ms").arg("1500").arg("--sync-workers").arg("1")
    };
    let first = options().start(Database::Postgres(postgres)).await;
    let second = options().beside(&first).start(Database::Sqlite).await;
    let mut third = options().beside(&first).start(Database::Sqlite).await;
    let workspace = first.workspace("Library").await;
    let mut long = Vec::new();
    for n in 0..3 {
        long.push(scheduled(&first, &workspace, &format!("Long {n}"), "library", soon(3)).await);
    }
    eventually("a run on each host", async || {
        let mut running = 0;
        for source in &long {
            running += usize::from(second.get(source).await.ok()["last_run"]["status"] == "running");
        }
        (running == 3).then_some(())
    })
    .await;
    third.kill();
    // The two that are left fire what comes now.
    let mut short = Vec::new();
    for n in 0..12 {
        short.push(scheduled(&first, &workspace, &format!("Short {n}"), "small", soon(2 + n % 3)).await);
    }
    for (sources, files) in [(&long, FILES), (&short, 1)] {
        for source in sources {
            let run = only_run(&second, source).await;
            assert_eq!((&run["status"], &run["trigger"]), (&json!("succeeded"), &json!("schedule")), "{run}");
            assert_eq!(run["counts"]["added"], files, "each document once: {run}");
        }
    }
    for source in long.iter().chain(&short) {
        assert_eq!(first.get(&format!("{source}/runs")).await.ok()["items"].as_array().unwrap().len(), 1, "{source}");
        let past = first.get(&format!("{source}/schedule")).await.ok()["past"].clone();
        assert_eq!((past.as_array().unwrap().len(), &past[0]["outcome"]), (1, &json!("started")), "{past}");
    }
}
