//! A connector that is what its [`SLOT`] says: a test overwrites it in the built component, so that one build gives any number of
//! connectors and versions. What it does, its configuration says: `{"do": "fetch", "url": "http://…"}`.
//!
//! Empty on any other target than WebAssembly.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use serde_json::Value as Json;

wit_bindgen::generate!({ world: "connector-plugin", path: "../../../wit/v0_1", generate_unused_types: true });

use exports::tributary::connector::connector::Guest;
use tributary::connector::{blobs, http, types::*};

/// A mark that is found in the component, then JSON, then blanks: id, version, schema, hosts.
static SLOT: [u8; 4096] =
    slot(br#"CHANGEABLE:{"id": "changeable", "version": "1.0.0", "schema": {"type": "object"}, "hosts": ["/url"]}"#);
const MARK: &[u8] = b"CHANGEABLE:";

const fn slot(text: &[u8]) -> [u8; 4096] {
    let mut slot = [b' '; 4096];
    let mut at = 0;
    while at < text.len() {
        slot[at] = text[at];
        at += 1;
    }
    slot
}

struct Changeable;
export!(Changeable);

fn told() -> Json {
    serde_json::from_slice(&black_box(SLOT.as_slice())[MARK.len()..]).expect("the test writes JSON")
}

fn text(json: &Json, name: &str) -> String {
    json[name].as_str().unwrap_or_default().to_owned()
}

impl Guest for Changeable {
    fn describe() -> Descriptor {
        let told = told();
        let hosts = told["hosts"].as_array().into_iter().flatten();
        Descriptor {
            id: text(&told, "id"),
            version: text(&told, "version"),
            title: "Changeable".into(),
            config_schema: told["schema"].to_string(),
            hosts: hosts.filter_map(Json::as_str).map(str::to_owned).collect(),
            roots: vec![],
            capabilities: Capabilities::empty(),
        }
    }

    fn check(config: String) -> Result<Vec<CheckItem>, Failure> {
        let config: Json = serde_json::from_str(&config).expect("the test writes JSON");
        if text(&config, "do") == "fetch" { fetch(&config).map(|_| vec![]) } else { Ok(vec![]) }
    }

    fn pull(request: PullRequest) -> Result<Page, Failure> {
        let config: Json = serde_json::from_str(&request.config).expect("the test writes JSON");
        let version = text(&told(), "version");
        match (text(&config, "do").as_str(), request.cursor) {
            ("trap", _) => panic!("this is deliberate"),
            ("fetch", _) => Ok(last(document("fetched", fetch(&config)?))),
            // The second page waits for whoever answers.
            ("two pages", None) => Ok(Page {
                changes: vec![document("first", format!("The first page came from version {version}."))],
                cursor: Some("second".into()),
                next: Next::More,
                progress: None,
            }),
            ("two pages", Some(_)) => {
                fetch(&config)?;
                Ok(Page {
                    next: Next::Complete,
                    ..last(document("second", format!("The second page came from version {version}.")))
                })
            }
            _ => Ok(last(document("hello", format!("The warranty of version {version} lasts two years.")))),
        }
    }
}

fn fetch(config: &Json) -> Result<String, Failure> {
    let answer = http::send(&http::Request {
        method: http::Method::Get,
        url: text(config, "url"),
        headers: vec![],
        body: None,
        credential: None,
        rates: vec![],
        max_bytes: 1000,
    })?;
    Ok(String::from_utf8_lossy(&blobs::read(answer.body, 0, 1000)?).into_owned())
}

fn last(change: Change) -> Page {
    Page { changes: vec![change], cursor: None, next: Next::CompleteExhaustive, progress: None }
}

fn document(id: &str, text: String) -> Change {
    Change::Upsert(Document {
        external_id: id.into(),
        title: id.into(),
        kind: "page".into(),
        language: None,
        content: Content::Sections(vec![Section { heading: vec![], text, at: None }]),
        fields: vec![],
        provenance: Provenance {
            url: None,
            retrieved_from: None,
            revision: None,
            etag: None,
            created_at: None,
            modified_at: None,
            authors: vec![],
            path: vec![],
            license: None,
        },
        fingerprint: None,
        container: None,
    })
}
