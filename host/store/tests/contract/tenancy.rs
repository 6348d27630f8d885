//! Another workspace's ids answer exactly like ids that never existed.

use tributary_core::{
    citation::CitationStatus,
    ledger::Ledger,
    query::Hit,
    run::{RunKind, RunStatus, WaitingFor},
    schedule::{Pause, PauseReason},
    source::Health,
};
use tributary_store::{CancelRequest, DocumentFilter, Error, FinishRun, NewAnswer, NewQuestion, SourceUpdate};

use crate::support::{BASIS, HOUR_MS, Page, at, draft, new_source, workspace, worlds};

#[tokio::test]
async fn nothing_of_another_workspace_can_be_reached_by_its_ids() {
    for world in worlds().await {
        let name = world.name();
        let mut running = world.begin(RunKind::Sync).await;
        let committed = running.commit(Page { drafts: vec![draft("a", "secret")], ..Page::default() }).await.committed;
        let (document, run, source) = (committed[0].document_id, running.run_id, world.source.id);
        let asked =
            NewQuestion { thread_id: None, owner: "user:ada".to_owned(), content: "secret?".to_owned(), now: at(1) };
        let asked = world.tenant.save_question(asked).await.unwrap();
        let owner_run = world.tenant.get_run(run).await.unwrap();
        let before = (world.live().await, world.tenant.get_source(source).await.unwrap(), owner_run.clone());

        let stranger = world.system.tenant(workspace(&world.system, "stranger").await.id);
        // Reading.
        assert!(stranger.find_source(source).await.unwrap().is_none());
        assert!(stranger.find_source_with_run(source).await.unwrap().is_none());
        assert_eq!(stranger.list_sources(None, 10).await.unwrap().items.len(), 1, "its own push source");
        assert!(stranger.find_run(run).await.unwrap().is_none());
        assert!(stranger.list_runs(source, None, 10).await.unwrap().items.is_empty());
        assert!(stranger.past_slots(source, 10).await.unwrap().is_empty());
        assert!(stranger.failed_items(run, 10).await.unwrap().is_empty());
        assert!(stranger.find_document(document).await.unwrap().is_none());
        assert!(stranger.find_version(document, 1).await.unwrap().is_none());
        let everything = DocumentFilter { source_id: Some(source), ..DocumentFilter::default() };
        assert!(stranger.list_documents(&everything, None, 10).await.unwrap().items.is_empty());
        assert!(stranger.changes_after(Default::default(), Default::default()).await.unwrap().documents.is_empty());
        assert_eq!(stranger.position().await.unwrap(), 0);
        let hit = Hit { document_id: document, version: 1, chunk: 0, score: 1.0 };
        assert!(stranger.passages(&[hit]).await.unwrap().is_empty(), "{name}");
        assert_eq!(stranger.citation_status(&[(document, 1)]).await.unwrap(), [CitationStatus::Removed]);
        let ledger = stranger.ledger(&owner_run, BASIS.to_owned());
        assert_eq!(ledger.lookup(vec!["a".to_owned()]).await.unwrap(), [None]);
        assert!(stranger.list_messages(None, Some(asked.thread_id), None, 10).await.unwrap().items.is_empty());
        assert!(stranger.list_messages(None, None, None, 10).await.unwrap().items.is_empty());

        // Writing.
        let renamed = SourceUpdate { name: Some("stolen".to_owned()), ..SourceUpdate::default() };
        assert!(matches!(stranger.update_source(source, renamed).await, Err(Error::NotFound("source"))), "{name}");
        assert!(matches!(stranger.set_health(source, Health::Failing).await, Err(Error::NotFound("source"))));
        let pause = Pause { at: at(1), by: "x".to_owned(), reason: PauseReason::ByHand, note: "x".to_owned() };
        assert!(matches!(stranger.pause_source(source, pause).await, Err(Error::NotFound("source"))));
        assert!(matches!(stranger.resume_source(source, &[], at(1)).await, Err(Error::NotFound("source"))));
        assert!(matches!(stranger.delete_source(source, "user:ada", at(1)).await, Err(Error::NotFound("source"))));
        assert!(matches!(stranger.create_run(world.new_run()).await, Err(Error::NotFound("source"))));
        assert!(matches!(stranger.request_cancel(run, at(1)).await, Err(Error::NotFound("run"))));
        assert!(matches!(stranger.begin_run(&running.lease, run, at(1)).await, Err(Error::LeaseLost)));
        assert!(matches!(
            stranger.set_waiting(&running.lease, run, WaitingFor::Retry, at(90)).await,
            Err(Error::LeaseLost)
        ));
        assert!(matches!(stranger.set_progress(&running.lease, run, &Default::default()).await, Err(Error::LeaseLost)));
        let page = || running.page(Page { drafts: vec![draft("a", "forged")], ..Page::default() });
        assert!(matches!(stranger.commit_page(Some(&running.lease), page()).await, Err(Error::LeaseLost)));
        assert!(matches!(stranger.commit_page(None, page()).await, Err(Error::NotFound("source"))));
        let finish = FinishRun::with(run, RunStatus::Failed, None, None, at(1));
        assert!(matches!(stranger.finish_run(Some(&running.lease), finish.clone()).await, Err(Error::LeaseLost)));
        assert!(matches!(stranger.finish_run(None, finish).await, Err(Error::NotFound("run"))));
        assert_eq!(stranger.delete_document(document, "user:ada", at(60)).await.unwrap(), None);
        let question = NewQuestion {
            thread_id: Some(asked.thread_id),
            owner: "user:ada".to_owned(),
            content: "x".to_owned(),
            now: at(1),
        };
        assert!(matches!(stranger.save_question(question).await, Err(Error::NotFound("thread"))));
        let answer = NewAnswer {
            id: tributary_core::MessageId::new(),
            thread_id: asked.thread_id,
            content: "forged".to_owned(),
            citations: vec![],
            mode: "extract".to_owned(),
            usage: serde_json::json!({}),
            stop_reason: "end".to_owned(),
            now: at(1),
        };
        assert!(matches!(stranger.save_answer(answer).await, Err(Error::NotFound("thread"))), "{name}");

        // A page of one's own source cannot be written through somebody else's run.
        let own = stranger.create_source(new_source("docs")).await.unwrap();
        let mixed = tributary_store::PageCommit { source_id: own.id, ..page() };
        assert!(matches!(stranger.commit_page(None, mixed).await, Err(Error::NotFound("run"))));

        let after = (
            world.live().await,
            world.tenant.get_source(source).await.unwrap(),
            world.tenant.get_run(run).await.unwrap(),
        );
        assert_eq!(after, before, "{name}: nothing of it was touched");
        assert_eq!(world.system.heartbeat(&running.lease, HOUR_MS).await.unwrap(), tributary_store::Heartbeat::Alive);
        assert_eq!(world.tenant.request_cancel(run, at(2)).await.unwrap(), CancelRequest::Asked);
    }
}

#[tokio::test]
async fn two_workspaces_use_the_same_names_and_external_ids() {
    for world in worlds().await {
        world.sync(vec![draft("a", "ours")]).await;
        let other = world.system.tenant(workspace(&world.system, "other").await.id);
        let source = other.create_source(new_source("docs")).await.unwrap();
        let push = tributary_store::Push {
            source_id: source.id,
            connector: source.connector.clone(),
            trigger: tributary_core::run::Trigger::Api,
            drafts: vec![draft("a", "theirs")],
            failed: vec![],
            basis: BASIS.to_owned(),
            bytes: 1,
            now: at(3),
        };
        assert_eq!(
            other.push(push).await.unwrap().outcome.position,
            Some(1),
            "{}: each counts for itself",
            world.name()
        );
        assert_eq!(world.live().await["a"], (1, "ours".to_owned()));
    }
}
