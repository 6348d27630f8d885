//! A component from a file, in a sandbox of its own.

use std::{
    env, fs,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::time::timeout;
use tributary_core::{citation::ConnectorRef, contract::Descriptor};
use tributary_sandbox::{Artifact, Connector, Sandbox, SandboxOptions, with_manifest};

use super::{project, show};

/// Compiled components kept for the next command.
const MOST_COMPILED: usize = 32;

/// What takes longer to compile is said to take long.
const PATIENCE: Duration = Duration::from_secs(2);

/// A checked component and the sandbox that runs it.
pub(super) struct Component {
    pub artifact: Artifact,
    pub bytes: Vec<u8>,
    sandbox: Sandbox,
}

impl Component {
    /// Reads, checks and compiles; what was compiled before is found again.
    pub(super) async fn open(path: &Path) -> anyhow::Result<Self> {
        let bytes = read(path)?;
        Self::install(bytes).await.with_context(|| path.display().to_string())
    }

    /// Checks and compiles.
    pub(super) async fn install(bytes: Vec<u8>) -> anyhow::Result<Self> {
        let sandbox = sandbox()?;
        let artifact = install(&sandbox, &bytes).await?;
        Ok(Self { artifact, bytes, sandbox })
    }

    /// Its exact identity.
    pub(super) fn reference(&self, descriptor: &Descriptor) -> ConnectorRef {
        let (id, version) = (descriptor.id.clone(), descriptor.version.clone());
        ConnectorRef { id, version, digest: self.artifact.digest.to_string() }
    }

    /// The connector in it.
    pub(super) fn connector(&self) -> anyhow::Result<(Arc<dyn Connector>, Descriptor)> {
        let Some(descriptor) = self.artifact.descriptor.clone() else {
            bail!("this component is an extractor, not a connector");
        };
        Ok((self.sandbox.connector(self.artifact.digest)?, descriptor))
    }
}

/// Compiling a component that holds its language takes long the first time, and that is said.
async fn install(sandbox: &Sandbox, bytes: &[u8]) -> anyhow::Result<Artifact> {
    let mut installing = pin!(sandbox.install(bytes.to_vec()));
    let installed = match timeout(PATIENCE, installing.as_mut()).await {
        Ok(installed) => installed,
        Err(_) => {
            let size = show::bytes(bytes.len() as u64);
            eprintln!("compiling a component of {size}; it can take a minute, and is kept for the next time");
            installing.await
        }
    };
    Ok(installed?)
}

/// The bytes of a component, or of an Extism module; the module with its manifest inside it, where `NAME.extism.json` stands
/// beside `NAME.wasm`.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let largest = SandboxOptions::default().max_component_bytes;
    let bytes = read_up_to(path, largest as u64)?;
    let beside = path.with_extension("extism.json");
    if !beside.is_file() {
        return Ok(bytes);
    }
    let manifest = read_up_to(&beside, largest as u64)?;
    with_manifest(&bytes, &manifest).with_context(|| beside.display().to_string())
}

/// A whole file of at most so many bytes.
pub(super) fn read_up_to(path: &Path, largest: u64) -> anyhow::Result<Vec<u8>> {
    let size = fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?.len();
    ensure!(size <= largest, "{} has {size} bytes; at most {largest} are taken", path.display());
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// The component that is meant: a file, or what is built from a folder.
pub(super) fn find(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_dir() { project::build(path) } else { Ok(path.to_path_buf()) }
}

/// For one command: a call at a time, and compiled code kept for the next.
pub(super) fn sandbox() -> anyhow::Result<Sandbox> {
    let options = SandboxOptions { cache_dir: cache_dir(), max_calls: 4, pooling: false, ..SandboxOptions::default() };
    Ok(Sandbox::new(options)?)
}

/// Where compiled code is kept between commands; nowhere when there is no home.
fn cache_dir() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    let folder = caches.join("tributary").join("components");
    // A home that cannot be written costs time and nothing else.
    fs::create_dir_all(&folder).ok()?;
    forget_old(&folder);
    Some(folder)
}

/// Every build of a connector leaves compiled code behind.
fn forget_old(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    files.sort_by(|(one, _), (other, _)| other.cmp(one));
    for (_, path) in files.iter().skip(MOST_COMPILED) {
        // Another command may have been quicker.
        let _ = fs::remove_file(path);
    }
}
