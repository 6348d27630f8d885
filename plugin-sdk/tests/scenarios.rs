//! What the test kit tells the author of a connector: scenarios, and the contract that connectors must keep.
#![allow(clippy::unwrap_used)]

use serde::Deserialize;
use serde_json::{Value, json};
use tributary_plugin_sdk::{testing::*, *};

/// A connector that behaves, or misbehaves in one way.
struct Items<const WAY: u8>;

const GOOD: u8 = 0;
const PANICS_AT_HTML: u8 = 1;
const TAKES_ERRORS_FOR_EMPTY: u8 = 2;
const SENDS_ALL_AGAIN: u8 = 3;
const COUNTS_ITS_CALLS: u8 = 4;
const NEVER_ENDS: u8 = 5;
const CALLS_HOME: u8 = 6;
const CALLS_EVERYTHING_TRANSIENT: u8 = 7;
const OFFERS: u8 = 8;
const OFFERS_NUMBERS: u8 = 9;
const OFFERS_FOR_EVER: u8 = 10;
const OFFERS_IN_A_CIRCLE: u8 = 11;
const OFFERS_UNMARKED: u8 = 12;
const PANICS_AT_OFFERING: u8 = 13;

#[derive(Deserialize)]
struct Config {
    base_url: String,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    text: String,
}

impl<const WAY: u8> Items<WAY> {
    fn items(host: &dyn Host, config: &Config, page: u32) -> Result<Vec<Item>, Failure> {
        let answer = host.send(&HttpRequest::get(format!("{}/items?page={page}", config.base_url)))?;
        match WAY {
            TAKES_ERRORS_FOR_EMPTY if !answer.is_success() => Ok(Vec::new()),
            CALLS_EVERYTHING_TRANSIENT if !answer.is_success() => Err(Failure::transient("oops", "Try again later.")),
            PANICS_AT_HTML => Ok(answer.success(host)?.json(host).unwrap()),
            _ => answer.success(host)?.json(host),
        }
    }
}

impl<const WAY: u8> Connector for Items<WAY> {
    type Config = Config;

    fn describe() -> Descriptor {
        Descriptor {
            id: "items".into(),
            version: "1.0.0".into(),
            title: "Items".into(),
            config_schema: json!({
                "type": "object", "required": ["base_url"],
                "properties": {"shops": {"items": {"type": "string", "x-browse": WAY != OFFERS_UNMARKED}}},
            })
            .to_string(),
            hosts: vec!["/base_url".into()],
            roots: vec![],
            capabilities: if WAY >= OFFERS { Capabilities::BROWSE } else { Capabilities::empty() },
        }
    }

    fn browse(_: &dyn Host, _: Value, request: &Browse) -> Result<Choices, Failure> {
        let place = request.at.clone().unwrap_or_default();
        let after: u32 = request.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or_default();
        let next = match WAY {
            OFFERS_FOR_EVER => Some((after + 1).to_string()),
            OFFERS_IN_A_CIRCLE => Some("1".to_owned()),
            PANICS_AT_OFFERING => panic!("there is nothing"),
            _ => (after < 2).then(|| (after + 1).to_string()),
        };
        let choice = match WAY {
            OFFERS_NUMBERS => Choice::new("five", 5),
            _ if place.len() > 3 => Choice::new("leaf", "leaf").described("as far as it goes"),
            _ => Choice::new("shop", format!("{place}{after}")).opens(format!("{place}{after}")),
        };
        Ok(Choices { items: vec![choice], next })
    }

    fn check(host: &dyn Host, config: Config) -> Result<Vec<CheckItem>, Failure> {
        Self::items(host, &config, 1)?;
        Ok(vec![CheckItem::ok("items")])
    }

    fn pull(host: &dyn Host, config: Config, request: &PullRequest) -> Result<Page, Failure> {
        let page: u32 = request.cursor()?.unwrap_or(1);
        if WAY == CALLS_HOME {
            let _ = host.send(&HttpRequest::get("https://home.test/"));
        }
        let items = Self::items(host, &config, page)?;
        let ids: Vec<_> = items.iter().map(|item| item.id.clone()).collect();
        let known = host.lookup(&ids)?;
        let mut changes = Vec::new();
        for (item, known) in items.iter().zip(known) {
            let unchanged = known.as_ref() == Some(&item.text) && WAY != SENDS_ALL_AGAIN;
            let content = if unchanged { Content::Unchanged } else { Content::text(&item.text) };
            let mut document = Document::new(&item.id, "item", content).fingerprinted(&item.text);
            if WAY == COUNTS_ITS_CALLS {
                static CALLS: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);
                document = document.field("call", CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            }
            changes.push(document.into());
        }
        match items.is_empty() {
            true if WAY == NEVER_ENDS => Page::more(changes, &page),
            true => Ok(Page::complete_exhaustive(changes)),
            false => Page::more(changes, &(page + 1)),
        }
    }
}

fn scenario(change: impl FnOnce(&mut Value)) -> Scenario {
    let mut scenario = json!({
        "name": "items",
        "config": {"base_url": "https://shop.test"},
        "http": [
            {"request": {"url": "https://shop.test/items?page=1"}, "response": {"json": [{"id": "a", "text": "one"}, {"id": "b", "text": "two"}]}},
            {"request": {"url": "https://shop.test/items?page=2"}, "response": {"json": [{"id": "c", "text": "three"}]}},
            {"request": {"url": "https://shop.test/items?page=3"}, "response": {"json": []}},
        ],
        "expect": {"documents": {"a": {"text": "one"}, "b": {}, "c": {}}, "requests": 3, "exhaustive": true},
    });
    change(&mut scenario);
    Scenario::parse(&scenario.to_string()).unwrap()
}

