//! Sealed secrets, the master key in force, and credentials.

use serde_json::json;
use tributary_store::{
    AuditCheck, AuditOutcome, Db, Error, NewAuditEvent, SealedSecret, SealedValue, testing::databases,
};

use crate::support::{at, workspace, worlds};

fn secret(name: &str, key_id: &str, byte: u8) -> SealedSecret {
    SealedSecret { name: name.to_owned(), key_id: key_id.to_owned(), sealed: vec![byte; 40] }
}

fn rotation() -> NewAuditEvent {
    NewAuditEvent {
        at: at(1),
        actor: "operator".to_owned(),
        action: "secrets rotate".to_owned(),
        workspace_id: None,
        target: "master_key=b".to_owned(),
        from_ip: None,
        request_id: None,
        outcome: AuditOutcome::Ok,
        detail: json!({}),
    }
}

#[tokio::test]
async fn hosts_that_start_at_once_agree_on_the_master_key_and_on_secrets() {
    for test in databases().await {
        assert_eq!(test.db.system().find_master_key().await.unwrap(), None);
        let other = Db::open(&test.url, Default::default()).await.unwrap();
        let claims = (0..6).map(|host| {
            let system = if host % 2 == 0 { test.db.system() } else { other.system() };
            async move { system.claim_master_key(&format!("key-{host}"), at(0)).await.unwrap() }
        });
        let claimed = futures::future::join_all(claims).await;
        assert!(claimed.iter().all(|key| *key == claimed[0]), "{}: {claimed:?}", test.name);
        let kept = (0..6).map(|host| {
            let system = if host % 2 == 0 { test.db.system() } else { other.system() };
            let candidate = secret("cursor", &claimed[0], host);
            async move { system.keep_secret(candidate, at(0)).await.unwrap() }
        });
        let kept = futures::future::join_all(kept).await;
        assert!(kept.iter().all(|secret| *secret == kept[0]), "{}", test.name);
    }
}

#[tokio::test]
async fn a_host_that_missed_a_rotation_cannot_leave_secrets_behind() {
    for test in databases().await {
        let system = test.db.system();
        system.claim_master_key("a", at(0)).await.unwrap();
        for number in 0..3 {
            system.keep_secret(secret(&format!("secret-{number}"), "a", number), at(0)).await.unwrap();
        }
        let reseal = |secret: &SealedSecret| Ok::<_, Error>(secret.sealed.iter().map(|byte| byte + 100).collect());
        assert_eq!(system.rotate_master_key("a", "b", reseal, rotation()).await.unwrap(), 3, "{}", test.name);
        assert_eq!(system.find_master_key().await.unwrap().as_deref(), Some("b"));
        assert_eq!(system.find_secret("secret-2").await.unwrap(), Some(secret("secret-2", "b", 102)), "{}", test.name);
        let late = system.keep_secret(secret("late", "a", 9), at(2)).await;
        assert!(matches!(&late, Err(Error::OtherMasterKey { in_force }) if in_force == "b"), "{late:?}");
        let twice = system.rotate_master_key("a", "c", reseal, rotation()).await;
        assert!(matches!(twice, Err(Error::OtherMasterKey { .. })), "{twice:?}");
        assert!(matches!(system.verify_audit().await.unwrap(), AuditCheck::Whole { events: 1, .. }), "{}", test.name);
    }
}

#[tokio::test]
async fn a_rotation_that_fails_half_way_changes_nothing() {
    for test in databases().await {
        let system = test.db.system();
        system.claim_master_key("a", at(0)).await.unwrap();
        for number in 0..2 {
            system.keep_secret(secret(&format!("secret-{number}"), "a", number), at(0)).await.unwrap();
        }
        let reseal = |secret: &SealedSecret| match secret.name.as_str() {
            "secret-0" => Ok(vec![1; 40]),
            _ => Err(Error::Corrupt("it does not open".to_owned())),
        };
        assert!(system.rotate_master_key("a", "b", reseal, rotation()).await.is_err());
        assert_eq!(system.find_master_key().await.unwrap().as_deref(), Some("a"), "{}", test.name);
        assert_eq!(system.find_secret("secret-0").await.unwrap(), Some(secret("secret-0", "a", 0)), "{}", test.name);
        assert!(matches!(system.verify_audit().await.unwrap(), AuditCheck::Whole { events: 0, .. }), "{}", test.name);
    }
}

#[tokio::test]
async fn credentials_belong_to_their_workspace_and_have_unique_names() {
    for world in worlds().await {
        let value = |byte: u8| SealedValue {
            kind: "api_key".to_owned(),
            fields: vec!["key".to_owned()],
            sealed: vec![byte; 50],
        };
        let shop = world.tenant.create_credential("shop", value(1), at(0)).await.unwrap();
        assert_eq!((shop.updated_at, shop.last_used_at, &shop.fields[..]), (at(0), None, &["key".to_owned()][..]));
        let again = world.tenant.create_credential("shop", value(2), at(0)).await;
        assert!(matches!(again, Err(Error::Conflict { what: "name" })), "{}", world.name());
        let other = world.system.tenant(workspace(&world.system, "other").await.id);
        assert!(matches!(other.get_credential(shop.id).await, Err(Error::NotFound(_))), "{}", world.name());
        assert!(matches!(other.delete_credential(shop.id).await, Err(Error::NotFound(_))), "{}", world.name());
        assert_eq!(other.find_sealed_credential("shop").await.unwrap(), None);
        assert!(!other.exchange_credential(shop.id, &[1; 50], value(9), at(1)).await.unwrap(), "{}", world.name());
        other.create_credential("shop", value(3), at(0)).await.unwrap();

        let replaced = world.tenant.replace_credential(shop.id, value(4), at(5)).await.unwrap();
        assert_eq!((replaced.created_at, replaced.updated_at), (at(0), at(5)));
        world.tenant.touch_credential(shop.id, at(6)).await.unwrap();
        let (found, sealed) = world.tenant.find_sealed_credential("shop").await.unwrap().unwrap();
        assert_eq!((found.last_used_at, sealed), (Some(at(6)), vec![4; 50]), "{}", world.name());
        assert_eq!(world.tenant.list_credentials(None, 10).await.unwrap().items, [found]);
        // What was sealed from an older value does not take the place of a newer one.
        assert!(!world.tenant.exchange_credential(shop.id, &[1; 50], value(5), at(7)).await.unwrap());
        assert!(world.tenant.exchange_credential(shop.id, &[4; 50], value(6), at(8)).await.unwrap());
        let (found, sealed) = world.tenant.find_sealed_credential("shop").await.unwrap().unwrap();
        assert_eq!((found.updated_at, sealed), (at(8), vec![6; 50]), "{}", world.name());
        world.tenant.delete_credential(shop.id).await.unwrap();
        assert!(matches!(world.tenant.get_credential(shop.id).await, Err(Error::NotFound(_))), "{}", world.name());
        assert_eq!(world.system.count_sealed().await.unwrap().credentials, 1);
    }
}
