//! Log-ins and the refresh tokens that follow from them.
//!
//! A refresh token is used once and answered with its successor. Using one again means that somebody else has it too: the log-in is
//! ended. One exception: for a moment the immediate parent gets the same successor once more, while that is unused, because two tabs
//! of one browser refresh at the same time. Only hashes are kept.

use tributary_core::{Instant, SessionId, UserId, hash::Sha256Hash};
use uuid::Uuid;

use crate::{db::Cx, dialect::q, epoch, error::Result, tenant::SystemDb};

/// A log-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// Since when.
    pub created_at: Instant,
    /// When its tokens were last refreshed.
    pub last_used_at: Instant,
    /// When it ends at the latest.
    pub expires_at: Instant,
    /// From where.
    pub from_ip: Option<String>,
    /// What the client called itself.
    pub client: Option<String>,
}

/// A log-in to be kept.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Whose.
    pub user_id: UserId,
    /// Of its first refresh token.
    pub token_hash: Sha256Hash,
    /// When that token ends unused.
    pub idle_until: Instant,
    /// When the log-in ends at the latest.
    pub expires_at: Instant,
    /// From where.
    pub from_ip: Option<String>,
    /// What the client called itself, at most 200 characters are kept.
    pub client: Option<String>,
    /// Now.
    pub now: Instant,
}

/// A refresh token that was presented.
#[derive(Clone, Copy, Debug)]
pub struct Refresh {
    /// Its hash.
    pub presented: Sha256Hash,
    /// The hash of the one that follows it; always the same for the same token.
    pub successor: Sha256Hash,
    /// When the successor ends unused.
    pub idle_until: Instant,
    /// Since when a parent counts as used too long ago to be answered once more.
    pub grace_from: Instant,
    /// Now.
    pub now: Instant,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The successor is valid.
    Successor(SessionId, UserId),
    /// The token, its log-in or its user is not, or no longer, valid.
    Refused,
    /// It was used before: the log-in is ended.
    Reused(SessionId, UserId),
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    user_id: Uuid,
    created_at: Instant,
    last_used_at: Instant,
    expires_at: Instant,
    from_ip: Option<String>,
    client: Option<String>,
}

#[derive(sqlx_macros::FromRow)]
struct TokenRow {
    session_id: Uuid,
    user_id: Uuid,
    token_until: Instant,
    used_at: Option<Instant>,
    session_until: Instant,
    ended_at: Option<Instant>,
    deactivated_at: Option<Instant>,
}

