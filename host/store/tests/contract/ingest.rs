//! A page: committed whole, once, and only where something differs.

use std::collections::BTreeMap;

use tributary_core::{
    contract::{Container, Fault, Gone},
    document::{DocumentDraft, Outcome},
    ledger::Ledger,
    run::{Counts, FailedItem, RunKind, RunStatus, Trigger},
};
use tributary_store::{Error, Push};

use crate::support::{BASIS, Page, at, connector, draft, unchanged, worlds};

#[tokio::test]
async fn documents_are_added_updated_and_left_alone() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let drafts = vec![draft("a", "one\ntwo\n"), draft("b", "x")];
        let added = running.commit(Page { drafts, ..Page::default() }).await;
        assert_eq!(added.position, Some(1), "{}", world.name());
        assert_eq!(added.counts, Counts { seen: 2, added: 2, ..Counts::default() });
        assert!(added.committed.iter().all(|it| it.outcome == Outcome::Added && it.version == 1));

        let mut moved = draft("b", "x");
        moved.fingerprint = Some("another".to_owned());
        let again = running.commit(Page { drafts: vec![draft("a", "one\nthree\n"), moved], ..Page::default() }).await;
        assert_eq!(again.position, Some(2));
        assert_eq!(again.counts, Counts { seen: 2, updated: 1, unchanged: 1, ..Counts::default() });
        assert_eq!(again.committed[0].version, 2);
        assert_eq!(again.committed[0].document_id, added.committed[0].document_id, "an id is kept over versions");

        let live = world.live().await;
        assert_eq!(live["a"], (2, "one\nthree\n".to_owned()));
        assert_eq!(live["b"], (1, "x".to_owned()));
        let id = added.committed[0].document_id;
        let old = world.tenant.find_version(id, 1).await.unwrap().unwrap();
        assert_eq!(
            old.chunks.iter().map(|chunk| chunk.text.as_str()).collect::<String>(),
            "one\ntwo\n",
            "old versions stay"
        );
        assert_eq!(old.chunks, draft("a", "one\ntwo\n").content.unwrap().chunks);
        assert!(world.tenant.find_version(id, 3).await.unwrap().is_none());

        let whole = world.tenant.find_document(id).await.unwrap().unwrap();
        let content = draft("a", "one\nthree\n").content.unwrap();
        assert_eq!(whole.document.fields, content.fields);
        assert_eq!(whole.document.provenance, content.provenance);
        assert_eq!(whole.document.content_hash, content.content_hash);
        assert_eq!((whole.document.created_at, whole.document.updated_at), (at(10), at(11)));
        assert_eq!(whole.document.change_seq, 2);

        let run = running.finish(None).await.run;
        assert_eq!((run.page_no, run.position, run.bytes, run.requests), (2, Some(2), 20, 2));
        assert_eq!(run.counts, Counts { seen: 4, added: 2, updated: 1, unchanged: 1, ..Counts::default() });
    }
}

#[tokio::test]
async fn a_page_of_unchanged_documents_changes_nothing_that_readers_see() {
    for world in worlds().await {
        let drafts: Vec<_> = (0..50).map(|number| draft(&format!("{number}"), "text")).collect();
        world.sync(drafts.clone()).await;
        let rows = world.row_counts().await;
        let mut running = world.begin(RunKind::Sync).await;
        let mut named: Vec<_> = (0..25).map(|number| unchanged(&format!("{number}"))).collect();
        named.extend_from_slice(&drafts[25..]);
        let outcome = running.commit(Page { drafts: named, ..Page::default() }).await;
        assert_eq!((outcome.position, outcome.counts.unchanged), (None, 50), "{}", world.name());
        let finished = running.finish(Some(Default::default())).await;
        assert_eq!((finished.held, finished.run.counts.deleted), (None, 0));
        assert_eq!(world.tenant.position().await.unwrap(), 1);
        assert_eq!(world.row_counts().await, rows, "{}: no document, version or chunk was written", world.name());
    }
}

impl crate::support::World {
    /// Documents, versions and chunks, as a reader can count them.
    async fn row_counts(&self) -> (usize, i64, usize) {
        let changes = self.tenant.changes_after(Default::default(), Default::default()).await.unwrap();
        let versions = changes.documents.iter().filter_map(|it| it.live.as_ref()).map(|live| live.version).sum();
        let chunks = changes.documents.iter().filter_map(|it| it.live.as_ref()).map(|live| live.chunks.len()).sum();
        (changes.documents.len(), versions, chunks)
    }
}

