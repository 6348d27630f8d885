//! Jobs: claimed once, fenced, handed back, given up.

use tributary_core::{
    run::{RunKind, RunStatus, WaitingFor},
    source::Health,
};
use tributary_store::{Error, Heartbeat, NewRun};

use crate::support::{HOUR_MS, Page, World, at, draft, new_source, workspace, worlds};

#[tokio::test]
async fn a_lease_that_ran_out_is_offered_again_and_fences_the_first_worker() {
    for world in worlds().await {
        let mut first = world.begin(RunKind::Sync).await;
        first.commit(Page { drafts: vec![draft("a", "one")], ..Page::default() }).await;
        // The lease ends now, as if the worker had slept.
        assert_eq!(world.system.heartbeat(&first.lease, 0).await.unwrap(), Heartbeat::Alive);
        let refused = first.try_commit(Page { drafts: vec![draft("b", "stale")], ..Page::default() }).await;
        assert!(matches!(refused, Err(Error::LeaseLost)), "an expired lease commits nothing: {refused:?}");

        let second = world.system.claim(&["sync"], "second", HOUR_MS, 1).await.unwrap().remove(0);
        assert_eq!((second.job_id, second.attempt), (first.lease.job_id, first.lease.attempt + 1), "{}", world.name());
        let refused = first.try_commit(Page { drafts: vec![draft("b", "stale")], ..Page::default() }).await;
        assert!(matches!(refused, Err(Error::LeaseLost)), "{}: {refused:?}", world.name());
        assert!(matches!(first.try_finish(None, false).await, Err(Error::LeaseLost)));
        assert!(matches!(world.tenant.begin_run(&first.lease, first.run_id, at(3)).await, Err(Error::LeaseLost)));
        assert!(matches!(
            world.tenant.set_waiting(&first.lease, first.run_id, WaitingFor::Retry, at(90)).await,
            Err(Error::LeaseLost)
        ));
        assert_eq!(world.system.heartbeat(&first.lease, HOUR_MS).await.unwrap(), Heartbeat::Lost);
        assert!(!world.system.retry(&first.lease, 0, "x").await.unwrap());
        assert!(!world.system.release(&first.lease, 0).await.unwrap());
        assert!(!world.system.complete(&first.lease).await.unwrap());
        assert!(!world.system.fail(&first.lease, "x").await.unwrap());
        assert_eq!(world.live().await.keys().collect::<Vec<_>>(), ["a"]);

        // The successor goes on where the record stands.
        let page_no = world.tenant.begin_run(&second, first.run_id, at(4)).await.unwrap().run.page_no;
        assert_eq!(page_no, 1);
        first.lease = second;
        first.commit(Page { drafts: vec![draft("b", "two")], ..Page::default() }).await;
        first.finish(None).await;
        assert_eq!(world.live().await.len(), 2);
        assert_eq!(world.system.job_counts().await.unwrap().get("done"), Some(&1));
    }
}

#[tokio::test]
async fn a_job_handed_back_waits_and_only_failures_cost_a_try() {
    for world in worlds().await {
        let running = world.begin(RunKind::Sync).await;
        let tries = |lease: &tributary_core::job::Lease| lease.max_attempts - lease.attempt;
        let had = tries(&running.lease);
        assert!(world.system.release(&running.lease, HOUR_MS).await.unwrap());
        assert!(world.system.claim(&["sync"], "w", HOUR_MS, 1).await.unwrap().is_empty(), "not before its time");

        let second = world.begin_other("two").await;
        assert!(world.system.release(&second, 0).await.unwrap());
        let second = world.system.claim(&["sync"], "w", HOUR_MS, 1).await.unwrap().remove(0);
        assert_eq!(tries(&second), had, "waiting costs nothing");
        assert!(world.system.retry(&second, 0, "the source did not answer").await.unwrap());
        let second = world.system.claim(&["sync"], "w", HOUR_MS, 1).await.unwrap().remove(0);
        assert_eq!(tries(&second), had - 1, "{}", world.name());
        assert!(world.system.fail(&second, "given up").await.unwrap());
        assert_eq!(world.system.job_counts().await.unwrap().get("dead"), Some(&1));
        assert!(world.system.claim(&["other"], "w", HOUR_MS, 1).await.unwrap().is_empty());
    }
}

