//! Connectors that are not written in Rust: the examples in Python and JavaScript, built with their own tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use serde_json::{Value, json};
use tributary_fakes::{Answer, Request, serve};
use tributary_tests::server::binary;

const EXAMPLES: [(&str, &str); 2] = [("python", "connector.py"), ("javascript", "connector.js")];

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the checkout")
}

fn read(path: &str) -> String {
    fs::read_to_string(checkout().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn well(command: &mut Command) -> String {
    let output = command.output().expect("it can be started");
    assert!(output.status.success(), "{command:?}: {}", text(&output));
    text(&output)
}

/// The API that the examples read: three articles, for who has the token.
fn articles(request: &Request) -> Answer {
    if request.header("authorization") != Some("Bearer s3cret") {
        return Answer::status(401);
    }
    let article = |id: u32| json!({"id": id, "title": format!("Article {id}"), "text": "Grüße, 世界 🎈", "url": format!("https://example.com/{id}"), "updated_at": "2026-01-01"});
    match (request.path.as_str(), request.param("page")) {
        ("/articles", Some("1")) => Answer::json(&json!([article(1), article(2), article(3)])),
        _ => Answer::status(404),
    }
}

/// Built by the developer's own command, which leaves alone what has not changed.
fn components() -> PathBuf {
    let xtask = binary().with_file_name("xtask");
    assert!(xtask.is_file(), "{} is missing: cargo build -p xtask", xtask.display());
    well(Command::new(xtask).arg("examples").current_dir(checkout()));
    binary().parent().and_then(Path::parent).expect("the binary is in target/debug").join("examples-components")
}

/// A minute for each example where its tools must be installed and its component built and compiled; seconds afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn connectors_in_python_and_javascript_keep_the_contract() {
    if std::env::var_os("TRIBUTARY_TEST_FULL").is_none() {
        eprintln!("set TRIBUTARY_TEST_FULL=1 to build the examples in other languages");
        return;
    }
    let components = components();
    let api = serve(Arc::new(articles)).await;
    let config = json!({"base_url": api.url, "token": "help"}).to_string();
    for (name, _) in EXAMPLES {
        let component = components.join(name).with_extension("wasm").display().to_string();
        let example = checkout().join("plugins/examples").join(name);
        let plugin = |args: &[&str]| {
            let mut command = Command::new(binary());
            command.arg("plugin").args(args).current_dir(&example).env_remove("TRIBUTARY_EGRESS_NETWORKS");
            command.env("XDG_CACHE_HOME", components.join("compiled"));
            command
        };
        let source = |command: &str, token: &str, more: &[&str]| {
            let credential = format!("help=bearer:token={token}");
            let mut args = vec![command, &component, "--config", &config, "--credential", &credential];
            args.extend(["--egress-network", "127.0.0.0/8"]);
            args.extend(more);
            plugin(&args)
        };

        let played = well(&mut plugin(&["test", "--conformance", "--component", &component]));
        assert!(played.contains("3 passed, 0 failed"), "{name}: {played}");

        let checked = well(&mut source("check", "s3cret", &[]));
        assert!(checked.contains("ok       articles can be read"), "{name}: {checked}");
        let refused = source("check", "wrong", &[]).output().expect("it can be started");
        assert!(!refused.status.success() && text(&refused).contains("answered 401"), "{name}: {}", text(&refused));

        let read = well(&mut source("run", "s3cret", &["--json"]));
        let lines: Vec<Value> = read.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert_eq!(lines[0]["document"]["text"], "Grüße, 世界 🎈", "{name}: {read}");
        let summary = lines.iter().find_map(|line| line.get("summary")).expect("a summary");
        assert_eq!((&summary["added"], &summary["exhaustive"]), (&json!(3), &json!(true)), "{name}: {read}");
    }
}

#[test]
fn the_examples_must_do_what_the_connector_in_rust_must_do() {
    for scenario in ["articles.json", "refused.json"] {
        let in_rust = read(&format!("host/src/cli/plugin/template/scenarios/{scenario}"));
        for (name, _) in EXAMPLES {
            let in_example = read(&format!("plugins/examples/{name}/tests/scenarios/{scenario}"));
            assert_eq!(in_example, in_rust, "{scenario} of the example in {name}");
        }
    }
}

#[test]
fn the_page_shows_the_examples_as_they_are() {
    let page = read("docs/write-a-connector.md");
    for (name, file) in EXAMPLES {
        assert!(page.contains(&read(&format!("plugins/examples/{name}/{file}"))), "{file} is not what the page shows");
    }
}
