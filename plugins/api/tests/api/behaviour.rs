//! Paging, what is new, what is gone, what belongs to what: over answers written by hand.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
};

use serde_json::{Value as Json, json};
use tributary_fakes::{Answer, Request, Secret};
use tributary_plugin_sdk::{Inject, Method};

use crate::support::Source;

fn config(collection: Json) -> Json {
    json!({ "base_url": "https://api.example/v1", "collections": [collection] })
}

fn items(pagination: Json) -> Json {
    config(json!({
        "name": "items", "request": { "path": "/items" }, "response": { "records": "/items" }, "pagination": pagination,
        "deletions": { "kind": "enumerate" }, "document": { "id": "/id", "title": "/name" },
    }))
}

fn number(request: &Request, name: &str) -> Option<usize> {
    request.param(name)?.parse().ok()
}

fn body_number(request: &Request, name: &str) -> Option<usize> {
    let body: Json = serde_json::from_slice(&request.body).ok()?;
    body[name].as_u64().map(|number| number as usize)
}

fn slice(start: usize, size: usize) -> Vec<Json> {
    (start..(start + size).min(23)).map(|id| json!({ "id": id, "name": format!("Item {id}") })).collect()
}

#[test]
fn every_kind_of_paging_reads_everything_once() {
    type Server = fn(&Request) -> Answer;
    let cases: Vec<(&str, Json, Server, usize)> = vec![
        (
            "page until empty",
            json!({ "kind": "page", "param": "p", "size_param": "n", "size": 5 }),
            |request| {
                let page = number(request, "p").unwrap();
                Answer::json(
                    &json!({ "items": slice((page - 1) * number(request, "n").unwrap(), number(request, "n").unwrap()) }),
                )
            },
            6,
        ),
        (
            "page from 0 until a short one",
            json!({ "kind": "page", "param": "p", "start": 0, "size": 5, "stop": "short_page" }),
            |request| Answer::json(&json!({ "items": slice(number(request, "p").unwrap() * 5, 5) })),
            5,
        ),
        (
            "page until there is no more",
            json!({ "kind": "page", "param": "p", "stop": "has_more_false", "has_more": "/more" }),
            |request| {
                let page = number(request, "p").unwrap();
                Answer::json(&json!({ "items": slice((page - 1) * 5, 5), "more": page < 5 }))
            },
            5,
        ),
        (
            "offset until the total",
            json!({ "kind": "offset", "param": "skip", "size_param": "n", "size": 10, "stop": "total", "total": "/total" }),
            |request| Answer::json(&json!({ "items": slice(number(request, "skip").unwrap(), 10), "total": 23 })),
            3,
        ),
        (
            "offset until the total of a header, with pages that are shorter than asked",
            json!({ "kind": "offset", "param": "skip", "size": 10, "stop": "total_header", "total_header": "X-Total" }),
            |request| {
                Answer::json(&json!({ "items": slice(number(request, "skip").unwrap(), 6) })).header("x-total", "23")
            },
            4,
        ),
        (
            "cursor",
            json!({ "kind": "cursor", "param": "after", "cursor": "/meta/next" }),
            |request| {
                let start = number(request, "after").unwrap_or(0);
                let next = (start + 5 < 23).then(|| (start + 5).to_string());
                Answer::json(&json!({ "items": slice(start, 5), "meta": { "next": next } }))
            },
            5,
        ),
        (
            "cursor of the last item, with has_more",
            json!({ "kind": "cursor", "param": "starting_after", "cursor": "/last", "has_more": "/has_more" }),
            |request| {
                let start = number(request, "starting_after").map_or(0, |last| last + 1);
                let last = (start + 4).min(22);
                Answer::json(&json!({ "items": slice(start, 5), "last": last, "has_more": last < 22 }))
            },
            5,
        ),
        (
            "link header, relative",
            json!({ "kind": "link_header" }),
            |request| {
                let start = number(request, "from").unwrap_or(0);
                let answer = Answer::json(&json!({ "items": slice(start, 5) }));
                if start + 5 < 23 {
                    answer.header("Link", format!("</moved/items?from={}>; rel=next", start + 5))
                } else {
                    answer
                }
            },
            5,
        ),
        (
            "next URL, absolute",
            json!({ "kind": "next_url", "cursor": "/next" }),
            |request| {
                let start = number(request, "from").unwrap_or(0);
                let next = (start + 5 < 23).then(|| format!("{}/other?from={}", request.origin, start + 5));
                Answer::json(&json!({ "items": slice(start, 5), "next": next }))
            },
            5,
        ),
        ("none", json!({ "kind": "none" }), |_| Answer::json(&json!({ "items": slice(0, 23) })), 1),
    ];
    for (name, pagination, server, requests) in cases {
        let mut source = Source::plain(server, items(pagination));
        source.sync();
        assert_eq!(source.synced.documents.len(), 23, "{name}");
        assert_eq!(source.requests.len(), requests, "{name}: {:#?}", source.urls());
        source.sync();
        assert_eq!((source.synced.written, source.synced.deleted, source.synced.exhaustive), (0, 0, true), "{name}");
        assert!(source.requests.len() <= requests, "{name}");
        for max_items in [1, 4] {
            source.limits.max_items = max_items;
            source.limits.full = true;
            source.sync();
            assert_eq!((source.synced.documents.len(), source.synced.deleted), (23, 0), "{name} by {max_items}");
            source.limits.full = false;
        }
    }
}

