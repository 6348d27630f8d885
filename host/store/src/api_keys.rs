//! API keys and widget keys, and what they were used for.

use sqlx::types::Json;
use tributary_core::{
    Instant, KeyId, WorkspaceId, access::Scope, audience::Audience, hash::Sha256Hash, principal::KeyLimits,
    widget::Widget,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    epoch,
    error::{Error, Result, missing},
    rows::{json_list, refuse_nul},
    tenant::{SystemDb, TenantDb},
};

/// Most keys of one workspace that stand, and most that are listed.
const MOST: i64 = 1_000;

/// A key. The secret itself is shown once and never kept.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiKey {
    /// Its id.
    pub id: KeyId,
    /// Where it opens.
    pub workspace_id: WorkspaceId,
    /// For people.
    pub name: String,
    /// The last characters of the secret, to tell keys apart.
    pub last4: String,
    /// What it may do; nothing for a widget key, whose visitors chat.
    pub scopes: Vec<Scope>,
    /// With which documents.
    pub audience: Audience,
    /// How much it may ask for; a widget key with all its visitors.
    pub limits: KeyLimits,
    /// For a widget key: where it may be used, and by whom.
    pub widget: Option<Widget>,
    /// What the site signs its visitors' identities with, sealed.
    pub sealed_identity_secret: Option<Vec<u8>>,
    /// By whom it was made.
    pub created_by: String,
    /// When.
    pub created_at: Instant,
    /// When it ends.
    pub expires_at: Option<Instant>,
    /// The key it was made to replace.
    pub replaces: Option<KeyId>,
    /// When it was revoked.
    pub revoked_at: Option<Instant>,
    /// When it was last used; written every few seconds.
    pub last_used_at: Option<Instant>,
}

/// The key that replaces another: what is new about it.
#[derive(Clone, Debug)]
pub struct NextKey {
    /// Its id.
    pub id: KeyId,
    /// Of its secret.
    pub secret_hash: Sha256Hash,
    /// The last characters of the secret.
    pub last4: String,
    /// By whom it is made.
    pub created_by: String,
    /// When.
    pub now: Instant,
    /// When the one before ends, unless it ends before.
    pub old_until: Instant,
}

/// What came of replacing a key.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyRotation {
    /// This one replaces it.
    Made(Box<ApiKey>),
    /// It is revoked or has expired; nothing was written.
    Over,
    /// It was replaced before; nothing was written.
    Replaced,
}

/// What a key was used for on one day.
#[derive(Clone, Debug, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct KeyUsage {
    /// UTC, `2026-11-23`.
    pub day: String,
    /// Requests.
    pub requests: i64,
    /// Tokens of a language model.
    pub tokens: i64,
}

/// Use of a key to be added up.
#[derive(Clone, Debug, serde::Serialize)]
pub struct KeyUse {
    /// Where.
    pub workspace_id: WorkspaceId,
    /// Which key.
    pub key_id: KeyId,
    /// Requests.
    pub requests: i64,
    /// Tokens of a language model.
    pub tokens: i64,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    workspace_id: Uuid,
    name: String,
    last4: String,
    scopes: Json<Vec<Scope>>,
    audience: Json<Audience>,
    limits: Json<KeyLimits>,
    widget: Option<Json<Widget>>,
    sealed_identity_secret: Option<Vec<u8>>,
    created_by: String,
    created_at: Instant,
    expires_at: Option<Instant>,
    replaces: Option<Uuid>,
    revoked_at: Option<Instant>,
    last_used_at: Option<Instant>,
}

macro_rules! columns {
    () => {
        "id, workspace_id, name, last4, scopes, audience, limits, widget, sealed_identity_secret, created_by, created_at, expires_at, replaces, revoked_at, last_used_at"
    };
}

impl From<Row> for ApiKey {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            workspace_id: row.workspace_id.into(),
            name: row.name,
            last4: row.last4,
            scopes: row.scopes.0,
            audience: row.audience.0,
            limits: row.limits.0,
            widget: row.widget.map(|widget| widget.0),
            sealed_identity_secret: row.sealed_identity_secret,
            created_by: row.created_by,
            created_at: row.created_at,
            expires_at: row.expires_at,
            replaces: row.replaces.map(KeyId::from),
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}

impl SystemDb {
    /// The key of a secret, revoked and expired ones too, and whether its workspace is put aside.
    pub async fn find_api_key(&self, secret_hash: Sha256Hash) -> Result<Option<(ApiKey, bool)>> {
        #[derive(sqlx_macros::FromRow)]
        struct Found {
            #[sqlx(flatten)]
            key: Row,
            archived: bool,
        }
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Found,
            "SELECT k.id, k.workspace_id, k.name, k.last4, k.scopes, k.audience, k.limits, k.widget, k.sealed_identity_secret, k.created_by, k.created_at, k.expires_at, k.replaces,
                 k.revoked_at, k.last_used_at, w.archived_at IS NOT NULL AS archived
             FROM api_key k JOIN workspace w ON w.id = k.workspace_id AND w.deleting_at IS NULL WHERE k.secret_hash = $1",
            secret_hash.0.as_slice()
        )?;
        Ok(row.map(|row| (row.key.into(), row.archived)))
    }

    /// Adds up what keys were used for: one statement for all of them.
    pub async fn record_key_use(&self, uses: &[KeyUse], now: Instant) -> Result<()> {
        if uses.is_empty() {
            return Ok(());
        }
        let list = json_list(uses)?;
        let day = now.format("%Y-%m-%d").to_string();
        let mut cx = self.write().await?;
        // Joined, since a key may be gone with its workspace meanwhile.
        q!(
            cx,
            execute,
            "INSERT INTO key_usage (workspace_id, key_id, day, requests, tokens)
             SELECT k.workspace_id, k.id, $2, u.requests, u.tokens
             FROM {rows $1: workspace_id uuid, key_id uuid, requests int, tokens int} AS u
             {look up api_key k: k.workspace_id = u.workspace_id AND k.id = u.key_id}
             WHERE true
             ON CONFLICT (workspace_id, key_id, day) DO UPDATE SET requests = key_usage.requests + excluded.requests,
                 tokens = key_usage.tokens + excluded.tokens",
            &list,
            &day
        )?;
        q!(
            cx,
            execute,
            "UPDATE api_key SET last_used_at = $2 FROM {rows $1: workspace_id uuid, key_id uuid} AS u
             WHERE api_key.workspace_id = u.workspace_id AND api_key.id = u.key_id",
            &list,
            now
        )?;
        cx.commit().await
    }
}

