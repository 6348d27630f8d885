//! Who may reach what: the instance, or one workspace of it.
//!
//! All access to a workspace's rows goes through [`TenantDb`]. Its statements ask for the workspace; on PostgreSQL row-level security is
//! the second net, told here whose rows a transaction may reach.

use std::{fmt, sync::Arc};

use tributary_core::{Position, WorkspaceId, audience::Audience};
use uuid::Uuid;

use crate::{
    db::{Cx, Db, Scope},
    dialect::q,
    error::{Error, Result},
};

/// The whole instance. For workers, the first start and login.
#[derive(Clone)]
pub struct SystemDb {
    pub(crate) db: Db,
}

/// One workspace, as one caller sees it. Ids of another workspace are, here, ids that never existed, and so are those of documents
/// and sources outside of the caller's audience.
#[derive(Clone)]
pub struct TenantDb {
    db: Db,
    workspace: WorkspaceId,
    audience: Arc<Audience>,
    archived: bool,
}

impl SystemDb {
    /// A whole workspace, for work that the record itself asks for (a job, a schedule).
    pub fn tenant(&self, workspace: WorkspaceId) -> TenantDb {
        self.tenant_for(workspace, Audience::everything(), false)
    }

    pub(crate) async fn read(&self) -> Result<Cx> {
        self.db.read(Scope::System).await
    }

    pub(crate) async fn write(&self) -> Result<Cx> {
        self.db.write(Scope::System).await
    }

    pub(crate) async fn read_queue(&self) -> Result<Cx> {
        self.db.read_queue().await
    }

    pub(crate) async fn write_queue(&self) -> Result<Cx> {
        self.db.write_queue().await
    }

    pub(crate) async fn write_queue_single(&self) -> Result<Cx> {
        self.db.write_queue_single().await
    }

    pub(crate) fn tenant_for(&self, workspace: WorkspaceId, audience: Audience, archived: bool) -> TenantDb {
        TenantDb { db: self.db.clone(), workspace, audience: Arc::new(audience), archived }
    }
}

impl TenantDb {
    /// Which workspace.
    pub fn workspace_id(&self) -> WorkspaceId {
        self.workspace
    }

    /// Whether the workspace is put aside: it can be read, and nothing else.
    pub fn is_archived(&self) -> bool {
        self.archived
    }

    /// Which documents the caller may see.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// The key that every statement about this workspace binds.
    pub(crate) fn key(&self) -> Uuid {
        self.workspace.0
    }

    pub(crate) fn system(&self) -> SystemDb {
        self.db.system()
    }

    pub(crate) async fn read(&self) -> Result<Cx> {
        self.db.read(Scope::Workspace(self.key())).await
    }

    pub(crate) async fn read_filtered(&self) -> Result<Cx> {
        self.db.read(Scope::Filtered(self.key())).await
    }

    pub(crate) async fn write(&self) -> Result<Cx> {
        self.db.write(Scope::Workspace(self.key())).await
    }

    /// Numbers the transaction: the last lock it takes, so that numbers are gapless and in commit order. A plain sequence is not: 11 can
    /// commit before 10, and a reader of the feed would lose 10 for ever.
    pub(crate) async fn next_position(&self, cx: &mut Cx) -> Result<Position> {
        let sql_position = q!(
            cx,
            fetch_optional as (i64),
            "UPDATE workspace SET change_seq = change_seq + 1 WHERE id = $1 RETURNING change_seq",
            self.key()
        )?;
        sql_position.ok_or(Error::NotFound("workspace"))
    }
}

impl fmt::Debug for SystemDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemDb")
    }
}

impl fmt::Debug for TenantDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TenantDb").field(&self.workspace).finish()
    }
}
