//! People.

use tributary_core::{Instant, UserId, hash::Sha256Hash};
use uuid::Uuid;

use crate::{
    dialect::q,
    epoch,
    error::{Error, Result, taken},
    rows::{Page, limited, refuse_nul},
    sessions,
    tenant::SystemDb,
};

/// A person who can log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Lower case; unique.
    pub email: String,
    /// For people; may be empty.
    pub name: String,
    /// Administers the instance.
    pub instance_admin: bool,
    /// Since when they may not log in any more.
    pub deactivated_at: Option<Instant>,
    /// When they were made.
    pub created_at: Instant,
}

/// Somebody to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Any case.
    pub email: String,
    /// May be empty.
    pub name: String,
    /// In PHC form; never the password.
    pub password_hash: String,
    /// Administers the instance.
    pub instance_admin: bool,
    /// Now.
    pub now: Instant,
}

/// What is changed of somebody; `None` stays.
#[derive(Clone, Debug, Default)]
pub struct UserUpdate {
    /// For people.
    pub name: Option<String>,
    /// Administers the instance.
    pub instance_admin: Option<bool>,
    /// May log in.
    pub active: Option<bool>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    email: String,
    name: String,
    instance_admin: bool,
    deactivated_at: Option<Instant>,
    created_at: Instant,
}

#[derive(sqlx_macros::FromRow)]
struct WithHash {
    #[sqlx(flatten)]
    user: Row,
    password_hash: String,
}

macro_rules! columns {
    () => {
        "id, email, name, instance_admin, deactivated_at, created_at"
    };
}

impl From<Row> for User {
    fn from(row: Row) -> Self {
        let Row { id, email, name, instance_admin, deactivated_at, created_at } = row;
        Self { id: id.into(), email, name, instance_admin, deactivated_at, created_at }
    }
}

/// Addresses are compared in lower case.
pub(crate) fn lower(email: &str) -> String {
    email.to_lowercase()
}

impl SystemDb {
    /// Makes somebody. The address must be free.
    pub async fn create_user(&self, new: NewUser) -> Result<User> {
        let mut cx = self.write().await?;
        let user = insert(&mut cx, new).await?;
        cx.commit().await?;
        Ok(user)
    }

