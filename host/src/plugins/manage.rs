//! What an administrator does with installed connectors: granting hosts, releasing from quarantine, removing.

use std::sync::Arc;

use tributary_core::contract::Descriptor;
use tributary_sandbox::InstallError;
use tributary_store::{InstalledConnector, Removal};
use url::Url;

use super::{Misfit, Plugins, SHIPPED, install::MOST_MISFITS};

/// Hosts granted to one connector, at most.
const MOST_HOSTS: usize = 256;

/// Why a connector was not installed, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not what somebody expected.
    #[error(
        "the component's digest is sha256:{found}, not sha256:{expected}; it is not the one that was meant: get it again from where the digest comes from"
    )]
    Digest {
        /// What was given.
        expected: String,
        /// What it is.
        found: String,
    },
    /// It is not signed as the operator demands.
    #[error("{0}")]
    Signature(String),
    /// It is not a connector of this contract.
    #[error("{0}")]
    Component(Arc<InstallError>),
    /// Its schema is not one.
    #[error("the connector cannot be installed: {0}; report it to its author")]
    Schema(String),
    /// It goes on.
    #[error("the component is still being compiled, which goes on; send it again in a minute, it will be found done")]
    StillCompiling,
    /// Nobody takes the name of what we ship.
    #[error(
        "the connector {0:?} comes with the server, which updates it and grants what it asks for; this cannot be changed here"
    )]
    Shipped(String),
    /// Sources would be left behind.
    #[error(
        "{id} {version} was not installed: {}; change what is named here, or have its author keep the old fields",
        misfit(.misfits.len())
    )]
    Misfits {
        /// The connector.
        id: String,
        /// The version that was to be installed.
        version: String,
        /// The first of them.
        misfits: Vec<Misfit>,
    },
    /// It does not come to an end with them.
    #[error(
        "{id} {version} was not installed: the configurations of its sources could not be carried over to it in time; install it with `tributary plugin install`, which waits longer"
    )]
    CarriedTooLong {
        /// The connector.
        id: String,
        /// The version that was to be installed.
        version: String,
    },
    /// They change faster than they can be looked at.
    #[error("sources of the connector {0} were changed while they were checked; try again")]
    Unsettled(String),
    /// Not a host that could be granted.
    #[error("{0}")]
    Host(String),
    /// There is no such connector.
    #[error("there is no connector {0:?}; `tributary plugin list` and GET /api/v1/connectors show those there are")]
    Unknown(String),
    /// Sources need it.
    #[error("{} the connector {id}; delete them first", uses(*.sources))]
    InUse {
        /// The connector.
        id: String,
        /// How many.
        sources: i64,
    },
    /// Nothing to release.
    #[error("the connector {0} is not in quarantine")]
    NotQuarantined(String),
    /// The record.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
    /// A defect.
    #[error("{0:#}")]
    Internal(#[from] anyhow::Error),
}

/// No more are named than are looked for.
fn misfit(misfits: usize) -> String {
    match misfits {
        1 => "the configuration of 1 source does not fit it".to_owned(),
        n if n < MOST_MISFITS => format!("the configurations of {n} sources do not fit it"),
        n => format!("the configurations of {n} sources or more do not fit it"),
    }
}

fn uses(sources: i64) -> String {
    if sources == 1 { "1 source uses".to_owned() } else { format!("{sources} sources use") }
}

impl Plugins {
    /// An installed connector, as the record has it.
    pub async fn installed(&self, id: &str) -> Result<InstalledConnector, Refused> {
        match self.db.system().current_connector(id).await? {
            Some(known) if known.installed_by.is_some() => Ok(known),
            Some(_) => Err(Refused::Shipped(id.to_owned())),
            None if SHIPPED.iter().any(|(shipped, _)| *shipped == id) => Err(Refused::Shipped(id.to_owned())),
            None => Err(Refused::Unknown(id.chars().take(100).collect())),
        }
    }

    /// Grants an installed connector these hosts, of those it asks for, and no others. Runs that are going keep what they began with.
    pub async fn grant(&self, id: &str, hosts: &[String]) -> Result<InstalledConnector, Refused> {
        let known = self.installed(id).await?;
        let hosts = grantable(&known.descriptor, hosts)?;
        self.db.system().set_granted_hosts(id, &hosts).await?;
        self.installed(id).await
    }

    /// Lets runs use a connector again that is in quarantine, whoever installed it.
    pub async fn release(&self, id: &str) -> Result<InstalledConnector, Refused> {
        let unknown = || Refused::Unknown(id.chars().take(100).collect());
        let system = self.db.system();
        system.current_connector(id).await?.ok_or_else(unknown)?;
        if !system.release_connector(id, self.clock.now()).await? {
            return Err(Refused::NotQuarantined(id.to_owned()));
        }
        system.current_connector(id).await?.ok_or_else(unknown)
    }

    /// Throws an installed connector away that no source uses.
    pub async fn remove(&self, id: &str) -> Result<(), Refused> {
        self.installed(id).await?;
        match self.db.system().remove_connector(id, self.clock.now()).await? {
            Removal::Removed => Ok(()),
            Removal::InUse(sources) => Err(Refused::InUse { id: id.to_owned(), sources }),
            Removal::Unknown => Err(Refused::Unknown(id.to_owned())),
        }
    }
}

