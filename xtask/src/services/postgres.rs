//! A throw-away PostgreSQL cluster: fast instead of durable, closed to other users of the machine.

use std::{
    fs,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::{free_port, inside, log_tail};
use crate::{
    packages,
    process::{Daemon, check_interrupted, find_program, tethered},
    scratch::{Account, Scratch, random_word},
};

/// SIGINT is PostgreSQL's fast shutdown: it disconnects its clients instead of waiting for them.
const STOP: Signal = Signal::INT;

const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=400",
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
];

pub(super) struct Postgres {
    pub(super) daemon: Daemon,
    pub(super) admin_url: String,
    pub(super) database_url: String,
}

pub(super) fn ensure_installed() -> Result<()> {
    packages::ensure("PostgreSQL", "postgresql", || bin_dir().is_some())
}

pub(super) fn start(home: &Scratch, account: Option<Account>) -> Result<Postgres> {
    let bin = bin_dir().context("PostgreSQL's initdb is not on the PATH")?;
    let data = home.path().join("postgres");
    let password = random_word()?;
    let password_file = home.write("password", &password)?;
    let mut initdb = Command::new(bin.join("initdb"));
    // C: text sorts by bytes, as in SQLite. Passwords travel in the clear, over loopback: hashing them would cost every
    // connection of every test.
    initdb.args(["--username=postgres", "--auth=password", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(password_file);
    finish(inside(&mut initdb, home, account))?;

    let statements = format!(
        "CREATE ROLE tributary LOGIN PASSWORD '{password}'\n\
         CREATE DATABASE tributary OWNER tributary\n"
    );
    let statements = File::open(home.write("setup.sql", &statements)?)?;
    let mut single = Command::new(bin.join("postgres"));
    single.args(["--single", "-c", "fsync=off", "-D"]).arg(&data).arg("postgres").stdin(statements);
    finish(inside(&mut single, home, account))?;

    // Between finding a free port and taking it somebody else may; then the server ends at once.
    let mut attempts = 3;
    loop {
        attempts -= 1;
        match listen(&bin, &data, home, account) {
            Ok((daemon, port)) => {
                return Ok(Postgres {
                    daemon,
                    admin_url: format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres"),
                    database_url: format!("postgres://tributary:{password}@127.0.0.1:{port}/tributary"),
                });
            }
            Err(error) if attempts == 0 => return Err(error),
            Err(_) => check_interrupted()?,
        }
    }
}

fn listen(bin: &Path, data: &Path, home: &Scratch, account: Option<Account>) -> Result<(Daemon, u16)> {
    let port = free_port()?;
    let log = home.path().join("postgres.log");
    let mut command = tethered(&bin.join("postgres"), STOP);
    command.arg("-D").arg(data).args(["-p", &port.to_string()]);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
    let mut daemon = Daemon::start("PostgreSQL", STOP, inside(&mut command, home, account))?;
    // PostgreSQL writes this line's last word once it takes connections.
    let status_file = data.join("postmaster.pid");
    let ready =
        || fs::read_to_string(&status_file).is_ok_and(|text| text.lines().nth(7).is_some_and(|s| s.trim() == "ready"));
    daemon.wait_until(Duration::from_secs(60), ready).with_context(|| log_tail(&log))?;
    Ok((daemon, port))
}

/// Runs a preparation to its end, silently unless it fails.
fn finish(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    check_interrupted()?; // a terminal's Ctrl-C has ended the program as well
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}): {}", command.get_program().display(), output.status, said.trim());
    }
    Ok(())
}

/// Where the server's programs are: beside the `initdb` on the PATH, else the newest version Debian has installed.
fn bin_dir() -> Option<PathBuf> {
    let on_path = find_program("initdb").and_then(|initdb| initdb.canonicalize().ok());
    let debian = || {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path());
        let number = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
        let newest = versions.filter(|path| path.join("bin/initdb").is_file()).max_by_key(number)?;
        Some(newest.join("bin"))
    };
    on_path.and_then(|initdb| initdb.parent().map(Path::to_path_buf)).or_else(debian)
}