impl TenantDb {
    /// Keeps a key.
    pub async fn create_api_key(&self, key: &ApiKey, secret_hash: Sha256Hash) -> Result<()> {
        refuse_nul([key.name.as_str()])?;
        let mut cx = self.write().await?;
        self.insert_api_key(&mut cx, key, secret_hash).await?;
        cx.commit().await
    }

    async fn insert_api_key(&self, cx: &mut Cx, key: &ApiKey, secret_hash: Sha256Hash) -> Result<()> {
        let standing = q!(
            cx,
            fetch_one as (i64),
            "SELECT COUNT(*) FROM api_key WHERE workspace_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
            self.key(),
            key.created_at
        )?;
        if standing >= MOST {
            return Err(Error::Invalid(format!("a workspace has at most {MOST} keys; revoke some that are not used")));
        }
        q!(
            cx,
            execute,
            "INSERT INTO api_key (workspace_id, id, name, secret_hash, last4, scopes, audience, created_by, created_at, expires_at, replaces, limits, widget,
                 sealed_identity_secret)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
            self.key(),
            key.id.0,
            &key.name,
            secret_hash.0.as_slice(),
            &key.last4,
            Json(&key.scopes),
            Json(&key.audience),
            &key.created_by,
            key.created_at,
            key.expires_at,
            key.replaces.map(|id| id.0),
            Json(&key.limits),
            key.widget.as_ref().map(Json),
            key.sealed_identity_secret.as_deref()
        )
        .map_err(missing("workspace"))?;
        Ok(())
    }

    /// Every key, newest first.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            concat!("SELECT ", columns!(), " FROM api_key WHERE workspace_id = $1 ORDER BY id DESC LIMIT $2"),
            self.key(),
            MOST
        )?;
        Ok(rows.into_iter().map(ApiKey::from).collect())
    }

    /// One key.
    pub async fn api_key(&self, id: KeyId) -> Result<ApiKey> {
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            concat!("SELECT ", columns!(), " FROM api_key WHERE workspace_id = $1 AND id = $2"),
            self.key(),
            id.0
        )?;
        row.map(ApiKey::from).ok_or(Error::NotFound("key"))
    }

    /// Makes the key that replaces another, with the same rights, and lets the other end at `old_until` unless it ends before: both or
    /// neither.
    pub async fn rotate_api_key(&self, id: KeyId, next: NextKey) -> Result<KeyRotation> {
        let mut cx = self.write().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            concat!("SELECT ", columns!(), " FROM api_key WHERE workspace_id = $1 AND id = $2 {lock}"),
            self.key(),
            id.0
        )?;
        let old = row.map(ApiKey::from).ok_or(Error::NotFound("key"))?;
        if old.revoked_at.is_some() || old.expires_at.is_some_and(|at| at <= next.now) {
            return Ok(KeyRotation::Over);
        }
        let replaced = q!(
            cx,
            fetch_one as (i64),
            "SELECT COUNT(*) FROM api_key WHERE workspace_id = $1 AND replaces = $2",
            self.key(),
            id.0
        )?;
        if replaced > 0 {
            return Ok(KeyRotation::Replaced);
        }
        let key = ApiKey {
            id: next.id,
            last4: next.last4,
            created_by: next.created_by,
            created_at: next.now,
            replaces: Some(id),
            last_used_at: None,
            ..old
        };
        self.insert_api_key(&mut cx, &key, next.secret_hash).await?;
        q!(
            cx,
            execute,
            "UPDATE api_key SET expires_at = CASE WHEN expires_at < $3 THEN expires_at ELSE $3 END WHERE workspace_id = $1 AND id = $2",
            self.key(),
            id.0,
            next.old_until
        )?;
        epoch::bump(&mut cx).await?;
        cx.commit().await?;
        Ok(KeyRotation::Made(Box::new(key)))
    }

    /// Ends a key at once.
    pub async fn revoke_api_key(&self, id: KeyId, now: Instant) -> Result<()> {
        let mut cx = self.write().await?;
        let changed = q!(
            cx,
            execute,
            "UPDATE api_key SET revoked_at = COALESCE(revoked_at, $3) WHERE workspace_id = $1 AND id = $2",
            self.key(),
            id.0,
            now
        )?;
        if changed == 0 {
            return Err(Error::NotFound("key"));
        }
        epoch::bump(&mut cx).await?;
        cx.commit().await
    }

    /// What a key was used for, day by day since `since` (`2026-11-23`).
    pub async fn key_usage(&self, id: KeyId, since: &str) -> Result<Vec<KeyUsage>> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_all as KeyUsage,
            "SELECT day, requests, tokens FROM key_usage WHERE workspace_id = $1 AND key_id = $2 AND day >= $3 ORDER BY day LIMIT 400",
            self.key(),
            id.0,
            since
        )?)
    }
}
