//! Installing a connector on a running server: what is checked before anything of it is recorded.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use tributary_core::{SourceId, WorkspaceId, hash::Sha256Hash};
use tributary_sandbox::InstallError;
use tributary_store::{CarriedConfig, InstalledConnector, NewComponent, Usage};

use super::{
    Compiled, Plugins, Refused, SHIPPED,
    carry::{Carried, Carrier},
    manage,
};
use crate::sources::{FieldFault, config_schema};

/// Sources that do not fit, named in one refusal.
pub(super) const MOST_MISFITS: usize = 20;
/// Sources looked at in one read.
const SLICE: i64 = 200;
/// Sources may change while they are looked at; so often it is begun again.
const MOST_TRIES: usize = 5;
/// For a connector to carry all configurations over, when nobody waits for an answer.
const CARRY_PATIENCE: Duration = Duration::from_secs(600);
/// The same, when somebody does.
const CARRY_PATIENCE_ASKED: Duration = Duration::from_secs(20);

/// A component and what is said about it.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// The component.
    pub wasm: Bytes,
    /// Its SHA-256 in hexadecimal, perhaps after `sha256:`, where it was given apart.
    pub digest: Option<String>,
    /// Its signature: the text of a `.minisig` file.
    pub signature: Option<String>,
    /// Hosts to grant with it, beside those granted before.
    pub grant_hosts: Vec<String>,
}

/// A connector that was installed.
#[derive(Clone, Debug)]
pub struct Installed {
    /// As it stands.
    pub connector: InstalledConnector,
    /// Sources that use it from now on, where they used another version before.
    pub moved_sources: u64,
    /// Of these, whose configuration the connector carried over to another one.
    pub carried_configs: u64,
}

/// A source whose configuration does not fit a connector that was to be installed.
#[derive(Clone, Debug)]
pub struct Misfit {
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Which.
    pub source: SourceId,
    /// For people.
    pub name: String,
    /// Where and why.
    pub faults: Vec<FieldFault>,
}

impl Plugins {
    /// Checks a component, compiles it and makes it the current version of its connector; every host uses it with its next run.
    ///
    /// `by` is recorded. When compiling takes longer than `patience`, the answer is [`Refused::StillCompiling`]: it goes on, and the
    /// same component sent again finds it done.
    pub async fn install(
        self: &Arc<Self>,
        package: Package,
        by: &str,
        patience: Option<Duration>,
    ) -> Result<Installed, Refused> {
        let Package { wasm, digest: expected, signature, grant_hosts } = package;
        let digest = Sha256Hash::of(&wasm).to_string();
        if let Some(expected) = expected {
            let expected = expected.trim().trim_start_matches("sha256:").to_ascii_lowercase();
            if expected != digest {
                return Err(Refused::Digest { expected: expected.chars().take(100).collect(), found: digest });
            }
        }
        let signed_by = self.keys.signer(&wasm, signature.as_deref()).map_err(Refused::Signature)?;
        let compiled = self.compiled(&digest, wasm.clone(), patience).await?;
        let descriptor = compiled.artifact.descriptor.as_ref().ok_or(InstallError::Extractor)?;
        let id = &descriptor.id;
        // Before the first start has recorded them as well.
        if SHIPPED.iter().any(|(shipped, _)| shipped == id) {
            return Err(Refused::Shipped(id.clone()));
        }
        let grant_hosts = manage::grantable(descriptor, &grant_hosts)?;
        // Both together are done before the request is over.
        let patience = patience.map_or(CARRY_PATIENCE, |patience| CARRY_PATIENCE_ASKED.min(patience));
        let mut carrier = Carrier {
            connector: compiled.connector.clone(),
            digest: digest.clone(),
            descriptor: descriptor.clone(),
            deadline: Instant::now() + patience,
            before: HashMap::new(),
        };
        for _ in 0..MOST_TRIES {
            let (checked, carried) = self.check_sources(&mut carrier).await?;
            let new = NewComponent {
                digest: digest.clone(),
                bytes: &wasm,
                descriptor,
                grant_hosts: &grant_hosts,
                by: by.to_owned(),
                signed_by: signed_by.clone(),
                checked,
                carried: &carried,
                now: self.clock.now(),
            };
            if let Some((connector, moved_sources)) = self.db.system().install_component(new).await? {
                let version = &connector.connector.version;
                tracing::info!(
                    connector = id,
                    version,
                    digest,
                    sources = moved_sources,
                    carried = carried.len(),
                    by,
                    "a connector was installed"
                );
                return Ok(Installed { connector, moved_sources, carried_configs: carried.len() as u64 });
            }
        }
        Err(Refused::Unsettled(id.clone()))
    }

