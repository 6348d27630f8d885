//! Which version holds what the extractor made of a file: the same file is not read twice.
//!
//! There is no second copy of the text. It is that of the version, and is forgotten with it.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{
    DocumentId,
    document::{ChunkDraft, Extraction, Locator},
    hash::Sha256Hash,
};

use crate::{db::Cx, dialect::q, error::Result, plan::Plan, rows::json_list, tenant::TenantDb};

/// What the extractor made of a file before.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownExtraction {
    /// The title the file gives itself.
    pub title: Option<String>,
    /// The language it states.
    pub language: Option<String>,
    /// Its text.
    pub chunks: Vec<ChunkDraft>,
}

#[derive(Serialize)]
struct Asked {
    key: Sha256Hash,
}

#[derive(sqlx_macros::FromRow)]
struct Found {
    extraction_key: Vec<u8>,
    title: Option<String>,
    language: Option<String>,
    section: Json<Vec<String>>,
    locator: Option<Json<Locator>>,
    start_char: i64,
    body: String,
}

/// A file and the version that holds its text.
#[derive(Serialize)]
pub(crate) struct ExtractionRow<'a> {
    pub(crate) key: Sha256Hash,
    pub(crate) document_id: DocumentId,
    pub(crate) version: i64,
    pub(crate) title: Option<&'a String>,
    pub(crate) language: Option<&'a String>,
}

impl<'a> ExtractionRow<'a> {
    pub(crate) fn of(extraction: &'a Extraction, document_id: DocumentId, version: i64) -> Self {
        let Extraction { key, title, language, .. } = extraction;
        Self { key: *key, document_id, version, title: title.as_ref(), language: language.as_ref() }
    }
}

impl TenantDb {
    /// What is known of files, by the keys of their extractions.
    pub async fn find_extractions(&self, keys: &[Sha256Hash]) -> Result<HashMap<Sha256Hash, KnownExtraction>> {
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let asked: Vec<_> = keys.iter().map(|key| Asked { key: *key }).collect();
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Found,
            "SELECT x.extraction_key, x.title, x.language, c.section, c.locator, c.start_char, c.body FROM {rows $2: key bytes} AS a
             {look up document_extraction x: x.workspace_id = $1 AND x.extraction_key = a.key}
             {look up chunk c: c.workspace_id = $1 AND c.document_id = x.document_id AND c.version = x.version}
             ORDER BY x.extraction_key, c.chunk_no",
            self.key(),
            json_list(&asked)?
        )?;
        let mut known: HashMap<_, KnownExtraction> = HashMap::with_capacity(keys.len());
        for Found { extraction_key, title, language, section, locator, start_char, body } in rows {
            let Ok(key) = <[u8; 32]>::try_from(extraction_key) else { continue };
            let chunk =
                ChunkDraft { section: section.0, locator: locator.map(|it| it.0), start: start_char, text: body };
            let nothing_yet = || KnownExtraction { title, language, chunks: Vec::new() };
            known.entry(Sha256Hash(key)).or_insert_with(nothing_yet).chunks.push(chunk);
        }
        Ok(known)
    }

    /// Notes which files the page's versions were read from.
    pub(crate) async fn write_extractions(&self, cx: &mut Cx, plan: &Plan<'_>) -> Result<()> {
        if plan.extractions.is_empty() {
            return Ok(());
        }
        // In the order of their keys, so that two pages with the same files do not wait for each other in a circle.
        let rows: BTreeMap<Sha256Hash, &ExtractionRow<'_>> =
            plan.extractions.iter().map(|extraction| (extraction.key, extraction)).collect();
        q!(
            cx,
            execute,
            "INSERT INTO document_extraction (workspace_id, extraction_key, document_id, version, title, language)
             SELECT $1, x.key, x.document_id, x.version, x.title, x.language
             FROM {rows $2: key bytes, document_id uuid, version int, title text, language text} AS x WHERE true
             ON CONFLICT (workspace_id, extraction_key) DO UPDATE SET document_id = excluded.document_id, version = excluded.version,
                 title = excluded.title, language = excluded.language",
            self.key(),
            json_list(&rows.into_values().collect::<Vec<_>>())?
        )?;
        Ok(())
    }
}
