//! The life of a source: deleting, restoring, removing for good, and copying to another workspace.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tributary_core::{
    Clock, SourceId,
    job::Lease,
    principal::Principal,
    schedule::{Pause, PauseReason},
    source::PUSH_CONNECTOR,
};
use tributary_store::{DeletedSource, NewSchedule, NewSource, Purged, SourceWithRun, SystemDb, TenantDb};

use super::{Error, Sources, name_taken, valid_name};
use crate::{jobs, schedules::Plan};

/// Until then, hosts have let go of its documents.
const PURGE_DELAY: Duration = Duration::from_secs(5);
/// Documents removed in one transaction.
const REMOVED_AT_ONCE: i64 = 200;

impl Sources {
    /// Hides a source and its documents at once. With `purge` it is removed for good, without waiting until its time has come; that can
    /// also be asked of one that was deleted before.
    pub async fn delete(&self, tenant: &TenantDb, id: SourceId, by: &Principal, purge: bool) -> Result<(), Error> {
        let now = self.clock.now();
        match tenant.delete_source(id, &by.label(), now).await {
            Ok(_) => self.wake.documents(),
            Err(tributary_store::Error::NotFound(_)) if purge => {}
            Err(error) => return Err(error.into()),
        }
        if purge {
            tenant.purge_source(id, PURGE_DELAY.as_millis() as i64, now).await?;
            self.wake.jobs();
        }
        Ok(())
    }

    /// Brings a deleted source back, with the documents that are still there. Its schedules go on from now, as after a pause.
    pub async fn restore(&self, tenant: &TenantDb, id: SourceId, name: Option<&str>) -> Result<SourceWithRun, Error> {
        let DeletedSource { source, schedules, .. } = match tenant.find_deleted_source(id).await? {
            Some(deleted) => deleted,
            // Or there never was one, or it was removed for good.
            None => return Err(tenant.get_source(id).await.map_or_else(Error::from, |_| Error::NotDeleted)),
        };
        let name = name.map(valid_name).transpose()?.unwrap_or(source.name);
        let now = self.clock.now();
        let mut next = Vec::with_capacity(schedules.len());
        for scheduled in &schedules {
            // What cannot be computed any more is seen, and paused with a note, by the tick.
            let start = Plan::of(scheduled, id).map_or(scheduled.next, |plan| plan.next_after(now));
            next.push((scheduled.kind, start));
        }
        tenant.restore_source(id, &name, &next, now).await.map_err(|error| name_taken(error, &name))?;
        self.wake.documents();
        self.get(tenant, id).await
    }

    /// Makes a source of the same configuration in another workspace. Its schedules wait, until somebody has seen it sync there. With
    /// `retire` those of this one wait, too; its documents and what was answered from them stay where they are.
    pub async fn copy(
        &self,
        tenant: &TenantDb,
        id: SourceId,
        to: &TenantDb,
        name: Option<&str>,
        by: &Principal,
        retire: bool,
    ) -> Result<SourceWithRun, Error> {
        let SourceWithRun { source, schedules, .. } = self.get(tenant, id).await?;
        if source.connector.id == PUSH_CONNECTOR {
            return Err(Error::NothingToCopy);
        }
        let name = name.map(valid_name).transpose()?.unwrap_or_else(|| source.name.clone());
        let ready = self.ready(&source.connector.id).await?;
        self.accept_config(&ready.descriptor, &source.config).await?;
        let guard = tenant.own_deletion_guard(id).await?;
        let now = self.clock.now();
        let new = NewSource {
            id: SourceId::new(),
            name: name.clone(),
            connector: ready.connector.clone(),
            config: source.config,
            schedules: schedules
                .into_iter()
                .map(|it| NewSchedule { kind: it.kind, schedule: it.schedule, anchor_at: now, first: None })
                .collect(),
            pause_after_failures: Some(source.pause_after_failures),
            now,
        };
        let pause = |note: &str| Pause { at: now, by: by.label(), reason: PauseReason::ByHand, note: note.to_owned() };
        let note =
            "Copied from another workspace. Store the credentials it needs here, sync it by hand, then resume it.";
        let copy = to.create_paused_source(new, pause(note), guard).await.map_err(|error| name_taken(error, &name))?;
        if retire {
            let note =
                "Retired: it was copied to another workspace, which syncs it from now on. Its documents stay here.";
            tenant.pause_source(id, pause(note)).await?;
        }
        self.get(to, copy.id).await
    }
}

/// Works on the removal of a deleted source until nothing is left, it is restored, or the lease is lost.
pub async fn purge(
    system: &SystemDb,
    clock: &dyn Clock,
    lease: Lease,
    id: SourceId,
    lease_ms: i64,
    shutdown: &CancellationToken,
) {
    let tenant = system.tenant(lease.workspace_id);
    let purged = async {
        loop {
            match tenant.purge_source_slice(&lease, id, REMOVED_AT_ONCE, clock.now()).await? {
                Purged::Some if shutdown.is_cancelled() => {
                    system.release(&lease, 0).await?;
                    return Ok(());
                }
                Purged::Some => {
                    system.heartbeat(&lease, lease_ms).await?;
                }
                Purged::All => {
                    tracing::info!(source = %id, "a deleted source was removed for good");
                    return Ok(());
                }
                Purged::Restored => {
                    tracing::info!(source = %id, "a source was restored before it was removed");
                    return Ok(());
                }
            }
        }
    };
    let purged: Result<(), tributary_store::Error> = purged.await;
    if let Err(error) = purged {
        tracing::warn!(source = %id, %error, "a deleted source could not be removed yet; it is tried again");
        let pause_ms = jobs::pause(lease.attempt, None).as_millis() as i64;
        let _ = system.retry(&lease, pause_ms, &error.to_string()).await;
    }
}
