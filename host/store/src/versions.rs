//! The versions of a document: which there are, and letting go of old ones.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{
    DocumentId, Instant, WorkspaceId,
    citation::ConnectorRef,
    document::{Provenance, VersionInfo},
    fields::Fields,
    hash::Sha256Hash,
};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::{Error, Result},
    rows::{Page, json_list, limited, named, time_text},
    tenant::{SystemDb, TenantDb},
};

/// How long a workspace keeps old versions: those among the newest so many, and those that were the present one until not long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepVersions {
    /// Whose.
    pub workspace_id: WorkspaceId,
    /// So many, the present one included; at least 1.
    pub newest: i64,
    /// And those that were replaced after this moment.
    pub replaced_after: Instant,
}

/// Versions that need not be kept any longer, by workspace.
pub type OldVersions = BTreeMap<WorkspaceId, Vec<(DocumentId, i64)>>;

#[derive(sqlx_macros::FromRow)]
struct Row {
    version: i64,
    current: bool,
    title: String,
    kind: String,
    language: Option<String>,
    url: Option<String>,
    fields: Json<Fields>,
    provenance: Json<Provenance>,
    content_hash: Vec<u8>,
    text_bytes: i64,
    outcome: String,
    run_id: Uuid,
    run_source_id: Uuid,
    connector_id: String,
    connector_version: String,
    connector_digest: String,
    created_at: Instant,
}

impl TryFrom<Row> for VersionInfo {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let hash = row
            .content_hash
            .try_into()
            .map_err(|_| Error::Corrupt("a content hash is not 32 bytes long".to_owned()))?;
        Ok(Self {
            version: row.version,
            current: row.current,
            title: row.title,
            kind: row.kind,
            language: row.language,
            url: row.url,
            fields: row.fields.0,
            provenance: row.provenance.0,
            content_hash: Sha256Hash(hash),
            text_bytes: row.text_bytes,
            outcome: named(&row.outcome)?,
            run_id: row.run_id.into(),
            run_source_id: row.run_source_id.into(),
            connector: ConnectorRef {
                id: row.connector_id,
                version: row.connector_version,
                digest: row.connector_digest,
            },
            created_at: row.created_at,
        })
    }
}

#[derive(Serialize)]
struct PolicyRow {
    workspace_id: WorkspaceId,
    newest: i64,
    replaced: String,
}

#[derive(Serialize)]
struct VersionKey {
    document: DocumentId,
    number: i64,
}

impl TenantDb {
    /// The kept versions of a live document, newest first; `None`: no such document. Those that the caller may not see are left out.
    pub async fn list_versions(
        &self,
        id: DocumentId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Option<Page<VersionInfo>>> {
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let Some(document) = self.visible(&mut cx, id).await?.filter(|it| it.tombstone.is_none()) else {
            return Ok(None);
        };
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT v.version, v.version = d.version AS current, v.title, v.kind, v.language, v.url, v.fields, v.provenance,
                 v.content_hash, v.text_bytes, v.outcome, v.run_id, r.source_id AS run_source_id, r.connector_id, r.connector_version,
                 r.connector_digest, v.created_at
             FROM document_version v
             JOIN document d ON d.workspace_id = v.workspace_id AND d.id = v.document_id
             JOIN run r ON r.workspace_id = v.workspace_id AND r.id = v.run_id
             WHERE v.workspace_id = $1 AND v.document_id = $2 AND v.version < $3 ORDER BY v.version DESC LIMIT $4",
            self.key(),
            id.0,
            before.unwrap_or(i64::MAX),
            limit + 1
        )?;
        let mut page = Page::of(rows, limit).try_map(VersionInfo::try_from)?;
        page.items.retain(|it| self.audience().admits(document.source_id, &it.kind, &it.fields));
        Ok(Some(page))
    }

    /// Forgets versions, with their text; the present one of a document stays whatever is asked for. How many it were.
    pub async fn purge_versions(&self, versions: &[(DocumentId, i64)]) -> Result<u64> {
        let keys: Vec<_> =
            versions.iter().map(|(document, number)| VersionKey { document: *document, number: *number }).collect();
        let list = json_list(&keys)?;
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "DELETE FROM chunk WHERE workspace_id = $1 AND (document_id, version) IN (SELECT p.document, p.number
                 FROM {rows $2: document uuid, number int} AS p
                 {look up document d: d.workspace_id = $1 AND d.id = p.document AND d.version > p.number})",
            self.key(),
            &list
        )?;
        let purged = q!(
            cx,
            fetch_all as (Uuid),
            "DELETE FROM document_version WHERE workspace_id = $1 AND (document_id, version) IN (SELECT p.document, p.number
                 FROM {rows $2: document uuid, number int} AS p
                 {look up document d: d.workspace_id = $1 AND d.id = p.document AND d.version > p.number}) RETURNING document_id",
            self.key(),
            &list
        )?;
        let mut fewer = BTreeMap::<Uuid, i64>::new();
        purged.iter().for_each(|id| *fewer.entry(*id).or_default() += 1);
        let fewer: Vec<_> =
            fewer.into_iter().map(|(document, number)| VersionKey { document: document.into(), number }).collect();
        q!(
            cx,
            execute,
            "UPDATE document SET kept_versions = kept_versions - p.number FROM {rows $2: document uuid, number int} AS p
             WHERE document.workspace_id = $1 AND document.id = p.document",
            self.key(),
            json_list(&fewer)?
        )?;
        cx.commit().await?;
        Ok(purged.len() as u64)
    }
}

impl SystemDb {
    /// Versions that are older than their workspaces keep them, at most `limit`.
    pub async fn old_versions(&self, keep: &[KeepVersions], limit: i64) -> Result<OldVersions> {
        let policies = keep.iter().map(|it| PolicyRow {
            workspace_id: it.workspace_id,
            newest: it.newest.max(1),
            replaced: time_text(it.replaced_after),
        });
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as (Uuid, Uuid, i64),
            "SELECT v.workspace_id, v.document_id, v.version
             FROM {rows $1: workspace_id uuid, newest int, replaced time} AS p
             {look up document d: d.workspace_id = p.workspace_id AND d.kept_versions > p.newest AND d.kept_versions > 1}
             {look up document_version v: v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version <= d.version - p.newest}
             {look up document_version n: n.workspace_id = v.workspace_id AND n.document_id = v.document_id AND n.version = v.version + 1 AND n.created_at < p.replaced}
             LIMIT $2",
            json_list(&policies.collect::<Vec<_>>())?,
            limited(limit)
        )?;
        let mut old = OldVersions::new();
        for (workspace, document, version) in rows {
            old.entry(workspace.into()).or_default().push((document.into(), version));
        }
        Ok(old)
    }
}
