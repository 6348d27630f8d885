//! A component in the real sandbox, as scenarios and runs by hand see a connector.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tributary_core::{
    contract::{BrowseRequest, Descriptor, Failure, Fault, PullRequest},
    http::{Http, HttpRequest, HttpResponse},
    ledger::Ledger,
};
use tributary_sandbox::{Connector, Files, HostServices, Meter, WasmExtractor};
use tributary_scenario::{self as scenario, Ask, Subject, World};

use super::{convert, extract};
use crate::plugins::credential_names;

/// How a connector's requests are answered.
pub(super) enum Network {
    /// By the scenario.
    Scripted,
    /// By the Internet.
    Real(Arc<dyn Http>),
}

/// Calls block: use it on a thread that may.
pub(super) struct Sandboxed {
    pub connector: Arc<dyn Connector>,
    pub descriptor: Descriptor,
    pub network: Network,
    /// Of longer texts only the beginning is kept.
    pub most_chars: usize,
    /// Reads blobs, when that is wanted.
    pub extractor: Option<WasmExtractor>,
    pub meter: Arc<Meter>,
    /// Ends the call that is under way.
    pub cancel: CancellationToken,
    /// Listings are kept for a run.
    files: std::sync::Mutex<Option<(Arc<World>, Arc<Files>)>>,
    runtime: Handle,
}

impl Sandboxed {
    pub(super) fn new(
        connector: Arc<dyn Connector>,
        descriptor: Descriptor,
        network: Network,
        most_chars: usize,
    ) -> Self {
        Self {
            connector,
            descriptor,
            network,
            most_chars,
            extractor: None,
            meter: Arc::default(),
            cancel: CancellationToken::new(),
            files: std::sync::Mutex::default(),
            runtime: Handle::current(),
        }
    }

    fn services(&self, config: &str, world: &Arc<World>) -> HostServices {
        let ledger: Arc<dyn Ledger> = Arc::new(WorldLedger(world.clone()));
        let http: Arc<dyn Http> = match &self.network {
            Network::Real(http) => http.clone(),
            Network::Scripted => {
                let config = serde_json::from_str(config).unwrap_or_default();
                let credentials = credential_names(&self.descriptor.config_schema, &config);
                Arc::new(ScriptedHttp { world: world.clone(), credentials })
            }
        };
        let files = self.files(world);
        HostServices::new(files, ledger, self.meter.clone(), self.descriptor.id.clone()).with_http(http)
    }

    fn files(&self, world: &Arc<World>) -> Arc<Files> {
        let mut kept = self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((of, files)) = &*kept
            && Arc::ptr_eq(of, world)
        {
            return files.clone();
        }
        let files = Arc::new(Files::new(Arc::new(world.roots.clone()), world.roots.keys().cloned()));
        *kept = Some((world.clone(), files.clone()));
        files
    }

    fn wait<T>(&self, call: impl Future<Output = Result<T, Failure>>) -> Result<T, scenario::Failure> {
        let result = self.runtime.block_on(async {
            tokio::select! {
                result = call => result,
                () = self.cancel.cancelled() => Err(Failure::new(Fault::Cancelled, "interrupted", "it was interrupted")),
            }
        });
        result.map_err(convert::failure)
    }
}

impl Subject for Sandboxed {
    fn about(&self) -> Result<scenario::About, scenario::Failure> {
        let descriptor = &self.descriptor;
        Ok(scenario::About {
            id: descriptor.id.clone(),
            version: descriptor.version.clone(),
            title: descriptor.title.clone(),
            config_schema: descriptor.config_schema.to_string(),
            hosts: descriptor.hosts.clone(),
            roots: descriptor.roots.clone(),
            browses: descriptor.capabilities.browse,
        })
    }

    fn check(&self, config: &str, world: &Arc<World>) -> Result<Vec<scenario::Checked>, scenario::Failure> {
        let services = self.services(config, world);
        let items = self.wait(self.connector.check(config, &services))?;
        Ok(items.into_iter().map(convert::checked).collect())
    }

    fn browse(
        &self,
        config: &str,
        request: &scenario::Browse,
        world: &Arc<World>,
    ) -> Result<scenario::Choices, scenario::Failure> {
        let services = self.services(config, world);
        let scenario::Browse { pointer, at, after } = request.clone();
        let request = BrowseRequest { config: config.to_owned(), pointer, at, after };
        let choices = self.wait(self.connector.browse(&request, &services))?;
        let choice = |choice: tributary_core::contract::Choice| scenario::Choice {
            value: choice.value.map(|value| value.to_string()),
            opens: choice.opens,
        };
        Ok(scenario::Choices { items: choices.items.into_iter().map(choice).collect(), next: choices.next })
    }

    fn pull(&self, request: &scenario::Pull, world: &Arc<World>) -> Result<scenario::Page, scenario::Failure> {
        let services = self.services(&request.config, world);
        let request = PullRequest {
            config: request.config.clone(),
            cursor: request.cursor.clone(),
            full: request.full,
            upper_bound_ms: request.upper_bound_ms,
            max_items: request.max_items,
            max_bytes: request.max_bytes,
            deadline_ms: request.deadline_ms,
        };
        let page = self.wait(async {
            let mut page = self.connector.pull(&request, &services).await?;
            if let Some(extractor) = &self.extractor {
                page.changes = extract::extracted(extractor, page.changes, &services.blobs).await;
            }
            Ok(page)
        })?;
        Ok(scenario::Page {
            changes: convert::changes(page.changes, &services.blobs, self.most_chars).map_err(convert::failure)?,
            cursor: page.cursor,
            next: convert::next(page.next),
            state: services.state.into_writes(),
        })
    }
}

struct WorldLedger(Arc<World>);

#[async_trait]
impl Ledger for WorldLedger {
    async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        Ok(self.0.lookup(&external_ids))
    }

    async fn state(&self) -> Result<BTreeMap<String, String>, Failure> {
        Ok(self.0.state())
    }
}

struct ScriptedHttp {
    world: Arc<World>,
    credentials: std::collections::BTreeSet<String>,
}

#[async_trait]
impl Http for ScriptedHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let credential = request.credential.map(|credential| credential.name);
        if let Some(name) = credential.as_ref().filter(|name| !self.credentials.contains(*name)) {
            let message = format!(
                "the connector asked for the credential {name:?}, which the configuration does not name where the schema says x-credential"
            );
            return Err(Failure::new(Fault::Permission, "credential_not_granted", message));
        }
        let ask = Ask {
            method: request.method.as_str().to_owned(),
            url: request.url.clone(),
            headers: request.headers,
            body: request.body.map(Into::into),
            credential,
            max_bytes: request.max_bytes,
        };
        let answer = self.world.answer(&ask).map_err(convert::host_failure)?;
        let body = stream::once(async move { Ok(Bytes::from(answer.body)) }).boxed();
        Ok(HttpResponse { status: answer.status, url: request.url, headers: answer.headers, body })
    }
}
