//! Dry runs: pages compared with what is known, and nothing of them committed but the list of what would have changed.
//!
//! Documents, ledger, cursor and memory of the source stay as they are. What a connector writes into its memory is kept with the run,
//! for the pages that follow.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use sqlx::types::Json;
use tributary_core::{
    DocumentId, RunId,
    job::Lease,
    run::{ChangeKind, Run, RunKind},
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    finish::SLICE,
    jobs,
    page::{PageCommit, PageOutcome, validate},
    plan::Plan,
    rows::{Page, json_list, limited, name_of, named},
    runs,
    tenant::TenantDb,
};

/// Most changes listed of a run; its counts say how many there were.
const MOST_LISTED: i64 = 10_000;

/// Changes of a connector's memory; `None` removes an entry.
type State = BTreeMap<String, Option<String>>;

/// What a dry run would have done to one document.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewedChange {
    /// Its place in the list.
    pub item_no: i64,
    /// What.
    pub change: ChangeKind,
    /// The document's name in its source.
    pub external_id: String,
    /// Its title: the new one, of a deleted one the last.
    pub title: String,
    /// Its id, unless it would be new.
    pub document_id: Option<DocumentId>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    item_no: i64,
    change: String,
    external_id: String,
    title: String,
    document_id: Option<Uuid>,
}

#[derive(Serialize)]
struct Listed {
    item_no: i64,
    change: String,
    external_id: String,
    title: String,
    document_id: Option<Uuid>,
}

impl TenantDb {
    /// Takes a page of a dry run: counts, seen-set, failed items and the list of changes are written, with the run's own cursor.
    pub async fn preview_page(&self, lease: &Lease, page: PageCommit) -> Result<PageOutcome> {
        validate(&page)?;
        let mut cx = self.write().await?;
        jobs::fence_with_progress(&mut cx, self.key(), lease).await?;
        let run = Run::try_from(runs::lock(&mut cx, self.key(), page.run_id).await?)?;
        if run.kind != RunKind::DryRun || run.source_id != page.source_id {
            return Err(Error::NotFound("run"));
        }
        if run.status.is_final() {
            return Err(Error::RunOver);
        }
        if run.page_no != page.page_no {
            return Err(Error::StalePage { expected: run.page_no, got: page.page_no });
        }
        let known = self.known(&mut cx, &page).await?;
        let plan = Plan::of(&page, &known);
        let titles: HashMap<_, _> = plan.versions.iter().map(|it| (it.document_id, it.title)).collect();
        let written = plan.documents.iter().map(|document| Listed {
            item_no: 0,
            change: name_of(if document.version == 1 { &ChangeKind::Add } else { &ChangeKind::Update }),
            external_id: document.external_id.to_owned(),
            title: titles.get(&document.id).map_or_else(String::new, |title| (*title).to_owned()),
            document_id: (document.version > 1).then_some(document.id.0),
        });
        self.list(&mut cx, run.id, written.collect()).await?;
        let gone: Vec<_> = plan.tombstones.iter().map(|row| row.id).collect();
        self.list_deletions(&mut cx, run.id, &gone).await?;
        self.write_failed(&mut cx, &page, &plan.rejected, run.counts.failed).await?;
        let news = self.write_seen(&mut cx, &page).await? || plan.counts.deleted > 0;
        self.write_run(&mut cx, &page, &plan.counts, None, news).await?;
        if !page.state.is_empty() {
            let mut written = state(&mut cx, self.key(), run.id).await?;
            written.extend(page.state.clone());
            q!(
                cx,
                execute,
                "UPDATE run SET preview_state = $3 WHERE workspace_id = $1 AND id = $2",
                self.key(),
                run.id.0,
                Json(written)
            )?;
        }
        cx.commit().await?;
        let stale_pages = if news { 0 } else { run.stale_pages + 1 };
        let Plan { committed, rejected, counts, .. } = plan;
        Ok(PageOutcome { position: None, committed, rejected, counts, stale_pages })
    }

    /// What a traversal did not name, at the end of a dry run.
    pub(crate) async fn preview_deletions(&self, cx: &mut Cx, run: RunId, documents: &[Uuid]) -> Result<()> {
        self.list_deletions(cx, run, documents).await?;
        q!(
            cx,
            execute,
            "UPDATE run SET deleted = deleted + $3 WHERE workspace_id = $1 AND id = $2",
            self.key(),
            run.0,
            i64::try_from(documents.len()).unwrap_or(i64::MAX)
        )?;
        Ok(())
    }

