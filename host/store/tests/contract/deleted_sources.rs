//! Deleted sources: hidden, listed, restored whole, or removed slice by slice until somebody restores them.

use tributary_core::{
    SourceId,
    job::{Lease, Work},
    run::RunKind,
    schedule::{Overlap, Pause, PauseReason, ScheduleKind},
};
use tributary_store::{Error, NewSource, PurgeDeleted, Purged, Restored};

use crate::{
    schedules::{every_minute, start},
    support::{HOUR_MS, Page, World, at, draft, new_source, worlds},
};

async fn filled(world: &World) {
    let mut running = world.begin(RunKind::Sync).await;
    running
        .commit(Page { drafts: vec![draft("a", "one"), draft("b", "two"), draft("c", "three")], ..Page::default() })
        .await;
    running.finish(None).await;
    let a = world.tenant.list_documents(&Default::default(), None, 1).await.unwrap().items[0].id;
    world.tenant.delete_document(a, "user:ada", at(40)).await.unwrap();
}

async fn lease(world: &World, id: SourceId) -> Lease {
    let lease = world.system.claim(&["purge_source"], "worker", HOUR_MS, 1).await.unwrap().remove(0);
    assert_eq!(lease.work, Work::PurgeSource { source_id: id });
    lease
}

#[tokio::test]
async fn a_restored_source_has_what_was_hidden_with_it() {
    for world in worlds().await {
        let (name, id) = (world.name(), world.source.id);
        filled(&world).await;
        world.tenant.delete_source(id, "user:ada", at(50)).await.unwrap().unwrap();
        assert!(world.live().await.is_empty(), "{name}");
        let listed = world.tenant.list_deleted_sources(None, 10).await.unwrap().items;
        let [deleted] = &listed[..] else { panic!("{name}: {listed:?}") };
        assert_eq!((deleted.deleted_by.as_deref(), deleted.documents, deleted.purging_at), (Some("user:ada"), 3, None));
        let filter = tributary_store::DocumentFilter { deleted: true, ..Default::default() };
        let hidden = world.tenant.list_documents(&filter, None, 10).await.unwrap().items;
        assert_eq!(world.tenant.restore_document(hidden[1].id).await.unwrap(), Restored::SourceDeleted, "{name}");

        // Somebody took its name.
        world.tenant.create_source(new_source("docs")).await.unwrap();
        let taken = world.tenant.restore_source(id, "docs", &[], at(60)).await.unwrap_err();
        assert!(matches!(taken, Error::Conflict { .. }), "{name}: {taken}");
        let back = world.tenant.restore_source(id, "docs of old", &[], at(60)).await.unwrap();
        assert_eq!(back, Some(world.tenant.position().await.unwrap()), "{name}");
        assert_eq!(world.live().await.into_keys().collect::<Vec<_>>(), ["b", "c"], "{name}: a was deleted before");
        assert_eq!(world.tenant.get_source(id).await.unwrap().name, "docs of old");
        assert!(world.tenant.find_deleted_source(id).await.unwrap().is_none());
        let twice = world.tenant.restore_source(id, "docs of old", &[], at(61)).await.unwrap_err();
        assert!(matches!(twice, Error::NotFound("source")), "{name}");
    }
}

#[tokio::test]
async fn a_restored_source_goes_on_with_its_schedules_unless_it_is_paused() {
    for world in worlds().await {
        let schedules = || vec![every_minute(ScheduleKind::Sync, Overlap::Skip, 10)];
        let going = NewSource { schedules: schedules(), ..new_source("going") };
        let going = world.tenant.create_source(going).await.unwrap().id;
        let pause = Pause { at: at(1), by: "user:ada".to_owned(), reason: PauseReason::ByHand, note: "no".to_owned() };
        let paused = NewSource { schedules: schedules(), ..new_source("paused") };
        let paused = world.tenant.create_paused_source(paused, pause, Some((30, 7))).await.unwrap().id;
        assert_eq!(world.tenant.own_deletion_guard(paused).await.unwrap(), Some((30, 7)));
        for (id, name, runs) in [(going, "going", true), (paused, "paused", false)] {
            world.tenant.delete_source(id, "user:ada", at(5)).await.unwrap();
            let next = [(ScheduleKind::Sync, Some(start(100)))];
            world.tenant.restore_source(id, name, &next, at(90)).await.unwrap();
            let source = world.tenant.find_source_with_run(id).await.unwrap().unwrap();
            assert_eq!(source.schedules[0].next.is_some(), runs, "{}: {name}", world.name());
        }
    }
}

#[tokio::test]
async fn a_source_is_removed_slice_by_slice_until_it_is_restored() {
    for world in worlds().await {
        let (name, id) = (world.name(), world.source.id);
        filled(&world).await;
        let gone = world.tenant.purge_source(id, 0, at(45)).await.unwrap_err();
        assert!(matches!(gone, Error::NotFound("source")), "{name}: it is not deleted");
        world.tenant.delete_source(id, "user:ada", at(50)).await.unwrap().unwrap();
        world.tenant.purge_source(id, 0, at(51)).await.unwrap();
        world.tenant.purge_source(id, 0, at(52)).await.unwrap();
        let first = lease(&world, id).await;
        assert!(world.system.claim(&["purge_source"], "worker", HOUR_MS, 1).await.unwrap().is_empty(), "one job");
        let slice = async |lease: &Lease| world.tenant.purge_source_slice(lease, id, 1, at(55)).await.unwrap();
        assert_eq!(slice(&first).await, Purged::Some);
        let deleted = world.tenant.find_deleted_source(id).await.unwrap().unwrap();
        assert_eq!((deleted.documents, deleted.purging_at), (2, Some(at(51))), "{name}");
        world.tenant.restore_source(id, "docs", &[], at(56)).await.unwrap();
        assert_eq!(slice(&first).await, Purged::Restored, "{name}");
        assert_eq!(world.live().await.len(), 2, "{name}: a went first, and was deleted anyway");

        // Once more, when its time has come, and to the end.
        world.tenant.delete_source(id, "user:ada", at(60)).await.unwrap().unwrap();
        let due = |before| vec![PurgeDeleted { workspace_id: world.workspace.id, deleted_before: at(before) }];
        assert_eq!(world.system.purge_sources(&due(60), 10, at(99)).await.unwrap(), 0, "{name}");
        assert_eq!(world.system.purge_sources(&due(61), 10, at(99)).await.unwrap(), 1, "{name}");
        assert_eq!(world.system.purge_sources(&due(61), 10, at(99)).await.unwrap(), 0, "{name}: once");
        let second = lease(&world, id).await;
        assert_eq!(
            [slice(&second).await, slice(&second).await, slice(&second).await],
            [Purged::Some, Purged::Some, Purged::All]
        );
        assert!(world.tenant.list_deleted_sources(None, 10).await.unwrap().items.is_empty(), "{name}");
        assert!(matches!(world.tenant.restore_source(id, "docs", &[], at(70)).await, Err(Error::NotFound("source"))));
        assert!(matches!(world.tenant.purge_source(id, 0, at(70)).await, Err(Error::NotFound("source"))));
        assert!(world.tenant.purged_position().await.unwrap() > 0, "{name}");
    }
}
