//! Files as documents: what is new, what is unchanged, what is gone, what cannot be read.
#![allow(clippy::unwrap_used)]

mod support;

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use serde_json::json;
use support::Source;
use tributary_plugin_file::FileConnector;
use tributary_plugin_sdk::{CheckStatus, Failure, Fault, check};

#[test]
fn every_supported_file_becomes_a_document() {
    let mut source = Source::new().with(json!({ "base_url": "https://shop.example/help/" }));
    source.write("a.md", "# A");
    source.write("guide/b c.html", "<p>b");
    source.write("guide/deep/er/d.TXT", "d");
    source.write("logo.png", "x");
    source.write(".git/e.md", "e");
    assert!(source.sync().exhaustive);
    assert_eq!(source.ids(), ["a.md", "guide/b c.html", "guide/deep/er/d.TXT"]);
    let document = source.document("guide/b c.html");
    assert_eq!(source.text("guide/b c.html"), "text/html\n<p>b");
    assert_eq!(document.kind, "page");
    assert_eq!(document.provenance.path, ["guide", "b c.html"]);
    assert_eq!(document.provenance.url.as_deref(), Some("https://shop.example/help/guide/b%20c.html"));
    assert!(document.provenance.modified_at.unwrap() > 1_600_000_000_000);
}

#[test]
fn a_second_sync_opens_nothing_and_a_touched_file_is_hashed_once() {
    let mut source = Source::new();
    for n in 0..20 {
        source.write(&format!("{n}.md"), format!("{n}"));
    }
    source.sync();
    let opened = |source: &Source| source.host.calls().1;
    let first = opened(&source);
    source.sync();
    assert_eq!((source.counts(), opened(&source)), ((0, 20, 0), first));
    // Backwards in time is a difference too.
    source.touch("7.md", 1_000_000_000);
    source.sync();
    assert_eq!((source.counts(), opened(&source)), ((0, 20, 0), first + 1));
    source.sync();
    assert_eq!((source.counts(), opened(&source)), ((0, 20, 0), first + 1));
    assert_eq!(source.host.calls().2, 4, "one look-up per page");
}

#[test]
fn edits_and_deletions_are_seen_and_a_full_run_reads_everything() {
    let mut source = Source::new();
    for name in ["a.md", "b.md", "c/d.md"] {
        source.write(name, name);
    }
    source.sync();
    source.write("a.md", "longer than before");
    fs::remove_file(source.path("b.md")).unwrap();
    source.write("e.md", "e");
    source.sync();
    assert_eq!(source.counts(), (2, 1, 1));
    assert_eq!(source.ids(), ["a.md", "c/d.md", "e.md"]);
    source.limits.full = true;
    source.sync();
    assert_eq!(source.counts(), (3, 0, 0));
}

#[test]
fn a_root_that_is_gone_never_deletes() {
    let mut source = Source::new();
    source.write("a.md", "a");
    source.sync();
    fs::remove_file(source.path("a.md")).unwrap();
    fs::remove_dir(source.folder.path()).unwrap();
    let failure = source.try_sync().unwrap_err();
    assert_eq!((failure.fault, failure.config_pointer.as_deref()), (Fault::NotFound, Some("/root")));
    source.config["root"] = "other".into();
    let failure = source.try_sync().unwrap_err();
    assert_eq!((failure.code.as_str(), failure.config_pointer.as_deref()), ("root_not_granted", Some("/root")));
}

#[test]
fn a_folder_that_cannot_be_listed_is_reported_and_nothing_is_deleted() {
    let mut source = Source::new();
    source.write("a.md", "a");
    source.write("secret/b.md", "b");
    source.sync();
    source.host.fail_at("secret", Some(Failure::permission("unreadable", "the server may not read \"secret\"")));
    fs::remove_file(source.path("a.md")).unwrap();
    for max_items in [1, 256] {
        source.limits.max_items = max_items;
        assert!(!source.sync().exhaustive);
        assert_eq!(source.ids(), ["a.md", "secret/b.md"]);
        assert_eq!(source.failures(), [("secret", "the server may not read \"secret\"")]);
    }
    source.host.fail_at("secret", None);
    assert!(source.sync().exhaustive);
    assert_eq!(source.ids(), ["secret/b.md"]);
}

#[test]
fn one_unreadable_file_fails_alone_and_what_was_known_of_it_stays() {
    let mut source = Source::new().with(json!({ "max_file": "1KiB" }));
    source.write("a.md", "a");
    source.write("b.md", "b");
    source.sync();
    source.write("b.md", "changed");
    source.host.fail_at("b.md", Some(Failure::transient("io_error", "\"b.md\" could not be read: disk on fire")));
    fs::File::create(source.path("huge.md")).unwrap().set_len(2 << 30).unwrap();
    assert!(source.sync().exhaustive);
    assert_eq!(source.counts(), (0, 1, 0));
    assert_eq!(source.text("b.md"), "text/markdown\nb");
    assert_eq!(
        source.failures(),
        [
            ("b.md", "\"b.md\" could not be read: disk on fire"),
            ("huge.md", "It is 2 GiB long and files over 1 KiB are not read; split it or raise `max_file`."),
        ]
    );
}

