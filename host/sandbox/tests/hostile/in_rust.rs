//! The component `tests/components/misbehaving`, which does one bad thing at a time, and the extractor `probing`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use tributary_core::contract::{Change, Content, Fault};
use tributary_sandbox::{Blob, BlobLimits, Blobs, Extractor, HostServices, SandboxOptions};

use crate::support::{misbehaving, options, probing, pull, request, services, text};

/// Half a second of processor time; the deadline is what ends a call that a busy machine starves of it.
fn half_a_second() -> SandboxOptions {
    let mut options = options();
    options.pull.cpu_ms = 500;
    options.pull.deadline_ms = 700;
    options.pull.memory_bytes = 64 << 20;
    options
}

/// On one single thread: a guest that would not give way could not even be timed out.
#[tokio::test]
async fn four_bad_guests_end_in_time_while_a_sibling_works() {
    let connector = misbehaving(half_a_second()).await;
    let cases =
        [("loop", Fault::Deadline), ("eat memory", Fault::Memory), ("panic", Fault::Trap), ("recurse", Fault::Trap)];
    for (what, fault) in cases {
        let bad = async {
            let start = Instant::now();
            let failure = pull(&connector, json!({ "do": what })).await.unwrap_err();
            (failure, start.elapsed())
        };
        let sibling = async {
            let mut pages = 0;
            for _ in 0..20 {
                let page = pull(&connector, json!({"do": "count", "n": 100_000})).await.unwrap();
                assert!(!text(&page, "sum").is_empty());
                pages += 1;
            }
            pages
        };
        let ((failure, took), pages) = tokio::join!(bad, sibling);
        assert_eq!(failure.fault, fault, "{what}: {failure:?}");
        assert!(took < Duration::from_secs(2), "{what} took {took:?}");
        assert!(failure.message.starts_with("connector \"misbehaving\""), "{}", failure.message);
        assert_eq!(pages, 20, "the sibling of {what} went on");
    }
}

#[tokio::test]
async fn processor_time_is_what_is_measured() {
    let mut options = options();
    options.pull.cpu_ms = 100;
    let connector = misbehaving(options).await;
    let failure = pull(&connector, json!({"do": "loop"})).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Deadline, "cpu_budget"));
    // Waiting costs none of it, so the deadline has to end this one.
    let mut asked = request(json!({"do": "sleep"}));
    asked.deadline_ms = 300;
    let start = Instant::now();
    let failure = connector.pull(&asked, &services()).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Deadline, "deadline"));
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn endless_host_calls_end_by_processor_time_too() {
    let mut options = options();
    options.pull.cpu_ms = 300;
    let connector = misbehaving(options).await;
    for what in ["call the host for ever", "print for ever", "log for ever"] {
        let failure = pull(&connector, json!({ "do": what })).await.unwrap_err();
        assert_eq!(failure.fault, Fault::Deadline, "{what}: {failure:?}");
    }
}

#[tokio::test]
async fn memory_asked_for_at_once_is_refused_too() {
    let connector = misbehaving(options()).await;
    assert_eq!(pull(&connector, json!({"do": "grow memory at once"})).await.unwrap_err().fault, Fault::Memory);
    assert_eq!(
        pull(&connector, json!({"do": "giant text", "n": 1 << 30})).await.unwrap_err().fault,
        Fault::Memory,
        "a page of a gigabyte"
    );
}

#[tokio::test]
async fn without_reserved_address_space_the_limits_are_the_same() {
    let mut options = SandboxOptions { pooling: false, ..options() };
    options.pull.cpu_ms = 1_000;
    options.pull.memory_bytes = 64 << 20;
    let connector = misbehaving(options).await;
    for (what, fault) in [("loop", Fault::Deadline), ("eat memory", Fault::Memory), ("recurse", Fault::Trap)] {
        assert_eq!(pull(&connector, json!({ "do": what })).await.unwrap_err().fault, fault, "{what}");
    }
    assert!(pull(&connector, json!({"do": "count", "n": 10})).await.is_ok());
}

