//! The check in the record: of what an index found, which passages still stand, with all that a citation needs.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{
    DocumentId, Instant, RunId, SourceId,
    citation::{CitationStatus, ConnectorRef, SourceRef},
    document::Locator,
    fields::Fields,
    query::Hit,
};
use uuid::Uuid;

use crate::{dialect::q, error::Result, rows::json_list, tenant::TenantDb};

/// A passage that stands: its document is live, the version current.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// What the index found: document, version, chunk and score.
    pub hit: Hit,
    /// The document's name in its source.
    pub external_id: String,
    /// Title of the version.
    pub title: String,
    /// `page`, `product`, …
    pub kind: String,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// For people to open.
    pub url: Option<String>,
    /// Typed fields.
    pub fields: Fields,
    /// Where it came from.
    pub source: SourceRef,
    /// The run that brought the version.
    pub run_id: RunId,
    /// The connector of that run.
    pub connector: ConnectorRef,
    /// Headings above the passage.
    pub section: Vec<String>,
    /// Where in the original.
    pub locator: Option<Locator>,
    /// Character offset in the version's text.
    pub start: i64,
    /// The passage.
    pub text: String,
    /// When the version was committed.
    pub ingested_at: Instant,
    /// The same for the document: its current version.
    pub updated_at: Instant,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    place: i64,
    external_id: String,
    title: String,
    kind: String,
    language: Option<String>,
    url: Option<String>,
    fields: Json<Fields>,
    source_id: Uuid,
    source_name: String,
    run_id: Uuid,
    connector_id: String,
    connector_version: String,
    connector_digest: String,
    section: Json<Vec<String>>,
    locator: Option<Json<Locator>>,
    start_char: i64,
    body: String,
    ingested_at: Instant,
    updated_at: Instant,
}

#[derive(Serialize)]
struct Asked {
    place: usize,
    id: DocumentId,
    version: i64,
    chunk_no: i64,
}

impl TenantDb {
    /// Of these hits, those that stand, in their order: one read.
    pub async fn passages(&self, hits: &[Hit]) -> Result<Vec<Passage>> {
        if hits.is_empty() {
            return Ok(Vec::new());
        }
        let asked = hits.iter().enumerate().map(|(place, hit)| Asked {
            place,
            id: hit.document_id,
            version: hit.version,
            chunk_no: hit.chunk,
        });
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT h.place, d.external_id, v.title, v.kind, v.language, v.url, v.fields, s.id AS source_id, s.name AS source_name,
                 v.run_id, r.connector_id, r.connector_version, r.connector_digest, c.section, c.locator, c.start_char, c.body,
                 v.created_at AS ingested_at, d.updated_at
             FROM {rows $2: place int, id uuid, version int, chunk_no int} AS h
             {look up document d: d.workspace_id = $1 AND d.id = h.id AND d.version = h.version AND d.gone IS NULL}
             {look up document_version v: v.workspace_id = $1 AND v.document_id = d.id AND v.version = d.version}
             {look up chunk c: c.workspace_id = $1 AND c.document_id = d.id AND c.version = d.version AND c.chunk_no = h.chunk_no}
             {look up source s: s.workspace_id = $1 AND s.id = d.source_id AND s.deleted_at IS NULL}
             {look up run r: r.workspace_id = $1 AND r.id = v.run_id}
             ORDER BY h.place",
            self.key(),
            json_list(&asked.collect::<Vec<_>>())?
        )?;
        let passages = rows.into_iter().filter_map(|row| {
            let hit = hits.get(usize::try_from(row.place).ok()?)?.clone();
            if !self.audience().admits(row.source_id.into(), &row.kind, &row.fields) {
                return None;
            }
            Some(Passage {
                hit,
                external_id: row.external_id,
                title: row.title,
                kind: row.kind,
                language: row.language,
                url: row.url,
                fields: row.fields.0,
                source: SourceRef { id: row.source_id.into(), name: row.source_name },
                run_id: row.run_id.into(),
                connector: ConnectorRef {
                    id: row.connector_id,
                    version: row.connector_version,
                    digest: row.connector_digest,
                },
                section: row.section.0,
                locator: row.locator.map(|locator| locator.0),
                start: row.start_char,
                text: row.body,
                ingested_at: row.ingested_at,
                updated_at: row.updated_at,
            })
        });
        Ok(passages.collect())
    }

    /// Of these documents, each with the source it was cited from, those that the caller may see, whether they are still live or not:
    /// one read. A document counts as what it was in its last version. One that was purged counts by its source alone: to a caller who is
    /// limited by more than that it is closed.
    pub async fn admitted(&self, cited: &[(DocumentId, SourceId)]) -> Result<HashSet<DocumentId>> {
        let audience = self.audience();
        if cited.is_empty() || audience.is_everything() {
            return Ok(cited.iter().map(|(id, _)| *id).collect());
        }
        let ids: Vec<_> = cited.iter().map(|(id, _)| *id).collect();
        #[derive(sqlx_macros::FromRow)]
        struct Row {
            id: Uuid,
            source_id: Uuid,
            kind: String,
            fields: Json<Fields>,
        }
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT d.id, d.source_id, v.kind, v.fields FROM document d
             JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version = d.version
             WHERE d.workspace_id = $1 AND d.id IN {ids $2}",
            self.key(),
            json_list(&ids)?
        )?;
        let known: HashSet<_> = rows.iter().map(|row| row.id).collect();
        let by_source = audience.kinds.is_none() && audience.field.is_none();
        let purged = cited
            .iter()
            .filter(|(id, source)| by_source && !known.contains(&id.0) && audience.admits_source(*source))
            .map(|(id, _)| *id);
        let there = rows.iter().filter(|row| audience.admits(row.source_id.into(), &row.kind, &row.fields));
        Ok(there.map(|row| row.id.into()).chain(purged).collect())
    }

    /// How cited versions stand now, one answer per question: one read.
    pub async fn citation_status(&self, cited: &[(DocumentId, i64)]) -> Result<Vec<CitationStatus>> {
        if cited.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = cited.iter().map(|(id, _)| *id).collect();
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as (Uuid, i64),
            "SELECT id, version FROM document WHERE workspace_id = $1 AND id IN {ids $2} AND gone IS NULL",
            self.key(),
            json_list(&ids)?
        )?;
        let current: HashMap<Uuid, i64> = rows.into_iter().collect();
        let status = cited.iter().map(|(id, version)| match current.get(&id.0) {
            None => CitationStatus::Removed,
            Some(current) if current == version => CitationStatus::Current,
            Some(_) => CitationStatus::Changed,
        });
        Ok(status.collect())
    }
}
