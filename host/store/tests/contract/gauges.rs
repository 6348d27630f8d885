//! What metrics read of the whole instance.

use std::collections::BTreeMap;

use tributary_core::{
    job::{NewJob, Work},
    schedule::{Overlap, Pause, PauseReason, ScheduleKind},
    source::Health,
};
use tributary_store::{NewRun, NewSource, SourceGauge};

use crate::{
    schedules::every_minute,
    support::{World, at, draft, new_source, worlds},
};

async fn gauge(world: &World, source: tributary_core::SourceId) -> SourceGauge {
    world.system.source_gauges(100).await.unwrap().into_iter().find(|it| it.source_id == source).unwrap()
}

#[tokio::test]
async fn jobs_are_counted_by_kind_and_state_without_those_that_are_over() {
    for world in worlds().await {
        let (system, id) = (&world.system, world.workspace.id);
        for delay_ms in [0, 0, 0, 60_000, 60_000] {
            let job = NewJob { delay_ms, ..NewJob::now(Work::DeleteWorkspace) };
            system.enqueue(id, job).await.unwrap();
        }
        let leases = system.claim(&["delete_workspace"], "worker", 60_000, 2).await.unwrap();
        assert!(system.fail(&leases[0], "no").await.unwrap());
        let source_id = world.source.id;
        system.enqueue(id, NewJob::now(Work::PurgeSource { source_id })).await.unwrap();
        let done = system.claim(&["purge_source"], "worker", 60_000, 1).await.unwrap();
        assert!(system.complete(&done[0]).await.unwrap());
        let counted: BTreeMap<_, _> =
            system.job_gauges().await.unwrap().into_iter().map(|it| ((it.kind, it.state), it.jobs)).collect();
        let of = |state: &str| ("delete_workspace".to_owned(), state.to_owned());
        let expected = [(of("queued"), 1), (of("waiting"), 2), (of("running"), 1), (of("dead"), 1)];
        assert_eq!(counted, BTreeMap::from(expected), "{}", world.name());
    }
}

#[tokio::test]
async fn a_source_says_how_it_is_what_waits_for_a_person_and_since_when_it_is_late() {
    for world in worlds().await {
        let numbered = |numbers: std::ops::Range<i32>| numbers.map(|number| draft(&format!("{number:03}"), "text"));
        world.sync(numbered(0..100).collect()).await;
        let calm = gauge(&world, world.source.id).await;
        assert_eq!((calm.health, calm.held, calm.due_at), (Health::Healthy, 0, None), "{}", world.name());
        assert!(calm.last_success_at.is_some());
        world.sync(numbered(0..40).collect()).await;
        let held = gauge(&world, world.source.id).await;
        assert_eq!((held.health, held.held), (Health::NeedsAttention, 60), "{}", world.name());
        let counts = world.system.document_counts().await.unwrap();
        assert_eq!(counts[&(world.workspace.id, world.source.id)], 100);

        world.tenant.create_run(NewRun { now: at(70), ..world.new_run() }).await.unwrap();
        assert_eq!(gauge(&world, world.source.id).await.due_at, Some(at(70)), "a run that nobody takes up");
        let schedules = vec![every_minute(ScheduleKind::Sync, Overlap::Queue, 50)];
        let scheduled =
            world.tenant.create_source(NewSource { schedules, ..new_source("scheduled") }).await.unwrap().id;
        let waiting = gauge(&world, scheduled).await;
        assert_eq!((waiting.due_at, waiting.last_success_at), (Some(at(50)), None), "{}", world.name());
        let note = "no".to_owned();
        let pause = Pause { at: at(5), by: "user:ada".to_owned(), reason: PauseReason::ByHand, note };
        world.tenant.pause_source(scheduled, pause).await.unwrap();
        let paused = gauge(&world, scheduled).await;
        assert_eq!((paused.health, paused.due_at), (Health::Paused, None), "who is paused is not late");
        world.tenant.delete_source(scheduled, "user:ada", at(80)).await.unwrap();
        assert!(world.system.source_gauges(100).await.unwrap().iter().all(|it| it.source_id != scheduled));
        assert_eq!(world.system.source_gauges(1).await.unwrap().len(), 1);
    }
}
