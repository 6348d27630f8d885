//! Installing components and handing them out as connectors and extractors.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tributary_core::{contract::Descriptor, hash::Sha256Hash};
use wasmtime::{
    Engine,
    component::{Component, Linker},
};

use crate::{
    bindings::{connector::ConnectorPluginPre, extractor::ExtractorPluginPre},
    cache::CodeCache,
    engine::engine,
    gate::{self, InstallError, Kind},
    guest::{self, Guest},
    limits::SandboxOptions,
    plugin::Connector as _,
    wasm::{WasmConnector, WasmExtractor},
};

/// What an installation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// Names this exact component for ever.
    pub digest: Sha256Hash,
    /// What it is for.
    pub kind: Kind,
    /// Its length.
    pub size_bytes: usize,
    /// What a connector says about itself.
    pub descriptor: Option<Descriptor>,
}

/// Runs untrusted components. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) options: SandboxOptions,
    /// Calls that may run now; fewer than the pool has places for.
    pub(crate) turns: Arc<Semaphore>,
    linker: Linker<Guest>,
    cache: Option<Arc<CodeCache>>,
    /// Compiling takes every core already; one at a time.
    compiling: Semaphore,
    installed: RwLock<HashMap<Sha256Hash, Installed>>,
}

#[derive(Clone)]
struct Installed {
    artifact: Artifact,
    ready: Ready,
}

/// Type-checked and linked: all that is left for a call is an instance.
#[derive(Clone)]
enum Ready {
    Connector(ConnectorPluginPre<Guest>),
    Extractor(ExtractorPluginPre<Guest>),
}

impl Sandbox {
    /// Sets up the engine and, when asked for, the cache of compiled code.
    pub fn new(options: SandboxOptions) -> Result<Self, InstallError> {
        let host = |error: wasmtime::Error| InstallError::Host(format!("{error:#}"));
        let engine = engine(&options).map_err(host)?;
        let mut linker = Linker::new(&engine);
        guest::link(&mut linker).map_err(host)?;
        let cache =
            options.cache_dir.as_deref().map(CodeCache::open).transpose().map_err(|error| {
                InstallError::Host(format!("the cache of compiled components cannot be used: {error}"))
            })?;
        Ok(Self(Arc::new(Inner {
            engine,
            turns: Arc::new(Semaphore::new(options.max_calls.max(1) as usize)),
            linker,
            cache: cache.map(Arc::new),
            compiling: Semaphore::new(1),
            installed: RwLock::default(),
            options,
        })))
    }

    /// Checks, compiles (or finds compiled) and keeps a component for the life of this sandbox. Installing it again costs a hash.
    ///
    /// Compiling takes from a fraction of a second to tens of seconds, on blocking threads; it is logged before and after.
    pub async fn install(&self, wasm: impl Into<Bytes>) -> Result<Artifact, InstallError> {
        let wasm = wasm.into();
        gate::inspect(&wasm, self.0.options.max_component_bytes)?;
        let digest = Sha256Hash::of(&wasm);
        if let Some(installed) = self.find(digest) {
            return Ok(installed.artifact);
        }
        let installed = self.prepare(digest, wasm).await?;
        let artifact = installed.artifact.clone();
        self.0.installed.write().unwrap_or_else(|broken| broken.into_inner()).insert(digest, installed);
        Ok(artifact)
    }

    /// Checks and compiles (or finds compiled) a connector without keeping it: it lives as long as somebody holds it.
    pub async fn open_connector(&self, wasm: impl Into<Bytes>) -> Result<(Artifact, WasmConnector), InstallError> {
        let wasm = wasm.into();
        gate::inspect(&wasm, self.0.options.max_component_bytes)?;
        match self.prepare(Sha256Hash::of(&wasm), wasm).await? {
            Installed { artifact, ready: Ready::Connector(pre) } => {
                let connector = self.named(&artifact, pre);
                Ok((artifact, connector))
            }
            Installed { ready: Ready::Extractor(_), .. } => Err(InstallError::Extractor),
        }
    }

