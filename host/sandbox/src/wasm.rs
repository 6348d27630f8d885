//! Connectors and extractors that are components.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tributary_core::{
    contract::{BrowseRequest, CheckItem, Choices, Descriptor, Extracted, Failure, Fault, Page, PullRequest},
    hash::Sha256Hash,
};
use wasmtime::{Store, component::InstancePre};

use crate::{
    bindings::{
        browse::BrowsePluginPre,
        connector::ConnectorPluginPre,
        extractor::{ExtractorPlugin, ExtractorPluginPre},
        upgrade::UpgradePluginPre,
    },
    blobs::Blob,
    convert, gate,
    guest::Guest,
    limits::{CallLimits, Limiter},
    plugin::{Connector, Extractor, ExtractorWorker, cannot_browse},
    sandbox::{Inner, short},
    services::HostServices,
    turn::Turn,
};

/// What a component exports as a connector, type-checked.
#[derive(Clone)]
pub(crate) struct ConnectorExports {
    connector: ConnectorPluginPre<Guest>,
    upgrade: Option<UpgradePluginPre<Guest>>,
    browse: Option<BrowsePluginPre<Guest>>,
}

impl ConnectorExports {
    pub(crate) fn new(pre: InstancePre<Guest>) -> wasmtime::Result<Self> {
        let has = |interface| gate::exports(pre.component(), interface);
        Ok(Self {
            upgrade: has("upgrade").then(|| UpgradePluginPre::new(pre.clone())).transpose()?,
            browse: has("browse").then(|| BrowsePluginPre::new(pre.clone())).transpose()?,
            connector: ConnectorPluginPre::new(pre)?,
        })
    }
}

/// An installed connector. Every call gets an instance of its own.
#[derive(Clone)]
pub struct WasmConnector {
    sandbox: Arc<Inner>,
    exports: ConnectorExports,
    name: String,
}

impl WasmConnector {
    pub(crate) fn new(sandbox: Arc<Inner>, exports: ConnectorExports, name: String) -> Self {
        Self { sandbox, exports, name }
    }

    async fn begin(&self, limits: CallLimits, services: Option<HostServices>) -> Result<(Turn, Store<Guest>), Failure> {
        let guest = Guest::connector(Limiter::new(limits.memory_bytes), services, &self.name);
        let sandbox = &self.sandbox;
        Turn::begin(&sandbox.engine, &sandbox.turns, sandbox.max_wait(), &self.name, limits, guest).await
    }
}

#[async_trait]
impl Connector for WasmConnector {
    async fn describe(&self) -> Result<Descriptor, Failure> {
        let (turn, mut store) = self.begin(self.sandbox.options.describe, None).await?;
        let raw = turn
            .run(async {
                let plugin = self.exports.connector.instantiate_async(&mut store).await?;
                plugin.tributary_connector_connector().call_describe(&mut store).await
            })
            .await?;
        convert::descriptor(raw)
    }

    async fn check(&self, config: &str, services: &HostServices) -> Result<Vec<CheckItem>, Failure> {
        let (turn, mut store) = self.begin(self.sandbox.options.check, Some(services.clone())).await?;
        let config = config.to_owned();
        let raw = turn
            .run(async {
                let plugin = self.exports.connector.instantiate_async(&mut store).await?;
                plugin.tributary_connector_connector().call_check(&mut store, &config).await
            })
            .await?;
        Ok(convert::checks(raw?))
    }

    async fn pull(&self, request: &PullRequest, services: &HostServices) -> Result<Page, Failure> {
        let mut limits = self.sandbox.options.pull;
        limits.deadline_ms = limits.deadline_ms.min(request.deadline_ms);
        let seen = if request.full { services.with_hidden_ledger() } else { services.clone() };
        let (turn, mut store) = self.begin(limits, Some(seen)).await?;
        let asked = convert::request(request, limits.deadline_ms);
        let raw = turn
            .run(async {
                let plugin = self.exports.connector.instantiate_async(&mut store).await?;
                plugin.tributary_connector_connector().call_pull(&mut store, &asked).await
            })
            .await?;
        services.meter.add(0);
        convert::page(raw?, request, &services.blobs)
    }

    async fn upgrade_config(&self, from_version: &str, config: &str) -> Result<String, Failure> {
        let config = config.to_owned();
        let Some(pre) = &self.exports.upgrade else { return Ok(config) };
        let (turn, mut store) = self.begin(self.sandbox.options.upgrade, None).await?;
        let raw = turn
            .run(async {
                let plugin = pre.instantiate_async(&mut store).await?;
                plugin.tributary_connector_upgrade().call_upgrade_config(&mut store, from_version, &config).await
            })
            .await?;
        convert::config(raw?)
    }

