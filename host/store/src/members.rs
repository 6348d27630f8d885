//! Who belongs to a workspace, and who is invited to.

use sqlx::types::Json;
use tributary_core::{Instant, UserId, WorkspaceId, access::Role, audience::Audience, hash::Sha256Hash};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    epoch,
    error::{Error, Result, missing},
    rows::refuse_nul,
    tenant::{SystemDb, TenantDb},
    users::{self, NewUser},
};

/// Most members and open invitations of one workspace.
const MOST: i64 = 1_000;

/// Where somebody belongs.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    /// The workspace.
    pub workspace_id: WorkspaceId,
    /// As what.
    pub role: Role,
    /// With which documents.
    pub audience: Audience,
    /// Whether the workspace is put aside.
    pub archived: bool,
}

/// Somebody who belongs.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Who.
    pub user_id: UserId,
    /// Their address.
    pub email: String,
    /// Their name; may be empty.
    pub name: String,
    /// As what.
    pub role: Role,
    /// With which documents.
    pub audience: Audience,
    /// Since when.
    pub created_at: Instant,
}

/// Somebody who may come to belong.
#[derive(Clone, Debug, PartialEq)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// Whom.
    pub email: String,
    /// As what.
    pub role: Role,
    /// With which documents.
    pub audience: Audience,
    /// By whom.
    pub invited_by: String,
    /// Since when.
    pub created_at: Instant,
    /// Until when.
    pub expires_at: Instant,
}

/// An invitation that was found by its token.
#[derive(Clone, Debug, PartialEq)]
pub struct Invited {
    /// Where to.
    pub workspace_id: WorkspaceId,
    /// Whom.
    pub email: String,
    /// Whether they have an account already.
    pub user: Option<UserId>,
}

#[derive(sqlx_macros::FromRow)]
struct MemberRow {
    user_id: Uuid,
    email: String,
    name: String,
    role: String,
    audience: Option<Json<Audience>>,
    created_at: Instant,
}

#[derive(sqlx_macros::FromRow)]
struct InvitationRow {
    id: Uuid,
    email: String,
    role: String,
    audience: Option<Json<Audience>>,
    invited_by: String,
    created_at: Instant,
    expires_at: Instant,
}

fn role(text: &str) -> Result<Role> {
    text.parse().map_err(Error::Corrupt)
}

fn seen(audience: Option<Json<Audience>>) -> Audience {
    audience.map_or_else(Audience::everything, |audience| audience.0)
}

fn kept(audience: &Audience) -> Option<Json<&Audience>> {
    (!audience.is_everything()).then_some(Json(audience))
}

impl SystemDb {
    /// Where somebody belongs.
    pub async fn workspaces_of(&self, user: UserId) -> Result<Vec<Membership>> {
        #[derive(sqlx_macros::FromRow)]
        struct Row {
            workspace_id: Uuid,
            role: String,
            audience: Option<Json<Audience>>,
            archived: bool,
        }
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT m.workspace_id, m.role, m.audience, w.archived_at IS NOT NULL AS archived FROM member m
             JOIN workspace w ON w.id = m.workspace_id AND w.deleting_at IS NULL WHERE m.user_id = $1 ORDER BY m.workspace_id",
            user.0
        )?;
        let membership = |row: Row| {
            let (role, audience) = (role(&row.role)?, seen(row.audience));
            Ok(Membership { workspace_id: row.workspace_id.into(), role, audience, archived: row.archived })
        };
        rows.into_iter().map(membership).collect()
    }

    /// The invitation of a token, while it stands.
    pub async fn find_invitation(&self, token_hash: Sha256Hash, now: Instant) -> Result<Option<Invited>> {
        #[derive(sqlx_macros::FromRow)]
        struct Row {
            workspace_id: Uuid,
            email: String,
            user_id: Option<Uuid>,
        }
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            "SELECT i.workspace_id, i.email, u.id AS user_id FROM invitation i LEFT JOIN app_user u ON u.email = i.email
             WHERE i.token_hash = $1 AND i.accepted_at IS NULL AND i.expires_at > $2",
            token_hash.0.as_slice(),
            now
        )?;
        Ok(row.map(|row| Invited {
            workspace_id: row.workspace_id.into(),
            email: row.email,
            user: row.user_id.map(UserId::from),
        }))
    }

    /// Accepts an invitation, making the account when there is none; answers who came to belong. `None`: it does not stand any more.
    pub async fn accept_invitation(
        &self,
        token_hash: Sha256Hash,
        account: Option<NewUser>,
        now: Instant,
    ) -> Result<Option<(UserId, WorkspaceId)>> {
        #[derive(sqlx_macros::FromRow)]
        struct Row {
            workspace_id: Uuid,
            email: String,
            role: String,
            audience: Option<Json<Audience>>,
        }
        let mut cx = self.write().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            "UPDATE invitation SET accepted_at = $2 WHERE token_hash = $1 AND accepted_at IS NULL AND expires_at > $2
             RETURNING workspace_id, email, role, audience",
            token_hash.0.as_slice(),
            now
        )?;
        let Some(row) = row else { return Ok(None) };
        let known = q!(cx, fetch_optional as (Uuid), "SELECT id FROM app_user WHERE email = $1", &row.email)?;
        let user = match (known, account) {
            (Some(id), _) => id,
            (None, Some(new)) => users::insert(&mut cx, NewUser { email: row.email, ..new }).await?.id.0,
            (None, None) => return Err(Error::NotFound("user")),
        };
        q!(
            cx,
            execute,
            "INSERT INTO member (workspace_id, user_id, role, audience, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (workspace_id, user_id) DO NOTHING",
            row.workspace_id,
            user,
            &row.role,
            row.audience,
            now
        )?;
        epoch::bump(&mut cx).await?;
        cx.commit().await?;
        Ok(Some((user.into(), row.workspace_id.into())))
    }
}

