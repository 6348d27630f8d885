//! Connectors that are Extism modules: `describe`, `check` and `pull` as exports, JSON in and out; `upgrade_config`, `upgrade_state` and
//! `browse` when they are there.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use tributary_core::contract::{BrowseRequest, CheckItem, Choices, Descriptor, Failure, Page, PullRequest};
use wasmtime::Module;

use super::{module::ExtismModule, wire};
use crate::{
    convert, gate,
    plugin::{Connector, cannot_browse},
    services::HostServices,
};

/// What a connector exports, each `() -> i32`.
pub(crate) const CONTRACT: [&str; 3] = ["describe", "check", "pull"];
/// The whole configuration, for `config_get`.
const WHOLE: &str = "config";

/// An installed connector. Every call gets an instance of its own.
#[derive(Clone)]
pub(crate) struct ExtismConnector {
    module: ExtismModule,
    upgrades_config: bool,
    upgrades_state: bool,
    browses: bool,
}

impl ExtismConnector {
    pub(crate) fn new(module: ExtismModule, code: &Module) -> Self {
        let has = |name| gate::callable(code, name);
        Self {
            upgrades_config: has("upgrade_config"),
            upgrades_state: has("upgrade_state"),
            browses: has("browse"),
            module,
        }
    }

    pub(crate) fn named(&self, name: String) -> Self {
        Self { module: self.module.named(name), ..self.clone() }
    }
}

#[async_trait]
impl Connector for ExtismConnector {
    async fn describe(&self) -> Result<Descriptor, Failure> {
        let limits = self.module.sandbox.options.describe;
        let mut raw: wire::Descriptor = self.module.ask("describe", b"", BTreeMap::new(), limits, None).await?;
        if raw.hosts.is_empty() {
            raw.hosts.clone_from(&self.module.manifest.allowed_hosts);
        }
        convert::descriptor(raw.into())
    }

    async fn check(&self, config: &str, services: &HostServices) -> Result<Vec<CheckItem>, Failure> {
        let limits = self.module.sandbox.options.check;
        let input = json!({"config": parsed(config)}).to_string();
        let raw: Vec<wire::CheckItem> =
            self.module.ask("check", input.as_bytes(), values(config), limits, Some(services.clone())).await?;
        Ok(convert::checks(raw.into_iter().map(Into::into).collect()))
    }

    async fn pull(&self, request: &PullRequest, services: &HostServices) -> Result<Page, Failure> {
        let mut limits = self.module.sandbox.options.pull;
        limits.deadline_ms = limits.deadline_ms.min(request.deadline_ms);
        let seen = if request.full { services.with_hidden_ledger() } else { services.clone() };
        let input = json!({
            "config": parsed(&request.config),
            "cursor": request.cursor,
            "full": request.full,
            "upper_bound": request.upper_bound_ms,
            "max_items": request.max_items,
            "max_bytes": request.max_bytes,
            "deadline_ms": limits.deadline_ms,
        })
        .to_string();
        let raw: wire::Page =
            self.module.ask("pull", input.as_bytes(), values(&request.config), limits, Some(seen)).await?;
        services.meter.add(0);
        convert::page(raw.into(), request, &services.blobs)
    }

    async fn upgrade_config(&self, from_version: &str, config: &str) -> Result<String, Failure> {
        if !self.upgrades_config {
            return Ok(config.to_owned());
        }
        let limits = self.module.sandbox.options.upgrade;
        let input = json!({"from_version": from_version, "config": parsed(config)}).to_string();
        let raw: Value = self.module.ask("upgrade_config", input.as_bytes(), values(config), limits, None).await?;
        convert::config(raw.to_string())
    }

    async fn upgrade_state(
        &self,
        from_version: &str,
        state: BTreeMap<String, String>,
    ) -> Result<Option<BTreeMap<String, String>>, Failure> {
        if !self.upgrades_state {
            return Ok(Some(state));
        }
        let limits = self.module.sandbox.options.upgrade;
        let input = json!({"from_version": from_version, "state": state}).to_string();
        let raw: Option<BTreeMap<String, String>> =
            self.module.ask("upgrade_state", input.as_bytes(), BTreeMap::new(), limits, None).await?;
        raw.map(|state| convert::state(state.into_iter().collect())).transpose()
    }

    async fn browse(&self, request: &BrowseRequest, services: &HostServices) -> Result<Choices, Failure> {
        if !self.browses {
            return Err(cannot_browse());
        }
        let limits = self.module.sandbox.options.browse;
        let BrowseRequest { config, pointer, at, after } = request;
        let input = json!({"config": parsed(config), "pointer": pointer, "at": at, "after": after}).to_string();
        let raw: wire::Choices =
            self.module.ask("browse", input.as_bytes(), values(config), limits, Some(services.clone())).await?;
        convert::choices(raw.into())
    }
}

/// The configuration as a JSON value; it was checked against the connector's schema before.
fn parsed(config: &str) -> Value {
    serde_json::from_str(config).unwrap_or_else(|_| Value::String(config.to_owned()))
}

/// What `config_get` gives: the configuration's fields, texts as they are and everything else as JSON, and all of it.
fn values(config: &str) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    if let Value::Object(fields) = parsed(config) {
        values.extend(fields.into_iter().filter_map(|(name, value)| match value {
            Value::Null => None,
            Value::String(text) => Some((name, text)),
            other => Some((name, other.to_string())),
        }));
    }
    values.entry(WHOLE.to_owned()).or_insert_with(|| config.to_owned());
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_values_by_name() {
        let values = values(r#"{"url": "https://x", "pages": 2, "tags": ["a"], "none": null}"#);
        assert_eq!(values["url"], "https://x");
        assert_eq!((values["pages"].as_str(), values["tags"].as_str()), ("2", r#"["a"]"#));
        assert!(!values.contains_key("none"));
        assert!(values["config"].starts_with(r#"{"url""#));
    }
}
