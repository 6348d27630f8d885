//! Deleting documents, bringing them back, and purging what stayed deleted: then nothing of them is left but what answers quote.

use std::collections::BTreeMap;

use serde::Serialize;
use tributary_core::{DocumentId, Instant, Position, WorkspaceId, contract::Gone};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    rows::{json_list, limited, time_text},
    sources,
    tenant::{SystemDb, TenantDb},
};

/// From when on a workspace's deleted documents are purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeDeleted {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// What was deleted before this moment.
    pub deleted_before: Instant,
}

/// What became of the wish to bring a document back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It is back, as of this commit.
    Back(Position),
    /// It was not gone.
    NotDeleted,
    /// Its source is deleted: that is to be restored.
    SourceDeleted,
    /// There is no such document.
    NoSuchDocument,
}

/// [`PurgeDeleted`] as a row of a list.
#[derive(Serialize)]
pub(crate) struct PolicyRow {
    workspace_id: WorkspaceId,
    before: String,
}

impl From<&PurgeDeleted> for PolicyRow {
    fn from(it: &PurgeDeleted) -> Self {
        Self { workspace_id: it.workspace_id, before: time_text(it.deleted_before) }
    }
}

impl TenantDb {
    /// Hides a document at once. It can be restored until it is purged. `None`: no such live document.
    pub async fn delete_document(&self, id: DocumentId, by: &str, now: Instant) -> Result<Option<Position>> {
        let mut cx = self.write().await?;
        let source = q!(
            cx,
            fetch_optional as (Uuid),
            "SELECT source_id FROM document WHERE workspace_id = $1 AND id = $2 AND gone IS NULL",
            self.key(),
            id.0
        )?;
        let Some(source) = source else { return Ok(None) };
        sources::lock(&mut cx, self.key(), source.into()).await?;
        let position = self.next_position(&mut cx).await?;
        let hidden = q!(
            cx,
            execute,
            "UPDATE document SET gone = $3, change_seq = $4, gone_at = $5, gone_by = $6, gone_run_id = NULL
             WHERE workspace_id = $1 AND id = $2 AND gone IS NULL",
            self.key(),
            id.0,
            Gone::Deleted.as_str(),
            position,
            now,
            by
        )?;
        if hidden == 0 {
            return Ok(None);
        }
        cx.commit().await?;
        Ok(Some(position))
    }

    /// Brings a deleted document back as it was.
    pub async fn restore_document(&self, id: DocumentId) -> Result<Restored> {
        let mut cx = self.write().await?;
        let Some(document) = self.visible(&mut cx, id).await? else { return Ok(Restored::NoSuchDocument) };
        if document.tombstone.is_none() {
            return Ok(Restored::NotDeleted);
        }
        match sources::lock(&mut cx, self.key(), document.source_id).await {
            Ok(_) => {}
            Err(Error::NotFound(_)) => return Ok(Restored::SourceDeleted),
            Err(error) => return Err(error),
        }
        let position = self.next_position(&mut cx).await?;
        let back = q!(
            cx,
            execute,
            "UPDATE document SET gone = NULL, gone_at = NULL, gone_by = NULL, gone_run_id = NULL, change_seq = $3
             WHERE workspace_id = $1 AND id = $2 AND gone IS NOT NULL",
            self.key(),
            id.0,
            position
        )?;
        if back == 0 {
            return Ok(Restored::NotDeleted);
        }
        cx.commit().await?;
        Ok(Restored::Back(position))
    }

    /// Removes documents that are gone, as far as they were deleted before this moment, with every version. How many it were.
    pub async fn purge_documents(&self, ids: &[DocumentId], deleted_before: Instant) -> Result<u64> {
        let mut cx = self.write().await?;
        let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
        let purged = self.purge(&mut cx, &ids, Some(deleted_before)).await?;
        cx.commit().await?;
        Ok(purged)
    }

    /// The same, in the transaction of a caller, and perhaps whenever they were deleted.
    pub(crate) async fn purge(&self, cx: &mut Cx, ids: &[Uuid], deleted_before: Option<Instant>) -> Result<u64> {
        // The workspace's row before those of documents, as whoever commits documents does.
        q!(
            cx,
            execute,
            "UPDATE workspace SET purged_seq = (SELECT CASE WHEN MAX(d.change_seq) > workspace.purged_seq THEN MAX(d.change_seq)
                 ELSE workspace.purged_seq END FROM document d WHERE d.workspace_id = $1 AND {key d.id: $2}) WHERE id = $1",
            self.key(),
            json_list(ids)?
        )?;
        // Locks them: what came back meanwhile stays.
        let gone = q!(
            cx,
            fetch_all as (Uuid),
            "UPDATE document SET kept_versions = 0 WHERE workspace_id = $1 AND {key id: $2} AND gone_at IS NOT NULL AND ($3 IS NULL OR gone_at < $3)
             RETURNING id",
            self.key(),
            json_list(ids)?,
            deleted_before
        )?;
        let list = json_list(&gone)?;
        q!(cx, execute, "DELETE FROM chunk WHERE workspace_id = $1 AND {key document_id: $2}", self.key(), &list)?;
        q!(
            cx,
            execute,
            "DELETE FROM document_version WHERE workspace_id = $1 AND {key document_id: $2}",
            self.key(),
            &list
        )?;
        Ok(q!(cx, execute, "DELETE FROM document WHERE workspace_id = $1 AND {key id: $2}", self.key(), &list)?)
    }
}

impl SystemDb {
    /// Documents that stayed deleted for as long as their workspaces keep them, at most `limit`; those of deleted sources go with these.
    pub async fn long_deleted(
        &self,
        purge: &[PurgeDeleted],
        limit: i64,
    ) -> Result<BTreeMap<WorkspaceId, Vec<DocumentId>>> {
        let policies: Vec<_> = purge.iter().map(PolicyRow::from).collect();
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as (Uuid, Uuid),
            "SELECT d.workspace_id, d.id FROM {rows $1: workspace_id uuid, before time} AS p
             {look up document d: d.workspace_id = p.workspace_id AND d.gone_at IS NOT NULL AND d.gone_at < p.before AND d.gone <> 'source_deleted'}
             LIMIT $2",
            json_list(&policies)?,
            limited(limit)
        )?;
        let mut deleted = BTreeMap::<_, Vec<_>>::new();
        for (workspace, document) in rows {
            deleted.entry(workspace.into()).or_default().push(document.into());
        }
        Ok(deleted)
    }
}
