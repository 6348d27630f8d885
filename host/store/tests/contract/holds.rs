//! Held deletions: listed, approved, dismissed, and what happens to them meanwhile.

use tributary_core::{
    contract::Container,
    document::DocumentDraft,
    run::{RunKind, RunStatus},
    source::Health,
};
use tributary_store::{Approval, Held, Prune, SourceUpdate};

use crate::support::{Page, World, at, draft, unchanged, worlds};

fn numbered(numbers: std::ops::Range<usize>) -> Vec<DocumentDraft> {
    numbers.map(|number| draft(&format!("{number:03}"), "text")).collect()
}

/// A source of 100 documents whose last run missed 60 of them.
async fn held(world: &World) -> tributary_store::Hold {
    world.sync(numbered(0..100)).await;
    let finished = world.sync(numbered(0..40)).await;
    assert_eq!(finished.held, Some(Held { unseen: 60, live: 100 }), "{}", world.name());
    world.tenant.find_hold(world.source.id).await.unwrap().unwrap()
}

async fn health(world: &World) -> (Health, Option<String>) {
    let source = world.tenant.get_source(world.source.id).await.unwrap();
    (source.health, source.condition.reason.map(|reason| reason.code))
}

#[tokio::test]
async fn held_deletions_are_listed_and_go_when_approved() {
    for world in worlds().await {
        let hold = held(&world).await;
        assert_eq!(
            health(&world).await,
            (Health::NeedsAttention, Some("deletions_held".to_owned())),
            "{}",
            world.name()
        );
        let first = world.tenant.held_documents(hold.run_id, None, 50).await.unwrap();
        assert_eq!((first.items.len(), first.more), (50, true), "{}", world.name());
        assert!(
            first.items.iter().all(|(_, name, title)| name.as_str() >= "040" && *title == format!("Title of {name}"))
        );
        let rest = world.tenant.held_documents(hold.run_id, first.items.last().map(|it| it.0), 50).await.unwrap();
        assert_eq!((rest.items.len(), rest.more), (10, false));

        let other = world.tenant.approve_deletions(world.source.id, tributary_core::RunId::new(), "user:ada", at(200));
        assert_eq!(other.await.unwrap(), Approval::NothingHeld);
        let done = world.tenant.approve_deletions(world.source.id, hold.run_id, "user:ada", at(200)).await.unwrap();
        let Approval::Deleted { deleted: 60, kept: 0, position: Some(position) } = done else { panic!("{done:?}") };
        assert_eq!(world.live().await.len(), 40, "{}", world.name());
        let run = world.tenant.get_run(hold.run_id).await.unwrap();
        assert_eq!((run.counts.deleted, run.position), (60, Some(position)), "the run that missed them removed them");
        let again = world.tenant.approve_deletions(world.source.id, hold.run_id, "user:ada", at(201)).await.unwrap();
        assert_eq!(again, Approval::NothingHeld, "once");
        let source = world.tenant.get_source(world.source.id).await.unwrap();
        assert_eq!((source.health, source.condition.reason), (Health::Healthy, None), "{}", world.name());
        assert_eq!((source.condition.since, source.condition.last_change_at), (at(200), Some(at(200))));
    }
}

#[tokio::test]
async fn dismissed_deletions_stay_and_the_source_is_healthy_again() {
    for world in worlds().await {
        let hold = held(&world).await;
        let dismiss =
            async |note| world.tenant.dismiss_deletions(world.source.id, hold.run_id, note, "user:ada", at(200)).await;
        assert!(dismiss("the share was offline").await.unwrap(), "{}", world.name());
        assert!(!dismiss("again").await.unwrap(), "{}: once", world.name());
        assert_eq!(
            (world.live().await.len(), health(&world).await),
            (100, (Health::Healthy, None)),
            "{}",
            world.name()
        );
        assert!(world.tenant.find_hold(world.source.id).await.unwrap().is_none());
    }
}

/// Like [`held`], and dismissed.
async fn dismissed(world: &World) {
    let hold = held(world).await;
    assert!(world.tenant.dismiss_deletions(world.source.id, hold.run_id, "wait", "user:ada", at(200)).await.unwrap());
}

#[tokio::test]
async fn what_was_dismissed_is_not_held_again() {
    for world in worlds().await {
        dismissed(&world).await;
        for _ in 0..2 {
            let again = world.sync(numbered(0..40)).await;
            assert_eq!((again.run.status, again.held), (RunStatus::Succeeded, None), "{}", world.name());
            assert!(world.tenant.find_hold(world.source.id).await.unwrap().is_none());
            assert_eq!((world.live().await.len(), health(&world).await), (100, (Health::Healthy, None)));
        }
        // Nor deleted, when there are so many others that it looks like few.
        assert_eq!(
            world.sync((0..40).chain(100..400).map(|n| draft(&format!("{n:03}"), "text")).collect()).await.held,
            None
        );
        assert_eq!(world.live().await.len(), 400, "{}", world.name());
        let dry = world.begin(RunKind::DryRun).await.finish(Some(Prune::default())).await;
        assert_eq!(dry.run.counts.deleted, 340, "{}: a dry run says what a sync would do", world.name());
    }
}

