//! Lists of documents, and how many there are: by source, kind, run and time, live or deleted.
//!
//! What narrows most decides which index is walked: a run, a source, a kind, a moment. Conditions on fields are for whoever reads the list:
//! no index of the record knows them.

use tributary_core::{
    DocumentId, Instant, RunId, SourceId,
    document::{Document, Outcome},
};
use uuid::Uuid;

use crate::{
    dialect::q,
    documents::{Row, columns},
    error::{Error, Result},
    rows::{Page, json_list, limited, name_of},
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
    /// Of which this run brought a version that is still kept; with `deleted`, which it deleted.
    pub run_id: Option<RunId>,
    /// Only those that the run did this with: it added or updated them.
    pub outcome: Option<Outcome>,
    /// Those that are deleted and can still be restored, instead of those that are there.
    pub deleted: bool,
}

/// Some documents of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DocumentPage {
    /// In order.
    pub items: Vec<Document>,
    /// How many were looked at, those that are not for the caller included.
    pub read: usize,
    /// Whether there is more.
    pub more: bool,
    /// Where it goes on, when there is more: the last document that was looked at, which the caller may not be allowed to see.
    pub last: Option<DocumentId>,
}

/// So many documents are alike.
#[derive(Clone, Debug, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct DocumentCount {
    /// Of this source.
    pub source_id: Uuid,
    /// Of this kind.
    pub kind: String,
    /// In this language.
    pub language: Option<String>,
    /// Changed, or deleted, on this day in UTC: `2026-11-23`.
    pub day: String,
    /// How many.
    pub documents: i64,
}

/// What every list asks for beside the index it walks.
macro_rules! asked {
    () => {
        " AND d.id > $2 AND (d.gone IS NOT NULL) = $3 AND ($4 IS NULL OR d.source_id = $4) AND ($5 IS NULL OR d.kind = $5)
          AND ($6 IS NULL OR d.updated_at > $6) AND ($7 IS NULL OR d.source_id IN {ids $7}) AND ($8 IS NULL OR d.kind IN {texts $8})
          AND ($9 IS NULL OR v.fields->>$9 IN {texts $10})"
    };
}

