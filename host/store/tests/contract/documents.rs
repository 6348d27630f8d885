//! The life of documents: deleted, restored, purged, kept in versions, found by what they are, and moved.

use tributary_core::{
    DocumentId, SourceId,
    contract::Gone,
    document::Outcome,
    run::{RunKind, Trigger},
};
use tributary_store::{
    DocumentFilter, KeepVersions, Moved, Prune, PurgeDeleted, Push, Restored, TenantDb, testing::databases,
};

use crate::support::{BASIS, Page, World, at, connector, draft, new_source, worlds};

async fn push(world: &World, source: SourceId, docs: &[(&str, &str)], now: i64) -> Vec<DocumentId> {
    let push = Push {
        source_id: source,
        connector: connector("builtin:push"),
        trigger: Trigger::Api,
        drafts: docs.iter().map(|(id, text)| draft(id, text)).collect(),
        failed: vec![],
        basis: BASIS.to_owned(),
        bytes: 1,
        now: at(now),
    };
    let pushed = world.tenant.push(push).await.unwrap();
    pushed.outcome.committed.iter().map(|it| it.document_id).collect()
}

async fn deleted(tenant: &TenantDb) -> Vec<(String, Gone, Option<String>, bool)> {
    let filter = DocumentFilter { deleted: true, ..DocumentFilter::default() };
    let listed = tenant.list_documents(&filter, None, 100).await.unwrap().items;
    let told = listed.into_iter().map(|it| {
        let tombstone = it.tombstone.unwrap();
        (it.external_id, tombstone.gone, tombstone.by, tombstone.run_id.is_some())
    });
    told.collect()
}

#[tokio::test]
async fn a_deleted_document_says_how_it_went_and_comes_back_as_it_was() {
    for world in worlds().await {
        let name = world.name();
        world.sync(vec![draft("a", "one"), draft("b", "two"), draft("c", "three")]).await;
        let mut running = world.begin(RunKind::Sync).await;
        let deletes = vec![("a".to_owned(), Gone::Trashed)];
        running.commit(Page { drafts: vec![draft("c", "three")], deletes, ..Page::default() }).await;
        running.finish(Some(Prune::default())).await;
        let c = world.tenant.list_documents(&Default::default(), None, 10).await.unwrap().items[0].id;
        let gone_at = world.tenant.delete_document(c, "user:ada", at(200)).await.unwrap().unwrap();
        let by = Some("user:ada".to_owned());
        assert_eq!(
            deleted(&world.tenant).await,
            [
                ("a".to_owned(), Gone::Trashed, None, true),
                ("b".to_owned(), Gone::Deleted, None, true),
                ("c".to_owned(), Gone::Deleted, by, false),
            ],
            "{name}"
        );
        let of_run = DocumentFilter { run_id: Some(running.run_id), deleted: true, ..DocumentFilter::default() };
        assert_eq!(world.tenant.list_documents(&of_run, None, 10).await.unwrap().items.len(), 2, "{name}");

        let Restored::Back(position) = world.tenant.restore_document(c).await.unwrap() else { panic!("{name}") };
        assert_eq!(position, gone_at + 1, "{name}: a change like any other");
        assert_eq!(world.tenant.restore_document(c).await.unwrap(), Restored::NotDeleted);
        assert_eq!(world.tenant.restore_document(DocumentId::new()).await.unwrap(), Restored::NoSuchDocument);
        assert_eq!(world.live().await["c"], (1, "three".to_owned()));
        let changes = world.tenant.changes_after(Default::default(), Default::default()).await.unwrap();
        assert!(changes.documents.iter().any(|it| it.id == c && it.live.is_some()), "{name}: the index hears of it");
        // A sync that does not see it deletes it again; its history goes on when it returns.
        world.sync(vec![draft("a", "one")]).await;
        assert!(world.tenant.find_document(c).await.unwrap().is_none());
        world.sync(vec![draft("a", "one"), draft("c", "three again")]).await;
        let versions = world.tenant.list_versions(c, None, 10).await.unwrap().unwrap().items;
        let told: Vec<_> = versions.iter().map(|it| (it.version, it.outcome, it.current)).collect();
        assert_eq!(told, [(2, Outcome::Added, true), (1, Outcome::Added, false)], "{name}");
    }
}

