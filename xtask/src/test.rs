//! `cargo xtask test`: everything that says whether this checkout is sound, with what it needs brought up and taken
//! down again.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{
    components, packages,
    process::{self, Interrupted, find_program, run, step},
    project,
    services::Services,
};

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) full: bool,
    /// For `cargo nextest run`. With any, only tests run: no formatting, lints or documentation.
    pub(crate) filters: Vec<String>,
}

pub(crate) fn test(options: Options) -> Result<()> {
    // First what can stop us, then the long build.
    packages::ensure("Python 3", "python3", || find_program("python3").is_some())?;
    packages::ensure("Chromium", "chromium", || find_program("chromium").is_some())?;
    packages::ensure("Node.js", "nodejs", || find_program("node").is_some())?;
    if options.full {
        // Extism's connector in AssemblyScript, and the example in JavaScript.
        packages::ensure("npm", "npm", || find_program("npm").is_some())?;
    }
    Services::ensure_installed()?;
    let path = ensure_nextest()?;

    let everything = options.filters.is_empty();
    let mut report = Report::default();
    if everything {
        report.check("formatting", &mut project::cargo(["fmt", "--all", "--check"]))?;
    }
    components::build(&[components::PRODUCT, components::MISBEHAVING].concat())?;
    step("building the server and the tests (the first time takes minutes)");
    // One call with the packages the tests run with, so that every dependency is compiled once.
    run(&mut project::cargo(["build", "--workspace", "--bins", "--tests"]))?;
    if everything {
        let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"];
        report.check("lints", &mut project::cargo(clippy))?;
        report
            .check("examples in the documentation", &mut project::cargo(["test", "--workspace", "--doc", "--quiet"]))?;
    }

    let services = Services::start()?;
    let mut nextest = project::cargo(["nextest", "run", "--profile", profile(options.full)]);
    if !options.filters.iter().any(|arg| arg.starts_with("-p") || arg.starts_with("--package")) {
        nextest.arg("--workspace");
    }
    nextest.args(&options.filters).env("PATH", path);
    nextest.envs(services.test_env()).env("TRIBUTARY_BIN", project::server(false));
    if options.full {
        nextest.env("TRIBUTARY_TEST_FULL", "1");
    }
    report.check("tests", &mut nextest)?;
    drop(services);
    report.verdict()
}

/// The profile in `.config/nextest.toml`.
fn profile(full: bool) -> &'static str {
    match (full, std::env::var("CI").is_ok_and(|ci| ci == "true")) {
        (true, _) => "full",
        (false, true) => "ci",
        (false, false) => "default",
    }
}

/// What has failed so far: one kind of failure does not hide another.
#[derive(Default)]
struct Report {
    failed: Vec<&'static str>,
}

impl Report {
    fn check(&mut self, what: &'static str, command: &mut Command) -> Result<()> {
        step(&format!("checking {what}"));
        match run(command) {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                eprintln!("error: {error:#}");
                self.failed.push(what);
            }
            Ok(()) => {}
        }
        Ok(())
    }

    /// Silent when all is well: the last word is the test runner's summary.
    fn verdict(self) -> Result<()> {
        if self.failed.is_empty() { Ok(()) } else { bail!("failed: {}", self.failed.join(", ")) }
    }
}

/// Makes `cargo nextest` work. Returns the PATH it is on.
fn ensure_nextest() -> Result<std::ffi::OsString> {
    let tools: PathBuf = project::target_dir().join("tools");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::env::split_paths(&path).chain([tools.join("bin")])).context("PATH is damaged")?;
    let present = || {
        let mut version = project::cargo(["nextest", "--version"]);
        version.env("PATH", &path).stdout(Stdio::null()).stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    };
    if !present() {
        step("installing cargo-nextest, which runs the tests, into the target directory (once; some minutes)");
        let mut install = project::cargo(["install", "cargo-nextest", "--locked", "--root"]);
        process::run(install.arg(&tools)).context("install it yourself: https://nexte.st")?;
    }
    Ok(path)
}
