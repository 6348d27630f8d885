//! What a workspace keeps for a time only: deleted documents and sources, and old versions. Part of the history chore.

use chrono::TimeDelta;
use tributary_core::{Instant, WorkspaceId, workspace::Settings};
use tributary_store::{KeepVersions, PurgeDeleted, Result, SystemDb, Visible};

/// What was deleted is kept for at least so long, whatever the settings: until then every host has let go of it.
const AT_LEAST: TimeDelta = TimeDelta::hours(1);
/// Documents in one slice: their texts may be large.
const DOCUMENTS: i64 = 200;
/// Versions, or sources, in one slice.
const SLICE: i64 = 500;

/// What each workspace keeps, as of a moment.
pub(super) struct Retention {
    deleted: Vec<PurgeDeleted>,
    versions: Vec<KeepVersions>,
    now: Instant,
}

impl Retention {
    /// Reads every workspace's settings.
    pub(super) async fn read(system: &SystemDb, now: Instant) -> Result<Self> {
        let (mut deleted, mut versions) = (Vec::new(), Vec::new());
        let mut after = None;
        loop {
            let page = system.list_workspaces(&Visible::All, after, 1_000).await?;
            for workspace in &page.items {
                let (purge, keep) = of(workspace.id, &workspace.settings, now);
                deleted.push(purge);
                versions.push(keep);
            }
            after = page.items.last().map(|workspace| workspace.id);
            if !page.more {
                return Ok(Self { deleted, versions, now });
            }
        }
    }

    /// One slice of each; how much it was.
    pub(super) async fn slice(&self, system: &SystemDb) -> Result<u64> {
        let mut purged = system.purge_sources(&self.deleted, SLICE, self.now).await?;
        for (workspace, documents) in system.long_deleted(&self.deleted, DOCUMENTS).await? {
            let before = self.deleted.iter().find(|it| it.workspace_id == workspace).map(|it| it.deleted_before);
            let Some(before) = before else { continue };
            purged += system.tenant(workspace).purge_documents(&documents, before).await?;
        }
        for (workspace, versions) in system.old_versions(&self.versions, SLICE).await? {
            purged += system.tenant(workspace).purge_versions(&versions).await?;
        }
        Ok(purged)
    }
}

fn of(workspace_id: WorkspaceId, settings: &Settings, now: Instant) -> (PurgeDeleted, KeepVersions) {
    let days = |days: u16| TimeDelta::days(days.into());
    let deleted_before = now - days(settings.purge_after_days()).max(AT_LEAST);
    let newest = i64::from(settings.keep_versions());
    let replaced_after = now - days(settings.keep_versions_days());
    (PurgeDeleted { workspace_id, deleted_before }, KeepVersions { workspace_id, newest, replaced_after })
}
