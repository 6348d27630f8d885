//! The deletion guard of a source: past its limits deletions are held, see `holds`.

use tributary_core::SourceId;
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    finish::Prune,
    sources,
    tenant::TenantDb,
};

/// The limits a source has of its own.
pub(crate) async fn guard(cx: &mut Cx, workspace: Uuid, source: SourceId) -> Result<Option<Prune>> {
    let own = own(cx, workspace, source).await?;
    Ok(own.map(|(percent, max_items)| Prune { max_share: percent as f64 / 100.0, max_items }))
}

/// Gives a locked or new source limits of its own, or takes them away.
pub(crate) async fn limit(cx: &mut Cx, workspace: Uuid, source: SourceId, limits: Option<(i64, i64)>) -> Result<()> {
    q!(
        cx,
        execute,
        "UPDATE source SET guard_percent = $3, guard_items = $4 WHERE workspace_id = $1 AND id = $2",
        workspace,
        source.0,
        limits.map(|(percent, _)| percent),
        limits.map(|(_, items)| items)
    )?;
    Ok(())
}

/// The same in whole percent and documents.
async fn own(cx: &mut Cx, workspace: Uuid, source: SourceId) -> Result<Option<(i64, i64)>> {
    Ok(q!(
        cx,
        fetch_optional as (i64, i64),
        "SELECT guard_percent, guard_items FROM source
         WHERE workspace_id = $1 AND id = $2 AND guard_percent IS NOT NULL AND guard_items IS NOT NULL",
        workspace,
        source.0
    )?)
}

impl TenantDb {
    /// The deletion guard of a source: past both limits deletions are held.
    pub async fn deletion_guard(&self, source: SourceId) -> Result<Prune> {
        self.get_source(source).await?;
        Ok(guard(&mut self.read().await?, self.key(), source).await?.unwrap_or_default())
    }

    /// The limits it has of its own, in whole percent and documents; `None`: the default holds.
    pub async fn own_deletion_guard(&self, source: SourceId) -> Result<Option<(i64, i64)>> {
        self.get_source(source).await?;
        own(&mut self.read().await?, self.key(), source).await
    }

    /// Sets the guard of a source, in whole percent and documents; `None` takes the default.
    pub async fn set_deletion_guard(&self, source: SourceId, limits: Option<(i64, i64)>) -> Result<()> {
        if !self.audience().admits_source(source) {
            return Err(Error::NotFound("source"));
        }
        let mut cx = self.write().await?;
        sources::lock(&mut cx, self.key(), source).await?;
        limit(&mut cx, self.key(), source, limits).await?;
        cx.commit().await
    }
}
