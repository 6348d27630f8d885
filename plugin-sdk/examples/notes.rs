//! A whole connector: every `.note` file at the top of a folder is a document.
//!
//! As a component it is a library with `crate-type = ["cdylib"]`, built for `wasm32-wasip2`.

use serde::Deserialize;
use tributary_plugin_sdk::*;

struct Notes;

#[derive(Deserialize)]
struct Config {
    root: String,
}

impl Connector for Notes {
    type Config = Config;

    fn describe() -> Descriptor {
        Descriptor {
            id: "notes".into(),
            version: "1.0.0".into(),
            title: "Notes".into(),
            config_schema: r#"{"type":"object","required":["root"],"properties":{"root":{"type":"string"}}}"#.into(),
            hosts: vec![],
            roots: vec!["/root".into()],
            capabilities: Capabilities::empty(),
        }
    }

    fn check(host: &dyn Host, config: Config) -> Result<Vec<CheckItem>, Failure> {
        host.list(&config.root, "", None, 1)?;
        Ok(vec![CheckItem::ok("folder can be read")])
    }

    fn pull(host: &dyn Host, config: Config, request: &PullRequest) -> Result<Page, Failure> {
        let after: Option<String> = request.cursor()?;
        let listing = host.list(&config.root, "", after.as_deref(), request.max_items)?;
        let mut changes = Vec::new();
        for entry in listing.entries.iter().filter(|entry| entry.name.ends_with(".note")) {
            let blob = host.open(&config.root, &entry.name, 1 << 20)?;
            changes.push(Document::new(&entry.name, "note", Content::blob(blob, "text/markdown")).into());
        }
        match listing.entries.last() {
            Some(last) if !listing.last => Page::more(changes, &last.name),
            _ => Ok(Page::complete_exhaustive(changes)),
        }
    }
}

export_connector!(Notes);

/// What a test of it looks like.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::temp_dir().join(format!("notes-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("hello.note"), "# Hello")?;
    let host = testing::TestHost::new().with_root("mine", &folder);
    let mut synced = testing::Synced::default();
    testing::sync::<Notes>(&host, r#"{"root":"mine"}"#, testing::PullLimits::default(), &mut synced)?;
    std::fs::remove_dir_all(&folder)?;
    assert!(synced.documents.contains_key("hello.note"));
    Ok(())
}
