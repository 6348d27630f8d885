//! Configurations of sources, carried over to another version of their connector by the connector itself, before it is installed.
//!
//! The connector is a stranger's, and a configuration is what an administrator let it have: what comes back may name no credential,
//! no root and no host that the configuration did not name before.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tributary_core::{
    WorkspaceId,
    contract::{Descriptor, Failure, Fault},
    source::Source,
};
use tributary_egress::HostGrants;
use tributary_sandbox::Connector;

use super::{Plugins, Refused, credential_names};
use crate::sources::FieldFault;

/// Asked at the same time; each is a call of the sandbox.
const AT_ONCE: usize = 4;

/// A version that is to take over the sources of others.
pub(super) struct Carrier {
    pub connector: Arc<dyn Connector>,
    pub digest: String,
    pub descriptor: Descriptor,
    /// Until then it must be done.
    pub deadline: Instant,
    /// What the versions before said of themselves, by digest.
    pub before: HashMap<String, Option<Descriptor>>,
}

/// A source, and its configuration for the version that is to be installed.
pub(super) struct Carried {
    pub workspace: WorkspaceId,
    pub source: Source,
    /// `None`: as it is.
    pub config: Result<Option<Value>, FieldFault>,
}

impl Carrier {
    /// Asks the connector about each of these sources.
    pub(super) async fn carry(
        &mut self,
        plugins: &Plugins,
        sources: Vec<(WorkspaceId, Source)>,
    ) -> Result<Vec<Carried>, Refused> {
        for (_, source) in &sources {
            let digest = &source.connector.digest;
            if *digest != self.digest && !self.before.contains_key(digest) {
                let known = plugins.db.system().find_connector(digest).await?;
                self.before.insert(digest.clone(), known.map(|known| known.descriptor));
            }
        }
        let carrier = &*self;
        let asked = sources.into_iter().map(|(workspace, source)| async move {
            let config = carrier.config(&source).await?;
            Ok::<_, Refused>(Carried { workspace, source, config })
        });
        stream::iter(asked).buffered(AT_ONCE).try_collect().await
    }

    async fn config(&self, source: &Source) -> Result<Result<Option<Value>, FieldFault>, Refused> {
        if source.connector.digest == self.digest {
            return Ok(Ok(None));
        }
        let before = source.config.to_string();
        let asked = self.connector.upgrade_config(&source.connector.version, &before);
        let Ok(answer) = timeout_at(self.deadline, asked).await else {
            return Err(Refused::CarriedTooLong {
                id: self.descriptor.id.clone(),
                version: self.descriptor.version.clone(),
            });
        };
        let config = match answer {
            Ok(text) => serde_json::from_str::<Value>(&text).map_err(|error| fault("", &error.to_string())),
            Err(failure) => Err(said(&failure)),
        };
        Ok(config.and_then(|config| {
            if config == source.config {
                return Ok(None);
            }
            let before = self.before.get(&source.connector.digest).and_then(Option::as_ref);
            match widened(before, &source.config, &self.descriptor, &config) {
                Some(why) => Err(fault("", &why)),
                None => Ok(Some(config)),
            }
        }))
    }
}

fn said(failure: &Failure) -> FieldFault {
    let why = match failure.fault {
        Fault::Trap | Fault::Deadline | Fault::Memory => {
            format!("while it carried the configuration over, {}", failure.message)
        }
        _ => failure.message.clone(),
    };
    fault(failure.config_pointer.as_deref().unwrap_or_default(), &why)
}

fn fault(pointer: &str, why: &str) -> FieldFault {
    (format!("/config{pointer}"), why.to_owned())
}

/// What a configuration lets its connector have that the one before did not, in a sentence.
fn widened(old: Option<&Descriptor>, before: &Value, new: &Descriptor, after: &Value) -> Option<String> {
    let had = old.map(|old| credential_names(&old.config_schema, before)).unwrap_or_default();
    let more = |what: &str, name: &str| {
        Some(format!(
            "the connector wants to carry the configuration over to one that names {what} {name:?}, which it did not name before; edit the source yourself if that is right, or report it to its author"
        ))
    };
    if let Some(name) = credential_names(&new.config_schema, after).difference(&had).next() {
        return more("the credential", name);
    }
    let roots = |descriptor: &Descriptor, config: &Value| -> BTreeSet<String> {
        let named = descriptor.roots.iter().filter_map(|pointer| config.pointer(pointer)?.as_str().map(str::to_owned));
        named.collect()
    };
    let had = old.map(|old| roots(old, before)).unwrap_or_default();
    if let Some(name) = roots(new, after).difference(&had).next() {
        return more("the root", name);
    }
    // Hosts that the descriptor spells out are not the configuration's affair: they have to be granted.
    let pointers: Vec<_> = new.hosts.iter().filter(|host| host.starts_with('/')).cloned().collect();
    let had = old.map_or_else(HostGrants::none, |old| HostGrants::new(&old.id, &old.hosts, before, None));
    more("the host", &HostGrants::new(&new.id, &pointers, after, None).beyond(&had)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tributary_core::contract::Capabilities;

    use super::*;

    fn descriptor(schema: Value, hosts: &[&str], roots: &[&str]) -> Descriptor {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Descriptor {
            id: "shop".to_owned(),
            version: "1.0.0".to_owned(),
            title: "Shop".to_owned(),
            config_schema: schema,
            hosts: texts(hosts),
            roots: texts(roots),
            capabilities: Capabilities::default(),
        }
    }

    #[test]
    fn what_a_configuration_names_may_move_and_go_but_not_grow() {
        let schema = |field: &str| json!({ "properties": { field: { "x-credential": true } } });
        let old = descriptor(schema("token"), &["/url", "*.cdn.example"], &["/root"]);
        let new = descriptor(schema("login"), &["/server/url", "api.other.example"], &["/folder"]);
        let before = json!({ "token": "shop", "url": "https://shop.example/a", "root": "docs", "note": "bank" });
        let widened = |after: Value| widened(Some(&old), &before, &new, &after);
        let moved = json!({ "login": "shop", "server": { "url": "https://SHOP.example:8443/b" }, "folder": "docs" });
        assert_eq!(widened(moved), None);
        assert_eq!(widened(json!({})), None);
        assert_eq!(widened(json!({ "server": { "url": "https://eu.cdn.example" } })), None);
        for (after, what) in [
            (json!({ "login": "bank" }), "the credential \"bank\""),
            (json!({ "folder": "payroll" }), "the root \"payroll\""),
            (json!({ "server": { "url": "https://evil.example" } }), "the host \"evil.example\""),
            (json!({ "server": { "url": "https://shop.example@evil.example/" } }), "the host \"evil.example\""),
            (json!({ "server": { "url": "https://*.evil.example" } }), "the host \"*.evil.example\""),
        ] {
            let why = widened(after.clone());
            assert!(why.as_ref().is_some_and(|why| why.contains(what)), "{after}: {why:?}");
        }
        let nothing = super::widened(None, &before, &new, &json!({ "login": "shop" }));
        assert!(nothing.is_some(), "nothing is known of the version before");
    }
}
