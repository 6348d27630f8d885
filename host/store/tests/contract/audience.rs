//! A caller who may see some documents sees, by every way in, those alone.

use serde_json::json;
use tributary_core::{
    SessionId, UserId,
    access::{Power, Role},
    audience::{Audience, FieldIs},
    fields::Fields,
    principal::{Actor, Grant, Principal},
    query::Hit,
    run::{RunKind, Trigger},
};
use tributary_store::{DocumentFilter, Error, NewRun, SourceUpdate, TenantDb};

use crate::support::{Page, World, at, draft, worlds};

async fn seen_by(world: &World, audience: Audience) -> TenantDb {
    let grant = Grant { workspace_id: world.workspace.id, power: Power::Role(Role::Owner), audience, archived: false };
    let actor = Actor::User { id: UserId::new(), session: SessionId::new() };
    let principal = Principal { actor, instance_admin: false, grants: vec![grant], ..Principal::operator() };
    world.db().tenant(&principal, world.workspace.id).await.unwrap().unwrap()
}

#[tokio::test]
async fn only_admitted_documents_are_listed_read_and_cited() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let mut drafts = vec![draft("product", "a kettle"), draft("memo", "the secret"), draft("order", "an order")];
        for draft in &mut drafts {
            let content = draft.content.as_mut().unwrap();
            content.kind = draft.external_id.clone();
            let public = json!(if draft.external_id == "memo" { "no" } else { "yes" });
            content.fields = Fields::from([("public".to_owned(), public), ("a.b c".to_owned(), json!(true))]);
        }
        let committed = running.commit(Page { drafts, ..Page::default() }).await.committed;
        let id_of = |name: &str| committed.iter().find(|it| it.external_id == name).unwrap().document_id;
        let memo = id_of("memo");
        let hits: Vec<_> =
            committed.iter().map(|it| Hit { document_id: it.document_id, version: 1, chunk: 0, score: 1.0 }).collect();

        let source = Some(vec![world.source.id]);
        let field = |name: &str, any_of| Some(FieldIs { name: name.to_owned(), any_of });
        for (audience, expected) in [
            (Audience { kinds: Some(vec!["product".to_owned()]), ..Audience::default() }, vec!["product"]),
            (Audience { field: field("public", vec![json!("yes")]), ..Audience::default() }, vec!["product", "order"]),
            (Audience { source_ids: Some(vec![]), ..Audience::default() }, vec![]),
            (
                Audience {
                    source_ids: source.clone(),
                    field: field("a.b c", vec![json!(true)]),
                    ..Audience::default()
                },
                vec!["product", "memo", "order"],
            ),
        ] {
            let tenant = seen_by(&world, audience.clone()).await;
            let listed = tenant.list_documents(&DocumentFilter::default(), None, 10).await.unwrap().items;
            let mut listed: Vec<_> = listed.into_iter().map(|document| document.external_id).collect();
            let mut cited: Vec<_> =
                tenant.passages(&hits).await.unwrap().into_iter().map(|passage| passage.external_id).collect();
            let mut expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
            for names in [&mut listed, &mut cited, &mut expected] {
                names.sort();
            }
            assert_eq!(listed, expected, "{}: {audience:?}", world.name());
            assert_eq!(cited, expected, "{}: {audience:?}", world.name());
            let admits_memo = expected.contains(&"memo".to_owned());
            assert_eq!(tenant.find_document(memo).await.unwrap().is_some(), admits_memo);
            assert_eq!(tenant.find_version(memo, 1).await.unwrap().is_some(), admits_memo);
            assert_eq!(tenant.admitted(&[(memo, world.source.id)]).await.unwrap().contains(&memo), admits_memo);
        }
    }
}

#[tokio::test]
async fn sources_are_seen_and_touched_only_when_named() {
    for world in worlds().await {
        let run = world.begin(RunKind::Sync).await.run_id;
        let named = Audience { source_ids: Some(vec![world.source.id]), ..Audience::default() };
        let tenant = seen_by(&world, named).await;
        assert_eq!(tenant.list_sources(None, 10).await.unwrap().items.len(), 1, "not the workspace's own push source");
        assert!(tenant.find_run(run).await.unwrap().is_some());

        for audience in [
            Audience { source_ids: Some(vec![]), ..Audience::default() },
            Audience { kinds: Some(vec!["page".to_owned()]), ..Audience::default() },
        ] {
            let tenant = seen_by(&world, audience).await;
            let id = world.source.id;
            assert!(tenant.list_sources(None, 10).await.unwrap().items.is_empty(), "{}", world.name());
            assert!(tenant.find_source(id).await.unwrap().is_none());
            assert!(tenant.find_source_with_run(id).await.unwrap().is_none());
            assert!(tenant.find_run(run).await.unwrap().is_none());
            assert!(tenant.list_runs(id, None, 10).await.unwrap().items.is_empty());
            assert!(matches!(tenant.update_source(id, SourceUpdate::default()).await, Err(Error::NotFound("source"))));
            assert!(matches!(tenant.delete_source(id, "user:ada", at(1)).await, Err(Error::NotFound("source"))));
            let new = NewRun { trigger: Trigger::Api, ..world.new_run() };
            assert!(matches!(tenant.create_run(new).await, Err(Error::NotFound("source"))));
        }
    }
}
