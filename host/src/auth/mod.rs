//! Who is calling: passwords, access tokens and the first administrator.
//!
//! [`Auth`] turns credentials into tokens and tokens into a [`Principal`]; what a principal may do is decided where it is used.

mod bootstrap;
mod passwords;
mod tokens;

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use tributary_core::{Clock, UserId, principal::Principal};
use tributary_store::{Db, NewUser, User};

use crate::secrets::Vault;
pub use bootstrap::{FirstAdmin, Given};
pub use passwords::Passwords;
pub use tokens::{ACCESS_TOKEN_LIFETIME, Tokens};

/// How long a principal read from the record is trusted: the longest a change of role stays unseen.
const PRINCIPAL_TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Why a caller was not let in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown e-mail address or wrong password; which one is not told.
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// The token is not one of ours, is damaged, or has expired.
    #[error("the access token is not valid or has expired; log in again")]
    InvalidToken,
    /// Too many log-ins at once.
    #[error("too many log-ins at once; try again in a moment")]
    Busy,
    /// The signing key could not be sealed or opened.
    #[error(transparent)]
    Secrets(#[from] crate::secrets::Error),
    /// The record could not be read.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
    /// A defect.
    #[error("{0}")]
    Internal(String),
}

/// The authentication service.
pub struct Auth {
    db: Db,
    clock: Arc<dyn Clock>,
    passwords: Passwords,
    tokens: Tokens,
    principals: Cache<UserId, Option<Principal>>,
}

impl Auth {
    /// Loads the signing key, making one on the first start of the first host.
    pub async fn open(db: Db, clock: Arc<dyn Clock>, vault: &Vault) -> Result<Self, Error> {
        let tokens = Tokens::open(&db, clock.clone(), vault).await?;
        let principals = Cache::builder().max_capacity(100_000).time_to_live(PRINCIPAL_TRUSTED_FOR).build();
        Ok(Self { db, clock, passwords: Passwords::new()?, tokens, principals })
    }

    /// Checks a password and issues an access token. Takes as long for an unknown address as for a wrong password.
    pub async fn log_in(&self, email: &str, password: &str) -> Result<String, Error> {
        let found = self.db.system().find_user_by_email(email).await?;
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
        let matches = self.passwords.verify(password, hash).await?;
        match user {
            Some(user) if matches => self.tokens.issue(user.id),
            _ => Err(Error::WrongCredentials),
        }
    }

    /// The caller behind an access token.
    pub async fn authenticate(&self, token: &str) -> Result<Principal, Error> {
        let user = self.tokens.verify(token)?;
        if let Some(known) = self.principals.get(&user).await {
            return known.ok_or(Error::InvalidToken);
        }
        let principal = self.load(user).await?;
        self.principals.insert(user, principal.clone()).await;
        principal.ok_or(Error::InvalidToken)
    }

    async fn load(&self, user: UserId) -> Result<Option<Principal>, Error> {
        let system = self.db.system();
        let Some(found) = system.find_user(user).await? else { return Ok(None) };
        let workspaces =
            system.workspaces_of(user).await?.into_iter().map(|membership| membership.workspace_id).collect();
        Ok(Some(Principal::User { id: user, instance_admin: found.instance_admin, workspaces }))
    }

    /// Forgets what is cached of a user, after a change of roles.
    pub async fn forget(&self, user: UserId) {
        self.principals.invalidate(&user).await;
    }

    /// Creates a user.
    async fn create_user(&self, email: &str, password: &str, instance_admin: bool) -> Result<User, Error> {
        let password_hash = self.passwords.hash(password).await?;
        let new = NewUser { email: email.to_owned(), password_hash, instance_admin, now: self.clock.now() };
        Ok(self.db.system().create_user(new).await?)
    }
}
