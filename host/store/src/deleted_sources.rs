//! The life of a source after its deletion: hidden at once, restored, or purged slice by slice.

use std::collections::HashMap;

use sqlx::types::Json;
use tributary_core::{
    Instant, JobId, Position, SourceId, WorkspaceId,
    contract::Gone,
    job::{Lease, NewJob, Work},
    schedule::{ScheduleKind, Scheduled, Start},
    source::Source,
};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result, taken},
    jobs::{self, QueuedRow},
    rows::{Page, json_list, limited, refuse_nul},
    schedules, sources,
    tenant::{SystemDb, TenantDb},
    tombstones::{PolicyRow, PurgeDeleted},
};

/// A source that is deleted and not yet gone for good.
#[derive(Clone, Debug, PartialEq)]
pub struct DeletedSource {
    /// As it was.
    pub source: Source,
    /// Its schedules, without a next moment.
    pub schedules: Vec<Scheduled>,
    /// When it was deleted.
    pub deleted_at: Instant,
    /// By whom: the principal's label.
    pub deleted_by: Option<String>,
    /// Since when it is being removed for good.
    pub purging_at: Option<Instant>,
    /// Documents that are still there, hidden.
    pub documents: i64,
}

/// How far the removal of a source has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purged {
    /// There is more.
    Some,
    /// Nothing is left but its name and its runs, which citations name; the job is done.
    All,
    /// It was restored meanwhile; the job is done.
    Restored,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    #[sqlx(flatten)]
    source: sources::Row,
    deleted_at: Instant,
    deleted_by: Option<String>,
    purging_at: Option<Instant>,
}

impl TenantDb {
    /// Hides a source and its documents at once; its name is free again. A sync of it is asked to stop and commits nothing more.
    /// The position is `None` when it had no document.
    pub async fn delete_source(&self, id: SourceId, by: &str, now: Instant) -> Result<Option<Position>> {
        if !self.audience().admits_source(id) {
            return Err(Error::NotFound("source"));
        }
        let own = self.push_source().await?.id;
        let mut cx = self.write().await?;
        sources::lock(&mut cx, self.key(), id).await?;
        if id == own {
            return Err(Error::Invalid(
                "the source of pushed documents belongs to its workspace and cannot be deleted".to_owned(),
            ));
        }
        q!(
            cx,
            execute,
            "UPDATE source SET deleted_at = $3, deleted_by = $4 WHERE workspace_id = $1 AND id = $2",
            self.key(),
            id.0,
            now,
            by
        )?;
        schedules::halt(&mut cx, self.key(), id).await?;
        q!(
            cx,
            execute,
            "UPDATE run SET cancel_requested = $3 WHERE workspace_id = $1 AND source_id = $2 AND finished_at IS NULL",
            self.key(),
            id.0,
            true
        )?;
        let any = q!(
            cx,
            fetch_optional as (Uuid),
            "SELECT id FROM document WHERE workspace_id = $1 AND source_id = $2 AND gone IS NULL LIMIT 1",
            self.key(),
            id.0
        )?;
        let position = match any {
            Some(_) => {
                let position = self.next_position(&mut cx).await?;
                q!(
                    cx,
                    execute,
                    "UPDATE document SET gone = $3, change_seq = $4, gone_at = $5, gone_by = $6, gone_run_id = NULL
                     WHERE workspace_id = $1 AND source_id = $2 AND gone IS NULL",
                    self.key(),
                    id.0,
                    Gone::SourceDeleted.as_str(),
                    position,
                    now,
                    by
                )?;
                Some(position)
            }
            None => None,
        };
        cx.commit().await?;
        Ok(position)
    }

