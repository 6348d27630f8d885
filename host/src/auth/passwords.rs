//! Argon2id in a bounded pool: hashing is slow and hungry on purpose, so that only so many hash at once, few wait, and the rest are
//! turned away before anything is done for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Error;

/// OWASP's first recommendation for Argon2id: 19 MiB, two passes, one lane.
/// <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
/// Longer ones are refused before they cost anything.
const LONGEST_PASSWORD_BYTES: usize = 1_024;
/// More at once wait for the memory and not for processors.
const MOST_TURNS: usize = 16;
/// Places for each turn, the one that hashes included: a hash takes 30 to 60 ms, and nobody shall wait for a quarter of a second.
const PLACES_PER_TURN: usize = 4;
/// How far a hash stands back behind whoever answers requests (`nice`).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// The password pool.
pub struct Passwords {
    argon2: Argon2<'static>,
    /// Those who hash, and those who wait for it.
    places: Arc<Semaphore>,
    /// Those who hash.
    turns: Arc<Semaphore>,
    /// Verified against when the user is unknown, so that both cases take the same time.
    nobody: String,
    refused: AtomicU64,
}

/// A place in the pool, for the passwords of one request.
pub struct Place<'a> {
    pool: &'a Passwords,
    held: Arc<OwnedSemaphorePermit>,
}

impl Passwords {
    /// A pool that leaves one processor to everybody else, where there are two.
    pub fn new() -> Result<Self, Error> {
        let processors = thread::available_parallelism().map_or(2, usize::from);
        Self::with_turns(processors.saturating_sub(1).clamp(1, MOST_TURNS))
    }

    fn with_turns(turns: usize) -> Result<Self, Error> {
        let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(internal)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let nobody = argon2.hash_password(b"nobody").map_err(internal)?.to_string();
        let places = Arc::new(Semaphore::new(turns * PLACES_PER_TURN));
        Ok(Self { argon2, places, turns: Arc::new(Semaphore::new(turns)), nobody, refused: AtomicU64::new(0) })
    }

    /// A place, or [`Error::Busy`] at once. To be asked before anything else is done for whoever logs in.
    pub fn enter(&self) -> Result<Place<'_>, Error> {
        match self.places.clone().try_acquire_owned() {
            Ok(held) => Ok(Place { pool: self, held: Arc::new(held) }),
            Err(_) => Err(self.refuse()),
        }
    }

    /// [`Error::Busy`] when there is no place now.
    pub fn check(&self) -> Result<(), Error> {
        if self.places.available_permits() == 0 { Err(self.refuse()) } else { Ok(()) }
    }

    fn refuse(&self) -> Error {
        self.refused.fetch_add(1, Relaxed);
        Error::Busy
    }

    /// Tells the log how many were turned away since it was told last: a line for each would let strangers fill the disk.
    pub fn tell_of_refusals(&self) {
        let refused = self.refused.swap(0, Relaxed);
        if refused > 0 {
            tracing::warn!(refused, "more log-ins at once than passwords can be checked; they were told to try again");
        }
    }
}

impl Place<'_> {
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
        let (password, hash) = (password.to_owned(), hash.unwrap_or_else(|| self.pool.nobody.clone()));
        let matches = self
            .in_turn(move |argon2| {
                PasswordVerifier::<str>::verify_password(argon2, password.as_bytes(), hash.as_str()).is_ok()
            })
            .await?;
        Ok(matches && known)
    }

    /// Works on a thread of its own, which keeps turn and place to its end, also when nobody waits for it any more.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Argon2<'static>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.pool.turns.clone().acquire_owned().await.map_err(internal)?;
        let (place, argon2, (done, result)) = (self.held.clone(), self.pool.argon2.clone(), oneshot::channel());
        let hash = move || {
            give_way();
            let _ = done.send(work(&argon2));
            drop((turn, place));
        };
        thread::Builder::new().name("password".to_owned()).spawn(hash).map_err(internal)?;
        result.await.map_err(internal)
    }
}

/// Lets the threads that answer requests go first.
fn give_way() {
    // Only Linux knows priorities of threads; elsewhere it would be that of the whole server.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, NICENESS);
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
        let place = passwords.enter().unwrap();
        let hash = place.hash("correct horse").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(place.verify("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!place.verify("correct horsf", Some(hash)).await.unwrap());
        assert!(!place.verify("nobody", None).await.unwrap(), "the hash for unknown users opens nothing");
    }

    #[tokio::test]
    async fn a_full_pool_turns_away_at_once_and_counts_it() {
        let passwords = Passwords::with_turns(1).unwrap();
        let mut places: Vec<_> = (0..PLACES_PER_TURN).map(|_| passwords.enter().unwrap()).collect();
        assert!(matches!(passwords.enter(), Err(Error::Busy)));
        assert!(matches!(passwords.check(), Err(Error::Busy)));
        assert_eq!(passwords.refused.load(Relaxed), 2);
        places.pop();
        passwords.check().unwrap();
        passwords.enter().unwrap();
    }

    #[tokio::test]
    async fn whoever_goes_away_keeps_the_place_until_the_hash_is_done() {
        let passwords = Passwords::with_turns(1).unwrap();
        let others: Vec<_> = (1..PLACES_PER_TURN).map(|_| passwords.enter().unwrap()).collect();
        let (begun, has_begun) = oneshot::channel();
        let (go, may_go) = std::sync::mpsc::channel::<()>();
        let place = passwords.enter().unwrap();
        let impatient = place.in_turn(move |_| {
            begun.send(()).unwrap();
            let _ = may_go.recv();
        });
        tokio::select! {
            _ = impatient => panic!("it waits for us"),
            _ = has_begun => {}
        }
        drop(place);
        assert!(matches!(passwords.enter(), Err(Error::Busy)));
        drop(go);
        // The thread gives turn and place back together.
        let _turn = passwords.turns.acquire().await.unwrap();
        while passwords.enter().is_err() {
            tokio::task::yield_now().await;
        }
        drop(others);
    }
}
