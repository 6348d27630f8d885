//! Which hosts a connector may reach.

use serde_json::Value;

/// What a descriptor names, with JSON pointers resolved in the configuration.
pub fn resolved(entries: &[String], config: &Value) -> Vec<String> {
    let resolve = |entry: &String| match entry.starts_with('/') {
        true => config.pointer(entry)?.as_str().map(str::to_owned),
        false => Some(entry.clone()),
    };
    entries.iter().filter_map(resolve).collect()
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
pub fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}
