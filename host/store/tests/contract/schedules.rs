//! Schedules: each slot fires once.

use tributary_core::source::{DueSource, Schedule};
use tributary_store::{Fired, NewSource};

use crate::support::{World, at, new_source, worlds};

async fn scheduled(world: &World, name: &str, next: i64) -> DueSource {
    let schedule = Schedule { cron: "* * * * *".to_owned(), timezone: "Europe/Berlin".to_owned() };
    let new = NewSource { schedule: Some(schedule.clone()), next_run_at: Some(at(next)), ..new_source(name) };
    let source = world.tenant.create_source(new).await.unwrap();
    DueSource { workspace_id: world.workspace.id, source_id: source.id, schedule, slot: at(next) }
}

#[tokio::test]
async fn what_is_due_is_listed_longest_due_first() {
    for world in worlds().await {
        let later = scheduled(&world, "later", 20).await;
        let sooner = scheduled(&world, "sooner", 10).await;
        assert_eq!(world.system.due(at(9), 10).await.unwrap(), []);
        assert_eq!(world.system.due(at(10), 10).await.unwrap(), std::slice::from_ref(&sooner), "{}", world.name());
        assert_eq!(world.system.due(at(30), 10).await.unwrap(), [sooner.clone(), later]);
        assert_eq!(world.system.due(at(30), 1).await.unwrap(), [sooner]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_hosts_fire_a_slot_once() {
    for world in worlds().await {
        let due = scheduled(&world, "scheduled", 10).await;
        let hosts = (0..8).map(|_| {
            let (system, due) = (world.system.clone(), due.clone());
            tokio::spawn(async move { system.fire(&due, Some(at(70)), at(11)).await.unwrap() })
        });
        let fired: Vec<_> = futures::future::join_all(hosts).await.into_iter().map(Result::unwrap).collect();
        let started: Vec<_> = fired.iter().filter(|fired| matches!(fired, Fired::Started(_))).collect();
        assert_eq!(started.len(), 1, "{}: {fired:?}", world.name());
        assert!(!fired.contains(&Fired::Overlapped), "{}: {fired:?}", world.name());
        let source = world.tenant.find_source_with_run(due.source_id).await.unwrap().unwrap();
        assert_eq!(source.source.next_run_at, Some(at(70)));
        assert_eq!(*started[0], Fired::Started(source.last_run.unwrap().id));
        assert_eq!(world.system.job_counts().await.unwrap().get("queued"), Some(&1));
        assert_eq!(world.system.due(at(11), 10).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_slot_that_meets_a_running_sync_is_skipped() {
    for world in worlds().await {
        let mut due = scheduled(&world, "scheduled", 10).await;
        assert!(matches!(world.system.fire(&due, Some(at(70)), at(11)).await.unwrap(), Fired::Started(_)));
        due.slot = at(70);
        assert_eq!(
            world.system.fire(&due, Some(at(130)), at(71)).await.unwrap(),
            Fired::Overlapped,
            "{}",
            world.name()
        );
        assert_eq!(world.tenant.get_source(due.source_id).await.unwrap().next_run_at, Some(at(130)));
    }
}

#[tokio::test]
async fn a_deleted_or_rescheduled_source_does_not_fire() {
    for world in worlds().await {
        let due = scheduled(&world, "scheduled", 10).await;
        let moved = tributary_store::SourceUpdate { next_run_at: Some(Some(at(500))), ..Default::default() };
        world.tenant.update_source(due.source_id, moved).await.unwrap();
        assert_eq!(world.system.fire(&due, Some(at(70)), at(11)).await.unwrap(), Fired::AlreadyFired);
        assert_eq!(
            world.tenant.get_source(due.source_id).await.unwrap().next_run_at,
            Some(at(500)),
            "{}",
            world.name()
        );
        world.tenant.delete_source(due.source_id, at(12)).await.unwrap();
        assert_eq!(world.system.fire(&due, Some(at(70)), at(13)).await.unwrap(), Fired::AlreadyFired);
    }
}