    /// Deleted sources that can be restored, oldest first.
    pub async fn list_deleted_sources(&self, after: Option<SourceId>, limit: i64) -> Result<Page<DeletedSource>> {
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            concat!(
                "SELECT ",
                sources::columns!(),
                ", s.deleted_at, s.deleted_by, s.purging_at FROM source s WHERE s.workspace_id = $1 AND s.id > $2
                     AND s.deleted_at IS NOT NULL AND s.purged_at IS NULL AND ($4 IS NULL OR s.id IN {ids $4})
                 ORDER BY s.id LIMIT $3"
            ),
            self.key(),
            after.map_or(Uuid::nil(), |id| id.0),
            limit + 1,
            self.audience().sources().map(json_list).transpose()?
        )?;
        let page = Page::of(rows, limit).try_map(DeletedSource::try_from)?;
        let ids: Vec<_> = page.items.iter().map(|it| it.source.id).collect();
        let documents = q!(
            cx,
            fetch_all as (Uuid, i64),
            "SELECT source_id, COUNT(*) FROM document WHERE workspace_id = $1 AND {key source_id: $2} GROUP BY source_id",
            self.key(),
            json_list(&ids)?
        )?;
        let documents: HashMap<_, _> = documents.into_iter().collect();
        let mut schedules = schedules::of_sources(&mut cx, self.key(), &ids).await?;
        page.try_map(|mut it| {
            it.schedules = schedules.remove(&it.source.id).unwrap_or_default();
            it.documents = documents.get(&it.source.id.0).copied().unwrap_or_default();
            Ok(it)
        })
    }

    /// A deleted source that can be restored.
    pub async fn find_deleted_source(&self, id: SourceId) -> Result<Option<DeletedSource>> {
        if !self.audience().admits_source(id) {
            return Ok(None);
        }
        find(&mut self.read().await?, self.key(), id).await
    }

    /// Brings a deleted source back with the documents that were hidden with it, as far as they were not removed yet. Its schedules go on
    /// with these moments unless it is paused; `Conflict` when its name is in use by now.
    pub async fn restore_source(
        &self,
        id: SourceId,
        name: &str,
        next: &[(ScheduleKind, Option<Start>)],
        now: Instant,
    ) -> Result<Option<Position>> {
        if !self.audience().admits_source(id) {
            return Err(Error::NotFound("source"));
        }
        refuse_nul([name])?;
        let mut cx = self.write().await?;
        let back = q!(
            cx,
            execute,
            "UPDATE source SET name = $3, deleted_at = NULL, deleted_by = NULL, purging_at = NULL, failures_since = $4
             WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NOT NULL AND purged_at IS NULL",
            self.key(),
            id.0,
            name,
            now
        )
        .map_err(taken("name"))?;
        if back == 0 {
            return Err(Error::NotFound("source"));
        }
        let source = sources::lock(&mut cx, self.key(), id).await?;
        if source.pause.is_none() {
            schedules::go_on(&mut cx, self.key(), id, next, now).await?;
        }
        let position = self.next_position(&mut cx).await?;
        let documents = q!(
            cx,
            execute,
            "UPDATE document SET gone = NULL, gone_at = NULL, gone_by = NULL, change_seq = $3
             WHERE workspace_id = $1 AND source_id = $2 AND gone = 'source_deleted'",
            self.key(),
            id.0,
            position
        )?;
        cx.commit().await?;
        Ok((documents > 0).then_some(position))
    }

    /// Queues the job that removes a deleted source for good, in a moment: until then hosts let go of its documents. Once is enough.
    pub async fn purge_source(&self, id: SourceId, delay_ms: i64, now: Instant) -> Result<()> {
        if !self.audience().admits_source(id) {
            return Err(Error::NotFound("source"));
        }
        let mut cx = self.write().await?;
        let asked = q!(
            cx,
            execute,
            "UPDATE source SET purging_at = COALESCE(purging_at, $3)
             WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NOT NULL AND purged_at IS NULL",
            self.key(),
            id.0,
            now
        )?;
        if asked == 0 {
            return Err(Error::NotFound("source"));
        }
        jobs::enqueue_all(&mut cx, &[QueuedRow::of(self.key(), JobId::new(), job(id, delay_ms))?]).await?;
        cx.commit().await
    }

    /// Removes some documents of a deleted source, and at last what else it held; see [`Purged`].
    pub async fn purge_source_slice(&self, lease: &Lease, id: SourceId, limit: i64, now: Instant) -> Result<Purged> {
        let mut cx = self.write().await?;
        jobs::fence_with_progress(&mut cx, self.key(), lease).await?;
        let purging = q!(
            cx,
            fetch_optional as (bool),
            "SELECT purging_at IS NOT NULL FROM source WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NOT NULL {lock}",
            self.key(),
            id.0
        )?;
        if purging != Some(true) {
            jobs::done(&mut cx, lease).await?;
            cx.commit().await?;
            return Ok(Purged::Restored);
        }
        let documents = q!(
            cx,
            fetch_all as (Uuid),
            "SELECT id FROM document WHERE workspace_id = $1 AND source_id = $2 AND gone IS NOT NULL ORDER BY id LIMIT $3",
            self.key(),
            id.0,
            limited(limit)
        )?;
        if !documents.is_empty() {
            self.purge(&mut cx, &documents, None).await?;
            cx.commit().await?;
            return Ok(Purged::Some);
        }
        self.purge_rest(&mut cx, id, now).await?;
        jobs::done(&mut cx, lease).await?;
        cx.commit().await?;
        Ok(Purged::All)
    }

    /// All that belongs to a source but its name and its runs.
    async fn purge_rest(&self, cx: &mut Cx, id: SourceId, now: Instant) -> Result<()> {
        let (key, id) = (self.key(), id.0);
        q!(cx, execute, "DELETE FROM container WHERE workspace_id = $1 AND source_id = $2", key, id)?;
        q!(cx, execute, "DELETE FROM connector_state WHERE workspace_id = $1 AND source_id = $2", key, id)?;
        q!(cx, execute, "DELETE FROM schedule_slot WHERE workspace_id = $1 AND source_id = $2", key, id)?;
        q!(cx, execute, "DELETE FROM schedule WHERE workspace_id = $1 AND source_id = $2", key, id)?;
        // These name documents.
        q!(
            cx,
            execute,
            "DELETE FROM held_deletion WHERE workspace_id = $1 AND run_id IN
                 (SELECT h.run_id FROM deletion_hold h WHERE h.workspace_id = $1 AND h.source_id = $2)",
            key,
            id
        )?;
        q!(cx, execute, "DELETE FROM deletion_hold WHERE workspace_id = $1 AND source_id = $2", key, id)?;
        q!(
            cx,
            execute,
            "DELETE FROM run_failed_item WHERE workspace_id = $1 AND run_id IN
                 (SELECT r.id FROM run r WHERE r.workspace_id = $1 AND r.source_id = $2)",
            key,
            id
        )?;
        q!(
            cx,
            execute,
            "DELETE FROM run_preview WHERE workspace_id = $1 AND run_id IN
                 (SELECT r.id FROM run r WHERE r.workspace_id = $1 AND r.source_id = $2)",
            key,
            id
        )?;
        q!(
            cx,
            execute,
            "UPDATE source SET purged_at = $3, config = $4 WHERE workspace_id = $1 AND id = $2",
            key,
            id,
            now,
            Json(serde_json::json!({}))
        )?;
        Ok(())
    }
}