#[test]
fn pages_can_be_asked_for_in_a_body() {
    let mut with_body = items(json!({ "kind": "page", "size": 5 }));
    with_body["collections"][0]["request"] = json!({ "path": "/search", "body": { "json": { "page": "{page}", "size": "{page_size}", "text": "n{page}", "since": "{since}" } } });
    let server = |request: &Request| {
        let body: Json = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body, json!({ "page": body["page"], "size": 5, "text": format!("n{}", body["page"]) }));
        Answer::json(&json!({ "items": slice((body_number(request, "page").unwrap() - 1) * 5, 5) }))
    };
    let mut source = Source::plain(server, with_body);
    source.sync();
    assert_eq!(source.synced.documents.len(), 23);
    assert!(source.requests.iter().all(|request| request.method == Method::Post));

    let mut with_form = items(json!({ "kind": "none" }));
    with_form["collections"][0]["request"] = json!({ "path": "/search", "body": { "form": { "q": "a b&c", "n": 3 } } });
    let server = |request: &Request| {
        assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(request.body, b"n=3&q=a+b%26c");
        Answer::json(&json!({ "items": slice(0, 2) }))
    };
    let mut source = Source::plain(server, with_form);
    source.sync();
}

#[test]
fn parameters_of_the_first_page_are_dropped_when_said() {
    let mut with =
        items(json!({ "kind": "cursor", "param": "c", "cursor": "/next", "drop_params_after_first": ["filter"] }));
    with["collections"][0]["request"]["query"] = json!({ "filter": "new", "fields": ["a", "b"] });
    let server = |request: &Request| {
        assert_eq!(request.param("filter").is_some(), request.param("c").is_none());
        assert_eq!(request.query.iter().filter(|(name, _)| name == "fields").count(), 2);
        let start = number(request, "c").unwrap_or(0);
        let next = (start + 5 < 23).then(|| (start + 5).to_string());
        Answer::json(&json!({ "items": slice(start, 5), "next": next }))
    };
    Source::plain(server, with).sync();
}

