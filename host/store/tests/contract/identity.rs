//! Users, signing keys, workspaces and connectors.

use tributary_core::{
    SessionId, UserId, WorkspaceId,
    access::{Power, Role},
    audience::Audience,
    contract::{Capabilities, Descriptor},
    principal::{Actor, Grant, Principal},
};
use tributary_store::{Error, NewUser, SigningKey, Visible, testing::databases};

use crate::support::{at, workspace, worlds};

#[tokio::test]
async fn an_address_belongs_to_one_user_whatever_its_case() {
    for test in databases().await {
        let system = test.db.system();
        assert!(!system.any_user().await.unwrap());
        let new = |email: &str| NewUser {
            email: email.to_owned(),
            name: String::new(),
            password_hash: "$argon2id$x".to_owned(),
            instance_admin: true,
            now: at(0),
        };
        let user = system.create_user(new("Ada@Example.COM")).await.unwrap();
        assert_eq!(user.email, "ada@example.com");
        let taken = system.create_user(new("ada@example.com")).await.unwrap_err();
        assert!(matches!(taken, Error::Conflict { what: "email" }), "{}: {taken}", test.name);
        let found = system.find_user_by_email("ADA@example.com").await.unwrap();
        assert_eq!(found, Some((user.clone(), "$argon2id$x".to_owned())), "{}", test.name);
        assert_eq!(system.find_user(user.id).await.unwrap(), Some(user));
        assert_eq!(system.find_user(UserId::new()).await.unwrap(), None);
        assert_eq!(system.find_user_by_email("bob@example.com").await.unwrap(), None);
        assert_eq!(system.count_users().await.unwrap(), 1);
        assert!(system.any_user().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_start_at_once_agree_on_the_signing_key() {
    for test in databases().await {
        assert_eq!(test.db.system().find_signing_key().await.unwrap(), None);
        let hosts = (0..8_u8).map(|host| {
            let system = test.db.system();
            let candidate = SigningKey { kid: format!("key-{host}"), sealed_pkcs8: vec![host; 48], created_at: at(0) };
            tokio::spawn(async move { system.signing_key(candidate).await.unwrap() })
        });
        let keys: Vec<_> = futures::future::join_all(hosts).await.into_iter().map(Result::unwrap).collect();
        assert!(keys.iter().all(|key| *key == keys[0]), "{}: {keys:?}", test.name);
        assert!(!format!("{:?}", keys[0]).contains("pkcs8"), "the private key stays out of logs");
    }
}

#[tokio::test]
async fn workspaces_are_listed_in_pages_and_slugs_are_unique() {
    for world in worlds().await {
        let system = &world.system;
        let second = workspace(system, "beta").await;
        let third = workspace(system, "gamma").await;
        let first_page = system.list_workspaces(&Visible::All, None, 2).await.unwrap();
        assert_eq!((first_page.items.len(), first_page.more), (2, true));
        let rest = system.list_workspaces(&Visible::All, Some(second.id), 2).await.unwrap();
        assert_eq!((rest.items, rest.more), (vec![third.clone()], false));
        let mine = system.list_workspaces(&Visible::Only(vec![third.id, WorkspaceId::new()]), None, 10).await.unwrap();
        assert_eq!(mine.items, [third]);
        assert_eq!(system.find_workspace_by_slug("acme").await.unwrap(), Some(world.workspace.clone()));
        assert_eq!(system.find_workspace_by_slug("nope").await.unwrap(), None);
        assert_eq!(world.tenant.workspace().await.unwrap(), world.workspace);

        let new = tributary_store::NewWorkspace {
            name: "Again".to_owned(),
            slug: "acme".to_owned(),
            push_connector: crate::support::connector("builtin:push"),
            now: at(1),
        };
        let taken = system.create_workspace(new).await.unwrap_err();
        assert!(matches!(taken, Error::Conflict { what: "slug" }), "{}: {taken}", world.name());
    }
}

#[tokio::test]
async fn a_principal_enters_only_their_workspaces() {
    for world in worlds().await {
        let actor = Actor::User { id: UserId::new(), session: SessionId::new() };
        let grant = Grant {
            workspace_id: world.workspace.id,
            power: Power::Role(Role::Viewer),
            audience: Audience::everything(),
            archived: false,
        };
        let stranger = Principal { actor, instance_admin: false, grants: vec![], ..Principal::operator() };
        let member = Principal { grants: vec![grant], ..stranger.clone() };
        let admin = Principal { instance_admin: true, ..stranger.clone() };
        assert!(world.db().tenant(&member, world.workspace.id).await.unwrap().is_some());
        assert!(world.db().tenant(&admin, world.workspace.id).await.unwrap().is_some());
        assert!(world.db().tenant(&stranger, world.workspace.id).await.unwrap().is_none());
        assert!(world.db().tenant(&admin, WorkspaceId::new()).await.unwrap().is_none(), "there is no such workspace");
    }
}

#[tokio::test]
async fn the_newest_component_of_a_connector_is_current() {
    for test in databases().await {
        let system = test.db.system();
        let descriptor = |id: &str, version: &str| Descriptor {
            id: id.to_owned(),
            version: version.to_owned(),
            title: "Files".to_owned(),
            config_schema: serde_json::json!({ "type": "object" }),
            hosts: vec![],
            roots: vec!["/root".to_owned()],
            capabilities: Capabilities { incremental: true, ..Capabilities::default() },
        };
        let v1 = system.put_connector("aa", &descriptor("file", "1.0.0"), 100, at(0)).await.unwrap();
        let v2 = system.put_connector("bb", &descriptor("file", "2.0.0"), 200, at(1)).await.unwrap();
        system.put_connector("cc", &descriptor("api", "1.0.0"), 300, at(2)).await.unwrap();
        assert_eq!(system.current_connector("file").await.unwrap().unwrap().connector, v2);
        let found = system.find_connector("aa").await.unwrap().unwrap();
        assert_eq!((found.descriptor, found.size_bytes), (descriptor("file", "1.0.0"), 100));
        let ids: Vec<_> = system.list_connectors().await.unwrap().into_iter().map(|it| it.connector.digest).collect();
        assert_eq!(ids, ["cc", "bb"], "{}", test.name);
        // Going back to an older one is installing it again.
        system.put_connector("aa", &descriptor("file", "1.0.0"), 100, at(3)).await.unwrap();
        assert_eq!(system.current_connector("file").await.unwrap().unwrap().connector, v1);
        assert!(system.current_connector("nope").await.unwrap().is_none());
        assert!(system.find_connector("nope").await.unwrap().is_none());
    }
}
