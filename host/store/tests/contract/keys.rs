//! API keys.

use tributary_core::{
    KeyId,
    access::Scope,
    audience::Audience,
    hash::Sha256Hash,
    principal::KeyLimits,
    widget::{Identity, Widget},
};
use tributary_store::{ApiKey, Error, KeyUse};

use crate::support::{World, at, workspace, worlds};

fn key(world: &World, name: &str) -> ApiKey {
    ApiKey {
        id: KeyId::new(),
        workspace_id: world.workspace.id,
        name: name.to_owned(),
        last4: "abcd".to_owned(),
        scopes: vec![Scope::Chat, Scope::KnowledgeRead],
        audience: Audience { kinds: Some(vec!["product".to_owned()]), ..Audience::default() },
        limits: Default::default(),
        widget: Some(Widget {
            origins: vec!["https://shop.example".to_owned()],
            visitor_limits: KeyLimits { requests_per_day: Some(5), ..KeyLimits::default() },
            identity: Identity::Optional,
            realm: uuid::Uuid::now_v7(),
        }),
        sealed_identity_secret: Some(vec![0, 255]),
        created_by: "user:ada".to_owned(),
        created_at: at(0),
        expires_at: Some(at(1_000)),
        replaces: None,
        revoked_at: None,
        last_used_at: None,
    }
}

#[tokio::test]
async fn a_key_is_found_by_its_hash_revoked_and_expired_in_its_workspace_only() {
    for world in worlds().await {
        let (made, hash) = (key(&world, "Shop"), Sha256Hash::of("secret"));
        world.tenant.create_api_key(&made, hash).await.unwrap();
        assert_eq!(world.system.find_api_key(hash).await.unwrap(), Some((made.clone(), false)), "{}", world.name());
        assert_eq!(world.system.find_api_key(Sha256Hash::of("other")).await.unwrap(), None);

        let stranger = world.system.tenant(workspace(&world.system, "stranger").await.id);
        assert!(stranger.api_keys().await.unwrap().is_empty());
        assert!(matches!(stranger.api_key(made.id).await, Err(Error::NotFound("key"))));
        assert!(matches!(stranger.revoke_api_key(made.id, at(1)).await, Err(Error::NotFound("key"))));
        assert!(matches!(stranger.expire_api_key(made.id, at(1)).await, Err(Error::NotFound("key"))));
        assert!(stranger.key_usage(made.id, "2000-01-01").await.unwrap().is_empty());

        world.tenant.expire_api_key(made.id, at(2_000)).await.unwrap();
        assert_eq!(
            world.tenant.api_key(made.id).await.unwrap().expires_at,
            Some(at(1_000)),
            "never longer than before"
        );
        let epoch = world.system.identity_epoch().await.unwrap();
        world.tenant.expire_api_key(made.id, at(500)).await.unwrap();
        world.tenant.revoke_api_key(made.id, at(2)).await.unwrap();
        world.tenant.revoke_api_key(made.id, at(3)).await.unwrap();
        let now = world.tenant.api_key(made.id).await.unwrap();
        assert_eq!((now.expires_at, now.revoked_at), (Some(at(500)), Some(at(2))));
        assert_eq!(world.system.identity_epoch().await.unwrap(), epoch + 3);
    }
}

#[tokio::test]
async fn use_is_added_up_by_day() {
    for world in worlds().await {
        let made = key(&world, "Shop");
        world.tenant.create_api_key(&made, Sha256Hash::of("secret")).await.unwrap();
        let used = |id, requests, tokens| KeyUse { workspace_id: world.workspace.id, key_id: id, requests, tokens };
        world.system.record_key_use(&[used(made.id, 3, 10), used(KeyId::new(), 9, 9)], at(0)).await.unwrap();
        world.system.record_key_use(&[used(made.id, 2, 0)], at(60)).await.unwrap();
        world.system.record_key_use(&[used(made.id, 1, 1)], at(86_400)).await.unwrap();
        world.system.record_key_use(&[], at(0)).await.unwrap();
        let usage = world.tenant.key_usage(made.id, "2000-01-01").await.unwrap();
        let numbers: Vec<_> = usage.iter().map(|day| (day.requests, day.tokens)).collect();
        assert_eq!(numbers, [(5, 10), (1, 1)], "{}", world.name());
        assert_eq!(world.tenant.key_usage(made.id, &usage[1].day).await.unwrap().len(), 1);
        assert_eq!(world.tenant.api_key(made.id).await.unwrap().last_used_at, Some(at(86_400)));
    }
}
