//! What a connector meets when it is run by hand: the real network, folders, and credentials from the command line.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use clap::Args;
use ipnet::IpNet;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use tributary_core::{
    contract::{Descriptor, Failure},
    http::Http,
};
use tributary_egress::{Egress, EgressOptions, HostGrants, Secret, Secrets, SourceAccess};
use tributary_sandbox::Roots;

use crate::plugins::credential_names;

#[derive(Args)]
pub(super) struct Surroundings {
    /// Configuration: a JSON file, or JSON itself
    #[arg(long, value_name = "FILE|JSON", default_value = "{}")]
    config: String,
    /// Grant a folder under a name; may be given more than once
    #[arg(long = "root", value_name = "NAME=PATH", value_parser = root)]
    roots: Vec<(String, PathBuf)>,
    /// A credential, as NAME=KIND:FIELD=VALUE,… or NAME=@FILE with {"kind": …, "value": {…}}; may be given more than once
    #[arg(long = "credential", value_name = "NAME=…")]
    credentials: Vec<String>,
    /// Grant only these hosts of those the connector asks for; may be given more than once [default: all of them]
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Networks of yours that the connector may reach beside the Internet, such as 127.0.0.0/8
    #[arg(long = "egress-network", value_name = "NETWORKS", value_delimiter = ',', value_parser = network)]
    networks: Vec<IpNet>,
}

/// A configuration that fits the connector, and what it opens.
pub(super) struct Ready {
    pub config: Value,
    pub roots: Roots,
    pub http: Arc<dyn Http>,
}

impl Surroundings {
    /// Reads the configuration, holds it against the schema as the server does, and grants what it names.
    pub(super) fn ready(&self, descriptor: &Descriptor) -> anyhow::Result<Ready> {
        let config = self.config()?;
        // Not read by clap, which would quote what it cannot read.
        let credentials = self.credentials.iter().map(|text| credential(text));
        let credentials: BTreeMap<String, Secret> =
            credentials.collect::<Result<_, _>>().map_err(anyhow::Error::msg)?;
        let faults = tributary_scenario::faults(&descriptor.config_schema.to_string(), &config);
        let faults = faults.map_err(|problem| anyhow::anyhow!("{problem}"))?;
        ensure!(faults.is_empty(), "the configuration does not fit {}: {}", descriptor.id, faults.join("; "));
        let named = tributary_scenario::resolved(&descriptor.roots, &config);
        let roots: Roots = self.roots.iter().filter(|(name, _)| named.contains(name)).cloned().collect();
        if let Some(missing) = named.iter().find(|name| !roots.contains_key(*name)) {
            bail!("the configuration names the root {missing:?}; grant it with --root {missing}=PATH");
        }
        let names = credential_names(&descriptor.config_schema, &config);
        if let Some(missing) = names.iter().find(|name| !credentials.contains_key(*name)) {
            bail!(
                "the configuration names the credential {missing:?}; give it with --credential {missing}=bearer:token=… or {missing}=@FILE"
            );
        }
        let granted = (!self.hosts.is_empty()).then_some(self.hosts.as_slice());
        let egress = Egress::new(EgressOptions { networks: self.networks.clone(), ..EgressOptions::default() });
        let http = Arc::new(egress).for_source(SourceAccess {
            workspace: "local".to_owned(),
            hosts: HostGrants::new(&descriptor.id, &descriptor.hosts, &config, granted),
            credentials: names,
            secrets: Arc::new(Given(credentials)),
        });
        Ok(Ready { config, roots, http: Arc::new(http) })
    }

    fn config(&self) -> anyhow::Result<Value> {
        let inline = self.config.trim_start().starts_with('{');
        let text = match inline {
            true => self.config.clone(),
            false => fs::read_to_string(&self.config)
                .with_context(|| format!("the configuration {} cannot be read", self.config))?,
        };
        serde_json::from_str(&text).context("the configuration is not JSON")
    }
}

/// Credentials of the command line. A refresh token that is exchanged is not kept.
struct Given(BTreeMap<String, Secret>);

#[async_trait]
impl Secrets for Given {
    async fn reveal(&self, name: &str) -> Result<Option<Secret>, Failure> {
        Ok(self.0.get(name).cloned())
    }

    async fn keep_refresh_token(&self, name: &str, _: &str, _: &str) -> Result<(), Failure> {
        eprintln!("the source gave the credential {name} another refresh token; the one you gave may not work again");
        Ok(())
    }
}

fn root(text: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = text.split_once('=').ok_or("a root is given as NAME=PATH")?;
    if !Path::new(path).is_dir() {
        return Err(format!("{path} is not a folder"));
    }
    Ok((name.to_owned(), path.into()))
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse()
        .or_else(|_| address())
        .map_err(|_: std::net::AddrParseError| format!("{text} is not a network such as 10.0.0.0/8"))
}

/// What a credential's file holds; also what the API takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialFile {
    kind: String,
    #[serde(alias = "fields")]
    value: BTreeMap<String, SecretString>,
}

fn credential(text: &str) -> Result<(String, Secret), String> {
    let (name, rest) = text.split_once('=').ok_or("a credential is given as NAME=KIND:FIELD=VALUE or NAME=@FILE")?;
    if let Some(path) = rest.strip_prefix('@') {
        let text = fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
        // The error itself may quote a secret.
        let wrong = |error: serde_json::Error| {
            format!("{path} is not {{\"kind\": …, \"value\": {{…}}}} with texts: see line {}", error.line())
        };
        let file: CredentialFile = serde_json::from_str(&text).map_err(wrong)?;
        return Ok((name.to_owned(), Secret { kind: file.kind, fields: file.value }));
    }
    let (kind, fields) = rest.split_once(':').ok_or("a credential is given as NAME=KIND:FIELD=VALUE or NAME=@FILE")?;
    let field = |part: &str| {
        let (name, value) = part.split_once('=').ok_or("a credential's field is given as FIELD=VALUE")?;
        Ok((name.to_owned(), SecretString::from(value)))
    };
    let fields = fields.split(',').map(field).collect::<Result<_, &str>>()?;
    Ok((name.to_owned(), Secret { kind: kind.to_owned(), fields }))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn credentials_are_read_from_the_command_line_and_from_files() {
        let (name, secret) = credential("shop=basic:user=ck_1,password=a=b").unwrap();
        assert_eq!((name.as_str(), secret.kind.as_str()), ("shop", "basic"));
        assert_eq!(secret.fields["password"].expose_secret(), "a=b");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.json");
        fs::write(&path, r#"{"kind":"bearer","value":{"token":"t"}}"#).unwrap();
        assert_eq!(credential(&format!("shop=@{}", path.display())).unwrap().1.kind, "bearer");
        fs::write(&path, r#"{"kind":"bearer","value":"s3cret"}"#).unwrap();
        let broken = format!("shop=@{}", path.display());
        for bad in ["shop", "s3cret", "shop=s3cret", "shop=bearer:s3cret", "shop=@/nowhere", &broken] {
            let message = credential(bad).unwrap_err();
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn a_network_is_one_address_or_many() {
        assert!(network("127.0.0.1").is_ok() && network("10.0.0.0/8").is_ok() && network("here").is_err());
    }
}
