//! Workspaces.

use tributary_core::{Instant, WorkspaceId, citation::ConnectorRef, workspace::Workspace};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::{Error, Result, taken},
    rows::{Page, json_list, limited, refuse_nul},
    sources::{self, NewSource},
    tenant::{SystemDb, TenantDb},
};

/// A workspace to be made.
#[derive(Clone, Debug)]
pub struct NewWorkspace {
    /// For people.
    pub name: String,
    /// Unique in the instance.
    pub slug: String,
    /// The connector of its source for pushed and uploaded documents.
    pub push_connector: ConnectorRef,
    /// Now.
    pub now: Instant,
}

/// Which workspaces a caller sees.
#[derive(Clone, Debug)]
pub enum Visible {
    /// All (instance administrators).
    All,
    /// These.
    Only(Vec<WorkspaceId>),
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    slug: String,
    created_at: Instant,
}

impl From<Row> for Workspace {
    fn from(row: Row) -> Self {
        Self { id: row.id.into(), name: row.name, slug: row.slug, created_at: row.created_at }
    }
}

impl SystemDb {
    /// Makes a workspace and its source for pushed documents; `Conflict` when the slug is in use.
    pub async fn create_workspace(&self, new: NewWorkspace) -> Result<Workspace> {
        refuse_nul([new.name.as_str(), &new.slug])?;
        let workspace = Workspace { id: WorkspaceId::new(), name: new.name, slug: new.slug, created_at: new.now };
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO workspace (id, name, slug, created_at) VALUES ($1, $2, $3, $4)",
            workspace.id.0,
            &workspace.name,
            &workspace.slug,
            workspace.created_at
        )
        .map_err(taken("slug"))?;
        let push = NewSource {
            name: "Pushed documents".to_owned(),
            connector: new.push_connector,
            config: serde_json::json!({}),
            schedule: None,
            next_run_at: None,
            now: new.now,
        };
        sources::insert(&mut cx, workspace.id.0, push).await?;
        cx.commit().await?;
        Ok(workspace)
    }

    /// Those a caller sees, oldest first.
    pub async fn list_workspaces(
        &self,
        visible: &Visible,
        after: Option<WorkspaceId>,
        limit: i64,
    ) -> Result<Page<Workspace>> {
        let limit = limited(limit);
        let after = after.map_or(Uuid::nil(), |id| id.0);
        let mut cx = self.read().await?;
        let rows = match visible {
            Visible::All => q!(
                cx,
                fetch_all as Row,
                "SELECT id, name, slug, created_at FROM workspace WHERE id > $1 ORDER BY id LIMIT $2",
                after,
                limit + 1
            )?,
            Visible::Only(ids) => q!(
                cx,
                fetch_all as Row,
                "SELECT id, name, slug, created_at FROM workspace WHERE id > $1 AND id IN {ids $3} ORDER BY id LIMIT $2",
                after,
                limit + 1,
                json_list(ids)?
            )?,
        };
        Page::of(rows, limit).try_map(|row| Ok(row.into()))
    }

    /// By slug.
    pub async fn find_workspace_by_slug(&self, slug: &str) -> Result<Option<Workspace>> {
        if slug.contains('\0') {
            return Ok(None);
        }
        let mut cx = self.read().await?;
        let row =
            q!(cx, fetch_optional as Row, "SELECT id, name, slug, created_at FROM workspace WHERE slug = $1", slug)?;
        Ok(row.map(Workspace::from))
    }
}

impl TenantDb {
    /// This workspace.
    pub async fn workspace(&self) -> Result<Workspace> {
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            "SELECT id, name, slug, created_at FROM workspace WHERE id = $1",
            self.key()
        )?;
        row.map(Workspace::from).ok_or(Error::NotFound("workspace"))
    }
}