    async fn upgrade_state(
        &self,
        from_version: &str,
        state: BTreeMap<String, String>,
    ) -> Result<Option<BTreeMap<String, String>>, Failure> {
        let Some(pre) = &self.exports.upgrade else { return Ok(Some(state)) };
        let (turn, mut store) = self.begin(self.sandbox.options.upgrade, None).await?;
        let entries: Vec<_> = state.into_iter().collect();
        let raw = turn
            .run(async {
                let plugin = pre.instantiate_async(&mut store).await?;
                plugin.tributary_connector_upgrade().call_upgrade_state(&mut store, from_version, &entries).await
            })
            .await?;
        raw?.map(convert::state).transpose()
    }

    async fn browse(&self, request: &BrowseRequest, services: &HostServices) -> Result<Choices, Failure> {
        let Some(pre) = &self.exports.browse else { return Err(cannot_browse()) };
        let (turn, mut store) = self.begin(self.sandbox.options.browse, Some(services.clone())).await?;
        let BrowseRequest { config, pointer, at, after } = request;
        let raw = turn
            .run(async {
                let plugin = pre.instantiate_async(&mut store).await?;
                let browse = plugin.tributary_connector_browse();
                browse.call_browse(&mut store, config, pointer, at.as_deref(), after.as_deref()).await
            })
            .await?;
        convert::choices(raw?)
    }
}

/// An installed extractor.
#[derive(Clone)]
pub struct WasmExtractor {
    sandbox: Arc<Inner>,
    pre: ExtractorPluginPre<Guest>,
    digest: Sha256Hash,
    name: String,
}

impl WasmExtractor {
    pub(crate) fn new(sandbox: Arc<Inner>, pre: ExtractorPluginPre<Guest>, digest: Sha256Hash) -> Self {
        Self { sandbox, pre, digest, name: format!("extractor {}", short(digest)) }
    }

    async fn instance(&self) -> Result<Instance, Failure> {
        let limits = self.sandbox.options.extract;
        let guest = Guest::extractor(Limiter::new(limits.memory_bytes), &self.name);
        let sandbox = &self.sandbox;
        let (turn, mut store) =
            Turn::begin(&sandbox.engine, &sandbox.turns, sandbox.max_wait(), &self.name, limits, guest).await?;
        let plugin = turn.run(self.pre.instantiate_async(&mut store)).await?;
        Ok(Instance { turn, store, plugin, files: 0 })
    }
}

impl Extractor for WasmExtractor {
    fn digest(&self) -> Sha256Hash {
        self.digest
    }

    fn worker(&self) -> Box<dyn ExtractorWorker> {
        Box::new(WasmWorker { extractor: self.clone(), instance: None })
    }
}

/// Files one instance reads at most.
const MAX_FILES: u32 = 256;
/// An instance that has grown by more than this is not kept.
const MAX_KEPT_BYTES: usize = 32 << 20;

/// Keeps its instance from file to file, as starting one costs more than reading a small file (`benches/sandbox`). There is
/// nothing in an instance's reach but the file at hand and its own memory.
struct WasmWorker {
    extractor: WasmExtractor,
    instance: Option<Instance>,
}

struct Instance {
    turn: Turn,
    store: Store<Guest>,
    plugin: ExtractorPlugin,
    files: u32,
}

impl WasmWorker {
    /// The instance is kept only when it answered, and is still small.
    async fn extract_with(
        &mut self,
        mut instance: Instance,
        blob: &Blob,
        media_type: &str,
        name: Option<&str>,
    ) -> Result<Extracted, Failure> {
        let input = instance.store.data_mut().only(blob.clone())?;
        let Instance { turn, store, plugin, files } = &mut instance;
        let raw =
            turn.run(plugin.tributary_connector_extractor().call_extract(&mut *store, input, media_type, name)).await?;
        *files += 1;
        if *files < MAX_FILES && store.data().limiter.used_bytes() <= MAX_KEPT_BYTES {
            self.instance = Some(instance);
        }
        convert::extracted(raw?)
    }
}

#[async_trait]
impl ExtractorWorker for WasmWorker {
    async fn extract(&mut self, blob: &Blob, media_type: &str, name: Option<&str>) -> Result<Extracted, Failure> {
        if let Some(used) = self.instance.take() {
            match self.extract_with(used, blob, media_type, name).await {
                // It may have stumbled over what an earlier file left behind: a fresh instance has the last word.
                Err(failure) if matches!(failure.fault, Fault::Trap | Fault::Memory) => {}
                result => return result,
            }
        }
        let fresh = self.extractor.instance().await?;
        self.extract_with(fresh, blob, media_type, name).await
    }
}
