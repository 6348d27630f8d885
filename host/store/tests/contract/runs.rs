//! Runs: asked for, followed, stopped.

use tributary_core::{
    RunId,
    contract::{Container, Fault, Progress},
    ledger::Ledger,
    run::{FailedItem, RunKind, RunStatus, Stage, StageName, Trigger, Waiting, WaitingFor},
};
use tributary_store::{CancelRequest, Error, Heartbeat, NewRun, RetryRequest, RunFilter};

use crate::support::{HOUR_MS, Page, at, draft, worlds};

#[tokio::test(flavor = "multi_thread")]
async fn a_source_has_one_active_sync_however_many_ask() {
    for world in worlds().await {
        let asked = (0..6).map(|_| {
            let (tenant, new) = (world.tenant.clone(), world.new_run());
            tokio::spawn(async move { tenant.create_run(new).await })
        });
        let answers: Vec<_> = futures::future::join_all(asked).await.into_iter().map(Result::unwrap).collect();
        let made: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(made.len(), 1, "{}: {answers:?}", world.name());
        let all_say_so = answers
            .iter()
            .filter_map(|answer| answer.as_ref().err())
            .all(|error| matches!(error, Error::AlreadyRunning { run_id } if run_id == made[0]));
        assert!(all_say_so, "{}: {answers:?}", world.name());
        assert_eq!(world.system.job_counts().await.unwrap().get("queued"), Some(&1));

        let push = NewRun { kind: RunKind::Push, ..world.new_run() };
        let push = world.tenant.create_run(push).await.unwrap();
        let push = world.tenant.get_run(push).await.unwrap();
        assert_eq!(
            (push.status, push.started_at),
            (RunStatus::Running, Some(at(0))),
            "a push is not held up by a sync"
        );
        assert_eq!(world.system.job_counts().await.unwrap().get("queued"), Some(&1), "and has no job");
    }
}

#[tokio::test]
async fn runs_are_listed_newest_first() {
    for world in worlds().await {
        let mut ids = Vec::new();
        for _ in 0..3 {
            let running = world.begin(RunKind::Sync).await;
            ids.push(running.run_id);
            running.finish(None).await;
        }
        ids.reverse();
        let page = world.tenant.list_runs(world.source.id, None, 2).await.unwrap();
        assert_eq!((page.items.iter().map(|run| run.id).collect::<Vec<_>>(), page.more), (ids[..2].to_vec(), true));
        let page = world.tenant.list_runs(world.source.id, Some(ids[1]), 2).await.unwrap();
        assert_eq!((page.items.iter().map(|run| run.id).collect::<Vec<_>>(), page.more), (ids[2..].to_vec(), false));
        assert!(matches!(world.tenant.get_run(RunId::new()).await, Err(Error::NotFound("run"))));
    }
}

#[tokio::test]
async fn a_run_keeps_the_configuration_and_connector_of_its_first_page() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        running.commit(Page { drafts: vec![draft("a", "one")], cursor: Some("next"), ..Page::default() }).await;
        let update = tributary_store::SourceUpdate {
            config: Some(serde_json::json!({ "root": "elsewhere" })),
            ..Default::default()
        };
        world.tenant.update_source(world.source.id, update).await.unwrap();
        let again = world.tenant.begin_run(&running.lease, running.run_id, at(20)).await.unwrap();
        assert_eq!((again.run.config_revision, again.source.config_revision), (1, 2), "{}", world.name());
        assert_eq!((again.run.page_no, again.run.cursor.as_deref()), (1, Some("next")));
        assert_eq!(again.run.started_at, Some(at(1)), "the first start counts");
    }
}

#[tokio::test]
async fn waiting_and_progress_show() {
    for world in worlds().await {
        let running = world.begin(RunKind::Sync).await;
        let progress = Progress { done: 3, total: Some(9), phase: "reading".to_owned() };
        world.tenant.set_progress(&running.lease, running.run_id, &progress).await.unwrap();
        world.tenant.set_waiting(&running.lease, running.run_id, WaitingFor::Quota, at(90)).await.unwrap();
        let run = world.tenant.get_run(running.run_id).await.unwrap();
        assert_eq!((run.status, run.progress), (RunStatus::Waiting, Some(progress)), "{}", world.name());
        assert_eq!(run.waiting, Some(Waiting { reason: WaitingFor::Quota, until: at(90) }), "{}", world.name());
    }
}