/// Runs itself again under a limit that no pool fits into.
#[tokio::test]
async fn with_little_address_space_sandboxes_are_made_when_needed() {
    const LIMITED: &str = "TRIBUTARY_TEST_LIMITED";
    if std::env::var_os(LIMITED).is_none() {
        let name = "in_rust::with_little_address_space_sandboxes_are_made_when_needed";
        let status = std::process::Command::new("sh")
            .args(["-c", "ulimit -v 4000000 && exec \"$0\" --exact \"$1\""])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(LIMITED, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let connector = misbehaving(options()).await;
    assert!(pull(&connector, json!({"do": "count", "n": 10})).await.is_ok());
    assert_eq!(pull(&connector, json!({"do": "eat memory"})).await.unwrap_err().fault, Fault::Memory);
}

#[tokio::test]
async fn a_guest_that_exits_has_crashed() {
    let failure = pull(&misbehaving(options()).await, json!({"do": "exit"})).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Trap, "exited"));
}

#[tokio::test]
async fn too_much_at_once_is_refused() {
    let mut options = options();
    options.pull.result_bytes = 4 << 20;
    let connector = misbehaving(options).await;
    let cases = [
        (json!({"do": "many changes", "n": 257}), Fault::SourceContract, "page_too_large"),
        (json!({"do": "many changes", "n": 100_000}), Fault::TooLarge, "handed_over_too_much"),
        (json!({"do": "giant text", "n": 5 << 20}), Fault::TooLarge, "handed_over_too_much"),
        (json!({"do": "hand over at once", "n": 5 << 20}), Fault::TooLarge, "handed_over_too_much"),
        (json!({"do": "giant cursor", "n": 100_000}), Fault::SourceContract, "item_too_large"),
        (json!({"do": "blob flood"}), Fault::TooLarge, "page_full"),
        (json!({"do": "many blobs"}), Fault::TooLarge, "too_many_blobs"),
    ];
    for (config, fault, code) in cases {
        let limits = BlobLimits { max_total_bytes: 8 << 20, ..BlobLimits::default() };
        let services = HostServices { blobs: Arc::new(Blobs::new(limits)), ..services() };
        let failure = connector.pull(&request(config.clone()), &services).await.unwrap_err();
        assert_eq!((failure.fault, failure.code.as_str()), (fault, code), "{config}");
    }
    assert_eq!(pull(&connector, json!({"do": "many changes", "n": 256})).await.unwrap().changes.len(), 256);
}

#[tokio::test]
async fn a_bad_item_fails_alone() {
    let page = pull(&misbehaving(options()).await, json!({"do": "bad items"})).await.unwrap();
    let outcomes: Vec<_> = page
        .changes
        .iter()
        .map(|change| match change {
            Change::Upsert(document) => format!("+{}", document.external_id),
            Change::Failed(_, failure) => failure.code.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            "+good",
            "bad_external_id",
            "bad_external_id",
            "bad_external_id",
            "bad_kind",
            "bad_field",
            "item_too_large",
            "+url",
            "bad_external_id",
            "item_too_large"
        ]
    );
    assert_eq!(text(&page, "good"), "text\u{fffd}with NUL");
    let Change::Upsert(document) = &page.changes[7] else { panic!() };
    assert_eq!(document.provenance.url, None);
    assert_eq!(document.title, "two lines\\u{202e}");
}

#[tokio::test]
async fn a_failure_from_a_guest_is_made_presentable() {
    let failure = pull(&misbehaving(options()).await, json!({"do": "nothing known"})).await.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Config, "config"));
    assert_eq!(failure.message, "\\u{1b}[31munknown: nothing known");
    assert_eq!(failure.retry_after_ms, Some(86_400_000));
}

#[tokio::test]
async fn forged_blobs_find_nothing() {
    let connector = misbehaving(options()).await;
    let services = services();
    services.blobs.add(Blob::from_bytes("mine")).unwrap();
    for id in [0, 2, u64::MAX] {
        let page = connector.pull(&request(json!({"do": "forged blob", "id": id})), &services).await.unwrap();
        assert!(matches!(&page.changes[0], Change::Failed(_, failure) if failure.code == "unknown_blob"), "{page:?}");
        let failure =
            connector.pull(&request(json!({"do": "read forged blob", "id": id})), &services).await.unwrap_err();
        assert_eq!(failure.code, "unknown_blob");
    }
    let page = connector.pull(&request(json!({"do": "forged blob", "id": 1})), &services).await.unwrap();
    assert!(
        matches!(&page.changes[0], Change::Upsert(document) if matches!(document.content, Content::Blob { blob: 1, .. }))
    );
}

