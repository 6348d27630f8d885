//! API keys.

use tributary_core::{
    KeyId,
    access::Scope,
    audience::Audience,
    hash::Sha256Hash,
    principal::KeyLimits,
    widget::{Identity, Widget},
};
use tributary_store::{ApiKey, Error, KeyRotation, KeyUse, NextKey};

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
        assert!(matches!(stranger.rotate_api_key(made.id, next("n", 1, 1)).await, Err(Error::NotFound("key"))));
        assert!(stranger.key_usage(made.id, "2000-01-01").await.unwrap().is_empty());

        let epoch = world.system.identity_epoch().await.unwrap();
        world.tenant.revoke_api_key(made.id, at(2)).await.unwrap();
        world.tenant.revoke_api_key(made.id, at(3)).await.unwrap();
        let now = world.tenant.api_key(made.id).await.unwrap();
        assert_eq!((now.expires_at, now.revoked_at), (Some(at(1_000)), Some(at(2))));
        assert_eq!(world.system.identity_epoch().await.unwrap(), epoch + 2);
    }
}

/// The key of `secret` that replaces another at `now`.
fn next(secret: &str, now: i64, old_until: i64) -> NextKey {
    NextKey {
        id: KeyId::new(),
        secret_hash: Sha256Hash::of(secret),
        last4: "efgh".to_owned(),
        created_by: "user:bob".to_owned(),
        now: at(now),
        old_until: at(old_until),
    }
}

#[tokio::test]
async fn a_key_is_replaced_once_by_one_with_the_same_rights() {
    for world in worlds().await {
        let made = key(&world, "Shop");
        world.tenant.create_api_key(&made, Sha256Hash::of("first")).await.unwrap();
        // What became of a key with the same id elsewhere is of no account.
        let stranger = world.system.tenant(workspace(&world.system, "stranger").await.id);
        stranger.create_api_key(&made, Sha256Hash::of("theirs")).await.unwrap();
        let theirs = stranger.rotate_api_key(made.id, next("their next", 5, 6)).await.unwrap();
        assert!(matches!(theirs, KeyRotation::Made(_)), "{}", world.name());
        let epoch = world.system.identity_epoch().await.unwrap();
        let second = next("second", 10, 500);
        let KeyRotation::Made(key) = world.tenant.rotate_api_key(made.id, second.clone()).await.unwrap() else {
            panic!("{}: it stands", world.name())
        };
        let expected = ApiKey {
            id: second.id,
            last4: "efgh".to_owned(),
            created_by: "user:bob".to_owned(),
            created_at: at(10),
            replaces: Some(made.id),
            ..made.clone()
        };
        assert_eq!(*key, expected, "{}", world.name());
        assert_eq!(world.system.find_api_key(second.secret_hash).await.unwrap(), Some((expected, false)));
        assert_eq!(world.tenant.api_key(made.id).await.unwrap().expires_at, Some(at(500)));
        assert_eq!(world.system.identity_epoch().await.unwrap(), epoch + 1);

        let again = world.tenant.rotate_api_key(made.id, next("third", 20, 600)).await.unwrap();
        assert_eq!(again, KeyRotation::Replaced);
        let KeyRotation::Made(third) = world.tenant.rotate_api_key(second.id, next("third", 20, 2_000)).await.unwrap()
        else {
            panic!("{}: the new one stands", world.name())
        };
        let second = world.tenant.api_key(second.id).await.unwrap();
        assert_eq!(second.expires_at, Some(at(1_000)), "never longer than before");
        assert_eq!(
            world.tenant.rotate_api_key(third.id, next("fourth", 1_000, 2_000)).await.unwrap(),
            KeyRotation::Over,
            "it has expired"
        );
        world.tenant.revoke_api_key(third.id, at(30)).await.unwrap();
        assert_eq!(
            world.tenant.rotate_api_key(third.id, next("fourth", 31, 40)).await.unwrap(),
            KeyRotation::Over,
            "it is revoked"
        );
        assert_eq!(world.tenant.api_keys().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn a_rotation_that_fails_leaves_the_key_as_it_was() {
    for world in worlds().await {
        let (made, other) = (key(&world, "Shop"), key(&world, "Other"));
        world.tenant.create_api_key(&made, Sha256Hash::of("first")).await.unwrap();
        world.tenant.create_api_key(&other, Sha256Hash::of("taken")).await.unwrap();
        world.tenant.rotate_api_key(made.id, next("taken", 10, 500)).await.unwrap_err();
        assert_eq!(world.tenant.api_key(made.id).await.unwrap(), made, "{}", world.name());
        assert_eq!(world.tenant.api_keys().await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn of_rotations_at_once_one_makes_a_key() {
    for world in worlds().await {
        let made = key(&world, "Shop");
        world.tenant.create_api_key(&made, Sha256Hash::of("first")).await.unwrap();
        let rotations = (0..8).map(|n| world.tenant.rotate_api_key(made.id, next(&format!("next {n}"), 10, 500)));
        let outcomes = futures::future::join_all(rotations).await;
        let made = outcomes.iter().filter(|it| matches!(it, Ok(KeyRotation::Made(_)))).count();
        let refused = outcomes.iter().filter(|it| matches!(it, Ok(KeyRotation::Replaced))).count();
        assert_eq!((made, refused), (1, 7), "{}: {outcomes:?}", world.name());
        assert_eq!(world.tenant.api_keys().await.unwrap().len(), 2);
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
