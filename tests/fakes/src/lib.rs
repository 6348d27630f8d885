//! Stand-ins for services that cannot be here, faithful to their public documentation. For tests only.
//!
//! A [`Fake`] is a function from requests to answers with state of its own. Native tests of a connector put it behind a `TestHost`
//! ([`script`]); black-box tests listen with it on the loopback address ([`serve`]). One file for each service.

pub mod bigcommerce;
pub mod feeds;
pub mod github;
pub mod google;
mod script;
mod serve;
pub mod shopify;
pub mod woocommerce;

use std::collections::BTreeMap;

pub use script::{Secret, script};
pub use serve::{Served, serve};
pub use tributary_plugin_sdk::testing::Answer;

/// A request as the service sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// The origin it was sent to, for links in answers: `http://127.0.0.1:1234`.
    pub origin: String,
    /// Decoded by nobody: `/wp-json/wc/v3/products`.
    pub path: String,
    /// Decoded, in order.
    pub query: Vec<(String, String)>,
    /// Names in lower case; the last value of each.
    pub headers: BTreeMap<String, String>,
    /// As sent.
    pub body: Vec<u8>,
}

impl Request {
    /// The first parameter of this name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A service.
pub trait Fake: Send + Sync + 'static {
    /// What it answers.
    fn answer(&self, request: &Request) -> Answer;
}

impl<F: Fn(&Request) -> Answer + Send + Sync + 'static> Fake for F {
    fn answer(&self, request: &Request) -> Answer {
        self(request)
    }
}

/// A moment, in seconds since 1970, as `2026-01-01T00:00:00`.
pub fn iso(at_s: i64) -> String {
    let at = chrono::DateTime::from_timestamp(at_s, 0).unwrap_or_default();
    at.format("%Y-%m-%dT%H:%M:%S").to_string()
}
