//! Connectors, for all workspaces: those that ship with the server and those that were installed. Installing and removing them is in
//! `components`, what becomes of those that misbehave in `quarantine`.

use sqlx::types::Json;
use tributary_core::{Instant, citation::ConnectorRef, contract::Descriptor};

use crate::{db::Cx, dialect::q, error::Error, error::Result, rows::json_list, tenant::SystemDb};

/// A component that can serve sources, or could before it was removed.
#[derive(Clone, Debug, PartialEq)]
pub struct InstalledConnector {
    /// Its id, version and digest.
    pub connector: ConnectorRef,
    /// What it says about itself.
    pub descriptor: Descriptor,
    /// Size of the component.
    pub size_bytes: i64,
    /// When it was last installed; the newest of an id is the current one.
    pub installed_at: Instant,
    /// Who installed it; `None` for one that ships with the server.
    pub installed_by: Option<String>,
    /// The key that its signature was made with.
    pub signed_by: Option<String>,
    /// The hosts that were granted, of those the descriptor asks for or narrower; `None` grants them all.
    pub granted_hosts: Option<Vec<String>>,
    /// Set while no run may use it.
    pub quarantine: Option<Quarantine>,
    /// When its component was thrown away.
    pub removed_at: Option<Instant>,
}

/// Why no run may use a connector.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantine {
    /// Since when.
    pub at: Instant,
    /// Why, without anything of any workspace.
    pub reason: String,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    digest: String,
    connector_id: String,
    version: String,
    descriptor: Json<Descriptor>,
    size_bytes: i64,
    installed_at: Instant,
    installed_by: Option<String>,
    signed_by: Option<String>,
    granted_hosts: Option<Json<Vec<String>>>,
    quarantined_at: Option<Instant>,
    quarantine_reason: Option<String>,
    removed_at: Option<Instant>,
}

/// What [`Row`] reads.
macro_rules! columns {
    () => {
        "digest, connector_id, version, descriptor, size_bytes, installed_at, installed_by, signed_by, granted_hosts, quarantined_at,
         quarantine_reason, removed_at"
    };
}

impl From<Row> for InstalledConnector {
    fn from(row: Row) -> Self {
        Self {
            connector: ConnectorRef { id: row.connector_id, version: row.version, digest: row.digest },
            descriptor: row.descriptor.0,
            size_bytes: row.size_bytes,
            installed_at: row.installed_at,
            installed_by: row.installed_by,
            signed_by: row.signed_by,
            granted_hosts: row.granted_hosts.map(|hosts| hosts.0),
            quarantine: row
                .quarantined_at
                .map(|at| Quarantine { at, reason: row.quarantine_reason.unwrap_or_default() }),
            removed_at: row.removed_at,
        }
    }
}

/// By digest, removed or not.
pub(crate) async fn find(cx: &mut Cx, digest: &str) -> Result<Option<InstalledConnector>> {
    let row =
        q!(cx, fetch_optional as Row, concat!("SELECT ", columns!(), " FROM connector WHERE digest = $1"), digest)?;
    Ok(row.map(InstalledConnector::from))
}

/// The current one of an id.
pub(crate) async fn current(cx: &mut Cx, id: &str) -> Result<Option<InstalledConnector>> {
    let row = q!(
        cx,
        fetch_optional as Row,
        concat!(
            "SELECT ",
            columns!(),
            " FROM connector WHERE connector_id = $1 AND removed_at IS NULL ORDER BY installed_at DESC, digest DESC LIMIT 1"
        ),
        id
    )?;
    Ok(row.map(InstalledConnector::from))
}

/// Holds a component in place until the transaction ends: it cannot be removed before a source that begins to use it is seen.
pub(crate) async fn hold(cx: &mut Cx, connector: &ConnectorRef) -> Result<()> {
    let removed = q!(
        cx,
        fetch_optional as (Option<Instant>),
        "SELECT removed_at FROM connector WHERE digest = $1 {lock}",
        &connector.digest
    )?;
    match removed.flatten() {
        Some(_) => Err(Error::Invalid(format!(
            "the connector {} {} was removed or replaced a moment ago; try again",
            connector.id, connector.version
        ))),
        None => Ok(()),
    }
}

impl SystemDb {
    /// Records a component that ships with the server, which becomes the current one of its id.
    pub async fn put_connector(
        &self,
        digest: &str,
        descriptor: &Descriptor,
        size_bytes: i64,
        now: Instant,
    ) -> Result<ConnectorRef> {
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO connector (digest, connector_id, version, descriptor, size_bytes, installed_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (digest) DO UPDATE SET installed_at = excluded.installed_at, installed_by = NULL, signed_by = NULL,
                 granted_hosts = NULL, removed_at = NULL",
            digest,
            &descriptor.id,
            &descriptor.version,
            Json(descriptor),
            size_bytes,
            now
        )?;
        cx.commit().await?;
        Ok(ConnectorRef { id: descriptor.id.clone(), version: descriptor.version.clone(), digest: digest.to_owned() })
    }

    /// By digest, removed or not.
    pub async fn find_connector(&self, digest: &str) -> Result<Option<InstalledConnector>> {
        if digest.contains('\0') {
            return Ok(None);
        }
        find(&mut self.read().await?, digest).await
    }

    /// Several in one read, in no order.
    pub async fn find_connectors(&self, digests: &[&str]) -> Result<Vec<InstalledConnector>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            concat!("SELECT ", columns!(), " FROM connector WHERE digest IN {texts $1}"),
            json_list(digests)?
        )?;
        Ok(rows.into_iter().map(InstalledConnector::from).collect())
    }

    /// The current one of an id.
    pub async fn current_connector(&self, id: &str) -> Result<Option<InstalledConnector>> {
        if id.contains('\0') {
            return Ok(None);
        }
        current(&mut self.read().await?, id).await
    }

    /// The current one of every id, by id.
    pub async fn list_connectors(&self) -> Result<Vec<InstalledConnector>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM (
                     SELECT c.*, row_number() OVER (PARTITION BY connector_id ORDER BY installed_at DESC, digest DESC) AS age
                     FROM connector c WHERE removed_at IS NULL
                 ) AS newest WHERE age = 1 ORDER BY connector_id"
            )
        )?;
        Ok(rows.into_iter().map(InstalledConnector::from).collect())
    }
}