/// What a connector asks for and was not granted as a whole.
pub fn not_granted(connector: &InstalledConnector) -> Vec<String> {
    let Some(granted) = &connector.granted_hosts else { return Vec::new() };
    connector.descriptor.hosts.iter().filter(|asked| !granted.contains(asked)).cloned().collect()
}

/// Hosts as they are recorded: each is what the descriptor asks for, or narrower.
pub(super) fn grantable(descriptor: &Descriptor, hosts: &[String]) -> Result<Vec<String>, Refused> {
    if hosts.len() > MOST_HOSTS {
        return Err(Refused::Host(format!("a connector is granted at most {MOST_HOSTS} hosts")));
    }
    let mut granted: Vec<String> = Vec::with_capacity(hosts.len());
    for host in hosts {
        let host = accept(descriptor, host.trim())?;
        if !granted.contains(&host) {
            granted.push(host);
        }
    }
    Ok(granted)
}

fn accept(descriptor: &Descriptor, host: &str) -> Result<String, Refused> {
    let asked = &descriptor.hosts;
    if asked.iter().any(|one| one == host) {
        return Ok(host.to_owned());
    }
    let refused = |why: &str| {
        let asks =
            if asked.is_empty() { "it asks for none".to_owned() } else { format!("it asks for {}", asked.join(", ")) };
        let shown: String = host.chars().filter(|c| !c.is_control()).take(100).collect();
        Err(Refused::Host(format!("{shown:?} cannot be granted to {}: {why}; {asks}", descriptor.id)))
    };
    if host.starts_with('/') {
        return refused("it does not ask for what the configuration says there");
    }
    let (wild, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
    let Some(name) = plain_host(name).filter(|name| !wild || name.contains('.')) else {
        return refused("a host is a name or an address alone, such as api.example.com or *.example.com");
    };
    // Where the configuration names the host, any may turn out to be asked for.
    let covers = |one: &String| match one.strip_prefix("*.") {
        Some(domain) => name.ends_with(&format!(".{}", domain.to_ascii_lowercase())) || (wild && name == domain),
        None => one.starts_with('/') || (!wild && one.eq_ignore_ascii_case(&name)),
    };
    match asked.iter().any(covers) {
        true => Ok(if wild { format!("*.{name}") } else { name }),
        false => refused("it does not ask for this host"),
    }
}

/// A host as URLs spell it, if the text is nothing else.
fn plain_host(text: &str) -> Option<String> {
    if text.is_empty() || text.contains(['/', '@', '?', '#', '\\']) || text.len() > 253 {
        return None;
    }
    let url = Url::parse(&format!("https://{text}")).ok()?;
    let host = url.host_str()?.trim_end_matches('.').to_ascii_lowercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.[]:".contains(c);
    // A port is no part of a grant.
    let ported = url.port().is_some() || (text.contains(':') && !host.starts_with('['));
    (!ported && host.chars().all(plain)).then_some(host)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tributary_core::contract::Capabilities;

    use super::*;

    fn granted(asked: &[&str], host: &str) -> Result<String, String> {
        let descriptor = Descriptor {
            id: "shop".to_owned(),
            version: "1.0.0".to_owned(),
            title: "Shop".to_owned(),
            config_schema: json!({}),
            hosts: asked.iter().map(|host| (*host).to_owned()).collect(),
            roots: vec![],
            capabilities: Capabilities::default(),
        };
        let granted = grantable(&descriptor, &[host.to_owned()]);
        granted.map(|mut hosts| hosts.remove(0)).map_err(|refused| refused.to_string())
    }

    #[test]
    fn what_is_asked_for_or_narrower_can_be_granted() {
        let asked = ["api.example.com", "*.cdn.example.com", "/base_url"];
        assert_eq!(granted(&asked[..2], "api.example.com").unwrap(), "api.example.com");
        assert_eq!(granted(&asked[..2], "API.example.com.").unwrap(), "api.example.com");
        assert_eq!(granted(&asked[..2], "*.cdn.example.com").unwrap(), "*.cdn.example.com");
        assert_eq!(granted(&asked[..2], "eu.cdn.example.com").unwrap(), "eu.cdn.example.com");
        assert_eq!(granted(&asked[..2], "*.eu.cdn.example.com").unwrap(), "*.eu.cdn.example.com");
        assert_eq!(granted(&asked, "/base_url").unwrap(), "/base_url");
        assert_eq!(granted(&asked, "shop.example").unwrap(), "shop.example", "the configuration may name any");
        assert_eq!(granted(&asked, "127.0.0.1").unwrap(), "127.0.0.1");
        assert_eq!(granted(&asked, "[::1]").unwrap(), "[::1]");
    }

    #[test]
    fn what_is_not_asked_for_or_no_host_cannot() {
        let asked = ["api.example.com", "*.cdn.example.com"];
        for host in ["example.com", "*.example.com", "cdn.example.com", "/base_url", "evilcdn.example.com"] {
            let error = granted(&asked, host).unwrap_err();
            assert!(error.contains("it asks for api.example.com, *.cdn.example.com"), "{host}: {error}");
        }
        for host in ["", "*", "*.", "*.com", "https://api.example.com", "api.example.com:8443", "a b", "u@host", "x/y"]
        {
            let error = granted(&["/base_url"], host).unwrap_err();
            assert!(error.contains("a host is a name"), "{host}: {error}");
        }
        assert!(granted(&[], "api.example.com").unwrap_err().contains("it asks for none"));
    }
}
