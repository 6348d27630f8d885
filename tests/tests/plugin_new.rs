//! From an empty folder to documents in the terminal, with nothing but the binary and a Rust toolchain.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use serde_json::{Value, json};
use tributary_fakes::{Answer, Request, serve};
use tributary_tests::server::binary;

fn checkout() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the checkout")
}

/// What is built here is kept between runs of the tests, beside everything else that is built.
fn target() -> PathBuf {
    binary().parent().and_then(Path::parent).expect("the binary is in target/debug").join("plugin-new")
}

/// Nothing is downloaded: the lock file is that of the workspace.
fn run(folder: &Path, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env("CARGO_TARGET_DIR", target()).env("CARGO_NET_OFFLINE", "true");
    command.env("CARGO_PROFILE_DEV_DEBUG", "0"); // half the time
    command.env("XDG_CACHE_HOME", target().join("cache")).env_remove("TRIBUTARY_EGRESS_NETWORKS");
    command.output().expect("it can be started")
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn well(output: Output) -> String {
    assert!(output.status.success(), "{}", text(&output));
    text(&output)
}

/// The API that the template reads: two articles a page, for who has the token.
fn articles(request: &Request) -> Answer {
    if request.header("authorization") != Some("Bearer s3cret") {
        return Answer::status(401);
    }
    let article = |id: u32, title: &str| json!({"id": id, "title": title, "text": format!("All about {title}."), "url": format!("https://example.com/{id}"), "updated_at": "2026-01-01"});
    match (request.path.as_str(), request.param("page")) {
        ("/v1/articles", Some("1")) => Answer::json(&json!([article(1, "Returns"), article(2, "Shipping")])),
        _ => Answer::status(404),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_begun_tested_built_and_run_with_the_binary_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tributary = binary();
    well(run(folder.path(), &tributary, &["plugin", "new", "my-shop"]));
    let again = run(folder.path(), &tributary, &["plugin", "new", "my-shop"]);
    assert!(!again.status.success() && text(&again).contains("my-shop is not empty; choose another name"));
    let project = folder.path().join("my-shop");
    fs::copy(checkout().join("Cargo.lock"), project.join("Cargo.lock")).expect("the lock file can be copied");

    well(run(&project, &tributary, &["plugin", "doctor"]));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tested = well(run(&project, cargo, &["test", "--offline"]));
    assert!(tested.contains("test scenarios ... ok") && tested.contains("test conformance ... ok"), "{tested}");

    let built = well(run(&project, &tributary, &["plugin", "build"]));
    assert!(built.contains("my_shop.wasm") && built.contains("digest"), "{built}");
    let played = well(run(&project, &tributary, &["plugin", "test", "--conformance"]));
    assert!(played.contains("3 passed, 0 failed"), "{played}");

    let api = serve(Arc::new(articles)).await;
    let config = json!({"base_url": format!("{}/v1", api.url), "token": "shop"}).to_string();
    let source = |rest: &[&str]| {
        let mut args = vec!["plugin"];
        args.extend(rest);
        args.extend([".", "--config", &config, "--egress-network", "127.0.0.0/8"]);
        run(&project, &tributary, &args)
    };
    let credential = ["--credential", "shop=bearer:token=s3cret"];
    let checked = well(source(&["check", credential[0], credential[1]]));
    assert!(checked.contains("ok       articles can be read"), "{checked}");
    let shown = well(source(&["run", credential[0], credential[1], "--state", "state.json"]));
    for part in [
        "+ 1  [article]  \"Returns\"",
        "All about Returns.",
        "2 documents: 2 added",
        "everything that exists was named",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let again = well(source(&["run", credential[0], credential[1], "--state", "state.json"]));
    assert!(again.contains("= 1  unchanged") && again.contains("0 added, 0 changed, 2 unchanged"), "{again}");

    let refused = source(&["run", "--credential", "shop=bearer:token=wrong"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
    assert!(text(&refused).contains("auth_invalid/unauthorized"), "{}", text(&refused));
    let mistyped = source(&["run", "--credential", "shop=s3cret"]);
    assert!(!mistyped.status.success() && !text(&mistyped).contains("s3cret"), "{}", text(&mistyped));
    let unnamed = source(&["run"]);
    assert!(text(&unnamed).contains("give it with --credential shop="), "{}", text(&unnamed));

    well(run(&project, &tributary, &["plugin", "pack"]));
    let manifest = fs::read(project.join("dist/my-shop-0.1.0.json")).expect("the manifest is there");
    let manifest: Value = serde_json::from_slice(&manifest).expect("it is JSON");
    let wasm = fs::metadata(project.join("dist/my-shop-0.1.0.wasm")).expect("the component is there");
    assert_eq!(manifest["size_bytes"], wasm.len());
    assert_eq!((&manifest["descriptor"]["id"], &manifest["kind"]), (&json!("my-shop"), &json!("connector")));
}
