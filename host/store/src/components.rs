//! Installing components on a running server, granting them hosts, and removing them.
//!
//! Sources are pinned to a digest. An installation moves all sources of the id to the new one in its transaction; a run that has
//! committed a page stays with the one it began with, whose bytes are kept as long as it, or a source, needs them.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use tributary_core::{Instant, SourceId, WorkspaceId, citation::ConnectorRef, contract::Descriptor, source::Source};
use uuid::Uuid;

use crate::{
    connectors::{self, InstalledConnector},
    db::Cx,
    dialect::q,
    error::{Error, Result},
    quarantine,
    rows::{Page, json_list, limited, refuse_nul},
    sources::{self, refuse_nul_in_json},
    tenant::SystemDb,
};

/// A component to be installed.
#[derive(Clone, Debug)]
pub struct NewComponent<'a> {
    /// Its SHA-256.
    pub digest: String,
    /// The component.
    pub bytes: &'a [u8],
    /// What it says about itself.
    pub descriptor: &'a Descriptor,
    /// Hosts granted with it, beside those granted to the version before.
    pub grant_hosts: &'a [String],
    /// Who installs it.
    pub by: String,
    /// The key its signature was made with.
    pub signed_by: Option<String>,
    /// The sources whose configuration was found to fit it.
    pub checked: Usage,
    /// Configurations that sources get with it.
    pub carried: &'a [CarriedConfig],
    /// Now.
    pub now: Instant,
}

/// A source's configuration for another version of its connector.
#[derive(Clone, Debug, PartialEq)]
pub struct CarriedConfig {
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Which.
    pub source: SourceId,
    /// All of it.
    pub config: Value,
}

#[derive(Serialize)]
struct CarriedRow<'a> {
    workspace_id: Uuid,
    source_id: Uuid,
    config: &'a Value,
}

/// What uses a connector: changes whenever a source of it is made, deleted, restored or gets another configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Sources that are not deleted.
    pub sources: i64,
    /// The revisions of their configurations, added up.
    pub revisions: i64,
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Its bytes are gone.
    Removed,
    /// So many sources use it; nothing was done.
    InUse(i64),
    /// Nobody installed such a connector.
    Unknown,
}

async fn usage(cx: &mut Cx, id: &str) -> Result<Usage> {
    let (sources, revisions) = q!(
        cx,
        fetch_one as (i64, i64),
        "SELECT COUNT(*), CAST(COALESCE(SUM(config_revision), 0) AS BIGINT) FROM source
         WHERE connector_id = $1 AND deleted_at IS NULL",
        id
    )?;
    Ok(Usage { sources, revisions })
}

/// Moves the sources of a connector to a digest, with the runs that have read nothing yet. The ledger's basis changes with the
/// digest, so that the next run reads everything again.
async fn adopt(cx: &mut Cx, connector: &ConnectorRef, now: Instant) -> Result<u64> {
    quarantine::lift(cx, &connector.id, &connector.digest, "another version of the connector was installed", now)
        .await?;
    let moved = q!(
        cx,
        execute,
        "UPDATE source SET connector_version = $2, connector_digest = $3 WHERE connector_id = $1 AND connector_digest <> $3",
        &connector.id,
        &connector.version,
        &connector.digest
    )?;
    if moved > 0 {
        q!(
            cx,
            execute,
            "UPDATE run SET connector_version = $2, connector_digest = $3
             WHERE connector_id = $1 AND connector_digest <> $3 AND status = 'queued'",
            &connector.id,
            &connector.version,
            &connector.digest
        )?;
    }
    Ok(moved)
}

/// Gives sources their other configurations; a run that is between two pages under the old one starts again.
async fn carry(cx: &mut Cx, id: &str, carried: &[CarriedConfig]) -> Result<()> {
    if carried.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = carried
        .iter()
        .map(|one| CarriedRow { workspace_id: one.workspace.0, source_id: one.source.0, config: &one.config })
        .collect();
    q!(
        cx,
        execute,
        "UPDATE source SET config = c.config, config_revision = config_revision + 1
         FROM {rows $1: workspace_id uuid, source_id uuid, config json} AS c
         WHERE source.workspace_id = c.workspace_id AND source.id = c.source_id AND source.connector_id = $2",
        json_list(&rows)?,
        id
    )?;
    Ok(())
}

