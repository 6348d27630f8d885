//! Documents as people see them, with their text. Lists are in `listing`, versions in `versions`, deletion in `tombstones`.

use std::collections::HashMap;

use sqlx::types::Json;
use tributary_core::{
    DocumentId, Instant, SourceId,
    document::{ChunkDraft, Document, Locator, Provenance, Tombstone},
    fields::Fields,
    hash::Sha256Hash,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    rows::{json_list, named},
    tenant::TenantDb,
};

/// A document with the text of one version; the chunks' texts, one after the other, are the text.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentWithText {
    /// The document. Title, fields and the like are those of the version asked for.
    pub document: Document,
    /// The version's text.
    pub chunks: Vec<ChunkDraft>,
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct Row {
    id: Uuid,
    source_id: Uuid,
    external_id: String,
    version: i64,
    oldest_version: i64,
    title: String,
    kind: String,
    language: Option<String>,
    url: Option<String>,
    fields: Json<Fields>,
    provenance: Json<Provenance>,
    content_hash: Vec<u8>,
    run_id: Uuid,
    gone: Option<String>,
    gone_at: Option<Instant>,
    gone_by: Option<String>,
    gone_run_id: Option<Uuid>,
    created_at: Instant,
    updated_at: Instant,
    change_seq: i64,
}

/// What [`Row`] reads, from a document `d` and a version `v` of it.
macro_rules! columns {
    () => {
        "d.id, d.source_id, d.external_id, v.version, d.version - d.kept_versions + 1 AS oldest_version, v.title, v.kind, v.language, v.url, v.fields, v.provenance, v.content_hash,
         v.run_id, d.gone, d.gone_at, d.gone_by, d.gone_run_id, d.created_at, v.created_at AS updated_at, d.change_seq"
    };
}
pub(crate) use columns;

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
            oldest_version: row.oldest_version,
            title: row.title,
            kind: row.kind,
            language: row.language,
            url: row.url,
            fields: row.fields.0,
            provenance: row.provenance.0,
            content_hash: Sha256Hash(hash),
            run_id: row.run_id.into(),
            tombstone: match (row.gone, row.gone_at) {
                (Some(gone), Some(at)) => Some(Tombstone {
                    gone: named(&gone)?,
                    at,
                    by: row.gone_by,
                    run_id: row.gone_run_id.map(Into::into),
                }),
                _ => None,
            },
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
    /// A live document with its current text.
    pub async fn find_document(&self, id: DocumentId) -> Result<Option<DocumentWithText>> {
        self.text_of(id, None).await
    }

    /// A live document as it was in one of its versions.
    pub async fn find_version(&self, id: DocumentId, version: i64) -> Result<Option<DocumentWithText>> {
        self.text_of(id, Some(version)).await
    }

    /// Both the version and the present one must be open to the caller: what was withdrawn is not read from the past, and what was not
    /// yet given out neither.
    async fn text_of(&self, id: DocumentId, version: Option<i64>) -> Result<Option<DocumentWithText>> {
        let mut cx = self.read().await?;
        let Some(present) = self.visible(&mut cx, id).await?.filter(|it| it.tombstone.is_none()) else {
            return Ok(None);
        };
        let document = match version.filter(|version| *version != present.version) {
            None => present,
            Some(version) => {
                let row = q!(
                    cx,
                    fetch_optional as Row,
                    concat!(
                        "SELECT ",
                        columns!(),
                        " FROM document d JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id
                         WHERE d.workspace_id = $1 AND d.id = $2 AND v.version = $3"
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
                document
            }
        };
        let mut chunks = chunks_of(&mut cx, self.key(), [(id, document.version)].into_iter()).await?;
        Ok(Some(DocumentWithText { document, chunks: chunks.remove(&id).unwrap_or_default() }))
    }

    /// A live document without its text.
    pub async fn find_listed(&self, id: DocumentId) -> Result<Option<Document>> {
        Ok(self.visible(&mut self.read().await?, id).await?.filter(|it| it.tombstone.is_none()))
    }

    /// Of these documents, the sources of those that are live and that the caller may see.
    pub async fn sources_of(&self, ids: &[DocumentId]) -> Result<HashMap<DocumentId, SourceId>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as (Uuid, Uuid, String, Json<Fields>),
            "SELECT d.id, d.source_id, v.kind, v.fields FROM document d
             JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version = d.version
             WHERE d.workspace_id = $1 AND {key d.id: $2} AND d.gone IS NULL",
            self.key(),
            json_list(ids)?
        )?;
        let admitted = rows
            .into_iter()
            .filter(|(_, source, kind, fields)| self.audience().admits(SourceId(*source), kind, fields));
        Ok(admitted.map(|(id, source, ..)| (id.into(), source.into())).collect())
    }

    /// A document as it is now, live or gone, when the caller may see it.
    pub(crate) async fn visible(&self, cx: &mut Cx, id: DocumentId) -> Result<Option<Document>> {
        let row = q!(
            cx,
            fetch_optional as Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM document d
                 JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version = d.version
                 WHERE d.workspace_id = $1 AND d.id = $2"
            ),
            self.key(),
            id.0
        )?;
        let document = row.map(Document::try_from).transpose()?;
        Ok(document.filter(|it| self.audience().admits(it.source_id, &it.kind, &it.fields)))
    }
}
