//! Secrets at rest: envelope encryption under a master key that is not in the database.
//!
//! The master key seals random secrets in the table `system_secret`; among them is a data key for each workspace, which seals the
//! workspace's credentials. So a new master key ([`rotate()`]) seals a few short rows anew and touches no credential. The database knows
//! the name of the master key in force, and a host that has another does not start.

mod credentials;
mod master_key;
mod rotate;
mod seal;

use std::{path::PathBuf, sync::Arc};

use secrecy::{ExposeSecret, SecretSlice, zeroize::Zeroizing};
use tributary_core::{Clock, WorkspaceId};
use tributary_store::{Db, SealedSecret};

pub use credentials::{CredentialValue, Credentials, InvalidCredential};
pub use master_key::MasterKey;
pub use rotate::{Rotated, Status, rotate, status};
pub use seal::Sealer;

use crate::settings::Config;

/// Why secrets could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key file is there but cannot be read.
    #[error("cannot read the master key file {path}: {reason}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The key file cannot be made.
    #[error("cannot make the master key file {path}: {reason}", path = path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// Something else than a key was given.
    #[error(
        "{place} holds no master key; one is 32 random bytes in base64: `head -c 32 /dev/urandom | base64` makes one"
    )]
    NotAKey {
        /// A file or a variable.
        place: String,
    },
    /// The database is sealed, and this host has no key.
    #[error(
        "the secrets of this database are sealed by the master key {in_force}, which is not on this host: copy the key file of another \
         host or of your backup to {path}, or give it with --master-key-file or TRIBUTARY_MASTER_KEY", path = path.display()
    )]
    NoKey {
        /// The name of the key in force.
        in_force: String,
        /// Where a key was looked for.
        path: PathBuf,
    },
    /// The database is sealed by another key.
    #[error(
        "the secrets of this database are sealed by the master key {in_force}, but this host has the key {given}: give the right one \
         with --master-key-file or TRIBUTARY_MASTER_KEY{hint}"
    )]
    OtherKey {
        /// The name of the key in force.
        in_force: String,
        /// The name of the key of this host.
        given: String,
        /// Where the right one is, when it is known.
        hint: String,
    },
    /// A sealed value does not open.
    #[error(
        "{what} does not open: it was changed in the database or comes from another place; restore it from a backup, or replace it"
    )]
    Damaged {
        /// Which.
        what: String,
    },
    /// The record.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
    /// A defect.
    #[error("{0}")]
    Internal(&'static str),
}

/// Seals and opens what the database keeps secret.
pub struct Vault {
    db: Db,
    clock: Arc<dyn Clock>,
    key_id: String,
    master: Sealer,
}

impl Vault {
    /// With the master key of the settings. On the first start of the first host the key file is made.
    pub async fn open(db: Db, clock: Arc<dyn Clock>, config: &Config) -> Result<Self, Error> {
        let master = match (MasterKey::load(config)?, db.system().find_master_key().await?) {
            (Some(key), _) => key,
            (None, Some(in_force)) => return Err(Error::NoKey { in_force, path: config.master_key_file.clone() }),
            (None, None) => make(config)?,
        };
        let in_force = db.system().claim_master_key(&master.id(), clock.now()).await?;
        rotate::check(&master, in_force, config)?;
        Ok(Self { db, clock, key_id: master.id(), master: master.sealer()? })
    }

    /// A random secret of the whole instance, made by the first host that asks for it: the same on every host and after every restart.
    pub async fn system_secret(&self, name: &str, len: usize) -> Result<SecretSlice<u8>, Error> {
        let context = context_of(name);
        let kept = match self.db.system().find_secret(name).await? {
            Some(kept) => kept,
            None => {
                let mut secret = Zeroizing::new(vec![0; len]);
                fill(&mut secret)?;
                let sealed = self.master.seal(&context, &secret)?;
                let candidate = SealedSecret { name: name.to_owned(), key_id: self.key_id.clone(), sealed };
                self.db.system().keep_secret(candidate, self.clock.now()).await?
            }
        };
        if kept.key_id != self.key_id {
            return Err(tributary_store::Error::OtherMasterKey { in_force: kept.key_id }.into());
        }
        let secret = self.master.open(&context, &kept.sealed).filter(|secret| secret.expose_secret().len() == len);
        secret.ok_or_else(|| Error::Damaged { what: format!("the secret {name}") })
    }

