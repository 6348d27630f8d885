//! What an admin is told about a configuration, before and after it is tried.

use serde_json::{Value as Json, json};
use tributary_fakes::{Answer, Request};
use tributary_plugin_sdk::{CheckStatus, Failure};

use crate::support::Source;

fn good() -> Json {
    json!({ "base_url": "https://api.example/v1", "collections": [{
        "name": "items", "request": { "path": "/items" }, "response": { "records": "/items" },
        "document": { "id": "/id", "title": "/name", "body": ["/text"], "fields": [{ "name": "price", "at": "/price", "type": "money", "currency": "EUR" }] } }] })
}

fn answers(record: Json) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    move |_: &Request| Answer::json(&json!({ "items": [record] }))
}

#[test]
fn what_does_not_fit_together_names_its_place() {
    let cases: Vec<(&str, Json, &str)> = vec![
        ("/base_url", json!("https://user@api.example"), "/base_url"),
        ("/auth", json!({ "kind": "bearer" }), "/auth/credential"),
        ("/auth", json!({ "kind": "api_key", "credential": "c" }), "/auth/inject"),
        ("/auth", json!({ "credential": "c" }), "/auth/kind"),
        ("/headers", json!({ "authorization": "Bearer x" }), "/headers/authorization"),
        ("/collections/0/request", json!({ "path": "/{nothing}" }), "/collections/0/request/path"),
        ("/collections/0/request", json!({ "path": "/{" }), "/collections/0/request/path"),
        ("/collections/0/pagination", json!({ "kind": "cursor" }), "/collections/0/pagination/cursor"),
        ("/collections/0/pagination", json!({ "kind": "page", "stop": "total" }), "/collections/0/pagination/total"),
        (
            "/collections/0/incremental",
            json!({ "field": "/at", "filter": "server" }),
            "/collections/0/incremental/lower_param",
        ),
        (
            "/collections/0/partitions",
            json!({ "parent": { "collection": "x", "key": "/id", "as": "x" } }),
            "/collections/0/partitions/parent/collection",
        ),
        ("/collections/0/deletions", json!({ "kind": "feed" }), "/collections/0/deletions"),
        ("/collections/0/deletions", json!({ "kind": "flag" }), "/collections/0/deletions/flags"),
        ("/collections/0/response", json!({ "decode": "xml" }), "/collections/0/response/records"),
        ("/collections/0/document/url", json!("https://x/{slug}"), "/collections/0/document/url"),
    ];
    for (place, value, pointer) in cases {
        let mut config = good();
        let (parent, name) = place.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[name] = value.clone();
        let failure = Source::plain_unchecked(answers(json!({})), config.clone()).failure();
        assert_eq!(failure.config_pointer.as_deref(), Some(pointer), "{place} {value}: {}", failure.message);
        let items = Source::plain_unchecked(answers(json!({})), config).check();
        assert_eq!((items.len(), items[0].config_pointer.as_deref()), (1, Some(pointer)));
    }
}

#[test]
fn a_type_that_is_wrong_names_its_place() {
    let mut config = good();
    config["collections"][0]["document"]["id"] = json!("id");
    let failure: Failure = Source::plain_unchecked(answers(json!({})), config).failure();
    assert_eq!(failure.config_pointer.as_deref(), Some("/collections/0/document/id"), "{}", failure.message);
    assert!(failure.message.contains("`id` is no JSON pointer"), "{}", failure.message);
}

#[test]
fn a_check_says_what_the_mapping_does_not_find() {
    let check = |record: Json| {
        let items = Source::plain(answers(record), good()).check();
        let wrong = items.into_iter().filter(|item| item.status != CheckStatus::Ok);
        wrong
            .map(|item| (item.status, item.config_pointer.unwrap_or_default(), item.message.unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    assert!(check(json!({ "id": 1, "name": "n", "text": "t", "price": "1" })).is_empty());
    let wrong = check(json!({ "id": 1, "title": "n", "text": "t", "price": "cheap" }));
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert_eq!(wrong[0].1, "/collections/0/document/title");
    assert!(wrong[1].2.contains("the first has `cheap`"), "{wrong:?}");
    let wrong = check(json!({ "name": "n" }));
    assert_eq!((wrong[0].0, wrong[0].1.as_str()), (CheckStatus::Failed, "/collections/0/document/id"));
}

#[test]
fn a_check_tells_an_unreachable_host_from_a_wrong_path() {
    let items = Source::plain(|_: &Request| Answer::status(404), good()).check();
    let states: Vec<_> = items.iter().map(|item| (item.name.as_str(), item.status)).collect();
    assert_eq!(
        states,
        [
            ("settings are valid", CheckStatus::Ok),
            ("the base URL answers", CheckStatus::Ok),
            ("items: the first page answers", CheckStatus::Failed)
        ]
    );
    let mut source = Source::plain(|_: &Request| Answer::status(200), good());
    source.host = tributary_plugin_sdk::testing::TestHost::new();
    let items = source.check();
    assert_eq!(
        (items[1].name.as_str(), items[1].status, items[1].config_pointer.as_deref()),
        ("the base URL answers", CheckStatus::Failed, Some("/base_url"))
    );
}
