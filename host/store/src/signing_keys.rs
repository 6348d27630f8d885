//! The keys that sign and verify access tokens.

use tributary_core::Instant;

use crate::{
    dialect::q,
    epoch,
    error::{Error, Result},
    tenant::SystemDb,
};

/// An Ed25519 key pair.
#[derive(Clone, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct SigningKey {
    /// Its name in tokens.
    pub kid: String,
    /// PKCS#8 DER, sealed before it comes here.
    pub sealed_pkcs8: Vec<u8>,
    /// When it was made.
    pub created_at: Instant,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl SystemDb {
    /// The key that signs.
    pub async fn find_signing_key(&self) -> Result<Option<SigningKey>> {
        let mut cx = self.read().await?;
        Ok(q!(cx, fetch_optional as SigningKey, "SELECT kid, sealed_pkcs8, created_at FROM signing_key WHERE in_use")?)
    }

    /// The keys that verify: the one that signs first, then those before it that are not retired yet.
    pub async fn verifying_keys(&self, now: Instant) -> Result<Vec<SigningKey>> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_all as SigningKey,
            "SELECT kid, sealed_pkcs8, created_at FROM signing_key WHERE in_use OR retired_at > $1 ORDER BY in_use DESC, created_at DESC LIMIT 10",
            now
        )?)
    }

    /// The key that signs, after offering `candidate` as the first one: of several hosts starting at once, one wins and all agree.
    pub async fn signing_key(&self, candidate: SigningKey) -> Result<SigningKey> {
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO signing_key (kid, sealed_pkcs8, created_at, in_use) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            &candidate.kid,
            &candidate.sealed_pkcs8,
            candidate.created_at,
            true
        )?;
        cx.commit().await?;
        self.find_signing_key().await?.ok_or(Error::NotFound("signing key"))
    }

    /// Signs with `new` from now on. The key before it verifies until `retire_at`; older ones are forgotten.
    pub async fn rotate_signing_key(&self, new: SigningKey, retire_at: Instant) -> Result<()> {
        let mut cx = self.write().await?;
        q!(cx, execute, "DELETE FROM signing_key WHERE retired_at <= $1", new.created_at)?;
        q!(cx, execute, "UPDATE signing_key SET in_use = $1, retired_at = $2 WHERE in_use", false, retire_at)?;
        q!(
            cx,
            execute,
            "INSERT INTO signing_key (kid, sealed_pkcs8, created_at, in_use) VALUES ($1, $2, $3, $4)",
            &new.kid,
            &new.sealed_pkcs8,
            new.created_at,
            true
        )?;
        epoch::bump(&mut cx).await?;
        cx.commit().await
    }
}
