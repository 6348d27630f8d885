//! Workspaces.

use sqlx::types::Json;
use tributary_core::{
    Instant, JobId, SourceId, WorkspaceId,
    citation::ConnectorRef,
    job::{Lease, Work},
    workspace::{Commerce, Settings, Workspace},
};
use uuid::Uuid;

use crate::{
    dialect::q,
    epoch,
    error::{Error, Result, taken},
    jobs,
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

/// What is changed of a workspace; `None` stays.
#[derive(Clone, Debug, Default)]
pub struct WorkspaceUpdate {
    /// For people.
    pub name: Option<String>,
    /// How it answers.
    pub settings: Option<Settings>,
    /// The shop; `Some(None)` removes it.
    pub commerce: Option<Option<Commerce>>,
}

/// A workspace that was, or is being, deleted.
#[derive(Clone, Debug, PartialEq, Eq, sqlx_macros::FromRow)]
pub struct WorkspaceDeletion {
    /// Which.
    pub workspace_id: Uuid,
    /// Its name.
    pub name: String,
    /// By whom.
    pub requested_by: String,
    /// When.
    pub requested_at: Instant,
    /// When nothing was left of it; `None`: it is being removed.
    pub finished_at: Option<Instant>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    name: String,
    slug: String,
    settings: Json<Settings>,
    commerce: Option<Json<Commerce>>,
    archived_at: Option<Instant>,
    created_at: Instant,
}

macro_rules! columns {
    () => {
        "id, name, slug, settings, commerce, archived_at, created_at"
    };
}

impl From<Row> for Workspace {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            name: row.name,
            slug: row.slug,
            settings: row.settings.0,
            commerce: row.commerce.map(|commerce| commerce.0),
            archived_at: row.archived_at,
            created_at: row.created_at,
        }
    }
}

impl SystemDb {
    /// Makes a workspace and its source for pushed documents; `Conflict` when the slug is in use.
    pub async fn create_workspace(&self, new: NewWorkspace) -> Result<Workspace> {
        refuse_nul([new.name.as_str(), &new.slug])?;
        let workspace = Workspace {
            id: WorkspaceId::new(),
            name: new.name,
            slug: new.slug,
            settings: Settings::default(),
            commerce: None,
            archived_at: None,
            created_at: new.now,
        };
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
            id: SourceId::new(),
            name: "Pushed documents".to_owned(),
            connector: new.push_connector,
            config: serde_json::json!({}),
            schedules: Vec::new(),
            pause_after_failures: None,
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
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM workspace WHERE id > $1 AND deleting_at IS NULL ORDER BY id LIMIT $2"
                ),
                after,
                limit + 1
            )?,
            Visible::Only(ids) => q!(
                cx,
                fetch_all as Row,
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM workspace WHERE id > $1 AND id IN {ids $3} AND deleting_at IS NULL ORDER BY id LIMIT $2"
                ),
                after,
                limit + 1,
                json_list(ids)?
            )?,
        };
        Page::of(rows, limit).try_map(|row| Ok(row.into()))
    }

    /// What became of a workspace that was to be deleted.
    pub async fn workspace_deletion(&self, id: WorkspaceId) -> Result<Option<WorkspaceDeletion>> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_optional as WorkspaceDeletion,
            "SELECT workspace_id, name, requested_by, requested_at, finished_at FROM workspace_deletion WHERE workspace_id = $1",
            id.0
        )?)
    }

    /// By slug.
    pub async fn find_workspace_by_slug(&self, slug: &str) -> Result<Option<Workspace>> {
        if slug.contains('\0') {
            return Ok(None);
        }
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            concat!("SELECT ", columns!(), " FROM workspace WHERE slug = $1 AND deleting_at IS NULL"),
            slug
        )?;
        Ok(row.map(Workspace::from))
    }
}

impl TenantDb {
    /// This workspace.
    pub async fn workspace(&self) -> Result<Workspace> {
        let mut cx = self.read().await?;
        let row =
            q!(cx, fetch_optional as Row, concat!("SELECT ", columns!(), " FROM workspace WHERE id = $1"), self.key())?;
        row.map(Workspace::from).ok_or(Error::NotFound("workspace"))
    }

