//! The connectors and the extractor of this server.
//!
//! They ship inside the binary. They are compiled (or loaded from the cache) while the server already answers;
//! whoever needs one waits for it here.

mod credential_names;
mod grants;

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::OnceCell;
use tributary_core::{Clock, citation::ConnectorRef, contract::Descriptor, hash::Sha256Hash, source::PUSH_CONNECTOR};
use tributary_sandbox::{Connector, Extractor, Sandbox};
use tributary_store::Db;

pub(crate) use credential_names::credential_names;
pub use grants::Grants;

/// The connectors inside the binary.
pub(crate) static SHIPPED: [&[u8]; 3] = [FILE, API, GOOGLE_DOCS];
static FILE: &[u8] = include_bytes!(env!("FILE_COMPONENT"));
static API: &[u8] = include_bytes!(env!("API_COMPONENT"));
static GOOGLE_DOCS: &[u8] = include_bytes!(env!("GOOGLE_DOCS_COMPONENT"));
pub(crate) static EXTRACT: &[u8] = include_bytes!(env!("EXTRACT_COMPONENT"));

/// A connector that is ready to run.
pub struct Ready {
    /// Its exact identity.
    pub reference: ConnectorRef,
    /// What it said of itself.
    pub descriptor: Descriptor,
    /// The thing itself.
    pub connector: Arc<dyn Connector>,
}

/// Everything that is ready.
struct Loaded {
    by_digest: BTreeMap<String, Arc<Ready>>,
    current: BTreeMap<String, Arc<Ready>>,
    extractor: Arc<dyn Extractor>,
    extractor_digest: Sha256Hash,
}

/// The server's plugins.
pub struct Plugins {
    db: Db,
    clock: Arc<dyn Clock>,
    sandbox: Sandbox,
    push: ConnectorRef,
    loaded: OnceCell<Loaded>,
}

impl Plugins {
    /// Nothing is loaded yet; see [`Plugins::load`].
    pub fn new(db: Db, clock: Arc<dyn Clock>, sandbox: Sandbox) -> Self {
        Self { db, clock, sandbox, push: push_connector(), loaded: OnceCell::new() }
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
        let ready = Arc::new(Ready { reference: reference.clone(), descriptor, connector });
        let loaded = Loaded {
            by_digest: BTreeMap::from([(reference.digest, ready.clone())]),
            current: BTreeMap::from([(reference.id, ready)]),
            extractor,
            extractor_digest: Sha256Hash::of("extractor"),
        };
        let sandbox = Sandbox::new(tributary_sandbox::SandboxOptions::default())?;
        Ok(Self { db, clock, sandbox, push: push_connector(), loaded: OnceCell::new_with(Some(loaded)) })
    }

    /// The built-in connector of pushed and uploaded documents; its digest is that of this server build.
    pub fn push(&self) -> &ConnectorRef {
        &self.push
    }

    /// Compiles and registers everything. Called once at the start, so that the first sync need not wait.
    pub async fn load(&self) -> anyhow::Result<()> {
        self.loaded().await.map(|_| ())
    }

    /// The current version of a connector.
    pub async fn current(&self, id: &str) -> anyhow::Result<Option<Arc<Ready>>> {
        Ok(self.loaded().await?.current.get(id).cloned())
    }

    /// The exact connector a source is pinned to.
    pub async fn at_digest(&self, digest: &str) -> anyhow::Result<Option<Arc<Ready>>> {
        Ok(self.loaded().await?.by_digest.get(digest).cloned())
    }

    /// Every current connector, by id.
    pub async fn all(&self) -> anyhow::Result<Vec<Arc<Ready>>> {
        Ok(self.loaded().await?.current.values().cloned().collect())
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
                for bytes in SHIPPED {
                    let ready = Arc::new(self.install(bytes).await?);
                    loaded.by_digest.insert(ready.reference.digest.clone(), ready.clone());
                    loaded.current.insert(ready.reference.id.clone(), ready);
                }
                Ok(loaded)
            })
            .await
    }

    async fn install(&self, bytes: &'static [u8]) -> anyhow::Result<Ready> {
        let artifact = self.sandbox.install(bytes).await?;
        let connector: Arc<dyn Connector> = Arc::new(self.sandbox.connector(artifact.digest)?);
        let descriptor = connector.describe().await?;
        let digest = artifact.digest.to_string();
        let reference =
            self.db.system().put_connector(&digest, &descriptor, bytes.len() as i64, self.clock.now()).await?;
        let moved = self.db.system().adopt_connector(&reference).await?;
        if moved > 0 {
            tracing::info!(
                connector = reference.id,
                sources = moved,
                "sources moved to the connector of this server's version"
            );
        }
        tracing::info!(connector = reference.id, version = reference.version, digest, "connector ready");
        Ok(Ready { reference, descriptor, connector })
    }
}

/// The build is told apart by its version and by everything that ships inside it.
fn push_connector() -> ConnectorRef {
    let version = env!("CARGO_PKG_VERSION");
    let parts = [FILE, API, GOOGLE_DOCS, EXTRACT, version.as_bytes()].map(Sha256Hash::of);
    let digest = Sha256Hash::of(parts.map(|part| part.0).concat());
    ConnectorRef { id: PUSH_CONNECTOR.to_owned(), version: version.to_owned(), digest: digest.to_string() }
}
