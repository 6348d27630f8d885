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
    Engine, Module,
    component::{Component, Linker},
};

use crate::{
    bindings::extractor::ExtractorPluginPre,
    cache::{Code, CodeCache},
    engine::engine,
    extism::{self, ExtismConnector, ExtismModule, Manifest},
    gate::{self, InstallError, Kind, Layer},
    guest::{self, Guest},
    limits::SandboxOptions,
    plugin::Connector,
    wasm::{ConnectorExports, WasmConnector, WasmExtractor},
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
    extism: wasmtime::Linker<extism::Guest>,
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
    Connector(ConnectorExports),
    Extism(ExtismConnector),
    Extractor(ExtractorPluginPre<Guest>),
}

impl Sandbox {
    /// Sets up the engine and, when asked for, the cache of compiled code.
    pub fn new(options: SandboxOptions) -> Result<Self, InstallError> {
        let host = |error: wasmtime::Error| InstallError::Host(format!("{error:#}"));
        let engine = engine(&options).map_err(host)?;
        let mut linker = Linker::new(&engine);
        guest::link(&mut linker).map_err(host)?;
        let extism = extism::linker(&engine).map_err(host)?;
        let cache =
            options.cache_dir.as_deref().map(CodeCache::open).transpose().map_err(|error| {
                InstallError::Host(format!("the cache of compiled components cannot be used: {error}"))
            })?;
        Ok(Self(Arc::new(Inner {
            engine,
            turns: Arc::new(Semaphore::new(options.max_calls.max(1) as usize)),
            linker,
            extism,
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
        let layer = gate::inspect(&wasm, self.0.options.max_component_bytes)?;
        let digest = Sha256Hash::of(&wasm);
        if let Some(installed) = self.find(digest) {
            return Ok(installed.artifact);
        }
        let installed = self.prepare(layer, digest, wasm).await?;
        let artifact = installed.artifact.clone();
        self.0.installed.write().unwrap_or_else(|broken| broken.into_inner()).insert(digest, installed);
        Ok(artifact)
    }

    /// Checks and compiles (or finds compiled) a connector without keeping it: it lives as long as somebody holds it.
    pub async fn open_connector(&self, wasm: impl Into<Bytes>) -> Result<(Artifact, Arc<dyn Connector>), InstallError> {
        let wasm = wasm.into();
        let layer = gate::inspect(&wasm, self.0.options.max_component_bytes)?;
        let Installed { artifact, ready } = self.prepare(layer, Sha256Hash::of(&wasm), wasm).await?;
        let connector = self.named(&artifact, ready).ok_or(InstallError::Extractor)?;
        Ok((artifact, connector))
    }

    /// Checks and compiles any Extism module, connector or not, to call its exports one by one.
    pub async fn open_extism(&self, wasm: impl Into<Bytes>) -> Result<ExtismModule, InstallError> {
        let wasm = wasm.into();
        match gate::inspect(&wasm, self.0.options.max_component_bytes)? {
            Layer::Module => Ok(self.module(Sha256Hash::of(&wasm), wasm).await?.1),
            Layer::Component => Err(InstallError::Extism("it is a component".to_owned())),
        }
    }

    async fn prepare(&self, layer: Layer, digest: Sha256Hash, wasm: Bytes) -> Result<Installed, InstallError> {
        match layer {
            Layer::Component => self.prepare_component(digest, wasm).await,
            Layer::Module => self.prepare_module(digest, wasm).await,
        }
    }

    async fn prepare_module(&self, digest: Sha256Hash, wasm: Bytes) -> Result<Installed, InstallError> {
        let size_bytes = wasm.len();
        let (module, callable) = self.module(digest, wasm).await?;
        gate::extism_connector(&module)?;
        let connector = ExtismConnector::new(callable, &module);
        let descriptor = Some(connector.describe().await?);
        let artifact = Artifact { digest, kind: Kind::ExtismConnector, size_bytes, descriptor };
        Ok(Installed { artifact, ready: Ready::Extism(connector) })
    }

    /// Links an Extism module, with the manifest inside it.
    async fn module(&self, digest: Sha256Hash, wasm: Bytes) -> Result<(Module, ExtismModule), InstallError> {
        let module: Module = self.code(digest, wasm.clone()).await?;
        let pre = gate::extism(&self.0.extism, &module)?;
        let name = format!("connector {}", short(digest));
        Ok((module, ExtismModule::new(self.0.clone(), pre, Manifest::of(&wasm)?, name)))
    }

    async fn prepare_component(&self, digest: Sha256Hash, wasm: Bytes) -> Result<Installed, InstallError> {
        let size_bytes = wasm.len();
        let component: Component = self.code(digest, wasm).await?;
        let kind = gate::classify(&component)?;
        let contract = |error: wasmtime::Error| InstallError::Contract(format!("{error:#}"));
        let pre = self.0.linker.instantiate_pre(&component).map_err(contract)?;
        let mut artifact = Artifact { digest, kind, size_bytes, descriptor: None };
        let ready = if kind == Kind::Extractor {
            Ready::Extractor(ExtractorPluginPre::new(pre).map_err(contract)?)
        } else {
            let exports = ConnectorExports::new(pre).map_err(contract)?;
            let unnamed = format!("connector {}", short(digest));
            artifact.descriptor = Some(WasmConnector::new(self.0.clone(), exports.clone(), unnamed).describe().await?);
            Ready::Connector(exports)
        };
        Ok(Installed { artifact, ready })
    }

    /// Compiled code. What is found on disk does not wait for what others compile.
    async fn code<C: Code>(&self, digest: Sha256Hash, wasm: Bytes) -> Result<C, InstallError> {
        let find = || {
            let (engine, cache) = (self.0.engine.clone(), self.0.cache.clone());
            blocking(move || Ok(cache.as_deref().and_then(|cache| cache.find(&engine, digest))))
        };
        if let Some(code) = find().await? {
            return Ok(code);
        }
        let _one = self.0.compiling.acquire().await.expect("the semaphore is never closed");
        if let Some(code) = find().await? {
            return Ok(code);
        }
        let (engine, cache) = (self.0.engine.clone(), self.0.cache.clone());
        blocking(move || compiled(&engine, cache.as_deref(), digest, &wasm)).await
    }

    /// The installed connector `digest`.
    pub fn connector(&self, digest: Sha256Hash) -> Result<Arc<dyn Connector>, InstallError> {
        let found = self.find(digest).and_then(|Installed { artifact, ready }| self.named(&artifact, ready));
        found.ok_or_else(|| InstallError::unknown(Kind::Connector, digest))
    }

    /// The installed extractor `digest`.
    pub fn extractor(&self, digest: Sha256Hash) -> Result<WasmExtractor, InstallError> {
        match self.find(digest) {
            Some(Installed { ready: Ready::Extractor(pre), .. }) => Ok(WasmExtractor::new(self.0.clone(), pre, digest)),
            _ => Err(InstallError::unknown(Kind::Extractor, digest)),
        }
    }

    /// The connector, named as it names itself.
    fn named(&self, artifact: &Artifact, ready: Ready) -> Option<Arc<dyn Connector>> {
        let id =
            artifact.descriptor.as_ref().map_or_else(|| short(artifact.digest), |descriptor| descriptor.id.clone());
        let name = format!("connector \"{id}\"");
        match ready {
            Ready::Connector(exports) => Some(Arc::new(WasmConnector::new(self.0.clone(), exports, name))),
            Ready::Extism(connector) => Some(Arc::new(connector.named(name))),
            Ready::Extractor(_) => None,
        }
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
pub(crate) fn short(digest: Sha256Hash) -> String {
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
fn compiled<C: Code>(
    engine: &Engine,
    cache: Option<&CodeCache>,
    digest: Sha256Hash,
    wasm: &[u8],
) -> Result<C, InstallError> {
    let start = Instant::now();
    tracing::info!(%digest, size_bytes = wasm.len(), "compiling a component; it is kept for the next start");
    let code = C::compile(engine, wasm).map_err(|error| InstallError::Invalid(format!("{error:#}")))?;
    tracing::info!(%digest, ms = start.elapsed().as_millis() as u64, "compiled");
    if let Some(cache) = cache
        && let Err(error) = cache.store(digest, &code)
    {
        tracing::warn!(%digest, %error, "compiled code could not be kept on disk; it will be compiled again at the next start");
    }
    Ok(code)
}