#[tokio::test]
async fn others_that_go_missing_are_judged_without_what_was_dismissed() {
    for world in worlds().await {
        dismissed(&world).await;
        // One more: a deletion like any other.
        assert_eq!(world.sync(numbered(0..39)).await.held, None, "{}", world.name());
        assert_eq!(world.live().await.len(), 99, "{}", world.name());
        // Many more are held, and only they.
        let more = |n: std::ops::Range<usize>| numbered(0..39).into_iter().chain(numbered(n)).collect::<Vec<_>>();
        world.sync(more(200..300)).await;
        let second = world.sync(more(200..220)).await;
        assert_eq!(second.held, Some(Held { unseen: 80, live: 139 }), "{}", world.name());
        let held = world.tenant.held_documents(second.run.id, None, 1_000).await.unwrap().items;
        assert!(held.iter().all(|(_, name, _)| name.as_str() >= "220"), "{}", world.name());
        // Both are remembered.
        world.tenant.dismiss_deletions(world.source.id, second.run.id, "wait", "user:ada", at(200)).await.unwrap();
        assert_eq!(world.sync(more(200..220)).await.held, None, "{}", world.name());
        assert_eq!(world.live().await.len(), 199, "{}", world.name());
        // Nothing at all is no deletion like any other.
        assert_eq!(world.sync(Vec::new()).await.held, Some(Held { unseen: 59, live: 59 }), "{}", world.name());
    }
}

#[tokio::test]
async fn what_was_found_again_is_not_dismissed_any_more() {
    for world in worlds().await {
        dismissed(&world).await;
        // Named by a run that says nothing about absence, and by a complete one.
        let mut partial = world.begin(RunKind::Sync).await;
        partial.commit(Page { drafts: vec![unchanged("040")], ..Page::default() }).await;
        partial.finish(None).await;
        world.sync(numbered(0..40).into_iter().chain([unchanged("041")]).collect()).await;
        assert_eq!(world.live().await.len(), 99, "{}: it was found, and then it was gone", world.name());
        world.sync(numbered(0..40)).await;
        let live = world.live().await;
        assert_eq!((live.len(), live.contains_key("042")), (98, true), "{}", world.name());
        // All of them.
        world.sync(numbered(0..100)).await;
        assert_eq!(world.sync(numbered(0..40)).await.held, Some(Held { unseen: 60, live: 100 }), "{}", world.name());
    }
}

#[tokio::test]
async fn a_dismissal_ends_when_deletions_are_accepted_or_the_configuration_changes() {
    for world in worlds().await {
        dismissed(&world).await;
        let update = SourceUpdate { config: Some(serde_json::json!({ "root": "new" })), ..Default::default() };
        world.tenant.update_source(world.source.id, update).await.unwrap();
        let anew = world.sync(numbered(0..40)).await;
        assert_eq!(anew.held, Some(Held { unseen: 60, live: 100 }), "{}", world.name());
        world.tenant.dismiss_deletions(world.source.id, anew.run.id, "wait", "user:ada", at(200)).await.unwrap();

        let new = tributary_store::NewRun { accept_deletions: true, ..world.new_run() };
        let mut accepting = world.begin_with(new).await;
        accepting.commit(Page { drafts: numbered(0..40), ..Page::default() }).await;
        let finished = accepting.finish(Some(Prune::default())).await;
        assert_eq!((finished.run.counts.deleted, world.live().await.len()), (60, 40), "{}", world.name());
    }
}

