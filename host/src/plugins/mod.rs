//! The connectors and the extractor of this server.
//!
//! Some components ship inside the binary. They are compiled (or loaded from the cache) while the server already answers;
//! whoever needs one waits for it here. Others an administrator installs while the server runs: what is installed is asked of the
//! record each time, so that every host knows of it at once, and a component is fetched and compiled where it is first needed.

mod carry;
mod credential_names;
mod grants;
mod install;
mod manage;
mod signatures;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use moka::future::Cache;
use tokio::sync::OnceCell;
use tributary_core::{
    Clock, Instant, citation::ConnectorRef, contract::Descriptor, hash::Sha256Hash, source::PUSH_CONNECTOR,
};
use tributary_sandbox::{Artifact, Connector, Extractor, InstallError, Sandbox, SandboxOptions};
use tributary_store::{Db, InstalledConnector, quarantine_advice};

use crate::settings::Config;

pub(crate) use credential_names::credential_names;
pub use grants::Grants;
pub use install::{Installed, Misfit, Package};
pub use manage::{Refused, not_granted};
pub use signatures::PluginKeys;

/// The connectors inside the binary, by their ids, which nobody else's connector may have.
pub(crate) static SHIPPED: [(&str, &[u8]); 3] = [("file", FILE), ("api", API), ("google_docs", GOOGLE_DOCS)];
static FILE: &[u8] = include_bytes!(env!("FILE_COMPONENT"));
static API: &[u8] = include_bytes!(env!("API_COMPONENT"));
static GOOGLE_DOCS: &[u8] = include_bytes!(env!("GOOGLE_DOCS_COMPONENT"));
pub(crate) static EXTRACT: &[u8] = include_bytes!(env!("EXTRACT_COMPONENT"));

/// Installed connectors that are kept ready, by the size of their components.
const READY_BYTES: u64 = 256 << 20;
/// One that nobody used for so long is let go; its compiled code stays on disk.
const READY_IDLE: Duration = Duration::from_secs(3_600);

/// A connector that is ready to run.
pub struct Ready {
    /// Its exact identity.
    pub reference: ConnectorRef,
    /// What it said of itself.
    pub descriptor: Descriptor,
    /// The thing itself.
    pub connector: Arc<dyn Connector>,
    /// The hosts it was granted; `None` is what it asks for.
    pub granted_hosts: Option<Vec<String>>,
    /// Why no run may use it, and what to do.
    pub quarantine: Option<String>,
}

/// What compiling, or finding compiled, gave.
#[derive(Clone)]
struct Compiled {
    artifact: Arc<Artifact>,
    connector: Arc<dyn Connector>,
}

/// A connector of this binary.
struct Shipped {
    known: InstalledConnector,
    connector: Arc<dyn Connector>,
}

/// Everything that ships with the server, ready.
struct Loaded {
    by_digest: BTreeMap<String, Arc<Shipped>>,
    current: BTreeMap<String, Arc<Shipped>>,
    extractor: Arc<dyn Extractor>,
    extractor_digest: Sha256Hash,
}

/// The server's plugins.
pub struct Plugins {
    db: Db,
    clock: Arc<dyn Clock>,
    sandbox: Sandbox,
    keys: PluginKeys,
    push: ConnectorRef,
    loaded: OnceCell<Loaded>,
    installed: Cache<String, Compiled>,
}

impl Plugins {
    /// Nothing is loaded yet; see [`Plugins::load`].
    pub fn new(db: Db, clock: Arc<dyn Clock>, sandbox: Sandbox, keys: PluginKeys) -> Self {
        let weigh = |_: &String, one: &Compiled| u32::try_from(one.artifact.size_bytes).unwrap_or(u32::MAX);
        let installed = Cache::builder().max_capacity(READY_BYTES).weigher(weigh).time_to_idle(READY_IDLE).build();
        Self { db, clock, sandbox, keys, push: push_connector(), loaded: OnceCell::new(), installed }
    }

    /// Connectors that a test wrote, by id, and an extractor.
    #[cfg(test)]
    pub(crate) fn scripted(
        db: Db,
        clock: Arc<dyn Clock>,
        connector: (ConnectorRef, Descriptor, Arc<dyn Connector>),
        extractor: Arc<dyn Extractor>,
    ) -> anyhow::Result<Self> {
        let (reference, descriptor, connector) = connector;
        let shipped = Arc::new(Shipped { known: shipped(reference.clone(), descriptor, 0, clock.now()), connector });
        let loaded = Loaded {
            by_digest: BTreeMap::from([(reference.digest, shipped.clone())]),
            current: BTreeMap::from([(reference.id, shipped)]),
            extractor,
            extractor_digest: Sha256Hash::of("extractor"),
        };
        let sandbox = Sandbox::new(tributary_sandbox::SandboxOptions::default())?;
        let plugins = Self::new(db, clock, sandbox, PluginKeys::default());
        Ok(Self { loaded: OnceCell::new_with(Some(loaded)), ..plugins })
    }

