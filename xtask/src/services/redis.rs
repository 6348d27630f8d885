//! A throw-away Redis that keeps nothing on disk.

use std::{
    fs::File,
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::process::Signal;

use super::{free_port, inside, log_tail};
use crate::{
    packages,
    process::{Daemon, check_interrupted, find_program, tethered},
    scratch::{Account, Scratch, random_word},
};

pub(super) struct Redis {
    pub(super) daemon: Daemon,
    pub(super) url: String,
}

pub(super) fn ensure_installed() -> Result<()> {
    packages::ensure("Redis", "redis-server", || find_program("redis-server").is_some())
}

pub(super) fn start(home: &Scratch, account: Option<Account>) -> Result<Redis> {
    let mut attempts = 3;
    loop {
        attempts -= 1;
        match listen(home, account) {
            Err(_) if attempts > 0 => check_interrupted()?,
            outcome => return outcome,
        }
    }
}

fn listen(home: &Scratch, account: Option<Account>) -> Result<Redis> {
    let (port, password) = (free_port()?, random_word()?);
    // In a file, since everybody may read a process's arguments.
    let config =
        format!("bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave \"\"\nappendonly no\ndaemonize no\n");
    let config = home.write(&format!("redis-{port}.conf"), &config)?;
    let log = home.path().join("redis.log");
    let program = find_program("redis-server").context("redis-server is not on the PATH")?;
    let mut command = tethered(&program, Signal::TERM);
    command.arg(config).stdin(Stdio::null()).stdout(File::create(&log)?);
    let mut daemon = Daemon::start("Redis", Signal::TERM, inside(&mut command, home, account))?;
    daemon
        .wait_until(Duration::from_secs(30), || answers(port, &password).is_some())
        .with_context(|| log_tail(&log))?;
    Ok(Redis { daemon, url: format!("redis://default:{password}@127.0.0.1:{port}") })
}

fn answers(port: u16, password: &str) -> Option<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(format!("AUTH {password}\r\n").as_bytes()).ok()?;
    let mut answer = [0; 3];
    stream.read_exact(&mut answer).ok()?;
    (&answer == b"+OK").then_some(())
}