#[tokio::test]
async fn the_stage_shows_while_a_worker_is_in_it() {
    for world in worlds().await {
        let running = world.begin(RunKind::Sync).await;
        let stage = Stage { name: StageName::Extract, since: at(2), moved_at: at(3) };
        world.tenant.set_stage(&running.lease, running.run_id, &stage).await.unwrap();
        assert_eq!(world.tenant.get_run(running.run_id).await.unwrap().stage, Some(stage), "{}", world.name());
        world.tenant.set_waiting(&running.lease, running.run_id, WaitingFor::Retry, at(90)).await.unwrap();
        assert_eq!(world.tenant.get_run(running.run_id).await.unwrap().stage, None, "waiting is no stage");
        world.tenant.begin_run(&running.lease, running.run_id, at(91)).await.unwrap();
        assert_eq!(world.tenant.get_run(running.run_id).await.unwrap().waiting, None, "and over when the work goes on");
        world.tenant.set_stage(&running.lease, running.run_id, &stage).await.unwrap();
        let run = running.finish(None).await.run;
        assert_eq!((run.stage, run.waiting), (None, None));
        let late = world.tenant.set_stage(&running.lease, running.run_id, &stage).await;
        assert!(matches!(late, Err(Error::LeaseLost)), "{}: {late:?}", world.name());
    }
}

#[tokio::test]
async fn pages_that_go_in_a_circle_are_counted() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let mut stale = Vec::new();
        for names in [vec!["a"], vec!["b", "c"], vec!["a"], vec!["b", "c"], vec![], vec!["d"], vec![]] {
            let drafts = names.into_iter().map(|name| draft(name, "text")).collect();
            stale.push(running.commit(Page { drafts, ..Page::default() }).await.stale_pages);
        }
        assert_eq!(stale, [0, 0, 1, 2, 3, 0, 1], "{}", world.name());
        assert_eq!(world.tenant.get_run(running.run_id).await.unwrap().stale_pages, 1);
    }
}

#[tokio::test]
async fn runs_are_found_by_status_and_kind() {
    for world in worlds().await {
        for kind in [RunKind::Sync, RunKind::Full, RunKind::Sync] {
            world.begin(kind).await.finish(None).await;
        }
        let open = world.begin(RunKind::Sync).await.run_id;
        let count = async |status, kind| {
            let found = world.tenant.find_runs(world.source.id, RunFilter { status, kind }, None, 10).await.unwrap();
            found.items.len()
        };
        assert_eq!(count(None, Some(RunKind::Full)).await, 1, "{}", world.name());
        assert_eq!(count(Some(RunStatus::Succeeded), Some(RunKind::Sync)).await, 2);
        assert_eq!(count(Some(RunStatus::Running), None).await, 1);
        let running = RunFilter { status: Some(RunStatus::Running), kind: None };
        let page = world.tenant.find_runs(world.source.id, running, None, 10).await.unwrap();
        assert_eq!(page.items[0].id, open);
    }
}