    /// The built-in connector of pushed and uploaded documents; its digest is that of this server build.
    pub fn push(&self) -> &ConnectorRef {
        &self.push
    }

    /// Compiles and registers everything that ships with the server. Called once at the start, so that the first sync need not wait.
    pub async fn load(&self) -> anyhow::Result<()> {
        self.loaded().await.map(|_| ())
    }

    /// The current version of a connector.
    pub async fn current(&self, id: &str) -> anyhow::Result<Option<InstalledConnector>> {
        let Some(shipped) = self.loaded().await?.current.get(id) else {
            return Ok(self.db.system().current_connector(id).await?.filter(|known| known.installed_by.is_some()));
        };
        let recorded = self.db.system().find_connector(&shipped.known.connector.digest).await?;
        Ok(Some(shipped.as_recorded(recorded.as_ref())))
    }

    /// The exact connector a source is pinned to. An installed one is compiled where it was not yet, while others go on.
    pub async fn at_digest(&self, digest: &str) -> anyhow::Result<Option<Arc<Ready>>> {
        let loaded = self.loaded().await?;
        let recorded = self.db.system().find_connector(digest).await?;
        let (known, connector) = match loaded.by_digest.get(digest) {
            Some(shipped) => (shipped.as_recorded(recorded.as_ref()), shipped.connector.clone()),
            None => {
                let usable = |known: &InstalledConnector| known.installed_by.is_some() && known.removed_at.is_none();
                let Some(known) = recorded.filter(usable) else { return Ok(None) };
                let compiled = self.installed.try_get_with_by_ref(digest, self.fetch(digest)).await;
                (known, compiled.map_err(|error| anyhow::anyhow!("{error}"))?.connector)
            }
        };
        let quarantine = advice(&known);
        let InstalledConnector { connector: reference, descriptor, granted_hosts, .. } = known;
        Ok(Some(Arc::new(Ready { reference, descriptor, connector, granted_hosts, quarantine })))
    }

    /// Every current connector, by id.
    pub async fn all(&self) -> anyhow::Result<Vec<InstalledConnector>> {
        let loaded = self.loaded().await?;
        let system = self.db.system();
        let digests: Vec<_> = loaded.by_digest.keys().map(String::as_str).collect();
        let recorded = system.find_connectors(&digests).await?;
        let mut all: BTreeMap<String, InstalledConnector> = BTreeMap::new();
        for (id, shipped) in &loaded.current {
            let recorded = recorded.iter().find(|one| one.connector.digest == shipped.known.connector.digest);
            all.insert(id.clone(), shipped.as_recorded(recorded));
        }
        for known in system.list_connectors().await?.into_iter().filter(|known| known.installed_by.is_some()) {
            all.entry(known.connector.id.clone()).or_insert(known);
        }
        Ok(all.into_values().collect())
    }

    /// Why no run may use the connector of this digest, and what to do.
    pub async fn quarantine(&self, digest: &str) -> anyhow::Result<Option<String>> {
        Ok(self.db.system().find_connector(digest).await?.as_ref().and_then(advice))
    }

    /// The same of several at once, by digest; those that runs may use are left out.
    pub async fn quarantines(&self, digests: &[&str]) -> anyhow::Result<BTreeMap<String, String>> {
        let found = self.db.system().find_connectors(digests).await?;
        Ok(found.into_iter().filter_map(|known| Some((known.connector.digest.clone(), advice(&known)?))).collect())
    }

    /// The extractor.
    pub async fn extractor(&self) -> anyhow::Result<Arc<dyn Extractor>> {
        Ok(self.loaded().await?.extractor.clone())
    }

    /// What the ledger's fingerprints rest on: connector, extractor and configuration. A change of any reads everything again.
    pub async fn basis(&self, connector_digest: &str, config_revision: i64) -> anyhow::Result<String> {
        let extractor = self.loaded().await?.extractor_digest.to_string();
        Ok(format!("{connector_digest}:{}:{config_revision}", &extractor[..16]))
    }

