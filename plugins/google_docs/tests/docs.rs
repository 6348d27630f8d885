//! What the manual shows is true.

mod support;

use std::collections::BTreeSet;

use serde_json::Value;
use support::World;
use tributary_plugin_google_docs::{Config, GoogleDocs};
use tributary_plugin_sdk::Connector;

const PAGE: &str = include_str!("../../../docs/google-docs-connector.md");

fn schema() -> Value {
    serde_json::from_str(&GoogleDocs::describe().config_schema).unwrap()
}

#[test]
fn every_configuration_in_the_manual_is_valid() {
    let blocks: Vec<_> = PAGE.split("```json config\n").skip(1).collect();
    assert_eq!(blocks.len(), 2);
    for block in blocks {
        let config: Value = serde_json::from_str(block.split("```").next().unwrap()).unwrap();
        serde_json::from_value::<Config>(config.clone()).unwrap();
        for field in config.as_object().unwrap().keys() {
            assert!(schema()["properties"][field].is_object(), "{field}");
        }
        // It is taken as it stands, and what it selects is not there.
        let mut world = World::empty();
        world.config = config;
        let failure = world.sync().unwrap_err();
        assert_eq!(failure.code, "folder_not_shared", "{failure:?}");
        assert_eq!(failure.config_pointer.as_deref(), Some("/folders/0"));
    }
}

#[test]
fn the_manual_names_every_option_with_its_default() {
    for (name, option) in schema()["properties"].as_object().unwrap() {
        let row = PAGE.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in the manual"));
        if let Some(default) = option.get("default").filter(|default| !default.is_array()) {
            let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            assert!(row.contains(&format!("`{default}`")), "{row} does not say {default}");
        }
    }
}

#[test]
fn the_manual_explains_every_code_that_the_connector_fails_with() {
    let sources = [
        include_str!("../src/api.rs"),
        include_str!("../src/content.rs"),
        include_str!("../src/error.rs"),
        include_str!("../src/listing.rs"),
        include_str!("../src/pull.rs"),
        include_str!("../src/wire.rs"),
    ];
    // The first text after the constructor of a failure.
    let constructors = ["source_contract(", "permission(", "too_large(", "unsupported(", "transient(", "not_found("];
    let mut codes = BTreeSet::new();
    for source in sources {
        for constructor in constructors {
            for after in source.split(&format!("Failure::{constructor}")).skip(1) {
                if let Some(code) = after.trim_start().strip_prefix('"') {
                    codes.insert(code.split('"').next().unwrap());
                }
            }
        }
    }
    assert!(codes.len() >= 15, "{codes:?}");
    let explained =
        |code: &str| PAGE.lines().any(|line| line.starts_with("| `") && line.contains(&format!("`{code}`")));
    let missing: Vec<_> = codes.into_iter().filter(|code| !explained(code)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
