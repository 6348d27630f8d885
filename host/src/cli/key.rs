//! `tributary key`: API keys, for the operator.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tributary_core::{
    Instant, KeyId, SourceId, access::Scope, audience::Audience, principal::KeyLimits, widget::Identity,
};
use tributary_store::ApiKey;

use super::{operator::Common, record};
use crate::auth::{LONGEST_OVERLAP_S, MadeKey, NewKey, NewWidget};

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
    /// Replace a key by a new one with the same rights and print that, once; the old one goes on for a while
    Rotate(Box<Rotate>),
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
struct Rotate {
    /// Slug or id of the workspace
    workspace: String,
    /// Id of the key
    key: KeyId,
    /// How long the old key goes on, such as 2h or 7d: at most 30d, and 0s ends it now
    #[arg(long, default_value = "24h", value_parser = overlap)]
    overlap: Duration,
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

fn overlap(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(overlap) if overlap.as_secs() <= LONGEST_OVERLAP_S.cast_unsigned() => Ok(overlap),
        Ok(_) => Err("an old key goes on for 30d at most".to_owned()),
        Err(_) => Err("write it as in 30m, 24h or 7d".to_owned()),
    }
}

fn identity(text: &str) -> Result<Identity, String> {
    serde_json::from_value(json!(text)).map_err(|_| "there are none, optional and required".to_owned())
}

fn shown(key: &ApiKey) -> Value {
    json!({
        "id": key.id, "name": key.name, "last4": key.last4, "scopes": key.scopes, "audience": key.audience,
        "origins": key.widget.as_ref().map(|widget| &widget.origins), "replaces": key.replaces,
        "created_at": key.created_at, "expires_at": key.expires_at, "revoked_at": key.revoked_at, "last_used_at": key.last_used_at,
    })
}

impl Key {
    pub(super) fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            match self.command {
                Command::List(list) => list.run().await,
                Command::Create(create) => create.run().await,
                Command::Rotate(rotate) => rotate.run().await,
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
        let now = operator.clock.now();
        operator.print(["NAME", "KEY", "SCOPES OR ORIGINS", "STATE", "LAST USED", "ID"], &keys, |key| {
            let scopes = key["scopes"].as_array().into_iter().chain(key["origins"].as_array()).flatten();
            let scopes = scopes.filter_map(Value::as_str);
            let until = key["expires_at"].as_str().and_then(|at| at.parse::<Instant>().ok());
            let state = match until {
                _ if key["revoked_at"].is_string() => "revoked".to_owned(),
                Some(until) if until <= now => "expired".to_owned(),
                Some(until) => format!("until {}", minute(until)),
                None => "active".to_owned(),
            };
            let last_used = key["last_used_at"].as_str().and_then(|at| at.parse::<Instant>().ok());
            let last_used = last_used.map_or_else(|| "never".to_owned(), minute);
            [
                text(key, "name"),
                format!("…{}", text(key, "last4")),
                scopes.collect::<Vec<_>>().join(" "),
                state,
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

impl Rotate {
    async fn run(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let (workspace, tenant) = operator.workspace(&self.workspace).await?;
        tenant.api_key(self.key).await.context("`tributary key list` shows the keys of a workspace")?;
        let overlap_s = i64::try_from(self.overlap.as_secs())?;
        let MadeKey { key, secret, .. } =
            operator.auth.rotate_key(&tenant, self.key, Some(overlap_s), "operator".to_owned()).await?;
        let target = format!("key_id={} next_key_id={}", self.key, key.id);
        operator.done("key rotate", Some(&tenant), target).await?;
        // What it says now: it may have been meant to end sooner.
        let old_until = tenant.api_key(self.key).await?.expires_at;
        let mut thing = shown(&key);
        thing["key"] = json!(secret.expose());
        thing["old_until"] = json!(old_until);
        let old = match old_until {
            Some(until) if until > operator.clock.now() => format!("goes on until {} UTC", minute(until)),
            _ => "opens nothing any more".to_owned(),
        };
        let sentence = format!(
            "The new key {:?} of {}, shown once; the old one {old}:\n{}",
            key.name,
            workspace.name,
            secret.expose()
        );
        operator.say(&sentence, &thing)
    }
}

/// A moment for people, to the minute, in UTC.
fn minute(at: Instant) -> String {
    at.format("%F %R").to_string()
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
