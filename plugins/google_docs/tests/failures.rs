//! What an admin reads when Google refuses, and what becomes of the run.

mod support;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::json;
use support::World;
use tributary_fakes::google::{DOCUMENT, DRIVE_READONLY, Google, SPREADSHEET};
use tributary_plugin_sdk::{Fault, Gone, testing::Answer};

/// A world that was read once.
fn read() -> World {
    let mut world = World::new();
    world.sync().unwrap();
    world
}

#[test]
fn errors_of_the_account_end_the_run_with_what_to_do() {
    let library = "https://console.cloud.google.com/apis/library/drive.googleapis.com?project=1014";
    for (reason, fault, code, told) in [
        ("authError", Fault::AuthExpired, "google_token_rejected", "make a new key, or sign in again"),
        ("required", Fault::AuthInvalid, "google_login_required", "check the kind of the credential"),
        ("accessNotConfigured", Fault::Permission, "api_disabled", library),
        ("insufficientPermissions", Fault::Permission, "scope_missing", DRIVE_READONLY),
        ("domainPolicy", Fault::Permission, "domain_policy", "ask them to allow this project"),
        ("backendError", Fault::Transient, "google_unavailable", "status 500"),
        ("unavailable", Fault::Transient, "google_unavailable", "status 503"),
    ] {
        let mut world = read();
        world.google.edit("welcome", "Changed.");
        world.google.intercept(move |_| Some(Google::error(reason)));
        let failure = world.sync().unwrap_err();
        assert_eq!((failure.fault, failure.code.as_str()), (fault, code), "{reason}");
        assert!(failure.message.contains(told), "{reason}: {}", failure.message);
        assert!(failure.http_status.is_some() && world.ids().len() == 6);
        world.google.let_go();
        world.sync().unwrap();
        assert_eq!(world.text("welcome"), "text/markdown\nChanged.", "{reason}");
    }
}

#[test]
fn quotas_are_waited_for() {
    for (reason, seconds, waited_ms) in [
        ("userRateLimitExceeded", None, 1_000 + 2_000 + 4_000),
        ("rateLimitExceeded", Some(7), 21_000),
        ("sharingRateLimitExceeded", None, 7_000),
        ("tooManyRequests", Some(1), 3_000),
        ("dailyLimitExceeded", None, 3 * 3_600_000),
    ] {
        let mut world = read();
        world.google.edit("welcome", "Changed.");
        world.google.refuse_next(3, reason, seconds);
        world.sync().unwrap();
        assert_eq!(world.text("welcome"), "text/markdown\nChanged.", "{reason}");
        assert_eq!(world.synced.waited_ms, waited_ms, "{reason}");
    }
}

#[test]
fn a_quota_that_ends_in_the_middle_of_a_page_loses_nothing() {
    let mut world = World::new();
    let asked = AtomicU32::new(0);
    world.google.intercept(move |request| {
        let third = request.path.ends_with("/export") && asked.fetch_add(1, Relaxed) == 2;
        third.then(|| Google::error("userRateLimitExceeded"))
    });
    world.sync().unwrap();
    assert_eq!((world.ids().len(), world.synced.written, world.synced.waited_ms), (6, 6, 1_000));
}

#[test]
fn a_quota_that_is_never_given_back_ends_the_run() {
    let mut world = read();
    world.google.intercept(|_| Some(Google::error("userRateLimitExceeded")));
    let failure = world.sync().unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Transient, "quota_exhausted"));
    // Neither does it when everything but the content is given.
    let mut world = World::new();
    world.google.intercept(|request| request.path.ends_with("/export").then(|| Google::error("userRateLimitExceeded")));
    assert_eq!(world.sync().unwrap_err().code, "quota_exhausted");
}

#[test]
fn what_is_refused_of_one_file_is_of_that_file() {
    for reason in ["insufficientFilePermissions", "appNotAuthorizedToFile", "forbidden"] {
        let mut world = World::new();
        world.google.refuse("welcome", Some(reason));
        world.sync().unwrap();
        assert_eq!(world.synced.failed["welcome"].fault, Fault::Permission, "{reason}");
        assert!(world.synced.failed["welcome"].message.contains("share it with that account"));
        assert_eq!(world.ids().len(), 5);
        // Known before, and refused when it changes: the account lost it.
        let mut world = read();
        world.google.refuse("welcome", Some(reason));
        world.sync().unwrap();
        assert_eq!(world.synced.gone["welcome"], Gone::AccessLost, "{reason}");
    }
    let mut world = World::new();
    world.google.set_downloadable("guide", false);
    world.sync().unwrap();
    assert_eq!(world.synced.failed["guide"].code, "not_downloadable");
}