impl SystemDb {
    /// Queues the removal of sources that stayed deleted for as long as their workspaces keep them; how many.
    pub async fn purge_sources(&self, purge: &[PurgeDeleted], limit: i64, now: Instant) -> Result<u64> {
        let policies: Vec<_> = purge.iter().map(PolicyRow::from).collect();
        let mut cx = self.write().await?;
        let due = q!(
            cx,
            fetch_all as (Uuid, Uuid),
            "SELECT s.workspace_id, s.id FROM {rows $1: workspace_id uuid, before time} AS p
             {look up source s: s.workspace_id = p.workspace_id AND s.deleted_at IS NOT NULL AND s.deleted_at < p.before AND s.purged_at IS NULL}
             LIMIT $2",
            json_list(&policies)?,
            limited(limit)
        )?;
        if due.is_empty() {
            return Ok(0);
        }
        let due: HashMap<WorkspaceId, Vec<Uuid>> = due.into_iter().fold(HashMap::new(), |mut by, (workspace, id)| {
            by.entry(workspace.into()).or_default().push(id);
            by
        });
        let mut queued = Vec::new();
        for (workspace, ids) in due {
            q!(
                cx,
                execute,
                "UPDATE source SET purging_at = COALESCE(purging_at, $3) WHERE workspace_id = $1 AND {key id: $2} AND deleted_at IS NOT NULL",
                workspace.0,
                json_list(&ids)?,
                now
            )?;
            for id in ids {
                queued.push(QueuedRow::of(workspace.0, JobId::new(), job(id.into(), 0))?);
            }
        }
        // One that is open already, by its key, is not queued again; one that was given up is.
        let jobs = jobs::enqueue_all(&mut cx, &queued).await?;
        cx.commit().await?;
        Ok(jobs.iter().filter(|job| job.new).count() as u64)
    }
}

fn job(id: SourceId, delay_ms: i64) -> NewJob {
    NewJob {
        delay_ms,
        dedup_key: Some(format!("purge_source/{id}")),
        ..NewJob::now(Work::PurgeSource { source_id: id })
    }
}

async fn find(cx: &mut Cx, workspace: Uuid, id: SourceId) -> Result<Option<DeletedSource>> {
    let row = q!(
        cx,
        fetch_optional as Row,
        concat!(
            "SELECT ",
            sources::columns!(),
            ", s.deleted_at, s.deleted_by, s.purging_at FROM source s
             WHERE s.workspace_id = $1 AND s.id = $2 AND s.deleted_at IS NOT NULL AND s.purged_at IS NULL"
        ),
        workspace,
        id.0
    )?;
    let documents = q!(
        cx,
        fetch_one as (i64),
        "SELECT COUNT(*) FROM document WHERE workspace_id = $1 AND source_id = $2",
        workspace,
        id.0
    )?;
    let schedules = schedules::of_sources(cx, workspace, &[id]).await?.remove(&id).unwrap_or_default();
    row.map(|row| Ok(DeletedSource { documents, schedules, ..DeletedSource::try_from(row)? })).transpose()
}

impl TryFrom<Row> for DeletedSource {
    type Error = Error;

    fn try_from(Row { source, deleted_at, deleted_by, purging_at }: Row) -> Result<Self> {
        Ok(Self { source: source.try_into()?, deleted_at, deleted_by, purging_at, documents: 0, schedules: Vec::new() })
    }
}
