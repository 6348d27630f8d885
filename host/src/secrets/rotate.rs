//! A new master key in the place of the old one.

use std::{fs, io::ErrorKind, path::PathBuf, sync::Arc};

use secrecy::ExposeSecret;
use serde_json::json;
use tributary_core::Clock;
use tributary_store::{AuditOutcome, Db, NewAuditEvent, SealedCounts, SealedSecret};

use super::{
    Error, context_of,
    master_key::{MasterKey, beside, sync_directory},
};
use crate::settings::Config;

/// What a rotation did.
#[derive(Debug)]
pub struct Rotated {
    /// The name of the old key.
    pub from: String,
    /// The name of the new one.
    pub to: String,
    /// How many secrets were sealed anew.
    pub secrets: usize,
    /// Where the new key is.
    pub new_file: PathBuf,
    /// Where the old key is now; `None` when it came from the environment.
    pub old_file: Option<PathBuf>,
}

/// How things stand.
#[derive(Debug)]
pub struct Status {
    /// The name of the key in force; `None` before the first start.
    pub in_force: Option<String>,
    /// The name of the key that the settings give, if any.
    pub given: Option<String>,
    /// How much is sealed.
    pub sealed: SealedCounts,
}

/// Reports on the master key and what it seals.
pub async fn status(db: &Db, config: &Config) -> Result<Status, Error> {
    let system = db.system();
    Ok(Status {
        in_force: system.find_master_key().await?,
        given: MasterKey::load(config)?.map(|key| key.id()),
        sealed: system.count_sealed().await?,
    })
}

/// Makes a new master key and seals every secret of the instance anew, in one transaction.
///
/// The new key is on disk before the transaction, and the old one stays beside it after, so that a crash at any point loses no key.
pub async fn rotate(db: &Db, clock: Arc<dyn Clock>, config: &Config) -> Result<Rotated, Error> {
    let system = db.system();
    let in_force = system.find_master_key().await?.ok_or(Error::Internal("nothing is sealed in this database yet"))?;
    let old = MasterKey::load(config)?
        .ok_or_else(|| Error::NoKey { in_force: in_force.clone(), path: config.master_key_file.clone() })?;
    check(&old, in_force, config)?;

    let new = MasterKey::generate()?;
    let path = &config.master_key_file;
    let failed = |reason| Error::Write { path: path.clone(), reason };
    let draft = beside(path, "new");
    // What an earlier rotation left there before it changed anything: the old key is in force.
    let _ = fs::remove_file(&draft);
    new.write(&draft)?;

    let (from, to) = (old.id(), new.id());
    let (old_sealer, new_sealer) = (old.sealer()?, new.sealer()?);
    let reseal = |secret: &SealedSecret| {
        let context = context_of(&secret.name);
        let opened = old_sealer.open(&context, &secret.sealed);
        let opened = opened.ok_or_else(|| Error::Damaged { what: format!("the secret {}", secret.name) })?;
        new_sealer.seal(&context, opened.expose_secret())
    };
    let event = NewAuditEvent {
        at: clock.now(),
        actor: "operator".to_owned(),
        action: "secrets rotate".to_owned(),
        workspace_id: None,
        target: format!("master_key={to}"),
        from_ip: None,
        request_id: None,
        outcome: AuditOutcome::Ok,
        detail: json!({ "from": from }),
    };
    let secrets = system.rotate_master_key(&from, &to, reseal, event).await?;

    if config.master_key.is_some() {
        return Ok(Rotated { from, to, secrets, new_file: draft, old_file: None });
    }
    // A second name for the old key, then the new one in its place: at every moment there is a key file.
    let kept = beside(path, &from);
    match fs::hard_link(path, &kept) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => fs::rename(&draft, path).and_then(|()| sync_directory(path)).map_err(failed)?,
    }
    Ok(Rotated { from, to, secrets, new_file: path.clone(), old_file: Some(kept) })
}

/// Whether a key is the one in force.
pub(super) fn check(key: &MasterKey, in_force: String, config: &Config) -> Result<(), Error> {
    if key.id() == in_force {
        return Ok(());
    }
    // A rotation that was interrupted leaves the new key here.
    let draft = beside(&config.master_key_file, "new");
    let fits = MasterKey::read(&draft).ok().flatten().is_some_and(|key| key.id() == in_force);
    let hint = if fits { format!("; it is in {}", draft.display()) } else { String::new() };
    Err(Error::OtherKey { in_force, given: key.id(), hint })
}

#[cfg(test)]
mod tests {
    use tributary_core::SystemClock;
    use tributary_store::{AuditFilter, testing::databases};

    use super::{
        super::{Vault, tests::config},
        *,
    };

    #[tokio::test]
    async fn after_a_rotation_everything_opens_with_the_new_key_and_nothing_with_the_old() {
        for test in databases().await {
            let directory = tempfile::tempdir().unwrap();
            let config = config(directory.path());
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let before = Vault::open(test.db.clone(), clock.clone(), &config).await.unwrap();
            let secret = before.system_secret("cursor", 32).await.unwrap();
            let rotated = rotate(&test.db, clock.clone(), &config).await.unwrap();
            assert_eq!(rotated.secrets, 1, "{}", test.name);

            let after = Vault::open(test.db.clone(), clock.clone(), &config).await.unwrap();
            assert_eq!(after.system_secret("cursor", 32).await.unwrap().expose_secret(), secret.expose_secret());
            for name in ["cursor", "another"] {
                let error = before.system_secret(name, 32).await.unwrap_err().to_string();
                assert!(error.contains("restart") && error.contains(&rotated.to), "{error}");
            }
            let old = Config { master_key_file: rotated.old_file.unwrap(), ..config.clone() };
            assert!(Vault::open(test.db.clone(), clock, &old).await.is_err(), "{}", test.name);
            let events = test.db.system().list_audit(&AuditFilter::default(), None, 10).await.unwrap().items;
            assert_eq!((events.len(), events[0].action.as_str()), (1, "secrets rotate"));
        }
    }

    #[tokio::test]
    async fn after_a_rotation_cut_short_the_server_says_where_the_key_is() {
        let test = tributary_store::testing::sqlite(Default::default()).await;
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        drop(Vault::open(test.db.clone(), clock.clone(), &config).await.unwrap());
        let rotated = rotate(&test.db, clock.clone(), &config).await.unwrap();
        // As if it had been killed between the commit and the new name.
        let new = beside(&config.master_key_file, "new");
        fs::rename(&config.master_key_file, &new).unwrap();
        fs::rename(rotated.old_file.unwrap(), &config.master_key_file).unwrap();
        let error = Vault::open(test.db.clone(), clock.clone(), &config).await.err().unwrap().to_string();
        assert!(error.ends_with(&format!("it is in {}", new.display())), "{error}");
        assert!(rotate(&test.db, clock, &config).await.is_err());
        assert!(new.exists(), "the key in force is not removed");
    }
}
