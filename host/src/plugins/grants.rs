//! What a source's connector may reach: the roots and hosts that its descriptor asks for and the operator granted, and the
//! credentials that the source's own configuration names.

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use serde_json::Value;
use tributary_core::{
    contract::{Failure, Fault},
    http::Http,
};
use tributary_egress::{Egress, EgressOptions, HostGrants, Secret, Secrets, SourceAccess};
use tributary_sandbox::{Files, Roots};
use tributary_store::TenantDb;

use super::{Ready, credential_names::credential_names};
use crate::{
    secrets::{Credentials, InvalidCredential},
    settings::Config,
};

/// Fields of credentials that are no secrets, beside others.
const PUBLIC: [&str; 8] =
    ["user", "username", "client_id", "client_email", "token_uri", "token_url", "scope", "subject"];

/// Hands out what a source's connector may reach.
pub struct Grants {
    roots: Arc<Roots>,
    egress: Arc<Egress>,
    credentials: Arc<Credentials>,
}

impl Grants {
    /// From the operator's settings.
    pub fn new(config: &Config, credentials: Arc<Credentials>) -> Self {
        let egress = EgressOptions { networks: config.egress_networks.clone(), ..EgressOptions::default() };
        Self { roots: Arc::new(config.roots.clone()), egress: Arc::new(Egress::new(egress)), credentials }
    }

    /// Whether the operator granted a root of this name to sources at all.
    pub fn has_root(&self, name: &str) -> bool {
        self.roots.contains_key(name)
    }

    /// The roots that a source's own configuration names, and no others.
    pub fn files(&self, connector: &Ready, config: &Value) -> Arc<Files> {
        let named = connector.descriptor.roots.iter().filter_map(|pointer| config.pointer(pointer)?.as_str());
        Arc::new(Files::new(self.roots.clone(), named.map(str::to_owned)))
    }

    /// What the credentials of a source hold that nobody may see. Those that cannot be opened now are left out.
    pub async fn secrets(&self, connector: &Ready, tenant: &TenantDb, config: &Value) -> Vec<String> {
        let mut secrets = Vec::new();
        for name in credential_names(&connector.descriptor.config_schema, config) {
            let Ok(Some(opened)) = self.credentials.reveal(tenant, &name).await else { continue };
            let single = opened.value.len() == 1;
            let secret = opened.value.into_iter().filter(|(field, _)| single || !PUBLIC.contains(&field.as_str()));
            secrets.extend(secret.map(|(_, value)| value.expose_secret().to_owned()));
        }
        secrets
    }

    /// The hosts that a source may ask, with its credentials. Keep it for a run.
    pub fn http(&self, connector: &Ready, tenant: &TenantDb, config: &Value) -> Arc<dyn Http> {
        let descriptor = &connector.descriptor;
        Arc::new(self.egress.for_source(SourceAccess {
            workspace: tenant.workspace_id().to_string(),
            hosts: HostGrants::new(&descriptor.id, &descriptor.hosts, config, connector.granted_hosts.as_deref()),
            credentials: credential_names(&descriptor.config_schema, config),
            secrets: Arc::new(WorkspaceSecrets { credentials: self.credentials.clone(), tenant: tenant.clone() }),
        }))
    }
}

/// The credentials of one workspace, opened for the egress.
struct WorkspaceSecrets {
    credentials: Arc<Credentials>,
    tenant: TenantDb,
}

#[async_trait]
impl Secrets for WorkspaceSecrets {
    async fn reveal(&self, name: &str) -> Result<Option<Secret>, Failure> {
        let opened = self.credentials.reveal(&self.tenant, name).await.map_err(|error| unopened(name, &error))?;
        Ok(opened.map(|opened| Secret { kind: opened.kind, fields: opened.value }))
    }

    async fn keep_refresh_token(&self, name: &str, previous: &str, next: &str) -> Result<(), Failure> {
        let kept = self.credentials.exchange(&self.tenant, name, "refresh_token", previous, next).await;
        kept.map_err(|error| unopened(name, &error))
    }
}

fn unopened(name: &str, error: &InvalidCredential) -> Failure {
    tracing::warn!(credential = name, %error, "a credential could not be opened");
    let message = format!("the credential {name:?} could not be opened: {error}");
    Failure::new(Fault::Transient, "credential_unavailable", message)
}
