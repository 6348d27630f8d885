//! Schedules: each slot fires once, whatever the source is busy with; pauses.

use tributary_core::{
    SourceId,
    run::{RunError, RunKind, RunStatus},
    schedule::{DueSchedule, Overlap, Pause, PauseReason, Rhythm, Schedule, ScheduleKind, SlotOutcome, Start},
};
use tributary_store::{CancelRequest, FinishRun, Fired, Firing, NewSchedule, NewSource, SourceUpdate};

use crate::support::{HOUR_MS, World, at, new_source, workspace, worlds};

pub fn start(seconds: i64) -> Start {
    Start { slot: at(seconds), at: at(seconds) }
}

pub fn every_minute(kind: ScheduleKind, overlap: Overlap, first: i64) -> NewSchedule {
    let rhythm = Rhythm::Cron { expression: "* * * * *".to_owned(), timezone: "Europe/Berlin".to_owned() };
    let schedule = Schedule { rhythm, overlap, catch_up_s: 86_400, jitter_s: Some(5) };
    NewSchedule { kind, schedule, anchor_at: at(0), first: Some(start(first)) }
}

async fn scheduled(world: &World, name: &str, schedules: Vec<NewSchedule>) -> SourceId {
    let new = NewSource { schedules, ..new_source(name) };
    world.tenant.create_source(new).await.unwrap().id
}

async fn syncing(world: &World, name: &str, first: i64) -> SourceId {
    scheduled(world, name, vec![every_minute(ScheduleKind::Sync, Overlap::Skip, first)]).await
}

pub fn firing(due: &DueSchedule, next: i64) -> Firing {
    let slot = due.scheduled.next.unwrap().slot;
    Firing::Due { due: due.clone(), slot, missed: false, next: Some(start(next)) }
}

async fn due(world: &World, now: i64) -> DueSchedule {
    world.system.due(at(now), 10).await.unwrap().remove(0)
}

async fn names(world: &World, now: i64, limit: i64) -> Vec<SourceId> {
    world.system.due(at(now), limit).await.unwrap().into_iter().map(|due| due.source_id).collect()
}

async fn next(world: &World, id: SourceId) -> Option<Start> {
    world.tenant.find_source_with_run(id).await.unwrap().unwrap().schedules[0].next
}

fn pause(note: &str) -> Pause {
    Pause { at: at(5), by: "user:ada".to_owned(), reason: PauseReason::ByHand, note: note.to_owned() }
}

#[tokio::test]
async fn what_is_due_is_listed_longest_due_first() {
    for world in worlds().await {
        let later = syncing(&world, "later", 20).await;
        let sooner = syncing(&world, "sooner", 10).await;
        assert_eq!(names(&world, 9, 10).await, []);
        assert_eq!(names(&world, 10, 10).await, [sooner], "{}", world.name());
        assert_eq!(names(&world, 30, 10).await, [sooner, later]);
        assert_eq!(names(&world, 30, 1).await, [sooner]);
        world.tenant.archive_workspace(Some(at(1))).await.unwrap();
        assert_eq!(names(&world, 30, 10).await, [], "{}: put aside", world.name());
    }
}

#[tokio::test]
async fn a_workspace_with_much_that_is_due_does_not_hold_up_another() {
    for world in worlds().await {
        for n in 0..20 {
            syncing(&world, &format!("busy {n}"), 10).await;
        }
        let other = world.system.tenant(workspace(&world.system, "other").await.id);
        let schedules = vec![every_minute(ScheduleKind::Sync, Overlap::Skip, 15)];
        let lone = other.create_source(NewSource { schedules, ..new_source("lone") }).await.unwrap().id;
        assert!(names(&world, 30, 2).await.contains(&lone), "{}", world.name());
    }
}