impl TenantDb {
    /// Documents, oldest first.
    pub async fn list_documents(
        &self,
        filter: &DocumentFilter,
        after: Option<DocumentId>,
        limit: i64,
    ) -> Result<DocumentPage> {
        let limit = limited(limit);
        if filter.kind.as_ref().is_some_and(|kind| kind.contains('\0')) {
            return Ok(DocumentPage::default());
        }
        let audience = self.audience();
        let (after, source) = (after.map_or(Uuid::nil(), |id| id.0), filter.source_id.map(|id| id.0));
        let source_ids = audience.source_ids.as_deref().map(json_list).transpose()?;
        let kinds = audience.kinds.as_deref().map(json_list).transpose()?;
        let field = audience.field.as_ref().map(|field| field.name.as_str());
        let any_of = audience.field.as_ref().map(|field| json_list(&field.any_of)).transpose()?;
        let mut cx = self.read_filtered().await?;
        let rows = if filter.run_id.is_some()
            || (source.is_none() && (filter.deleted || filter.updated_after.is_some()))
        {
            // Few of many: found first, then put in order. OFFSET keeps the planners from turning that round.
            q!(
                cx,
                fetch_all as Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM (SELECT b.document_id AS id FROM document_version b
                          WHERE b.workspace_id = $1 AND b.run_id = $12 AND NOT $3 AND ($13 IS NULL OR b.outcome = $13)
                      UNION SELECT g.id FROM document g WHERE g.workspace_id = $1 AND g.gone_run_id = $12 AND $3
                      UNION SELECT t.id FROM document t WHERE t.workspace_id = $1 AND t.gone IS NOT NULL AND $12 IS NULL AND $3
                      UNION SELECT u.id FROM document u WHERE u.workspace_id = $1 AND u.updated_at > $6 AND $12 IS NULL AND NOT $3
                      LIMIT 1000000000 OFFSET 0) AS m
                     {look up document d: d.workspace_id = $1 AND d.id = m.id}
                     {look up document_version v: v.workspace_id = $1 AND v.document_id = d.id AND v.version = d.version}
                     WHERE TRUE",
                    asked!(),
                    " ORDER BY d.id LIMIT $11"
                ),
                self.key(),
                after,
                filter.deleted,
                source,
                filter.kind.as_ref(),
                filter.updated_after,
                source_ids,
                kinds,
                field,
                any_of,
                limit + 1,
                filter.run_id.map(|id| id.0),
                filter.outcome.as_ref().map(name_of)
            )?
        } else if source.is_some() {
            q!(
                cx,
                fetch_all as Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM document d
                     JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version = d.version
                     WHERE d.workspace_id = $1 AND d.source_id = $4",
                    asked!(),
                    " ORDER BY d.id LIMIT $11"
                ),
                self.key(),
                after,
                filter.deleted,
                source,
                filter.kind.as_ref(),
                filter.updated_after,
                source_ids,
                kinds,
                field,
                any_of,
                limit + 1
            )?
        } else if filter.kind.is_some() {
            q!(
                cx,
                fetch_all as Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM document d
                     JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version = d.version
                     WHERE d.workspace_id = $1 AND d.kind = $5",
                    asked!(),
                    " ORDER BY d.id LIMIT $11"
                ),
                self.key(),
                after,
                filter.deleted,
                source,
                filter.kind.as_ref(),
                filter.updated_after,
                source_ids,
                kinds,
                field,
                any_of,
                limit + 1
            )?
        } else {
            q!(
                cx,
                fetch_all as Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM document d
                     JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version = d.version
                     WHERE d.workspace_id = $1",
                    asked!(),
                    " ORDER BY d.id LIMIT $11"
                ),
                self.key(),
                after,
                filter.deleted,
                source,
                filter.kind.as_ref(),
                filter.updated_after,
                source_ids,
                kinds,
                field,
                any_of,
                limit + 1
            )?
        };
        let Page { mut items, more } = Page::of(rows, limit).try_map(Document::try_from)?;
        let read = items.len();
        let last = items.last().filter(|_| more).map(|document| document.id);
        items.retain(|document| audience.admits(document.source_id, &document.kind, &document.fields));
        Ok(DocumentPage { items, read, more, last })
    }

    /// How many documents there are, by all that they are counted by. `Invalid` for a caller who is limited by a field: each of the
    /// documents would have to be read.
    pub async fn count_documents(&self, filter: &DocumentFilter) -> Result<Vec<DocumentCount>> {
        let audience = self.audience();
        if audience.field.is_some() {
            return Err(Error::Invalid("documents that are limited by a field are counted one by one".to_owned()));
        }
        if filter.kind.as_ref().is_some_and(|kind| kind.contains('\0')) {
            return Ok(Vec::new());
        }
        // One branch does something, by its index; the conditions on parameters keep the others from beginning.
        let way = match filter {
            DocumentFilter { run_id: Some(_), deleted: false, .. } => "run",
            DocumentFilter { run_id: Some(_), .. } => "deleted by run",
            DocumentFilter { source_id: Some(_), .. } => "source",
            DocumentFilter { kind: Some(_), .. } => "kind",
            DocumentFilter { deleted: true, .. } => "deleted",
            DocumentFilter { updated_after: Some(_), .. } => "time",
            _ => "all",
        };
        let mut cx = self.read_filtered().await?;
        let counts = q!(
            cx,
            fetch_all as DocumentCount,
            "SELECT d.source_id, d.kind, v.language, {day COALESCE(d.gone_at, d.updated_at)} AS day, COUNT(*) AS documents
             FROM (SELECT r.id, r.source_id, r.kind, r.version, r.gone, r.gone_at, r.updated_at
                  FROM (SELECT DISTINCT b.document_id AS id FROM document_version b
                       WHERE b.workspace_id = $1 AND $2 = 'run' AND b.run_id = $7 AND ($8 IS NULL OR b.outcome = $8)) AS m
                  {look up document r: r.workspace_id = $1 AND r.id = m.id}
              UNION ALL SELECT g.id, g.source_id, g.kind, g.version, g.gone, g.gone_at, g.updated_at FROM document g
                  WHERE g.workspace_id = $1 AND $2 = 'deleted by run' AND g.gone_run_id = $7
              UNION ALL SELECT s.id, s.source_id, s.kind, s.version, s.gone, s.gone_at, s.updated_at FROM document s
                  WHERE s.workspace_id = $1 AND $2 = 'source' AND s.source_id = $4
              UNION ALL SELECT k.id, k.source_id, k.kind, k.version, k.gone, k.gone_at, k.updated_at FROM document k
                  WHERE k.workspace_id = $1 AND $2 = 'kind' AND k.kind = $5
              UNION ALL SELECT t.id, t.source_id, t.kind, t.version, t.gone, t.gone_at, t.updated_at FROM document t
                  WHERE t.workspace_id = $1 AND $2 = 'deleted' AND t.gone IS NOT NULL
              UNION ALL SELECT u.id, u.source_id, u.kind, u.version, u.gone, u.gone_at, u.updated_at FROM document u
                  WHERE u.workspace_id = $1 AND $2 = 'time' AND u.updated_at > $6
              UNION ALL SELECT a.id, a.source_id, a.kind, a.version, a.gone, a.gone_at, a.updated_at FROM document a
                  WHERE a.workspace_id = $1 AND $2 = 'all'
              LIMIT 1000000000 OFFSET 0) AS d
             {look up document_version v: v.workspace_id = $1 AND v.document_id = d.id AND v.version = d.version}
             WHERE (d.gone IS NOT NULL) = $3 AND ($4 IS NULL OR d.source_id = $4) AND ($5 IS NULL OR d.kind = $5)
                 AND ($6 IS NULL OR d.updated_at > $6) AND ($9 IS NULL OR d.source_id IN {ids $9})
                 AND ($10 IS NULL OR d.kind IN {texts $10})
             GROUP BY 1, 2, 3, 4",
            self.key(),
            way,
            filter.deleted,
            filter.source_id.map(|id| id.0),
            filter.kind.as_ref(),
            filter.updated_after,
            filter.run_id.map(|id| id.0),
            filter.outcome.as_ref().map(name_of),
            audience.source_ids.as_deref().map(json_list).transpose()?,
            audience.kinds.as_deref().map(json_list).transpose()?
        )?;
        Ok(counts)
    }
}
