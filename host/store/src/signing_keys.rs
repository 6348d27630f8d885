//! The key that signs access tokens.

use tributary_core::Instant;

use crate::{
    dialect::q,
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
    /// The key in use.
    pub async fn find_signing_key(&self) -> Result<Option<SigningKey>> {
        let mut cx = self.db.read().await?;
        Ok(q!(cx, fetch_optional as SigningKey, "SELECT kid, sealed_pkcs8, created_at FROM signing_key WHERE in_use")?)
    }

    /// The key in use, after offering `candidate` as the first one: of several hosts starting at once, one wins and all agree.
    pub async fn signing_key(&self, candidate: SigningKey) -> Result<SigningKey> {
        let mut cx = self.db.write().await?;
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
}
