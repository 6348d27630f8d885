//! How much is read for a caller who may see little of it.

use serde_json::json;
use tributary_core::{
    Clock, Instant, SystemClock, WorkspaceId,
    access::Power,
    audience::{Audience, FieldIs},
    citation::ConnectorRef,
    document::{ChunkDraft, DocumentDraft, DraftContent},
    hash::Sha256Hash,
    principal::{Actor, Grant, KeyLimits, Principal},
    query::FieldOp,
    run::Trigger,
};
use tributary_store::{
    Engine, NewWorkspace, Push,
    testing::{TestDb, databases},
};

use super::*;

const HIDDEN: usize = 25;

fn draft(name: &str, code: &serde_json::Value) -> DocumentDraft {
    let content = DraftContent {
        title: name.to_owned(),
        kind: "page".to_owned(),
        language: None,
        url: None,
        fields: [("code".to_owned(), code.clone()), ("shelf".to_owned(), json!("a"))].into(),
        provenance: Default::default(),
        content_hash: Sha256Hash::of(name),
        chunks: vec![ChunkDraft { section: vec![], locator: None, start: 0, text: name.to_owned() }],
        extraction: None,
    };
    DocumentDraft { external_id: name.to_owned(), fingerprint: None, container: None, content: Some(content) }
}

/// A workspace as somebody sees it who may see its last document alone. The others are alike to the record, so that it hands them out to
/// be looked at: the text "1" is the number 1 on PostgreSQL, and true is on SQLite.
async fn narrow(test: &TestDb) -> TenantDb {
    let now: Instant = SystemClock.now();
    let connector = ConnectorRef { id: "builtin:push".to_owned(), version: "1".to_owned(), digest: "d".to_owned() };
    let new = NewWorkspace { name: "Shop".into(), slug: "shop".into(), push_connector: connector.clone(), now };
    let workspace_id: WorkspaceId = test.db.system().create_workspace(new).await.unwrap().id;
    let tenant = test.db.system().tenant(workspace_id);
    let alike = if test.db.engine() == Engine::Sqlite { json!(true) } else { json!("1") };
    let mut drafts: Vec<_> = (0..HIDDEN).map(|n| draft(&format!("hidden {n}"), &alike)).collect();
    drafts.push(draft("seen", &json!(1)));
    // One after the other, so that the one to be seen is the last.
    for draft in drafts {
        let push = Push {
            source_id: tenant.push_source().await.unwrap().id,
            connector: connector.clone(),
            trigger: Trigger::Api,
            drafts: vec![draft],
            failed: vec![],
            basis: "b".to_owned(),
            bytes: 1,
            now,
        };
        tenant.push(push).await.unwrap();
    }
    let audience =
        Audience { field: Some(FieldIs { name: "code".into(), any_of: vec![json!(1)] }), ..Audience::everything() };
    let grant = Grant { workspace_id, power: Power::Scopes(vec![]), audience, archived: false };
    let principal = Principal {
        actor: Actor::Operator,
        instance_admin: false,
        grants: vec![grant],
        limits: KeyLimits::default(),
        visitor_limits: KeyLimits::default(),
    };
    test.db.tenant(&principal, workspace_id).await.unwrap().unwrap()
}

fn bounded(page: usize, count: usize) -> Documents {
    let bounds = Bounds { slice: 5, page, count };
    Documents { bounds, ..Documents::new(Wake::local()) }
}

fn on_the_shelf() -> [FieldFilter; 1] {
    [FieldFilter { name: "shelf".to_owned(), op: FieldOp::Eq, value: json!("a") }]
}

#[tokio::test]
async fn a_page_reads_so_many_documents_and_no_more_however_few_of_them_are_for_the_caller() {
    for test in databases().await {
        let tenant = narrow(&test).await;
        let (documents, filter) = (bounded(10, 10), DocumentFilter::default());
        let (mut cursor, mut pages) = (None, Vec::new());
        loop {
            let page = documents.list(&tenant, &filter, &on_the_shelf(), cursor, 10).await.unwrap();
            pages.push(page.items.len());
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(pages, [0, 0, 1], "{}", test.name);
    }
}

#[tokio::test]
async fn a_count_reads_so_many_documents_and_no_more_however_few_of_them_are_for_the_caller() {
    for test in databases().await {
        let tenant = narrow(&test).await;
        let filter = DocumentFilter::default();
        let refused = bounded(10, 20).count(&tenant, &filter, &[], None).await;
        assert!(matches!(refused, Err(Error::TooMany)), "{}: {refused:?}", test.name);
        let counted = bounded(10, 100).count(&tenant, &filter, &[], None).await.unwrap();
        assert_eq!(counted.0, 1, "{}", test.name);
    }
}
