//! When what hosts remember of people and keys is out of date.

use tributary_core::Instant;

use crate::{db::Cx, dialect::q, error::Result, tenant::SystemDb};

/// Tells every host, once committed, that somebody may do more, or less, than before.
pub(crate) async fn bump(cx: &mut Cx) -> Result<()> {
    q!(cx, execute, "UPDATE identity_epoch SET epoch = epoch + 1")?;
    Ok(())
}

impl SystemDb {
    /// Grows with every change of who may do what.
    pub async fn identity_epoch(&self) -> Result<i64> {
        let mut cx = self.read().await?;
        Ok(q!(cx, fetch_one as (i64), "SELECT epoch FROM identity_epoch")?)
    }

    /// Forgets log-ins that ended, and invitations and resets that ran out, before this moment.
    pub async fn purge_identity(&self, before: Instant) -> Result<u64> {
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "DELETE FROM refresh_token WHERE session_id IN (SELECT id FROM session WHERE expires_at < $1 OR ended_at < $1)",
            before
        )?;
        let mut gone = q!(cx, execute, "DELETE FROM session WHERE expires_at < $1 OR ended_at < $1", before)?;
        gone += q!(cx, execute, "DELETE FROM password_reset WHERE expires_at < $1", before)?;
        gone += q!(cx, execute, "DELETE FROM invitation WHERE expires_at < $1", before)?;
        cx.commit().await?;
        Ok(gone)
    }
}
