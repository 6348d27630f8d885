//! `tributary plugin inspect`, `check`, `run` and `test` with the file connector, and with a component that misbehaves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tributary_tests::server::binary;

fn component(name: &str) -> PathBuf {
    let target = binary().parent().and_then(Path::parent).expect("the binary is in target/debug").to_path_buf();
    let path = target.join("wasm32-wasip2/component").join(name).with_extension("wasm");
    assert!(path.is_file(), "{} is missing: cargo xtask plugins --all", path.display());
    path
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("plugin").args(args).current_dir(folder).env("XDG_CACHE_HOME", folder.join("cache"));
    command
}

fn plugin(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("it can be started")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder with two files in `docs`, and the file connector.
fn files() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("docs")).expect("a folder");
    fs::write(folder.path().join("docs/a.md"), "# Returns\n\nSend it back within 30 days.").expect("a file");
    fs::write(folder.path().join("docs/b.txt"), "We ship on Mondays.").expect("a file");
    (folder, component("tributary_plugin_file").display().to_string())
}

const CONFIG: [&str; 4] = ["--config", r#"{"root":"docs"}"#, "--root", "docs=docs"];

fn with<'a>(args: &[&'a str]) -> Vec<&'a str> {
    args.iter().copied().chain(CONFIG).collect()
}

