//! Answers to requests, written by a test, and who may be asked.

pub use tributary_scenario::{Answer, may_reach};

use crate::{Descriptor, Failure};

/// The hosts that a connector may reach with this configuration: those its descriptor names, pointers resolved.
///
/// # Errors
/// `config` when the configuration is not JSON.
pub fn hosts_of(descriptor: &Descriptor, config: &str) -> Result<Vec<String>, Failure> {
    let config: serde_json::Value =
        serde_json::from_str(config).map_err(|error| Failure::config("", format!("not JSON: {error}")))?;
    let resolved = descriptor.hosts.iter().filter_map(|host| match host.starts_with('/') {
        true => Some(tributary_scenario::host_of(config.pointer(host)?.as_str()?).to_owned()),
        false => Some(host.clone()),
    });
    Ok(resolved.collect())
}
