//! THE transaction: one page of a run, committed whole or not at all.
//!
//! Fence, then locks (job, source, run), then the difference to the record, then bulk writes, and last the workspace's next number with
//! the document rows that carry it. A page of unchanged documents writes its seen-set and the run's row, nothing else.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{
    DocumentId, Instant, Position, RunId, SourceId,
    citation::ConnectorRef,
    contract::{Container, Fault, Gone, Progress},
    document::{Committed, DocumentDraft, DraftContent, Locator, Outcome, Provenance},
    fields::Fields,
    hash::id_digest,
    job::Lease,
    run::{Counts, FailedItem, RunKind, RunStatus, Traversal, Trigger},
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    finish::{self, FinishRun},
    jobs,
    rows::{json_list, name_of, refuse_nul},
    runs::{self, NewRun},
    sources,
    tenant::TenantDb,
};

/// Most failed items kept of a run.
const FAILED_ITEMS_KEPT: i64 = 1000;
/// A page is compared with so many before it: a connector that goes in a circle of this length is noticed.
const REMEMBERED_PAGES: i64 = 8;

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

/// Documents pushed over the API: a run of one page, in one transaction.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where to; usually the workspace's push source.
    pub source_id: SourceId,
    /// The server build that takes them in.
    pub connector: ConnectorRef,
    /// What started it.
    pub trigger: Trigger,
    /// The documents.
    pub drafts: Vec<DocumentDraft>,
    /// Those that could not be read.
    pub failed: Vec<FailedItem>,
    /// As in [`PageCommit`].
    pub basis: String,
    /// Bytes taken in.
    pub bytes: i64,
    /// Now.
    pub now: Instant,
}

/// What a push did.
#[derive(Clone, Debug, PartialEq)]
pub struct Pushed {
    /// Its run, ended.
    pub run_id: RunId,
    /// What was committed.
    pub outcome: PageOutcome,
}

impl TenantDb {
    /// Commits one page. `lease` is the worker's hold on the run's job; `None` for runs without one (push).
    ///
    /// `LeaseLost`, `StalePage`, `RunOver` or `NotFound` (the source was deleted) mean that nothing was written and the worker stops.
    pub async fn commit_page(&self, lease: Option<&Lease>, page: PageCommit) -> Result<PageOutcome> {
        validate(&page)?;
        let mut cx = self.write().await?;
        if let Some(lease) = lease {
            jobs::fence_with_progress(&mut cx, self.key(), lease).await?;
        }
        sources::lock(&mut cx, self.key(), page.source_id).await?;
        let outcome = self.write_page(&mut cx, &page).await?;
        cx.commit().await?;
        Ok(outcome)
    }

    /// Run, page and end of a push in one transaction.
    pub async fn push(&self, push: Push) -> Result<Pushed> {
        if !self.audience().admits_source(push.source_id) {
            return Err(Error::NotFound("source"));
        }
        let new = NewRun {
            source_id: push.source_id,
            kind: RunKind::Push,
            trigger: push.trigger,
            accept_deletions: false,
            connector: Some(push.connector),
            now: push.now,
        };
        let mut page = PageCommit {
            run_id: RunId::new(),
            source_id: push.source_id,
            page_no: 0,
            drafts: push.drafts,
            containers: Vec::new(),
            deletes: Vec::new(),
            failed: push.failed,
            state: BTreeMap::new(),
            cursor: None,
            traversal: None,
            progress: None,
            bytes: push.bytes,
            requests: 1,
            basis: push.basis,
            now: push.now,
        };
        validate(&page)?;
        let mut cx = self.write().await?;
        let source = sources::lock(&mut cx, self.key(), push.source_id).await?;
        page.run_id = runs::insert(&mut cx, self.key(), &source, &new).await?;
        let outcome = self.write_page(&mut cx, &page).await?;
        let accepted = !outcome.committed.is_empty();
        let status = match outcome.counts.failed {
            0 => RunStatus::Succeeded,
            _ if accepted => RunStatus::Partial,
            _ => RunStatus::Failed,
        };
        let end = FinishRun {
            run_id: page.run_id,
            status,
            error: None,
            prune: None,
            allow_deletions: false,
            health: None,
            now: push.now,
        };
        finish::end(&mut cx, self.key(), &end).await?;
        cx.commit().await?;
        Ok(Pushed { run_id: page.run_id, outcome })
    }

