//! Whatever a source answers, a run ends, and nothing panics.

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tributary_fakes::{Answer, Request};
use tributary_plugin_api::ApiConnector;
use tributary_plugin_sdk::{PullRequest, pull};

use crate::support::Source;

fn config(kind: &str, decode: &str) -> Json {
    json!({ "base_url": "https://api.example", "collections": [
        { "name": "a", "request": { "path": "/a" }, "response": { "decode": decode, "records": if decode == "csv" { "" } else { "/r/*" } },
          "pagination": { "kind": kind, "param": "p", "cursor": if matches!(kind, "cursor" | "next_url") { json!("/n") } else { Json::Null }, "max_pages": 20 },
          "document": { "id": "/i", "title": ["/t", "{/t} {/i}"], "url": "/u", "modified": "/m", "body": ["/b", "/r"], "html": "to_markdown",
            "fields": [ { "name": "f", "at": "/f", "type": "money", "currency": "/c" }, { "name": "g", "at": "/f", "type": "number" },
                        { "name": "h", "at": "/f", "type": "instant" }, { "name": "j", "at": "/b", "type": "json" }, { "name": "k", "at": "/b", "type": "texts" } ],
            "ignore_for_hash": ["/b/*/x"] } },
        { "name": "b", "request": { "path": "/a/{k}/b" }, "response": { "missing": "empty", "records": "/r" }, "partitions": { "parent": { "collection": "a", "key": "/i", "as": "k" } },
          "errors": [{ "when": { "contains": "\"n\"" }, "do": "skip_item" }], "document": { "id": "/i", "title": "/t" } },
    ] })
}

/// JSON in which the members that a configuration names are likely.
fn answer() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,8}".prop_map(Json::from),
        Just("..".into()),
        Just("https://api.example/a?p=2".into()),
        Just("<p><a href=x><ul><li>".into()),
        Just("1e999".into()),
        Just("2026-03-01T00:00:00Z".into()),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::vec(("[rintubmfc]", inner), 0..6)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_json_is_read_or_refused(records in answer(), other in answer(), kind in 0..5_usize, max_items in 1..6_u32, status in prop_oneof![4 => Just(200_u16), 1 => 100..600_u16]) {
        let kind = ["none", "page", "offset", "cursor", "next_url"][kind];
        let body = json!({ "r": records, "n": other });
        let mut config = config(kind, "json");
        if config["collections"][0]["pagination"]["cursor"].is_null() {
            config["collections"][0]["pagination"].as_object_mut().unwrap().remove("cursor");
        }
        let mut source = Source::plain(move |_: &Request| Answer::json(&body).with_status(status), config);
        source.limits.max_items = max_items;
        if let Err(failure) = source.try_sync() {
            prop_assert!(failure.code != "contract_broken", "{}", failure.message);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200), decode in 0..4_usize) {
        let decode = ["json", "jsonl", "csv", "xml"][decode];
        let mut config = config("none", decode);
        config["collections"][0]["pagination"] = json!({ "kind": "none" });
        let mut source = Source::plain(move |_: &Request| Answer::ok(body.clone()), config);
        if let Err(failure) = source.try_sync() {
            prop_assert!(failure.code != "contract_broken", "{}", failure.message);
        }
    }

    #[test]
    fn any_cursor_is_understood_or_expired(cursor in "\\PC{0,30}|\\{\"frames\":\\[\\{\"collection\":[0-9]{1,3},\"phase\":\"(walk|feed|enumerate)\",\"at\":\"first\"\\}\\],\"done\":1\\}") {
        let mut config = config("none", "json");
        config["collections"][0]["pagination"] = json!({ "kind": "none" });
        let source = Source::plain(|_: &Request| Answer::json(&json!({ "r": [] })), config);
        let request = PullRequest { config: source.config.to_string(), cursor: Some(cursor), full: false, upper_bound: 0, max_items: 5, max_bytes: 1_000, deadline_ms: 1_000 };
        let _ = pull::<ApiConnector>(&source.host, &request);
    }
}
