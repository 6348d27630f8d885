//! People and the workspaces they belong to.

use tributary_core::{Instant, UserId, WorkspaceId};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::{Result, missing, taken},
    rows::refuse_nul,
    tenant::SystemDb,
};

/// A person who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Lower case; unique.
    pub email: String,
    /// Administers the instance.
    pub instance_admin: bool,
    /// When they were made.
    pub created_at: Instant,
}

/// Somebody to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Any case.
    pub email: String,
    /// In PHC form; never the password.
    pub password_hash: String,
    /// Administers the instance.
    pub instance_admin: bool,
    /// Now.
    pub now: Instant,
}

/// Where somebody belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// As what.
    pub role: String,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    email: String,
    instance_admin: bool,
    created_at: Instant,
    password_hash: String,
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        Self { id: row.id.into(), email: row.email, instance_admin: row.instance_admin, created_at: row.created_at }
    }
}

fn lower(email: &str) -> String {
    email.trim().to_lowercase()
}

impl SystemDb {
    /// Makes a user; `Conflict` when the address is in use.
    pub async fn create_user(&self, new: NewUser) -> Result<User> {
        let user = User {
            id: UserId::new(),
            email: lower(&new.email),
            instance_admin: new.instance_admin,
            created_at: new.now,
        };
        refuse_nul([user.email.as_str(), &new.password_hash])?;
        let mut cx = self.db.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO app_user (id, email, password_hash, instance_admin, created_at) VALUES ($1, $2, $3, $4, $5)",
            user.id.0,
            &user.email,
            &new.password_hash,
            user.instance_admin,
            user.created_at
        )
        .map_err(taken("email"))?;
        cx.commit().await?;
        Ok(user)
    }

    /// The user of an address, with the hash of their password.
    pub async fn find_user_by_email(&self, email: &str) -> Result<Option<(User, String)>> {
        if email.contains('\0') {
            return Ok(None);
        }
        let mut cx = self.db.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            "SELECT id, email, instance_admin, created_at, password_hash FROM app_user WHERE email = $1",
            lower(email)
        )?;
        Ok(row.map(|mut row| {
            let hash = std::mem::take(&mut row.password_hash);
            (row.into(), hash)
        }))
    }

    /// The user of an id.
    pub async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        let mut cx = self.db.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            "SELECT id, email, instance_admin, created_at, password_hash FROM app_user WHERE id = $1",
            id.0
        )?;
        Ok(row.map(User::from))
    }

    /// Whether anybody can log in.
    pub async fn any_user(&self) -> Result<bool> {
        let mut cx = self.db.read().await?;
        Ok(q!(cx, fetch_optional as (Uuid), "SELECT id FROM app_user LIMIT 1")?.is_some())
    }

    /// How many can log in.
    pub async fn count_users(&self) -> Result<i64> {
        let mut cx = self.db.read().await?;
        Ok(q!(cx, fetch_one as (i64), "SELECT COUNT(*) FROM app_user")?)
    }

    /// Makes somebody a member, or changes their role.
    pub async fn add_member(&self, workspace: WorkspaceId, user: UserId, role: &str, now: Instant) -> Result<()> {
        let mut cx = self.db.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO member (workspace_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role",
            workspace.0,
            user.0,
            role,
            now
        )
        .map_err(missing("workspace or user"))?;
        cx.commit().await
    }

    /// Where somebody belongs.
    pub async fn workspaces_of(&self, user: UserId) -> Result<Vec<Membership>> {
        let mut cx = self.db.read().await?;
        let rows = q!(
            cx,
            fetch_all as (Uuid, String),
            "SELECT workspace_id, role FROM member WHERE user_id = $1 ORDER BY workspace_id",
            user.0
        )?;
        Ok(rows.into_iter().map(|(id, role)| Membership { workspace_id: id.into(), role }).collect())
    }
}
