//! People's accounts: made by an administrator or by accepting an invitation, changed, deactivated; passwords changed and reset.

use std::time::Duration;

use tributary_core::{Instant, SessionId, UserId, WorkspaceId, access::Role, audience::Audience, hash::Sha256Hash};
use tributary_store::{Invitation, NewUser, TenantDb, User, UserUpdate};
use uuid::Uuid;

use super::{Auth, Error, LoggedIn, Origin, sessions::random_token};

const INVITATION_LIFETIME: Duration = Duration::from_secs(7 * 86_400);
const RESET_LIFETIME: Duration = Duration::from_secs(86_400);
/// NIST SP 800-63B asks for at least eight characters, and fifteen where the password stands alone; no rules of composition.
const SHORTEST_PASSWORD: usize = 12;
const LONGEST_PASSWORD_BYTES: usize = 1_024;

/// An account to be made by an administrator.
pub struct NewAccount {
    /// E-mail address.
    pub email: String,
    /// For people.
    pub name: String,
    /// First password.
    pub password: String,
    /// Administers the instance.
    pub instance_admin: bool,
}

/// An invitation that was accepted.
pub struct Accepted {
    /// The session it began, when the account is new.
    pub logged_in: Option<LoggedIn>,
    /// Where to.
    pub workspace_id: WorkspaceId,
}

impl Auth {
    /// Makes an account.
    pub async fn create_account(&self, new: NewAccount) -> Result<User, Error> {
        let email = checked_email(&new.email)?;
        check_password(&new.password, "/password")?;
        let user = NewUser {
            email,
            name: checked_name(&new.name)?,
            password_hash: self.passwords.enter()?.hash(&new.password).await?,
            instance_admin: new.instance_admin,
            now: self.clock.now(),
        };
        Ok(self.db.system().create_user(user).await?)
    }

    /// Changes an account; see [`tributary_store::SystemDb::update_user`].
    pub async fn update_account(&self, id: UserId, mut update: UserUpdate) -> Result<User, Error> {
        update.name = update.name.map(|name| checked_name(&name)).transpose()?;
        let user = self.db.system().update_user(id, update, self.clock.now()).await?;
        self.catch_up().await?;
        Ok(user)
    }

    /// Changes one's own password; all other sessions end.
    pub async fn change_password(
        &self,
        user: UserId,
        session: SessionId,
        current: &str,
        new: &str,
    ) -> Result<(), Error> {
        check_password(new, "/new_password")?;
        let place = self.passwords.enter()?;
        let hash = self.db.system().password_hash(user).await?;
        if !place.verify(current, hash).await? {
            return Err(Error::Invalid {
                pointer: "/current_password",
                message: "the current password is wrong".to_owned(),
            });
        }
        let hash = place.hash(new).await?;
        self.db.system().set_password(user, &hash, Some(session), self.clock.now()).await?;
        self.catch_up().await
    }

    /// Sets somebody's password, for the operator at the command line; all sessions end.
    pub async fn set_password(&self, user: UserId, new: &str) -> Result<(), Error> {
        check_password(new, "/new_password")?;
        let hash = self.passwords.enter()?.hash(new).await?;
        self.db.system().set_password(user, &hash, None, self.clock.now()).await?;
        self.catch_up().await
    }

    /// A token with which somebody can set a new password, once, within a day.
    pub async fn create_password_reset(&self, user: UserId, by: &str) -> Result<(String, Instant), Error> {
        let (token, now) = (random_token()?, self.clock.now());
        let until = now + RESET_LIFETIME;
        self.db.system().create_password_reset(user, Sha256Hash::of(&token), by, until, now).await?;
        Ok((token, until))
    }

    /// Sets a new password with such a token; all sessions end.
    pub async fn reset_password(&self, token: &str, new: &str) -> Result<(), Error> {
        check_password(new, "/new_password")?;
        let (token, invalid) = (Sha256Hash::of(token), || Error::InvalidLink("password reset"));
        // Before the password is hashed: strangers must not keep the pool busy.
        if !self.db.system().password_reset_stands(token, self.clock.now()).await? {
            return Err(invalid());
        }
        let hash = self.passwords.enter()?.hash(new).await?;
        let user = self.db.system().reset_password(token, &hash, self.clock.now()).await?;
        self.catch_up().await?;
        user.map(|_| ()).ok_or_else(invalid)
    }

    /// Invites somebody into a workspace; the token is to be brought to them.
    pub async fn invite(
        &self,
        tenant: &TenantDb,
        email: &str,
        role: Role,
        audience: Audience,
        by: &str,
    ) -> Result<(Invitation, String), Error> {
        let (token, now) = (random_token()?, self.clock.now());
        let invitation = Invitation {
            id: Uuid::now_v7(),
            email: checked_email(email)?.to_lowercase(),
            role,
            audience,
            invited_by: by.to_owned(),
            created_at: now,
            expires_at: now + INVITATION_LIFETIME,
        };
        tenant.create_invitation(&invitation, Sha256Hash::of(&token)).await?;
        Ok((invitation, token))
    }

    /// Accepts an invitation. Without an account, name and password make one and log in; with one, the password must be its own.
    pub async fn accept_invitation(
        &self,
        token: &str,
        name: &str,
        password: &str,
        origin: Origin,
    ) -> Result<Accepted, Error> {
        let (hash, now) = (Sha256Hash::of(token), self.clock.now());
        let invalid = || Error::InvalidLink("invitation");
        let invited = self.db.system().find_invitation(hash, now).await?.ok_or_else(invalid)?;
        let account = match invited.user {
            Some(user) => {
                let place = self.passwords.enter()?;
                let known = self.db.system().password_hash(user).await?;
                if !place.verify(password, known).await? {
                    return Err(Error::WrongCredentials);
                }
                None
            }
            None => {
                check_password(password, "/password")?;
                Some(NewUser {
                    email: invited.email,
                    name: checked_name(name)?,
                    password_hash: self.passwords.enter()?.hash(password).await?,
                    instance_admin: false,
                    now,
                })
            }
        };
        let is_new = account.is_some();
        let (user, workspace_id) = self.db.system().accept_invitation(hash, account, now).await?.ok_or_else(invalid)?;
        self.catch_up().await?;
        let logged_in = if is_new { Some(self.begin_session(user, origin).await?) } else { None };
        Ok(Accepted { logged_in, workspace_id })
    }
}

fn check_password(password: &str, pointer: &'static str) -> Result<(), Error> {
    let message = if password.chars().count() < SHORTEST_PASSWORD {
        format!("a password has at least {SHORTEST_PASSWORD} characters; a few words are easy to remember")
    } else if password.len() > LONGEST_PASSWORD_BYTES {
        format!("a password has at most {LONGEST_PASSWORD_BYTES} bytes")
    } else {
        return Ok(());
    };
    Err(Error::Invalid { pointer, message })
}

fn checked_name(name: &str) -> Result<String, Error> {
    let name = tributary_search::text::line(name);
    if name.chars().count() > 100 {
        return Err(Error::Invalid { pointer: "/name", message: "a name has at most 100 characters".to_owned() });
    }
    Ok(name)
}

/// Something at something; whether mail arrives there is not for us to know.
fn checked_email(email: &str) -> Result<String, Error> {
    let email = email.trim();
    let plain = email.len() <= 254 && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    let parts = email.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    if !plain || !parts {
        let message = "an e-mail address looks like name@example.com".to_owned();
        return Err(Error::Invalid { pointer: "/email", message });
    }
    Ok(email.to_owned())
}
