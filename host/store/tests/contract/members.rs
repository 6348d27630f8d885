//! Members and invitations.

use tributary_core::{SourceId, UserId, access::Role, audience::Audience, hash::Sha256Hash};
use tributary_store::{Error, Invitation, NewUser};
use uuid::Uuid;

use crate::support::{World, at, workspace, worlds};

async fn user(world: &World, email: &str) -> UserId {
    let new = NewUser {
        email: email.to_owned(),
        name: "Ada".to_owned(),
        password_hash: "x".to_owned(),
        instance_admin: false,
        now: at(0),
    };
    world.system.create_user(new).await.unwrap().id
}

#[tokio::test]
async fn members_change_what_they_are_and_the_last_owner_stays() {
    for world in worlds().await {
        let (ada, bob) = (user(&world, "ada@b").await, user(&world, "bob@b").await);
        let all = Audience::everything();
        world.tenant.set_member(ada, Role::Owner, &all, at(1)).await.unwrap();
        let limited = Audience { source_ids: Some(vec![SourceId::new()]), ..Audience::default() };
        world.tenant.set_member(bob, Role::Viewer, &limited, at(2)).await.unwrap();
        let seen = world.system.workspaces_of(bob).await.unwrap();
        assert_eq!(
            (seen[0].workspace_id, seen[0].role, &seen[0].audience),
            (world.workspace.id, Role::Viewer, &limited)
        );

        for last in [
            world.tenant.remove_member(ada).await.unwrap_err(),
            world.tenant.set_member(ada, Role::Admin, &all, at(3)).await.unwrap_err(),
        ] {
            assert!(matches!(last, Error::LastOne(_)), "{}: {last}", world.name());
        }
        let epoch = world.system.identity_epoch().await.unwrap();
        world.tenant.set_member(bob, Role::Owner, &all, at(4)).await.unwrap();
        world.tenant.remove_member(ada).await.unwrap();
        assert_eq!(world.system.identity_epoch().await.unwrap(), epoch + 2);
        let members = world.tenant.members().await.unwrap();
        assert_eq!(members.iter().map(|member| member.email.as_str()).collect::<Vec<_>>(), ["bob@b"]);

        let stranger = world.system.tenant(workspace(&world.system, "stranger").await.id);
        assert!(stranger.members().await.unwrap().is_empty());
        assert!(matches!(stranger.remove_member(bob).await, Err(Error::NotFound("member"))));
        assert!(matches!(stranger.set_member(UserId::new(), Role::Viewer, &all, at(5)).await, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn an_invitation_is_accepted_once_and_makes_the_account() {
    for world in worlds().await {
        let invitation = |email: &str| Invitation {
            id: Uuid::now_v7(),
            email: email.to_owned(),
            role: Role::Editor,
            audience: Audience::everything(),
            invited_by: "user:ada".to_owned(),
            created_at: at(0),
            expires_at: at(100),
        };
        let (token, other) = (Sha256Hash::of("grace"), Sha256Hash::of("other"));
        world.tenant.create_invitation(&invitation("Grace@b"), token).await.unwrap();
        let taken_back = invitation("other@b");
        world.tenant.create_invitation(&taken_back, other).await.unwrap();
        assert_eq!(world.tenant.invitations(at(1)).await.unwrap().len(), 2);

        let stranger = world.system.tenant(workspace(&world.system, "stranger").await.id);
        assert!(stranger.invitations(at(1)).await.unwrap().is_empty());
        assert!(matches!(stranger.delete_invitation(taken_back.id).await, Err(Error::NotFound("invitation"))));
        world.tenant.delete_invitation(taken_back.id).await.unwrap();
        assert_eq!(world.system.find_invitation(other, at(1)).await.unwrap(), None);

        let found = world.system.find_invitation(token, at(1)).await.unwrap().unwrap();
        assert_eq!((found.email.as_str(), found.user), ("grace@b", None));
        assert_eq!(world.system.find_invitation(token, at(100)).await.unwrap(), None, "it ran out");
        let account = || NewUser {
            email: "ignored@b".to_owned(),
            name: "Grace".to_owned(),
            password_hash: "x".to_owned(),
            instance_admin: false,
            now: at(2),
        };
        let (user, at_workspace) =
            world.system.accept_invitation(token, Some(account()), at(2)).await.unwrap().unwrap();
        assert_eq!(at_workspace, world.workspace.id);
        assert_eq!(world.system.find_user(user).await.unwrap().unwrap().email, "grace@b", "{}", world.name());
        assert_eq!(world.system.accept_invitation(token, Some(account()), at(3)).await.unwrap(), None, "once");
        assert_eq!(world.tenant.members().await.unwrap()[0].role, Role::Editor);
        assert!(world.tenant.invitations(at(3)).await.unwrap().is_empty());
    }
}
