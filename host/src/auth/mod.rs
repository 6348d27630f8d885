//! Who is calling: passwords, sessions, API keys and the first administrator.
//!
//! [`Auth`] turns credentials into a [`Principal`]; what a principal may do is decided by `tributary_core::access` where a route is
//! entered. What was read of a caller is remembered until the record's identity epoch moves, which every host looks at a few times a
//! second: so a request costs no read, and a change of roles, a revoked key or a log-out is seen everywhere within a second.

mod accounts;
mod bootstrap;
mod keys;
mod new_keys;
mod passwords;
mod sessions;
mod tokens;
mod usage;
mod widgets;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

use moka::future::Cache;
use tokio_util::sync::CancellationToken;
use tributary_core::{
    Clock, Instant, SessionId, UserId,
    access::{Power, Role},
    audience::Audience,
    hash::Sha256Hash,
    principal::{Actor, Grant, KeyLimits, Principal},
};
use tributary_store::{ApiKey, Db};

pub use accounts::{Accepted, NewAccount};
pub use bootstrap::{FirstAdmin, Given, generate_password};
pub use keys::{Environment, Kind, Secret};
pub use new_keys::{LONGEST_OVERLAP_S, MadeKey, NewKey};
pub use passwords::Passwords;
pub use sessions::{IDLE, LoggedIn, Origin};
pub use tokens::{ACCESS_TOKEN_LIFETIME, Jwk, Tokens};
pub use usage::KeyUseMeter;
pub use widgets::{NewWidget, Visit, WidgetKey, WidgetRefusal};

use crate::secrets::Vault;
use keys::Malformed;

/// How often the identity epoch is looked at.
const EPOCH_EVERY: Duration = Duration::from_millis(400);
/// How often the log is told of log-ins that were turned away.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Callers remembered.
const REMEMBERED: u64 = 100_000;
/// A caller is read anew after this long, whatever the epoch says.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// Why a caller was not let in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Unknown e-mail address or wrong password; which one is not told.
    #[error("the e-mail address or the password is wrong")]
    WrongCredentials,
    /// The token is not one of ours, is damaged, has expired, or its session has ended.
    #[error("the access token is not valid or has expired; log in again")]
    InvalidToken,
    /// The refresh token is not valid, or no longer.
    #[error("the refresh token is not valid any more; log in again")]
    InvalidRefreshToken,
    /// The refresh token was used before.
    #[error("this refresh token was used before, so somebody else may have it: the session is ended; log in again")]
    RefreshTokenReused,
    /// Not a key of ours.
    #[error("{0}")]
    InvalidKey(String),
    /// An invitation or reset that does not stand.
    #[error("this {0} is not valid: it was used, taken back, or has expired; ask for a new one")]
    InvalidLink(&'static str),
    /// A password, name or address that is not taken.
    #[error("{message}")]
    Invalid {
        /// JSON pointer into the request body.
        pointer: &'static str,
        /// What to send instead.
        message: String,
    },
    /// A key that cannot be rotated.
    #[error("{0}")]
    KeyOver(&'static str),
    /// Too many log-ins at once.
    #[error("too many log-ins at once; try again in a moment")]
    Busy,
    /// Not a token of a visit that goes on here.
    #[error("the visit is over, or began with another key or on another origin: begin a new one")]
    InvalidVisit,
    /// A page may not use a widget key.
    #[error("{0}")]
    Widget(WidgetRefusal),
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

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::InvalidKey(malformed.to_string())
    }
}

/// What a caller is remembered by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Credential {
    Session(SessionId, UserId),
    Key(Sha256Hash),
}

/// A caller as they were at an epoch; `None`: not to be let in.
#[derive(Clone)]
struct Known {
    epoch: i64,
    principal: Option<Arc<Principal>>,
    /// When a key ends.
    until: Option<Instant>,
}

/// The authentication service.
pub struct Auth {
    db: Db,
    clock: Arc<dyn Clock>,
    environment: Environment,
    passwords: Passwords,
    tokens: Tokens,
    key_use: KeyUseMeter,
    epoch: AtomicI64,
    known: Cache<Credential, Known>,
    /// Widget keys and the epoch they were read under.
    widgets: Cache<Sha256Hash, (i64, Option<Arc<WidgetKey>>)>,
    vault: Arc<Vault>,
}

impl Auth {
    /// Loads the signing keys, making one on the first start of the first host.
    pub async fn open(
        db: Db,
        clock: Arc<dyn Clock>,
        environment: Environment,
        vault: Arc<Vault>,
    ) -> Result<Self, Error> {
        let tokens = Tokens::open(&db, clock.clone(), &vault).await?;
        let epoch = db.system().identity_epoch().await?.into();
        let known = Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        let widgets = Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        let key_use = KeyUseMeter::new(db.clone(), clock.clone());
        let passwords = Passwords::new()?;
        Ok(Self { db, clock, environment, passwords, tokens, key_use, epoch, known, widgets, vault })
    }

