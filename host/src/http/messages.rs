//! `/api/v1/messages`: what was asked and answered.

use std::sync::Arc;

use axum::{Json as Body, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{MessageId, ThreadId, principal::Principal};
use tributary_store::{Role, TenantDb};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    ApiError,
    access::Entrance,
    dto::{Citation, List, limit},
    extract::Query,
};
use crate::app::App;

/// Which messages.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MessagesQuery {
    workspace_id: String,
    /// Only this conversation, oldest first; without it all of the caller's, newest first.
    thread_id: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<Uuid>,
    /// 1 to 100.
    limit: Option<u16>,
}

/// A message.
#[derive(Serialize, ToSchema)]
pub(super) struct Message {
    id: Uuid,
    thread_id: Uuid,
    /// user or assistant.
    #[schema(value_type = String)]
    role: Role,
    content: String,
    citations: Vec<Citation>,
    created_at: DateTime<Utc>,
    /// Null for a question.
    stop_reason: Option<String>,
}

/// List messages
#[utoipa::path(
    get, path = "/api/v1/messages", tag = "chat", security(("bearer" = [])), params(MessagesQuery),
    responses((status = 200, body = List<Message>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    entrance: Entrance,
    Query(query): Query<MessagesQuery>,
) -> Result<Body<List<Message>>, ApiError> {
    let tenant = entrance.enter(&app, query.workspace_id.parse().ok()).await?;
    let (cursor, limit) = (query.cursor.map(MessageId), limit(query.limit));
    page(&app, &tenant, &entrance.principal, query.thread_id, cursor, limit).await
}

/// One page of somebody's messages.
pub(super) async fn page(
    app: &App,
    tenant: &TenantDb,
    principal: &Principal,
    thread_id: Option<String>,
    cursor: Option<MessageId>,
    limit: i64,
) -> Result<Body<List<Message>>, ApiError> {
    let thread: Option<ThreadId> =
        thread_id.map(|id| id.parse().map_err(|_| ApiError::not_found("thread"))).transpose()?;
    let page = app.chat.messages(tenant, principal, thread, cursor, limit).await?;
    Ok(Body(List::of(page, |message| message.id.to_string(), message)))
}

fn message(message: tributary_store::Message) -> Message {
    Message {
        id: message.id.0,
        thread_id: message.thread_id.0,
        role: message.role,
        content: message.content,
        citations: message.citations.into_iter().map(Into::into).collect(),
        created_at: message.created_at,
        stop_reason: message.stop_reason,
    }
}
