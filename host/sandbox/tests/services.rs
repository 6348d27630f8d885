//! What a connector asks of the host during a page, and what the page leaves behind.
#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeMap, fs, sync::Arc};

use async_trait::async_trait;
use serde_json::json;
use support::{files, misbehaving, options, request, services_over, text};
use tributary_core::{
    contract::{Change, Content, Failure},
    ledger::Ledger,
};
use tributary_sandbox::{Files, HostServices, MAX_OPEN_ALL, Meter};

/// Has committed `a` and one value of state.
struct Committed;

#[async_trait]
impl Ledger for Committed {
    async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        Ok(external_ids.iter().map(|id| (id == "a").then(|| "f1".to_owned())).collect())
    }

    async fn state(&self) -> Result<BTreeMap<String, String>, Failure> {
        Ok(BTreeMap::from([("other".to_owned(), "kept".to_owned())]))
    }
}

fn committed() -> HostServices {
    HostServices::new(Arc::new(Files::none()), Arc::new(Committed), Arc::new(Meter::default()), "test")
}

#[tokio::test]
async fn a_full_traversal_does_not_see_the_ledger() {
    let connector = misbehaving(options()).await;
    let mut asked = request(json!({"do": "lookup"}));
    let page = connector.pull(&asked, &committed()).await.unwrap();
    assert_eq!(text(&page, "ledger"), r#"[Some("f1"), None]"#);
    asked.full = true;
    let page = connector.pull(&asked, &committed()).await.unwrap();
    assert_eq!(text(&page, "ledger"), "[None, None]");
}

#[tokio::test]
async fn state_written_by_a_page_is_handed_to_the_caller() {
    let connector = misbehaving(options()).await;
    let services = committed();
    let page = connector.pull(&request(json!({"do": "write state", "value": "v"})), &services).await.unwrap();
    assert_eq!(text(&page, "state"), r#"Some("v")"#);
    assert_eq!(services.state.into_writes(), BTreeMap::from([("k".to_owned(), Some("v".to_owned()))]));
    let large = "x".repeat(70_000);
    let failure = connector.pull(&request(json!({"do": "write state", "value": large})), &services).await.unwrap_err();
    assert_eq!(failure.code, "state_full");
}

#[tokio::test]
async fn a_file_arrives_as_a_blob_and_is_counted() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.txt"), "hello").unwrap();
    let connector = misbehaving(options()).await;
    let services = services_over(files(root.path()));
    let asked = request(json!({"do": "read", "root": "docs", "path": "a.txt", "max": 5}));
    let page = connector.pull(&asked, &services).await.unwrap();
    let Change::Upsert(document) = &page.changes[0] else { panic!("{page:?}") };
    let Content::Blob { blob, .. } = &document.content else { panic!("{document:?}") };
    assert_eq!(services.blobs.get(*blob).unwrap().read_all().unwrap(), "hello");
    assert_eq!((services.meter.bytes(), services.meter.requests()), (5, 2));
}

#[tokio::test]
async fn files_opened_together_are_answered_in_order_each_on_its_own() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a.txt"), "hello").unwrap();
    fs::write(root.path().join("long.txt"), "hello, hello").unwrap();
    let services = services_over(files(root.path()));
    let paths = ["long.txt", "a.txt", "missing.txt", "../a.txt", "a.txt"].map(str::to_owned).to_vec();
    let opened = services.open_all("docs".to_owned(), paths, 5).await.unwrap();
    let opened: Vec<_> = opened
        .into_iter()
        .map(|blob| blob.map(|blob| services.blobs.get(blob).unwrap().read_all().unwrap()).map_err(|it| it.code))
        .collect();
    assert_eq!(
        opened,
        [
            Err("file_too_large".to_owned()),
            Ok("hello".into()),
            Err("not_found".to_owned()),
            Err("path_not_allowed".to_owned()),
            Ok("hello".into())
        ]
    );
    assert_eq!((services.meter.bytes(), services.meter.requests()), (10, 2));
    let many = vec!["a.txt".to_owned(); MAX_OPEN_ALL + 1];
    assert_eq!(services.open_all("docs".to_owned(), many, 5).await.unwrap_err().code, "too_many_files");
}