#[test]
fn a_component_is_shown_with_what_it_wants() {
    let (folder, wasm) = files();
    let shown = out(&plugin(folder.path(), &["inspect", &wasm]));
    for part in [
        "kind      connector",
        "id        file",
        "digest",
        "roots     what the configuration says at /root",
        "required",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let shown: Value =
        serde_json::from_slice(&plugin(folder.path(), &["inspect", "--json", &wasm]).stdout).expect("JSON");
    assert_eq!((&shown["kind"], &shown["descriptor"]["hosts"]), (&json!("connector"), &json!([])));
    let broken = folder.path().join("broken.wasm");
    fs::write(&broken, "not wasm").expect("a file");
    let refused = plugin(folder.path(), &["inspect", "broken.wasm"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).starts_with("tributary: broken.wasm"), "{}", err(&refused));
}

#[test]
fn a_configuration_is_checked_before_anything_is_read() {
    let (folder, wasm) = files();
    let fine = plugin(folder.path(), &with(&["check", &wasm]));
    assert!(fine.status.success() && out(&fine).contains("ok       root \"docs\" can be read"), "{}", out(&fine));
    for (args, said) in [
        (vec!["check", &wasm, "--config", "{}"], "\"root\" is a required property"),
        (vec!["check", &wasm, "--config", "{\"root\":\"docs\"}"], "grant it with --root docs=PATH"),
        (vec!["check", &wasm, "--config", "nowhere.json"], "the configuration nowhere.json cannot be read"),
        (vec!["check", &wasm, "--root", "docs=nowhere"], "nowhere is not a folder"),
    ] {
        let refused = plugin(folder.path(), &args);
        assert!(!refused.status.success() && err(&refused).contains(said), "{said} is not in {}", err(&refused));
    }
}

#[test]
fn a_second_run_reads_only_what_changed() {
    let (folder, wasm) = files();
    let run = |more: &[&str]| {
        let mut args = with(&["run", &wasm, "--state", "state.json", "--json"]);
        args.extend(more);
        let output = plugin(folder.path(), &args);
        assert!(output.status.success(), "{}", err(&output));
        let lines: Vec<Value> = out(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let summary = lines.last().expect("a summary")["summary"].clone();
        (lines, summary)
    };
    let (lines, summary) = run(&[]);
    assert_eq!(lines[0]["document"]["external_id"], "a.md");
    assert!(lines[0]["document"]["text"].as_str().is_some_and(|text| text.contains("30 days")), "{}", lines[0]);
    assert_eq!((&summary["added"], &summary["exhaustive"], &summary["pages"]), (&json!(2), &json!(true), &json!(1)));

    fs::write(folder.path().join("docs/b.txt"), "We ship on Tuesdays and Mondays.").expect("a file");
    let (lines, summary) = run(&[]);
    assert_eq!(lines[0], json!({"unchanged": "a.md"}));
    assert_eq!((&summary["changed"], &summary["unchanged"]), (&json!(1), &json!(1)));

    fs::remove_file(folder.path().join("docs/a.md")).expect("it is there");
    let (_, summary) = run(&[]);
    assert_eq!((&summary["deleted"], &summary["documents"]), (&json!(["a.md"]), &json!(1)));
    let (_, summary) = run(&["--full"]);
    assert_eq!((&summary["changed"], &summary["unchanged"]), (&json!(1), &json!(0)));
}

#[test]
fn an_item_that_cannot_be_read_makes_the_run_fail_and_is_named() {
    let (folder, wasm) = files();
    let config = r#"{"root":"docs","max_file":20}"#;
    let output = plugin(folder.path(), &["run", &wasm, "--config", config, "--root", "docs=docs"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("! a.md  too_large/"), "{}", out(&output));
    assert!(err(&output).contains("1 item could not be read"), "{}", err(&output));
}

#[test]
fn files_are_shown_as_the_servers_extractor_reads_them() {
    let (folder, wasm) = files();
    let html = "<title>Warranty</title><p>Two <b>years</b></p><script>no()</script>";
    fs::write(folder.path().join("docs/c.html"), html).expect("a file");
    fs::write(folder.path().join("docs/d.pdf"), "not a PDF").expect("a file");
    let config = r#"{"root":"docs","include":["*.html","*.pdf"]}"#;
    let output = plugin(folder.path(), &["run", &wasm, "--extract", "--config", config, "--root", "docs=docs"]);
    let shown = out(&output);
    assert!(shown.contains("+ c.html  [page]  \"Warranty\"") && shown.contains("Two years"), "{shown}{}", err(&output));
    assert!(shown.contains("! d.pdf  source_contract/damaged"), "{shown}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_run_stops_after_as_many_documents_as_were_asked_for() {
    let (folder, wasm) = files();
    let output = plugin(folder.path(), &with(&["run", &wasm, "--limit", "1"]));
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(out(&output).lines().filter(|line| line.starts_with('+')).count(), 1, "{}", out(&output));
}

#[test]
fn a_component_that_misbehaves_is_ended_and_the_command_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wasm = component("tributary_misbehaving").display().to_string();
    let started = Instant::now();
    let output = plugin(folder.path(), &["run", &wasm, "--config", r#"{"do":"panic"}"#]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert!(err(&output).contains("trap/"), "{}", err(&output));
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_run_that_watches_reads_again_after_a_change_and_ends_when_it_is_interrupted() {
    let (folder, wasm) = files();
    let copy = folder.path().join("copy.wasm");
    fs::copy(&wasm, &copy).expect("a copy");
    let log = folder.path().join("out.txt");
    let file = fs::File::create(&log).expect("a file");
    let mut child = command(folder.path(), &with(&["run", "copy.wasm", "--watch", "--json"]));
    let mut child = child.stdout(file).spawn().expect("it can be started");
    let summaries = || fs::read_to_string(&log).unwrap_or_default().matches("\"summary\"").count();
    let wait = |count: usize| {
        let started = Instant::now();
        while summaries() < count {
            assert!(started.elapsed() < Duration::from_secs(60), "waited a minute for run {count}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait(1);
    // A touch is a change.
    let touched = fs::File::options().append(true).open(&copy).expect("the copy");
    touched.set_modified(std::time::SystemTime::now() + Duration::from_secs(5)).expect("its time can be set");
    wait(2);
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(interrupted.success());
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn the_file_connectors_scenarios_hold_in_the_sandbox_as_they_do_natively() {
    let (folder, wasm) = files();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/file/tests/scenarios");
    let scenarios = scenarios.display().to_string();
    let played = plugin(folder.path(), &["test", "--component", &wasm, "--scenarios", &scenarios, "--conformance"]);
    assert!(played.status.success(), "{}\n{}", out(&played), err(&played));
    assert!(out(&played).contains("0 failed"), "{}", out(&played));

    let wrong = folder.path().join("wrong");
    fs::create_dir(&wrong).expect("a folder");
    let scenario = json!({"config": {"root": "docs"}, "files": {"docs": {"a.md": "# One"}}, "expect": {"documents": {"b.md": {}}}});
    fs::write(wrong.join("wrong.json"), scenario.to_string()).expect("a file");
    let played = plugin(folder.path(), &["test", "--component", &wasm, "--scenarios", "wrong"]);
    assert_eq!(played.status.code(), Some(1));
    assert!(
        out(&played).contains("FAIL  wrong\n      the document b.md is not there; there are a.md"),
        "{}",
        out(&played)
    );
}

#[test]
fn a_scenario_that_a_component_traps_in_fails_and_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wasm = component("tributary_misbehaving").display().to_string();
    for (name, expect) in [("bad", json!({})), ("known", json!({"failure": "trap"}))] {
        let scenario = json!({"config": {"do": "panic"}, "expect": expect});
        fs::write(folder.path().join(name).with_extension("json"), scenario.to_string()).expect("a file");
    }
    let played = plugin(folder.path(), &["test", "--component", &wasm, "--scenarios", "."]);
    assert_eq!(played.status.code(), Some(1));
    let shown = out(&played);
    assert!(shown.contains("FAIL  bad\n      the run failed with trap/") && shown.contains("ok    known"), "{shown}");
}

#[test]
fn the_doctor_says_what_is_missing_and_what_to_do() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let rustc = folder.path().join("rustc");
    // An old compiler whose targets have no standard library.
    fs::write(&rustc, "#!/bin/sh\ncase $1 in --version) echo 'rustc 1.70.0 (old)' ;; *) echo /nowhere ;; esac\n")
        .expect("a file");
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let mut doctor = command(folder.path(), &["doctor", "--check"]);
    let output = doctor.env("RUSTC", &rustc).env("CARGO", "/nowhere/cargo").output().expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    let shown = out(&output);
    for part in ["https://rustup.rs", "rustup update (at least 1.", "rustup target add wasm32-wasip2"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(err(&output).contains("3 of 3 missing"), "{}", err(&output));
}