    async fn loaded(&self) -> anyhow::Result<&Loaded> {
        self.loaded
            .get_or_try_init(|| async {
                let extractor = self.sandbox.install(EXTRACT).await?;
                let mut loaded = Loaded {
                    by_digest: BTreeMap::new(),
                    current: BTreeMap::new(),
                    extractor: Arc::new(self.sandbox.extractor(extractor.digest)?),
                    extractor_digest: extractor.digest,
                };
                for (id, bytes) in SHIPPED {
                    let shipped = Arc::new(self.register(bytes).await?);
                    let ConnectorRef { id: said, digest, .. } = shipped.known.connector.clone();
                    anyhow::ensure!(said == id, "the connector {id} says that it is {said}");
                    loaded.by_digest.insert(digest, shipped.clone());
                    loaded.current.insert(said, shipped);
                }
                Ok(loaded)
            })
            .await
    }

    /// Readies a connector of this binary and records it as the current one of its id.
    async fn register(&self, bytes: &'static [u8]) -> anyhow::Result<Shipped> {
        let (artifact, connector) = self.sandbox.open_connector(bytes).await?;
        let descriptor = artifact.descriptor.context("a connector has a descriptor")?;
        let (digest, size_bytes, now) = (artifact.digest.to_string(), bytes.len() as i64, self.clock.now());
        let reference = self.db.system().put_connector(&digest, &descriptor, size_bytes, now).await?;
        let moved = self.db.system().adopt_connector(&reference, now).await?;
        if moved > 0 {
            tracing::info!(
                connector = reference.id,
                sources = moved,
                "sources moved to the connector of this server's version"
            );
        }
        tracing::info!(connector = reference.id, version = reference.version, digest, "connector ready");
        Ok(Shipped { known: shipped(reference, descriptor, size_bytes, now), connector })
    }

    /// An installed component out of the record.
    async fn fetch(&self, digest: &str) -> Result<Compiled, InstallError> {
        let found = self.db.system().find_component(digest).await;
        let found =
            found.map_err(|error| InstallError::Host(format!("the record does not give the component: {error}")))?;
        let bytes = found.ok_or_else(|| InstallError::Host(format!("the record holds no component {digest}")))?;
        let compiled = self.compile(bytes.into()).await?;
        if compiled.artifact.digest.to_string() != digest {
            return Err(InstallError::Host(format!("what the record holds as the component {digest} is another one")));
        }
        Ok(compiled)
    }

    async fn compile(&self, wasm: Bytes) -> Result<Compiled, InstallError> {
        let (artifact, connector) = self.sandbox.open_connector(wasm).await?;
        Ok(Compiled { artifact: Arc::new(artifact), connector })
    }
}

impl Shipped {
    /// With what the record says of its quarantine.
    fn as_recorded(&self, recorded: Option<&InstalledConnector>) -> InstalledConnector {
        let quarantine = recorded.and_then(|recorded| recorded.quarantine.clone());
        InstalledConnector { quarantine, ..self.known.clone() }
    }
}

fn shipped(connector: ConnectorRef, descriptor: Descriptor, size_bytes: i64, now: Instant) -> InstalledConnector {
    InstalledConnector {
        connector,
        descriptor,
        size_bytes,
        installed_at: now,
        installed_by: None,
        signed_by: None,
        granted_hosts: None,
        quarantine: None,
        removed_at: None,
    }
}

fn advice(known: &InstalledConnector) -> Option<String> {
    let ConnectorRef { id, version, .. } = &known.connector;
    known.quarantine.as_ref().map(|quarantine| quarantine_advice(id, version, &quarantine.reason))
}

/// The sandbox of a server with these settings; commands beside it share its compiled code.
pub fn sandbox(config: &Config) -> Result<Sandbox, InstallError> {
    let mut options = SandboxOptions { cache_dir: Some(config.component_cache.clone()), ..SandboxOptions::default() };
    options.pull.cpu_ms = config.connector_cpu.as_millis() as u64;
    Sandbox::new(options)
}

/// The build is told apart by its version and by everything that ships inside it.
fn push_connector() -> ConnectorRef {
    let version = env!("CARGO_PKG_VERSION");
    let parts = [FILE, API, GOOGLE_DOCS, EXTRACT, version.as_bytes()].map(Sha256Hash::of);
    let digest = Sha256Hash::of(parts.map(|part| part.0).concat());
    ConnectorRef { id: PUSH_CONNECTOR.to_owned(), version: version.to_owned(), digest: digest.to_string() }
}