    /// The page's writes; the source is locked.
    async fn write_page(&self, cx: &mut Cx, page: &PageCommit) -> Result<PageOutcome> {
        let run = runs::lock(cx, self.key(), page.run_id).await?;
        let run = tributary_core::run::Run::try_from(run)?;
        if run.source_id != page.source_id {
            return Err(Error::NotFound("run"));
        }
        if run.kind == RunKind::DryRun {
            return Err(Error::Invalid("a dry run commits nothing".to_owned()));
        }
        if run.status.is_final() {
            return Err(Error::RunOver);
        }
        if run.page_no != page.page_no {
            return Err(Error::StalePage { expected: run.page_no, got: page.page_no });
        }

        let known = self.known(cx, page).await?;
        let plan = Plan::of(page, &known);
        self.write_versions(cx, page, &plan).await?;
        self.write_containers(cx, page).await?;
        self.write_state(cx, page).await?;
        self.write_failed(cx, page, &plan.rejected, run.counts.failed).await?;
        let news = self.write_seen(cx, page).await? || plan.counts.deleted > 0;
        let position = self.write_documents(cx, page, &plan).await?;
        self.write_run(cx, page, &plan.counts, position, news).await?;
        let stale_pages = if news { 0 } else { run.stale_pages + 1 };
        Ok(PageOutcome {
            position,
            committed: plan.committed,
            rejected: plan.rejected,
            counts: plan.counts,
            stale_pages,
        })
    }

    /// What the record has of the documents that the page names, in one read.
    pub(crate) async fn known(&self, cx: &mut Cx, page: &PageCommit) -> Result<HashMap<String, Known>> {
        let ids: HashSet<&str> = page
            .drafts
            .iter()
            .map(|draft| draft.external_id.as_str())
            .chain(page.deletes.iter().map(|(id, _)| id.as_str()))
            .collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<_> = ids.into_iter().map(|external_id| NamedRow { external_id }).collect();
        let rows = q!(
            cx,
            fetch_all as Known,
            "SELECT d.external_id, d.id, d.version, d.content_hash, d.fingerprint, d.basis, d.container, d.gone
             FROM {rows $3: external_id text} AS a
             {look up document d: d.workspace_id = $1 AND d.source_id = $2 AND d.external_id = a.external_id}",
            self.key(),
            page.source_id.0,
            json_list(&ids)?
        )?;
        Ok(rows.into_iter().map(|row| (row.external_id.clone(), row)).collect())
    }