#[tokio::test]
async fn what_stayed_deleted_is_purged_and_nothing_else() {
    for world in worlds().await {
        let name = world.name();
        let source = world.tenant.push_source().await.unwrap().id;
        let ids = push(&world, source, &[("a", "one"), ("b", "two"), ("c", "three"), ("d", "four")], 0).await;
        for (id, when) in [(ids[0], 10), (ids[1], 20), (ids[2], 30)] {
            world.tenant.delete_document(id, "user:ada", at(when)).await.unwrap().unwrap();
        }
        let purge = |before| vec![PurgeDeleted { workspace_id: world.workspace.id, deleted_before: at(before) }];
        assert!(world.system.long_deleted(&purge(10), 100).await.unwrap().is_empty(), "{name}: not yet");
        assert_eq!(world.system.long_deleted(&purge(25), 1).await.unwrap()[&world.workspace.id].len(), 1, "a slice");
        let due = world.system.long_deleted(&purge(25), 100).await.unwrap().remove(&world.workspace.id).unwrap();
        assert_eq!(due.len(), 2, "{name}");
        // What came back in between stays, and so does what is asked for by mistake.
        world.tenant.restore_document(ids[1]).await.unwrap();
        let last = world.tenant.position().await.unwrap();
        assert_eq!(world.tenant.purge_documents(&ids, at(25)).await.unwrap(), 1, "{name}");
        assert_eq!(world.live().await.len(), 2, "{name}: b and d");
        assert_eq!(deleted(&world.tenant).await.len(), 1, "{name}: c");
        assert_eq!(world.tenant.restore_document(ids[0]).await.unwrap(), Restored::NoSuchDocument);
        // Indexes that had not come so far cannot know, and are told.
        assert!((1..=last).contains(&world.tenant.purged_position().await.unwrap()), "{name}");
        assert_eq!(world.tenant.citation_status(&[(ids[0], 1)]).await.unwrap().len(), 1);
        // The name begins anew.
        let again = push(&world, source, &[("a", "one")], 40).await;
        assert_ne!(again[0], ids[0], "{name}");
        assert_eq!(world.live().await["a"].0, 1, "{name}");
    }
}

#[tokio::test]
async fn each_workspace_keeps_what_it_says() {
    for test in databases().await {
        let world = World::on(test).await;
        let other = crate::support::workspace(&world.system, "other").await;
        let theirs = World {
            tenant: world.system.tenant(other.id),
            workspace: other,
            test: world.test.clone(),
            system: world.system.clone(),
            source: world.source.clone(),
        };
        for world in [&world, &theirs] {
            let source = world.tenant.push_source().await.unwrap().id;
            for n in 0..5 {
                push(world, source, &[("a", &format!("text {n}"))], n * 10).await;
            }
            let ids = push(world, source, &[("b", "x")], 50).await;
            world.tenant.delete_document(ids[0], "user:ada", at(60)).await.unwrap();
        }
        let (ours, their) = (world.workspace.id, theirs.workspace.id);
        let purge = [(ours, 100), (their, 55)]
            .map(|(workspace_id, before)| PurgeDeleted { workspace_id, deleted_before: at(before) });
        let due = world.system.long_deleted(&purge, 100).await.unwrap();
        assert_eq!(due.keys().collect::<Vec<_>>(), [&ours], "{}", world.name());
        // Ours keeps two, and those replaced since 20: version 3 was replaced at 30. Theirs keeps four.
        let keep = [(ours, 2, 25), (their, 4, 100)].map(|(workspace_id, newest, since)| KeepVersions {
            workspace_id,
            newest,
            replaced_after: at(since),
        });
        let old = world.system.old_versions(&keep, 100).await.unwrap();
        let numbers = |id| old.get(&id).map(|it| it.iter().map(|(_, n)| *n).collect::<Vec<_>>());
        assert_eq!((numbers(ours), numbers(their)), (Some(vec![1, 2]), Some(vec![1])), "{}", world.name());
        let mut mixed = old[&ours].clone();
        let a = mixed[0].0;
        mixed.push((a, 5));
        assert_eq!(world.tenant.purge_versions(&mixed).await.unwrap(), 2, "the present one stays");
        let left = world.tenant.list_versions(a, None, 10).await.unwrap().unwrap().items;
        assert_eq!(left.iter().map(|it| it.version).collect::<Vec<_>>(), [5, 4, 3]);
        assert_eq!(world.tenant.find_listed(a).await.unwrap().unwrap().oldest_version, 3);
        assert!(world.tenant.find_version(a, 2).await.unwrap().is_none());
        assert_eq!(world.tenant.find_version(a, 3).await.unwrap().unwrap().chunks[0].text, "text 2");
        assert!(!world.system.old_versions(&keep, 100).await.unwrap().contains_key(&ours), "nothing is left to do");
    }
}

