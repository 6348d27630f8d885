//! Credentials of a workspace, sealed before they come here.

use sqlx::types::Json;
use tributary_core::{CredentialId, Instant};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::{Error, Result, taken},
    rows::{Page, limited, refuse_nul},
    tenant::TenantDb,
};

/// A credential without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Unique in the workspace; never changes, because the value is sealed to it.
    pub name: String,
    /// Such as `api_key`.
    pub kind: String,
    /// The names of the value's fields.
    pub fields: Vec<String>,
    /// When it was made.
    pub created_at: Instant,
    /// When its value was last replaced.
    pub updated_at: Instant,
    /// When its value was last opened.
    pub last_used_at: Option<Instant>,
}

/// A value, sealed.
#[derive(Clone, Debug)]
pub struct SealedValue {
    /// Such as `api_key`.
    pub kind: String,
    /// The names of its fields.
    pub fields: Vec<String>,
    /// Ciphertext.
    pub sealed: Vec<u8>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    kind: String,
    fields: Json<Vec<String>>,
    sealed: Vec<u8>,
    created_at: Instant,
    updated_at: Instant,
    last_used_at: Option<Instant>,
}

impl From<Row> for Credential {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            kind: row.kind,
            fields: row.fields.0,
            created_at: row.created_at,
            updated_at: row.updated_at,
            last_used_at: row.last_used_at,
        }
    }
}

impl TenantDb {
    /// Makes a credential; `Conflict` when the name is in use.
    pub async fn create_credential(&self, name: &str, value: SealedValue, now: Instant) -> Result<Credential> {
        refuse_nul([name, &value.kind].into_iter().chain(value.fields.iter().map(String::as_str)))?;
        let id = CredentialId::new();
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO credential (workspace_id, id, name, kind, fields, sealed, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
            self.key(),
            id.0,
            name,
            &value.kind,
            Json(&value.fields),
            &value.sealed,
            now
        )
        .map_err(taken("name"))?;
        cx.commit().await?;
        self.get_credential(id).await
    }

    /// Credentials, oldest first.
    pub async fn list_credentials(&self, after: Option<CredentialId>, limit: i64) -> Result<Page<Credential>> {
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT id, name, kind, fields, sealed, created_at, updated_at, last_used_at FROM credential
             WHERE workspace_id = $1 AND id > $2 ORDER BY id LIMIT $3",
            self.key(),
            after.map_or(Uuid::nil(), |id| id.0),
            limit + 1
        )?;
        Page::of(rows, limit).try_map(|row| Ok(row.into()))
    }

    /// A credential.
    pub async fn get_credential(&self, id: CredentialId) -> Result<Credential> {
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            "SELECT id, name, kind, fields, sealed, created_at, updated_at, last_used_at FROM credential
             WHERE workspace_id = $1 AND id = $2",
            self.key(),
            id.0
        )?;
        row.map(Credential::from).ok_or(Error::NotFound("credential"))
    }

    /// A credential by name, with its ciphertext.
    pub async fn find_sealed_credential(&self, name: &str) -> Result<Option<(Credential, Vec<u8>)>> {
        if name.contains('\0') {
            return Ok(None);
        }
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            "SELECT id, name, kind, fields, sealed, created_at, updated_at, last_used_at FROM credential
             WHERE workspace_id = $1 AND name = $2",
            self.key(),
            name
        )?;
        Ok(row.map(|mut row| {
            let sealed = std::mem::take(&mut row.sealed);
            (row.into(), sealed)
        }))
    }

    /// Puts another value in the place of a credential's.
    pub async fn replace_credential(&self, id: CredentialId, value: SealedValue, now: Instant) -> Result<Credential> {
        refuse_nul(value.fields.iter().map(String::as_str).chain([value.kind.as_str()]))?;
        let mut cx = self.write().await?;
        let replaced = q!(
            cx,
            execute,
            "UPDATE credential SET kind = $3, fields = $4, sealed = $5, updated_at = $6
             WHERE workspace_id = $1 AND id = $2",
            self.key(),
            id.0,
            &value.kind,
            Json(&value.fields),
            &value.sealed,
            now
        )?;
        if replaced == 0 {
            return Err(Error::NotFound("credential"));
        }
        cx.commit().await?;
        self.get_credential(id).await
    }

    /// Puts another value in the place of exactly this one. False: it has another value by now.
    pub async fn exchange_credential(
        &self,
        id: CredentialId,
        previous: &[u8],
        value: SealedValue,
        now: Instant,
    ) -> Result<bool> {
        refuse_nul(value.fields.iter().map(String::as_str).chain([value.kind.as_str()]))?;
        let mut cx = self.write().await?;
        let exchanged = q!(
            cx,
            execute,
            "UPDATE credential SET kind = $4, fields = $5, sealed = $6, updated_at = $7
             WHERE workspace_id = $1 AND id = $2 AND sealed = $3",
            self.key(),
            id.0,
            previous,
            &value.kind,
            Json(&value.fields),
            &value.sealed,
            now
        )?;
        cx.commit().await?;
        Ok(exchanged > 0)
    }

    /// Notes that a credential was used.
    pub async fn touch_credential(&self, id: CredentialId, now: Instant) -> Result<()> {
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "UPDATE credential SET last_used_at = $3 WHERE workspace_id = $1 AND id = $2",
            self.key(),
            id.0,
            now
        )?;
        cx.commit().await
    }

    /// Removes a credential.
    pub async fn delete_credential(&self, id: CredentialId) -> Result<()> {
        let mut cx = self.write().await?;
        let deleted = q!(cx, execute, "DELETE FROM credential WHERE workspace_id = $1 AND id = $2", self.key(), id.0)?;
        if deleted == 0 {
            return Err(Error::NotFound("credential"));
        }
        cx.commit().await
    }
}
