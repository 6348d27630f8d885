//! Logging in, staying logged in, logging out.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tributary_core::{SessionId, UserId, hash::Sha256Hash};
use tributary_store::{NewSession, Refresh, Refreshed, Session};

use super::{Auth, Error};

/// A refresh token that is not used for so long ends.
pub const IDLE: Duration = Duration::from_secs(14 * 86_400);
/// A session ends after so long, however much it is used.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);
/// For so long the immediate parent is answered with the same successor once more.
const GRACE: Duration = Duration::from_secs(10);

/// Where a log-in comes from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's address.
    pub ip: Option<String>,
    /// What the client calls itself (`User-Agent`).
    pub client: Option<String>,
}

/// What a log-in, or a refresh, gives.
pub struct LoggedIn {
    /// For requests.
    pub access_token: String,
    /// For the next access token; used once.
    pub refresh_token: String,
    /// The log-in.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
}

impl Auth {
    /// [`Error::Busy`] when a log-in would be turned away now: to be asked before anything is counted or read for it.
    pub fn check_room(&self) -> Result<(), Error> {
        self.passwords.check()
    }

    /// Checks a password and begins a session. Takes as long for an unknown address as for a wrong password.
    pub async fn log_in(&self, email: &str, password: &str, origin: Origin) -> Result<LoggedIn, Error> {
        let place = self.passwords.enter()?;
        let found = self.db.system().find_user_by_email(email).await?;
        let (user, hash) = found.map_or((None, None), |(user, hash)| (Some(user), Some(hash)));
        let matches = place.verify(password, hash).await?;
        drop(place);
        match user.filter(|user| matches && user.deactivated_at.is_none()) {
            Some(user) => self.begin_session(user.id, origin).await,
            None => Err(Error::WrongCredentials),
        }
    }

    pub(super) async fn begin_session(&self, user: UserId, origin: Origin) -> Result<LoggedIn, Error> {
        let (now, refresh_token) = (self.clock.now(), random_token()?);
        let new = NewSession {
            user_id: user,
            token_hash: Sha256Hash::of(&refresh_token),
            idle_until: now + IDLE,
            expires_at: now + LONGEST,
            from_ip: origin.ip,
            client: origin.client,
            now,
        };
        let session = self.db.system().create_session(new).await?;
        Ok(LoggedIn { access_token: self.tokens.issue(user, session)?, refresh_token, session, user })
    }

    /// Takes a refresh token for the next pair of tokens.
    pub async fn refresh(&self, refresh_token: &str) -> Result<LoggedIn, Error> {
        let (now, successor) = (self.clock.now(), self.tokens.successor(refresh_token));
        let refresh = Refresh {
            presented: Sha256Hash::of(refresh_token),
            successor: Sha256Hash::of(&successor),
            idle_until: now + IDLE,
            grace_from: now - GRACE,
            now,
        };
        match self.db.system().refresh(refresh).await? {
            Refreshed::Successor(session, user) => {
                let access_token = self.tokens.issue(user, session)?;
                Ok(LoggedIn { access_token, refresh_token: successor, session, user })
            }
            Refreshed::Refused => Err(Error::InvalidRefreshToken),
            Refreshed::Reused(session, user) => {
                tracing::warn!(%user, %session, "a refresh token was used twice; the session is ended");
                self.catch_up().await?;
                Err(Error::RefreshTokenReused)
            }
        }
    }

    /// A user's sessions.
    pub async fn sessions(&self, user: UserId) -> Result<Vec<Session>, Error> {
        Ok(self.db.system().sessions_of(user, self.clock.now()).await?)
    }

    /// Ends one session of a user. False: there is no such session.
    pub async fn end_session(&self, user: UserId, session: SessionId) -> Result<bool, Error> {
        let ended = self.db.system().end_session(user, session, "logged_out", self.clock.now()).await?;
        self.catch_up().await?;
        Ok(ended)
    }

    /// Ends all sessions of a user.
    pub async fn end_sessions(&self, user: UserId) -> Result<u64, Error> {
        let ended = self.db.system().end_sessions(user, None, "logged_out_everywhere", self.clock.now()).await?;
        self.catch_up().await?;
        Ok(ended)
    }
}

/// 256 bits, for a refresh token, an invitation or a reset.
pub(super) fn random_token() -> Result<String, Error> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Error::Internal("no randomness".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tributary_core::SystemClock;
    use tributary_store::testing::databases;

    use super::*;
    use crate::{auth::Environment, secrets::Vault, settings::Settings};

    #[tokio::test]
    async fn with_no_place_left_a_log_in_is_turned_away_without_a_look_at_the_record() {
        for test in databases().await {
            let directory = tempfile::tempdir().unwrap();
            let config =
                Settings { data_dir: Some(directory.path().to_owned()), ..Settings::default() }.resolve().unwrap();
            let clock = Arc::new(SystemClock);
            let vault = Arc::new(Vault::open(test.db.clone(), clock.clone(), &config).await.unwrap());
            let auth = Auth::open(test.db.clone(), clock, Environment::Test, vault).await.unwrap();
            // Whoever reads it now gets an error.
            test.db.close().await.unwrap();
            let mut places: Vec<_> = std::iter::from_fn(|| auth.passwords.enter().ok()).collect();
            let log_in = || auth.log_in("ada@example.com", "guess", Origin::default());
            assert!(matches!(auth.check_room(), Err(Error::Busy)), "{}", test.name);
            assert!(matches!(log_in().await, Err(Error::Busy)), "{}", test.name);
            places.pop();
            auth.check_room().unwrap();
            assert!(matches!(log_in().await, Err(Error::Store(_))), "{}", test.name);
        }
    }
}
