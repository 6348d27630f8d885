//! What answers mean that are not pages.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value as Json, json};
use tributary_fakes::{Answer, Request};
use tributary_plugin_api::ApiConnector;
use tributary_plugin_sdk::{Failure, Fault, Next, PullRequest, pull};

use crate::support::{NOW_MS, Source};

fn config(errors: Json, pagination: Json) -> Json {
    json!({ "base_url": "https://api.example", "collections": [{
        "name": "items", "request": { "path": "/items" }, "response": { "records": "/items" }, "pagination": pagination,
        "errors": errors, "deletions": { "kind": "enumerate" }, "document": { "id": "/id", "title": "/id" } }] })
}

fn pages() -> Json {
    json!({ "kind": "page", "param": "page", "stop": "has_more_false", "has_more": "/more" })
}

/// Three pages, the second of which is answered so.
fn second(
    answer: impl Fn(usize) -> Option<Answer> + Send + Sync + 'static,
) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    let tries = AtomicUsize::new(0);
    move |request: &Request| {
        let page: usize = request.param("page").map_or(1, |page| page.parse().unwrap());
        let special = if page == 2 { answer(tries.fetch_add(1, Ordering::SeqCst)) } else { None };
        special.unwrap_or_else(|| Answer::json(&json!({ "items": [{ "id": page }], "more": page < 3 })))
    }
}

fn failure(answer: impl Fn() -> Answer + Send + Sync + 'static, errors: Json) -> Failure {
    Source::plain(second(move |_| Some(answer())), config(errors, pages())).failure()
}

#[test]
fn statuses_mean_what_they_mean_unless_said_otherwise() {
    for (status, fault, pointer) in [
        (400, Fault::SourceContract, None),
        (401, Fault::AuthInvalid, Some("/auth/credential")),
        (403, Fault::Permission, Some("/auth/credential")),
        (404, Fault::NotFound, Some("/collections/0/request/path")),
        (500, Fault::Transient, None),
        (503, Fault::Transient, None),
        (429, Fault::RateLimited, None),
    ] {
        let failure = failure(move || Answer::status(status), json!([]));
        assert_eq!((failure.fault, failure.config_pointer.as_deref()), (fault, pointer), "{status}");
        assert_eq!(failure.http_status, Some(status));
    }
    let fails = json!([{ "when": { "status": [400, 500] }, "do": "fail" }]);
    assert_eq!(failure(|| Answer::status(500), fails).fault, Fault::Transient);
}

#[test]
fn a_retry_waits_longer_each_time_and_then_does_what_is_said() {
    let errors = |then: &str| json!([{ "when": { "status": 500 }, "do": "retry", "retries": 2, "then": then }]);
    let mut source =
        Source::plain(second(|tries| (tries < 2).then(|| Answer::status(500))), config(errors("fail"), pages()));
    source.sync();
    assert_eq!((source.ids().len(), source.requests.len()), (3, 5));

    let server = second(|_| Some(Answer::status(500)));
    let source = Source::plain(server, config(errors("fail"), pages()));
    let mut request = request(&source);
    let mut waits = Vec::new();
    let failure = loop {
        match pull::<ApiConnector>(&source.host, &request) {
            Ok(page) => {
                if let Next::WaitMs(ms) = page.next {
                    waits.push(ms);
                }
                request.cursor = page.cursor;
            }
            Err(failure) => break failure,
        }
    };
    assert_eq!((waits, failure.http_status), (vec![1_000, 2_000], Some(500)));

    let mut source = Source::plain(second(|_| Some(Answer::status(500))), config(errors("skip_item"), pages()));
    source.sync();
    assert_eq!((source.ids(), source.synced.exhaustive), (vec!["items/1", "items/3"], false));
    assert_eq!(source.synced.failed["items#2"].http_status, Some(500));
}

fn request(source: &Source) -> PullRequest {
    PullRequest {
        config: source.config.to_string(),
        cursor: None,
        full: false,
        upper_bound: NOW_MS,
        max_items: 256,
        max_bytes: 8 << 20,
        deadline_ms: 60_000,
    }
}