#[tokio::test]
async fn a_connector_sees_nothing_of_the_machine() {
    let page = pull(&misbehaving(options()).await, json!({"do": "look around"})).await.unwrap();
    assert_eq!(text(&page, "env"), "[]");
    assert_eq!(text(&page, "args"), "[]");
    assert_eq!(text(&page, "passwd"), "false");
    assert_eq!(text(&page, "root"), "false");
}

#[tokio::test]
async fn an_extractor_is_a_pure_function_of_its_blob() {
    let extractor = probing().await;
    let blob = Blob::from_bytes("hello");
    let first = extractor.worker().extract(&blob, "text/x", Some("a.x")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = extractor.worker().extract(&blob, "text/x", Some("a.x")).await.unwrap();
    assert_eq!(first, second);
    let found: Vec<_> = first.sections.iter().map(|section| section.text.as_str()).collect();
    assert_eq!(first.title.as_deref(), Some("Two lines"));
    assert_eq!(first.language.as_deref(), Some("de-AT"));
    assert_eq!(found[0], "time Ok(1577836800s)");
    assert_eq!(
        found[2..],
        [
            "elapsed 0ns",
            "input hello",
            "other blobs 0",
            "may create blobs false",
            "environment 0",
            "files false",
            "type text/x name Some(\"a.x\")",
            "file 1 of this instance",
        ]
    );
}

#[tokio::test]
async fn an_instance_is_kept_from_file_to_file_until_it_fails() {
    let mut worker = probing().await.worker();
    let mut extract = async |text: &'static str| {
        let extracted = worker.extract(&Blob::from_bytes(text), "text/x", None).await;
        extracted.map(|extracted| extracted.sections.last().unwrap().text.clone())
    };
    assert_eq!(extract("one").await.unwrap(), "file 1 of this instance");
    assert_eq!(extract("two").await.unwrap(), "file 2 of this instance");
    assert_eq!(extract("refuse").await.unwrap_err().code, "refused");
    assert_eq!(extract("four").await.unwrap(), "file 4 of this instance", "saying no is an answer");
    assert_eq!(extract("panic").await.unwrap_err().fault, Fault::Trap);
    assert_eq!(extract("one again").await.unwrap(), "file 1 of this instance");
    assert_eq!(extract("poison").await.unwrap(), "file 2 of this instance");
    assert_eq!(extract("next").await.unwrap(), "file 1 of this instance", "no file spoils the next one");
    assert_eq!(extract("grow").await.unwrap(), "file 2 of this instance");
    assert_eq!(extract("after").await.unwrap(), "file 1 of this instance", "what has grown large is not kept");
}

#[tokio::test]
async fn when_all_sandboxes_are_in_use_a_call_is_told_to_come_back() {
    let connector = misbehaving(SandboxOptions { max_calls: 1, max_wait_ms: 50, ..half_a_second() }).await;
    let (long, short) = tokio::join!(pull(&connector, json!({"do": "loop"})), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        pull(&connector, json!({"do": "count", "n": 1})).await
    });
    assert_eq!(long.unwrap_err().fault, Fault::Deadline);
    let failure = short.unwrap_err();
    assert_eq!((failure.fault, failure.code.as_str()), (Fault::Transient, "sandbox_busy"));
    assert!(pull(&connector, json!({"do": "count", "n": 1})).await.is_ok(), "the place is free again");
}

#[tokio::test]
async fn check_is_limited_like_a_pull() {
    let mut options = options();
    options.check.cpu_ms = 100;
    let connector = misbehaving(options).await;
    let failure = connector.check(r#"{"do": "loop"}"#, &services()).await.unwrap_err();
    assert_eq!(failure.code, "cpu_budget");
}
