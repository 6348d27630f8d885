//! When what hosts remember of people and keys is out of date.

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
}
