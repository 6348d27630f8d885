//! Log-ins and refresh tokens.

use tributary_core::{UserId, hash::Sha256Hash};
use tributary_store::{NewSession, NewUser, Refresh, Refreshed, SystemDb, UserUpdate, testing::databases};

use crate::support::at;

const DAY: i64 = 86_400;

async fn user(system: &SystemDb, email: &str, instance_admin: bool) -> UserId {
    let new = NewUser {
        email: email.to_owned(),
        name: String::new(),
        password_hash: "x".to_owned(),
        instance_admin,
        now: at(0),
    };
    system.create_user(new).await.unwrap().id
}

fn session(user_id: UserId, token: &str) -> NewSession {
    NewSession {
        user_id,
        token_hash: Sha256Hash::of(token),
        idle_until: at(14 * DAY),
        expires_at: at(90 * DAY),
        from_ip: Some("203.0.113.7".to_owned()),
        client: Some("curl/8\n".repeat(100)),
        now: at(0),
    }
}

/// `a` is followed by `a>`, that by `a>>`.
fn refresh(token: &str, seconds: i64) -> Refresh {
    Refresh {
        presented: Sha256Hash::of(token),
        successor: Sha256Hash::of(format!("{token}>")),
        idle_until: at(seconds + 14 * DAY),
        grace_from: at(seconds - 10),
        now: at(seconds),
    }
}

#[tokio::test]
async fn a_refresh_token_is_used_once_and_its_reuse_ends_the_session() {
    for test in databases().await {
        let system = test.db.system();
        let user = user(&system, "a@b", false).await;
        let id = system.create_session(session(user, "a")).await.unwrap();
        let went_on = Refreshed::Successor(id, user);
        assert_eq!(system.refresh(refresh("nothing", 1)).await.unwrap(), Refreshed::Refused);
        assert_eq!(system.refresh(refresh("a", 100)).await.unwrap(), went_on, "{}", test.name);
        // Two tabs at once: the immediate parent gets the same successor, for ten seconds.
        assert_eq!(system.refresh(refresh("a", 110)).await.unwrap(), went_on);
        assert_eq!(system.refresh(refresh("a>", 200)).await.unwrap(), went_on);
        let epoch = system.identity_epoch().await.unwrap();
        // A grandparent never.
        assert_eq!(system.refresh(refresh("a", 105)).await.unwrap(), Refreshed::Reused(id, user), "{}", test.name);
        assert!(system.identity_epoch().await.unwrap() > epoch, "other hosts learn of it");
        assert_eq!(system.live_session(id, at(201)).await.unwrap(), None);
        assert_eq!(
            system.refresh(refresh("a>>", 202)).await.unwrap(),
            Refreshed::Refused,
            "the thief's, or the owner's"
        );
    }
}

#[tokio::test]
async fn a_parent_is_refused_after_the_grace_or_when_its_successor_was_used() {
    for test in databases().await {
        let system = test.db.system();
        let user = user(&system, "a@b", false).await;
        let late = system.create_session(session(user, "a")).await.unwrap();
        system.refresh(refresh("a", 100)).await.unwrap();
        assert_eq!(system.refresh(refresh("a", 111)).await.unwrap(), Refreshed::Reused(late, user), "{}", test.name);
        let used = system.create_session(session(user, "b")).await.unwrap();
        system.refresh(refresh("b", 100)).await.unwrap();
        system.refresh(refresh("b>", 101)).await.unwrap();
        assert_eq!(system.refresh(refresh("b", 102)).await.unwrap(), Refreshed::Reused(used, user), "{}", test.name);
    }
}

#[tokio::test]
async fn sessions_end_idle_at_the_latest_and_with_their_user() {
    for test in databases().await {
        let system = test.db.system();
        let admin = user(&system, "root@b", true).await;
        let user = user(&system, "a@b", false).await;
        for token in ["idle", "long", "gone", "other"] {
            system.create_session(session(user, token)).await.unwrap();
        }
        assert_eq!(system.refresh(refresh("idle", 14 * DAY)).await.unwrap(), Refreshed::Refused);
        let mut token = "long".to_owned();
        for day in [13, 26, 39, 52, 65, 78] {
            assert!(matches!(system.refresh(refresh(&token, day * DAY)).await.unwrap(), Refreshed::Successor(..)));
            token.push('>');
        }
        assert_eq!(
            system.refresh(refresh(&token, 90 * DAY)).await.unwrap(),
            Refreshed::Refused,
            "90 days are the most"
        );

        let sessions = system.sessions_of(user, at(1)).await.unwrap();
        assert_eq!(sessions.len(), 4);
        assert_eq!(sessions[0].client.as_ref().unwrap().chars().count(), 200);
        assert!(!system.end_session(admin, sessions[0].id, "logged_out", at(2)).await.unwrap(), "not theirs");
        assert!(system.end_session(user, sessions[0].id, "logged_out", at(2)).await.unwrap());
        assert_eq!(system.end_sessions(user, Some(sessions[1].id), "everywhere", at(3)).await.unwrap(), 2);
        assert_eq!(system.sessions_of(user, at(4)).await.unwrap().len(), 1);

        let off = UserUpdate { active: Some(false), ..UserUpdate::default() };
        system.update_user(user, off.clone(), at(5)).await.unwrap();
        assert_eq!(system.sessions_of(user, at(6)).await.unwrap(), []);
        let last = system.update_user(admin, off, at(5)).await.unwrap_err();
        assert!(last.to_string().contains("last active administrator"), "{last}");
    }
}

#[tokio::test]
async fn a_password_reset_works_once_and_ends_every_session() {
    for test in databases().await {
        let system = test.db.system();
        let user = user(&system, "a@b", false).await;
        system.create_session(session(user, "a")).await.unwrap();
        let token = Sha256Hash::of("reset");
        system.create_password_reset(user, token, "user:admin", at(DAY), at(0)).await.unwrap();
        assert!(system.password_reset_stands(token, at(1)).await.unwrap());
        assert!(!system.password_reset_stands(token, at(DAY)).await.unwrap());
        assert!(!system.password_reset_stands(Sha256Hash::of("other"), at(1)).await.unwrap());
        assert_eq!(system.reset_password(Sha256Hash::of("other"), "y", at(1)).await.unwrap(), None);
        assert_eq!(system.reset_password(token, "y", at(DAY)).await.unwrap(), None, "too late");
        assert_eq!(system.reset_password(token, "y", at(1)).await.unwrap(), Some(user), "{}", test.name);
        assert_eq!(system.reset_password(token, "z", at(2)).await.unwrap(), None, "used");
        assert!(!system.password_reset_stands(token, at(2)).await.unwrap());
        assert_eq!(system.password_hash(user).await.unwrap().as_deref(), Some("y"));
        assert_eq!(system.sessions_of(user, at(3)).await.unwrap(), []);
    }
}

#[tokio::test]
async fn what_is_over_is_purged() {
    for test in databases().await {
        let system = test.db.system();
        let user = user(&system, "a@b", false).await;
        let ended = system.create_session(session(user, "a")).await.unwrap();
        system.create_session(session(user, "b")).await.unwrap();
        system.end_session(user, ended, "logged_out", at(10)).await.unwrap();
        assert_eq!(system.purge_identity(at(20), 100).await.unwrap(), 1, "{}", test.name);
        assert_eq!(system.sessions_of(user, at(21)).await.unwrap().len(), 1);
    }
}
