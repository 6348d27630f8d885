//! Values to choose from for a field of a configuration that somebody is still at.

use std::sync::Arc;

use serde_json::Value;
use tributary_core::{
    contract::{BrowseRequest, Choices, Fault},
    source::PUSH_CONNECTOR,
};
use tributary_sandbox::{EmptyLedger, HostServices, Meter};
use tributary_store::TenantDb;

use super::{Error, Sources};

/// Longest pointer to a field.
const MAX_POINTER_BYTES: usize = 1_000;
/// Longest name of a place; the sandbox gives out no longer ones.
const MAX_PLACE_BYTES: usize = 4_096;

/// What somebody looks for.
#[derive(Clone, Debug)]
pub struct Browse {
    /// Which connector.
    pub connector: String,
    /// Its configuration so far.
    pub config: Value,
    /// JSON pointer into it.
    pub pointer: String,
    /// `opens` of a choice.
    pub at: Option<String>,
    /// `next` of the choices before.
    pub after: Option<String>,
}

impl Sources {
    /// Asks a connector what a field may be set to. The configuration may lack what its schema demands; what it names is granted as for
    /// a source that has it.
    pub async fn browse(&self, tenant: &TenantDb, asked: Browse) -> Result<Choices, Error> {
        let Browse { connector: id, config, pointer, at, after } = asked;
        if !pointer.starts_with('/') || pointer.len() > MAX_POINTER_BYTES {
            let message = "name the field as a JSON pointer into the configuration, such as /folders/0".to_owned();
            return Err(Error::Invalid { pointer: "/pointer", message });
        }
        for (place, field) in [(&at, "/at"), (&after, "/after")] {
            if place.as_ref().is_some_and(|place| place.len() > MAX_PLACE_BYTES) {
                let message = "this is no place that the connector named".to_owned();
                return Err(Error::Invalid { pointer: field, message });
            }
        }
        if !config.is_object() {
            let message = "send the configuration so far as an object, such as {}".to_owned();
            return Err(Error::Invalid { pointer: "/config", message });
        }
        let nothing = || {
            let why = format!("the connector {id} offers no choices; its configuration is written as its schema says");
            Error::NothingToChoose(why)
        };
        if id == PUSH_CONNECTOR {
            return Err(nothing());
        }
        let current = self.ready(&id).await?;
        if !current.descriptor.capabilities.browse {
            return Err(nothing());
        }
        self.accept_roots(&current.descriptor, &config)?;
        let Some(ready) = self.plugins.at_digest(&current.connector.digest).await? else {
            return Err(Error::Internal(anyhow::anyhow!("the connector {id} was removed meanwhile")));
        };
        if let Some(advice) = &ready.quarantine {
            return Err(Error::Quarantined(advice.clone()));
        }
        let files = self.grants.files(&ready, &config);
        let services = HostServices::new(files, Arc::new(EmptyLedger), Arc::new(Meter::default()), id.clone())
            .with_http(self.grants.http(&ready, tenant, &config));
        let request = BrowseRequest { config: config.to_string(), pointer, at, after };
        let found = ready.connector.browse(&request, &services).await;
        self.metrics.call(&id, &found);
        found.map_err(|failure| match failure.fault {
            Fault::Unsupported => Error::NothingToChoose(failure.message),
            _ => Error::InvalidConfig {
                connector: id.clone(),
                faults: vec![(format!("/config{}", failure.config_pointer.unwrap_or_default()), failure.message)],
            },
        })
    }
}
