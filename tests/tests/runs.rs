//! Runs as an admin sees them: live, dry, partly failed and retried, held and approved; and search while everything is read again.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};
use tributary_tests::{
    Database, Server, databases,
    server::{Options, text},
};

fn write(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join(name), content).unwrap();
}

fn library(folder: &Path, files: usize) {
    for n in 0..files {
        write(folder, &format!("{n:04}.md"), &format!("# Document {n}\n\nParcel {n} goes to town.\n"));
    }
}

/// The events of a run, to the end of the stream: id, name, data.
async fn watch(server: &Server, run: &str, last: Option<&str>) -> Vec<(String, String, Value)> {
    let mut request = server.request(Method::GET, &format!("{run}/events"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = response.text().await.unwrap();
    let events = body.split("\n\n").filter(|event| event.contains("data:"));
    let part = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim_start_matches(": ").to_owned()
    };
    let event = |event: &str| {
        let data = serde_json::from_str(&part(event, "data")).unwrap();
        (part(event, "id"), part(event, "event"), data)
    };
    events.map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_watched_live_from_any_host() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), 1_500);
    for database in databases().await {
        let name = database.name();
        let options = || Options::default().root("library", folder.path()).arg("--page-items").arg("25");
        let server = options().start(database).await;
        let other = options().beside(&server).start(Database::Sqlite).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        let run = server.start_sync(&source, json!({})).await;
        let events = watch(&other, &run, None).await;
        let (last, before) = events.split_last().unwrap();
        assert_eq!((last.1.as_str(), &last.2["run"]["status"]), ("done", &json!("succeeded")), "{name}: {last:?}");
        assert_eq!(last.2["done"], 1_500, "{name}: {last:?}");
        let live: Vec<_> = before.iter().filter(|event| event.2["run"]["status"] == "running").collect();
        assert!(!live.is_empty(), "{name}: {events:?}");
        assert!(before.iter().all(|event| event.1 == "state"), "{name}");
        let done: Vec<_> = events.iter().map(|event| event.2["done"].as_u64().unwrap()).collect();
        assert!(done.is_sorted(), "{name}: {done:?}");
        let mut ids: Vec<_> = events.iter().map(|event| &event.0).collect();
        ids.dedup();
        assert_eq!(ids.len(), events.len(), "{name}: each state once");

        // One that is over says so and ends.
        let again = watch(&server, &run, Some(&last.0)).await;
        assert_eq!((again.len(), again[0].1.as_str()), (1, "done"), "{name}");
        let history = server.get(&run).await.ok();
        assert!(history["duration_ms"].as_i64().unwrap() > 0, "{name}: {history}");
        assert_eq!((&history["pages"], &history["config_revision"]), (&json!(61), &json!(1)), "{name}: {history}");
        let found = server.get(&format!("{source}/runs?status=succeeded&kind=sync")).await.ok();
        assert_eq!(found["items"].as_array().unwrap().len(), 1, "{name}");
        let found = server.get(&format!("{source}/runs?status=failed")).await.ok();
        assert!(found["items"].as_array().unwrap().is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_cancelled_within_a_second_wherever_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), 4_000);
    for database in databases().await {
        let name = database.name();
        let options = || Options::default().root("library", folder.path()).arg("--page-items").arg("10");
        let server = options().start(database).await;
        let other = options().beside(&server).start(Database::Sqlite).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        let run = server.start_sync(&source, json!({})).await;
        while server.get(&run).await.ok()["status"] != "running" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let asked = Instant::now();
        other.post(&format!("{run}/cancel"), json!({})).await.expect(202);
        other.post(&format!("{run}/cancel"), json!({})).await.expect(202);
        while server.get(&run).await.ok()["status"] != "cancelled" {
            assert!(asked.elapsed() < Duration::from_secs(1), "{name}: {}", server.get(&run).await.ok());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_what_the_sync_then_does() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        library(folder.path(), 10);
        let server = Options::default().root("library", folder.path()).start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        server.sync(&source).await;
        let before = server.documents(&workspace).await;
        write(folder.path(), "0001.md", "# Changed\n\nOtherwise.\n");
        write(folder.path(), "new.md", "# New\n\nHello.\n");
        fs::remove_file(folder.path().join("0002.md")).unwrap();

        let queued = server.post(&format!("{source}/dry-run"), json!({})).await.expect(202);
        let dry = format!("{source}/runs/{}", text(&queued["run_id"]));
        let run = server.finished(&dry).await;
        assert_eq!((&run["status"], &run["position"]), (&json!("succeeded"), &json!(null)), "{name}: {run}");
        let listed = server.get(&format!("{dry}/changes?limit=2")).await.ok();
        let rest = server.get(&format!("{dry}/changes?cursor={}", text(&listed["next_cursor"]))).await.ok();
        let all = listed["items"].as_array().unwrap().iter().chain(rest["items"].as_array().unwrap());
        let mut all: Vec<_> =
            all.map(|it| (text(&it["change"]), text(&it["external_id"]), text(&it["title"]))).collect();
        all.sort();
        let expected =
            [("add", "new.md", "New"), ("delete", "0002.md", "Document 2"), ("update", "0001.md", "Changed")];
        assert_eq!(all, expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())), "{name}");
        assert_eq!(server.documents(&workspace).await, before, "{name}: nothing was committed");

        let real = server.sync(&source).await;
        assert_eq!(real["counts"], run["counts"], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn held_deletions_are_looked_at_and_approved_or_dismissed() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        library(folder.path(), 100);
        let server = Options::default().root("library", folder.path()).start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        server.sync(&source).await;
        let healthy = server.get(&source).await.ok();
        assert_eq!((&healthy["health"], &healthy["health_reason"]), (&json!("healthy"), &json!(null)), "{name}");
        assert!(healthy["last_success_at"].is_string() && healthy["last_change_at"].is_string(), "{name}: {healthy}");
        let remove = || (0..60).for_each(|n| fs::remove_file(folder.path().join(format!("{n:04}.md"))).unwrap());
        for decision in ["dismiss", "approve"] {
            remove();
            let run = server.sync(&source).await;
            assert_eq!(run["error"]["code"], "deletions_held", "{name}: {run}");
            let sick = server.get(&source).await.ok();
            let reason = (&sick["health"], &sick["health_reason"]["code"]);
            assert_eq!(reason, (&json!("needs_attention"), &json!("deletions_held")), "{name}: {sick}");
            let held = server.get(&format!("{source}/held-deletions?limit=1")).await.ok();
            assert_eq!(
                (&held["held"], &held["of"], &held["run_id"]),
                (&json!(60), &json!(100), &run["id"]),
                "{name}: {held}"
            );
            let next = text(&held["next_cursor"]);
            let rest = server.get(&format!("{source}/held-deletions?limit=100&cursor={next}")).await.ok();
            assert_eq!(rest["items"].as_array().unwrap().len(), 59, "{name}");
            assert_eq!(server.documents(&workspace).await.len(), 100, "{name}: nothing is gone yet");

            let decide = format!("{source}/held-deletions/{}/{decision}", text(&run["id"]));
            if decision == "dismiss" {
                server.post(&decide, json!({ "note": "" })).await.problem(422, "invalid_body");
                server.post(&decide, json!({ "note": "The share was offline." })).await.expect(204);
            } else {
                let done = server.post(&decide, json!({})).await.ok();
                assert_eq!((&done["deleted"], &done["kept"]), (&json!(60), &json!(0)), "{name}: {done}");
            }
            server.post(&decide, json!({ "note": "again" })).await.problem(409, "nothing_held");
            let calm = server.get(&source).await.ok();
            assert_eq!((&calm["health"], &calm["health_reason"]), (&json!("healthy"), &json!(null)), "{name}: {calm}");
            if decision == "dismiss" {
                let again = server.sync(&source).await;
                assert_eq!((&again["status"], &again["error"]), (&json!("succeeded"), &json!(null)), "{name}: {again}");
                assert_eq!(server.get(&source).await.ok()["health"], "healthy", "{name}: it was decided");
                assert_eq!(server.documents(&workspace).await.len(), 100, "{name}: and they stay");
                // Found again and gone again is another matter.
                library(folder.path(), 100);
                server.sync(&source).await;
            }
        }
        assert_eq!(server.documents(&workspace).await.len(), 40, "{name}");

        let guard = format!("{source}/deletion-guard");
        assert_eq!(server.get(&guard).await.ok(), json!({ "max_percent": 20, "max_items": 50 }), "{name}");
        let strict = server.request(Method::PUT, &guard).json(&json!({ "max_percent": 0, "max_items": 0 }));
        tributary_tests::server::Answer::of(strict).await.ok();
        fs::remove_file(folder.path().join("0099.md")).unwrap();
        assert_eq!(server.sync(&source).await["error"]["code"], "deletions_held", "{name}: even one is held now");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_items_are_listed_and_retried() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        library(folder.path(), 3);
        for n in 0..3 {
            write(folder.path(), &format!("bad-{n}.md"), &"long ".repeat(2_000));
        }
        let server = Options::default().root("library", folder.path()).start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library", "max_file": 1_000 })).await;
        let run = server.sync(&source).await;
        assert_eq!((&run["status"], &run["counts"]["failed"]), (&json!("partial"), &json!(3)), "{name}: {run}");
        let this = format!("{source}/runs/{}", text(&run["id"]));
        let first = server.get(&format!("{this}/failed-items?limit=2")).await.ok();
        assert_eq!(first["items"].as_array().unwrap().len(), 2, "{name}: {first}");
        let rest = server.get(&format!("{this}/failed-items?cursor={}", text(&first["next_cursor"]))).await.ok();
        assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (1, &json!(null)), "{name}");
        let degraded = server.get(&source).await.ok();
        assert_eq!(degraded["health_reason"]["code"], "items_failed", "{name}: {degraded}");

        for n in 0..3 {
            write(folder.path(), &format!("bad-{n}.md"), "Shorter.");
        }
        let queued = server.post(&format!("{this}/retry-failed"), json!({})).await.expect(202);
        let again = server.finished(&format!("{source}/runs/{}", text(&queued["run_id"]))).await;
        assert_eq!((&again["status"], &again["retry_of"]), (&json!("succeeded"), &run["id"]), "{name}: {again}");
        assert_eq!(again["counts"]["added"], 3, "{name}: {again}");
        let nothing = format!("{source}/runs/{}/retry-failed", text(&again["id"]));
        server.post(&nothing, json!({})).await.problem(409, "nothing_failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn search_finds_every_document_all_through_a_full_resync() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), 1_000);
    for database in databases().await {
        let name = database.name();
        let server =
            Options::default().root("library", folder.path()).arg("--page-items").arg("20").start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        let first = server.sync(&source).await;
        let query = |n: usize| json!({ "workspace_id": workspace, "query": format!("parcel {n}"), "min_position": first["position"] });
        server.post("/api/v1/knowledge/query", query(0)).await.ok();
        let before = server.documents(&workspace).await;
        let run = server.start_sync(&source, json!({ "full": true })).await;
        let (mut asked, mut running) = (0, 0);
        loop {
            let status = text(&server.get(&run).await.ok()["status"]);
            running += usize::from(status == "running");
            let n = asked * 37 % 1_000;
            let found = server.post("/api/v1/knowledge/query", query(n)).await.ok();
            let titles: Vec<_> = found["results"].as_array().unwrap().iter().map(|it| text(&it["title"])).collect();
            assert!(titles.contains(&format!("Document {n}")), "{name}: {n} is missing while {status}: {titles:?}");
            asked += 1;
            if status != "queued" && status != "running" {
                break;
            }
        }
        println!("{name}: {asked} queries, {running} of them while it ran");
        assert!(running > 0, "{name}: the resync was over before it could be watched");
        let run = server.finished(&run).await;
        assert_eq!(
            (&run["counts"]["unchanged"], &run["counts"]["deleted"]),
            (&json!(1_000), &json!(0)),
            "{name}: {run}"
        );
        assert_eq!(server.documents(&workspace).await, before, "{name}: updated in place, nothing new");
    }
}