    async fn list_deletions(&self, cx: &mut Cx, run: RunId, documents: &[Uuid]) -> Result<()> {
        let most = documents.len().min(MOST_LISTED as usize);
        for slice in documents[..most].chunks(1_000) {
            let wanted: Vec<_> = slice.iter().map(|id| Wanted { id: *id }).collect();
            let rows = q!(
                cx,
                fetch_all as (Uuid, String, String),
                "SELECT d.id, d.external_id, v.title FROM {rows $2: id uuid} AS w
                 {look up document d: d.workspace_id = $1 AND d.id = w.id}
                 {look up document_version v: v.workspace_id = $1 AND v.document_id = d.id AND v.version = d.version}
                 ORDER BY d.external_id",
                self.key(),
                json_list(&wanted)?
            )?;
            let listed = rows.into_iter().map(|(id, external_id, title)| Listed {
                item_no: 0,
                change: name_of(&ChangeKind::Delete),
                external_id,
                title,
                document_id: Some(id),
            });
            self.list(cx, run, listed.collect()).await?;
        }
        Ok(())
    }

    async fn list(&self, cx: &mut Cx, run: RunId, mut items: Vec<Listed>) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let next = q!(
            cx,
            fetch_one as (i64),
            "SELECT COALESCE(MAX(item_no) + 1, 0) FROM run_preview WHERE workspace_id = $1 AND run_id = $2",
            self.key(),
            run.0
        )?;
        items.truncate(usize::try_from(MOST_LISTED - next).unwrap_or(0));
        for (item, item_no) in items.iter_mut().zip(next..) {
            item.item_no = item_no;
        }
        for slice in items.chunks(SLICE) {
            q!(
                cx,
                execute,
                "INSERT INTO run_preview (workspace_id, run_id, item_no, change, external_id, title, document_id)
                 SELECT $1, $2, p.item_no, p.change, p.external_id, p.title, p.document_id
                 FROM {rows $3: item_no int, change text, external_id text, title text, document_id uuid} AS p",
                self.key(),
                run.0,
                json_list(slice)?
            )?;
        }
        Ok(())
    }

    /// What a dry run would have changed, after the item with this number; of one kind when one is given. At most 10,000 are listed.
    pub async fn preview(
        &self,
        run: RunId,
        change: Option<ChangeKind>,
        after: i64,
        limit: i64,
    ) -> Result<Page<PreviewedChange>> {
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT item_no, change, external_id, title, document_id FROM run_preview
             WHERE workspace_id = $1 AND run_id = $2 AND item_no > $3 AND ($4 IS NULL OR change = $4) ORDER BY item_no LIMIT $5",
            self.key(),
            run.0,
            after,
            change.as_ref().map(name_of),
            limit + 1
        )?;
        Page::of(rows, limit).try_map(|row| {
            let Row { item_no, change, external_id, title, document_id } = row;
            Ok(PreviewedChange {
                item_no,
                change: named(&change)?,
                external_id,
                title,
                document_id: document_id.map(Into::into),
            })
        })
    }
}

#[derive(Serialize)]
struct Wanted {
    id: Uuid,
}

/// The documents that a dry run has listed as deleted.
pub(crate) async fn deleted(cx: &mut Cx, workspace: Uuid, run: RunId) -> Result<HashSet<Uuid>> {
    let listed = q!(
        cx,
        fetch_all as (Option<Uuid>),
        "SELECT document_id FROM run_preview WHERE workspace_id = $1 AND run_id = $2 AND change = 'delete'",
        workspace,
        run.0
    )?;
    Ok(listed.into_iter().flatten().collect())
}

/// What a dry run's connector wrote into its memory.
pub(crate) async fn state(cx: &mut Cx, workspace: Uuid, run: RunId) -> Result<State> {
    let state = q!(
        cx,
        fetch_optional as (Option<Json<State>>),
        "SELECT preview_state FROM run WHERE workspace_id = $1 AND id = $2",
        workspace,
        run.0
    )?;
    Ok(state.flatten().map(|Json(state)| state).unwrap_or_default())
}
