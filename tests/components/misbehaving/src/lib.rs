//! A connector that does what its configuration says, one bad thing at a time: `{"do": "loop"}`.
//!
//! Written against the bare bindings: the SDK would stop half of this. Empty on any other target than WebAssembly.
#![cfg(target_arch = "wasm32")]

use std::{
    hash::{BuildHasher, RandomState},
    hint::black_box,
    time::{Duration, SystemTime},
};

use serde_json::Value as Json;

wit_bindgen::generate!({ world: "connector-plugin", path: "../../../wit/v0_1", generate_unused_types: true });

use exports::tributary::connector::connector::Guest;
use tributary::connector::{blobs, files, ledger, log, state, types::*};

struct Misbehaving;
export!(Misbehaving);

impl Guest for Misbehaving {
    fn describe() -> Descriptor {
        Descriptor {
            id: "misbehaving".into(),
            version: "0.1.0".into(),
            title: "Misbehaving".into(),
            config_schema: r#"{"type": "object"}"#.into(),
            hosts: vec![],
            roots: vec!["/root".into()],
            capabilities: Capabilities::INCREMENTAL,
        }
    }

    fn check(config: String) -> Result<Vec<CheckItem>, Failure> {
        act(&parse(&config), None).map(|_| vec![])
    }

    fn pull(request: PullRequest) -> Result<Page, Failure> {
        act(&parse(&request.config), Some(&request))
    }
}

fn parse(config: &str) -> Json {
    serde_json::from_str(config).expect("the test writes JSON")
}

fn act(config: &Json, request: Option<&PullRequest>) -> Result<Page, Failure> {
    let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| config[name].as_u64().unwrap_or_default();
    match text("do").as_str() {
        // Well behaved: works for a while and answers.
        "count" => {
            let mut sum = 0u64;
            for n in 0..number("n") {
                sum = black_box(sum.wrapping_mul(31).wrapping_add(n));
            }
            Ok(page(vec![document("sum", sum.to_string())]))
        }
        "loop" => loop {
            black_box(0);
        },
        "eat memory" => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(black_box(vec![1u8; 1 << 20]));
            }
        }
        "grow memory at once" => {
            black_box(vec![1u8; 1500 << 20]);
            Ok(page(vec![]))
        }
        "panic" => panic!("this is deliberate"),
        "exit" => std::process::exit(3),
        "recurse" => Ok(page(vec![document("depth", recurse(1).to_string())])),
        "sleep" => {
            std::thread::sleep(Duration::from_secs(3600));
            Ok(page(vec![]))
        }
        "call the host for ever" => loop {
            black_box(ledger::lookup(&["a".into()])?);
        },
        "print for ever" => loop {
            println!("{}", "x".repeat(1000));
        },
        "log for ever" => loop {
            log::log(log::Level::Error, "\u{1b}[2J flood", &[("a".into(), "b".into())]);
        },
        "many changes" => Ok(page((0..number("n")).map(|n| document(&n.to_string(), String::new())).collect())),
        "giant text" => Ok(page(vec![document("giant", "x".repeat(number("n") as usize))])),
        "giant cursor" => Ok(Page { cursor: Some("x".repeat(number("n") as usize)), ..page(vec![]) }),
        "bad items" => Ok(page(bad_items())),
        "forged blob" => Ok(page(vec![Change::Upsert(Document {
            content: Content::Blob((number("id"), "text/plain".into())),
            ..plain("forged")
        })])),
        "read forged blob" => blobs::read(number("id"), 0, 100).map(|_| page(vec![])),
        "blob flood" => loop {
            let blob = blobs::create()?;
            for _ in 0..64 {
                blobs::append(blob, &vec![7; 1 << 20])?;
            }
        },
        "many blobs" => loop {
            blobs::create()?;
        },
        "hand over at once" => {
            let blob = blobs::create()?;
            blobs::append(blob, &vec![7; number("n") as usize])?;
            Ok(page(vec![]))
        }
        "write state" => {
            state::set("k", Some(&text("value")))?;
            Ok(page(vec![document("state", format!("{:?}", state::get("k")?))]))
        }
        "lookup" => {
            let answers = ledger::lookup(&["a".into(), "b".into()])?;
            Ok(page(vec![document("ledger", format!("{answers:?}"))]))
        }
        "read" => {
            let blob = files::open(&text("root"), &text("path"), number("max").max(1))?;
            Ok(page(vec![Change::Upsert(Document {
                content: Content::Blob((blob, "text/plain".into())),
                ..plain(&text("path"))
            })]))
        }
        "list" => {
            let listing = files::list(&text("root"), &text("path"), None, 1000)?;
            Ok(page(listing.entries.iter().map(|entry| document(&entry.name, format!("{:?}", entry.kind))).collect()))
        }
        "look around" => Ok(page(vec![
            document("env", format!("{:?}", std::env::vars().collect::<Vec<_>>())),
            document("args", format!("{:?}", std::env::args().collect::<Vec<_>>())),
            document("passwd", format!("{:?}", std::fs::read("/etc/passwd").is_ok())),
            document("root", format!("{:?}", std::fs::read_dir("/").is_ok())),
        ])),
        "time and chance" => Ok(page(vec![
            document("time", format!("{:?} {:?}", SystemTime::now(), SystemTime::now().elapsed())),
            document("chance", RandomState::new().hash_one(0).to_string()),
        ])),
        "echo request" => Ok(page(vec![document("request", format!("{request:?}"))])),
        other => Err(Failure {
            fault: Fault::Config,
            code: "Not A Code \u{7}".into(),
            message: format!("\u{1b}[31munknown: {other}"),
            retry_after_ms: Some(u64::MAX),
            config_pointer: Some("/do".into()),
            http_status: None,
        }),
    }
}

fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == u64::MAX { 0 } else { recurse(depth + 1) + black_box(frame[7]) }
}

fn bad_items() -> Vec<Change> {
    let long = "x".repeat(2000);
    vec![
        document("good", "text\0with NUL".into()),
        document("", "no id".into()),
        document(&long, "long id".into()),
        document("a\nb", "control in id".into()),
        Change::Upsert(Document { kind: "No Kind".into(), ..plain("kind") }),
        Change::Upsert(Document { fields: vec![("n".into(), Value::Number(f64::NAN))], ..plain("nan") }),
        Change::Upsert(Document { fingerprint: Some(long.clone()), ..plain("fingerprint") }),
        Change::Upsert(Document {
            provenance: Provenance { url: Some("javascript:alert(1)".into()), ..provenance() },
            title: "two\nlines\u{202e}".into(),
            ..plain("url")
        }),
        Change::Delete((long.clone(), Gone::Deleted)),
        Change::Container(Container { external_id: "c".into(), fingerprint: long, unchanged: false }),
    ]
}

fn page(changes: Vec<Change>) -> Page {
    Page { changes, cursor: None, next: Next::Complete, progress: None }
}

fn document(id: &str, text: String) -> Change {
    Change::Upsert(Document {
        content: Content::Sections(vec![Section { heading: vec![], text, at: None }]),
        ..plain(id)
    })
}

fn plain(id: &str) -> Document {
    Document {
        external_id: id.into(),
        title: String::new(),
        kind: "page".into(),
        language: None,
        content: Content::Unchanged,
        fields: vec![],
        provenance: provenance(),
        fingerprint: None,
        container: None,
    }
}

fn provenance() -> Provenance {
    Provenance {
        url: None,
        retrieved_from: None,
        revision: None,
        etag: None,
        created_at: None,
        modified_at: None,
        authors: vec![],
        path: vec![],
        license: None,
    }
}