#[tokio::test]
async fn schedules_are_read_as_they_were_written() {
    for world in worlds().await {
        let sync = every_minute(ScheduleKind::Sync, Overlap::Skip, 10);
        let weekly = Schedule {
            rhythm: Rhythm::Every { seconds: 604_800 },
            overlap: Overlap::Cancel,
            catch_up_s: 0,
            jitter_s: None,
        };
        let full = NewSchedule { kind: ScheduleKind::Full, schedule: weekly, anchor_at: at(3), first: Some(start(50)) };
        let id = scheduled(&world, "both", vec![sync.clone(), full.clone()]).await;
        let read = async || world.tenant.find_source_with_run(id).await.unwrap().unwrap().schedules;
        let all = read().await;
        let written: Vec<_> = all
            .iter()
            .map(|it| NewSchedule {
                kind: it.kind,
                schedule: it.schedule.clone(),
                anchor_at: it.anchor_at,
                first: it.next,
            })
            .collect();
        assert_eq!(written, [full.clone(), sync], "{}", world.name());
        let listed = world.tenant.list_sources(None, 10).await.unwrap();
        assert_eq!(listed.items.iter().find(|it| it.source.id == id).unwrap().schedules, all);

        let update = SourceUpdate {
            schedules: vec![
                (ScheduleKind::Sync, None),
                (ScheduleKind::Full, Some(NewSchedule { first: Some(start(70)), ..full })),
            ],
            ..SourceUpdate::default()
        };
        world.tenant.update_source(id, update).await.unwrap();
        let all = read().await;
        assert_eq!((all.len(), all[0].kind, all[0].next), (1, ScheduleKind::Full, Some(start(70))), "{}", world.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_hosts_fire_a_slot_once() {
    for world in worlds().await {
        let source = syncing(&world, "scheduled", 10).await;
        let due = due(&world, 11).await;
        let hosts = (0..8).map(|_| {
            let (system, firing) = (world.system.clone(), firing(&due, 70));
            tokio::spawn(async move { system.fire(&[firing], at(11)).await.unwrap()[0] })
        });
        let fired: Vec<_> = futures::future::join_all(hosts).await.into_iter().map(Result::unwrap).collect();
        let started: Vec<_> = fired.iter().filter(|fired| matches!(fired, Fired::Started(_))).collect();
        assert_eq!(started.len(), 1, "{}: {fired:?}", world.name());
        assert_eq!(fired.iter().filter(|fired| **fired == Fired::NotOurs).count(), 7, "{}: {fired:?}", world.name());
        let read = world.tenant.find_source_with_run(source).await.unwrap().unwrap();
        assert_eq!(read.schedules[0].next, Some(start(70)));
        let run = read.last_run.unwrap();
        assert_eq!((*started[0], run.kind, run.status), (Fired::Started(run.id), RunKind::Sync, RunStatus::Queued));
        assert_eq!(world.system.job_counts().await.unwrap().get("queued"), Some(&1));
        assert_eq!(names(&world, 11, 10).await, []);
        // The run is one like any other: a worker takes it up.
        let lease = world.system.claim(&["sync"], "worker", HOUR_MS, 1).await.unwrap().remove(0);
        assert_eq!(world.tenant.begin_run(&lease, run.id, at(12)).await.unwrap().source.id, source);
    }
}

#[tokio::test]
async fn a_batch_is_fired_like_one_by_one() {
    for world in worlds().await {
        let mut sources = Vec::new();
        for n in 0..5 {
            sources.push(syncing(&world, &format!("source {n}"), 10).await);
        }
        world.tenant.delete_source(sources[1], "user:ada", at(10)).await.unwrap();
        let mut all = world.system.due(at(11), 10).await.unwrap();
        assert_eq!(all.len(), 4, "{}: a deleted source has no slots", world.name());
        world.tenant.pause_source(sources[2], pause("holidays")).await.unwrap();
        let busy = world.new_run();
        let running = world.tenant.create_run(tributary_store::NewRun { source_id: sources[3], ..busy }).await.unwrap();
        all.sort_by_key(|due| due.source_id);
        let fired =
            world.system.fire(&all.iter().map(|due| firing(due, 70)).collect::<Vec<_>>(), at(11)).await.unwrap();
        assert!(matches!(fired[0], Fired::Started(_)) && matches!(fired[3], Fired::Started(_)), "{fired:?}");
        assert_eq!((fired[1], fired[2]), (Fired::NotOurs, Fired::Skipped), "{}", world.name());
        assert_eq!(next(&world, sources[0]).await, Some(start(70)));
        assert_eq!(next(&world, sources[3]).await, Some(start(70)), "{}: a skipped slot is over", world.name());
        let past = world.tenant.past_slots(sources[3], 10).await.unwrap();
        assert_eq!((past.len(), past[0].outcome, past[0].run_id), (1, SlotOutcome::Skipped, None));
        let past = world.tenant.past_slots(sources[0], 10).await.unwrap();
        assert_eq!(past[0].outcome, SlotOutcome::Started);
        assert_eq!(past[0].run_id, world.tenant.get_source(sources[0]).await.unwrap().last_run);
        assert_eq!(world.tenant.get_source(sources[3]).await.unwrap().last_run, Some(running));
    }
}

#[tokio::test]
async fn a_queued_slot_runs_once_when_the_run_before_it_is_over() {
    for world in worlds().await {
        let source = scheduled(&world, "queueing", vec![every_minute(ScheduleKind::Sync, Overlap::Queue, 10)]).await;
        let run = tributary_store::NewRun { source_id: source, ..world.new_run() };
        let running = world.tenant.create_run(run).await.unwrap();
        for (slot, now) in [(70, 11), (130, 71), (190, 131)] {
            let due = due(&world, now).await;
            let fired = world.system.fire(&[firing(&due, slot)], at(now)).await.unwrap();
            assert_eq!(fired, [Fired::Queued { stop: None }], "{}", world.name());
            assert_eq!(world.system.queued_slots(10).await.unwrap(), [], "{}: it is still going", world.name());
        }
        assert_eq!(world.tenant.request_cancel(running, at(140)).await.unwrap(), CancelRequest::Cancelled);
        let waiting = world.system.queued_slots(10).await.unwrap();
        let fired = world.system.fire(&[Firing::Queued(waiting[0].clone())], at(141)).await.unwrap();
        let Fired::Started(run) = fired[0] else { panic!("{}: {fired:?}", world.name()) };
        let again = world.system.fire(&[Firing::Queued(waiting[0].clone())], at(141)).await.unwrap();
        assert_eq!(again, [Fired::NotOurs], "{}", world.name());
        assert_eq!(world.system.queued_slots(10).await.unwrap(), []);
        assert_eq!(
            next(&world, source).await,
            Some(start(190)),
            "{}: the schedule stands where it stood",
            world.name()
        );
        let past = world.tenant.past_slots(source, 10).await.unwrap();
        assert_eq!((past[0].slot, past[0].outcome, past[0].run_id), (at(130), SlotOutcome::Started, Some(run)));
        assert_eq!((past.len(), past[1].outcome), (3, SlotOutcome::Queued));
    }
}

#[tokio::test]
async fn a_slot_that_cancels_waits_for_the_run_it_stops() {
    for world in worlds().await {
        let source = scheduled(&world, "cancelling", vec![every_minute(ScheduleKind::Sync, Overlap::Cancel, 10)]).await;
        let run = tributary_store::NewRun { source_id: source, ..world.new_run() };
        let running = world.begin_with(run).await;
        let due = due(&world, 11).await;
        let fired = world.system.fire(&[firing(&due, 70)], at(11)).await.unwrap();
        assert_eq!(fired, [Fired::Queued { stop: Some(running.run_id) }], "{}", world.name());
        // A host that stopped here would not have asked yet; the next tick sees that.
        let waiting = world.system.queued_slots(10).await.unwrap();
        assert_eq!(waiting.len(), 1, "{}", world.name());
        let fired = world.system.fire(&[Firing::Queued(waiting[0].clone())], at(12)).await.unwrap();
        assert_eq!(fired, [Fired::Queued { stop: Some(running.run_id) }]);
        assert_eq!(world.tenant.request_cancel(running.run_id, at(12)).await.unwrap(), CancelRequest::Asked);
        assert_eq!(world.system.queued_slots(10).await.unwrap(), [], "{}: asked once", world.name());
        let finish = FinishRun::with(running.run_id, RunStatus::Cancelled, None, None, at(13));
        world.tenant.finish_run(Some(&running.lease), finish).await.unwrap();
        let waiting = world.system.queued_slots(10).await.unwrap();
        let fired = world.system.fire(&[Firing::Queued(waiting[0].clone())], at(14)).await.unwrap();
        assert!(matches!(fired[0], Fired::Started(_)), "{}: {fired:?}", world.name());
    }
}

#[tokio::test]
async fn a_full_resync_goes_before_the_sync_of_the_same_moment() {
    for world in worlds().await {
        let sync = every_minute(ScheduleKind::Sync, Overlap::Skip, 10);
        let source = scheduled(&world, "both", vec![sync, every_minute(ScheduleKind::Full, Overlap::Queue, 10)]).await;
        let mut all = world.system.due(at(11), 10).await.unwrap();
        // Whatever the order they are given in.
        all.sort_by_key(|due| std::cmp::Reverse(due.scheduled.kind));
        let fired =
            world.system.fire(&all.iter().map(|due| firing(due, 70)).collect::<Vec<_>>(), at(11)).await.unwrap();
        assert_eq!(fired[0], Fired::Skipped, "{}", world.name());
        let Fired::Started(run) = fired[1] else { panic!("{}: {fired:?}", world.name()) };
        assert_eq!(world.tenant.get_run(run).await.unwrap().kind, RunKind::Full);
        assert_eq!(world.tenant.past_slots(source, 10).await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_slot_that_comes_again_after_the_clock_went_back_is_not_fired_again() {
    for world in worlds().await {
        let source = syncing(&world, "scheduled", 100).await;
        let first = due(&world, 101).await;
        assert!(matches!(world.system.fire(&[firing(&first, 160)], at(101)).await.unwrap()[0], Fired::Started(_)));
        assert_eq!(world.system.schedules_of_the_future(at(101), 10).await.unwrap(), []);
        let astray = world.system.schedules_of_the_future(at(50), 10).await.unwrap();
        assert_eq!(astray.len(), 1, "{}", world.name());
        assert_eq!(world.system.reschedule(&[(astray[0].clone(), Some(start(100)))], at(50)).await.unwrap(), 1);
        assert_eq!(world.system.reschedule(&[(astray[0].clone(), Some(start(40)))], at(50)).await.unwrap(), 0);
        assert_eq!(world.system.schedules_of_the_future(at(50), 10).await.unwrap(), []);
        let again = due(&world, 102).await;
        assert_eq!(world.system.fire(&[firing(&again, 160)], at(102)).await.unwrap(), [Fired::NotOurs]);
        assert_eq!(next(&world, source).await, Some(start(160)), "{}", world.name());
        assert_eq!(world.tenant.list_runs(source, None, 10).await.unwrap().items.len(), 1);
    }
}

#[tokio::test]
async fn slots_are_remembered_for_a_week() {
    for world in worlds().await {
        let day = 86_400;
        let source = syncing(&world, "scheduled", 10).await;
        let (first, second, third) = (10, 10 + 2 * day, 10 + 8 * day);
        for (slot, next) in [(first, second), (second, third), (third, third + day)] {
            let due = due(&world, slot + 1).await;
            world.system.fire(&[firing(&due, next)], at(slot + 1)).await.unwrap();
        }
        let kept: Vec<_> = world.tenant.past_slots(source, 10).await.unwrap().iter().map(|past| past.slot).collect();
        assert_eq!(kept, [at(third), at(second)], "{}", world.name());
    }
}

#[tokio::test]
async fn a_deleted_or_rescheduled_source_does_not_fire() {
    for world in worlds().await {
        let source = syncing(&world, "scheduled", 10).await;
        let due = due(&world, 11).await;
        let moved = every_minute(ScheduleKind::Sync, Overlap::Skip, 500);
        let moved = SourceUpdate { schedules: vec![(ScheduleKind::Sync, Some(moved))], ..Default::default() };
        world.tenant.update_source(source, moved).await.unwrap();
        assert_eq!(world.system.fire(&[firing(&due, 70)], at(11)).await.unwrap(), [Fired::NotOurs]);
        assert_eq!(next(&world, source).await, Some(start(500)), "{}", world.name());
        world.tenant.delete_source(source, "user:ada", at(12)).await.unwrap();
        assert_eq!(world.system.fire(&[firing(&due, 70)], at(13)).await.unwrap(), [Fired::NotOurs]);
    }
}

#[tokio::test]
async fn a_paused_source_waits_and_says_why() {
    for world in worlds().await {
        let source = syncing(&world, "scheduled", 10).await;
        world.tenant.pause_source(source, pause("moving house")).await.unwrap();
        assert_eq!(names(&world, 1_000, 10).await, [], "{}", world.name());
        assert_eq!(next(&world, source).await, None);
        let again = Pause { at: at(9), by: "user:bob".to_owned(), ..pause("still moving") };
        world.tenant.pause_source(source, again).await.unwrap();
        let read = world.tenant.get_source(source).await.unwrap().pause.unwrap();
        assert_eq!((read.at, read.by.as_str(), read.note.as_str()), (at(5), "user:bob", "still moving"));

        // A new schedule waits as well; a sync by hand does not.
        let moved = every_minute(ScheduleKind::Sync, Overlap::Skip, 500);
        let moved = SourceUpdate { schedules: vec![(ScheduleKind::Sync, Some(moved))], ..Default::default() };
        world.tenant.update_source(source, moved).await.unwrap();
        assert_eq!(next(&world, source).await, None, "{}", world.name());
        world.tenant.create_run(tributary_store::NewRun { source_id: source, ..world.new_run() }).await.unwrap();

        world.tenant.resume_source(source, &[(ScheduleKind::Sync, Some(start(600)))], at(590)).await.unwrap();
        assert_eq!(world.tenant.get_source(source).await.unwrap().pause, None);
        assert_eq!(next(&world, source).await, Some(start(600)), "{}", world.name());
        world.tenant.resume_source(source, &[(ScheduleKind::Sync, Some(start(900)))], at(591)).await.unwrap();
        assert_eq!(next(&world, source).await, Some(start(600)), "{}: it was not paused", world.name());
    }
}

/// A run that ends so, of a configuration that may change meanwhile.
async fn run(world: &World, source: SourceId, status: RunStatus, now: i64) {
    let new = tributary_store::NewRun { source_id: source, now: at(now), ..world.new_run() };
    let running = world.begin_with(new).await;
    let error = (status == RunStatus::Failed).then(|| RunError {
        code: "root_missing".to_owned(),
        detail: "The folder is not there.".to_owned(),
        config_pointer: None,
    });
    let finish = FinishRun::with(running.run_id, status, error, None, at(now + 1));
    world.tenant.finish_run(Some(&running.lease), finish).await.unwrap();
}

#[tokio::test]
async fn a_source_whose_runs_fail_one_after_the_other_is_paused() {
    for world in worlds().await {
        use RunStatus::{Cancelled, Failed, Partial};
        let source = syncing(&world, "failing", 1_000).await;
        let paused = async || world.tenant.get_source(source).await.unwrap().pause;
        let update = SourceUpdate { pause_after_failures: Some(3), ..SourceUpdate::default() };
        world.tenant.update_source(source, update).await.unwrap();
        for (n, status) in [Failed, Failed, Partial, Failed, Cancelled, Failed].into_iter().enumerate() {
            run(&world, source, status, 10 * n as i64).await;
            assert_eq!(paused().await, None, "{}: after {n}", world.name());
        }
        run(&world, source, Failed, 70).await;
        let pause = paused().await.unwrap();
        assert_eq!((pause.reason, pause.by.as_str(), pause.at), (PauseReason::Failures, "schedule", at(71)));
        assert!(
            pause.note.contains("last 3 runs") && pause.note.contains("The folder is not there."),
            "{}",
            pause.note
        );
        assert_eq!(next(&world, source).await, None, "{}", world.name());

        // What failed before it was resumed counts no more, nor what failed under another configuration.
        world.tenant.resume_source(source, &[(ScheduleKind::Sync, Some(start(1_000)))], at(80)).await.unwrap();
        run(&world, source, Failed, 81).await;
        run(&world, source, Failed, 85).await;
        assert_eq!(paused().await, None, "{}", world.name());
        let config = SourceUpdate { config: Some(serde_json::json!({})), ..SourceUpdate::default() };
        world.tenant.update_source(source, config).await.unwrap();
        run(&world, source, Failed, 90).await;
        assert_eq!(paused().await, None, "{}", world.name());

        let never = SourceUpdate { pause_after_failures: Some(0), ..SourceUpdate::default() };
        world.tenant.update_source(source, never).await.unwrap();
        for n in 0..4 {
            run(&world, source, Failed, 100 + 10 * n).await;
        }
        assert_eq!(paused().await, None, "{}: 0 is never", world.name());
    }
}

#[tokio::test]
async fn a_source_that_is_synced_by_hand_alone_is_not_paused() {
    for world in worlds().await {
        for n in 0..6 {
            run(&world, world.source.id, RunStatus::Failed, 10 * n).await;
        }
        assert_eq!(world.tenant.get_source(world.source.id).await.unwrap().pause, None, "{}", world.name());
    }
}

#[tokio::test]
async fn runs_whose_workers_are_lost_pause_their_source_as_well() {
    for world in worlds().await {
        let source_id = syncing(&world, "lost", 1_000).await;
        let update = SourceUpdate { pause_after_failures: Some(1), ..SourceUpdate::default() };
        world.tenant.update_source(source_id, update).await.unwrap();
        world.tenant.create_run(tributary_store::NewRun { source_id, ..world.new_run() }).await.unwrap();
        // A lease of no time is lost at once.
        while !world.system.claim(&["sync"], "w", 0, 1).await.unwrap().is_empty() {}
        let pause = world.tenant.get_source(source_id).await.unwrap().pause.unwrap();
        assert_eq!(pause.reason, PauseReason::Failures, "{}", world.name());
        assert!(pause.note.contains("stopped again and again"), "{}", pause.note);
        assert_eq!(next(&world, source_id).await, None, "{}", world.name());
    }
}
