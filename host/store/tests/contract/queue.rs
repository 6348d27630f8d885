//! The queue: priorities, keys, fairness, limits, waiting, what was given up, what is forgotten.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use tributary_core::{
    JobId, RunId, WorkspaceId,
    job::{Lease, NewJob, Priority, Work},
    run::{RunKind, RunStatus, Trigger},
};
use tributary_store::{Error, JobChange, JobFilter, NewRun, SystemDb, testing};

use crate::support::{HOUR_MS, Page, World, at, draft, new_source, workspace, worlds};

fn job() -> NewJob {
    NewJob::now(Work::Sync { run_id: RunId::new() })
}

fn keyed(key: &str) -> NewJob {
    NewJob { dedup_key: Some(key.to_owned()), ..job() }
}

async fn queue(system: &SystemDb, workspace: WorkspaceId, jobs: usize) {
    let each = (0..jobs).map(|_| system.enqueue(workspace, job()));
    for queued in futures::future::join_all(each).await {
        assert!(queued.unwrap().new);
    }
}

async fn claim(world: &World, limit: i64) -> Vec<Lease> {
    world.system.claim(&["sync"], "w", HOUR_MS, limit).await.unwrap()
}

fn of(leases: &[Lease], workspace: WorkspaceId) -> usize {
    leases.iter().filter(|lease| lease.workspace_id == workspace).count()
}

#[tokio::test]
async fn what_somebody_waits_for_goes_first_and_what_makes_room_last() {
    for world in worlds().await {
        let mut order = Vec::new();
        for priority in [Priority::Low, Priority::Normal, Priority::High, Priority::Normal] {
            order.push(world.tenant.enqueue(NewJob { priority, ..job() }).await.unwrap().id);
        }
        let expected = [order[2], order[1], order[3], order[0]];
        let mut claimed = Vec::new();
        for _ in 0..2 {
            claimed.extend(claim(&world, 2).await.iter().map(|lease| lease.job_id));
        }
        assert_eq!(claimed, expected, "{}: by priority, the older first", world.name());
    }
}

#[tokio::test]
async fn a_sync_that_a_person_asked_for_overtakes_those_of_schedules() {
    for world in worlds().await {
        for (name, trigger) in [("scheduled", Trigger::Schedule), ("by hand", Trigger::Manual)] {
            let source_id = world.tenant.create_source(new_source(name)).await.unwrap().id;
            world.tenant.create_run(NewRun { source_id, trigger, ..world.new_run() }).await.unwrap();
        }
        let first = claim(&world, 1).await.remove(0);
        let Work::Sync { run_id } = first.work else { panic!("a sync") };
        assert_eq!(world.tenant.get_run(run_id).await.unwrap().trigger, Trigger::Manual, "{}", world.name());
    }
}

#[tokio::test]
async fn a_key_keeps_a_second_job_away_while_the_first_is_open() {
    for world in worlds().await {
        let first = world.tenant.enqueue(keyed("purge")).await.unwrap();
        let second = world.tenant.enqueue(keyed("purge")).await.unwrap();
        assert!(first.new);
        assert_eq!((second.new, second.id), (false, first.id), "{}", world.name());
        // Another workspace's key is another key.
        let other = workspace(&world.system, "other").await.id;
        let theirs = world.system.enqueue(other, keyed("purge")).await.unwrap();
        assert!(theirs.new && theirs.id != first.id, "{}", world.name());
        for (workspace, open) in [(world.workspace.id, first.id), (other, theirs.id)] {
            let again = world.system.enqueue(workspace, keyed("purge")).await.unwrap();
            assert_eq!(again.id, open, "{}: each is told its own", world.name());
        }

        let lease = claim(&world, 10).await.into_iter().find(|lease| lease.job_id == first.id).unwrap();
        assert!(!world.tenant.enqueue(keyed("purge")).await.unwrap().new, "a running one is open");
        assert!(world.system.complete(&lease).await.unwrap());
        assert!(world.tenant.enqueue(keyed("purge")).await.unwrap().new);

        let at_once = futures::future::join_all((0..20).map(|_| world.tenant.enqueue(keyed("storm")))).await;
        let at_once: Vec<_> = at_once.into_iter().map(Result::unwrap).collect();
        assert_eq!(at_once.iter().filter(|it| it.new).count(), 1, "{}", world.name());
        assert_eq!(at_once.iter().map(|it| it.id.0).collect::<HashSet<_>>().len(), 1);

        let refused = world.tenant.enqueue(keyed("")).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn one_who_queues_for_nobody_spoils_nothing_for_others_at_the_same_time() {
    for world in worlds().await {
        let nobody = WorkspaceId::new();
        let each = (0..30).map(|n| world.system.enqueue(if n % 10 == 3 { nobody } else { world.workspace.id }, job()));
        let results = futures::future::join_all(each).await;
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(queued) => assert!(queued.new && n % 10 != 3, "{}", world.name()),
                Err(error) => assert!(matches!(error, Error::NotFound("workspace")) && n % 10 == 3, "{n}: {error}"),
            }
        }
        assert_eq!(claim(&world, 100).await.len(), 27);
    }
}