#[tokio::test]
async fn failed_items_are_paged_and_read_again_with_their_containers() {
    for world in worlds().await {
        let container =
            |name: &str| Container { external_id: name.to_owned(), fingerprint: "fp".to_owned(), unchanged: false };
        let failed = |id: &str| FailedItem {
            external_id: id.to_owned(),
            fault: Fault::Permission,
            message: "It cannot be opened.".to_owned(),
        };
        let mut running = world.begin(RunKind::Sync).await;
        running.commit(Page { drafts: vec![draft("a", "one"), draft("b", "two")], ..Page::default() }).await;
        let none = world.tenant.retry_failed(running.run_id, Trigger::Api, at(2)).await.unwrap();
        assert_eq!(none, RetryRequest::NotOver, "{}", world.name());
        let page = Page {
            containers: vec![container("table")],
            failed: vec![failed("a"), failed("table#7"), failed("c")],
            ..Page::default()
        };
        running.commit(page).await;
        running.finish(None).await;

        let first = world.tenant.failed_items_after(running.run_id, -1, 2).await.unwrap();
        let names: Vec<_> = first.items.iter().map(|(_, item)| item.external_id.as_str()).collect();
        assert_eq!((names, first.more), (vec!["a", "table#7"], true), "{}", world.name());
        let last = first.items.last().unwrap().0;
        let second = world.tenant.failed_items_after(running.run_id, last, 2).await.unwrap();
        assert_eq!((second.items.len(), second.more), (1, false));

        let asked = world.tenant.retry_failed(running.run_id, Trigger::Api, at(2)).await.unwrap();
        let RetryRequest::Queued(again) = asked else { panic!("{asked:?}") };
        let busy = world.tenant.retry_failed(running.run_id, Trigger::Api, at(2)).await.unwrap_err();
        assert!(matches!(busy, Error::AlreadyRunning { run_id } if run_id == again), "{}: {busy}", world.name());
        let run = world.tenant.get_run(again).await.unwrap();
        assert_eq!((run.kind, run.retry_of), (RunKind::Sync, Some(running.run_id)));
        let ask = ["a", "b", "table"].map(str::to_owned).to_vec();
        let known = world.tenant.ledger(&run, crate::support::BASIS.to_owned()).lookup(ask).await.unwrap();
        let known: Vec<_> = known.iter().map(Option::is_some).collect();
        assert_eq!(known, [false, true, false], "{}: what failed is read again, the rest is not", world.name());
        world.tenant.request_cancel(again, at(3)).await.unwrap();
        let unfailed = world.tenant.retry_failed(again, Trigger::Api, at(4)).await.unwrap();
        assert_eq!(unfailed, RetryRequest::NothingFailed);
    }
}

#[tokio::test]
async fn a_queued_run_is_cancelled_at_once_and_a_running_one_is_asked() {
    for world in worlds().await {
        let queued = world.tenant.create_run(world.new_run()).await.unwrap();
        assert_eq!(world.tenant.request_cancel(queued, at(5)).await.unwrap(), CancelRequest::Cancelled);
        let run = world.tenant.get_run(queued).await.unwrap();
        assert_eq!((run.status, run.finished_at), (RunStatus::Cancelled, Some(at(5))), "{}", world.name());
        assert!(world.system.claim(&["sync"], "w", HOUR_MS, 1).await.unwrap().is_empty());
        assert_eq!(world.tenant.request_cancel(queued, at(6)).await.unwrap(), CancelRequest::AlreadyOver);

        let running = world.begin(RunKind::Sync).await;
        assert_eq!(world.system.heartbeat(&running.lease, HOUR_MS).await.unwrap(), Heartbeat::Alive);
        assert_eq!(world.tenant.request_cancel(running.run_id, at(7)).await.unwrap(), CancelRequest::Asked);
        assert_eq!(world.system.heartbeat(&running.lease, HOUR_MS).await.unwrap(), Heartbeat::CancelRequested);
        let begun = world.tenant.begin_run(&running.lease, running.run_id, at(8)).await.unwrap();
        assert!(begun.cancel_requested);
        assert!(matches!(world.tenant.request_cancel(RunId::new(), at(9)).await, Err(Error::NotFound("run"))));
    }
}

#[tokio::test]
async fn a_run_that_waits_for_its_retry_is_cancelled_at_once() {
    for world in worlds().await {
        let running = world.begin(RunKind::Sync).await;
        world.tenant.set_waiting(&running.lease, running.run_id, WaitingFor::Quota, at(90)).await.unwrap();
        assert!(world.system.release(&running.lease, HOUR_MS).await.unwrap());
        assert_eq!(world.tenant.request_cancel(running.run_id, at(9)).await.unwrap(), CancelRequest::Cancelled);
        // And the source is free for the next sync.
        world.tenant.create_run(world.new_run()).await.unwrap();
    }
}