#[tokio::test]
async fn a_page_is_committed_once_and_in_turn() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        running.commit(Page { drafts: vec![draft("a", "one")], ..Page::default() }).await;
        for (page_no, text) in [(0, "again"), (2, "early")] {
            running.page_no = page_no;
            let refused = running.try_commit(Page { drafts: vec![draft("a", text)], ..Page::default() }).await;
            assert!(
                matches!(refused, Err(Error::StalePage { expected: 1, got }) if got == page_no),
                "{}: {refused:?}",
                world.name()
            );
        }
        assert_eq!(world.live().await["a"], (1, "one".to_owned()));
        running.finish(None).await;
        let late = world.tenant.commit_page(None, running.page(Page::default())).await;
        assert!(matches!(late, Err(Error::RunOver)), "{}: {late:?}", world.name());
    }
}

#[tokio::test]
async fn a_connector_that_calls_a_strange_document_unchanged_is_not_believed() {
    for world in worlds().await {
        world.sync(vec![draft("a", "one"), draft("gone", "two")]).await;
        let mut running = world.begin(RunKind::Sync).await;
        running.commit(Page { deletes: vec![("gone".to_owned(), Gone::Trashed)], ..Page::default() }).await;
        let drafts = vec![unchanged("a"), unchanged("gone"), unchanged("never")];
        let outcome = running.commit(Page { drafts, ..Page::default() }).await;
        assert_eq!(outcome.committed.len(), 1);
        assert_eq!(
            outcome.counts,
            Counts { seen: 3, unchanged: 1, failed: 2, ..Counts::default() },
            "{}",
            world.name()
        );
        let failed = world.tenant.failed_items(running.run_id, 10).await.unwrap();
        assert_eq!(failed, outcome.rejected);
        assert_eq!(failed.iter().map(|it| it.external_id.as_str()).collect::<Vec<_>>(), ["gone", "never"]);
        assert!(failed.iter().all(|it| it.fault == Fault::SourceContract));
    }
}

#[tokio::test]
async fn a_document_that_comes_back_is_a_new_version_of_the_same_document() {
    for world in worlds().await {
        world.sync(vec![draft("a", "one"), draft("b", "two")]).await;
        let id = world.tenant.list_documents(&Default::default(), None, 1).await.unwrap().items[0].id;
        let mut running = world.begin(RunKind::Sync).await;
        let deletes = vec![
            ("a".to_owned(), Gone::Unpublished),
            ("a".to_owned(), Gone::Deleted),
            ("never".to_owned(), Gone::Deleted),
        ];
        let gone = running.commit(Page { deletes, ..Page::default() }).await;
        assert_eq!((gone.position, gone.counts.deleted), (Some(2), 1), "{}", world.name());
        assert!(world.tenant.find_document(id).await.unwrap().is_none(), "hidden at once");
        assert!(world.tenant.find_version(id, 1).await.unwrap().is_none());
        let back = running.commit(Page { drafts: vec![draft("a", "one")], ..Page::default() }).await;
        assert_eq!(
            (back.committed[0].outcome, back.committed[0].version),
            (Outcome::Added, 2),
            "even with the same content"
        );
        assert_eq!(back.committed[0].document_id, id);
        assert_eq!(world.live().await.len(), 2);
    }
}

#[tokio::test]
async fn a_page_that_names_a_document_twice_or_also_deletes_it_keeps_the_last_draft() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let drafts = vec![draft("a", "first"), draft("b", "b"), draft("a", "last")];
        let deletes = vec![("a".to_owned(), Gone::Deleted)];
        let outcome = running.commit(Page { drafts, deletes, ..Page::default() }).await;
        assert_eq!(outcome.counts, Counts { seen: 2, added: 2, ..Counts::default() }, "{}", world.name());
        assert_eq!(world.live().await["a"], (1, "last".to_owned()));
    }
}