    async fn write_versions(&self, cx: &mut Cx, page: &PageCommit, plan: &Plan<'_>) -> Result<()> {
        if plan.versions.is_empty() {
            return Ok(());
        }
        q!(
            cx,
            execute,
            "INSERT INTO document_version (workspace_id, document_id, version, title, kind, language, url, fields, provenance,
                 content_hash, text_bytes, outcome, run_id, created_at)
             SELECT $1, v.document_id, v.version, v.title, v.kind, v.language, v.url, v.fields, v.provenance, v.content_hash,
                 v.text_bytes, v.outcome, $3, $4
             FROM {rows $2: document_id uuid, version int, title text, kind text, language text, url text, fields json, provenance json,
                 content_hash bytes, text_bytes int, outcome text} AS v",
            self.key(),
            json_list(&plan.versions)?,
            page.run_id.0,
            page.now
        )?;
        if plan.chunks.is_empty() {
            return Ok(());
        }
        q!(
            cx,
            execute,
            "INSERT INTO chunk (workspace_id, document_id, version, chunk_no, section, locator, start_char, body)
             SELECT $1, c.document_id, c.version, c.chunk_no, c.section, c.locator, c.start_char, c.body
             FROM {rows $2: document_id uuid, version int, chunk_no int, section json, locator json, start_char int, body text} AS c",
            self.key(),
            json_list(&plan.chunks)?
        )?;
        Ok(())
    }

    async fn write_documents(&self, cx: &mut Cx, page: &PageCommit, plan: &Plan<'_>) -> Result<Option<Position>> {
        if !plan.refreshed.is_empty() {
            q!(
                cx,
                execute,
                "UPDATE document SET fingerprint = f.fingerprint, basis = $3, container = f.container
                 FROM {rows $2: id uuid, fingerprint text, container text} AS f
                 WHERE document.workspace_id = $1 AND document.id = f.id",
                self.key(),
                json_list(&plan.refreshed)?,
                &page.basis
            )?;
        }
        if plan.documents.is_empty() && plan.tombstones.is_empty() {
            return Ok(None);
        }
        let position = self.next_position(cx).await?;
        if !plan.documents.is_empty() {
            q!(
                cx,
                execute,
                "INSERT INTO document (workspace_id, id, source_id, external_id, version, kind, content_hash, fingerprint, basis,
                     container, created_at, updated_at, change_seq)
                 SELECT $1, d.id, $3, d.external_id, d.version, d.kind, d.content_hash, d.fingerprint, $4, d.container, $5, $5, $6
                 FROM {rows $2: id uuid, external_id text, version int, kind text, content_hash bytes, fingerprint text,
                     container text} AS d
                 WHERE true
                 ON CONFLICT (workspace_id, source_id, external_id) DO UPDATE SET version = excluded.version, kind = excluded.kind,
                     content_hash = excluded.content_hash, fingerprint = excluded.fingerprint, basis = excluded.basis,
                     container = excluded.container, gone = NULL, gone_at = NULL, gone_by = NULL, gone_run_id = NULL,
                     kept_versions = document.kept_versions + 1, updated_at = excluded.updated_at, change_seq = excluded.change_seq",
                self.key(),
                json_list(&plan.documents)?,
                page.source_id.0,
                &page.basis,
                page.now,
                position
            )?;
        }
        if !plan.tombstones.is_empty() {
            q!(
                cx,
                execute,
                "UPDATE document SET gone = t.gone, change_seq = $3, gone_at = $4, gone_by = NULL, gone_run_id = $5
                 FROM {rows $2: id uuid, gone text} AS t WHERE document.workspace_id = $1 AND document.id = t.id",
                self.key(),
                json_list(&plan.tombstones)?,
                position,
                page.now,
                page.run_id.0
            )?;
        }
        Ok(Some(position))
    }

    /// Containers read to their end, where that is news.
    async fn write_containers(&self, cx: &mut Cx, page: &PageCommit) -> Result<()> {
        let read: BTreeMap<&str, &str> = page
            .containers
            .iter()
            .filter(|container| !container.unchanged)
            .map(|container| (container.external_id.as_str(), container.fingerprint.as_str()))
            .collect();
        if read.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> =
            read.into_iter().map(|(external_id, fingerprint)| ContainerRow { external_id, fingerprint }).collect();
        q!(
            cx,
            execute,
            "INSERT INTO container (workspace_id, source_id, external_id, fingerprint, basis)
             SELECT $1, $2, c.external_id, c.fingerprint, $4 FROM {rows $3: external_id text, fingerprint text} AS c WHERE true
             ON CONFLICT (workspace_id, source_id, external_id) DO UPDATE SET fingerprint = excluded.fingerprint, basis = excluded.basis
             WHERE container.fingerprint <> excluded.fingerprint OR container.basis <> excluded.basis",
            self.key(),
            page.source_id.0,
            json_list(&rows)?,
            &page.basis
        )?;
        Ok(())
    }

    async fn write_state(&self, cx: &mut Cx, page: &PageCommit) -> Result<()> {
        let removed: Vec<_> = page.state.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key).collect();
        if !removed.is_empty() {
            q!(
                cx,
                execute,
                "DELETE FROM connector_state WHERE workspace_id = $1 AND source_id = $2 AND entry_key IN {texts $3}",
                self.key(),
                page.source_id.0,
                json_list(&removed)?
            )?;
        }
        let set: Vec<_> = page
            .state
            .iter()
            .filter_map(|(key, value)| Some(StateRow { entry_key: key, entry_value: value.as_deref()? }))
            .collect();
        if !set.is_empty() {
            q!(
                cx,
                execute,
                "INSERT INTO connector_state (workspace_id, source_id, entry_key, entry_value)
                 SELECT $1, $2, s.entry_key, s.entry_value FROM {rows $3: entry_key text, entry_value text} AS s WHERE true
                 ON CONFLICT (workspace_id, source_id, entry_key) DO UPDATE SET entry_value = excluded.entry_value",
                self.key(),
                page.source_id.0,
                json_list(&set)?
            )?;
        }
        Ok(())
    }

    pub(crate) async fn write_failed(
        &self,
        cx: &mut Cx,
        page: &PageCommit,
        rejected: &[FailedItem],
        before: i64,
    ) -> Result<()> {
        let rows: Vec<_> = (before..FAILED_ITEMS_KEPT)
            .zip(page.failed.iter().chain(rejected))
            .map(|(item_no, item)| FailedRow {
                item_no,
                external_id: &item.external_id,
                fault: item.fault.as_str(),
                message: &item.message,
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        q!(
            cx,
            execute,
            "INSERT INTO run_failed_item (workspace_id, run_id, item_no, external_id, fault, message)
             SELECT $1, $2, f.item_no, f.external_id, f.fault, f.message
             FROM {rows $3: item_no int, external_id text, fault text, message text} AS f",
            self.key(),
            page.run_id.0,
            json_list(&rows)?
        )?;
        Ok(())
    }

    /// What the page saw, as 16-byte digests. A failed item may be a document or a container: it counts as both, so nothing of it is pruned.
    /// False: it named nothing, or what one of the pages just before had named.
    pub(crate) async fn write_seen(&self, cx: &mut Cx, page: &PageCommit) -> Result<bool> {
        let mut documents = Vec::with_capacity(16 * (page.drafts.len() + page.failed.len()));
        let mut containers = Vec::new();
        let mut kept = Vec::new();
        for draft in &page.drafts {
            documents.extend(id_digest(&draft.external_id));
        }
        for container in &page.containers {
            let set = if container.unchanged { &mut kept } else { &mut containers };
            set.extend(id_digest(&container.external_id));
        }
        for item in &page.failed {
            documents.extend(id_digest(&item.external_id));
            kept.extend(id_digest(&item.external_id));
        }
        if documents.is_empty() && containers.is_empty() && kept.is_empty() {
            return Ok(false);
        }
        let before = q!(
            cx,
            fetch_optional as (i64),
            "SELECT page_no FROM run_seen WHERE workspace_id = $1 AND run_id = $2 AND page_no >= $3 AND documents = $4 AND containers = $5
                 AND kept = $6 ORDER BY page_no LIMIT 1",
            self.key(),
            page.run_id.0,
            page.page_no - REMEMBERED_PAGES,
            &documents,
            &containers,
            &kept
        )?;
        q!(
            cx,
            execute,
            "INSERT INTO run_seen (workspace_id, run_id, page_no, documents, containers, kept) VALUES ($1, $2, $3, $4, $5, $6)",
            self.key(),
            page.run_id.0,
            page.page_no,
            documents,
            containers,
            kept
        )?;
        Ok(before.is_none())
    }

    pub(crate) async fn write_run(
        &self,
        cx: &mut Cx,
        page: &PageCommit,
        counts: &Counts,
        position: Option<Position>,
        news: bool,
    ) -> Result<()> {
        q!(
            cx,
            execute,
            "UPDATE run SET status = $3, seen = seen + $4, added = added + $5, updated = updated + $6, unchanged = unchanged + $7,
                 deleted = deleted + $8, failed = failed + $9, bytes = bytes + $10, requests = requests + $11,
                 progress = COALESCE($12, progress), page_no = page_no + 1, page_cursor = $13, change_seq = COALESCE($14, change_seq),
                 stale_pages = CASE WHEN $15 THEN 0 ELSE stale_pages + 1 END,
                 traversal = $16
             WHERE workspace_id = $1 AND id = $2",
            self.key(),
            page.run_id.0,
            name_of(&RunStatus::Running),
            counts.seen,
            counts.added,
            counts.updated,
            counts.unchanged,
            counts.deleted,
            counts.failed,
            page.bytes,
            page.requests,
            page.progress.as_ref().map(Json),
            &page.cursor,
            position,
            news,
            page.traversal.as_ref().map(name_of)
        )?;
        Ok(())
    }
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

/// What the record has of a document.
#[derive(sqlx_macros::FromRow)]
pub(crate) struct Known {
    external_id: String,
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
    chunks: Vec<ChunkRow<'a>>,
    pub(crate) documents: Vec<DocumentRow<'a>>,
    refreshed: Vec<RefreshedRow<'a>>,
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
struct NamedRow<'a> {
    external_id: &'a str,
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
struct ChunkRow<'a> {
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
struct RefreshedRow<'a> {
    id: Uuid,
    fingerprint: Option<&'a String>,
    container: Option<&'a String>,
}

#[derive(Serialize)]
pub(crate) struct TombstoneRow {
    pub(crate) id: Uuid,
    gone: &'static str,
}

#[derive(Serialize)]
struct ContainerRow<'a> {
    external_id: &'a str,
    fingerprint: &'a str,
}

#[derive(Serialize)]
struct StateRow<'a> {
    entry_key: &'a str,
    entry_value: &'a str,
}

#[derive(Serialize)]
struct FailedRow<'a> {
    item_no: i64,
    external_id: &'a str,
    fault: &'static str,
    message: &'a str,
}
