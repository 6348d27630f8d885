//! A private PostgreSQL and Redis on free loopback ports, for tests and for `run --postgres`. Nothing of them outlives
//! this program: processes and files go when [`Services`] is dropped.

mod postgres;
mod redis;

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::Path,
    process::Command,
};

use anyhow::Result;

use crate::{
    process::{self, Daemon},
    scratch::{self, Account, Scratch},
};

/// Both services, running.
pub(crate) struct Services {
    daemons: Vec<Daemon>,
    /// As the superuser: the tests make a database each.
    pub(crate) postgres_admin_url: String,
    /// As the owner of an empty database, like a server in production.
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
    // Last: fields drop in order, and the processes live in it.
    _home: Scratch,
    private: Scratch,
}

impl Services {
    /// Installs what is missing where it may. Quick when nothing is.
    pub(crate) fn ensure_installed() -> Result<()> {
        postgres::ensure_installed()?;
        redis::ensure_installed()
    }

    pub(crate) fn start() -> Result<Self> {
        Self::ensure_installed()?;
        process::step("starting a private PostgreSQL and Redis");
        let account = scratch::unprivileged()?;
        let home = Scratch::new(account)?;
        let redis = redis::start(&home, account)?;
        let postgres = postgres::start(&home, account)?;
        Ok(Self {
            daemons: vec![postgres.daemon, redis.daemon],
            postgres_admin_url: postgres.admin_url,
            database_url: postgres.database_url,
            redis_url: redis.url,
            _home: home,
            private: Scratch::new(None)?,
        })
    }

    /// A directory of ours beside the services', gone with them.
    pub(crate) fn private_dir(&self) -> &Path {
        self.private.path()
    }

    /// What tests read.
    pub(crate) fn test_env(&self) -> [(&'static str, &str); 2] {
        [("TRIBUTARY_TEST_POSTGRES", &self.postgres_admin_url), ("TRIBUTARY_TEST_REDIS", &self.redis_url)]
    }
}

/// `cargo xtask services`: for running single tests by hand.
pub(crate) fn services() -> Result<()> {
    let mut services = Services::start()?;
    for (name, value) in services.test_env() {
        println!("export {name}={value}");
    }
    eprintln!(
        "Paste these lines into the shell that runs the tests. Ctrl-C stops both services and removes their data."
    );
    match process::supervise(&mut services.daemons) {
        Err(error) if error.is::<process::Interrupted>() => Ok(()), // the way this command is meant to end
        other => other,
    }
}

/// A loopback port nobody listens on at this moment.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// What a service that did not start has to say.
fn log_tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().rev().take(20).collect::<Vec<_>>();
    last.into_iter().rev().fold("its log ends:".into(), |tail, line| tail + "\n  " + line)
}

/// Runs the command as the account, in its home.
fn inside<'a>(command: &'a mut Command, home: &Scratch, account: Option<Account>) -> &'a mut Command {
    if let Some(account) = account {
        command.uid(account.uid).gid(account.gid);
    }
    command.current_dir(home.path())
}