#[tokio::test]
async fn an_approval_spares_what_was_named_or_changed_since() {
    for world in worlds().await {
        let hold = held(&world).await;
        // A sync that says nothing about absence finds ten again, one of them changed.
        let mut later = world.begin(RunKind::Sync).await;
        let mut drafts: Vec<_> = (40..49).map(|number| unchanged(&format!("{number:03}"))).collect();
        drafts.push(draft("049", "changed"));
        later.commit(Page { drafts, ..Page::default() }).await;
        let finished = later.finish(None).await;
        assert_eq!(finished.run.status, RunStatus::Succeeded, "{}", world.name());
        assert_eq!(health(&world).await.0, Health::NeedsAttention, "{}: the decision still waits", world.name());
        let now = world.tenant.find_hold(world.source.id).await.unwrap().unwrap();
        assert_eq!((now.run_id, now.held), (hold.run_id, Held { unseen: 50, live: 100 }), "{}", world.name());

        // Another is under way and has named one more; one was pushed out of the way by hand.
        let mut active = world.begin(RunKind::Sync).await;
        active.commit(Page { drafts: vec![unchanged("050")], ..Page::default() }).await;
        let byhand = world.tenant.held_documents(hold.run_id, None, 1000).await.unwrap().items;
        let byhand = byhand.iter().find(|(_, name, _)| name == "099").unwrap().0;
        world.tenant.delete_document(byhand, "user:ada", at(60)).await.unwrap().unwrap();
        let done = world.tenant.approve_deletions(world.source.id, hold.run_id, "user:ada", at(200)).await.unwrap();
        assert!(matches!(done, Approval::Deleted { deleted: 48, kept: 1, .. }), "{}: {done:?}", world.name());
        let live = world.live().await;
        assert_eq!((live.len(), live.contains_key("050"), live.contains_key("049")), (51, true, true));
    }
}

#[tokio::test]
async fn a_complete_traversal_replaces_what_an_earlier_one_held() {
    for world in worlds().await {
        let hold = held(&world).await;
        let second = world.sync(numbered(0..30)).await;
        let now = world.tenant.find_hold(world.source.id).await.unwrap().unwrap();
        assert_eq!((now.run_id, now.held.unseen), (second.run.id, 70), "{}", world.name());
        let old = world.tenant.approve_deletions(world.source.id, hold.run_id, "user:ada", at(200)).await.unwrap();
        assert_eq!(old, Approval::NothingHeld, "{}: what was looked at is not what is held now", world.name());
        world.sync(numbered(0..100)).await;
        assert!(world.tenant.find_hold(world.source.id).await.unwrap().is_none(), "{}: all are back", world.name());
        assert_eq!((world.live().await.len(), health(&world).await), (100, (Health::Healthy, None)));
    }
}

#[tokio::test]
async fn deletions_held_under_another_configuration_are_not_approved() {
    for world in worlds().await {
        let hold = held(&world).await;
        let update = SourceUpdate { config: Some(serde_json::json!({ "root": "new" })), ..Default::default() };
        world.tenant.update_source(world.source.id, update).await.unwrap();
        let done = world.tenant.approve_deletions(world.source.id, hold.run_id, "user:ada", at(200)).await.unwrap();
        assert_eq!((done, world.live().await.len()), (Approval::ConfigChanged, 100), "{}", world.name());
    }
}

#[tokio::test]
async fn a_container_that_comes_back_after_an_approval_is_read_again() {
    for world in worlds().await {
        let inside =
            |row: usize| DocumentDraft { container: Some("table".to_owned()), ..draft(&format!("table#{row}"), "r") };
        let container = Container { external_id: "table".to_owned(), fingerprint: "1".to_owned(), unchanged: false };
        let mut first = world.begin(RunKind::Sync).await;
        let drafts = (0..60).map(inside).collect();
        first.commit(Page { drafts, containers: vec![container], ..Page::default() }).await;
        first.finish(Some(Prune::default())).await;
        let run = world.sync(vec![draft("other", "x")]).await.run;
        let done = world.tenant.approve_deletions(world.source.id, run.id, "user:ada", at(200)).await.unwrap();
        assert!(matches!(done, Approval::Deleted { deleted: 60, .. }), "{}: {done:?}", world.name());

        use tributary_core::ledger::Ledger;
        let ledger = world.tenant.ledger(&run, crate::support::BASIS.to_owned());
        assert_eq!(ledger.lookup(vec!["table".to_owned()]).await.unwrap(), [None], "{}", world.name());
    }
}

#[tokio::test]
async fn a_source_has_its_own_limits() {
    for world in worlds().await {
        assert_eq!(world.tenant.deletion_guard(world.source.id).await.unwrap(), Prune::default(), "{}", world.name());
        world.tenant.set_deletion_guard(world.source.id, Some((0, 0))).await.unwrap();
        world.sync(numbered(0..100)).await;
        assert_eq!(world.sync(numbered(1..100)).await.held, Some(Held { unseen: 1, live: 100 }), "{}", world.name());
        world.tenant.set_deletion_guard(world.source.id, Some((90, 10))).await.unwrap();
        assert_eq!(world.sync(numbered(20..100)).await.held, None, "{}", world.name());
        world.tenant.set_deletion_guard(world.source.id, None).await.unwrap();
        assert_eq!(world.tenant.deletion_guard(world.source.id).await.unwrap(), Prune::default());
    }
}