impl TenantDb {
    /// Who belongs, in the order they came.
    pub async fn members(&self) -> Result<Vec<Member>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as MemberRow,
            "SELECT m.user_id, u.email, u.name, m.role, m.audience, m.created_at FROM member m JOIN app_user u ON u.id = m.user_id
             WHERE m.workspace_id = $1 ORDER BY m.created_at, m.user_id LIMIT $2",
            self.key(),
            MOST
        )?;
        let member = |row: MemberRow| {
            Ok(Member {
                user_id: row.user_id.into(),
                email: row.email,
                name: row.name,
                role: role(&row.role)?,
                audience: seen(row.audience),
                created_at: row.created_at,
            })
        };
        rows.into_iter().map(member).collect()
    }

    /// Makes somebody a member, or changes what they are. The last owner stays one.
    pub async fn set_member(&self, user: UserId, role: Role, audience: &Audience, now: Instant) -> Result<()> {
        let mut cx = self.write().await?;
        if role != Role::Owner {
            self.keep_an_owner(&mut cx, user).await?;
        }
        q!(
            cx,
            execute,
            "INSERT INTO member (workspace_id, user_id, role, audience, created_at) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role, audience = excluded.audience",
            self.key(),
            user.0,
            role.as_str(),
            kept(audience),
            now
        )
        .map_err(missing("user"))?;
        epoch::bump(&mut cx).await?;
        cx.commit().await
    }

    /// Ends a membership. The last owner stays.
    pub async fn remove_member(&self, user: UserId) -> Result<()> {
        let mut cx = self.write().await?;
        self.keep_an_owner(&mut cx, user).await?;
        let removed =
            q!(cx, execute, "DELETE FROM member WHERE workspace_id = $1 AND user_id = $2", self.key(), user.0)?;
        if removed == 0 {
            return Err(Error::NotFound("member"));
        }
        epoch::bump(&mut cx).await?;
        cx.commit().await
    }

    /// Refuses when `leaving` is the only owner. Locks the owners, so that two cannot leave at the same moment.
    async fn keep_an_owner(&self, cx: &mut Cx, leaving: UserId) -> Result<()> {
        let owners = q!(
            cx,
            fetch_all as (Uuid),
            "SELECT user_id FROM member WHERE workspace_id = $1 AND role = $2 ORDER BY user_id {lock}",
            self.key(),
            Role::Owner.as_str()
        )?;
        if owners == [leaving.0] {
            return Err(Error::LastOne("the last owner of this workspace"));
        }
        Ok(())
    }

    /// Keeps an invitation.
    pub async fn create_invitation(&self, invitation: &Invitation, token_hash: Sha256Hash) -> Result<()> {
        refuse_nul([invitation.email.as_str()])?;
        let mut cx = self.write().await?;
        let open = q!(
            cx,
            fetch_one as (i64),
            "SELECT COUNT(*) FROM invitation WHERE workspace_id = $1 AND accepted_at IS NULL AND expires_at > $2",
            self.key(),
            invitation.created_at
        )?;
        if open >= MOST {
            return Err(Error::Invalid(format!("a workspace has at most {MOST} open invitations; take some back")));
        }
        q!(
            cx,
            execute,
            "INSERT INTO invitation (workspace_id, id, token_hash, email, role, audience, invited_by, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            self.key(),
            invitation.id,
            token_hash.0.as_slice(),
            users::lower(&invitation.email),
            invitation.role.as_str(),
            kept(&invitation.audience),
            &invitation.invited_by,
            invitation.created_at,
            invitation.expires_at
        )
        .map_err(missing("workspace"))?;
        cx.commit().await
    }

    /// Invitations that stand.
    pub async fn invitations(&self, now: Instant) -> Result<Vec<Invitation>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as InvitationRow,
            "SELECT id, email, role, audience, invited_by, created_at, expires_at FROM invitation
             WHERE workspace_id = $1 AND accepted_at IS NULL AND expires_at > $2 ORDER BY id LIMIT $3",
            self.key(),
            now,
            MOST
        )?;
        let invitation = |row: InvitationRow| {
            Ok(Invitation {
                id: row.id,
                email: row.email,
                role: role(&row.role)?,
                audience: seen(row.audience),
                invited_by: row.invited_by,
                created_at: row.created_at,
                expires_at: row.expires_at,
            })
        };
        rows.into_iter().map(invitation).collect()
    }

    /// Takes an invitation back.
    pub async fn delete_invitation(&self, id: Uuid) -> Result<()> {
        let mut cx = self.write().await?;
        let deleted = q!(
            cx,
            execute,
            "DELETE FROM invitation WHERE workspace_id = $1 AND id = $2 AND accepted_at IS NULL",
            self.key(),
            id
        )?;
        if deleted == 0 {
            return Err(Error::NotFound("invitation"));
        }
        cx.commit().await
    }
}
