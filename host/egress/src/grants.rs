//! Which hosts a source's connector may reach: what its descriptor asks for, as far as the operator granted it.

use serde_json::Value;
use tributary_core::contract::{Failure, Fault};
use url::{Host, Url};

/// The hosts one source may reach. Deny by default: a descriptor that names nothing reaches nothing.
#[derive(Clone, Debug)]
pub struct HostGrants {
    connector: String,
    asked: Vec<Pattern>,
    /// None: everything it asks for, as for connectors that ship with the server.
    granted: Option<Vec<Pattern>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// One host name or address.
    Exactly(String),
    /// Any name under a domain, not the domain itself.
    Under(String),
}

impl HostGrants {
    /// What `connector` asks for in its descriptor, with JSON pointers resolved in the source's configuration, as far as the
    /// operator granted it: the entries themselves, or narrower ones. `None` grants all.
    pub fn new(connector: impl Into<String>, asked: &[String], config: &Value, granted: Option<&[String]>) -> Self {
        let resolve = |entry: &String| match entry.starts_with('/') {
            true => Pattern::of(&config.pointer(entry)?.as_str().and_then(host_of)?),
            false => Pattern::of(entry),
        };
        Self {
            connector: connector.into(),
            asked: asked.iter().filter_map(resolve).collect(),
            granted: granted.map(|granted| granted.iter().filter_map(resolve).collect()),
        }
    }

    /// Nothing at all.
    pub fn none() -> Self {
        Self { connector: "the connector".to_owned(), asked: Vec::new(), granted: None }
    }

    /// The first host asked for here and not there, if there is one.
    pub fn beyond(&self, others: &Self) -> Option<String> {
        let covered = |asked: &Pattern| others.asked.iter().any(|other| other.covers(asked));
        self.asked.iter().find(|asked| !covered(asked)).map(Pattern::to_string)
    }

    /// Fails unless the host of `url` may be reached.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Failure> {
        let host = url.host().map(plain).unwrap_or_default();
        let connector = &self.connector;
        if !self.asked.iter().any(|pattern| pattern.matches(&host)) {
            let message = format!(
                "{connector} may not reach {host}: its descriptor does not name this host; correct the address in the configuration, or ask its author"
            );
            return Err(Failure::new(Fault::Permission, "host_not_asked_for", message));
        }
        match &self.granted {
            Some(granted) if !granted.iter().any(|pattern| pattern.matches(&host)) => {
                let message = format!(
                    "{connector} may not reach {host}: it was not granted; grant it with: tributary plugin grant {connector} --host {host}"
                );
                Err(Failure::new(Fault::Permission, "host_not_granted", message))
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(name) => f.write_str(name),
            Self::Under(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl Pattern {
    fn of(entry: &str) -> Option<Self> {
        match entry.strip_prefix("*.") {
            // `*.com` is no domain that anybody owns.
            Some(domain) => {
                let domain = host_of(domain)?;
                domain.contains('.').then_some(Self::Under(domain))
            }
            None => Some(Self::Exactly(host_of(entry)?)),
        }
    }

    /// Whether this matches all that the other does.
    fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Exactly(name) => self.matches(name),
            Self::Under(domain) => *self == *other || (matches!(self, Self::Under(_)) && self.matches(domain)),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exactly(name) => name == host,
            Self::Under(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|name| name.len() > 1 && name.ends_with('.'))
            }
        }
    }
}

/// The host of a URL or of a host name, as URLs spell it: lower case, punycode, without the dot at the end.
fn host_of(text: &str) -> Option<String> {
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("https://{text}")) };
    Some(plain(url.ok()?.host()?))
}

fn plain<S: AsRef<str>>(host: Host<S>) -> String {
    match host {
        Host::Domain(name) => name.as_ref().trim_end_matches('.').to_ascii_lowercase(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reaches(asked: &[&str], granted: Option<&[&str]>, url: &str) -> Result<(), String> {
        let owned = |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>();
        let config = json!({"base_url": "https://Shop.Example:8443/api", "host": "files.example"});
        let granted = granted.map(owned);
        let grants = HostGrants::new("shop", &owned(asked), &config, granted.as_deref());
        grants.check(&Url::parse(url).unwrap()).map_err(|failure| failure.code)
    }

    #[test]
    fn a_connector_reaches_what_its_descriptor_names() {
        let asked = ["api.example.com", "*.cdn.example.com", "/base_url", "/host", "/missing"];
        for url in [
            "https://api.example.com/x",
            "https://API.example.com./x",
            "https://a.cdn.example.com",
            "https://a.b.cdn.example.com",
            "https://shop.example:8443/",
            "https://files.example/",
        ] {
            assert_eq!(reaches(&asked, None, url), Ok(()), "{url}");
        }
        for url in [
            "https://cdn.example.com",
            "https://evilcdn.example.com",
            "https://example.com",
            "https://api.example.com.evil.test",
            "https://127.0.0.1/",
            "https://shop.example.evil.test/",
        ] {
            assert_eq!(reaches(&asked, None, url), Err("host_not_asked_for".to_owned()), "{url}");
        }
        assert!(reaches(&[], None, "https://api.example.com").is_err());
        assert!(reaches(&["*"], None, "https://api.example.com").is_err(), "no pattern means everything");
        assert!(reaches(&["*.com"], None, "https://example.com").is_err());
    }

    #[test]
    fn and_no_more_than_was_granted() {
        let asked = ["api.example.com", "*.example.org", "/base_url"];
        assert!(reaches(&asked, Some(&["api.example.com"]), "https://api.example.com").is_ok());
        assert!(reaches(&asked, Some(&["eu.example.org"]), "https://eu.example.org").is_ok(), "narrower than asked");
        assert!(reaches(&asked, Some(&["/base_url"]), "https://shop.example:8443").is_ok());
        assert_eq!(reaches(&asked, Some(&[]), "https://api.example.com"), Err("host_not_granted".to_owned()));
        assert_eq!(
            reaches(&asked, Some(&["eu.example.org"]), "https://us.example.org"),
            Err("host_not_granted".to_owned())
        );
        assert!(reaches(&[], Some(&["api.example.com"]), "https://api.example.com").is_err(), "granted, not asked for");
    }
}