#[test]
fn a_file_that_google_cannot_give_is_left_to_the_next_run() {
    let mut world = World::new();
    world.google.intercept(|request| request.path.contains("/welcome/export").then(|| Google::error("backendError")));
    world.sync().unwrap();
    assert_eq!((world.synced.failed["welcome"].fault, world.ids().len()), (Fault::Transient, 5));
    world.google.let_go();
    world.sync().unwrap();
    assert!(world.ids().contains(&"welcome") && world.synced.failed.is_empty());
}

#[test]
fn when_no_file_can_be_had_the_run_fails_and_not_every_file() {
    let mut world = World::new();
    world.google.intercept(|request| {
        let content = request.path.ends_with("/export") || request.param("alt").is_some();
        content.then(|| Google::error("backendError"))
    });
    assert_eq!(world.sync().unwrap_err().code, "google_unavailable");
    assert!(world.synced.failed.len() < 3);
}

#[test]
fn long_documents_are_read_paragraph_by_paragraph_and_other_long_things_are_named() {
    let mut world = World::new();
    world.google.set_export_cap_bytes(30);
    world.google.add("long", "Long", DOCUMENT, Some("handbook"), "# One\nFirst things first.\n## Two\nThen others.");
    world.google.add("sheet", "Big", SPREADSHEET, Some("handbook"), "x".repeat(31));
    world.sync().unwrap();
    let long = format!("{:?}", world.synced.documents["long"].content);
    assert!(long.contains(r#"heading: ["One", "Two"], text: "Then others.""#), "{long}");
    assert_eq!((world.synced.failed["sheet"].fault, world.synced.failed.len()), (Fault::TooLarge, 1));

    let mut world = World::new().configured("max_file", json!("10B"));
    world.google.add("big", "big.txt", "text/plain", Some("handbook"), "x".repeat(11));
    world.sync().unwrap();
    assert_eq!(
        world.synced.failed["big"].message,
        "It is 11 bytes long and files over 10 bytes are not read; split it or raise `max_file`."
    );
    assert_eq!(world.synced.failed["welcome"].fault, Fault::TooLarge);
}

#[test]
fn formats_that_cannot_be_read_are_reported_when_asked_for() {
    let mut world = World::new().configured("unsupported", json!("report"));
    world.sync().unwrap();
    assert_eq!(world.synced.failed.keys().collect::<Vec<_>>(), ["logo", "survey"]);
    assert_eq!(world.synced.failed["logo"].message, "Files of type image/png cannot be read.");
}

#[test]
fn a_folder_that_cannot_be_listed_deletes_nothing() {
    let mut world = read();
    world.google.set_listable("teams", false);
    world.limits.full = true;
    world.google.trash("guide");
    world.sync().unwrap();
    assert!(!world.synced.exhaustive && world.synced.failed.contains_key("folder:teams"));
    assert!(world.ids().contains(&"sales") && world.ids().contains(&"notes"));
    // Without being asked, the next run lists again.
    world.limits.full = false;
    world.google.set_listable("teams", true);
    world.sync().unwrap();
    assert!(world.synced.exhaustive && world.synced.failed.is_empty());
    assert_eq!(world.ids(), ["notes", "pitch", "prices", "sales", "welcome"]);
}

#[test]
fn a_listing_that_says_it_is_not_complete_deletes_nothing() {
    let mut world = read();
    world.google.set_incomplete_search(true);
    world.limits.full = true;
    world.sync().unwrap();
    assert!(!world.synced.exhaustive);
}

#[test]
fn a_refusal_in_the_middle_of_a_listing_deletes_nothing() {
    for reason in ["forbidden", "backendError", "domainPolicy", "authError"] {
        let mut world = read().items_per_page(3);
        world.limits.full = true;
        let asked = AtomicU32::new(0);
        world.google.intercept(move |request| {
            let list = request.path == "/drive/v3/files";
            (list && asked.fetch_add(1, Relaxed) >= 1).then(|| Google::error(reason))
        });
        world.sync().unwrap_err();
        assert_eq!(world.ids().len(), 6, "{reason}");
    }
}

#[test]
fn a_configuration_that_does_not_fit_says_where() {
    let failure = World::new().configured("folders", json!(["welcome"])).sync().unwrap_err();
    assert_eq!(failure.message, "\"Welcome\" is no folder; put it under `files`.");
    let failure = World::new().configured("files", json!(["handbook"])).sync().unwrap_err();
    assert_eq!(failure.message, "\"Handbook\" is a folder; put it under `folders`.");
    let failure = World::new().configured("folders", json!(["nowhere"])).sync().unwrap_err();
    assert_eq!(
        failure.message,
        "The selected folder nowhere is not there for reader@tributary-test.iam.gserviceaccount.com; \
         share it with that account (Viewer), or take it out of the configuration."
    );
    let failure = World::new().configured("include", json!(["{a"])).sync().unwrap_err();
    assert_eq!(failure.config_pointer.as_deref(), Some("/include/0"));
}

#[test]
fn hostile_answers_are_typed_failures_and_delete_nothing() {
    let json = |value: serde_json::Value| Answer::json(&value);
    let file = |file: serde_json::Value| json(json!({ "kind": "drive#fileList", "files": [file] }));
    let answers = [
        Answer::ok("<html><body>Sign in to the network</body></html>").header("content-type", "text/html"),
        json(json!({})),
        json(json!([])),
        json(json!({ "kind": "drive#fileList", "files": "none" })),
        json(json!({ "kind": "drive#changeList", "changes": [{ "fileId": 7 }] })),
        json(json!({ "kind": "drive#changeList", "changes": [] })),
        json(json!({ "kind": "drive#changeList", "nextPageToken": "x".repeat(100_000) })),
        file(json!({ "name": "no id" })),
        file(json!({ "id": "a' or 'b", "mimeType": "text/plain" })),
        Answer::ok(vec![0xff, 0xfe, 0x00]),
        Answer::ok("[".repeat(100_000)),
        Answer::status(418),
        Answer::ok("moved").with_status(302),
    ];
    let mut world = read();
    for (place, answer) in answers.into_iter().enumerate() {
        for (path, full) in
            [("/drive/v3/changes", false), ("/drive/v3/files", true), ("/drive/v3/files/handbook", true)]
        {
            let answer = answer.clone();
            world.limits.full = full;
            world.google.intercept(move |request| (request.path == path).then(|| answer.clone()));
            let failure = world.sync().unwrap_err();
            assert_eq!(failure.fault, Fault::SourceContract, "{place} {path}: {failure:?}");
            assert_eq!(world.ids().len(), 6, "{place} {path}");
            world.google.let_go();
            world.limits.full = false;
            world.sync().unwrap();
        }
    }
}

#[test]
fn pages_without_an_end_end() {
    for (path, kind) in [("/drive/v3/files", "drive#fileList"), ("/drive/v3/changes", "drive#changeList")] {
        for same in [true, false] {
            let mut world = read();
            world.limits.full = path.ends_with("files");
            let asked = AtomicU32::new(0);
            world.google.intercept(move |request| {
                let number = if same { 0 } else { asked.fetch_add(1, Relaxed) };
                let answer = json!({ "kind": kind, "nextPageToken": format!("token{number}") });
                (request.path == path).then(|| Answer::json(&answer))
            });
            let failure = world.sync().unwrap_err();
            assert_eq!((failure.fault, failure.code.as_str()), (Fault::SourceContract, "endless_pages"));
        }
    }
}

#[test]
fn deletions_that_a_person_is_to_decide_on_do_not_confuse_the_next_run() {
    // The host keeps what a listing did not name, marks and documents, until somebody decides.
    let mut world = read();
    world.google.add_shared_folder("private", "Private");
    world.google.move_to("teams", Some("private"));
    let before = world.synced.documents.clone();
    world.sync().unwrap();
    for (id, document) in before {
        world.host.remember(&id, document.fingerprint.clone());
        world.synced.documents.entry(id).or_insert(document);
    }
    world.google.edit("sales", "Not for us.");
    world.sync().unwrap();
    assert!(!world.ids().contains(&"sales"), "it is outside of what is selected");
    world.google.move_to("teams", Some("handbook"));
    world.sync().unwrap();
    assert_eq!(world.text("sales"), "text/markdown\nNot for us.");
}