    /// A sealer whose key is the instance's secret `name`.
    pub async fn sealer(&self, name: &str) -> Result<Sealer, Error> {
        Sealer::new(self.system_secret(name, seal::KEY_LEN).await?.expose_secret())
    }

    /// The sealer with a workspace's data key.
    pub async fn workspace(&self, workspace: WorkspaceId) -> Result<Sealer, Error> {
        self.sealer(&format!("workspace/{workspace}")).await
    }
}

/// The context that a secret of the instance is sealed to.
fn context_of(name: &str) -> String {
    format!("system/{name}")
}

/// Makes the key file; of several servers that start at once on one file, one wins.
fn make(config: &Config) -> Result<MasterKey, Error> {
    let key = MasterKey::generate()?;
    match key.write(&config.master_key_file) {
        Ok(()) => {
            tracing::info!(path = %config.master_key_file.display(), key = key.id(), "made the master key; keep a copy of it apart from backups of the database");
            Ok(key)
        }
        Err(error) => MasterKey::load(config)?.ok_or(error),
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| Error::Internal("this machine gives no random numbers"))
}

#[cfg(test)]
mod tests {
    use tributary_core::SystemClock;
    use tributary_store::testing::databases;

    use super::*;
    use crate::settings::Settings;

    pub(super) fn config(directory: &std::path::Path) -> Config {
        Settings { data_dir: Some(directory.to_owned()), ..Settings::default() }.resolve().unwrap()
    }

    async fn open(db: &Db, config: &Config) -> Result<Vault, Error> {
        Vault::open(db.clone(), Arc::new(SystemClock), config).await
    }

    #[tokio::test]
    async fn a_system_secret_is_the_same_on_every_host() {
        for test in databases().await {
            let directory = tempfile::tempdir().unwrap();
            let config = config(directory.path());
            let (first, second) = (open(&test.db, &config).await.unwrap(), open(&test.db, &config).await.unwrap());
            let (a, b) = tokio::join!(first.system_secret("cursor", 24), second.system_secret("cursor", 24));
            let (a, b) = (a.unwrap(), b.unwrap());
            assert_eq!((a.expose_secret(), a.expose_secret().len()), (b.expose_secret(), 24), "{}", test.name);
            let other = first.system_secret("webhook", 24).await.unwrap();
            assert_ne!(a.expose_secret(), other.expose_secret());
            assert!(first.system_secret("cursor", 32).await.is_err(), "another length is a mistake");
        }
    }

    #[tokio::test]
    async fn a_host_without_the_key_of_the_database_does_not_start() {
        for test in databases().await {
            let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let vault = open(&test.db, &config(first.path())).await.unwrap();
            let other = config(second.path());
            let error = open(&test.db, &other).await.err().unwrap().to_string();
            assert!(error.contains(&vault.key_id) && error.contains("TRIBUTARY_MASTER_KEY"), "{error}");
            assert!(!other.master_key_file.exists(), "no key is made that opens nothing");
            MasterKey::generate().unwrap().write(&other.master_key_file).unwrap();
            let error = open(&test.db, &other).await.err().unwrap();
            assert!(matches!(&error, Error::OtherKey { in_force, .. } if *in_force == vault.key_id), "{error}");
            std::fs::copy(first.path().join("master.key"), &other.master_key_file).unwrap();
            assert!(open(&test.db, &other).await.is_ok(), "{}", test.name);
        }
    }

    #[tokio::test]
    async fn a_key_may_come_from_the_environment_or_a_named_file() {
        let test = tributary_store::testing::sqlite(Default::default()).await;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("elsewhere");
        let named = Config { master_key_file: path.clone(), ..config(directory.path()) };
        let vault = open(&test.db, &named).await.unwrap();
        let given = Config {
            master_key: Some(std::fs::read_to_string(&path).unwrap().into()),
            ..config(&directory.path().join("nothing"))
        };
        assert_eq!(open(&test.db, &given).await.unwrap().key_id, vault.key_id);
        assert!(!format!("{given:?}").contains(std::fs::read_to_string(&path).unwrap().trim()), "not in logs");
    }
}
