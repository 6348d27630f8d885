//! The api connector: REST, GraphQL and feeds as documents, described by configuration alone.
//!
//! A configuration names collections: how to ask for their pages, where the records stand in an answer, and what a record is as a
//! document. `pull` walks the collections one after the other; where it stands is all in its cursor.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod check;
mod config;
mod cursor;
mod decode;
mod document;
mod html;
mod json;
mod money;
mod paging;
mod pull;
mod request;
mod template;
mod text;
mod time;

use tributary_plugin_sdk::{
    Capabilities, CheckItem, Connector, Descriptor, Failure, Host, Page, PullRequest, export_connector,
};

pub use config::Config;

/// The connector.
pub struct ApiConnector;

impl Connector for ApiConnector {
    type Config = Config;

    fn describe() -> Descriptor {
        Descriptor {
            id: "api".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            title: "REST, GraphQL and feeds".into(),
            config_schema: config::SCHEMA.into(),
            hosts: vec!["/base_url".into()],
            roots: Vec::new(),
            capabilities: Capabilities::INCREMENTAL,
        }
    }

    fn check(host: &dyn Host, config: Config) -> Result<Vec<CheckItem>, Failure> {
        check::check(host, &config)
    }

    fn pull(host: &dyn Host, config: Config, request: &PullRequest) -> Result<Page, Failure> {
        pull::pull(host, &config, request)
    }
}

export_connector!(ApiConnector);
