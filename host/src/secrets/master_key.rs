//! The master key: 32 random bytes in base64, from the environment or a file of this user alone.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretBox, SecretString, zeroize::Zeroizing};
use tributary_core::hash::Sha256Hash;

use super::{
    Error,
    seal::{KEY_LEN, Sealer},
};
use crate::settings::Config;

/// The key that seals every other.
pub struct MasterKey(SecretBox<[u8; KEY_LEN]>);

impl MasterKey {
    /// The key that the settings name: `TRIBUTARY_MASTER_KEY`, else the key file. `None` when there is no such file.
    pub fn load(config: &Config) -> Result<Option<Self>, Error> {
        match &config.master_key {
            Some(text) => Self::parse(text.expose_secret(), "TRIBUTARY_MASTER_KEY").map(Some),
            None => Self::read(&config.master_key_file),
        }
    }

    /// The key in a file; `None` when there is none.
    pub fn read(path: &Path) -> Result<Option<Self>, Error> {
        let failed = |reason| Error::Read { path: path.to_owned(), reason };
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if fs::metadata(path).map_err(failed)?.permissions().mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "other users of this machine may read the master key; set its mode to 0600");
        }
        Self::parse(&text, &path.display().to_string()).map(Some)
    }

    fn parse(text: &str, place: &str) -> Result<Self, Error> {
        let not_a_key = || Error::NotAKey { place: place.to_owned() };
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(text.trim()).map_err(|_| not_a_key())?);
        let bytes: &[u8; KEY_LEN] = bytes.as_slice().try_into().map_err(|_| not_a_key())?;
        Ok(Self(SecretBox::init_with_mut(|key: &mut [u8; KEY_LEN]| key.copy_from_slice(bytes))))
    }

    /// A new one.
    pub fn generate() -> Result<Self, Error> {
        let mut key = SecretBox::new(Box::new([0; KEY_LEN]));
        super::fill(secrecy::ExposeSecretMut::expose_secret_mut(&mut key))?;
        Ok(Self(key))
    }

    /// Writes it to a file that does not exist yet, readable for this user alone. All of it is there or nothing.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |reason| Error::Write { path: path.to_owned(), reason };
        let draft = beside(path, &format!("draft-{}", std::process::id()));
        let text: SecretString = (BASE64_STANDARD.encode(self.0.expose_secret()) + "\n").into();
        let written =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft).and_then(|mut file| {
                file.set_permissions(Permissions::from_mode(0o600))?;
                file.write_all(text.expose_secret().as_bytes())?;
                file.sync_all()
            });
        // Unlike a rename, a link takes no other key's place.
        let linked = written.and_then(|()| fs::hard_link(&draft, path));
        let _ = fs::remove_file(&draft);
        linked.map_err(failed)?;
        sync_directory(path).map_err(failed)
    }

    /// What it is called: 64 bits of its hash, which tell nothing about 256 random bits.
    pub fn id(&self) -> String {
        let named = Zeroizing::new([b"tributary-master-key:", self.0.expose_secret().as_slice()].concat());
        Sha256Hash::of(named.as_slice()).to_string()[..16].to_owned()
    }

    pub(super) fn sealer(&self) -> Result<Sealer, Error> {
        Sealer::new(self.0.expose_secret())
    }
}

/// `master.key` and `new`: `master.key.new`.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Makes new names in a file's directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_key_is_read_back_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        assert!(MasterKey::read(&path).unwrap().is_none());
        let key = MasterKey::generate().unwrap();
        key.write(&path).unwrap();
        assert_eq!(MasterKey::read(&path).unwrap().unwrap().id(), key.id());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(MasterKey::generate().unwrap().write(&path).is_err());
        assert_eq!(MasterKey::read(&path).unwrap().unwrap().id(), key.id());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_way_to_make_one() {
        for text in ["", "hunter2", "AAAA", &"A".repeat(64), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            let error = MasterKey::parse(text, "TRIBUTARY_MASTER_KEY").err().unwrap().to_string();
            assert!(error.contains("base64") && (text.len() < 5 || !error.contains(text)), "{error}");
        }
    }
}
