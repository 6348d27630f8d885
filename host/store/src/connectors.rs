//! Installed connectors, for all workspaces.

use sqlx::types::Json;
use tributary_core::{Instant, citation::ConnectorRef, contract::Descriptor};

use crate::{dialect::q, error::Result, tenant::SystemDb};

/// A component that can serve sources.
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
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    digest: String,
    connector_id: String,
    version: String,
    descriptor: Json<Descriptor>,
    size_bytes: i64,
    installed_at: Instant,
}

impl From<Row> for InstalledConnector {
    fn from(row: Row) -> Self {
        Self {
            connector: ConnectorRef { id: row.connector_id, version: row.version, digest: row.digest },
            descriptor: row.descriptor.0,
            size_bytes: row.size_bytes,
            installed_at: row.installed_at,
        }
    }
}

impl SystemDb {
    /// Records a component, which becomes the current one of its id.
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
             ON CONFLICT (digest) DO UPDATE SET installed_at = excluded.installed_at",
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

    /// By digest.
    pub async fn find_connector(&self, digest: &str) -> Result<Option<InstalledConnector>> {
        if digest.contains('\0') {
            return Ok(None);
        }
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            "SELECT digest, connector_id, version, descriptor, size_bytes, installed_at FROM connector WHERE digest = $1",
            digest
        )?;
        Ok(row.map(InstalledConnector::from))
    }

    /// The current one of an id.
    pub async fn current_connector(&self, id: &str) -> Result<Option<InstalledConnector>> {
        if id.contains('\0') {
            return Ok(None);
        }
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            "SELECT digest, connector_id, version, descriptor, size_bytes, installed_at FROM connector
             WHERE connector_id = $1 ORDER BY installed_at DESC, digest DESC LIMIT 1",
            id
        )?;
        Ok(row.map(InstalledConnector::from))
    }

    /// The current one of every id, by id.
    pub async fn list_connectors(&self) -> Result<Vec<InstalledConnector>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT digest, connector_id, version, descriptor, size_bytes, installed_at FROM (
                 SELECT c.*, row_number() OVER (PARTITION BY connector_id ORDER BY installed_at DESC, digest DESC) AS age
                 FROM connector c
             ) AS newest WHERE age = 1 ORDER BY connector_id"
        )?;
        Ok(rows.into_iter().map(InstalledConnector::from).collect())
    }
}
