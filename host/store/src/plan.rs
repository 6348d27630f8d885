//! The difference between a page and what the record has: the rows that are to be written.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use tributary_core::{
    DocumentId,
    contract::Fault,
    document::{Committed, DocumentDraft, DraftContent, Locator, Outcome, Provenance},
    fields::Fields,
    run::{Counts, FailedItem},
};
use uuid::Uuid;

use crate::{extractions::ExtractionRow, page::PageCommit, rows::name_of};

/// What the record has of a document.
#[derive(sqlx_macros::FromRow)]
pub(crate) struct Known {
    pub(crate) external_id: String,
    id: Uuid,
    version: i64,
    content_hash: Vec<u8>,
    fingerprint: Option<String>,
    basis: String,
    container: Option<String>,
    gone: Option<String>,
}

/// What is to be written for a page.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    pub(crate) versions: Vec<VersionRow<'a>>,
    pub(crate) chunks: Vec<ChunkRow<'a>>,
    pub(crate) extractions: Vec<ExtractionRow<'a>>,
    pub(crate) documents: Vec<DocumentRow<'a>>,
    pub(crate) refreshed: Vec<RefreshedRow<'a>>,
    pub(crate) tombstones: Vec<TombstoneRow>,
    pub(crate) committed: Vec<Committed>,
    pub(crate) rejected: Vec<FailedItem>,
    pub(crate) counts: Counts,
}

impl<'a> Plan<'a> {
    /// Compares the page with what is known.
    pub(crate) fn of(page: &'a PageCommit, known: &'a HashMap<String, Known>) -> Self {
        let mut plan = Self::default();
        let last: HashMap<&str, usize> =
            page.drafts.iter().enumerate().map(|(at, draft)| (draft.external_id.as_str(), at)).collect();
        let drafts =
            page.drafts.iter().enumerate().filter(|(at, draft)| last.get(draft.external_id.as_str()) == Some(at));
        for (_, draft) in drafts {
            plan.draft(page, draft, known.get(&draft.external_id));
        }
        let mut deleted = HashSet::new();
        for (external_id, gone) in &page.deletes {
            let live = known.get(external_id).filter(|known| known.gone.is_none());
            if let Some(live) = live
                && !last.contains_key(external_id.as_str())
                && deleted.insert(external_id)
            {
                plan.tombstones.push(TombstoneRow { id: live.id, gone: gone.as_str() });
                plan.counts.deleted += 1;
            }
        }
        plan.counts.seen += count(page.failed.len());
        plan.counts.failed += count(page.failed.len());
        plan
    }

    fn draft(&mut self, page: &PageCommit, draft: &'a DocumentDraft, known: Option<&'a Known>) {
        self.counts.seen += 1;
        let live = known.filter(|known| known.gone.is_none());
        match (&draft.content, live) {
            (None, None) => {
                self.counts.failed += 1;
                self.rejected.push(FailedItem {
                    external_id: draft.external_id.clone(),
                    fault: Fault::SourceContract,
                    message:
                        "The connector called this document unchanged, but it was never committed; run a full sync."
                            .to_owned(),
                });
            }
            (None, Some(live)) => {
                let fingerprint = draft.fingerprint.as_ref().or(live.fingerprint.as_ref());
                self.unchanged(page, live, fingerprint, draft.container.as_ref().or(live.container.as_ref()));
            }
            (Some(content), Some(live)) if live.content_hash == content.content_hash.0 => {
                // Such as by another extractor that finds the same text.
                let news = content.extraction.as_ref().filter(|extraction| !extraction.known);
                self.extractions.extend(news.map(|it| ExtractionRow::of(it, live.id.into(), live.version)));
                self.unchanged(page, live, draft.fingerprint.as_ref(), draft.container.as_ref());
            }
            (Some(content), _) => self.changed(draft, content, known),
        }
    }

    fn unchanged(
        &mut self,
        page: &PageCommit,
        live: &Known,
        fingerprint: Option<&'a String>,
        container: Option<&'a String>,
    ) {
        self.counts.unchanged += 1;
        self.committed.push(Committed {
            external_id: live.external_id.clone(),
            document_id: live.id.into(),
            version: live.version,
            outcome: Outcome::Unchanged,
        });
        if live.fingerprint.as_ref() != fingerprint || live.container.as_ref() != container || live.basis != page.basis
        {
            self.refreshed.push(RefreshedRow { id: live.id, fingerprint, container });
        }
    }

    fn changed(&mut self, draft: &'a DocumentDraft, content: &'a DraftContent, known: Option<&Known>) {
        let id = known.map_or_else(DocumentId::new, |known| known.id.into());
        let version = known.map_or(0, |known| known.version) + 1;
        let outcome = if known.is_some_and(|known| known.gone.is_none()) { Outcome::Updated } else { Outcome::Added };
        match outcome {
            Outcome::Updated => self.counts.updated += 1,
            _ => self.counts.added += 1,
        }
        let content_hash = content.content_hash.to_string();
        self.versions.push(VersionRow {
            document_id: id,
            version,
            title: &content.title,
            kind: &content.kind,
            language: content.language.as_ref(),
            url: content.url.as_ref(),
            fields: &content.fields,
            provenance: &content.provenance,
            content_hash: content_hash.clone(),
            text_bytes: content.chunks.iter().map(|chunk| chunk.text.len()).sum(),
            outcome: name_of(&outcome),
        });
        self.chunks.extend(content.chunks.iter().enumerate().map(|(chunk_no, chunk)| ChunkRow {
            document_id: id,
            version,
            chunk_no,
            section: &chunk.section,
            locator: chunk.locator.as_ref(),
            start_char: chunk.start,
            body: &chunk.text,
        }));
        self.extractions.extend(content.extraction.iter().map(|it| ExtractionRow::of(it, id, version)));
        self.documents.push(DocumentRow {
            id,
            external_id: &draft.external_id,
            version,
            kind: &content.kind,
            content_hash,
            fingerprint: draft.fingerprint.as_ref(),
            container: draft.container.as_ref(),
        });
        self.committed.push(Committed { external_id: draft.external_id.clone(), document_id: id, version, outcome });
    }
}

fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

#[derive(Serialize)]
pub(crate) struct VersionRow<'a> {
    pub(crate) document_id: DocumentId,
    version: i64,
    pub(crate) title: &'a str,
    kind: &'a str,
    language: Option<&'a String>,
    url: Option<&'a String>,
    fields: &'a Fields,
    provenance: &'a Provenance,
    content_hash: String,
    text_bytes: usize,
    outcome: String,
}

#[derive(Serialize)]
pub(crate) struct ChunkRow<'a> {
    document_id: DocumentId,
    version: i64,
    chunk_no: usize,
    section: &'a [String],
    locator: Option<&'a Locator>,
    start_char: i64,
    body: &'a str,
}

#[derive(Serialize)]
pub(crate) struct DocumentRow<'a> {
    pub(crate) id: DocumentId,
    pub(crate) external_id: &'a str,
    pub(crate) version: i64,
    kind: &'a str,
    content_hash: String,
    fingerprint: Option<&'a String>,
    container: Option<&'a String>,
}

#[derive(Serialize)]
pub(crate) struct RefreshedRow<'a> {
    id: Uuid,
    fingerprint: Option<&'a String>,
    container: Option<&'a String>,
}

#[derive(Serialize)]
pub(crate) struct TombstoneRow {
    pub(crate) id: Uuid,
    gone: &'static str,
}
