//! The google_docs connector: folders, files and shared drives of Google Drive as documents.
//!
//! The first run takes a token of the change feed, lists what is selected, then drains the feed; later runs read the feed alone.
//! Folders are remembered as containers in the host's ledger, so that a change can be placed without asking Google for its parents,
//! and so that a folder that leaves is noticed: then everything is listed again, and what is not named any more goes.
//! The host signs in; the connector names a credential and never sees a token.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod browse;
mod changes;
mod check;
mod config;
mod content;
mod cursor;
mod error;
mod fingerprint;
mod id;
mod listing;
mod outline;
mod page;
mod places;
mod pull;
mod scope;
mod wire;

use tributary_plugin_sdk::{
    Browse, Capabilities, CheckItem, Choices, Connector, Descriptor, Failure, Host, Page, PullRequest, export_connector,
};

pub use config::{Config, Unsupported};

/// The connector.
pub struct GoogleDocs;

impl Connector for GoogleDocs {
    type Config = Config;

    fn describe() -> Descriptor {
        Descriptor {
            id: "google_docs".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            title: "Google Docs and Drive".into(),
            config_schema: config::SCHEMA.into(),
            hosts: ["www.googleapis.com", "docs.googleapis.com", "/drive_url", "/docs_url"].map(Into::into).to_vec(),
            roots: Vec::new(),
            capabilities: Capabilities::INCREMENTAL | Capabilities::DELETION_FEED | Capabilities::BROWSE,
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

export_connector!(GoogleDocs);