#[test]
fn odd_names_are_handled() {
    for max_items in [1, 2, 3, 256] {
        let mut source = Source::new().paged(max_items);
        source.write("a.md", "a");
        source.write("u\u{308}ber.md", "Mac");
        source.write("é.md", "composed");
        source.write("e\u{301}.md", "decomposed");
        source.write("sub/z.md", "z");
        for name in [b"bad\xff.md".as_slice(), b"sub/worse\xfe.md"] {
            fs::write(source.folder.path().join(OsStr::from_bytes(name)), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc", source.path("etc")).unwrap();
        std::os::unix::fs::symlink("a.md", source.path("link.md")).unwrap();
        let long = "x".repeat(200);
        source.write(&format!("{}.md", [long.as_str(); 6].join("/")), "far down");
        source.sync();
        assert_eq!(source.ids(), ["a.md", "sub/z.md", "é.md", "über.md"], "{max_items}");
        let failed: Vec<&str> = source.failures().iter().map(|(_, message)| *message).collect();
        assert_eq!(
            failed,
            [
                "The name of `bad\u{fffd}.md` is not UTF-8, so it was left out; rename it.",
                "Another file has the same name in another Unicode spelling; rename one of them.",
                "The name of `worse\u{fffd}.md` is not UTF-8, so it was left out; rename it.",
                "Its path is longer than 1024 bytes; move it to a shorter path.",
            ]
        );
    }
}

#[test]
fn an_excluded_folder_is_not_entered() {
    let mut source = Source::new().with(json!({ "include": ["docs/**/*.md"], "exclude": ["**/draft/**"] }));
    source.write("docs/a.md", "a");
    source.write("docs/draft/b.md", "b");
    source.write("src/c.md", "c");
    source.host.fail_at("docs/draft", Some(Failure::permission("unreadable", "no")));
    source.host.fail_at("src", Some(Failure::permission("unreadable", "no")));
    assert!(source.sync().exhaustive);
    assert_eq!(source.ids(), ["docs/a.md"]);
}

#[test]
fn a_file_larger_than_a_page_comes_alone() {
    let mut source = Source::new();
    source.limits.max_bytes = 1_000;
    for n in 0..5 {
        source.write(&format!("{n}.txt"), "x".repeat(700));
    }
    source.write("big.txt", "y".repeat(5_000));
    source.sync();
    assert_eq!((source.ids().len(), source.synced.pages >= 6), (6, true));
}

#[test]
fn a_wrong_setting_is_named() {
    for (settings, pointer) in [
        (json!({ "include": ["a", "{"] }), "/include/1"),
        (json!({ "max_file": "big" }), "/max_file"),
        (json!({ "csv": { "rows_as": "lines" } }), "/csv/rows_as"),
        (json!({ "json": { "id": "sku" } }), "/json/id"),
        (json!({ "base_url": "ftp://x" }), "/base_url"),
        (json!({ "kind": "Big Thing" }), "/kind"),
        (json!({ "roots": "docs" }), "/roots"),
    ] {
        let mut wrong = Source::new().with(settings);
        wrong.write("a.md", "a");
        let failure = wrong.try_sync().unwrap_err();
        assert_eq!((failure.fault, failure.config_pointer.as_deref()), (Fault::Config, Some(pointer)), "{failure:?}");
    }
}

#[test]
fn a_cursor_of_another_version_starts_over() {
    let source = Source::new();
    let request = tributary_plugin_sdk::PullRequest {
        config: source.config.to_string(),
        cursor: Some("{\"page\":7}".into()),
        full: false,
        upper_bound: 0,
        max_items: 10,
        max_bytes: 1_000,
        deadline_ms: 1_000,
    };
    let failure = tributary_plugin_sdk::pull::<FileConnector>(&source.host, &request).unwrap_err();
    assert_eq!(failure.fault, Fault::CursorExpired);
}

#[test]
fn check_says_what_would_happen() {
    let source = Source::new();
    let look = |config: serde_json::Value| check::<FileConnector>(&source.host, &config.to_string()).unwrap();
    let last = |config| look(config).pop().unwrap();
    assert_eq!(
        last(json!({ "root": "docs" })).message.unwrap(),
        "The folder is empty; check that the right folder is mounted."
    );
    source.write("a.md", "a");
    assert!(look(json!({ "root": "docs" })).iter().all(|item| item.status == CheckStatus::Ok));
    let item = last(json!({ "root": "docs", "include": ["*.xml"] }));
    assert_eq!((item.status, item.config_pointer.as_deref()), (CheckStatus::Warning, Some("/include")));
    let item = last(json!({ "root": "docs", "exclude": ["["] }));
    assert_eq!((item.status, item.config_pointer.as_deref()), (CheckStatus::Failed, Some("/exclude/0")));
    let item = last(json!({ "root": "nowhere" }));
    assert_eq!((item.status, item.config_pointer.as_deref()), (CheckStatus::Failed, Some("/root")));
}
