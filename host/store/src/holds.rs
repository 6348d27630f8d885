//! Deletions that the guard held, and what a person decided about them.
//!
//! A hold belongs to the run that missed the documents. It shrinks when a later run names some of them, and ends when a later complete
//! traversal judges anew. Approving deletes only what nothing has touched or named since.
//!
//! What was dismissed is remembered document by document, in the list of the dismissed hold: it is neither held nor deleted for being
//! missing, until a run names it, the source is configured anew, or somebody accepts deletions unseen. Others that go missing are judged
//! without it.

use std::collections::HashSet;

use serde::Serialize;
use tributary_core::{DocumentId, Instant, Position, RunId, SourceId, contract::Gone, run::Run, source::Health};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    finish::{Held, Missing, SLICE},
    rows::{Page, json_list, limited, name_of},
    runs,
    seen::Seen,
    sources,
    tenant::TenantDb,
};

/// The decision to keep what a run missed.
const DISMISSED: &str = "dismissed";

/// Deletions that wait for a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// The run that missed the documents.
    pub run_id: RunId,
    /// Under this revision of the source's configuration.
    pub config_revision: i64,
    /// How many, of how many.
    pub held: Held,
    /// The workspace's newest commit at the time.
    pub position: Position,
    /// When.
    pub held_at: Instant,
}

/// What became of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approval {
    /// Done.
    Deleted {
        /// Documents removed.
        deleted: i64,
        /// Documents kept: named, changed or removed otherwise since.
        kept: i64,
        /// The commit, when any was removed.
        position: Option<Position>,
    },
    /// Nothing of this run is held.
    NothingHeld,
    /// The source was configured anew since: its next sync judges again.
    ConfigChanged,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    run_id: Uuid,
    config_revision: i64,
    unseen: i64,
    live: i64,
    position: i64,
    held_at: Instant,
}

#[derive(sqlx_macros::FromRow)]
struct HeldRow {
    id: Uuid,
    external_id: String,
    container: Option<String>,
    change_seq: i64,
}

/// What became of the list of a hold after a run.
struct TakenOut {
    found: i64,
    left: i64,
}

#[derive(Serialize)]
struct DocumentRow {
    document_id: Uuid,
}

async fn open(cx: &mut Cx, workspace: Uuid, source: SourceId) -> Result<Option<Hold>> {
    let row = q!(
        cx,
        fetch_optional as Row,
        "SELECT run_id, config_revision, unseen, live, position, held_at FROM deletion_hold
         WHERE workspace_id = $1 AND source_id = $2 AND decision IS NULL",
        workspace,
        source.0
    )?;
    Ok(row.map(|row| Hold {
        run_id: row.run_id.into(),
        config_revision: row.config_revision,
        held: Held { unseen: row.unseen, live: row.live },
        position: row.position,
        held_at: row.held_at,
    }))
}

impl TenantDb {
    /// Deletions of a source that wait for a decision.
    pub async fn find_hold(&self, source: SourceId) -> Result<Option<Hold>> {
        if !self.audience().admits_source(source) {
            return Ok(None);
        }
        open(&mut self.read().await?, self.key(), source).await
    }

