//! Programs the tests need and this checkout does not bring: installed from Debian's packages where that is ours to do
//! (root, apt), else one sentence on what to install.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::{
    process::{self, find_program, run, step},
    scratch::is_root,
};

/// Makes sure that a program is there.
pub(crate) fn ensure(name: &str, package: &str, present: impl Fn() -> bool) -> Result<()> {
    if present() {
        return Ok(());
    }
    if find_program("apt-get").is_none() {
        bail!("{name} is missing: install it with your system's package manager");
    }
    if !is_root() {
        bail!("{name} is missing: install it with `sudo apt-get install {package}`");
    }
    step(&format!("installing {name} (Debian package {package})"));
    install(package)?;
    if !present() {
        bail!("{name} is still missing after installing the Debian package {package}: put its programs on the PATH");
    }
    Ok(())
}

fn install(package: &str) -> Result<()> {
    let _quiet = NoServices::new()?;
    let known = Command::new("apt-cache").args(["show", package]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !known.is_ok_and(|status| status.success()) {
        run(&mut apt_get(&["update"]))?;
    }
    if run(&mut apt_get(&["install", package])).is_err() {
        process::check_interrupted()?;
        // The lists name a version the mirror has already replaced.
        run(&mut apt_get(&["update"]))?;
        run(&mut apt_get(&["install", package]))?;
    }
    if Path::new("/run/systemd/system").is_dir() {
        // The package wants its service at every boot; we only want its program.
        let _ = Command::new("systemctl").args(["--quiet", "disable", package]).status();
    }
    Ok(())
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]).args(args);
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null()).stdout(std::io::stderr());
    command
}

/// While this lives, packages do not start their system services.
/// (Debian's `policy-rc.d`: <https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt>, 101 = forbidden.)
struct NoServices {
    ours: bool,
}

impl NoServices {
    const POLICY: &str = "/usr/sbin/policy-rc.d";

    fn new() -> Result<Self> {
        let ours = !Path::new(Self::POLICY).exists();
        if ours {
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o755).open(Self::POLICY)?;
            std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n")?;
        }
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(Self::POLICY);
        }
    }
}
