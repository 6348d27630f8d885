//! `/metrics` as Prometheus meets it: closed, well-formed, and with the numbers of what happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use reqwest::{Method, StatusCode};
use serde_json::json;
use tributary_tests::{
    Database, Server, databases, eventually,
    server::{Answer, Options, text},
};

const TOKEN: &str = "a token for Prometheus alone";
/// In a title, a text and a file name; never in a metric.
const CANARY: &str = "K7QCANARY";

fn library(folder: &Path) {
    for number in 0..3 {
        let text = format!("# {CANARY} {number}\n\nText {CANARY}.\n");
        std::fs::write(folder.join(format!("{CANARY}-{number}.md")), text).expect("a file");
    }
}

/// One line of a scrape.
#[derive(Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads `name{label="value",…} number` by the grammar of the exposition format, or fails.
/// <https://prometheus.io/docs/specs/om/open_metrics_spec/#abnf>
fn series(line: &str) -> Series {
    let is_name = |name: &str| {
        let rest = name.strip_prefix(|c: char| c.is_ascii_alphabetic() || c == '_');
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
            assert!(is_name(label), "{line}");
            let mut value = String::new();
            let mut characters = quoted.char_indices();
            let after = loop {
                match characters.next().unwrap_or_else(|| panic!("no end of a value: {line}")) {
                    (at, '"') => break at + 1,
                    (_, '\\') => match characters.next() {
                        Some((_, 'n')) => value.push('\n'),
                        Some((_, c @ ('"' | '\\'))) => value.push(c),
                        other => panic!("escaped {other:?}: {line}"),
                    },
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(label.to_owned(), value).is_none(), "a label comes once: {line}");
            rest = &quoted[after..];
            assert!(rest.starts_with([',', '}']), "{line}");
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"));
    Series { name: name.to_owned(), labels, value }
}

/// What the server says: well-formed to the last line, no series twice, and of each metric what it is.
async fn scrape(server: &Server) -> (String, Vec<Series>) {
    let response =
        server.anonymous(Method::GET, "/metrics").bearer_auth(TOKEN).send().await.expect("the server answers");
    assert_eq!(response.status(), StatusCode::OK);
    let media_type = response.headers()["content-type"].to_str().expect("a media type").to_owned();
    assert!(media_type.starts_with("application/openmetrics-text; version=1.0.0"), "{media_type}");
    let text = response.text().await.expect("text");
    let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("the end is missing: {text}"));
    let (mut all, mut types, mut seen) = (Vec::new(), BTreeMap::new(), BTreeSet::new());
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let words: Vec<_> = comment.splitn(3, ' ').collect();
            assert!(matches!(words[0], "HELP" | "TYPE"), "{line}");
            if words[0] == "TYPE" {
                assert_eq!(types.insert(words[1].to_owned(), words[2].to_owned()), None, "{line}");
            }
            continue;
        }
        let series = series(line);
        assert!(seen.insert((series.name.clone(), series.labels.clone())), "twice: {line}");
        let kind = |suffix: &str| types.get(series.name.strip_suffix(suffix)?).map(String::as_str);
        let histogram = ["_bucket", "_sum", "_count"].iter().any(|suffix| kind(suffix) == Some("histogram"));
        assert!(histogram || kind("_total") == Some("counter") || kind("") == Some("gauge"), "of no type: {line}");
        all.push(series);
    }
    (text, all)
}