    /// Keeps what is remembered in step with the record, until the server stops.
    pub async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let (mut every, mut tell) = (tokio::time::interval(EPOCH_EVERY), tokio::time::interval(TELL_EVERY));
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                _ = tell.tick() => {
                    self.passwords.tell_of_refusals();
                    continue;
                }
                _ = every.tick() => {}
            }
            if let Err(error) = self.catch_up().await {
                tracing::debug!(%error, "the identity epoch could not be read");
            }
            self.key_use.flush_when_due().await;
        }
        self.passwords.tell_of_refusals();
        self.key_use.flush().await;
    }

    /// Looks at the epoch now. Whoever changes something calls it, so that this host sees it at once.
    pub async fn catch_up(&self) -> Result<(), Error> {
        let epoch = self.db.system().identity_epoch().await?;
        if self.epoch.load(Relaxed) < epoch {
            // First, so that keys that could not be read are read with the next look.
            self.tokens.reload(&self.db).await?;
            // It never goes back: of two looks at once, the slower one may bring the older number.
            self.epoch.fetch_max(epoch, Relaxed);
        }
        Ok(())
    }

    /// The keys that verify our tokens.
    pub fn public_keys(&self) -> Vec<Jwk> {
        self.tokens.public_keys()
    }

    /// Signs with a new key from now on.
    pub async fn rotate_signing_key(&self) -> Result<String, Error> {
        let kid = self.tokens.rotate(&self.db).await?;
        self.catch_up().await?;
        Ok(kid)
    }

    /// Which kind of keys this server makes and takes.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// The caller behind a bearer credential: an access token or an API key.
    pub async fn authenticate(&self, bearer: &str) -> Result<Arc<Principal>, Error> {
        if Kind::of(bearer).is_some() {
            let hash = keys::parse(bearer, Kind::Server, self.environment)?;
            let principal = self.known(Credential::Key(hash)).await?;
            let principal =
                principal.ok_or_else(|| Error::InvalidKey("the API key is unknown, revoked or expired".to_owned()))?;
            self.key_use.count_request(&principal);
            return Ok(principal);
        }
        let verified = self.tokens.verify(bearer)?;
        self.known(Credential::Session(verified.session, verified.user)).await?.ok_or(Error::InvalidToken)
    }

    fn epoch(&self) -> i64 {
        self.epoch.load(Relaxed)
    }

    async fn known(&self, credential: Credential) -> Result<Option<Arc<Principal>>, Error> {
        let epoch = self.epoch();
        let known = match self.known.get(&credential).await {
            Some(known) if known.epoch == epoch => known,
            _ => {
                let (principal, until) = self.load(credential).await?;
                // Under the epoch from before the reading: a change that came between makes it out of date.
                let known = Known { epoch, principal: principal.map(Arc::new), until };
                self.known.insert(credential, known.clone()).await;
                known
            }
        };
        let over = known.until.is_some_and(|until| until <= self.clock.now());
        Ok(known.principal.filter(|_| !over))
    }

    async fn load(&self, credential: Credential) -> Result<(Option<Principal>, Option<Instant>), Error> {
        match credential {
            Credential::Session(session, user) => Ok((self.load_user(session, user).await?, None)),
            Credential::Key(hash) => self.load_key(hash).await,
        }
    }

    async fn load_user(&self, session: SessionId, user: UserId) -> Result<Option<Principal>, Error> {
        let system = self.db.system();
        if system.live_session(session, self.clock.now()).await? != Some(user) {
            return Ok(None);
        }
        let Some(found) = system.find_user(user).await?.filter(|user| user.deactivated_at.is_none()) else {
            return Ok(None);
        };
        let grants = system.workspaces_of(user).await?.into_iter().map(|member| Grant {
            workspace_id: member.workspace_id,
            power: Power::Role(member.role),
            audience: member.audience,
            archived: member.archived,
        });
        Ok(Some(Principal {
            actor: Actor::User { id: user, session },
            instance_admin: found.instance_admin,
            grants: grants.collect(),
            limits: KeyLimits::default(),
            visitor_limits: KeyLimits::default(),
        }))
    }

    async fn load_key(&self, hash: Sha256Hash) -> Result<(Option<Principal>, Option<Instant>), Error> {
        let found = self.db.system().find_api_key(hash).await?;
        let stands = |key: &ApiKey| key.revoked_at.is_none() && key.widget.is_none();
        let Some((key, archived)) = found.filter(|(key, _)| stands(key)) else { return Ok((None, None)) };
        let power = Power::Scopes(key.scopes);
        let grant = Grant { workspace_id: key.workspace_id, power, audience: key.audience, archived };
        let (actor, limits) = (Actor::Key(key.id), key.limits);
        let visitor_limits = KeyLimits::default();
        let principal = Principal { actor, instance_admin: false, grants: vec![grant], limits, visitor_limits };
        Ok((Some(principal), key.expires_at))
    }

    /// Makes somebody the owner of a workspace that was just made.
    pub async fn found(&self, user: UserId, workspace: tributary_core::WorkspaceId) -> Result<(), Error> {
        let tenant = self.db.system().tenant(workspace);
        tenant.set_member(user, Role::Owner, &Audience::everything(), self.clock.now()).await?;
        self.catch_up().await
    }
}