#[tokio::test]
async fn ten_thousand_jobs_of_one_workspace_do_not_hold_up_one_of_another() {
    for world in worlds().await {
        queue(&world.system, world.workspace.id, 10_000).await;
        let other = workspace(&world.system, "other").await.id;
        queue(&world.system, other, 1).await;
        let mut claimer = world.system.claimer("sync", "w", HOUR_MS, i64::MAX);
        let began = std::time::Instant::now();
        let claimed = claimer.claim(2).await.unwrap().leases;
        let took = began.elapsed();
        assert_eq!((of(&claimed, other), of(&claimed, world.workspace.id)), (1, 1), "{}", world.name());
        assert!(took < Duration::from_millis(500), "{}: {took:?}", world.name());
        eprintln!("{}: a claim before 10,000 queued jobs took {took:?}", world.name());
    }
}

#[tokio::test]
async fn a_workspace_never_runs_more_at_once_than_it_may_whoever_claims() {
    for world in worlds().await {
        let other = workspace(&world.system, "other").await.id;
        queue(&world.system, world.workspace.id, 60).await;
        queue(&world.system, other, 3).await;
        // Of another kind, and counted all the same.
        world.tenant.enqueue(NewJob::now(Work::DeleteWorkspace)).await.unwrap();
        assert_eq!(world.system.claim(&["delete_workspace"], "w", HOUR_MS, 9).await.unwrap().len(), 1);
        let hosts = (0..6).map(|host| {
            let mut claimer = world.system.claimer("sync", &format!("host {host}"), HOUR_MS, 4);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                for _ in 0..5 {
                    mine.extend(claimer.claim(3).await.unwrap().leases);
                }
                mine
            })
        });
        let claimed: Vec<Lease> = futures::future::join_all(hosts).await.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!(of(&claimed, world.workspace.id), 3, "{}: four at once, one is running", world.name());
        assert_eq!(of(&claimed, other), 3, "{}", world.name());
        // One ends, one more may begin.
        let ended = claimed.iter().find(|lease| lease.workspace_id == world.workspace.id).unwrap();
        assert!(world.system.complete(ended).await.unwrap());
        let next = world.system.claimer("sync", "w", HOUR_MS, 4).claim(10).await.unwrap().leases;
        assert_eq!(of(&next, world.workspace.id), 1, "{}", world.name());
    }
}

#[tokio::test]
async fn what_is_taken_of_a_workspace_is_its_own_however_jobs_were_queued() {
    for world in worlds().await {
        let other = workspace(&world.system, "other").await.id;
        for _ in 0..6 {
            queue(&world.system, world.workspace.id, 1).await;
            queue(&world.system, other, 1).await;
        }
        let claimed = world.system.claimer("sync", "w", HOUR_MS, 3).claim(20).await.unwrap().leases;
        assert_eq!((of(&claimed, world.workspace.id), of(&claimed, other)), (3, 3), "{}", world.name());
    }
}

#[tokio::test]
async fn between_two_idle_workspaces_the_more_urgent_job_goes_first() {
    for world in worlds().await {
        let others: Vec<_> =
            futures::future::join_all(["a", "b", "c"].map(|slug| workspace(&world.system, slug))).await;
        queue(&world.system, world.workspace.id, 1).await;
        for other in &others {
            world.system.enqueue(other.id, job()).await.unwrap();
        }
        let urgent = others[1].id;
        world.system.enqueue(urgent, NewJob { priority: Priority::High, ..job() }).await.unwrap();
        assert_eq!(claim(&world, 1).await[0].workspace_id, urgent, "{}", world.name());
    }
}