impl World {
    /// Another source's sync, leased.
    async fn begin_other(&self, name: &str) -> tributary_core::job::Lease {
        let source_id = self.tenant.create_source(new_source(name)).await.unwrap().id;
        self.tenant.create_run(NewRun { source_id, ..self.new_run() }).await.unwrap();
        self.system.claim(&["sync"], "w", HOUR_MS, 1).await.unwrap().remove(0)
    }
}

#[tokio::test]
async fn a_job_whose_workers_are_always_lost_is_given_up_and_its_run_fails() {
    for world in worlds().await {
        let run_id = world.tenant.create_run(world.new_run()).await.unwrap();
        let mut claims = 0;
        // A lease of no time is lost at once.
        while !world.system.claim(&["sync"], "w", 0, 1).await.unwrap().is_empty() {
            claims += 1;
            assert!(claims < 100, "it has to be given up at last");
        }
        let run = world.tenant.get_run(run_id).await.unwrap();
        assert_eq!((claims, run.status), (25, RunStatus::Failed), "{}", world.name());
        assert_eq!(run.error.unwrap().code, "worker_lost");
        let source = world.tenant.get_source(world.source.id).await.unwrap();
        let reason = source.condition.reason.map(|reason| reason.code);
        assert_eq!((source.health, reason.as_deref()), (Health::Failing, Some("worker_lost")), "{}", world.name());
        world.tenant.create_run(world.new_run()).await.unwrap();
    }
}

#[tokio::test]
async fn a_committed_page_gives_all_tries_back() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        for text in ["one", "two", "three"] {
            running.commit(Page { drafts: vec![draft("a", text)], ..Page::default() }).await;
            world.system.heartbeat(&running.lease, 0).await.unwrap();
            running.lease = world.system.claim(&["sync"], "w", HOUR_MS, 1).await.unwrap().remove(0);
        }
        assert_eq!(running.lease.max_attempts - running.lease.attempt, 24, "{}", world.name());
    }
}

#[tokio::test]
async fn finished_jobs_are_forgotten_dead_ones_are_not() {
    for world in worlds().await {
        world.begin(RunKind::Sync).await.finish(None).await;
        let lease = world.begin_other("two").await;
        assert!(world.system.fail(&lease, "x").await.unwrap());
        assert_eq!(world.system.forget_jobs(HOUR_MS, HOUR_MS, 10).await.unwrap(), 0, "not before their time");
        // So long ago is now.
        assert_eq!(world.system.forget_jobs(-HOUR_MS, HOUR_MS, 10).await.unwrap(), 1);
        let counts = world.system.job_counts().await.unwrap();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("dead".to_owned(), 1)], "{}", world.name());
    }
}

#[tokio::test]
async fn a_busy_workspace_does_not_hold_up_a_quiet_one() {
    for world in worlds().await {
        for number in 0..5 {
            let source_id = world.tenant.create_source(new_source(&format!("busy {number}"))).await.unwrap().id;
            world.tenant.create_run(NewRun { source_id, ..world.new_run() }).await.unwrap();
        }
        let quiet = workspace(&world.system, "quiet").await.id;
        let tenant = world.system.tenant(quiet);
        let source_id = tenant.create_source(new_source("late")).await.unwrap().id;
        tenant.create_run(NewRun { source_id, ..world.new_run() }).await.unwrap();
        let first_two = world.system.claim(&["sync"], "w", HOUR_MS, 2).await.unwrap();
        assert!(first_two.iter().any(|lease| lease.workspace_id == quiet), "{}: {first_two:?}", world.name());
    }
}

#[tokio::test]
async fn a_workspace_whose_jobs_run_lets_an_idle_one_go_first() {
    for world in worlds().await {
        let _running = world.begin(RunKind::Sync).await;
        let queue = async |tenant: &tributary_store::TenantDb| {
            let source_id = tenant.create_source(new_source("queued")).await.unwrap().id;
            tenant.create_run(NewRun { source_id, ..world.new_run() }).await.unwrap();
        };
        queue(&world.tenant).await;
        let idle = world.system.tenant(workspace(&world.system, "idle").await.id);
        queue(&idle).await;
        let next = world.system.claim(&["sync"], "w", HOUR_MS, 1).await.unwrap().remove(0);
        assert_eq!(next.workspace_id, idle.workspace_id(), "{}", world.name());
    }
}
