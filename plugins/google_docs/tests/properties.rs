//! Whatever stands in Google's answers, a run or check ends soon, in a typed failure or in documents, and never in a panic.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};
use support::World;
use tributary_fakes::{
    Secret,
    google::{DOCUMENT, DRIVE_READONLY},
    script,
};
use tributary_plugin_sdk::{
    Failure, Fault, HttpRequest,
    testing::{Answer, TestHost},
};

/// Most requests of two runs and a check over a handful of files, whatever their answers say.
const MOST_REQUESTS: usize = 1_000;

/// Parts of the addresses of everything that is asked for; each has its own parser.
const PLACES: [&str; 10] = [
    "/about?",
    "/files/handbook?",
    "/files/single?",
    "/files/welcome/export?",
    "/files/guide?",
    "/files?",
    "/changes/startPageToken?",
    "/changes?",
    "/drives/",
    "/documents/",
];

/// A world whose reading takes every kind of request, and some of whose answers are made worse.
fn world(place: usize, spoil: Spoil) -> World {
    let world = World::new()
        .configured("files", json!(["single"]))
        .configured("shared_drives", json!(["0Adrive"]))
        .items_per_page(4);
    let google = &world.google;
    google.add_drive("0Adrive", "Company");
    google.add("plan", "Plan", DOCUMENT, Some("0Adrive"), "The plan.");
    google.add("single", "Single", DOCUMENT, None, "By itself.");
    google.share("single");
    google.add_shortcut("again", "Again", "handbook", "single");
    google.add("long", "Long", DOCUMENT, Some("handbook"), "# One\nFirst things first.\n## Two\nThen others.");
    google.set_export_cap_bytes(30);
    let google = script(google.clone(), &[("google", Secret::Token(google.token(&[DRIVE_READONLY])))]);
    let asked = AtomicUsize::new(0);
    let answers = move |request: &HttpRequest| -> Result<Answer, Failure> {
        if asked.fetch_add(1, Relaxed) > MOST_REQUESTS {
            return Err(Failure::internal("endless", "It asks and asks."));
        }
        let answer = google(request)?;
        Ok(if request.url.contains(PLACES[place]) { spoil.apply(answer) } else { answer })
    };
    World { host: TestHost::new().with_http(answers), ..world }
}

/// What becomes of an answer.
#[derive(Clone, Debug)]
enum Spoil {
    /// Some of the values in it are others: which one, counted round, and what stands there. Null takes it away.
    Values(Vec<(usize, Value)>),
    /// Another answer.
    Instead(u16, Value),
    /// Bytes that are no JSON.
    Bytes(u16, Vec<u8>),
    /// Its beginning.
    Cut(usize),
}

impl Spoil {
    fn apply(&self, answer: Answer) -> Answer {
        let Answer { body, .. } = &answer;
        match self {
            Self::Values(values) => {
                let Ok(mut json) = serde_json::from_slice::<Value>(body) else { return answer };
                for (number, value) in values {
                    let mut places = Vec::new();
                    collect(&json, String::new(), &mut places);
                    let at = places[number % places.len()].clone();
                    if let Some(there) = json.pointer_mut(&at) {
                        *there = value.clone();
                    }
                }
                Answer { body: json.to_string().into_bytes(), ..answer }
            }
            Self::Instead(status, value) => Answer::json(value).with_status(*status),
            Self::Bytes(status, bytes) => Answer::ok(bytes.clone()).with_status(*status),
            Self::Cut(length) => Answer { body: body[..length % (body.len() + 1)].to_vec(), ..answer },
        }
    }
}

/// Pointers to everything in a value.
fn collect(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| collect(value, format!("{at}/{name}"), places)),
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(number, value)| collect(value, format!("{at}/{number}"), places));
        }
        _ => {}
    }
    places.push(at);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = select(vec![
        json!(null),
        json!(true),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("x"),
        json!("handbook"),
        json!("welcome"),
        json!("0Adrive"),
        json!("../../about"),
        json!("a' or 'b"),
        json!("\u{0}\u{202e}\u{fffd}"),
        json!("application/vnd.google-apps.folder"),
        json!("application/vnd.google-apps.shortcut"),
        json!("application/vnd.google-apps.document"),
        json!("9999999999-12-31T23:59:60Z"),
        json!("-292277022657-01-27T08:29:52Z"),
        json!("18446744073709551616"),
        json!("ä".repeat(5_000)),
        json!("userRateLimitExceeded"),
        json!("HEADING_9"),
    ]);
    let names = vec![
        "id",
        "name",
        "mimeType",
        "parents",
        "files",
        "changes",
        "file",
        "fileId",
        "driveId",
        "kind",
        "nextPageToken",
        "newStartPageToken",
        "startPageToken",
        "error",
        "errors",
        "reason",
        "message",
        "details",
        "user",
        "tabs",
        "documentTab",
        "body",
        "content",
        "paragraph",
        "elements",
        "textRun",
        "table",
        "childTabs",
        "shortcutDetails",
        "targetId",
    ];
    leaf.prop_recursive(6, 40, 6, move |inner| {
        let names = select(names.clone()).prop_map(str::to_owned);
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((names, inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let status = || select(vec![200, 204, 400, 401, 403, 404, 410, 418, 429, 500, 503]);
    prop_oneof![
        6 => vec((any::<usize>(), value()), 1..4).prop_map(Spoil::Values),
        2 => (status(), value()).prop_map(|(status, value)| Spoil::Instead(status, value)),
        1 => (status(), vec(any::<u8>(), 0..64)).prop_map(|(status, bytes)| Spoil::Bytes(status, bytes)),
        1 => any::<usize>().prop_map(Spoil::Cut),
        1 => (1..2_000_usize).prop_map(|depth| Spoil::Bytes(200, "[{\"tabs\":".repeat(depth).into_bytes())),
    ]
}

/// What was answered has no say in where is asked, but for ids; tokens are parameters.
fn is_sane(url: &str) -> bool {
    let (path, parameters) = url.split_once('?').unwrap_or((url, ""));
    let plain = |char: char| char.is_ascii_alphanumeric() || "/:.-_".contains(char);
    !path.contains("..") && path.chars().all(plain) && !parameters.contains("a%27+or+%27b")
}

fn is_typed(failure: &Failure) -> bool {
    failure.fault != Fault::Internal
        && failure.code != "contract_broken"
        && !failure.message.is_empty()
        && failure.message.len() < 2_000
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_answers_end_in_typed_failures_or_documents(place in 0..PLACES.len(), spoil in spoil(), full in any::<bool>()) {
        let mut world = world(place, spoil);
        for _ in 0..2 {
            if let Err(failure) = world.sync() {
                prop_assert!(is_typed(&failure), "{failure:?}");
            }
            prop_assert!(world.synced.failed.values().all(is_typed), "{:?}", world.synced.failed);
            let requests = world.host.take_requests();
            let state: usize = world.host.memory().values().map(String::len).sum();
            prop_assert!(state < 64 << 10, "{state} bytes of state");
            let strange = requests.iter().find(|request| !is_sane(&request.url));
            prop_assert!(strange.is_none(), "{strange:?}");
            world.limits.full = full;
        }
        for item in world.check() {
            prop_assert!(item.message.is_none_or(|message| message.len() < 2_000));
        }
    }
}
