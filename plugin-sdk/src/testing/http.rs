//! Answers to requests, written by a test, and who may be asked.

use crate::{Descriptor, Failure};

/// What a scripted source answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// Body, as the connector gets it: decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
    }

    /// 200 with a value as JSON.
    pub fn json(body: &serde_json::Value) -> Self {
        Self::ok(body.to_string()).header("content-type", "application/json")
    }

    /// This status without a body.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok([]) }
    }

    /// The same, with one more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// The same, with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// The hosts that a connector may reach with this configuration: those its descriptor names, pointers resolved.
///
/// # Errors
/// `config` when the configuration is not JSON.
pub fn hosts_of(descriptor: &Descriptor, config: &str) -> Result<Vec<String>, Failure> {
    let config: serde_json::Value =
        serde_json::from_str(config).map_err(|error| Failure::config("", format!("not JSON: {error}")))?;
    let resolved = descriptor.hosts.iter().filter_map(|host| match host.strip_prefix('/') {
        Some(_) => Some(host_of(config.pointer(host)?.as_str()?).to_owned()),
        None => Some(host.clone()),
    });
    Ok(resolved.collect())
}

/// Whether one of these hosts is that of the URL.
pub fn may_reach(hosts: &[String], url: &str) -> bool {
    let asked = host_of(url).to_ascii_lowercase();
    hosts.iter().any(|host| match host.strip_prefix("*.") {
        Some(domain) => asked.strip_suffix(domain).is_some_and(|name| name.ends_with('.')),
        None => host_of(host).eq_ignore_ascii_case(&asked),
    })
}

/// The host name, without port, of a URL or of a host name.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}
