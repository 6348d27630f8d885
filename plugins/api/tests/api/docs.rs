//! What the manual shows is true.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value as Json, json};
use tributary_fakes::{Answer, Request, Secret};
use tributary_plugin_sdk::Value;

use crate::support::Source;

const PAGE: &str = include_str!("../../../../docs/api-connector.md");

/// A service that is reached with the credential that the configuration names, and is down.
fn down(config: &Json) -> Source {
    let credential = config["auth"]["credential"].as_str().unwrap_or_default().to_owned().leak();
    Source::new(Arc::new(|_: &Request| Answer::status(500)), &[(credential, Secret::Token("t"))], config.clone())
}

fn configs() -> Vec<Json> {
    let blocks = PAGE.split("```json config\n").skip(1);
    blocks.map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap()).collect()
}

#[test]
fn every_configuration_in_the_manual_is_valid() {
    let configs = configs();
    assert!(configs.len() >= 4);
    for config in configs {
        assert_eq!(down(&config).failure().http_status, Some(500), "{config}");
    }
}

#[test]
fn every_recipe_is_in_the_manual_and_makes_a_valid_configuration() {
    for recipe in tributary_recipes::list() {
        assert!(PAGE.contains(&format!("| `{}` |", recipe.name)), "{}", recipe.name);
        let examples = |all: bool| -> BTreeMap<String, String> {
            let given = recipe.parameters.iter().filter(|parameter| all || parameter.required);
            given.filter_map(|parameter| Some((parameter.name.clone(), parameter.example.clone()?))).collect()
        };
        for parameters in [examples(false), examples(true)] {
            let config = tributary_recipes::render(&recipe.name, &parameters).unwrap();
            assert_eq!(down(&config).failure().http_status, Some(500), "{}", recipe.name);
        }
    }
}

#[test]
fn the_example_becomes_the_document_that_the_manual_shows() {
    let answer = PAGE.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let answer: Json = serde_json::from_str(answer).unwrap();
    let server = move |request: &Request| match request.param("cursor") {
        None => Answer::json(&answer),
        Some(cursor) => {
            assert_eq!(cursor, "MTc");
            Answer::json(&json!({ "articles": [], "next_cursor": null }))
        }
    };
    let mut source = Source::new(Arc::new(server), &[("desk", Secret::Token("t"))], configs().remove(0));
    source.sync();
    assert_eq!(source.document("articles/17").title, "Returns");
    assert_eq!(source.text("articles/17"), "Within **30 days**.\n\nlabels: shipping\nfee: 4.90 EUR");
    let fee = Value::Money(("4.90".into(), "EUR".into()));
    assert!(source.document("articles/17").fields.contains(&("fee".into(), fee)));
}
