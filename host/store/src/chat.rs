//! Conversations.

use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use tributary_core::{Instant, MessageId, ThreadId, citation::Citation};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::{Error, Result},
    rows::{Page, limited, name_of, named, refuse_nul},
    sources::refuse_nul_in_json,
    tenant::TenantDb,
};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The person or program that asks.
    User,
    /// The one that answers.
    Assistant,
}

/// A question to be kept.
#[derive(Clone, Debug)]
pub struct NewQuestion {
    /// The conversation it belongs to; `None` begins one.
    pub thread_id: Option<ThreadId>,
    /// Whose conversation: the principal's label.
    pub owner: String,
    /// What was asked.
    pub content: String,
    /// Now.
    pub now: Instant,
}

/// A question that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its conversation.
    pub thread_id: ThreadId,
    /// Its message.
    pub message_id: MessageId,
}

/// An answer to be kept, whole or as far as it came.
#[derive(Clone, Debug)]
pub struct NewAnswer {
    /// Its id, made when it began.
    pub id: MessageId,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// What was answered.
    pub content: String,
    /// What it rests on.
    pub citations: Vec<Citation>,
    /// `extract`, `answer`, `chat`.
    pub mode: String,
    /// What it cost.
    pub usage: serde_json::Value,
    /// `end`, `length`, `stopped`, `error`.
    pub stop_reason: String,
    /// Now.
    pub now: Instant,
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its id.
    pub id: MessageId,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// Who speaks.
    pub role: Role,
    /// What was said.
    pub content: String,
    /// What it rests on, as it was when it was said.
    pub citations: Vec<Citation>,
    /// Of an answer: `extract`, `answer`, `chat`.
    pub mode: Option<String>,
    /// Of an answer: what it cost.
    pub usage: Option<serde_json::Value>,
    /// Of an answer: why it ended.
    pub stop_reason: Option<String>,
    /// When it was said.
    pub created_at: Instant,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    id: Uuid,
    thread_id: Uuid,
    role: String,
    content: String,
    citations: Json<Vec<Citation>>,
    mode: Option<String>,
    usage: Option<Json<serde_json::Value>>,
    stop_reason: Option<String>,
    created_at: Instant,
}

impl TryFrom<Row> for Message {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            thread_id: row.thread_id.into(),
            role: named(&row.role)?,
            content: row.content,
            citations: row.citations.0,
            mode: row.mode,
            usage: row.usage.map(|usage| usage.0),
            stop_reason: row.stop_reason,
            created_at: row.created_at,
        })
    }
}

impl TenantDb {
    /// Keeps a question. Another owner's conversation is `NotFound`.
    pub async fn save_question(&self, question: NewQuestion) -> Result<Question> {
        refuse_nul([question.content.as_str(), &question.owner])?;
        let mut cx = self.write().await?;
        let thread_id = match question.thread_id {
            Some(id) => {
                let found = q!(
                    cx,
                    fetch_optional as (Uuid),
                    "SELECT id FROM thread WHERE workspace_id = $1 AND id = $2 AND owner = $3",
                    self.key(),
                    id.0,
                    &question.owner
                )?;
                found.map(ThreadId::from).ok_or(Error::NotFound("thread"))?
            }
            None => {
                let id = ThreadId::new();
                q!(
                    cx,
                    execute,
                    "INSERT INTO thread (workspace_id, id, owner, created_at) VALUES ($1, $2, $3, $4)",
                    self.key(),
                    id.0,
                    &question.owner,
                    question.now
                )
                .map_err(crate::error::missing("workspace"))?;
                id
            }
        };
        let message_id = MessageId::new();
        q!(
            cx,
            execute,
            "INSERT INTO message (workspace_id, id, thread_id, role, content, citations, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
            self.key(),
            message_id.0,
            thread_id.0,
            name_of(&Role::User),
            &question.content,
            Json(Vec::<Citation>::new()),
            question.now
        )?;
        cx.commit().await?;
        Ok(Question { thread_id, message_id })
    }

    /// Keeps an answer; saying it again (a resumed stream) replaces it.
    pub async fn save_answer(&self, answer: NewAnswer) -> Result<()> {
        refuse_nul([answer.content.as_str(), &answer.mode, &answer.stop_reason])?;
        refuse_nul_in_json(&answer.usage)?;
        let mut cx = self.write().await?;
        q!(
            cx,
            execute,
            "INSERT INTO message (workspace_id, id, thread_id, role, content, citations, mode, usage, stop_reason, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (workspace_id, id) DO UPDATE SET content = excluded.content, citations = excluded.citations,
                 mode = excluded.mode, usage = excluded.usage, stop_reason = excluded.stop_reason",
            self.key(),
            answer.id.0,
            answer.thread_id.0,
            name_of(&Role::Assistant),
            &answer.content,
            Json(&answer.citations),
            &answer.mode,
            Json(&answer.usage),
            &answer.stop_reason,
            answer.now
        )
        .map_err(crate::error::missing("thread"))?;
        cx.commit().await
    }

    /// Messages of one owner's conversations (`None`: everybody's). In one conversation oldest first, over all of them newest first.
    pub async fn list_messages(
        &self,
        owner: Option<&str>,
        thread: Option<ThreadId>,
        cursor: Option<MessageId>,
        limit: i64,
    ) -> Result<Page<Message>> {
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let rows = match thread {
            Some(thread) => q!(
                cx,
                fetch_all as Row,
                "SELECT m.id, m.thread_id, m.role, m.content, m.citations, m.mode, m.usage, m.stop_reason, m.created_at
                 FROM message m JOIN thread t ON t.workspace_id = m.workspace_id AND t.id = m.thread_id
                 WHERE m.workspace_id = $1 AND m.thread_id = $2 AND m.id > $3 AND ($4 IS NULL OR t.owner = $4)
                 ORDER BY m.id LIMIT $5",
                self.key(),
                thread.0,
                cursor.map_or(Uuid::nil(), |id| id.0),
                owner,
                limit + 1
            )?,
            None => q!(
                cx,
                fetch_all as Row,
                "SELECT m.id, m.thread_id, m.role, m.content, m.citations, m.mode, m.usage, m.stop_reason, m.created_at
                 FROM message m JOIN thread t ON t.workspace_id = m.workspace_id AND t.id = m.thread_id
                 WHERE m.workspace_id = $1 AND m.id < $2 AND ($3 IS NULL OR t.owner = $3)
                 ORDER BY m.id DESC LIMIT $4",
                self.key(),
                cursor.map_or(Uuid::max(), |id| id.0),
                owner,
                limit + 1
            )?,
        };
        Page::of(rows, limit).try_map(Message::try_from)
    }
}