    /// The user of an address, with the hash of their password.
    pub async fn find_user_by_email(&self, email: &str) -> Result<Option<(User, String)>> {
        if email.contains('\0') {
            return Ok(None);
        }
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as WithHash,
            concat!("SELECT ", columns!(), ", password_hash FROM app_user WHERE email = $1"),
            lower(email)
        )?;
        Ok(row.map(|row| (row.user.into(), row.password_hash)))
    }

    /// The user of an id.
    pub async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        let mut cx = self.read().await?;
        let row = q!(cx, fetch_optional as Row, concat!("SELECT ", columns!(), " FROM app_user WHERE id = $1"), id.0)?;
        Ok(row.map(User::from))
    }

    /// The hash of a user's password.
    pub async fn password_hash(&self, id: UserId) -> Result<Option<String>> {
        let mut cx = self.read().await?;
        Ok(q!(cx, fetch_optional as (String), "SELECT password_hash FROM app_user WHERE id = $1", id.0)?)
    }

    /// Everybody, oldest first.
    pub async fn list_users(&self, after: Option<UserId>, limit: i64) -> Result<Page<User>> {
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            concat!("SELECT ", columns!(), " FROM app_user WHERE id > $1 ORDER BY id LIMIT $2"),
            after.map_or(Uuid::nil(), |id| id.0),
            limit + 1
        )?;
        Page::of(rows, limit).try_map(|row| Ok(row.into()))
    }

    /// Changes somebody. Deactivating ends their log-ins; the last active administrator of the instance stays one.
    pub async fn update_user(&self, id: UserId, update: UserUpdate, now: Instant) -> Result<User> {
        refuse_nul(update.name.as_deref())?;
        let mut cx = self.write().await?;
        // All of them, so that two administrators cannot remove one another at the same moment.
        let admins = q!(
            cx,
            fetch_all as (Uuid),
            "SELECT id FROM app_user WHERE (instance_admin AND deactivated_at IS NULL) OR id = $1 ORDER BY id {lock}",
            id.0
        )?;
        let row = q!(cx, fetch_optional as Row, concat!("SELECT ", columns!(), " FROM app_user WHERE id = $1"), id.0)?;
        let mut user = User::from(row.ok_or(Error::NotFound("user"))?);
        let was_admin = user.instance_admin && user.deactivated_at.is_none();
        user.name = update.name.unwrap_or(user.name);
        user.instance_admin = update.instance_admin.unwrap_or(user.instance_admin);
        if let Some(active) = update.active {
            user.deactivated_at = if active { None } else { user.deactivated_at.or(Some(now)) };
        }
        let is_admin = user.instance_admin && user.deactivated_at.is_none();
        if was_admin && !is_admin && admins.len() == 1 {
            return Err(Error::LastOne("the last active administrator of this server"));
        }
        q!(
            cx,
            execute,
            "UPDATE app_user SET name = $2, instance_admin = $3, deactivated_at = $4 WHERE id = $1",
            id.0,
            &user.name,
            user.instance_admin,
            user.deactivated_at
        )?;
        if user.deactivated_at.is_some() {
            sessions::end_all(&mut cx, id, None, "deactivated", now).await?;
        }
        epoch::bump(&mut cx).await?;
        cx.commit().await?;
        Ok(user)
    }

    /// Sets a password and ends every log-in but one.
    pub async fn set_password(
        &self,
        id: UserId,
        password_hash: &str,
        keep: Option<tributary_core::SessionId>,
        now: Instant,
    ) -> Result<()> {
        let mut cx = self.write().await?;
        q!(cx, execute, "UPDATE app_user SET password_hash = $2 WHERE id = $1", id.0, password_hash)?;
        sessions::end_all(&mut cx, id, keep, "password_changed", now).await?;
        epoch::bump(&mut cx).await?;
        cx.commit().await
    }

    /// Keeps a way to set a new password, once.
    pub async fn create_password_reset(
        &self,
        user: UserId,
        token_hash: Sha256Hash,
        created_by: &str,
        expires_at: Instant,
        now: Instant,
    ) -> Result<()> {
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO password_reset (token_hash, user_id, created_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
            token_hash.0.as_slice(),
            user.0,
            created_by,
            now,
            expires_at
        )
        .map_err(crate::error::missing("user"))?;
        cx.commit().await
    }

    /// Whether it can still be used.
    pub async fn password_reset_stands(&self, token_hash: Sha256Hash, now: Instant) -> Result<bool> {
        let mut cx = self.read().await?;
        let user = q!(
            cx,
            fetch_optional as (Uuid),
            "SELECT user_id FROM password_reset WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2",
            token_hash.0.as_slice(),
            now
        )?;
        Ok(user.is_some())
    }

    /// Uses it: sets the password and ends every log-in. `None`: it is not valid, or no longer.
    pub async fn reset_password(
        &self,
        token_hash: Sha256Hash,
        password_hash: &str,
        now: Instant,
    ) -> Result<Option<UserId>> {
        let mut cx = self.write().await?;
        let user = q!(
            cx,
            fetch_optional as (Uuid),
            "UPDATE password_reset SET used_at = $2 WHERE token_hash = $1 AND used_at IS NULL AND expires_at > $2 RETURNING user_id",
            token_hash.0.as_slice(),
            now
        )?;
        let Some(user) = user else { return Ok(None) };
        q!(cx, execute, "UPDATE app_user SET password_hash = $2 WHERE id = $1", user, password_hash)?;
        sessions::end_all(&mut cx, user.into(), None, "password_reset", now).await?;
        epoch::bump(&mut cx).await?;
        cx.commit().await?;
        Ok(Some(user.into()))
    }

    /// Whether anybody can log in.
    pub async fn any_user(&self) -> Result<bool> {
        let mut cx = self.read().await?;
        Ok(q!(cx, fetch_optional as (Uuid), "SELECT id FROM app_user LIMIT 1")?.is_some())
    }

    /// How many there are.
    pub async fn count_users(&self) -> Result<i64> {
        let mut cx = self.read().await?;
        Ok(q!(cx, fetch_one as (i64), "SELECT COUNT(*) FROM app_user")?)
    }
}

/// Makes somebody, inside a transaction.
pub(crate) async fn insert(cx: &mut crate::db::Cx, new: NewUser) -> Result<User> {
    refuse_nul([new.email.as_str(), &new.name, &new.password_hash])?;
    let user = User {
        id: UserId::new(),
        email: lower(&new.email),
        name: new.name,
        instance_admin: new.instance_admin,
        deactivated_at: None,
        created_at: new.now,
    };
    q!(
        cx,
        execute,
        "INSERT INTO app_user (id, email, name, password_hash, instance_admin, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        user.id.0,
        &user.email,
        &user.name,
        &new.password_hash,
        user.instance_admin,
        user.created_at
    )
    .map_err(taken("email"))?;
    Ok(user)
}