#[tokio::test]
async fn every_workspace_gets_its_turn_when_there_are_very_many() {
    for world in worlds().await {
        let mut all = HashSet::new();
        for number in 0..150 {
            let id = workspace(&world.system, &format!("w{number}")).await.id;
            queue(&world.system, id, 3).await;
            all.insert(id);
        }
        let mut claimer = world.system.claimer("sync", "w", HOUR_MS, i64::MAX);
        let mut begun: BTreeMap<_, usize> = BTreeMap::new();
        for _ in 0..15 {
            for lease in claimer.claim(10).await.unwrap().leases {
                *begun.entry(lease.workspace_id.0).or_default() += 1;
            }
        }
        assert_eq!(begun.len(), 150, "{}: each began something before any a second thing", world.name());
        let rest: usize = 450 - begun.values().sum::<usize>();
        let mut claimed = 0;
        while claimed < rest {
            let more = claimer.claim(100).await.unwrap().leases.len();
            assert!(more > 0, "{}: {claimed} of {rest}", world.name());
            claimed += more;
        }
    }
}

#[tokio::test]
async fn a_job_that_waits_is_claimed_when_its_time_has_come_and_says_when() {
    for world in worlds().await {
        let mut claimer = world.system.claimer("sync", "w", HOUR_MS, i64::MAX);
        assert_eq!(claimer.claim(1).await.unwrap().wait_ms, None, "nothing will ever come by itself");
        world.tenant.enqueue(NewJob { delay_ms: 400, ..job() }).await.unwrap();
        let mut waited_ms = 0;
        let claimed = loop {
            let claimed = claimer.claim(1).await.unwrap();
            if !claimed.leases.is_empty() {
                break claimed;
            }
            let wait_ms = claimed.wait_ms.expect("it says when");
            assert!(wait_ms <= 400, "{wait_ms}");
            waited_ms += wait_ms;
            assert!(waited_ms < 5_000, "{}", world.name());
            tokio::time::sleep(Duration::from_millis(wait_ms.cast_unsigned())).await;
        };
        assert!(waited_ms > 100 && claimed.leases.len() == 1, "{}: {waited_ms}", world.name());
        // Handed back to wait.
        assert!(world.system.retry(&claimed.leases[0], HOUR_MS, "later").await.unwrap());
        assert!(claim(&world, 1).await.is_empty());
        assert_eq!(world.system.requeue_job(claimed.leases[0].job_id).await.unwrap(), JobChange::Done);
        assert_eq!(claim(&world, 1).await.len(), 1, "{}: it was told to go now", world.name());
    }
}

#[tokio::test]
async fn a_job_that_fails_again_and_again_is_given_up_can_be_looked_at_and_tried_again() {
    for world in worlds().await {
        let run_id = world.tenant.create_run(world.new_run()).await.unwrap();
        for attempt in 1..=25 {
            let lease = claim(&world, 1).await.remove(0);
            assert_eq!(lease.attempt, attempt);
            assert!(world.system.retry(&lease, 0, "the disk\0is on fire").await.unwrap());
        }
        assert!(claim(&world, 1).await.is_empty(), "{}: it was given up", world.name());
        let run = world.tenant.get_run(run_id).await.unwrap();
        assert_eq!((run.status, run.error.as_ref().unwrap().code.as_str()), (RunStatus::Failed, "gave_up"));
        assert!(run.error.unwrap().detail.contains("on fire"));

        let dead = JobFilter { state: Some("dead".to_owned()), ..JobFilter::default() };
        let listed = world.system.list_jobs(&dead, None, 10).await.unwrap().items.remove(0);
        assert_eq!(
            (listed.last_error.as_deref(), listed.attempt),
            (Some("the diskis on fire"), 25),
            "{}",
            world.name()
        );
        assert_eq!(world.system.find_job(listed.id).await.unwrap().unwrap(), listed);
        assert_eq!(world.system.cancel_job(listed.id).await.unwrap(), JobChange::Refused, "it is over");

        assert_eq!(world.system.requeue_job(listed.id).await.unwrap(), JobChange::Done);
        let lease = claim(&world, 1).await.remove(0);
        assert_eq!((lease.attempt, lease.max_attempts), (26, 50), "{}: with all its tries", world.name());
        assert_eq!(world.system.requeue_job(listed.id).await.unwrap(), JobChange::Refused, "it runs");
        assert_eq!(world.system.discard_job(listed.id).await.unwrap(), JobChange::Refused, "it runs");
        assert!(world.system.fail(&lease, "no").await.unwrap());
        assert_eq!(world.system.discard_job(listed.id).await.unwrap(), JobChange::Done);
        assert!(world.system.find_job(listed.id).await.unwrap().is_none());
        assert_eq!(world.system.discard_job(JobId::new()).await.unwrap(), JobChange::Refused);
    }
}

