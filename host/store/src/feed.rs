//! The feed of changes that search indexes follow: every document whose state changed after a position, in commit order.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use tributary_core::{
    DocumentId, Instant, Position, WorkspaceId,
    document::{IndexedDocument, LiveDocument},
    fields::Fields,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    documents,
    error::{Error, Result},
    tenant::{SystemDb, TenantDb},
};

/// How far a reader of the feed has come. One commit may touch more documents than fit into one answer, so a place is a position and,
/// inside that commit, a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedCursor {
    /// The commit.
    pub position: Position,
    /// The last document read of it; `None`: all of it.
    pub document: Option<DocumentId>,
}

impl FeedCursor {
    /// After the whole of a commit. `at(0)` is the beginning.
    pub fn at(position: Position) -> Self {
        Self { position, document: None }
    }

    /// The newest commit of which everything was read.
    pub fn complete(self) -> Position {
        if self.document.is_some() { self.position - 1 } else { self.position }
    }
}

/// How much to read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedLimits {
    /// Most documents.
    pub documents: i64,
    /// Most bytes of text; one document is read whatever its size.
    pub bytes: i64,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self { documents: 512, bytes: 16 << 20 }
    }
}

/// Some of the feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// Each document once at most, in commit order.
    pub documents: Vec<IndexedDocument>,
    /// Where to go on. Without `more` it is the workspace's position.
    pub up_to: FeedCursor,
    /// Whether there was more at the time.
    pub more: bool,
    /// The newest commit of a document that was purged since: whoever had not read that far cannot know of all that is gone.
    pub purged: Position,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    change_seq: i64,
    gone: Option<String>,
    source_id: Uuid,
    external_id: String,
    version: i64,
    title: String,
    kind: String,
    language: Option<String>,
    fields: Json<Fields>,
    text_bytes: i64,
    updated_at: Instant,
}

impl TenantDb {
    /// The number of the workspace's newest commit.
    pub async fn position(&self) -> Result<Position> {
        let mut cx = self.read().await?;
        let position = q!(cx, fetch_optional as (i64), "SELECT change_seq FROM workspace WHERE id = $1", self.key())?;
        position.ok_or(Error::NotFound("workspace"))
    }

    /// The newest commit of a document that was purged; 0 when none was.
    pub async fn purged_position(&self) -> Result<Position> {
        self.purged(&mut self.read().await?).await
    }

    async fn purged(&self, cx: &mut Cx) -> Result<Position> {
        let purged = q!(cx, fetch_optional as (i64), "SELECT purged_seq FROM workspace WHERE id = $1", self.key())?;
        purged.ok_or(Error::NotFound("workspace"))
    }

    /// Documents that changed after a place in the feed, as they are now. Nothing is skipped: a document that changes again while the
    /// feed is read moves to its later place.
    pub async fn changes_after(&self, after: FeedCursor, limits: FeedLimits) -> Result<Changes> {
        let limit = limits.documents.clamp(1, 10_000);
        // Read first: what the documents show afterwards is at least this new, because numbers are given in commit order.
        let position = self.position().await?;
        let mut cx = self.read().await?;
        let mut rows = q!(
            cx,
            fetch_all as Row,
            "SELECT d.id, d.change_seq, d.gone, d.source_id, d.external_id, d.version, v.title, v.kind, v.language, v.fields,
                 v.text_bytes, v.created_at AS updated_at
             FROM document d
             JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version = d.version
             WHERE d.workspace_id = $1 AND d.change_seq >= $2 AND (d.change_seq > $2 OR d.id > $3)
             ORDER BY d.change_seq, d.id LIMIT $4",
            self.key(),
            after.position,
            after.document.map_or(Uuid::max(), |id| id.0),
            limit + 1
        )?;

        let mut bytes = 0;
        let fits = rows.iter().take_while(|row| {
            bytes += if row.gone.is_none() { row.text_bytes } else { 0 };
            bytes <= limits.bytes
        });
        let taken = fits.count().max(1).min(usize::try_from(limit).unwrap_or(1)).min(rows.len());
        let next = rows.get(taken).map(|row| row.change_seq);
        rows.truncate(taken);
        let up_to = match (rows.last(), next) {
            (Some(last), Some(next)) if next == last.change_seq => {
                FeedCursor { position: last.change_seq, document: Some(last.id.into()) }
            }
            (Some(last), Some(_)) => FeedCursor::at(last.change_seq),
            (Some(last), None) => FeedCursor::at(position.max(last.change_seq)),
            (None, _) => FeedCursor::at(position.max(after.complete())),
        };

        let live = rows.iter().filter(|row| row.gone.is_none()).map(|row| (row.id.into(), row.version));
        let mut chunks = documents::chunks_of(&mut cx, self.key(), live).await?;
        // Read last: what was purged before the documents were read shows.
        let purged = self.purged(&mut cx).await?;
        let documents = rows.into_iter().map(|row| {
            let id = DocumentId::from(row.id);
            let live = row.gone.is_none().then(|| LiveDocument {
                source_id: row.source_id.into(),
                external_id: row.external_id,
                version: row.version,
                title: row.title,
                kind: row.kind,
                language: row.language,
                fields: row.fields.0,
                updated_at: row.updated_at,
                chunks: chunks.remove(&id).unwrap_or_default(),
            });
            IndexedDocument { id, change_seq: row.change_seq, live }
        });
        Ok(Changes { documents: documents.collect(), up_to, more: next.is_some(), purged })
    }
}

impl SystemDb {
    /// Where every workspace with any change stands: what the index loops compare theirs with.
    pub async fn workspace_positions(&self) -> Result<Vec<(WorkspaceId, Position)>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as (Uuid, i64),
            "SELECT id, change_seq FROM workspace WHERE change_seq > 0 AND deleting_at IS NULL ORDER BY id"
        )?;
        Ok(rows.into_iter().map(|(id, position)| (id.into(), position)).collect())
    }
}