#[test]
fn rules_look_at_status_value_and_text() {
    let errors = json!([
        { "when": { "status": 200, "json_pointer": "/error/code", "contains": "TOO_FAST" }, "do": "rate_limited" },
        { "when": { "json_pointer": "/error/code", "contains": "NOT_HERE" }, "do": "empty" },
        { "when": { "status": [418], "contains": "teapot" }, "do": "skip_partition" },
    ]);
    let fast = |tries: usize| {
        (tries == 0).then(|| Answer::json(&json!({ "error": { "code": "TOO_FAST" } })).header("retry-after", "2"))
    };
    let source = Source::plain(second(fast), config(errors.clone(), pages()));
    let page = pull::<ApiConnector>(&source.host, &request(&source)).unwrap();
    assert_eq!((page.next, page.changes.len()), (Next::WaitMs(2_000), 1));

    let mut source = Source::plain(
        second(|_| Some(Answer::json(&json!({ "error": { "code": "NOT_HERE" } })))),
        config(errors.clone(), pages()),
    );
    source.sync();
    assert_eq!((source.ids(), source.synced.exhaustive), (vec!["items/1"], true));

    let mut source =
        Source::plain(second(|_| Some(Answer::ok("I am a teapot").with_status(418))), config(errors.clone(), pages()));
    source.sync();
    assert_eq!((source.ids(), source.synced.exhaustive), (vec!["items/1"], false));

    let failure = failure(|| Answer::ok("something else").with_status(418), errors);
    assert_eq!(failure.http_status, Some(418));
}

#[test]
fn reset_headers_are_read_in_every_format() {
    let date = "Sun, 01 Mar 2026 12:00:00 GMT";
    for (format, header) in [
        ("epoch_s", "1772366405"),
        ("epoch_ms", "1772366405000"),
        ("delta_s", "5"),
        ("delta_ms", "5000"),
        ("http_date", "Sun, 01 Mar 2026 12:00:05 GMT"),
    ] {
        let answer = move |tries: usize| {
            (tries == 0).then(|| Answer::status(429).header("date", date).header("x-reset", header))
        };
        let mut with = config(json!([]), pages());
        with["limits"] = json!({ "reset": { "header": "X-Reset", "format": format } });
        let source = Source::plain(second(answer), with);
        let page = pull::<ApiConnector>(&source.host, &request(&source)).unwrap();
        assert_eq!(page.next, Next::WaitMs(5_000), "{format}");
    }
}

#[test]
fn a_source_that_always_asks_to_wait_fails_in_the_end() {
    let failure = failure(|| Answer::status(429).header("retry-after", "1"), json!([]));
    assert_eq!((failure.fault, failure.retry_after_ms), (Fault::RateLimited, Some(1_000)));
}

#[test]
fn a_page_that_comes_again_is_a_failure_that_says_so() {
    let same = |_: &Request| Answer::json(&json!({ "items": [{ "id": 1 }, { "id": 2 }], "more": true, "next": "x" }));
    for pagination in [
        pages(),
        json!({ "kind": "offset", "param": "o" }),
        json!({ "kind": "cursor", "param": "c", "cursor": "/next" }),
    ] {
        let failure = Source::plain(same, config(json!([]), pagination)).failure();
        assert_eq!(
            (failure.code.as_str(), failure.config_pointer.as_deref()),
            ("page_repeats", Some("/collections/0/pagination"))
        );
    }
    // Empty pages that lead round in a circle.
    let circle = |request: &Request| {
        let at: u64 = request.param("c").map_or(0, |c| c.parse().unwrap());
        Answer::json(&json!({ "items": [], "next": ((at + 1) % 3).to_string() }))
    };
    let mut pagination = json!({ "kind": "cursor", "param": "c", "cursor": "/next", "max_pages": 50 });
    let failure = Source::plain(circle, config(json!([]), pagination.clone())).failure();
    assert_eq!(failure.config_pointer.as_deref(), Some("/collections/0/pagination/max_pages"));
    pagination["kind"] = "page".into();
    let endless = |request: &Request| Answer::json(&json!({ "items": [{ "id": request.param("c") }] }));
    let failure = Source::plain(endless, config(json!([]), pagination)).failure();
    assert!(failure.message.contains("more than 50 pages"), "{}", failure.message);
}