#[tokio::test]
async fn the_ledger_offers_fingerprints_under_the_same_basis_only() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let containers =
            vec![Container { external_id: "file.csv".to_owned(), fingerprint: "c1".to_owned(), unchanged: false }];
        let state =
            BTreeMap::from([("token".to_owned(), Some("t1".to_owned())), ("old".to_owned(), Some("x".to_owned()))]);
        let drafts = vec![draft("a", "one"), draft("gone", "two")];
        running.commit(Page { drafts, containers, state, ..Page::default() }).await;
        let state = BTreeMap::from([("token".to_owned(), Some("t2".to_owned())), ("old".to_owned(), None)]);
        running.commit(Page { deletes: vec![("gone".to_owned(), Gone::Deleted)], state, ..Page::default() }).await;
        let run = running.finish(None).await.run;

        let ask = || ["a", "gone", "file.csv", "never", "a", "nul\0"].map(str::to_owned).to_vec();
        let ledger = world.tenant.ledger(&run, BASIS.to_owned());
        let fp = |text: &str| Some(text.to_owned());
        let known = ledger.lookup(ask()).await.unwrap();
        assert_eq!(known, [fp("fp:one"), None, fp("c1"), None, fp("fp:one"), None], "{}", world.name());
        assert_eq!(ledger.state().await.unwrap(), BTreeMap::from([("token".to_owned(), "t2".to_owned())]));

        let upgraded = world.tenant.ledger(&run, "connector-b/1".to_owned());
        assert_eq!(upgraded.lookup(ask()).await.unwrap(), [const { None }; 6], "an upgrade reads everything again");
        let full = world.begin(RunKind::Full).await;
        let full = world.tenant.ledger(&world.tenant.get_run(full.run_id).await.unwrap(), BASIS.to_owned());
        assert_eq!(full.lookup(ask()).await.unwrap(), [const { None }; 6], "a full run sees no fingerprints");
        assert_eq!(full.state().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn equal_content_under_another_basis_or_fingerprint_is_remembered_without_a_version() {
    for world in worlds().await {
        world.sync(vec![draft("a", "one"), draft("b", "two")]).await;
        let mut running = world.begin(RunKind::Sync).await;
        let container = |draft: DocumentDraft| DocumentDraft { container: Some("box".to_owned()), ..draft };
        let mut read_again = container(draft("a", "one"));
        read_again.fingerprint = Some("newer".to_owned());
        let claimed = DocumentDraft { fingerprint: Some("said".to_owned()), ..unchanged("b") };
        let drafts = vec![read_again, claimed];
        let outcome = running.commit(Page { drafts, basis: Some("connector-b/1"), ..Page::default() }).await;
        assert_eq!((outcome.position, outcome.counts.unchanged), (None, 2));
        let run = world.tenant.get_run(running.run_id).await.unwrap();
        let ask = || vec!["a".to_owned(), "b".to_owned()];
        let now = world.tenant.ledger(&run, "connector-b/1".to_owned()).lookup(ask()).await.unwrap();
        assert_eq!(now, [Some("newer".to_owned()), Some("said".to_owned())], "{}", world.name());
        let before = world.tenant.ledger(&run, BASIS.to_owned()).lookup(ask()).await.unwrap();
        assert_eq!(before, [None, None]);
    }
}

#[tokio::test]
async fn failed_items_are_counted_all_and_kept_up_to_a_bound() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let item = |number: usize| FailedItem {
            external_id: format!("bad {number}"),
            fault: Fault::TooLarge,
            message: "It is larger than 50 MiB.".to_owned(),
        };
        for page in 0..3 {
            let failed = (0..450).map(|number| item(page * 450 + number)).collect();
            running.commit(Page { failed, ..Page::default() }).await;
        }
        assert_eq!(world.tenant.get_run(running.run_id).await.unwrap().counts.failed, 1350, "{}", world.name());
        let kept = world.tenant.failed_items(running.run_id, 1000).await.unwrap();
        assert_eq!((kept.len(), &kept[0], &kept[999]), (1000, &item(0), &item(999)));
    }
}

