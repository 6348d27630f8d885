//! `cargo xtask run --demo`: a workspace over this project's own documentation, synced and asked a question, over the
//! public API and nothing else.

use std::{
    fs,
    io::{IsTerminal, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    api::{Api, text},
    process::{check_interrupted, step},
    scratch,
};

const QUESTION: &str = "Why is SQLite the default database, and when should I use PostgreSQL?";
const POLL: Duration = Duration::from_millis(200);

/// The first administrator, whose password this command has to know to log in.
pub(crate) struct Admin {
    email: String,
    password: String,
}

impl Admin {
    const EMAIL: &'static str = "TRIBUTARY_ADMIN_EMAIL";
    const PASSWORD: &'static str = "TRIBUTARY_ADMIN_PASSWORD";
    const FILE: &'static str = "demo-admin.json";

    /// From the environment, else what an earlier demo on this data directory has kept, else new and kept.
    pub(crate) fn load_or_create(data_dir: &Path) -> Result<Self> {
        if let (Ok(email), Ok(password)) = (std::env::var(Self::EMAIL), std::env::var(Self::PASSWORD)) {
            return Ok(Self { email, password });
        }
        let path = data_dir.join(Self::FILE);
        if let Ok(kept) = fs::read_to_string(&path) {
            let kept: Value = serde_json::from_str(&kept).with_context(|| format!("{} is damaged", path.display()))?;
            return Ok(Self { email: text(&kept, "email")?.into(), password: text(&kept, "password")?.into() });
        }
        let admin = Self { email: "admin@example.com".into(), password: scratch::random_word()? };
        scratch::write_private(&path, &json!({"email": admin.email, "password": admin.password}).to_string())?;
        Ok(admin)
    }

    /// What the server reads on its first start.
    pub(crate) fn env(&self) -> [(&'static str, &str); 2] {
        [(Self::EMAIL, &self.email), (Self::PASSWORD, &self.password)]
    }
}

/// Plays the demo against a running server that has this project's `docs/` as its root `docs`.
pub(crate) fn play(api: &mut Api, admin: &Admin) -> Result<()> {
    log_in(api, admin)?;
    let workspace = find_or_create(api, "/api/v1/workspaces", &json!({"name": "Demo"}))?;
    let sources = format!("/api/v1/workspaces/{workspace}/sources");
    let config = json!({"root": "docs", "include": ["**/*.md"]});
    let source =
        find_or_create(api, &sources, &json!({"name": "Documentation", "connector": "file", "config": config}))?;
    let position = sync(api, &format!("{sources}/{source}"))?;
    wait_for_index(api, &workspace, &position)?;
    ask(api, &workspace)
}

fn log_in(api: &mut Api, admin: &Admin) -> Result<()> {
    let credentials = json!({"email": admin.email, "password": admin.password});
    let reply = api.try_post("/api/v1/auth/login", &credentials)?;
    if reply.status == 401 {
        bail!(
            "this data directory already has an administrator whose password the demo does not know: set {} and {}, or \
             use another directory with `cargo xtask run --demo --data-dir DIR`",
            Admin::EMAIL,
            Admin::PASSWORD
        );
    }
    let session = reply.expect_success("/api/v1/auth/login")?;
    api.authenticate(text(&session, "access_token")?.into());
    Ok(())
}

/// The id of what has this name in the collection, created when nothing has.
fn find_or_create(api: &Api, collection: &str, wanted: &Value) -> Result<String> {
    let list = api.get(collection)?;
    let items = list["items"].as_array().map_or(&[][..], Vec::as_slice);
    let found = match items.iter().find(|item| item["name"] == wanted["name"]) {
        Some(item) => item.clone(),
        None => api.post(collection, wanted)?,
    };
    Ok(text(&found, "id")?.to_owned())
}

/// Syncs a source, showing how far it is. Returns the position its documents have in the index.
fn sync(api: &Api, source: &str) -> Result<Value> {
    step("syncing docs/");
    let reply = api.try_post(&format!("{source}/sync"), &json!({}))?;
    // 409 names the run that is under way already: watch that one.
    let run = if reply.status == 409 { reply.body } else { reply.expect_success("sync")? };
    let path = format!("{source}/runs/{}", text(&run, "run_id")?);
    let mut shown = String::new();
    loop {
        check_interrupted()?;
        let run = api.get(&path)?;
        let status = text(&run, "status")?;
        let line = progress(&run, status);
        if line != shown {
            show(&line);
            shown = line;
        }
        match status {
            "succeeded" | "partial" => {
                finish_line();
                report(&run["counts"], &run["failed_items"]);
                return Ok(run["position"].clone());
            }
            "failed" | "cancelled" => {
                finish_line();
                bail!("the sync {status}: {}", run["error"]["detail"].as_str().unwrap_or("no detail"));
            }
            _ => thread::sleep(POLL),
        }
    }
}

fn progress(run: &Value, status: &str) -> String {
    let progress = &run["progress"];
    match (progress["done"].as_u64(), progress["total"].as_u64()) {
        (Some(done), Some(total)) => {
            format!("    {status}: {done} of {total} {}", progress["phase"].as_str().unwrap_or(""))
        }
        (Some(done), None) => format!("    {status}: {done} {}", progress["phase"].as_str().unwrap_or("")),
        _ => format!("    {status}"),
    }
}

/// One line that changes in a terminal, lines that follow each other elsewhere.
fn show(line: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[2K{line}");
        let _ = std::io::stderr().flush();
    } else {
        eprintln!("{line}");
    }
}

fn finish_line() {
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
}

fn report(counts: &Value, failed: &Value) {
    let names = ["added", "updated", "unchanged", "deleted", "failed"];
    let counts = names.map(|name| format!("{} {name}", counts[name].as_u64().unwrap_or(0)));
    eprintln!("    {}", counts.join(", "));
    for item in failed.as_array().map_or(&[][..], Vec::as_slice) {
        eprintln!(
            "    failed: {}: {}",
            item["external_id"].as_str().unwrap_or("?"),
            item["message"].as_str().unwrap_or("")
        );
    }
}

/// The index follows the database by itself; a query that names a position waits for it.
fn wait_for_index(api: &Api, workspace: &str, position: &Value) -> Result<()> {
    let query = json!({"workspace_id": workspace, "query": QUESTION, "top_k": 1, "min_position": position});
    let started = Instant::now();
    while let Err(error) = api.post("/api/v1/knowledge/query", &query) {
        check_interrupted()?;
        if started.elapsed() > Duration::from_secs(30) {
            return Err(error.context("the index did not catch up with the sync"));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn ask(api: &Api, workspace: &str) -> Result<()> {
    step(&format!("asking: {QUESTION}"));
    let answer = api.post("/api/v1/chat", &json!({"workspace_id": workspace, "message": QUESTION}))?;
    println!("\n{}\n", text(&answer, "answer")?.trim());
    for citation in answer["citations"].as_array().map_or(&[][..], Vec::as_slice) {
        let section = citation["section"].as_array().map_or(&[][..], Vec::as_slice);
        let place = section.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" > ");
        println!("[{}] {}  {place}", citation["number"], citation["title"].as_str().unwrap_or("untitled"));
        println!(
            "    {} (version {}), from source {}, run {}, connector {} {}",
            citation["external_id"].as_str().unwrap_or("?"),
            citation["document_version"],
            citation["source"]["name"].as_str().unwrap_or("?"),
            citation["run_id"].as_str().unwrap_or("?"),
            citation["connector"]["id"].as_str().unwrap_or("?"),
            citation["connector"]["version"].as_str().unwrap_or("?"),
        );
    }
    println!();
    Ok(())
}