    async fn prepare(&self, digest: Sha256Hash, wasm: Bytes) -> Result<Installed, InstallError> {
        let size_bytes = wasm.len();
        let component = self.component(digest, wasm).await?;
        let kind = gate::classify(&component)?;
        let contract = |error: wasmtime::Error| InstallError::Contract(format!("{error:#}"));
        let pre = self.0.linker.instantiate_pre(&component).map_err(contract)?;
        let mut artifact = Artifact { digest, kind, size_bytes, descriptor: None };
        let ready = match kind {
            Kind::Connector => {
                let pre = ConnectorPluginPre::new(pre).map_err(contract)?;
                let unnamed = format!("connector {}", short(digest));
                artifact.descriptor = Some(WasmConnector::new(self.0.clone(), pre.clone(), unnamed).describe().await?);
                Ready::Connector(pre)
            }
            Kind::Extractor => Ready::Extractor(ExtractorPluginPre::new(pre).map_err(contract)?),
        };
        Ok(Installed { artifact, ready })
    }

    /// Compiled code. What is found on disk does not wait for what others compile.
    async fn component(&self, digest: Sha256Hash, wasm: Bytes) -> Result<Component, InstallError> {
        let find = || {
            let (engine, cache) = (self.0.engine.clone(), self.0.cache.clone());
            blocking(move || Ok(cache.as_deref().and_then(|cache| cache.find(&engine, digest))))
        };
        if let Some(component) = find().await? {
            return Ok(component);
        }
        let _one = self.0.compiling.acquire().await.expect("the semaphore is never closed");
        if let Some(component) = find().await? {
            return Ok(component);
        }
        let (engine, cache) = (self.0.engine.clone(), self.0.cache.clone());
        blocking(move || compiled(&engine, cache.as_deref(), digest, &wasm)).await
    }

    /// The installed connector `digest`.
    pub fn connector(&self, digest: Sha256Hash) -> Result<WasmConnector, InstallError> {
        match self.find(digest) {
            Some(Installed { artifact, ready: Ready::Connector(pre) }) => Ok(self.named(&artifact, pre)),
            _ => Err(InstallError::unknown(Kind::Connector, digest)),
        }
    }

    /// The installed extractor `digest`.
    pub fn extractor(&self, digest: Sha256Hash) -> Result<WasmExtractor, InstallError> {
        match self.find(digest) {
            Some(Installed { ready: Ready::Extractor(pre), .. }) => {
                Ok(WasmExtractor::new(self.0.clone(), pre, format!("extractor {}", short(digest))))
            }
            _ => Err(InstallError::unknown(Kind::Extractor, digest)),
        }
    }

    fn named(&self, artifact: &Artifact, pre: ConnectorPluginPre<Guest>) -> WasmConnector {
        let id =
            artifact.descriptor.as_ref().map_or_else(|| short(artifact.digest), |descriptor| descriptor.id.clone());
        WasmConnector::new(self.0.clone(), pre, format!("connector \"{id}\""))
    }

    fn find(&self, digest: Sha256Hash) -> Option<Installed> {
        self.0.installed.read().unwrap_or_else(|broken| broken.into_inner()).get(&digest).cloned()
    }
}

impl Inner {
    pub(crate) fn max_wait(&self) -> Duration {
        Duration::from_millis(self.options.max_wait_ms)
    }
}

/// Enough of a digest to tell components apart in a log.
fn short(digest: Sha256Hash) -> String {
    let mut hex = digest.to_string();
    hex.truncate(12);
    hex
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, InstallError> + Send + 'static,
) -> Result<T, InstallError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| InstallError::Host("compiling ended early; see the log".to_owned()))?
}

/// Blocking: compiles, and keeps what comes of it.
fn compiled(
    engine: &Engine,
    cache: Option<&CodeCache>,
    digest: Sha256Hash,
    wasm: &[u8],
) -> Result<Component, InstallError> {
    let start = Instant::now();
    tracing::info!(%digest, size_bytes = wasm.len(), "compiling a component; it is kept for the next start");
    let component =
        Component::from_binary(engine, wasm).map_err(|error| InstallError::Invalid(format!("{error:#}")))?;
    tracing::info!(%digest, ms = start.elapsed().as_millis() as u64, "compiled");
    if let Some(cache) = cache
        && let Err(error) = cache.store(digest, &component)
    {
        tracing::warn!(%digest, %error, "compiled code could not be kept on disk; it will be compiled again at the next start");
    }
    Ok(component)
}
