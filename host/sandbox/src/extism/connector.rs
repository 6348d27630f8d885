//! Connectors that are Extism modules: `describe`, `check` and `pull` as exports, JSON in and out.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use tributary_core::contract::{CheckItem, Descriptor, Failure, Page, PullRequest};

use super::{module::ExtismModule, wire};
use crate::{convert, plugin::Connector, services::HostServices};

/// What a connector exports, each `() -> i32`.
pub(crate) const CONTRACT: [&str; 3] = ["describe", "check", "pull"];
/// The whole configuration, for `config_get`.
const WHOLE: &str = "config";

/// An installed connector. Every call gets an instance of its own.
#[derive(Clone)]
pub(crate) struct ExtismConnector(ExtismModule);

impl ExtismConnector {
    pub(crate) fn new(module: ExtismModule) -> Self {
        Self(module)
    }

    pub(crate) fn named(&self, name: String) -> Self {
        Self(self.0.named(name))
    }
}

#[async_trait]
impl Connector for ExtismConnector {
    async fn describe(&self) -> Result<Descriptor, Failure> {
        let limits = self.0.sandbox.options.describe;
        let mut raw: wire::Descriptor = self.0.ask("describe", b"", BTreeMap::new(), limits, None).await?;
        if raw.hosts.is_empty() {
            raw.hosts.clone_from(&self.0.manifest.allowed_hosts);
        }
        convert::descriptor(raw.into())
    }

    async fn check(&self, config: &str, services: &HostServices) -> Result<Vec<CheckItem>, Failure> {
        let limits = self.0.sandbox.options.check;
        let input = json!({"config": parsed(config)}).to_string();
        let raw: Vec<wire::CheckItem> =
            self.0.ask("check", input.as_bytes(), values(config), limits, Some(services.clone())).await?;
        Ok(convert::checks(raw.into_iter().map(Into::into).collect()))
    }

    async fn pull(&self, request: &PullRequest, services: &HostServices) -> Result<Page, Failure> {
        let mut limits = self.0.sandbox.options.pull;
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
        let raw: wire::Page = self.0.ask("pull", input.as_bytes(), values(&request.config), limits, Some(seen)).await?;
        services.meter.add(0);
        convert::page(raw.into(), request, &services.blobs)
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
