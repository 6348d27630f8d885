//! The end of a run: what was not named goes, unless that looks like an accident.

use tributary_core::{
    contract::{Container, Fault},
    document::DocumentDraft,
    run::{FailedItem, RunError, RunKind, RunStatus},
    source::Health,
};
use tributary_store::{Error, FinishRun, Held, NewRun, Prune};

use crate::support::{Page, at, draft, unchanged, worlds};

fn numbered(numbers: std::ops::Range<usize>) -> Vec<DocumentDraft> {
    numbers.map(|number| draft(&format!("{number:03}"), "text")).collect()
}

#[tokio::test]
async fn what_a_complete_traversal_did_not_name_is_removed_in_one_commit() {
    for world in worlds().await {
        world.sync(numbered(0..100)).await;
        let finished = world.sync(numbered(40..100)).await;
        assert_eq!((finished.held, finished.run.status), (None, RunStatus::Succeeded), "40 of 100 is within 50 items");
        assert_eq!((finished.run.counts.deleted, finished.run.position), (40, Some(2)), "{}", world.name());
        assert_eq!(world.live().await.len(), 60);
        let changes = world.tenant.changes_after(tributary_store::FeedCursor::at(1), Default::default()).await.unwrap();
        assert!(changes.documents.iter().all(|it| it.change_seq == 2 && it.live.is_none()));
        assert_eq!(changes.documents.len(), 40);
    }
}

#[tokio::test]
async fn deletions_past_both_limits_are_held_until_a_person_accepts_them() {
    for world in worlds().await {
        world.sync(numbered(0..100)).await;
        let finished = world.sync(numbered(51..100)).await;
        assert_eq!(finished.held, Some(Held { unseen: 51, live: 100 }));
        let error = finished.run.error.unwrap();
        assert_eq!((finished.run.status, error.code.as_str()), (RunStatus::Partial, "deletions_held"));
        assert!(error.detail.contains("51 of 100") && error.detail.contains("accept_deletions"), "{}", error.detail);
        assert_eq!(world.tenant.get_source(world.source.id).await.unwrap().health, Health::NeedsAttention);
        assert_eq!(world.live().await.len(), 100, "{}: nothing was removed", world.name());

        let mut accepted = world.begin_with(NewRun { accept_deletions: true, ..world.new_run() }).await;
        accepted.commit(Page { drafts: numbered(51..100), ..Page::default() }).await;
        let finished = accepted.finish(Some(Prune::default())).await;
        assert_eq!((finished.held, finished.run.status, finished.run.counts.deleted), (None, RunStatus::Succeeded, 51));
        assert_eq!(world.live().await.len(), 49);
        assert_eq!(world.tenant.get_source(world.source.id).await.unwrap().health, Health::Healthy);
    }
}

#[tokio::test]
async fn a_source_that_shows_nothing_at_all_never_deletes_by_itself() {
    for world in worlds().await {
        world.sync(numbered(0..3)).await;
        let finished = world.sync(vec![]).await;
        assert_eq!(finished.held, Some(Held { unseen: 3, live: 3 }), "{}", world.name());
        assert_eq!(world.live().await.len(), 3);
        let empty = world.begin(RunKind::Sync).await;
        let finished = empty.try_finish(Some(Prune::default()), true).await.unwrap();
        assert_eq!((finished.held, world.live().await.len()), (None, 0), "allowed by hand");
        // With nothing there, nothing is missing.
        assert_eq!(world.sync(vec![]).await.run.status, RunStatus::Succeeded);
    }
}

#[tokio::test]
async fn failed_and_kept_things_are_not_missing() {
    for world in worlds().await {
        let inside =
            |id: &str, container: &str| DocumentDraft { container: Some(container.to_owned()), ..draft(id, "row") };
        let container =
            |id: &str, unchanged| Container { external_id: id.to_owned(), fingerprint: "1".to_owned(), unchanged };
        let mut first = world.begin(RunKind::Sync).await;
        let drafts = vec![
            inside("kept#1", "kept"),
            inside("kept#2", "kept"),
            inside("failed#1", "failed"),
            inside("read#1", "read"),
            inside("read#2", "read"),
            draft("failed alone", "x"),
            draft("missing", "y"),
        ];
        let containers = ["kept", "failed", "read", "missing"].map(|id| container(id, false)).to_vec();
        first.commit(Page { drafts, containers, ..Page::default() }).await;
        first.finish(Some(Prune::default())).await;

        let mut second = world.begin(RunKind::Sync).await;
        let failed = ["failed", "failed alone"].map(|id| FailedItem {
            external_id: id.to_owned(),
            fault: Fault::Permission,
            message: "It cannot be opened.".to_owned(),
        });
        let page = Page {
            drafts: vec![DocumentDraft { container: Some("read".to_owned()), ..unchanged("read#1") }],
            containers: vec![container("kept", true), container("read", false)],
            failed: failed.to_vec(),
            ..Page::default()
        };
        second.commit(page).await;
        let run = second.finish(Some(Prune::default())).await.run;
        assert_eq!(run.counts.deleted, 2, "{}", world.name());
        let live: Vec<_> = world.live().await.into_keys().collect();
        assert_eq!(live, ["failed alone", "failed#1", "kept#1", "kept#2", "read#1"], "{}", world.name());

        use tributary_core::ledger::Ledger;
        let ask = ["kept", "failed", "read", "missing"].map(str::to_owned).to_vec();
        let known = world.tenant.ledger(&run, crate::support::BASIS.to_owned()).lookup(ask).await.unwrap();
        assert_eq!(
            known.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, true, true, false],
            "{}",
            world.name()
        );
    }
}