impl SystemDb {
    /// Moves every source of a connector that is pinned to another digest to this one, with the runs that still wait for a worker.
    ///
    /// For connectors that ship with the server: after an update the old digest is gone.
    pub async fn adopt_connector(&self, connector: &ConnectorRef, now: Instant) -> Result<u64> {
        let mut cx = self.write().await?;
        let moved = adopt(&mut cx, connector, now).await?;
        cx.commit().await?;
        Ok(moved)
    }

    /// Installs a component, which becomes the current one of its id, and moves the id's sources to it, with the configurations that
    /// were carried over; how many moved is answered with it.
    /// `None` when the sources changed since they were checked: check them again.
    ///
    /// What was granted to the version before stays granted. A component that is installed again keeps its quarantine.
    pub async fn install_component(&self, new: NewComponent<'_>) -> Result<Option<(InstalledConnector, u64)>> {
        refuse_nul(new.grant_hosts.iter().map(String::as_str))?;
        new.carried.iter().try_for_each(|one| refuse_nul_in_json(&one.config))?;
        let id = &new.descriptor.id;
        let connector = ConnectorRef { id: id.clone(), version: new.descriptor.version.clone(), digest: new.digest };
        let mut cx = self.write().await?;
        // Sources before connectors, as in a run's end.
        let moved = adopt(&mut cx, &connector, new.now).await?;
        q!(
            cx,
            fetch_all as (String),
            "SELECT digest FROM connector WHERE connector_id = $1 ORDER BY digest {lock}",
            id
        )?;
        if usage(&mut cx, id).await? != new.checked {
            return Ok(None);
        }
        carry(&mut cx, id, new.carried).await?;
        let before = connectors::current(&mut cx, id).await?;
        let mut granted = before.as_ref().and_then(|before| before.granted_hosts.clone()).unwrap_or_default();
        for host in new.grant_hosts {
            if !granted.contains(host) {
                granted.push(host.clone());
            }
        }
        // Hosts' clocks differ; what was installed last is the current one all the same.
        let after = before.map(|before| before.installed_at + Duration::from_millis(1));
        let installed_at = after.map_or(new.now, |after| after.max(new.now));
        let size_bytes = i64::try_from(new.bytes.len()).unwrap_or(i64::MAX);
        q!(
            cx,
            execute,
            "INSERT INTO connector (digest, connector_id, version, descriptor, size_bytes, installed_at, installed_by, signed_by,
                 granted_hosts)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (digest) DO UPDATE SET installed_at = excluded.installed_at, installed_by = excluded.installed_by,
                 signed_by = excluded.signed_by, granted_hosts = excluded.granted_hosts, removed_at = NULL",
            &connector.digest,
            id,
            &connector.version,
            Json(new.descriptor),
            size_bytes,
            installed_at,
            &new.by,
            new.signed_by.as_deref(),
            Json(&granted)
        )?;
        q!(
            cx,
            execute,
            "INSERT INTO component (digest, bytes) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING",
            &connector.digest,
            new.bytes
        )?;
        forget_unused(&mut cx, &connector, new.now).await?;
        let installed = connectors::find(&mut cx, &connector.digest).await?.ok_or(Error::NotFound("connector"))?;
        cx.commit().await?;
        Ok(Some((installed, moved)))
    }

    /// The bytes of an installed component.
    pub async fn find_component(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let mut cx = self.read().await?;
        Ok(q!(cx, fetch_optional as (Vec<u8>), "SELECT bytes FROM component WHERE digest = $1", digest)?)
    }

    /// What uses a connector.
    pub async fn connector_usage(&self, id: &str) -> Result<Usage> {
        usage(&mut self.read().await?, id).await
    }

    /// How many sources each connector has, by id; those without any are left out.
    pub async fn connector_uses(&self) -> Result<Vec<(String, i64)>> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_all as (String, i64),
            "SELECT connector_id, COUNT(*) FROM source WHERE deleted_at IS NULL GROUP BY connector_id ORDER BY connector_id"
        )?)
    }

    /// Sources of a connector in all workspaces, a page at a time.
    pub async fn connector_sources(
        &self,
        id: &str,
        after: Option<(WorkspaceId, SourceId)>,
        limit: i64,
    ) -> Result<Page<(WorkspaceId, Source)>> {
        let limit = limited(limit);
        let after = after.map_or((Uuid::nil(), Uuid::nil()), |(workspace, source)| (workspace.0, source.0));
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as OfWorkspace,
            concat!(
                "SELECT s.workspace_id, ",
                sources::columns!(),
                " FROM source s WHERE s.connector_id = $1 AND s.deleted_at IS NULL AND (s.workspace_id, s.id) > ($2, $3)
                 ORDER BY s.workspace_id, s.id LIMIT $4"
            ),
            id,
            after.0,
            after.1,
            limit + 1
        )?;
        Page::of(rows, limit).try_map(|row| Ok((row.workspace_id.into(), row.source.try_into()?)))
    }

    /// The hosts that an installed connector may reach of those it asks for, and no others. False when nobody installed such a one.
    /// Runs that are going keep what they began with.
    pub async fn set_granted_hosts(&self, id: &str, hosts: &[String]) -> Result<bool> {
        refuse_nul(hosts.iter().map(String::as_str).chain([id]))?;
        let mut cx = self.write().await?;
        let changed = q!(
            cx,
            execute,
            "UPDATE connector SET granted_hosts = $2 WHERE connector_id = $1 AND installed_by IS NOT NULL AND removed_at IS NULL",
            id,
            Json(hosts)
        )?;
        cx.commit().await?;
        Ok(changed > 0)
    }

    /// Throws the bytes of an installed connector away, unless a source uses it. What its documents cite of it stays.
    pub async fn remove_connector(&self, id: &str, now: Instant) -> Result<Removal> {
        if id.contains('\0') {
            return Ok(Removal::Unknown);
        }
        let mut cx = self.write().await?;
        let digests = q!(
            cx,
            fetch_all as (String),
            "SELECT digest FROM connector WHERE connector_id = $1 AND installed_by IS NOT NULL AND removed_at IS NULL
             ORDER BY digest {lock}",
            id
        )?;
        if digests.is_empty() {
            return Ok(Removal::Unknown);
        }
        let Usage { sources, .. } = usage(&mut cx, id).await?;
        if sources > 0 {
            return Ok(Removal::InUse(sources));
        }
        q!(
            cx,
            execute,
            "DELETE FROM component WHERE digest IN (SELECT digest FROM connector WHERE connector_id = $1)",
            id
        )?;
        q!(
            cx,
            execute,
            "UPDATE connector SET removed_at = $2 WHERE connector_id = $1 AND installed_by IS NOT NULL AND removed_at IS NULL",
            id,
            now
        )?;
        cx.commit().await?;
        Ok(Removal::Removed)
    }
}

#[derive(sqlx_macros::FromRow)]
struct OfWorkspace {
    workspace_id: Uuid,
    #[sqlx(flatten)]
    source: sources::Row,
}

/// Throws earlier versions of a locked connector away that no source and no unfinished run needs.
async fn forget_unused(cx: &mut Cx, current: &ConnectorRef, now: Instant) -> Result<()> {
    q!(
        cx,
        execute,
        "UPDATE connector SET removed_at = $3
         WHERE connector_id = $1 AND digest <> $2 AND installed_by IS NOT NULL AND removed_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM source s WHERE s.connector_id = $1 AND s.connector_digest = connector.digest)
             AND NOT EXISTS (
                 SELECT 1 FROM run r WHERE r.connector_digest = connector.digest AND r.status IN ('queued', 'running', 'waiting'))",
        &current.id,
        &current.digest,
        now
    )?;
    q!(
        cx,
        execute,
        "DELETE FROM component WHERE digest IN (SELECT digest FROM connector WHERE connector_id = $1 AND removed_at IS NOT NULL)",
        &current.id
    )?;
    Ok(())
}
