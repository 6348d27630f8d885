//! `cargo xtask plugins`: connectors and the extractor as WebAssembly components, and the target they need.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{run, step},
    project,
};

const TARGET: &str = "wasm32-wasip2";

/// What the server brings along: its build script reads them from `target/wasm32-wasip2/component/`.
pub(crate) const PRODUCT: &[&str] =
    &["tributary-plugin-file", "tributary-plugin-api", "tributary-plugin-google-docs", "tributary-plugin-extract"];

/// What tests run: components that loop, eat memory, trap, recurse, and one that comes in many versions.
pub(crate) const MISBEHAVING: &[&str] = &["tributary-misbehaving", "tributary-probing", "tributary-changeable"];

/// Builds components into `target/wasm32-wasip2/component/`.
pub(crate) fn build(packages: &[&str]) -> Result<()> {
    ensure_target()?;
    step("building the connectors (WebAssembly components)");
    let mut cargo = project::cargo(["build", "--profile", "component", "--target", TARGET]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    run(&mut cargo)
}

/// Gets the standard library for the target when the toolchain does not have it.
fn ensure_target() -> Result<()> {
    if has_std(&target_lib_dir()?) {
        return Ok(());
    }
    step("adding the Rust target wasm32-wasip2 (once)");
    run(Command::new(project::root().join("xtask/ensure-wasm-target.sh")).arg(TARGET))
}

fn target_lib_dir() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(project::root())
        .output()
        .context("cannot start rustc")?;
    if !output.status.success() {
        bail!("this Rust toolchain does not know {TARGET}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let path = String::from_utf8(output.stdout).context("rustc printed a path that is not UTF-8")?;
    Ok(PathBuf::from(path.trim()))
}

fn has_std(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}