fn problems<const WAY: u8>(scenario: &Scenario) -> String {
    play(&Native::<Items<WAY>>::new(), scenario).problems.join("\n")
}

#[test]
fn a_scenario_that_is_met_says_nothing() {
    assert_eq!(problems::<GOOD>(&scenario(|_| {})), "");
}

#[test]
fn a_scenario_says_everything_that_is_not_as_expected() {
    for (change, said) in [
        (
            json!({"expect": {"documents": {"a": {"text": "uno"}}}}),
            "a: the text does not contain \"uno\"; it is \"one\"\nthe document b was not expected",
        ),
        (
            json!({"expect": {"documents": {"z": {}}, "more_documents": true}}),
            "the document z is not there; there are a, b, c",
        ),
        (
            json!({"expect": {"requests": 2}}),
            "3 requests were sent where at most 2 may be: GET https://shop.test/items?page=1",
        ),
        (json!({"expect": {"exhaustive": false}}), "the run did say that it named everything"),
        (json!({"expect": {"failure": "rate_limited"}}), "the run did not fail with rate_limited, it ended well"),
        (json!({"expect": {"failed": {"a": "not_found"}}}), "the item a did not fail with not_found"),
        (json!({"expect": {"written": ["a"]}}), "documents sent with their content: a, b, c, not a"),
        (json!({"config": {}}), "does not fit the connector's schema: \"base_url\" is a required property"),
        (json!({"http": []}), "GET https://shop.test/items?page=1 has no answer: the scenario scripts none"),
        (
            json!({"http": [{"request": {"url": "https://shop.test/items?page=7"}, "response": {}}]}),
            "the nearest is GET https://shop.test/items: parameter page is \"1\" where \"7\" is scripted",
        ),
        (
            json!({"http": [{"request": {"url": "https://shop.test/items"}, "response": {"status": 429, "headers": {"retry-after": "3"}}}], "expect": {"failure": "auth_invalid"}}),
            "the run failed with rate_limited/rate_limited: https://shop.test/items answered 429; it is tried again later, not with auth_invalid",
        ),
    ] {
        let found = problems::<GOOD>(&scenario(|scenario| {
            scenario.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        }));
        assert!(found.contains(said), "{change}\nshould say {said}\nbut says {found}");
    }
}

#[test]
fn runs_follow_each_other_over_what_is_known() {
    let scenario = scenario(|scenario| {
        let object = scenario.as_object_mut().unwrap();
        object.remove("expect");
        object.insert(
            "runs".into(),
            json!([
                {"expect": {"written": ["a", "b", "c"]}},
                {"expect": {"written": []}},
                {"full": true, "expect": {"written": ["a", "b", "c"]}},
                {"http": [
                    {"request": {"url": "https://shop.test/items?page=1"}, "response": {"json": [{"id": "b", "text": "new"}]}},
                    {"request": {"url": "https://shop.test/items?page=2"}, "response": {"json": []}},
                ], "expect": {"documents": {"b": {"text": "new"}}, "deleted": ["a", "c"]}},
                {"http": [{"request": {"url": "https://shop.test/items"}, "response": {"status": 500}}],
                 "expect": {"failure": "source_unavailable", "documents": {"b": {}}}},
            ]),
        );
    });
    assert_eq!(problems::<GOOD>(&scenario), "");
}

#[test]
fn a_connector_that_keeps_the_contract_conforms() {
    assert_eq!(conformance::<Items<GOOD>>(&scenario(|_| {})).problems, Vec::<String>::new());
    assert_eq!(conformance::<Items<OFFERS>>(&scenario(|_| {})).problems, Vec::<String>::new());
}

#[test]
fn each_way_of_breaking_the_contract_is_named() {
    fn broken<const WAY: u8>(said: &str) {
        let found = conformance::<Items<WAY>>(&scenario(|_| {})).problems.join("\n");
        assert!(found.contains(said), "should say {said}\nbut says {found}");
    }
    broken::<PANICS_AT_HTML>(
        "page=1 is answered with a page of HTML, it breaks: trap/panicked: the connector panicked",
    );
    broken::<TAKES_ERRORS_FOR_EMPTY>("when GET https://shop.test/items?page=1 is answered 500, it deletes a, b, c");
    broken::<SENDS_ALL_AGAIN>("a second run sends a again although the ledger has its fingerprint");
    broken::<COUNTS_ITS_CALLS>(
        "asked twice for the page at cursor none, it gave another one the second time (a differs)",
    );
    broken::<NEVER_ENDS>("the cursor did not move, so that reading would never end");
    broken::<CALLS_HOME>("it asks a host that its descriptor does not name: GET https://home.test/");
    broken::<CALLS_EVERYTHING_TRANSIENT>(
        "page=1 is answered 401, it fails with transient/oops: Try again later., where the fault is one of auth_invalid",
    );
    broken::<OFFERS_NUMBERS>("it offers 5 for /shops/0, which its own schema does not take: /shops/0");
    broken::<OFFERS_FOR_EVER>("the choices for /shops/0 do not end");
    broken::<OFFERS_IN_A_CIRCLE>("the choices for /shops/0 do not end");
    broken::<OFFERS_UNMARKED>("its schema marks no field \"x-browse\": true");
    broken::<PANICS_AT_OFFERING>("looking for values of /shops/0 breaks it: trap/panicked");
}