#[tokio::test]
async fn a_key_given_to_another_keeps_a_dead_job_dead() {
    for world in worlds().await {
        let first = world.tenant.enqueue(keyed("k")).await.unwrap().id;
        assert!(world.system.fail(&claim(&world, 1).await.remove(0), "x").await.unwrap());
        assert!(world.tenant.enqueue(keyed("k")).await.unwrap().new);
        let refused = world.system.requeue_job(first).await;
        assert!(matches!(refused, Err(Error::Conflict { .. })), "{}: {refused:?}", world.name());
    }
}

#[tokio::test]
async fn jobs_are_listed_newest_first_by_state_kind_and_workspace() {
    for world in worlds().await {
        let other = workspace(&world.system, "other").await.id;
        queue(&world.system, world.workspace.id, 3).await;
        queue(&world.system, other, 2).await;
        world.system.enqueue(other, NewJob::now(Work::DeleteWorkspace)).await.unwrap();
        let list = async |filter: JobFilter, before, limit| {
            let page = world.system.list_jobs(&filter, before, limit).await.unwrap();
            (page.items.iter().map(|job| job.id).collect::<Vec<_>>(), page.more)
        };
        let (all, more) = list(JobFilter::default(), None, 100).await;
        assert_eq!((all.len(), more), (6, false));
        assert!(all.is_sorted_by(|a, b| a.0 > b.0), "{}", world.name());
        let (page, more) = list(JobFilter::default(), Some(all[1]), 2).await;
        assert_eq!((page, more), (all[2..4].to_vec(), true));
        let theirs = JobFilter { workspace: Some(other), ..JobFilter::default() };
        assert_eq!(list(theirs.clone(), None, 100).await.0.len(), 3);
        assert_eq!(list(JobFilter { kind: Some("sync".to_owned()), ..theirs.clone() }, None, 100).await.0.len(), 2);
        assert_eq!(list(JobFilter { state: Some("queued".to_owned()), ..theirs.clone() }, None, 100).await.0.len(), 3);
        assert_eq!(list(JobFilter { state: Some("dead".to_owned()), ..theirs }, None, 100).await.0.len(), 0);

        let _one = claim(&world, 1).await;
        let open = world.system.open_jobs().await.unwrap();
        let shown: Vec<_> = open.iter().map(|it| (it.kind.as_str(), it.running, it.ready, it.waiting)).collect();
        assert_eq!(shown, [("delete_workspace", 0, 1, 0), ("sync", 1, 4, 0)], "{}", world.name());
    }
}

#[tokio::test]
async fn cancelling_a_job_ends_its_run_or_asks_its_worker() {
    for world in worlds().await {
        let run_id = world.tenant.create_run(world.new_run()).await.unwrap();
        let job = world.system.list_jobs(&JobFilter::default(), None, 1).await.unwrap().items.remove(0);
        assert_eq!(world.system.cancel_job(job.id).await.unwrap(), JobChange::Done);
        assert_eq!(world.tenant.get_run(run_id).await.unwrap().status, RunStatus::Cancelled, "{}", world.name());
        assert!(claim(&world, 1).await.is_empty());

        let running = world.begin(RunKind::Sync).await;
        assert_eq!(world.system.cancel_job(running.lease.job_id).await.unwrap(), JobChange::Asked);
        let told = world.system.heartbeat(&running.lease, HOUR_MS).await.unwrap();
        assert_eq!(told, tributary_store::Heartbeat::CancelRequested, "{}", world.name());
        assert_eq!(world.tenant.get_run(running.run_id).await.unwrap().status, RunStatus::Running);
        running.finish(None).await;
    }
}

