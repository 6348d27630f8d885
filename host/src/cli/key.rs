//! `tributary key`: API keys, for the operator.

use anyhow::Context;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tributary_core::{KeyId, SourceId, access::Scope, audience::Audience, principal::KeyLimits, widget::Identity};
use tributary_store::ApiKey;

use super::{operator::Common, record};
use crate::auth::{MadeKey, NewKey, NewWidget};

#[derive(Args)]
pub(super) struct Key {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the keys of a workspace
    List(Box<List>),
    /// Make a key and print it, once
    Create(Box<Create>),
    /// End a key at once
    Revoke(Box<Revoke>),
}

#[derive(Args)]
struct List {
    /// Slug or id of the workspace
    workspace: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Create {
    /// Slug or id of the workspace
    workspace: String,
    /// For people, such as "Shop backend"
    name: String,
    /// chat, knowledge:read, documents:write, sources:manage, webhooks:manage or admin; may be given several times
    #[arg(long = "scope", required_unless_present = "origins", conflicts_with = "origins", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// Makes it a widget key, for pages of this origin, such as https://shop.example; may be given several times
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Only documents of this source; may be given several times. A widget key needs --source or --kind
    #[arg(long = "source", value_name = "ID")]
    sources: Vec<SourceId>,
    /// Only documents of this kind, such as product; may be given several times
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Whether the site says, signed, who the visitors of its widget are: none, optional or required
    #[arg(long, default_value = "none", requires = "origins", value_parser = identity)]
    identity: Identity,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct Revoke {
    /// Slug or id of the workspace
    workspace: String,
    /// Id of the key
    key: KeyId,
    #[command(flatten)]
    common: Common,
}

fn scope(text: &str) -> Result<Scope, String> {
    serde_json::from_value(json!(text)).map_err(|_| {
        "there are chat, knowledge:read, documents:write, sources:manage, webhooks:manage and admin".to_owned()
    })
}

fn identity(text: &str) -> Result<Identity, String> {
    serde_json::from_value(json!(text)).map_err(|_| "there are none, optional and required".to_owned())
}

fn shown(key: &ApiKey) -> Value {
    json!({
        "id": key.id, "name": key.name, "last4": key.last4, "scopes": key.scopes, "audience": key.audience,
        "origins": key.widget.as_ref().map(|widget| &widget.origins),
        "created_at": key.created_at, "expires_at": key.expires_at, "revoked_at": key.revoked_at, "last_used_at": key.last_used_at,
    })
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            match self.command {
                Command::List(list) => list.run().await,
                Command::Create(create) => create.run().await,
                Command::Revoke(revoke) => revoke.run().await,
            }
        })
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let (_, tenant) = operator.workspace(&self.workspace).await?;
        let keys: Vec<_> = tenant.api_keys().await?.iter().map(shown).collect();
        let text = |key: &Value, field: &str| key[field].as_str().unwrap_or_default().to_owned();
        let now = operator.clock.now().to_rfc3339();
        operator.print(["NAME", "KEY", "SCOPES OR ORIGINS", "STATE", "LAST USED", "ID"], &keys, |key| {
            let scopes = key["scopes"].as_array().into_iter().chain(key["origins"].as_array()).flatten();
            let scopes = scopes.filter_map(Value::as_str);
            let expired = key["expires_at"].as_str().is_some_and(|at| at <= now.as_str());
            let state = if key["revoked_at"].is_string() {
                "revoked"
            } else if expired {
                "expired"
            } else {
                "active"
            };
            let last_used = match key["last_used_at"].as_str() {
                Some(at) => at.chars().take(16).collect::<String>().replace('T', " "),
                None => "never".to_owned(),
            };
            [
                text(key, "name"),
                format!("…{}", text(key, "last4")),
                scopes.collect::<Vec<_>>().join(" "),
                state.to_owned(),
                last_used,
                text(key, "id"),
            ]
        })
    }
}

impl Create {
    async fn run(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let (workspace, tenant) = operator.workspace(&self.workspace).await?;
        let audience = Audience {
            source_ids: Some(self.sources).filter(|ids| !ids.is_empty()),
            kinds: Some(self.kinds).filter(|kinds| !kinds.is_empty()),
            field: None,
        };
        let new = NewKey {
            name: self.name,
            scopes: self.scopes.into_iter().collect(),
            widget: (!self.origins.is_empty()).then(|| NewWidget {
                origins: self.origins,
                identity: self.identity,
                visitor_limits: KeyLimits::default(),
            }),
            audience,
            limits: KeyLimits::default(),
            expires_at: None,
        };
        let MadeKey { key, secret, identity_secret } =
            operator.auth.make_key(&tenant, new, "operator".to_owned()).await?;
        operator.done("key create", Some(&tenant), format!("key_id={}", key.id)).await?;
        let mut thing = shown(&key);
        thing["key"] = json!(secret.expose());
        let mut sentence = format!("The key {:?} of {}, shown once:\n{}", key.name, workspace.name, secret.expose());
        if let Some(identity_secret) = identity_secret {
            thing["identity_secret"] = json!(identity_secret.expose_secret());
            sentence += "\nIts site signs the identities of visitors with this secret, shown once:\n";
            sentence += identity_secret.expose_secret();
        }
        operator.say(&sentence, &thing)
    }
}

impl Revoke {
    async fn run(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let (_, tenant) = operator.workspace(&self.workspace).await?;
        let key = tenant.api_key(self.key).await.context("`tributary key list` shows the keys of a workspace")?;
        operator.auth.revoke_key(&tenant, self.key).await?;
        operator.done("key revoke", Some(&tenant), format!("key_id={}", key.id)).await?;
        operator
            .say(&format!("The key {:?} (…{}) opens nothing any more.", key.name, key.last4), &json!({ "id": key.id }))
    }
}
