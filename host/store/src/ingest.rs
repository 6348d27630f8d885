//! THE transaction: one page of a run, committed whole or not at all.
//!
//! Fence, then locks (job, source, run), then the difference to the record, then bulk writes, and last the workspace's next number with
//! the document rows that carry it. A page of unchanged documents writes its seen-set and the run's row, nothing else.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{
    Position,
    hash::id_digest,
    job::Lease,
    run::{Counts, FailedItem, RunKind, RunStatus},
};

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    jobs,
    page::{PageCommit, PageOutcome, validate},
    plan::{Known, Plan},
    rows::{json_list, name_of},
    runs, sources,
    tenant::TenantDb,
};

/// Most failed items kept of a run.
const FAILED_ITEMS_KEPT: i64 = 1000;
/// A page is compared with so many before it: a connector that goes in a circle of this length is noticed.
const REMEMBERED_PAGES: i64 = 8;

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

    /// The page's writes; the source is locked.
    pub(crate) async fn write_page(&self, cx: &mut Cx, page: &PageCommit) -> Result<PageOutcome> {
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
        self.write_extractions(cx, &plan).await?;
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

#[derive(Serialize)]
struct NamedRow<'a> {
    external_id: &'a str,
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
