//! Sources: made, listed, changed, deleted.

use tributary_core::{
    SourceId,
    run::RunKind,
    source::{Health, PUSH_CONNECTOR},
};
use tributary_store::{Error, SourceUpdate};

use crate::support::{Page, at, connector, draft, new_source, worlds};

#[tokio::test]
async fn a_source_reads_back_as_it_was_made() {
    for world in worlds().await {
        let new = tributary_store::NewSource { pause_after_failures: Some(7), ..new_source("news") };
        let made = world.tenant.create_source(new).await.unwrap();
        assert_eq!(world.tenant.get_source(made.id).await.unwrap(), made, "{}", world.name());
        assert_eq!((made.config_revision, made.health, made.pause_after_failures), (1, Health::Healthy, 7));
        assert!(matches!(world.tenant.get_source(SourceId::new()).await, Err(Error::NotFound("source"))));
        let taken = world.tenant.create_source(new_source("news")).await.unwrap_err();
        assert!(matches!(taken, Error::Conflict { what: "name" }), "{}: {taken}", world.name());
        let push = world.tenant.push_source().await.unwrap();
        assert_eq!(push.connector.id, PUSH_CONNECTOR);
    }
}

#[tokio::test]
async fn sources_are_listed_in_pages_with_their_last_runs() {
    for world in worlds().await {
        let run_id = world.tenant.create_run(world.new_run()).await.unwrap();
        let first = world.tenant.list_sources(None, 1).await.unwrap();
        assert!(first.more);
        let rest = world.tenant.list_sources(Some(first.items[0].source.id), 10).await.unwrap();
        assert!(!rest.more);
        let all: Vec<_> = first.items.into_iter().chain(rest.items).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].last_run, None);
        assert_eq!(all[1].last_run.as_ref().unwrap().id, run_id);
        let one = world.tenant.find_source_with_run(world.source.id).await.unwrap().unwrap();
        assert_eq!(one, all[1], "{}", world.name());
    }
}

#[tokio::test]
async fn only_a_different_configuration_is_a_new_revision() {
    for world in worlds().await {
        let id = world.source.id;
        let same = SourceUpdate { config: Some(world.source.config.clone()), ..SourceUpdate::default() };
        assert_eq!(world.tenant.update_source(id, same).await.unwrap(), world.source, "{}", world.name());
        let update = SourceUpdate {
            name: Some("renamed".to_owned()),
            config: Some(serde_json::json!({ "root": "other" })),
            pause_after_failures: Some(0),
            connector: Some(connector("file2")),
            ..SourceUpdate::default()
        };
        let changed = world.tenant.update_source(id, update).await.unwrap();
        assert_eq!((changed.config_revision, changed.pause_after_failures), (2, 0));
        assert_eq!(world.tenant.get_source(id).await.unwrap(), changed);

        let other = world.tenant.create_source(new_source("other")).await.unwrap();
        let clash = SourceUpdate { name: Some("renamed".to_owned()), ..SourceUpdate::default() };
        let taken = world.tenant.update_source(other.id, clash).await.unwrap_err();
        assert!(matches!(taken, Error::Conflict { what: "name" }), "{}: {taken}", world.name());
    }
}

#[tokio::test]
async fn health_is_kept() {
    for world in worlds().await {
        world.tenant.set_health(world.source.id, Health::NeedsAttention).await.unwrap();
        assert_eq!(world.tenant.get_source(world.source.id).await.unwrap().health, Health::NeedsAttention);
        assert!(matches!(
            world.tenant.set_health(SourceId::new(), Health::Healthy).await,
            Err(Error::NotFound("source"))
        ));
    }
}

#[tokio::test]
async fn deleting_a_source_hides_its_documents_at_once_and_frees_its_name() {
    for world in worlds().await {
        world.sync(vec![draft("a", "one"), draft("b", "two")]).await;
        let before = world.tenant.position().await.unwrap();
        let mut running = world.begin(RunKind::Sync).await;

        let position = world.tenant.delete_source(world.source.id, "user:ada", at(50)).await.unwrap();
        assert_eq!(position, Some(before + 1), "{}", world.name());
        assert!(world.live().await.is_empty());
        assert!(world.tenant.find_source(world.source.id).await.unwrap().is_none());
        assert_eq!(world.tenant.list_sources(None, 10).await.unwrap().items.len(), 1, "the push source is left");
        assert!(world.system.due(at(1_000_000), 10).await.unwrap().is_empty());

        // The sync that was running commits nothing more, and can still end.
        let refused = running.try_commit(Page { drafts: vec![draft("c", "three")], ..Page::default() }).await;
        assert!(matches!(refused, Err(Error::NotFound("source"))), "{}: {refused:?}", world.name());
        assert!(matches!(
            world.tenant.begin_run(&running.lease, running.run_id, at(51)).await,
            Err(Error::NotFound("source"))
        ));
        running.finish(None).await;
        assert!(world.live().await.is_empty());

        let again = world.tenant.create_source(new_source("docs")).await.unwrap();
        assert_ne!(again.id, world.source.id);
        assert!(matches!(
            world.tenant.delete_source(world.source.id, "user:ada", at(52)).await,
            Err(Error::NotFound("source"))
        ));
        assert_eq!(
            world.tenant.delete_source(again.id, "user:ada", at(53)).await.unwrap(),
            None,
            "it had no documents"
        );
    }
}

#[tokio::test]
async fn the_push_source_cannot_be_deleted() {
    for world in worlds().await {
        let push = world.tenant.push_source().await.unwrap();
        assert!(matches!(world.tenant.delete_source(push.id, "user:ada", at(1)).await, Err(Error::Invalid(_))));
    }
}

#[tokio::test]
async fn text_that_postgres_cannot_hold_is_refused_by_both() {
    for world in worlds().await {
        let new = tributary_store::NewSource { config: serde_json::json!({ "a": ["\0"] }), ..new_source("nul") };
        let refused = world.tenant.create_source(new).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid(_)), "{}: {refused}", world.name());
    }
}
