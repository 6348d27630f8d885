//! Where things are in this checkout, and cargo called the way every command here calls it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The checkout's root directory.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory of the checkout")
}

/// Cargo's target directory: the one this very program was built into (`TARGET/debug/xtask`).
pub(crate) fn target_dir() -> PathBuf {
    let executable = std::env::current_exe().ok();
    executable.as_deref().and_then(|path| path.ancestors().nth(2)).map_or_else(|| root().join("target"), PathBuf::from)
}

/// The server built by `cargo build [--release]`.
pub(crate) fn server(release: bool) -> PathBuf {
    target_dir().join(if release { "release" } else { "debug" }).join("tributary")
}

/// `cargo ARGS` in the checkout.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(args).current_dir(root());
    cargo
}