#[test]
fn a_link_to_another_host_is_not_followed() {
    for link in [
        "https://evil.example/items",
        "http://api.example/items",
        "https://api.example:444/items",
        "//evil.example/x",
        "https://u@api.example/x",
        "file:///etc/passwd",
    ] {
        let server = move |_: &Request| Answer::json(&json!({ "items": [{ "id": 1 }], "next": link }));
        let mut source = Source::plain(server, config(json!([]), json!({ "kind": "next_url", "cursor": "/next" })));
        let failure = source.failure();
        assert_eq!((failure.code.as_str(), source.requests.len()), ("next_link_elsewhere", 1), "{link}");
    }
}

#[test]
fn what_is_not_as_announced_is_said_plainly() {
    let failure_of = |answer: fn() -> Answer| {
        Source::plain(move |_: &Request| answer(), config(json!([]), json!({ "kind": "none" }))).failure()
    };
    let html = failure_of(|| Answer::ok("\n <!DOCTYPE html><title>Log in</title>").header("content-type", "text/html"));
    assert!(html.message.contains("a web page where JSON was expected"), "{}", html.message);
    let malformed = failure_of(|| Answer::ok("{\"items\": [1,]}"));
    assert_eq!(malformed.code, "answer_malformed");
    let elsewhere = failure_of(|| Answer::json(&json!({ "results": [] })));
    assert_eq!(
        (elsewhere.code.as_str(), elsewhere.config_pointer.as_deref()),
        ("records_missing", Some("/collections/0/response/records"))
    );
    assert_eq!(failure_of(|| Answer::ok("")).fault, Fault::SourceContract);
    let mut with = config(json!([]), json!({ "kind": "none" }));
    with["collections"][0]["response"]["max_bytes"] = json!("1KiB");
    let long = Source::plain(|_: &Request| Answer::ok(vec![b' '; 2_000]), with).failure();
    assert_eq!(long.fault, Fault::TooLarge);
    let mut with = config(json!([]), json!({ "kind": "none" }));
    with["collections"][0]["response"]["missing"] = json!("empty");
    let mut source = Source::plain(|_: &Request| Answer::json(&json!({})), with);
    source.sync();
    assert!(source.synced.exhaustive);
}

#[test]
fn a_record_without_an_id_is_listed_as_failed_and_nothing_is_deleted() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = move |_: &Request| {
        let second: Json = if count.fetch_add(1, Ordering::SeqCst) == 0 { 2.into() } else { Json::Null };
        Answer::json(&json!({ "items": [{ "id": 1 }, { "id": second }, { "id": "x".repeat(2_000) }] }))
    };
    let mut source = Source::plain(server, config(json!([]), json!({ "kind": "none" })));
    source.sync();
    source.sync();
    assert_eq!((source.ids(), source.synced.exhaustive), (vec!["items/1", "items/2"], false));
    assert_eq!(source.synced.failed["items#1.2"].code, "id_missing");
    assert_eq!(source.synced.failed["items#1.3"].code, "id_too_long");
}

#[test]
fn errors_of_graphql_are_failures_though_the_status_is_200() {
    let mut with = config(json!([]), json!({ "kind": "none" }));
    with["collections"][0]["request"]["body"] = json!({ "graphql": { "query": "{ items { id } }" } });
    let server =
        |_: &Request| Answer::json(&json!({ "data": null, "errors": [{ "message": "Field 'items' doesn't exist" }] }));
    let failure = Source::plain(server, with).failure();
    assert!(failure.message.ends_with("Field 'items' doesn't exist"), "{}", failure.message);
}
