//! A connector that is what its [`SLOT`] says: a test overwrites it in the built component, so that one build gives any number of
//! connectors and versions. What it does, its configuration says: `{"do": "fetch", "url": "http://…"}`. How it carries over what another
//! version left, its slot says.
//!
//! Empty on any other target than WebAssembly.
#![cfg(target_arch = "wasm32")]

use std::hint::black_box;

use serde_json::Value as Json;

wit_bindgen::generate!({ world: "full-connector-plugin", path: "../../../wit/v0_1", generate_unused_types: true });

use exports::tributary::connector::{browse, connector::Guest, upgrade};
use tributary::connector::{blobs, http, state, types::*};

/// A mark that is found in the component, then JSON, then blanks: id, version, schema, hosts; `key` under which it remembers its
/// version, and `config` and `state` that say how they are carried over.
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
            capabilities: Capabilities::BROWSE,
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
            // What it remembers, and who wrote that.
            ("remember", _) => {
                let key = text(&told(), "key");
                let was = state::get(&key)?.unwrap_or_else(|| "nothing".into());
                state::set(&key, Some(&format!("the warranty of {version}")))?;
                Ok(last(document("memory", format!("It remembers {was}."))))
            }
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

impl upgrade::Guest for Changeable {
    fn upgrade_config(from_version: String, config: String) -> Result<String, Failure> {
        let told = told();
        let mut config: Json = serde_json::from_str(&config).expect("the test writes JSON");
        match text(&told["config"], "do").as_str() {
            "" => {}
            "rename" => {
                let (from, to) = (text(&told["config"], "from"), text(&told["config"], "to"));
                if let Some(value) = config.as_object_mut().and_then(|fields| fields.remove(&from)) {
                    config[to] = value;
                }
            }
            "set" => config[text(&told["config"], "to")] = told["config"]["value"].clone(),
            "refuse" => return Err(failure(&format!("Say which of the shops of {from_version} is meant."))),
            "reach" => drop(http::send(&request("http://127.0.0.1:1/".into()))?),
            "text" => return Ok("not JSON".into()),
            "spin" => loop {
                black_box(0);
            },
            _ => panic!("this is deliberate"),
        }
        Ok(config.to_string())
    }

    fn upgrade_state(
        from_version: String,
        state: Vec<(String, String)>,
    ) -> Result<Option<Vec<(String, String)>>, Failure> {
        let told = told();
        Ok(match told["state"].as_str().unwrap_or_default() {
            "" => Some(state),
            "rename" => {
                let carried = |value| format!("{value}, carried over from {from_version}");
                Some(state.into_iter().map(|(_, value)| (text(&told, "key"), carried(value))).collect())
            }
            "forget" => None,
            "refuse" => return Err(failure("This cannot be understood.")),
            _ => panic!("this is deliberate"),
        })
    }
}

impl browse::Guest for Changeable {
    fn browse(
        config: String,
        pointer: String,
        at: Option<String>,
        after: Option<String>,
    ) -> Result<browse::Choices, Failure> {
        let config: Json = serde_json::from_str(&config).expect("the test writes JSON");
        let choice = |title: &str, value: Json| browse::Choice {
            value: Some(value.to_string()),
            title: title.into(),
            description: None,
            opens: Some(format!("{}/{title}", at.as_deref().unwrap_or_default())),
        };
        match text(&config, "do").as_str() {
            "trap" => panic!("this is deliberate"),
            "fetch" => fetch(&config)
                .map(|found| browse::Choices { items: vec![choice(&found, found.clone().into())], next: None }),
            "flood" => Ok(browse::Choices { items: (0..201).map(|_| choice("drop", 1.into())).collect(), next: None }),
            _ if pointer != "/shop" => Err(failure("There is nothing to choose from here.")),
            _ => Ok(match after {
                None => browse::Choices { items: vec![choice("first", 1.into())], next: Some("first".into()) },
                Some(_) => browse::Choices { items: vec![choice("second", "two".into())], next: None },
            }),
        }
    }
}

fn failure(message: &str) -> Failure {
    Failure {
        fault: Fault::Config,
        code: "which_shop".into(),
        message: message.into(),
        retry_after_ms: None,
        config_pointer: Some("/shop".into()),
        http_status: None,
    }
}

fn request(url: String) -> http::Request {
    http::Request {
        method: http::Method::Get,
        url,
        headers: vec![],
        body: None,
        credential: None,
        rates: vec![],
        max_bytes: 1000,
    }
}

fn fetch(config: &Json) -> Result<String, Failure> {
    let answer = http::send(&request(text(config, "url")))?;
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