    /// In a task of its own: whoever asked may go away.
    async fn compiled(
        self: &Arc<Self>,
        digest: &str,
        wasm: Bytes,
        patience: Option<Duration>,
    ) -> Result<Compiled, Refused> {
        let (plugins, key) = (self.clone(), digest.to_owned());
        let task = tokio::spawn(async move {
            let compile = plugins.compile(wasm);
            plugins.installed.try_get_with(key, compile).await
        });
        let joined = match patience {
            Some(patience) => tokio::time::timeout(patience, task).await.map_err(|_| Refused::StillCompiling)?,
            None => task.await,
        };
        let compiled = joined.map_err(|error| Refused::Internal(error.into()))?;
        compiled.map_err(Refused::Component)
    }

    /// Has the connector carry over the configuration of every source of its id, and holds what comes of it against its schema.
    async fn check_sources(&self, carrier: &mut Carrier) -> Result<(Usage, Vec<CarriedConfig>), Refused> {
        let schema = carrier.descriptor.config_schema.clone();
        let id = carrier.descriptor.id.clone();
        let validator = in_time(move || config_schema::validator(&schema)).await?;
        let validator = Arc::new(validator.map_err(|error| Refused::Schema(error.to_string()))?);
        let (mut found, mut fitting, mut misfits, mut after) = (Usage::default(), Vec::new(), Vec::new(), None);
        loop {
            let page = self.db.system().connector_sources(&id, after, SLICE).await?;
            after = page.items.last().map(|(workspace, source)| (*workspace, source.id));
            found.sources += page.items.len() as i64;
            found.revisions += page.items.iter().map(|(_, source)| source.config_revision).sum::<i64>();
            let validator = validator.clone();
            let carried = carrier.carry(self, page.items).await?;
            let looked = in_time(move || carried.into_iter().map(|one| fits(&validator, one)).collect::<Vec<_>>());
            for one in looked.await? {
                match one {
                    Ok(carried) => fitting.extend(carried),
                    Err(misfit) => misfits.push(misfit),
                }
            }
            if misfits.len() >= MOST_MISFITS || !page.more {
                break;
            }
        }
        misfits.truncate(MOST_MISFITS);
        if misfits.is_empty() {
            Ok((found, fitting))
        } else {
            Err(Refused::Misfits { id, version: carrier.descriptor.version.clone(), misfits })
        }
    }
}

/// The source's other configuration, when it has one and it fits.
fn fits(validator: &jsonschema::Validator, carried: Carried) -> Result<Option<CarriedConfig>, Misfit> {
    let Carried { workspace, source, config } = carried;
    let (config, faults) = match config {
        Ok(config) => {
            let faults = config_schema::faults_by(validator, config.as_ref().unwrap_or(&source.config));
            (config, faults)
        }
        Err(fault) => (None, vec![fault]),
    };
    if !faults.is_empty() {
        return Err(Misfit { workspace, source: source.id, name: source.name, faults });
    }
    Ok(config.map(|config| CarriedConfig { workspace, source: source.id, config }))
}

/// What a stranger's schema makes of configurations, unless it takes too long.
async fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
    let done = config_schema::in_time(work).await?;
    done.ok_or_else(|| Refused::Schema("its configuration schema takes too long to check".to_owned()))
}

impl From<InstallError> for Refused {
    fn from(error: InstallError) -> Self {
        Self::Component(Arc::new(error))
    }
}