    /// Changes this workspace.
    pub async fn update_workspace(&self, update: WorkspaceUpdate) -> Result<Workspace> {
        refuse_nul(update.name.as_deref())?;
        let mut cx = self.write().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            concat!("SELECT ", columns!(), " FROM workspace WHERE id = $1 {lock}"),
            self.key()
        )?;
        let mut workspace = Workspace::from(row.ok_or(Error::NotFound("workspace"))?);
        workspace.name = update.name.unwrap_or(workspace.name);
        workspace.settings = update.settings.unwrap_or(workspace.settings);
        workspace.commerce = update.commerce.unwrap_or(workspace.commerce);
        q!(
            cx,
            execute,
            "UPDATE workspace SET name = $2, settings = $3, commerce = $4 WHERE id = $1",
            self.key(),
            &workspace.name,
            Json(&workspace.settings),
            workspace.commerce.as_ref().map(Json)
        )?;
        cx.commit().await?;
        Ok(workspace)
    }

    /// Puts this workspace aside, or takes it up again.
    pub async fn archive_workspace(&self, archived_at: Option<Instant>) -> Result<()> {
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "UPDATE workspace SET archived_at = CASE WHEN $2 IS NULL THEN NULL ELSE COALESCE(archived_at, $2) END WHERE id = $1",
            self.key(),
            archived_at
        )?;
        epoch::bump(&mut cx).await?;
        cx.commit().await
    }

    /// Hides this workspace for ever, ends its work and queues the job that removes what it holds; one transaction.
    pub async fn delete_workspace(&self, by: &str, now: Instant) -> Result<WorkspaceDeletion> {
        let mut cx = self.write().await?;
        let name = q!(
            cx,
            fetch_optional as (String),
            "UPDATE workspace SET deleting_at = $2 WHERE id = $1 AND deleting_at IS NULL RETURNING name",
            self.key(),
            now
        )?;
        let name = name.ok_or(Error::NotFound("workspace"))?;
        q!(
            cx,
            execute,
            "INSERT INTO workspace_deletion (workspace_id, name, requested_by, requested_at) VALUES ($1, $2, $3, $4)",
            self.key(),
            &name,
            by,
            now
        )?;
        // Whoever works here loses the lease, and commits nothing more.
        q!(
            cx,
            execute,
            "UPDATE job SET state = 'cancelled', finished_at = {now}, lease_until = NULL
             WHERE workspace_id = $1 AND state IN ('queued', 'leased')",
            self.key()
        )?;
        jobs::insert(&mut cx, self.key(), JobId::new(), &Work::DeleteWorkspace, now).await?;
        epoch::bump(&mut cx).await?;
        cx.commit().await?;
        let (requested_by, workspace_id) = (by.to_owned(), self.key());
        Ok(WorkspaceDeletion { workspace_id, name, requested_by, requested_at: now, finished_at: None })
    }

    /// Removes some documents of a workspace that is being deleted, with their versions and chunks; false: there are no more.
    /// A few at a time, so that nobody waits long.
    pub async fn remove_documents(&self, lease: &Lease, limit: i64) -> Result<bool> {
        let mut cx = self.write().await?;
        jobs::fence_with_progress(&mut cx, self.key(), lease).await?;
        let ids = q!(
            cx,
            fetch_all as (Uuid),
            "SELECT id FROM document WHERE workspace_id = $1 ORDER BY id LIMIT $2",
            self.key(),
            limited(limit)
        )?;
        let list = json_list(&ids)?;
        q!(cx, execute, "DELETE FROM chunk WHERE workspace_id = $1 AND document_id IN {ids $2}", self.key(), &list)?;
        q!(
            cx,
            execute,
            "DELETE FROM document_version WHERE workspace_id = $1 AND document_id IN {ids $2}",
            self.key(),
            &list
        )?;
        q!(cx, execute, "DELETE FROM document WHERE workspace_id = $1 AND id IN {ids $2}", self.key(), &list)?;
        cx.commit().await?;
        Ok(!ids.is_empty())
    }

    /// Removes the rest of a workspace that is being deleted, the job itself included, and notes that it is gone.
    pub async fn remove_workspace(&self, lease: &Lease, now: Instant) -> Result<()> {
        /// Every table of a workspace, those that refer to others first.
        macro_rules! remove_from {
            ($cx:expr, $($table:literal)*) => {
                $(q!($cx, execute, concat!("DELETE FROM ", $table, " WHERE workspace_id = $1"), self.key())?;)*
            };
        }
        let mut cx = self.write().await?;
        jobs::fence(&mut cx, self.key(), lease).await?;
        remove_from!(cx, "message" "thread" "chunk" "document_version" "document" "container" "connector_state" "run_seen" "run_failed_item"
            "run_preview" "held_deletion" "deletion_hold"
            "run" "schedule_slot" "schedule" "source" "credential" "key_usage" "api_key" "invitation" "member" "job");
        // Its data key: what may still lie in a backup of these rows opens no more.
        let data_key = format!("workspace/{}", self.workspace_id());
        q!(cx, execute, "DELETE FROM system_secret WHERE name = $1", &data_key)?;
        q!(cx, execute, "DELETE FROM workspace WHERE id = $1", self.key())?;
        q!(cx, execute, "UPDATE workspace_deletion SET finished_at = $2 WHERE workspace_id = $1", self.key(), now)?;
        cx.commit().await
    }
}
