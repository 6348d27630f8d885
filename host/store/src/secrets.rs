//! Secrets of the instance, sealed before they come here, and the name of the master key that seals them.
//!
//! Whoever writes a sealed secret proves in the same transaction that its master key is the one in force, so that a host which missed a
//! rotation cannot leave behind what nobody opens any more.

use serde::Serialize;
use tributary_core::Instant;

use crate::{
    audit::{self, NewAuditEvent},
    db::Cx,
    dialect::q,
    error::{Error, Result},
    rows::json_list,
    tenant::SystemDb,
};

/// A secret of the instance.
#[derive(Clone, Debug, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct SealedSecret {
    /// Unique.
    pub name: String,
    /// The master key it is sealed by.
    pub key_id: String,
    /// Ciphertext.
    pub sealed: Vec<u8>,
}

/// How much is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct SealedCounts {
    /// Secrets of the instance, with the data keys of workspaces.
    pub secrets: i64,
    /// Credentials in all workspaces.
    pub credentials: i64,
}

#[derive(Serialize)]
struct Resealed {
    name: String,
    /// Hex.
    sealed: String,
}

impl SystemDb {
    /// The name of the master key in force; `None` before anything was sealed.
    pub async fn find_master_key(&self) -> Result<Option<String>> {
        let mut cx = self.read().await?;
        Ok(q!(cx, fetch_optional as (String), "SELECT key_id FROM master_key WHERE id = 1")?)
    }

    /// The name of the master key in force, after offering `candidate` as the first one: of several hosts starting at once, one wins.
    pub async fn claim_master_key(&self, candidate: &str, now: Instant) -> Result<String> {
        if let Some(key_id) = self.find_master_key().await? {
            return Ok(key_id);
        }
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO master_key (id, key_id, created_at) VALUES (1, $1, $2) ON CONFLICT DO NOTHING",
            candidate,
            now
        )?;
        cx.commit().await?;
        self.find_master_key().await?.ok_or(Error::NotFound("master key"))
    }

    /// A secret.
    pub async fn find_secret(&self, name: &str) -> Result<Option<SealedSecret>> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_optional as SealedSecret,
            "SELECT name, key_id, sealed FROM system_secret WHERE name = $1",
            name
        )?)
    }

    /// The secret of a name, after offering `candidate` as the first one: of several hosts, one wins and all agree.
    /// `OtherMasterKey` when the candidate was sealed by one that is not in force.
    pub async fn keep_secret(&self, candidate: SealedSecret, now: Instant) -> Result<SealedSecret> {
        let mut cx = self.write().await?;
        prove(&mut cx, &candidate.key_id).await?;
        q!(
            cx,
            execute,
            "INSERT INTO system_secret (name, key_id, sealed, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            &candidate.name,
            &candidate.key_id,
            &candidate.sealed,
            now
        )?;
        cx.commit().await?;
        self.find_secret(&candidate.name).await?.ok_or(Error::NotFound("secret"))
    }

    /// Puts the master key `to` in the place of `from` and seals every secret anew, all or nothing, with an event in the audit log.
    /// `reseal` gives the new ciphertext, or an error that ends it all. Gives the number of secrets.
    pub async fn rotate_master_key<E: From<Error>>(
        &self,
        from: &str,
        to: &str,
        mut reseal: impl FnMut(&SealedSecret) -> Result<Vec<u8>, E>,
        event: NewAuditEvent,
    ) -> Result<usize, E> {
        let mut cx = self.write().await?;
        prove(&mut cx, from).await?;
        let secrets = q!(cx, fetch_all as SealedSecret, "SELECT name, key_id, sealed FROM system_secret ORDER BY name")
            .map_err(Error::from)?;
        let mut resealed = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let sealed = reseal(&secret)?.iter().map(|byte| format!("{byte:02x}")).collect();
            resealed.push(Resealed { name: secret.name, sealed });
        }
        q!(
            cx,
            execute,
            "UPDATE system_secret SET key_id = $2, sealed = r.sealed FROM {rows $1: name text, sealed bytes} AS r
             WHERE system_secret.name = r.name",
            json_list(&resealed)?,
            to
        )
        .map_err(Error::from)?;
        q!(cx, execute, "UPDATE master_key SET key_id = $1, created_at = $2 WHERE id = 1", to, event.at)
            .map_err(Error::from)?;
        audit::append(&mut cx, event).await?;
        cx.commit().await?;
        Ok(resealed.len())
    }

    /// How much is sealed.
    pub async fn count_sealed(&self) -> Result<SealedCounts> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_one as SealedCounts,
            "SELECT (SELECT COUNT(*) FROM system_secret) AS secrets, (SELECT COUNT(*) FROM credential) AS credentials"
        )?)
    }
}

/// Proves that a master key is the one in force, and keeps it so until the transaction ends.
async fn prove(cx: &mut Cx, key_id: &str) -> Result<()> {
    let in_force = q!(cx, fetch_optional as (String), "SELECT key_id FROM master_key WHERE id = 1 {lock}")?;
    match in_force {
        Some(in_force) if in_force == key_id => Ok(()),
        Some(in_force) => Err(Error::OtherMasterKey { in_force }),
        None => Err(Error::NotFound("master key")),
    }
}