#[test]
fn every_kind_of_credential_goes_where_it_is_said() {
    type Sees = fn(&Request) -> bool;
    let cases: Vec<(Json, Secret, Sees)> = vec![
        (
            json!({ "kind": "api_key", "credential": "c", "inject": { "in": "header", "name": "X-Key", "prefix": "Key " } }),
            Secret::Token("s"),
            |request| request.header("x-key") == Some("Key s"),
        ),
        (
            json!({ "kind": "api_key", "credential": "c", "inject": { "in": "query", "name": "key" } }),
            Secret::Token("s"),
            |request| request.param("key") == Some("s"),
        ),
        (json!({ "kind": "bearer", "credential": "c" }), Secret::Token("s"), |request| {
            request.header("authorization") == Some("Bearer s")
        }),
        (json!({ "kind": "basic", "credential": "c" }), Secret::Basic("u", "p"), |request| {
            request.header("authorization") == Some("Basic dTpw")
        }),
        (json!({ "kind": "oauth2", "credential": "c", "scopes": ["read"] }), Secret::Token("s"), |request| {
            request.header("authorization") == Some("Bearer s")
        }),
        (
            json!({ "kind": "jwt", "credential": "c", "inject": { "in": "authorization" } }),
            Secret::Token("s"),
            |request| request.header("authorization") == Some("Bearer s"),
        ),
        (json!({ "kind": "none" }), Secret::Token("s"), |request| request.header("authorization").is_none()),
    ];
    for (auth, secret, sees) in cases {
        let mut with = items(json!({ "kind": "none" }));
        with["auth"] = auth.clone();
        with["limits"] = json!({ "requests": [{ "n": 2, "per": "1s" }] });
        let server = move |request: &Request| {
            if sees(request) { Answer::json(&json!({ "items": slice(0, 3) })) } else { Answer::status(401) }
        };
        let mut source = Source::new(Arc::new(server), &[("c", secret)], with);
        source.sync();
        let request = &source.requests[0];
        assert_eq!((request.rates[0].requests, request.rates[0].per_ms), (2, 1_000));
        if auth["kind"] == "oauth2" {
            let credential = request.credential.as_ref().unwrap();
            assert_eq!(
                (credential.scopes.as_slice(), &credential.inject),
                (&["read".to_owned()][..], &Inject::Authorization)
            );
        }
    }
}

/// Records with the moment they were changed, in seconds.
fn changing(incremental: Json, deletions: Json) -> Json {
    config(json!({
        "name": "items", "request": { "path": "/items", "query": { "state": "all" } }, "incremental": incremental, "deletions": deletions,
        "pagination": { "kind": "page", "param": "page", "size_param": "size", "size": 10, "stop": "short_page" },
        "document": { "id": "/id", "title": "/name" },
    }))
}

#[test]
fn a_listing_sorted_by_change_latest_first_ends_where_the_last_run_began() {
    static LATEST: AtomicI64 = AtomicI64::new(0);
    let server = |request: &Request| {
        let page = number(request, "page").unwrap();
        let latest = LATEST.load(Ordering::SeqCst);
        let all: Vec<Json> =
            (0..100 + latest).rev().map(|at| json!({ "id": at, "name": "n", "at": 1_700_000_000 + at })).collect();
        Answer::json(&json!(all.into_iter().skip((page - 1) * 10).take(10).collect::<Vec<_>>()))
    };
    let incremental =
        json!({ "field": "/at", "formats": ["epoch_s"], "filter": "client", "sorted": "desc", "lookback": "2s" });
    let mut source = Source::plain(server, changing(incremental, json!({ "kind": "none" })));
    source.sync();
    assert_eq!(source.requests.len(), 11);
    LATEST.store(5, Ordering::SeqCst);
    source.sync();
    assert_eq!((source.counts(), source.requests.len()), ((5, 3, 0), 1));
    assert!(!source.synced.exhaustive);
}

#[test]
fn a_feed_of_deletions_is_asked_from_where_the_last_run_ended() {
    let deleted = Arc::new(AtomicBool::new(false));
    let is_deleted = deleted.clone();
    let server = move |request: &Request| {
        let gone = is_deleted.load(Ordering::SeqCst);
        match request.path.as_str() {
            "/v1/items" => {
                let all =
                    [1, 2, 3].into_iter().filter(|id| !(gone && *id == 2)).filter(|_| request.param("since").is_none());
                Answer::json(
                    &all.map(|id| json!({ "id": id, "name": "n", "at": 1_700_000_000_000_i64 + id })).collect::<Json>(),
                )
            }
            "/v1/deleted" => {
                assert_eq!(request.param("after"), Some("1700000000003"));
                assert_eq!(request.param("state"), None);
                Answer::json(&json!({ "gone": if gone { vec![json!({ "item": { "id": 2 } })] } else { vec![] } }))
            }
            _ => Answer::status(404),
        }
    };
    let incremental = json!({ "field": "/at", "formats": ["epoch_ms"], "filter": "server", "lower_param": "since" });
    let deletions = json!({ "kind": "feed", "request": { "path": "/deleted", "query": { "after": "{since}" } },
        "response": { "records": "/gone" }, "id": "/item/id", "gone": "trashed" });
    let mut source = Source::plain(server, changing(incremental, deletions));
    source.sync();
    assert_eq!((source.counts(), source.requests.len()), ((3, 0, 0), 1));
    deleted.store(true, Ordering::SeqCst);
    source.sync();
    assert_eq!((source.counts(), source.ids()), ((0, 0, 1), vec!["items/1", "items/3"]));
}

