//! Connectors and extractors that are components.

use std::sync::Arc;

use async_trait::async_trait;
use tributary_core::contract::{CheckItem, Descriptor, Extracted, Failure, Page, PullRequest};
use wasmtime::Store;

use crate::{
    bindings::{connector::ConnectorPluginPre, extractor::ExtractorPluginPre},
    blobs::{Blob, BlobLimits, Blobs},
    call::Call,
    convert,
    guest::Guest,
    limits::{CallLimits, Limiter},
    plugin::{Connector, Extractor},
    sandbox::Inner,
    services::HostServices,
};

/// An installed connector. Every call gets an instance of its own.
#[derive(Clone)]
pub struct WasmConnector {
    sandbox: Arc<Inner>,
    pre: ConnectorPluginPre<Guest>,
    name: String,
}

impl WasmConnector {
    pub(crate) fn new(sandbox: Arc<Inner>, pre: ConnectorPluginPre<Guest>, name: String) -> Self {
        Self { sandbox, pre, name }
    }

    async fn begin(&self, limits: CallLimits, services: Option<HostServices>) -> Result<(Call, Store<Guest>), Failure> {
        let guest = Guest::connector(Limiter::new(limits.memory_bytes), services, &self.name);
        let sandbox = &self.sandbox;
        Call::begin(&sandbox.engine, &sandbox.turns, sandbox.max_wait(), &self.name, limits, guest).await
    }
}

#[async_trait]
impl Connector for WasmConnector {
    async fn describe(&self) -> Result<Descriptor, Failure> {
        let (call, mut store) = self.begin(self.sandbox.options.describe, None).await?;
        let raw = call
            .run(async {
                let plugin = self.pre.instantiate_async(&mut store).await?;
                plugin.tributary_connector_connector().call_describe(&mut store).await
            })
            .await?;
        convert::descriptor(raw)
    }

    async fn check(&self, config: &str, services: &HostServices) -> Result<Vec<CheckItem>, Failure> {
        let (call, mut store) = self.begin(self.sandbox.options.check, Some(services.clone())).await?;
        let config = config.to_owned();
        let raw = call
            .run(async {
                let plugin = self.pre.instantiate_async(&mut store).await?;
                plugin.tributary_connector_connector().call_check(&mut store, &config).await
            })
            .await?;
        Ok(convert::checks(raw?))
    }

    async fn pull(&self, request: &PullRequest, services: &HostServices) -> Result<Page, Failure> {
        let mut limits = self.sandbox.options.pull;
        limits.deadline_ms = limits.deadline_ms.min(request.deadline_ms);
        let seen = if request.full { services.with_hidden_ledger() } else { services.clone() };
        let (call, mut store) = self.begin(limits, Some(seen)).await?;
        let asked = convert::request(request, limits.deadline_ms);
        let raw = call
            .run(async {
                let plugin = self.pre.instantiate_async(&mut store).await?;
                plugin.tributary_connector_connector().call_pull(&mut store, &asked).await
            })
            .await?;
        services.meter.add(0);
        convert::page(raw?, request, &services.blobs)
    }
}

/// An installed extractor. Every call gets an instance of its own, with nothing in reach but the blob.
#[derive(Clone)]
pub struct WasmExtractor {
    sandbox: Arc<Inner>,
    pre: ExtractorPluginPre<Guest>,
    name: String,
}

impl WasmExtractor {
    pub(crate) fn new(sandbox: Arc<Inner>, pre: ExtractorPluginPre<Guest>, name: String) -> Self {
        Self { sandbox, pre, name }
    }
}

#[async_trait]
impl Extractor for WasmExtractor {
    async fn extract(&self, blob: &Blob, media_type: &str, name: Option<&str>) -> Result<Extracted, Failure> {
        let limits = self.sandbox.options.extract;
        let only = BlobLimits { max_total_bytes: blob.size_bytes(), max_blob_bytes: blob.size_bytes(), max_blobs: 1 };
        let blobs = Arc::new(Blobs::new(only));
        let input = blobs.add(blob.clone())?;
        let guest = Guest::extractor(Limiter::new(limits.memory_bytes), blobs, &self.name);
        let sandbox = &self.sandbox;
        let (call, mut store) =
            Call::begin(&sandbox.engine, &sandbox.turns, sandbox.max_wait(), &self.name, limits, guest).await?;
        let raw = call
            .run(async {
                let plugin = self.pre.instantiate_async(&mut store).await?;
                plugin.tributary_connector_extractor().call_extract(&mut store, input, media_type, name).await
            })
            .await?;
        convert::extracted(raw?)
    }
}
