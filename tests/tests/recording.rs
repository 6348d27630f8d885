//! A run is recorded and played again, offline, to the same component and to another.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tempfile::TempDir;
use tributary_fakes::{
    serve,
    woocommerce::{KEY, WooCommerce},
};
use tributary_tests::server::binary;

fn component(name: &str) -> String {
    let target = binary().parent().and_then(Path::parent).expect("the binary is in target/debug").to_path_buf();
    let path = target.join("wasm32-wasip2/component").join(name).with_extension("wasm");
    assert!(path.is_file(), "{} is missing: cargo xtask plugins --all", path.display());
    path.display().to_string()
}

/// `tributary …` in a folder: whether it went well, and all it printed.
fn tributary(folder: &Path, args: &[&str]) -> (bool, String) {
    let Output { status, stdout, stderr } = Command::new(binary())
        .args(args)
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .output()
        .expect("it can be started");
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

fn contents(recording: &Path) -> String {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(recording).expect("it is there")).read_to_string(&mut text).expect("text");
    text
}

fn shop_config(folder: &Path, url: &str) -> PathBuf {
    let (done, printed) =
        tributary(folder, &["recipe", "show", "woocommerce", "--set", "shop=shop.example", "--set", "currency=EUR"]);
    assert!(done, "{printed}");
    let mut config: Value = serde_json::from_str(&printed).expect("JSON");
    config["base_url"] = format!("{url}/wp-json/wc/v3").into();
    let path = folder.join("shop.json");
    fs::write(&path, config.to_string()).expect("a file");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_sync_of_a_shop_is_replayed_without_the_shop_and_holds_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let served = serve(Arc::new(WooCommerce::with_products(230))).await;
    let config = shop_config(folder.path(), &served.url).display().to_string();
    let api = component("tributary_plugin_api");
    let credential = format!("woocommerce=basic:user={},password={}", KEY.0, KEY.1);
    let run = ["plugin", "run", &api, "--config", &config, "--credential", &credential];
    let more = ["--egress-network", "127.0.0.0/8", "--record", "shop.rec"];
    let (done, printed) = tributary(folder.path(), &[run.as_slice(), &more].concat());
    assert!(done && printed.contains("recorded"), "{printed}");
    let text = contents(&folder.path().join("shop.rec"));
    assert!(text.contains("Product 77") && !text.contains(KEY.1), "the answers are in it, the key is not");
    drop(served);

    // The api connector is in the program: its digest finds it.
    let (done, printed) = tributary(folder.path(), &["sync", "replay", "shop.rec"]);
    assert!(done && printed.contains("byte for byte as recorded"), "{printed}");

    let (done, printed) = tributary(folder.path(), &["plugin", "diff", "shop.rec", &api]);
    assert!(done && printed.contains("0 new, 0 changed, 0 no longer named, 0 read again, "), "{printed}");
    let file = component("tributary_plugin_file");
    let (done, printed) = tributary(folder.path(), &["plugin", "diff", "shop.rec", &file]);
    assert!(!done && printed.contains("the recording is of api, the component is file"), "{printed}");

    let (done, printed) = tributary(folder.path(), &[run.as_slice(), &more].concat());
    assert!(!done && printed.contains("name a new file"), "{printed}");
}

fn library() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("docs")).expect("a folder");
    for number in 0..300 {
        fs::write(folder.path().join(format!("docs/{number}.md")), format!("# Page {number}\n\nText."))
            .expect("a file");
    }
    folder
}

#[test]
fn files_are_replayed_after_they_are_gone() {
    let folder = library();
    let file = component("tributary_plugin_file");
    let config = json!({ "root": "docs" }).to_string();
    let run = ["plugin", "run", &file, "--config", &config, "--root", "docs=docs", "--record", "files.rec"];
    let (done, printed) = tributary(folder.path(), &run);
    assert!(done, "{printed}");
    fs::remove_dir_all(folder.path().join("docs")).expect("gone");
    let (done, printed) = tributary(folder.path(), &["sync", "replay", "files.rec", "--component", &file]);
    assert!(done && printed.contains("300 changes: byte for byte as recorded"), "{printed}");
}

#[test]
fn time_and_chance_are_those_of_the_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let component = component("tributary_misbehaving");
    let config = json!({ "do": "time and chance" }).to_string();
    let run = |record: &str| {
        let (done, printed) =
            tributary(folder.path(), &["plugin", "run", &component, "--config", &config, "--json", "--record", record]);
        assert!(done, "{printed}");
        printed.lines().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let (first, second) = (run("one.rec"), run("two.rec"));
    assert!(first[0] != second[0] && first[1] != second[1], "each run has its own: {first:?}");
    let (done, printed) = tributary(folder.path(), &["sync", "replay", "one.rec", "--component", &component]);
    assert!(done && printed.contains("2 changes: byte for byte as recorded"), "{printed}");
    let (done, printed) = tributary(folder.path(), &["sync", "replay", "one.rec"]);
    assert!(!done && printed.contains("give its component with --component"), "{printed}");
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("notes.txt"), "notes").expect("a file");
    for name in ["notes.txt", "nowhere.rec"] {
        let (done, printed) = tributary(folder.path(), &["sync", "replay", name]);
        assert!(!done && printed.contains(&format!("{name} is not played: it cannot be read")), "{printed}");
    }
}