#[test]
fn a_flag_says_that_a_record_is_gone() {
    let state = Arc::new(Mutex::new("live"));
    let now = state.clone();
    let server = move |_: &Request| {
        Answer::json(
            &json!([{ "id": 1, "name": "n", "state": *now.lock().unwrap() }, { "id": 2, "name": "m", "state": "live" }]),
        )
    };
    let mut flagged = config(json!({
        "name": "items", "request": { "path": "/items" }, "document": { "id": "/id", "title": "/name" },
        "deletions": { "kind": "flag", "flags": [{ "when": { "at": "/state", "equals": ["archived"] }, "gone": "unpublished" }] },
    }));
    flagged["collections"][0]["pagination"] = json!({ "kind": "link_header" });
    let mut source = Source::plain(server, flagged);
    source.sync();
    *state.lock().unwrap() = "archived";
    source.sync();
    assert_eq!((source.counts(), source.ids()), ((0, 1, 1), vec!["items/2"]));
    *state.lock().unwrap() = "live";
    source.sync();
    assert_eq!(source.ids().len(), 2);
}

#[test]
fn the_mark_moves_only_when_its_listing_ended_and_never_past_the_start_of_the_run() {
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = broken.clone();
    let server = move |request: &Request| {
        let page = number(request, "page").unwrap();
        if page == 2 && is_broken.load(Ordering::SeqCst) {
            return Answer::status(500);
        }
        // The last ones claim to be from the future.
        let ids = (page - 1) * 10..(page * 10).min(15);
        Answer::json(
            &ids.map(|id| json!({ "id": id, "name": "n", "at": if id < 12 { "2026-05-01" } else { "2031-01-01" } }))
                .collect::<Json>(),
        )
    };
    let incremental = json!({ "field": "/at", "formats": ["date"], "filter": "server", "lower_param": "since" });
    let mut source = Source::plain(server, changing(incremental, json!({ "kind": "none" })));
    source.failure();
    assert_eq!(source.host.remembered("mark/items"), None);
    broken.store(false, Ordering::SeqCst);
    source.sync();
    source.sync();
    assert!(source.urls()[0].contains("since=2026-06-01"), "{}", source.urls()[0]);
}

fn tree() -> Json {
    json!({ "base_url": "https://api.example", "collections": [
        { "name": "boards", "request": { "path": "/boards" }, "deletions": { "kind": "enumerate" }, "document": { "id": "/id", "title": "/id" } },
        { "name": "cards", "request": { "path": "/boards/{board}/cards" }, "deletions": { "kind": "enumerate" },
          "partitions": { "parent": { "collection": "boards", "key": "/id", "as": "board", "with": { "board_name": "/name" }, "where": [{ "at": "/closed", "is": "absent" }] } },
          "pagination": { "kind": "page", "param": "page", "size": 2, "stop": "short_page" },
          "errors": [{ "when": { "status": 404 }, "do": "empty" }, { "when": { "status": 403 }, "do": "skip_partition" }],
          "document": { "id": "/id", "title": "{board_name}: {/id}" } },
        { "name": "notes", "request": { "path": "/boards/{board}/cards/{card}/notes" }, "deletions": { "kind": "enumerate" },
          "partitions": { "parent": { "collection": "cards", "key": "/id", "as": "card" } },
          "document": { "id": "/id", "title": "/id" } },
    ] })
}