#[tokio::test]
async fn documents_are_listed_and_counted_by_what_they_are() {
    for world in worlds().await {
        let name = world.name();
        let mut running = world.begin(RunKind::Sync).await;
        let mut drafts = vec![draft("a", "one"), draft("b", "two"), draft("c", "three")];
        drafts[2].content.as_mut().unwrap().kind = "memo".to_owned();
        drafts[2].content.as_mut().unwrap().language = None;
        running.commit(Page { drafts, ..Page::default() }).await;
        running.finish(None).await;
        let first = running.run_id;
        let source = world.tenant.push_source().await.unwrap().id;
        let pushed = push(&world, source, &[("d", "four")], 86_400).await;
        world.tenant.delete_document(pushed[0], "user:ada", at(3 * 86_400)).await.unwrap();
        push(&world, source, &[("e", "five"), ("f", "six")], 2 * 86_400).await;
        let mut running = world.begin(RunKind::Sync).await;
        running.commit(Page { drafts: vec![draft("a", "one anew"), draft("g", "seven")], ..Page::default() }).await;
        running.finish(None).await;

        let all = DocumentFilter::default();
        let of_run = |outcome| DocumentFilter { run_id: Some(running.run_id), outcome, ..all.clone() };
        for (filter, expected) in [
            (all.clone(), "abcefg"),
            (DocumentFilter { source_id: Some(source), ..all.clone() }, "ef"),
            (DocumentFilter { source_id: Some(source), deleted: true, ..all.clone() }, "d"),
            (DocumentFilter { kind: Some("memo".to_owned()), ..all.clone() }, "c"),
            (DocumentFilter { kind: Some("page".to_owned()), deleted: true, ..all.clone() }, "d"),
            (DocumentFilter { updated_after: Some(at(86_400)), ..all.clone() }, "ef"),
            (DocumentFilter { updated_after: Some(at(86_400)), kind: Some("memo".to_owned()), ..all.clone() }, ""),
            (DocumentFilter { deleted: true, ..all.clone() }, "d"),
            (DocumentFilter { run_id: Some(first), ..all.clone() }, "abc"),
            (of_run(None), "ag"),
            (of_run(Some(Outcome::Added)), "g"),
            (of_run(Some(Outcome::Updated)), "a"),
        ] {
            let (mut names, mut after) = (Vec::new(), None);
            loop {
                let page = world.tenant.list_documents(&filter, after, 2).await.unwrap();
                names.extend(page.items.iter().map(|it| it.external_id.clone()));
                after = page.last;
                assert_eq!(page.more, after.is_some());
                if after.is_none() {
                    break;
                }
            }
            names.sort();
            assert_eq!(names.concat(), expected, "{name}: {filter:?}");
            let counted = world.tenant.count_documents(&filter).await.unwrap();
            assert_eq!(counted.iter().map(|it| it.documents).sum::<i64>(), expected.len() as i64, "{name}: {filter:?}");
        }
        let mut groups = world.tenant.count_documents(&all).await.unwrap();
        groups.sort_by_key(|it| (it.day.clone(), it.kind.clone()));
        let told: Vec<_> =
            groups.iter().map(|it| (it.kind.as_str(), it.language.as_deref(), it.day.as_str(), it.documents)).collect();
        assert_eq!(
            told,
            [
                ("memo", None, "2025-06-15", 1),
                ("page", Some("de"), "2025-06-15", 3),
                ("page", Some("de"), "2025-06-17", 2)
            ],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_moved_document_keeps_its_past() {
    for world in worlds().await {
        let name = world.name();
        let from = world.tenant.push_source().await.unwrap().id;
        let to = world.tenant.create_source(new_source("shop")).await.unwrap().id;
        let ids = push(&world, from, &[("a", "one"), ("b", "two")], 0).await;
        push(&world, from, &[("a", "one more")], 10).await;
        push(&world, to, &[("b", "in the way")], 20).await;
        let before = world.tenant.position().await.unwrap();
        let go = async |ids: &[DocumentId], sources: &[SourceId]| {
            world.tenant.move_documents(ids, sources, to).await.unwrap()
        };
        assert_eq!(go(&ids, &[from]).await, Moved::NameTaken("b".to_owned()), "{name}");
        assert_eq!(go(&ids[..1], &[]).await, Moved::Elsewhere(ids[0]), "{name}");
        let nobody = DocumentId::new();
        assert_eq!(go(&[ids[0], nobody], &[from]).await, Moved::NoSuchDocument(nobody), "{name}");
        assert_eq!(world.tenant.position().await.unwrap(), before, "{name}: all or none");

        let moved = go(&ids[..1], &[from]).await;
        assert_eq!(moved, Moved::Moved { moved: 1, position: Some(before + 1) }, "{name}");
        assert_eq!(go(&ids[..1], &[from]).await, Moved::Moved { moved: 0, position: None }, "{name}: it is there");
        let document = world.tenant.find_listed(ids[0]).await.unwrap().unwrap();
        assert_eq!((document.source_id, document.version), (to, 2), "{name}");
        let versions = world.tenant.list_versions(ids[0], None, 10).await.unwrap().unwrap().items;
        assert!(versions.iter().all(|it| it.run_source_id == from), "{name}");
        assert_eq!(world.tenant.find_version(ids[0], 1).await.unwrap().unwrap().chunks[0].text, "one");
        let again = push(&world, to, &[("a", "one")], 30).await;
        assert_eq!(again, ids[..1], "{name}: pushed again, it is the same document");
    }
}