/// The only series of this name with these labels.
fn number(scrape: &[Series], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |series: &Series, (label, value): &(&str, &str)| series.labels.get(*label).is_some_and(|it| it == value);
    let found: Vec<_> =
        scrape.iter().filter(|it| it.name == name && labels.iter().all(|label| has(it, label))).collect();
    assert!(found.len() <= 1, "{name} {labels:?}: {found:?}");
    found.first().map(|series| series.value)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_is_no_such_address() {
    let server = Server::start(Database::Sqlite).await;
    Answer::of(server.anonymous(Method::GET, "/metrics")).await.problem(404, "not_found");
    server.get("/metrics").await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_the_token_alone_and_are_those_of_what_happened() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().expect("a temporary directory");
        library(folder.path());
        let server =
            Options::default().root("library", folder.path()).arg("--metrics-token").arg(TOKEN).start(database).await;
        Answer::of(server.anonymous(Method::GET, "/metrics")).await.problem(401, "unauthenticated");
        server.get("/metrics").await.problem(401, "unauthenticated");
        let wrong = server.anonymous(Method::GET, "/metrics").bearer_auth(&TOKEN[1..]);
        Answer::of(wrong).await.problem(401, "unauthenticated");

        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        let run = server.sync(&source).await;
        assert_eq!(run["status"], "succeeded", "{name}: {run}");
        let guess = json!({ "email": "nobody@example.com", "password": "a wrong password" });
        Answer::of(server.anonymous(Method::POST, "/api/v1/auth/login").json(&guess)).await.expect(401);
        let config = json!({ "name": "Resting", "connector": "file", "config": { "root": "library" } });
        let sources = format!("/api/v1/workspaces/{workspace}/sources");
        let resting = text(&server.post(&sources, config).await.expect(201)["id"]);
        server.post(&format!("{sources}/{resting}/pause"), json!({ "note": "Until Friday" })).await.ok();

        let id = source.rsplit('/').next().expect("an id");
        let of = [("source", id), ("connector", "file")];
        let with = |label, value| [of[0], of[1], (label, value)];
        // The run's end can be read a moment before the host has counted it.
        let (text, scrape) = eventually("the run to be counted", async || {
            let (text, scrape) = scrape(&server).await;
            number(&scrape, "tributary_runs_total", &with("outcome", "succeeded")).is_some().then_some((text, scrape))
        })
        .await;
        let is = |name: &str, labels: &[(&str, &str)], expected: f64| {
            assert_eq!(number(&scrape, name, labels), Some(expected), "{name} {labels:?} in\n{text}");
        };
        is("tributary_runs_total", &with("outcome", "succeeded"), 1.0);
        for (change, count) in [("added", 3.0), ("updated", 0.0), ("deleted", 0.0), ("failed", 0.0)] {
            is("tributary_run_documents_total", &with("change", change), count);
        }
        is("tributary_run_bytes_total", &of, run["bytes"].as_f64().expect("bytes"));
        is("tributary_run_requests_total", &of, run["requests"].as_f64().expect("requests"));
        is("tributary_source_documents", &of, 3.0);
        is("tributary_source_held_deletions", &of, 0.0);
        is("tributary_source_lag_seconds", &of, 0.0);
        let age_s = number(&scrape, "tributary_source_last_success_age_seconds", &of);
        assert!(age_s.is_some_and(|age_s| (0.0..60.0).contains(&age_s)), "{text}");
        for state in ["healthy", "degraded", "failing", "needs_attention", "paused"] {
            is("tributary_source_health", &with("state", state), (state == "healthy").into());
            let labels = [("source", resting.as_str()), ("state", state)];
            is("tributary_source_health", &labels, (state == "paused").into());
        }
        assert_eq!(number(&scrape, "tributary_source_last_success_age_seconds", &[("source", &resting)]), None);
        is("tributary_sandbox_calls_total", &[("component", "file"), ("outcome", "ok")], 1.0);
        is("tributary_sandbox_calls_total", &[("component", "extractor"), ("outcome", "ok")], 3.0);
        is("tributary_job_pickup_seconds_count", &[("kind", "sync")], 1.0);
        is("tributary_run_seconds_count", &[("outcome", "succeeded")], 1.0);
        is("tributary_log_ins_refused_total", &[("reason", "wrong_credentials")], 1.0);
        is("tributary_database_up", &[], 1.0);
        is("tributary_event_streams", &[], 0.0);
        assert!(number(&scrape, "tributary_index_lag_commits", &[("workspace", &workspace)]).is_some(), "{text}");
        let route = "/api/v1/workspaces/{workspace_id}/sources";
        is("tributary_http_requests_total", &[("route", route), ("method", "POST"), ("status", "2xx")], 2.0);
        is("tributary_http_requests_total", &[("route", "/metrics"), ("method", "GET"), ("status", "4xx")], 3.0);
        assert!(!text.contains(CANARY), "{name}: what a source holds is in no metric");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_can_be_guessed_is_refused_at_the_start() {
    let output = std::process::Command::new(tributary_tests::server::binary())
        .args(["serve", "--metrics-token", "short"])
        .output()
        .expect("the server starts");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("metrics_token must be at least 16 characters long"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_extracted_once_however_often_it_is_synced() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().expect("a temporary directory");
        library(folder.path());
        let server =
            Options::default().root("library", folder.path()).arg("--metrics-token").arg(TOKEN).start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        let sync = async |full: bool| {
            let started = server.start_sync(&source, json!({ "full": full })).await;
            let run = server.finished(&started).await;
            let extracted =
                number(&scrape(&server).await.1, "tributary_sandbox_calls_total", &[("component", "extractor")]);
            let counts = &run["counts"];
            let [added, updated, unchanged, deleted, failed] =
                ["added", "updated", "unchanged", "deleted", "failed"].map(|of| counts[of].as_i64().expect("a count"));
            (((added, updated, unchanged, deleted, failed), extracted), run["position"].clone())
        };
        assert_eq!(sync(false).await.0, ((3, 0, 0, 0, 0), Some(3.0)), "{name}");
        assert_eq!(sync(true).await.0, ((0, 0, 3, 0, 0), Some(3.0)), "{name}: read again, and the same");

        // Moved: the same file is another document.
        let file = folder.path().join(format!("{CANARY}-0.md"));
        let moved = folder.path().join("moved").join(format!("{CANARY}-0.md"));
        std::fs::create_dir(folder.path().join("moved")).expect("a folder");
        std::fs::rename(&file, &moved).expect("moved");
        let (seen, position) = sync(false).await;
        assert_eq!(seen, ((1, 0, 2, 1, 0), Some(3.0)), "{name}");
        let query = json!({ "workspace_id": workspace, "query": format!("{CANARY} 0"), "min_position": position });
        let found = server.post("/api/v1/knowledge/query", query).await.ok();
        let of_moved = found["results"]
            .as_array()
            .expect("results")
            .iter()
            .find(|it| text(&it["external_id"]).starts_with("moved/"));
        assert_eq!(
            of_moved.expect("the moved file is found")["citation"]["section"],
            json!([format!("{CANARY} 0")]),
            "{name}"
        );

        std::fs::write(&moved, "# Another text\n\nIt was changed.\n").expect("a file");
        assert_eq!(sync(true).await.0, ((0, 1, 2, 0, 0), Some(4.0)), "{name}: only what changed");
    }
}