fn tree_server(forbidden: Arc<AtomicUsize>) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    move |request: &Request| {
        let parts: Vec<&str> = request.path.trim_start_matches('/').split('/').collect();
        match parts.as_slice() {
            ["boards"] => Answer::json(
                &json!([{ "id": "a b/c", "name": "First" }, { "id": 2, "name": "Second" }, { "id": 3, "closed": true }, { "id": 4 }]),
            ),
            ["boards", "4", "cards"] => Answer::status(404),
            ["boards", "2", "cards"] if forbidden.load(Ordering::SeqCst) == 403 => Answer::status(403),
            ["boards", _, "cards"] => {
                let first = number(request, "page").unwrap() * 2 - 1;
                Answer::json(
                    &(first..=first + 1).take_while(|id| *id <= 3).map(|id| json!({ "id": id })).collect::<Json>(),
                )
            }
            ["boards", "a%20b%2Fc", "cards", "2", "notes"] | ["boards", "2", "cards", "3", "notes"] => {
                Answer::json(&json!([{ "id": "n" }]))
            }
            ["boards", _, "cards", _, "notes"] => Answer::json(&json!([])),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_belongs_to_an_item_is_read_after_it_three_levels_deep() {
    for max_items in [1, 2, 5, 256] {
        let mut source = Source::plain(tree_server(Arc::default()), tree());
        source.limits.max_items = max_items;
        source.sync();
        let mut ids = source.ids();
        ids.retain(|id| !id.starts_with("boards/"));
        let expected = [
            "cards/2/1",
            "cards/2/2",
            "cards/2/3",
            "cards/a b/c/1",
            "cards/a b/c/2",
            "cards/a b/c/3",
            "notes/2/3/n",
            "notes/a b/c/2/n",
        ];
        assert_eq!(ids, expected, "{max_items}");
        assert_eq!(source.document("cards/2/1").title, "Second: 1");
        source.sync();
        assert_eq!((source.synced.written, source.synced.deleted, source.synced.exhaustive), (0, 0, true));
    }
}

#[test]
fn a_part_that_is_not_allowed_is_listed_as_failed_and_nothing_of_it_is_deleted() {
    let forbidden = Arc::new(AtomicUsize::new(0));
    let mut source = Source::plain(tree_server(forbidden.clone()), tree());
    source.sync();
    let before = source.synced.documents.len();
    forbidden.store(403, Ordering::SeqCst);
    source.sync();
    assert_eq!((source.synced.documents.len(), source.synced.exhaustive), (before, false));
    assert_eq!(source.synced.failed["cards/2"].http_status, Some(403));
}

#[test]
fn an_answer_larger_than_a_page_is_spread_and_starts_over_when_it_changes_in_between() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = move |_: &Request| {
        // One item less from the third time on: without starting over, one would be passed over.
        let first = usize::from(count.fetch_add(1, Ordering::SeqCst) >= 2);
        Answer::json(&json!({ "items": slice(first, 23) }))
    };
    let mut source = Source::plain(server, items(json!({ "kind": "link_header" })));
    source.limits.max_items = 5;
    source.sync();
    assert!((1..23).all(|id| source.ids().contains(&format!("items/{id}").as_str())), "{:?}", source.ids());
    assert!(source.synced.exhaustive);
}

#[test]
fn an_answer_that_is_never_twice_the_same_ends_and_deletes_nothing() {
    let asked = AtomicUsize::new(0);
    let server = move |_: &Request| {
        Answer::json(&json!({ "items": slice(0, 23), "request": asked.fetch_add(1, Ordering::SeqCst) }))
    };
    let mut source = Source::plain(server, items(json!({ "kind": "link_header" })));
    source.limits.max_items = 5;
    source.sync();
    assert_eq!((source.synced.documents.len(), source.synced.exhaustive), (23, false));
}

#[test]
fn large_documents_are_spread_over_pages() {
    let server = |_: &Request| {
        let all = (0..20).map(|id| json!({ "id": id, "name": "n", "text": "x".repeat(300) }));
        Answer::json(&json!({ "items": all.collect::<Vec<_>>() }))
    };
    let mut with = items(json!({ "kind": "link_header" }));
    with["collections"][0]["document"]["body"] = json!(["/text"]);
    let mut source = Source::plain(server, with);
    source.limits.max_bytes = 1_000;
    source.sync();
    assert_eq!((source.synced.documents.len(), source.synced.pages), (20, 7));
}

#[test]
fn a_full_run_reads_everything_though_nothing_changed() {
    let incremental = json!({ "field": "/at", "formats": ["epoch_s"], "filter": "server", "lower_param": "since" });
    let server = |request: &Request| {
        Answer::json(&json!([{ "id": 1, "name": request.param("since").unwrap_or("all"), "at": 1_700_000_000 }]))
    };
    let mut source = Source::plain(server, changing(incremental, json!({ "kind": "none" })));
    source.sync();
    source.limits.full = true;
    source.sync();
    assert!(!source.urls()[0].contains("since"));
    assert_eq!(source.synced.written, 1);
}
