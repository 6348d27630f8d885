//! A connector's project: a crate that is built for `wasm32-wasip2`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde_json::Value;

pub(super) const TARGET: &str = "wasm32-wasip2";

/// Builds the component, with cargo's own output on standard error, and says where it is.
pub(super) fn build(folder: &Path) -> anyhow::Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        bail!(
            "{} has no Cargo.toml; name the folder of a connector, or begin one with `tributary plugin new`",
            folder.display()
        );
    }
    if !has_target() {
        bail!("this machine cannot build for {TARGET} yet: run `tributary plugin doctor`");
    }
    let output = cargo()
        .args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .current_dir(folder)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be started; `tributary plugin doctor` says what to do")?;
    if !output.status.success() {
        bail!("the connector does not build; see above");
    }
    let manifest = fs::canonicalize(&manifest)?;
    let built = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| artifact(line, &manifest)).next_back();
    built.context(
        "the crate builds no component: its Cargo.toml needs `crate-type = [\"cdylib\", \"rlib\"]` under [lib]",
    )
}

/// The component among what cargo says it made.
fn artifact(line: &[u8], manifest: &Path) -> Option<PathBuf> {
    let message: Value = serde_json::from_slice(line).ok()?;
    let ours = message["reason"] == "compiler-artifact"
        && fs::canonicalize(message["manifest_path"].as_str()?).ok()? == manifest;
    let files = message["filenames"].as_array().filter(|_| ours)?;
    files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
}

/// The cargo of the caller, who may have chosen one.
pub(super) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

pub(super) fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Whether the toolchain has the target's standard library.
pub(super) fn has_target() -> bool {
    let Ok(output) = rustc().args(["--print", "target-libdir", "--target", TARGET]).output() else { return false };
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let Ok(entries) = fs::read_dir(folder) else { return false };
    output.status.success() && entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}
