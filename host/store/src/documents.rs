//! Documents as people see them: lists, texts, versions, deletion.

use std::collections::HashMap;

use sqlx::types::Json;
use tributary_core::{
    DocumentId, Instant, Position, SourceId,
    contract::Gone,
    document::{ChunkDraft, Document, Locator, Provenance},
    fields::Fields,
    hash::Sha256Hash,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    rows::{Page, json_list, limited, named},
    sources,
    tenant::TenantDb,
};

/// Which documents.
#[derive(Clone, Debug, Default)]
pub struct DocumentFilter {
    /// Of this source.
    pub source_id: Option<SourceId>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Whose current version was committed after this moment.
    pub updated_after: Option<Instant>,
}

/// A document with the text of one version; the chunks' texts, one after the other, are the text.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentWithText {
    /// The document. Title, fields and the like are those of the version asked for.
    pub document: Document,
    /// The version's text.
    pub chunks: Vec<ChunkDraft>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    source_id: Uuid,
    external_id: String,
    version: i64,
    title: String,
    kind: String,
    language: Option<String>,
    url: Option<String>,
    fields: Json<Fields>,
    provenance: Json<Provenance>,
    content_hash: Vec<u8>,
    run_id: Uuid,
    gone: Option<String>,
    created_at: Instant,
    updated_at: Instant,
    change_seq: i64,
}

/// What [`Row`] reads, from a document `d` and a version `v` of it.
macro_rules! columns {
    () => {
        "d.id, d.source_id, d.external_id, v.version, v.title, v.kind, v.language, v.url, v.fields, v.provenance, v.content_hash,
         v.run_id, d.gone, d.created_at, v.created_at AS updated_at, d.change_seq"
    };
}

impl TryFrom<Row> for Document {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let hash = row
            .content_hash
            .try_into()
            .map_err(|_| Error::Corrupt("a content hash is not 32 bytes long".to_owned()))?;
        Ok(Self {
            id: row.id.into(),
            source_id: row.source_id.into(),
            external_id: row.external_id,
            version: row.version,
            title: row.title,
            kind: row.kind,
            language: row.language,
            url: row.url,
            fields: row.fields.0,
            provenance: row.provenance.0,
            content_hash: Sha256Hash(hash),
            run_id: row.run_id.into(),
            gone: row.gone.as_deref().map(named).transpose()?,
            created_at: row.created_at,
            updated_at: row.updated_at,
            change_seq: row.change_seq,
        })
    }
}

#[derive(sqlx_macros::FromRow)]
struct ChunkRow {
    document_id: Uuid,
    section: Json<Vec<String>>,
    locator: Option<Json<Locator>>,
    start_char: i64,
    body: String,
}

#[derive(serde::Serialize)]
struct Wanted {
    id: DocumentId,
    version: i64,
}

/// The chunks of several versions in one read, by document, in order.
pub(crate) async fn chunks_of(
    cx: &mut Cx,
    workspace: Uuid,
    versions: impl Iterator<Item = (DocumentId, i64)>,
) -> Result<HashMap<DocumentId, Vec<ChunkDraft>>> {
    let wanted: Vec<_> = versions.map(|(id, version)| Wanted { id, version }).collect();
    let rows = q!(
        cx,
        fetch_all as ChunkRow,
        "SELECT c.document_id, c.section, c.locator, c.start_char, c.body FROM {rows $2: id uuid, version int} AS w
         {look up chunk c: c.workspace_id = $1 AND c.document_id = w.id AND c.version = w.version}
         ORDER BY c.document_id, c.chunk_no",
        workspace,
        json_list(&wanted)?
    )?;
    let mut chunks: HashMap<DocumentId, Vec<ChunkDraft>> = HashMap::with_capacity(wanted.len());
    for row in rows {
        chunks.entry(row.document_id.into()).or_default().push(ChunkDraft {
            section: row.section.0,
            locator: row.locator.map(|locator| locator.0),
            start: row.start_char,
            text: row.body,
        });
    }
    Ok(chunks)
}

impl TenantDb {
    /// Live documents, oldest first.
    pub async fn list_documents(
        &self,
        filter: &DocumentFilter,
        after: Option<DocumentId>,
        limit: i64,
    ) -> Result<Page<Document>> {
        let limit = limited(limit);
        if filter.kind.as_ref().is_some_and(|kind| kind.contains('\0')) {
            return Ok(Page { items: Vec::new(), more: false });
        }
        let audience = self.audience();
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM document d
                 JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version = d.version
                 WHERE d.workspace_id = $1 AND d.id > $2 AND d.gone IS NULL AND ($3 IS NULL OR d.source_id = $3)
                     AND ($4 IS NULL OR d.kind = $4) AND ($5 IS NULL OR d.updated_at > $5)
                     AND ($7 IS NULL OR d.source_id IN {ids $7}) AND ($8 IS NULL OR d.kind IN {texts $8})
                     AND ($9 IS NULL OR v.fields->>$9 IN {texts $10})
                 ORDER BY d.id LIMIT $6"
            ),
            self.key(),
            after.map_or(Uuid::nil(), |id| id.0),
            filter.source_id.map(|id| id.0),
            filter.kind.as_ref(),
            filter.updated_after,
            limit + 1,
            audience.source_ids.as_deref().map(json_list).transpose()?,
            audience.kinds.as_deref().map(json_list).transpose()?,
            audience.field.as_ref().map(|field| field.name.as_str()),
            audience.field.as_ref().map(|field| json_list(&field.any_of)).transpose()?
        )?;
        let mut page = Page::of(rows, limit).try_map(Document::try_from)?;
        page.items.retain(|document| audience.admits(document.source_id, &document.kind, &document.fields));
        Ok(page)
    }

    /// A live document with its current text.
    pub async fn find_document(&self, id: DocumentId) -> Result<Option<DocumentWithText>> {
        self.text_of(id, None).await
    }

    /// A live document as it was in one of its versions.
    pub async fn find_version(&self, id: DocumentId, version: i64) -> Result<Option<DocumentWithText>> {
        self.text_of(id, Some(version)).await
    }

    async fn text_of(&self, id: DocumentId, version: Option<i64>) -> Result<Option<DocumentWithText>> {
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM document d JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id
                     AND v.version = COALESCE($3, d.version)
                 WHERE d.workspace_id = $1 AND d.id = $2 AND d.gone IS NULL"
            ),
            self.key(),
            id.0,
            version
        )?;
        let Some(row) = row else { return Ok(None) };
        let document = Document::try_from(row)?;
        if !self.audience().admits(document.source_id, &document.kind, &document.fields) {
            return Ok(None);
        }
        let mut chunks = chunks_of(&mut cx, self.key(), [(id, document.version)].into_iter()).await?;
        Ok(Some(DocumentWithText { document, chunks: chunks.remove(&id).unwrap_or_default() }))
    }

    /// Hides a document at once; its versions stay, so that old citations can say what they rested on. `None`: no such live document.
    pub async fn delete_document(&self, id: DocumentId) -> Result<Option<Position>> {
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
            "UPDATE document SET gone = $3, change_seq = $4 WHERE workspace_id = $1 AND id = $2 AND gone IS NULL",
            self.key(),
            id.0,
            Gone::Deleted.as_str(),
            position
        )?;
        if hidden == 0 {
            return Ok(None);
        }
        cx.commit().await?;
        Ok(Some(position))
    }
}