#[tokio::test]
async fn what_earlier_pages_saw_survives_a_lost_worker() {
    for world in worlds().await {
        world.sync(numbered(0..10)).await;
        let mut running = world.begin(RunKind::Sync).await;
        running.commit(Page { drafts: numbered(0..5), ..Page::default() }).await;
        world.system.heartbeat(&running.lease, 0).await.unwrap();
        running.lease = world.system.claim(&["sync"], "second", 60_000, 1).await.unwrap().remove(0);
        running.commit(Page { drafts: numbered(5..9), ..Page::default() }).await;
        assert_eq!(running.finish(Some(Prune::default())).await.run.counts.deleted, 1, "{}", world.name());
    }
}

#[tokio::test]
async fn a_traversal_under_an_older_configuration_deletes_nothing() {
    for world in worlds().await {
        world.sync(numbered(0..10)).await;
        let mut running = world.begin(RunKind::Sync).await;
        running.commit(Page { drafts: numbered(0..5), ..Page::default() }).await;
        let update = tributary_store::SourceUpdate { config: Some(serde_json::json!({})), ..Default::default() };
        world.tenant.update_source(world.source.id, update).await.unwrap();
        assert_eq!(running.finish(Some(Prune::default())).await.run.counts.deleted, 0, "{}", world.name());
    }
}

#[tokio::test]
async fn a_failed_run_says_why_and_keeps_what_it_committed() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        running.commit(Page { drafts: numbered(0..2), ..Page::default() }).await;
        let error = RunError {
            code: "root_not_granted".to_owned(),
            detail: "Grant it.".to_owned(),
            config_pointer: Some("/root".to_owned()),
        };
        let finish = FinishRun::with(
            running.run_id,
            RunStatus::Failed,
            Some(error.clone()),
            Some(Health::NeedsAttention),
            at(30),
        );
        let run = world.tenant.finish_run(Some(&running.lease), finish.clone()).await.unwrap().run;
        assert_eq!(
            (run.status, run.error, run.finished_at),
            (RunStatus::Failed, Some(error), Some(at(30))),
            "{}",
            world.name()
        );
        assert_eq!(world.live().await.len(), 2);
        assert_eq!(world.tenant.get_source(world.source.id).await.unwrap().health, Health::NeedsAttention);
        assert!(matches!(world.tenant.finish_run(Some(&running.lease), finish).await, Err(Error::LeaseLost)));
        let open = FinishRun::with(running.run_id, RunStatus::Running, None, None, at(31));
        assert!(matches!(world.tenant.finish_run(None, open).await, Err(Error::Invalid(_))));
        world.tenant.create_run(world.new_run()).await.unwrap();
    }
}

/// Large enough for several slices.
#[tokio::test]
async fn many_deletions_are_one_commit() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        for page in 0..6 {
            let drafts = (0..1000).map(|number| draft(&format!("{page}-{number:04}"), "t")).collect();
            running.commit(Page { drafts, ..Page::default() }).await;
        }
        running.finish(None).await;
        let mut accepted = world.begin_with(NewRun { accept_deletions: true, ..world.new_run() }).await;
        accepted.commit(Page { drafts: vec![unchanged("3-0500")], ..Page::default() }).await;
        let run = accepted.finish(Some(Prune::default())).await.run;
        assert_eq!((run.counts.deleted, run.position), (5999, Some(7)), "{}", world.name());
        let page = world.tenant.list_documents(&Default::default(), None, 10).await.unwrap();
        assert_eq!(page.items.len(), 1);
    }
}
