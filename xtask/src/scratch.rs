//! A private directory that is gone when its owner is, and the secrets that live in it.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::process::geteuid;

/// A directory under the system's temporary one. Only its owner may enter; dropping this removes it.
pub(crate) struct Scratch {
    path: PathBuf,
    account: Option<Account>,
}

/// An account to run a service as.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Scratch {
    /// A fresh directory, owned by the account or else by us.
    pub(crate) fn new(account: Option<Account>) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("tributary-{}", random_word()?));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot create the temporary directory {}", path.display()))?;
        let scratch = Self { path, account };
        scratch.own(&scratch.path)?;
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file only the owner may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        write_private(&path, text)?;
        self.own(&path)?;
        Ok(path)
    }

    fn own(&self, path: &Path) -> io::Result<()> {
        self.account.map_or(Ok(()), |account| chown(path, Some(account.uid), Some(account.gid)))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("warning: cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Writes a file that only we may read. Fails when it is there already.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).with_context(|| display(path))?;
    file.write_all(text.as_bytes()).with_context(|| display(path))
}

fn display(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// A hundred and twenty-eight random bits as hexadecimal: a password, a name nobody can guess.
pub(crate) fn random_word() -> Result<String> {
    let mut bytes = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Whom to be instead of root, which PostgreSQL refuses to run as.
pub(crate) fn unprivileged() -> Result<Option<Account>> {
    if !is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let account = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == "nobody").then_some(())?;
        Some(Account { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    });
    account
        .map(Some)
        .context("PostgreSQL does not run as root and there is no account `nobody`; run this as a plain user")
}
