//! The file connector: a folder of files as documents.
//!
//! It walks a root that the operator granted, asks the ledger what is new, and hands new files to the host as blobs for the
//! extractor. Rows of CSV and JSON files become documents of their own, read here, a slice of the file per page.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod browse;
mod check;
mod config;
mod cursor;
mod file;
mod pull;
mod rows;
mod scope;
mod walk;

use tributary_plugin_sdk::{
    Browse, Capabilities, CheckItem, Choices, Connector, Descriptor, Failure, Host, Page, PullRequest, export_connector,
};

pub use config::{Config, CsvConfig, HtmlConfig, JsonConfig, RowsAs};

/// The connector.
pub struct FileConnector;

impl Connector for FileConnector {
    type Config = Config;

    fn describe() -> Descriptor {
        Descriptor {
            id: "file".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            title: "Files in a folder".into(),
            config_schema: config::SCHEMA.into(),
            hosts: Vec::new(),
            roots: vec!["/root".into()],
            capabilities: Capabilities::INCREMENTAL | Capabilities::BROWSE,
        }
    }

    fn check(host: &dyn Host, config: Config) -> Result<Vec<CheckItem>, Failure> {
        check::check(host, &config)
    }

    fn pull(host: &dyn Host, config: Config, request: &PullRequest) -> Result<Page, Failure> {
        pull::pull(host, &config, request)
    }

    fn browse(host: &dyn Host, config: serde_json::Value, request: &Browse) -> Result<Choices, Failure> {
        browse::browse(host, &config, request)
    }
}

export_connector!(FileConnector);