#[tokio::test]
async fn a_push_is_a_run_of_its_own() {
    for world in worlds().await {
        let source = world.tenant.push_source().await.unwrap();
        let push = |drafts, failed| Push {
            source_id: source.id,
            connector: connector("builtin:push-2"),
            trigger: Trigger::Api,
            drafts,
            failed,
            basis: BASIS.to_owned(),
            bytes: 7,
            now: at(5),
        };
        let pushed = world.tenant.push(push(vec![draft("p", "one"), draft("q", "two")], vec![])).await.unwrap();
        assert_eq!(pushed.outcome.position, Some(1));
        let run = world.tenant.get_run(pushed.run_id).await.unwrap();
        assert_eq!((run.kind, run.status, run.bytes), (RunKind::Push, RunStatus::Succeeded, 7), "{}", world.name());
        assert_eq!(run.connector, connector("builtin:push-2"), "the server build that took it in");
        assert_eq!(run.finished_at, Some(at(5)));

        let bad = FailedItem { external_id: "r".to_owned(), fault: Fault::Unsupported, message: "No.".to_owned() };
        let partial = world.tenant.push(push(vec![draft("p", "three")], vec![bad.clone()])).await.unwrap();
        assert_eq!(world.tenant.get_run(partial.run_id).await.unwrap().status, RunStatus::Partial);
        let failed = world.tenant.push(push(vec![], vec![bad])).await.unwrap();
        assert_eq!(world.tenant.get_run(failed.run_id).await.unwrap().status, RunStatus::Failed);

        let id = pushed.outcome.committed[0].document_id;
        assert_eq!(world.tenant.delete_document(id, "user:ada", at(60)).await.unwrap(), Some(3));
        assert_eq!(world.tenant.delete_document(id, "user:ada", at(60)).await.unwrap(), None);
        assert_eq!(world.live().await.keys().collect::<Vec<_>>(), ["q"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_of_the_same_document_at_once_make_one_document() {
    for world in worlds().await {
        let source = world.tenant.push_source().await.unwrap();
        let pushes = (0..8).map(|number| {
            let push = Push {
                source_id: source.id,
                connector: connector("builtin:push"),
                trigger: Trigger::Api,
                drafts: vec![draft("same", &format!("text {number}"))],
                failed: vec![],
                basis: BASIS.to_owned(),
                bytes: 1,
                now: at(number),
            };
            let tenant = world.tenant.clone();
            tokio::spawn(async move { tenant.push(push).await.unwrap().outcome })
        });
        let outcomes: Vec<_> = futures::future::join_all(pushes).await.into_iter().map(Result::unwrap).collect();
        let mut versions: Vec<_> = outcomes.iter().map(|it| it.committed[0].version).collect();
        versions.sort_unstable();
        assert_eq!(versions, (1..=8).collect::<Vec<_>>(), "{}", world.name());
        let mut positions: Vec<_> = outcomes.iter().filter_map(|it| it.position).collect();
        positions.sort_unstable();
        assert_eq!(positions, (1..=8).collect::<Vec<_>>(), "gapless");
        assert_eq!(world.live().await["same"].0, 8);
    }
}

#[tokio::test]
async fn documents_are_listed_by_source_kind_and_time() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let mut product = draft("p", "product");
        product.content.as_mut().unwrap().kind = "product".to_owned();
        running.commit(Page { drafts: vec![draft("a", "one")], ..Page::default() }).await;
        running.commit(Page { drafts: vec![product], ..Page::default() }).await;
        let filter = tributary_store::DocumentFilter::default;
        let names = async |filter| {
            let page = world.tenant.list_documents(&filter, None, 10).await.unwrap();
            page.items.into_iter().map(|it| it.external_id).collect::<Vec<_>>()
        };
        use tributary_store::DocumentFilter;
        assert_eq!(names(filter()).await, ["a", "p"]);
        assert_eq!(names(DocumentFilter { kind: Some("product".to_owned()), ..filter() }).await, ["p"]);
        assert_eq!(names(DocumentFilter { updated_after: Some(at(10)), ..filter() }).await, ["p"], "{}", world.name());
        assert_eq!(names(DocumentFilter { updated_after: Some(at(9)), ..filter() }).await, ["a", "p"]);
        assert_eq!(names(DocumentFilter { source_id: Some(world.source.id), ..filter() }).await, ["a", "p"]);
        let push = world.tenant.push_source().await.unwrap().id;
        assert!(names(DocumentFilter { source_id: Some(push), ..filter() }).await.is_empty());
    }
}

#[tokio::test]
async fn text_with_nul_is_refused_whole() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let refused = running
            .try_commit(Page { drafts: vec![draft("a", "fine"), draft("b", "nul \0 inside")], ..Page::default() })
            .await;
        assert!(
            matches!(&refused, Err(Error::Invalid(text)) if text.contains("nul  inside")),
            "{}: {refused:?}",
            world.name()
        );
        assert!(world.live().await.is_empty());
    }
}
