//! What is handed over of one page of a run, what of it the record cannot hold, and what became of it.

use std::collections::BTreeMap;

use tributary_core::{
    Instant, Position, RunId, SourceId,
    contract::{Container, Gone, Progress},
    document::{Committed, DocumentDraft, Locator},
    run::{Counts, FailedItem, Traversal},
};

use crate::{error::Result, rows::refuse_nul};

/// One page of a run. Text must not contain U+0000: a page that does is refused whole (`Invalid`). An external id is in `drafts` once at most (the last one counts) and not in `deletes` as well (the draft counts).
#[derive(Clone, Debug)]
pub struct PageCommit {
    /// Of which run.
    pub run_id: RunId,
    /// Of which source.
    pub source_id: SourceId,
    /// The run's `page_no`: a page is committed once.
    pub page_no: i64,
    /// Documents that are there.
    pub drafts: Vec<DocumentDraft>,
    /// Containers read to their end, or standing unchanged.
    pub containers: Vec<Container>,
    /// Documents that are gone.
    pub deletes: Vec<(String, Gone)>,
    /// Items that could not be read; what was known of them, or of the documents in them, stays.
    pub failed: Vec<FailedItem>,
    /// Changed entries of the connector's memory; `None` removes one.
    pub state: BTreeMap<String, Option<String>>,
    /// Where to go on.
    pub cursor: Option<String>,
    /// Set for the last page of the run.
    pub traversal: Option<Traversal>,
    /// How far.
    pub progress: Option<Progress>,
    /// Bytes read for this page.
    pub bytes: i64,
    /// Requests made for this page.
    pub requests: i64,
    /// Under what the fingerprints hold: connector digest, configuration revision and whatever else shapes the content. They are only
    /// offered again under an equal basis.
    pub basis: String,
    /// Now.
    pub now: Instant,
}

/// What a page did.
#[derive(Clone, Debug, PartialEq)]
pub struct PageOutcome {
    /// The commit's number, when readers can see a difference.
    pub position: Option<Position>,
    /// One per accepted draft, in their order.
    pub committed: Vec<Committed>,
    /// Drafts called unchanged that the record does not have; counted as failed items.
    pub rejected: Vec<FailedItem>,
    /// Of this page.
    pub counts: Counts,
    /// As [`tributary_core::run::Run::stale_pages`], with this page.
    pub stale_pages: i64,
}

pub(crate) fn validate(page: &PageCommit) -> Result<()> {
    for draft in &page.drafts {
        refuse_nul([draft.external_id.as_str()])?;
        refuse_nul(draft.fingerprint.as_deref())?;
        refuse_nul(draft.container.as_deref())?;
        if let Some(content) = &draft.content {
            refuse_nul([content.title.as_str(), &content.kind])?;
            refuse_nul(content.language.as_deref())?;
            refuse_nul(content.url.as_deref())?;
            for chunk in &content.chunks {
                refuse_nul([chunk.text.as_str()])?;
                refuse_nul(chunk.section.iter().map(String::as_str))?;
                if let Some(Locator::JsonPointer(text) | Locator::Fragment(text)) = &chunk.locator {
                    refuse_nul([text.as_str()])?;
                }
                if let Some(Locator::Cells(sheet, cells)) = &chunk.locator {
                    refuse_nul([sheet.as_str(), cells])?;
                }
            }
            let extraction = content.extraction.as_ref();
            refuse_nul(extraction.and_then(|it| it.title.as_deref()))?;
            refuse_nul(extraction.and_then(|it| it.language.as_deref()))?;
            refuse_nul(content.fields.keys().map(String::as_str))?;
            content.fields.values().try_for_each(crate::sources::refuse_nul_in_json)?;
            let provenance = &content.provenance;
            refuse_nul(provenance.authors.iter().chain(&provenance.path).map(String::as_str))?;
            let single = [
                &provenance.url,
                &provenance.retrieved_from,
                &provenance.revision,
                &provenance.etag,
                &provenance.license,
            ];
            refuse_nul(single.into_iter().filter_map(Option::as_deref))?;
        }
    }
    refuse_nul(page.containers.iter().flat_map(|container| [container.external_id.as_str(), &container.fingerprint]))?;
    refuse_nul(page.deletes.iter().map(|(id, _)| id.as_str()))?;
    refuse_nul(page.failed.iter().flat_map(|item| [item.external_id.as_str(), &item.message]))?;
    refuse_nul(page.state.iter().flat_map(|(key, value)| [key.as_str(), value.as_deref().unwrap_or_default()]))?;
    refuse_nul(page.cursor.as_deref())?;
    refuse_nul(page.progress.as_ref().map(|progress| progress.phase.as_str()))
}
