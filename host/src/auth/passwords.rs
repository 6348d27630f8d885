//! Argon2id in a bounded pool: hashing is slow and hungry on purpose, so that only so many run at once and the rest are turned away.

use std::{sync::Arc, thread::available_parallelism, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

use super::Error;

/// OWASP's first recommendation for Argon2id: 19 MiB, two passes, one lane.
/// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
/// Longer ones are refused before they cost anything.
const LONGEST_PASSWORD_BYTES: usize = 1_024;
/// How long a log-in may wait for its turn.
const PATIENCE: Duration = Duration::from_millis(150);

/// The password pool.
pub struct Passwords {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    /// Verified against when the user is unknown, so that both cases take the same time.
    nobody: String,
}

impl Passwords {
    /// A pool with one turn for each processor.
    pub fn new() -> Result<Self, Error> {
        let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(internal)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = argon2.hash_password(b"nobody").map_err(internal)?.to_string();
        let turns = available_parallelism().map_or(2, usize::from);
        Ok(Self { argon2, turns: Arc::new(Semaphore::new(turns)), nobody })
    }

    /// A PHC string for a new password.
    pub async fn hash(&self, password: &str) -> Result<String, Error> {
        let password = password.to_owned();
        self.in_turn(move |argon2| {
            argon2.hash_password(password.as_bytes()).map(|hash| hash.to_string()).map_err(internal)
        })
        .await?
    }

    /// Whether the password is that of `hash`; with no hash, false after the same time.
    pub async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, Error> {
        if password.len() > LONGEST_PASSWORD_BYTES {
            return Ok(false);
        }
        let known = hash.is_some();
        let (password, hash) = (password.to_owned(), hash.unwrap_or_else(|| self.nobody.clone()));
        let matches = self
            .in_turn(move |argon2| {
                PasswordVerifier::<str>::verify_password(argon2, password.as_bytes(), hash.as_str()).is_ok()
            })
            .await?;
        Ok(matches && known)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn =
            timeout(PATIENCE, self.turns.clone().acquire_owned()).await.map_err(|_| Error::Busy)?.map_err(internal)?;
        let argon2 = self.argon2.clone();
        spawn_blocking(move || {
            let _turn = turn;
            work(&argon2)
        })
        .await
        .map_err(internal)
    }
}

fn internal(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("password hashing failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new().unwrap();
        let hash = passwords.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("correct horsf", Some(hash)).await.unwrap());
        assert!(!passwords.verify("nobody", None).await.unwrap(), "the hash for unknown users opens nothing");
    }
}
