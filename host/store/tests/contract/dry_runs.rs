//! Dry runs: what would change is listed, and nothing does.

use std::collections::BTreeMap;

use tributary_core::{
    contract::{Fault, Gone},
    ledger::Ledger,
    run::{ChangeKind, FailedItem, RunKind, RunStatus},
    source::Health,
};
use tributary_store::{Error, Prune};

use crate::support::{BASIS, Page, draft, unchanged, worlds};

#[tokio::test]
async fn a_dry_run_lists_adds_changes_and_deletes_and_leaves_the_source_as_it_is() {
    for world in worlds().await {
        let state = |value: &str| BTreeMap::from([("token".to_owned(), Some(value.to_owned()))]);
        let mut first = world.begin(RunKind::Sync).await;
        let drafts = ["same", "changed", "deleted", "missing"].map(|name| draft(name, "text")).to_vec();
        first.commit(Page { drafts, state: state("old"), ..Page::default() }).await;
        first.finish(Some(Prune::default())).await;
        let before = (world.live().await, world.tenant.position().await.unwrap());
        let source = world.tenant.get_source(world.source.id).await.unwrap();

        let mut dry = world.begin(RunKind::DryRun).await;
        let busy = world.tenant.create_run(tributary_store::NewRun { kind: RunKind::DryRun, ..world.new_run() }).await;
        assert!(matches!(busy, Err(Error::AlreadyRunning { .. })), "{}: one at a time", world.name());
        let refused = dry.try_commit(Page { drafts: vec![draft("x", "x")], ..Page::default() }).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid(_)), "{}: a dry run commits nothing: {refused}", world.name());
        let page = dry.page(Page {
            drafts: vec![unchanged("same"), draft("changed", "otherwise"), draft("new", "text")],
            deletes: vec![("deleted".to_owned(), Gone::Trashed)],
            failed: vec![FailedItem {
                external_id: "bad".to_owned(),
                fault: Fault::Permission,
                message: "No.".to_owned(),
            }],
            state: state("dry"),
            cursor: Some("page 2"),
            ..Page::default()
        });
        world.tenant.preview_page(&dry.lease, page).await.unwrap();
        dry.page_no += 1;
        let run = world.tenant.get_run(dry.run_id).await.unwrap();
        let own = world.tenant.ledger(&run, BASIS.to_owned()).state().await.unwrap();
        assert_eq!(own["token"], "dry", "{}: its next page sees what it wrote", world.name());
        let finished = dry.finish(Some(Prune::default())).await;
        assert_eq!((finished.run.status, finished.held), (RunStatus::Succeeded, None), "{}", world.name());
        let counts = finished.run.counts;
        assert_eq!((counts.added, counts.updated, counts.unchanged, counts.failed), (1, 1, 1, 1), "{}", world.name());

        let listed = world.tenant.preview(dry.run_id, None, -1, 100).await.unwrap().items;
        let listed: Vec<_> = listed.iter().map(|it| (it.change, it.external_id.as_str(), it.title.as_str())).collect();
        let expected = [
            (ChangeKind::Update, "changed", "Title of changed"),
            (ChangeKind::Add, "new", "Title of new"),
            (ChangeKind::Delete, "deleted", "Title of deleted"),
            (ChangeKind::Delete, "missing", "Title of missing"),
        ];
        // One that the connector called gone is not named either: it is listed once.
        assert_eq!(listed, expected, "{}", world.name());
        let deletes = world.tenant.preview(dry.run_id, Some(ChangeKind::Delete), -1, 1).await.unwrap();
        assert_eq!((deletes.items[0].external_id.as_str(), deletes.more), ("deleted", true));
        let rest =
            world.tenant.preview(dry.run_id, Some(ChangeKind::Delete), deletes.items[0].item_no, 1).await.unwrap();
        assert_eq!((rest.items[0].external_id.as_str(), rest.more), ("missing", false));
        assert_eq!(counts.deleted, 2, "{}", world.name());

        assert_eq!((world.live().await, world.tenant.position().await.unwrap()), before, "{}", world.name());
        assert_eq!(world.tenant.get_source(world.source.id).await.unwrap(), source, "{}", world.name());
        let next = world.begin(RunKind::Sync).await;
        let ledger = world.tenant.ledger(&world.tenant.get_run(next.run_id).await.unwrap(), BASIS.to_owned());
        assert_eq!(ledger.state().await.unwrap()["token"], "old", "{}", world.name());
        let known = ledger.lookup(vec!["changed".to_owned(), "new".to_owned()]).await.unwrap();
        assert_eq!(known, [Some("fp:text".to_owned()), None], "{}", world.name());
    }
}

#[tokio::test]
async fn a_dry_run_says_what_the_guard_would_hold_and_holds_nothing() {
    for world in worlds().await {
        world.sync((0..100).map(|number| draft(&format!("{number:03}"), "text")).collect()).await;
        let dry = world.begin(RunKind::DryRun).await;
        let finished = dry.finish(Some(Prune::default())).await;
        assert_eq!(finished.run.error.unwrap().code, "deletions_would_be_held", "{}", world.name());
        assert_eq!((finished.run.status, finished.run.counts.deleted), (RunStatus::Succeeded, 100));
        assert!(world.tenant.find_hold(world.source.id).await.unwrap().is_none(), "{}", world.name());
        assert_eq!(world.tenant.get_source(world.source.id).await.unwrap().health, Health::Healthy, "{}", world.name());
        assert_eq!(world.live().await.len(), 100);
    }
}
