//! Making API keys and widget keys, replacing and revoking them: the rules, for the API and for the command line.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use secrecy::SecretString;
use tributary_core::{Instant, KeyId, access::Scope, audience::Audience, principal::KeyLimits};
use tributary_search::text;
use tributary_store::{ApiKey, KeyRotation, NextKey, TenantDb};

use super::{Auth, Error, Kind, NewWidget, Secret};

const LONGEST_NAME: usize = 100;
/// How long the key before may go on after a rotation, at most, in seconds.
pub const LONGEST_OVERLAP_S: i64 = 30 * 86_400;
const DEFAULT_OVERLAP_S: i64 = 86_400;

/// What is asked of a new key.
#[derive(Clone, Debug, Default)]
pub struct NewKey {
    /// For people.
    pub name: String,
    /// What it may do; nothing for a widget key, whose visitors chat.
    pub scopes: BTreeSet<Scope>,
    /// Makes it a widget key.
    pub widget: Option<NewWidget>,
    /// With which documents.
    pub audience: Audience,
    /// How much it may ask for.
    pub limits: KeyLimits,
    /// When it ends.
    pub expires_at: Option<Instant>,
}

/// A key that was made, with what is shown once.
pub struct MadeKey {
    /// As it is kept.
    pub key: ApiKey,
    /// The key itself.
    pub secret: Secret,
    /// What the site of a widget key signs its visitors' identities with.
    pub identity_secret: Option<SecretString>,
}

impl Auth {
    /// Makes a key. `by`: who, as the audit log names them.
    pub async fn make_key(&self, tenant: &TenantDb, new: NewKey, by: String) -> Result<MadeKey, Error> {
        let invalid = |pointer, message: &str| Err(Error::Invalid { pointer, message: message.to_owned() });
        let (name, now) = (text::line(&new.name), self.clock.now());
        if name.is_empty() || name.chars().count() > LONGEST_NAME {
            return invalid("/name", "a name has 1 to 100 characters");
        }
        match &new.widget {
            None if new.scopes.is_empty() => return invalid("/scopes", "a key needs at least one scope, such as chat"),
            Some(_) if !new.scopes.is_empty() => {
                return invalid("/scopes", "a widget key has no scopes: its visitors chat, and nothing else");
            }
            _ => {}
        }
        if new.expires_at.is_some_and(|at| at <= now) {
            return invalid("/expires_at", "this moment is over");
        }
        let kind = if new.widget.is_some() { Kind::Widget } else { Kind::Server };
        let made = match new.widget {
            Some(widget) => Some(self.make_widget(tenant.workspace_id(), &new.audience, widget).await?),
            None => None,
        };
        let (widget, identity_secret, sealed_identity_secret) =
            made.map_or((None, None, None), |it| (Some(it.widget), it.identity_secret, it.sealed_identity_secret));
        let secret = Secret::generate(kind, self.environment);
        let key = ApiKey {
            id: KeyId::new(),
            workspace_id: tenant.workspace_id(),
            name,
            last4: secret.last4().to_owned(),
            scopes: new.scopes.into_iter().collect(),
            audience: new.audience,
            limits: new.limits,
            widget,
            sealed_identity_secret,
            created_by: by,
            created_at: now,
            expires_at: new.expires_at,
            replaces: None,
            revoked_at: None,
            last_used_at: None,
        };
        tenant.create_api_key(&key, secret.hash()).await?;
        Ok(MadeKey { key, secret, identity_secret })
    }

    /// Replaces a key by a new one with the same rights; the one before goes on for `overlap_s` seconds, a day when absent, at most
    /// thirty days.
    pub async fn rotate_key(
        &self,
        tenant: &TenantDb,
        id: KeyId,
        overlap_s: Option<i64>,
        by: String,
    ) -> Result<MadeKey, Error> {
        let kind = if tenant.api_key(id).await?.widget.is_some() { Kind::Widget } else { Kind::Server };
        let (secret, now) = (Secret::generate(kind, self.environment), self.clock.now());
        let overlap = TimeDelta::seconds(overlap_s.unwrap_or(DEFAULT_OVERLAP_S).clamp(0, LONGEST_OVERLAP_S));
        let next = NextKey {
            id: KeyId::new(),
            secret_hash: secret.hash(),
            last4: secret.last4().to_owned(),
            created_by: by,
            now,
            old_until: now + overlap,
        };
        match tenant.rotate_api_key(id, next).await? {
            KeyRotation::Made(key) => {
                self.catch_up().await?;
                Ok(MadeKey { key: *key, secret, identity_secret: None })
            }
            KeyRotation::Over => Err(Error::KeyOver("the key is revoked or expired; make a new one instead")),
            KeyRotation::Replaced => {
                Err(Error::KeyOver("the key was replaced already; rotate the one that replaced it"))
            }
        }
    }

    /// Ends a key at once.
    pub async fn revoke_key(&self, tenant: &TenantDb, id: KeyId) -> Result<(), Error> {
        tenant.revoke_api_key(id, self.clock.now()).await?;
        self.catch_up().await
    }
}