    /// The documents that a run's held deletions are about, by id: id, name in the source, title.
    pub async fn held_documents(
        &self,
        run: RunId,
        after: Option<DocumentId>,
        limit: i64,
    ) -> Result<Page<(DocumentId, String, String)>> {
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as (Uuid, String, String),
            "SELECT h.document_id, d.external_id, v.title FROM held_deletion h
             JOIN document d ON d.workspace_id = h.workspace_id AND d.id = h.document_id
             JOIN document_version v ON v.workspace_id = d.workspace_id AND v.document_id = d.id AND v.version = d.version
             WHERE h.workspace_id = $1 AND h.run_id = $2 AND h.document_id > $3 AND d.gone IS NULL ORDER BY h.document_id LIMIT $4",
            self.key(),
            run.0,
            after.map_or(Uuid::nil(), |id| id.0),
            limit + 1
        )?;
        Page::of(rows, limit).try_map(|(id, external_id, title)| Ok((id.into(), external_id, title)))
    }

    /// Deletes what a run held and nothing has named or changed since.
    pub async fn approve_deletions(&self, source: SourceId, run: RunId, by: &str, now: Instant) -> Result<Approval> {
        if !self.audience().admits_source(source) {
            return Err(Error::NotFound("source"));
        }
        let mut cx = self.write().await?;
        let locked = sources::lock(&mut cx, self.key(), source).await?;
        let Some(hold) = open(&mut cx, self.key(), source).await?.filter(|hold| hold.run_id == run) else {
            return Ok(Approval::NothingHeld);
        };
        if locked.config_revision != hold.config_revision {
            return Ok(Approval::ConfigChanged);
        }
        // A sync that is under way may have named some of them.
        let seen = match runs::active(&mut cx, self.key(), source).await? {
            Some(active) => Some(Seen::of(&mut cx, self.key(), active).await?),
            None => None,
        };
        let (mut missing, mut kept) = (Vec::new(), 0);
        let mut after = Uuid::nil();
        loop {
            let rows = self.held_slice(&mut cx, run, after).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            for row in rows {
                let named = seen.as_ref().is_some_and(|seen| seen.document(&row.external_id, row.container.as_deref()));
                if named || row.change_seq > hold.position { kept += 1 } else { missing.push(row.id) }
            }
        }
        let mut position = None;
        if !missing.is_empty() {
            for slice in missing.chunks(SLICE) {
                // Or a container that comes back unchanged would not be read again, and its documents stay away.
                q!(
                    cx,
                    execute,
                    "DELETE FROM container WHERE workspace_id = $1 AND source_id = $2 AND external_id IN
                         (SELECT container FROM document WHERE workspace_id = $1 AND id IN {ids $3} AND container IS NOT NULL)",
                    self.key(),
                    source.0,
                    json_list(slice)?
                )?;
            }
            let number = self.next_position(&mut cx).await?;
            for slice in missing.chunks(SLICE) {
                q!(
                    cx,
                    execute,
                    "UPDATE document SET gone = $3, change_seq = $4, gone_at = $5, gone_by = $6, gone_run_id = $7
                     WHERE workspace_id = $1 AND id IN {ids $2}",
                    self.key(),
                    json_list(slice)?,
                    Gone::Deleted.as_str(),
                    number,
                    now,
                    by,
                    run.0
                )?;
            }
            position = Some(number);
        }
        let deleted = i64::try_from(missing.len()).unwrap_or(i64::MAX);
        q!(
            cx,
            execute,
            "UPDATE run SET deleted = deleted + $3, change_seq = COALESCE($4, change_seq) WHERE workspace_id = $1 AND id = $2",
            self.key(),
            run.0,
            deleted,
            position
        )?;
        self.decide(&mut cx, run, "approved", None, Some(by), now).await?;
        self.calm(&mut cx, source, position.is_some(), now).await?;
        cx.commit().await?;
        Ok(Approval::Deleted { deleted, kept, position })
    }

    /// Keeps what a run would have deleted, with a note why, also from the runs that come. False: nothing of this run is held.
    pub async fn dismiss_deletions(
        &self,
        source: SourceId,
        run: RunId,
        note: &str,
        by: &str,
        now: Instant,
    ) -> Result<bool> {
        if !self.audience().admits_source(source) {
            return Err(Error::NotFound("source"));
        }
        crate::rows::refuse_nul([note])?;
        let mut cx = self.write().await?;
        sources::lock(&mut cx, self.key(), source).await?;
        if open(&mut cx, self.key(), source).await?.is_none_or(|hold| hold.run_id != run) {
            return Ok(false);
        }
        self.decide(&mut cx, run, DISMISSED, Some(note), Some(by), now).await?;
        self.calm(&mut cx, source, false, now).await?;
        cx.commit().await?;
        Ok(true)
    }

    /// Dismissed holds of a source that documents are still kept for, and the revisions they are of.
    async fn dismissed(&self, cx: &mut Cx, source: SourceId) -> Result<Vec<(RunId, i64)>> {
        let rows = q!(
            cx,
            fetch_all as (Uuid, i64),
            "SELECT run_id, config_revision FROM deletion_hold WHERE workspace_id = $1 AND source_id = $2 AND keeps",
            self.key(),
            source.0
        )?;
        Ok(rows.into_iter().map(|(run, revision)| (run.into(), revision)).collect())
    }

    /// Documents that stay although a run misses them, since somebody has seen that and said so.
    pub(crate) async fn kept(&self, cx: &mut Cx, run: &Run) -> Result<HashSet<Uuid>> {
        let mut kept = HashSet::new();
        let mut dismissed = self.dismissed(cx, run.source_id).await?;
        dismissed.retain(|(_, revision)| *revision == run.config_revision);
        for (hold, _) in dismissed {
            let mut after = Uuid::nil();
            loop {
                let rows = self.held_slice(cx, hold, after).await?;
                let Some(last) = rows.last() else { break };
                after = last.id;
                kept.extend(rows.into_iter().map(|row| row.id));
            }
        }
        Ok(kept)
    }

    /// After a complete traversal: dismissals of another configuration are over, and all when deletions were accepted unseen.
    pub(crate) async fn end_dismissals(&self, cx: &mut Cx, run: &Run, accepted: bool) -> Result<()> {
        for (hold, revision) in self.dismissed(cx, run.source_id).await? {
            if accepted || revision != run.config_revision {
                self.forget(cx, hold).await?;
            }
        }
        Ok(())
    }

    /// After a run: what it named is not missing any more, and a complete traversal judges anew. What is open then.
    pub(crate) async fn settle_hold(
        &self,
        cx: &mut Cx,
        run: &Run,
        missing: Option<&Missing>,
        held: Option<Held>,
        now: Instant,
    ) -> Result<Option<Hold>> {
        let before = open(cx, self.key(), run.source_id).await?;
        let dismissed = self.dismissed(cx, run.source_id).await?;
        let named;
        let seen = match missing {
            Some(missing) => &missing.seen,
            None if before.is_none() && dismissed.is_empty() => return Ok(None),
            None => {
                named = Seen::of(cx, self.key(), run.id).await?;
                &named
            }
        };
        for (hold, _) in dismissed {
            if self.take_out(cx, hold, seen).await?.left == 0 {
                self.forget(cx, hold).await?;
            }
        }
        let Some(missing) = missing else {
            let Some(before) = before else { return Ok(None) };
            return self.shrink(cx, seen, before, now).await;
        };
        if let Some(before) = before {
            self.decide(cx, before.run_id, "superseded", None, None, now).await?;
        }
        let Some(held) = held else { return Ok(None) };
        let position = q!(cx, fetch_optional as (i64), "SELECT change_seq FROM workspace WHERE id = $1", self.key())?;
        let hold = Hold {
            run_id: run.id,
            config_revision: run.config_revision,
            held,
            position: position.ok_or(Error::NotFound("workspace"))?,
            held_at: now,
        };
        q!(
            cx,
            execute,
            "INSERT INTO deletion_hold (workspace_id, run_id, source_id, config_revision, unseen, live, position, held_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            self.key(),
            run.id.0,
            run.source_id.0,
            hold.config_revision,
            held.unseen,
            held.live,
            hold.position,
            now
        )?;
        for slice in missing.documents.chunks(SLICE) {
            let rows: Vec<_> = slice.iter().map(|id| DocumentRow { document_id: *id }).collect();
            q!(
                cx,
                execute,
                "INSERT INTO held_deletion (workspace_id, run_id, document_id)
                 SELECT $1, $2, h.document_id FROM {rows $3: document_id uuid} AS h",
                self.key(),
                run.id.0,
                json_list(&rows)?
            )?;
        }
        Ok(Some(hold))
    }

    /// Takes out of an open hold what a run named.
    async fn shrink(&self, cx: &mut Cx, seen: &Seen, mut hold: Hold, now: Instant) -> Result<Option<Hold>> {
        let TakenOut { found, left } = self.take_out(cx, hold.run_id, seen).await?;
        if left == 0 {
            self.decide(cx, hold.run_id, "superseded", None, None, now).await?;
            return Ok(None);
        }
        hold.held.unseen -= found;
        if found > 0 {
            q!(
                cx,
                execute,
                "UPDATE deletion_hold SET unseen = $3 WHERE workspace_id = $1 AND run_id = $2",
                self.key(),
                hold.run_id.0,
                hold.held.unseen
            )?;
        }
        Ok(Some(hold))
    }

    /// Takes out of the list of a hold what a run named.
    async fn take_out(&self, cx: &mut Cx, hold: RunId, seen: &Seen) -> Result<TakenOut> {
        let (mut found, mut all) = (Vec::new(), 0);
        let mut after = Uuid::nil();
        loop {
            let rows = self.held_slice(cx, hold, after).await?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            all += rows.len();
            let named = rows.iter().filter(|row| seen.document(&row.external_id, row.container.as_deref()));
            found.extend(named.map(|row| row.id));
        }
        for slice in found.chunks(SLICE) {
            q!(
                cx,
                execute,
                "DELETE FROM held_deletion WHERE workspace_id = $1 AND run_id = $2 AND document_id IN {ids $3}",
                self.key(),
                hold.0,
                json_list(slice)?
            )?;
        }
        let count = |documents| i64::try_from(documents).unwrap_or(i64::MAX);
        Ok(TakenOut { found: count(found.len()), left: count(all - found.len()) })
    }

    async fn held_slice(&self, cx: &mut Cx, run: RunId, after: Uuid) -> Result<Vec<HeldRow>> {
        Ok(q!(
            cx,
            fetch_all as HeldRow,
            "SELECT d.id, d.external_id, d.container, d.change_seq FROM held_deletion h
             JOIN document d ON d.workspace_id = h.workspace_id AND d.id = h.document_id
             WHERE h.workspace_id = $1 AND h.run_id = $2 AND h.document_id > $3 AND d.gone IS NULL ORDER BY h.document_id LIMIT $4",
            self.key(),
            run.0,
            after,
            SLICE as i64
        )?)
    }

    /// Closes a hold. The list of its documents is of use only after a dismissal.
    async fn decide(
        &self,
        cx: &mut Cx,
        run: RunId,
        decision: &str,
        note: Option<&str>,
        by: Option<&str>,
        now: Instant,
    ) -> Result<()> {
        q!(
            cx,
            execute,
            "UPDATE deletion_hold SET decision = $3, note = $4, decided_by = $5, decided_at = $6, keeps = $7
             WHERE workspace_id = $1 AND run_id = $2",
            self.key(),
            run.0,
            decision,
            note,
            by,
            now,
            decision == DISMISSED
        )?;
        if decision == DISMISSED { Ok(()) } else { self.forget(cx, run).await }
    }

    /// Forgets which documents a hold is about.
    async fn forget(&self, cx: &mut Cx, hold: RunId) -> Result<()> {
        q!(
            cx,
            execute,
            "UPDATE deletion_hold SET keeps = FALSE WHERE workspace_id = $1 AND run_id = $2",
            self.key(),
            hold.0
        )?;
        q!(cx, execute, "DELETE FROM held_deletion WHERE workspace_id = $1 AND run_id = $2", self.key(), hold.0)?;
        Ok(())
    }

    /// The source no longer needs a decision.
    async fn calm(&self, cx: &mut Cx, source: SourceId, changed: bool, now: Instant) -> Result<()> {
        q!(
            cx,
            execute,
            "UPDATE source SET health = CASE WHEN health_code = 'deletions_held' THEN $3 ELSE health END,
                 health_since = CASE WHEN health_code = 'deletions_held' THEN $4 ELSE health_since END,
                 health_detail = CASE WHEN health_code = 'deletions_held' THEN NULL ELSE health_detail END,
                 health_code = CASE WHEN health_code = 'deletions_held' THEN NULL ELSE health_code END,
                 last_change_at = CASE WHEN $5 THEN $4 ELSE last_change_at END
             WHERE workspace_id = $1 AND id = $2",
            self.key(),
            source.0,
            name_of(&Health::Healthy),
            now,
            changed
        )?;
        Ok(())
    }
}