#[tokio::test]
async fn a_lease_from_before_the_clock_was_set_back_does_not_last_for_ever() {
    for world in worlds().await {
        queue(&world.system, world.workspace.id, 2).await;
        let leases = world.system.claim(&["sync"], "w", 20_000, 2).await.unwrap();
        // What one looks like after the clock jumped back for a day; the other's worker lives.
        let jump = match world.test.engine() {
            tributary_store::Engine::Sqlite => "UPDATE job SET lease_until = '2999-01-01T00:00:00.000+00:00'",
            tributary_store::Engine::Postgres => "UPDATE job SET lease_until = '2999-01-01T00:00:00Z'",
        };
        testing::execute(&world.test.url, jump).await.unwrap();
        world.system.heartbeat(&leases[1], 20_000).await.unwrap();
        let again = claim(&world, 2).await;
        assert_eq!(again.len(), 1, "{}", world.name());
        assert_eq!((again[0].job_id, again[0].attempt), (leases[0].job_id, 2));
        assert!(world.system.complete(&leases[1]).await.unwrap(), "{}", world.name());
        assert!(!world.system.complete(&leases[0]).await.unwrap(), "{}", world.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_done_once_in_a_storm_of_claims_with_each_acknowledged() {
    for world in worlds().await {
        queue(&world.system, world.workspace.id, 1_500).await;
        let workers = (0..12).map(|worker| {
            let system = world.system.clone();
            tokio::spawn(async move {
                let mut claimer = system.claimer("sync", &format!("w{worker}"), HOUR_MS, i64::MAX);
                let mut mine = Vec::new();
                loop {
                    let claimed = claimer.claim(10).await.unwrap();
                    if claimed.leases.is_empty() && claimed.wait_ms.is_none_or(|wait_ms| wait_ms > 1_000) {
                        return mine;
                    }
                    let done =
                        futures::future::join_all(claimed.leases.iter().map(|lease| system.complete(lease))).await;
                    assert!(done.into_iter().all(Result::unwrap));
                    mine.extend(claimed.leases.iter().map(|lease| lease.job_id.0));
                }
            })
        });
        let done: Vec<_> = futures::future::join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
        assert_eq!((done.len(), done.iter().collect::<HashSet<_>>().len()), (1_500, 1_500), "{}", world.name());
        assert_eq!(world.system.job_counts().await.unwrap().get("done"), Some(&1_500));
    }
}

#[tokio::test]
async fn a_chore_is_one_hosts_at_a_time_and_comes_round_again() {
    for world in worlds().await {
        let system = &world.system;
        let hosts =
            futures::future::join_all(["a", "b", "c", "d"].map(|host| system.take_chore("tidy", host, HOUR_MS))).await;
        assert_eq!(hosts.iter().filter(|taken| *taken.as_ref().unwrap()).count(), 1, "{}: {hosts:?}", world.name());
        let holder = ["a", "b", "c", "d"][hosts.iter().position(|taken| *taken.as_ref().unwrap()).unwrap()];
        assert!(!system.finish_chore("tidy", "somebody else", 0).await.unwrap());
        assert!(system.finish_chore("tidy", holder, HOUR_MS).await.unwrap());
        assert!(!system.take_chore("tidy", "e", HOUR_MS).await.unwrap(), "not before its time");
        // Whoever was lost holding one does not keep it.
        assert!(system.take_chore("other", "lost", 0).await.unwrap());
        assert!(system.take_chore("other", "next", HOUR_MS).await.unwrap(), "{}", world.name());
        assert!(!system.finish_chore("other", "lost", 0).await.unwrap());
    }
}

#[tokio::test]
async fn history_is_forgotten_in_slices_and_nothing_that_lasts() {
    for world in worlds().await {
        let system = &world.system;
        queue(system, world.workspace.id, 5).await;
        for lease in claim(&world, 3).await {
            assert!(system.complete(&lease).await.unwrap());
        }
        assert_eq!(
            system.forget_jobs(-HOUR_MS, -HOUR_MS, 2).await.unwrap(),
            2,
            "{}: no more than a slice",
            world.name()
        );
        assert_eq!(system.forget_jobs(-HOUR_MS, -HOUR_MS, 2).await.unwrap(), 1);
        assert_eq!(system.job_counts().await.unwrap().get("queued"), Some(&2));

        // What an ended run saw is of no use; what a running one saw is.
        let mut ended = world.begin_sync("ended").await;
        ended.commit(Page { drafts: vec![draft("a", "one")], ..Page::default() }).await;
        testing::execute(&world.test.url, "UPDATE run SET status = 'failed', finished_at = queued_at").await.unwrap();
        let mut running = world.begin_sync("running").await;
        running.commit(Page { drafts: vec![draft("b", "two")], ..Page::default() }).await;
        assert_eq!(system.forget_seen(10).await.unwrap(), 1, "{}", world.name());
        assert_eq!(system.forget_seen(10).await.unwrap(), 0);
    }
}

impl World {
    /// A running sync whose job nobody else's stands before.
    async fn begin_sync(&self, worker: &str) -> crate::support::Running<'_> {
        let run_id = self.tenant.create_run(self.new_run()).await.unwrap();
        let lease = loop {
            let lease = self.system.claim(&["sync"], worker, HOUR_MS, 1).await.unwrap().remove(0);
            if lease.work == (Work::Sync { run_id }) {
                break lease;
            }
        };
        self.tenant.begin_run(&lease, run_id, at(1)).await.unwrap();
        crate::support::Running { world: self, run_id, lease, page_no: 0 }
    }
}