impl SystemDb {
    /// Keeps a log-in.
    pub async fn create_session(&self, new: NewSession) -> Result<SessionId> {
        let id = SessionId::new();
        let client: Option<String> =
            new.client.map(|client| client.chars().filter(|c| !c.is_control()).take(200).collect());
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO session (id, user_id, created_at, last_used_at, expires_at, from_ip, client) VALUES ($1, $2, $3, $3, $4, $5, $6)",
            id.0,
            new.user_id.0,
            new.now,
            new.expires_at,
            new.from_ip.as_ref(),
            client.as_ref()
        )?;
        insert_token(&mut cx, new.token_hash, id.0, None, new.now, new.idle_until.min(new.expires_at)).await?;
        cx.commit().await?;
        Ok(id)
    }

    /// Takes a refresh token and makes its successor valid.
    pub async fn refresh(&self, refresh: Refresh) -> Result<Refreshed> {
        // A stranger's guess takes no turn at writing.
        let mut reading = self.read().await?;
        let known = q!(
            reading,
            fetch_optional as (Uuid),
            "SELECT session_id FROM refresh_token WHERE hash = $1",
            refresh.presented.0.as_slice()
        )?;
        drop(reading);
        if known.is_none() {
            return Ok(Refreshed::Refused);
        }
        let mut cx = self.write().await?;
        let row = q!(
            cx,
            fetch_optional as TokenRow,
            "SELECT t.session_id, s.user_id, t.expires_at AS token_until, t.used_at, s.expires_at AS session_until, s.ended_at, u.deactivated_at
             FROM refresh_token t JOIN session s ON s.id = t.session_id JOIN app_user u ON u.id = s.user_id
             WHERE t.hash = $1 {lock t, s}",
            refresh.presented.0.as_slice()
        )?;
        let Some(row) = row else { return Ok(Refreshed::Refused) };
        if row.ended_at.is_some() || row.deactivated_at.is_some() || row.session_until <= refresh.now {
            return Ok(Refreshed::Refused);
        }
        let (session, user) = (row.session_id.into(), row.user_id.into());
        let Some(used_at) = row.used_at else {
            if row.token_until <= refresh.now {
                return Ok(Refreshed::Refused);
            }
            q!(
                cx,
                execute,
                "UPDATE refresh_token SET used_at = $2 WHERE hash = $1",
                refresh.presented.0.as_slice(),
                refresh.now
            )?;
            q!(cx, execute, "UPDATE session SET last_used_at = $2 WHERE id = $1", row.session_id, refresh.now)?;
            let until = refresh.idle_until.min(row.session_until);
            let parent = Some(refresh.presented);
            insert_token(&mut cx, refresh.successor, row.session_id, parent, refresh.now, until).await?;
            cx.commit().await?;
            return Ok(Refreshed::Successor(session, user));
        };
        let unused_successor = q!(
            cx,
            fetch_optional as (Uuid),
            "SELECT session_id FROM refresh_token WHERE hash = $1 AND parent = $2 AND used_at IS NULL",
            refresh.successor.0.as_slice(),
            refresh.presented.0.as_slice()
        )?;
        if used_at >= refresh.grace_from && unused_successor.is_some() {
            return Ok(Refreshed::Successor(session, user));
        }
        end(&mut cx, row.session_id, "refresh_token_reused", refresh.now).await?;
        cx.commit().await?;
        Ok(Refreshed::Reused(session, user))
    }

    /// Whether a log-in still stands, and whose it is.
    pub async fn live_session(&self, id: SessionId, now: Instant) -> Result<Option<UserId>> {
        let mut cx = self.read().await?;
        let user = q!(
            cx,
            fetch_optional as (Uuid),
            "SELECT user_id FROM session WHERE id = $1 AND ended_at IS NULL AND expires_at > $2",
            id.0,
            now
        )?;
        Ok(user.map(UserId::from))
    }

    /// A user's log-ins that stand, newest first.
    pub async fn sessions_of(&self, user: UserId, now: Instant) -> Result<Vec<Session>> {
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            "SELECT id, user_id, created_at, last_used_at, expires_at, from_ip, client FROM session
             WHERE user_id = $1 AND ended_at IS NULL AND expires_at > $2 ORDER BY id DESC LIMIT 1000",
            user.0,
            now
        )?;
        let sessions = rows.into_iter().map(|row| Session {
            id: row.id.into(),
            user_id: row.user_id.into(),
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            expires_at: row.expires_at,
            from_ip: row.from_ip,
            client: row.client,
        });
        Ok(sessions.collect())
    }

    /// Ends one log-in of a user. False: there is no such log-in.
    pub async fn end_session(&self, user: UserId, id: SessionId, why: &'static str, now: Instant) -> Result<bool> {
        let mut cx = self.write().await?;
        let ended = q!(
            cx,
            execute,
            "UPDATE session SET ended_at = $3, ended_why = $4 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL",
            id.0,
            user.0,
            now,
            why
        )?;
        epoch::bump(&mut cx).await?;
        cx.commit().await?;
        Ok(ended > 0)
    }

    /// Ends every log-in of a user but one; answers how many.
    pub async fn end_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        why: &'static str,
        now: Instant,
    ) -> Result<u64> {
        let mut cx = self.write().await?;
        let ended = end_all(&mut cx, user, except, why, now).await?;
        epoch::bump(&mut cx).await?;
        cx.commit().await?;
        Ok(ended)
    }
}

/// Ends every log-in of a user but one.
pub(crate) async fn end_all(
    cx: &mut Cx,
    user: UserId,
    except: Option<SessionId>,
    why: &str,
    now: Instant,
) -> Result<u64> {
    Ok(q!(
        cx,
        execute,
        "UPDATE session SET ended_at = $2, ended_why = $3 WHERE user_id = $1 AND ended_at IS NULL AND id <> $4",
        user.0,
        now,
        why,
        except.map_or(Uuid::nil(), |id| id.0)
    )?)
}

async fn end(cx: &mut Cx, id: Uuid, why: &str, now: Instant) -> Result<()> {
    q!(cx, execute, "UPDATE session SET ended_at = $2, ended_why = $3 WHERE id = $1", id, now, why)?;
    epoch::bump(cx).await
}

async fn insert_token(
    cx: &mut Cx,
    hash: Sha256Hash,
    session: Uuid,
    parent: Option<Sha256Hash>,
    now: Instant,
    until: Instant,
) -> Result<()> {
    q!(
        cx,
        execute,
        "INSERT INTO refresh_token (hash, session_id, parent, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        hash.0.as_slice(),
        session,
        parent.map(|parent| parent.0.to_vec()),
        now,
        until
    )?;
    Ok(())
}
