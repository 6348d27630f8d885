//! `/api/v1/chat`: whole, or as a stream of events.

use std::sync::Arc;

use axum::{
    Json as Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tributary_core::{ThreadId, principal::Principal};
use tributary_store::TenantDb;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::Entrance,
    dto::{Citation, Filters},
    extract::Json,
    sse,
};
use crate::{
    app::App,
    chat::{self, Answer, AnswerMode, Question, StopReason, Usage},
    limits,
};

/// A question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChatRequest {
    workspace_id: String,
    /// At most 2,000 characters.
    #[schema(example = "Do you ship to Norway?")]
    message: String,
    /// The conversation to go on with; a new one when absent.
    thread_id: Option<String>,
    /// Answer as server-sent events: meta, delta, citation, done, error.
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    filters: Filters,
}

/// An answer.
#[derive(Serialize, ToSchema)]
pub(super) struct ChatAnswer {
    id: Uuid,
    thread_id: Uuid,
    /// `[1]` refers to the citation of that number.
    answer: String,
    citations: Vec<Citation>,
    mode: AnswerMode,
    usage: Usage,
    stop_reason: StopReason,
}

/// Ask the workspace
#[utoipa::path(
    post, path = "/api/v1/chat", tag = "chat", security(("bearer" = [])), request_body = ChatRequest,
    responses((status = 200, description = "The answer; with `stream`, `text/event-stream` instead", body = ChatAnswer), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn chat(
    State(app): State<Arc<App>>,
    entrance: Entrance,
    Json(request): Json<ChatRequest>,
) -> Result<Response, ApiError> {
    let tenant = entrance.enter(&app, request.workspace_id.parse().ok()).await?;
    let ChatRequest { message, thread_id, stream, filters, .. } = request;
    answer(&app, tenant, entrance.principal, Asked { message, thread_id, stream, filters }).await
}

/// A question of whoever it may be.
pub(super) struct Asked {
    pub message: String,
    pub thread_id: Option<String>,
    pub stream: bool,
    pub filters: Filters,
}

/// Answers it, whole or as a stream.
pub(super) async fn answer(
    app: &Arc<App>,
    tenant: TenantDb,
    principal: Arc<Principal>,
    asked: Asked,
) -> Result<Response, ApiError> {
    let thread_id: Option<ThreadId> =
        asked.thread_id.map(|id| id.parse().map_err(|_| ApiError::not_found("thread"))).transpose()?;
    let question = Question { message: asked.message, thread_id, filters: asked.filters.checked()? };
    let app = app.clone();
    // In a task of its own: a client that goes away does not keep the answer from being saved.
    let answered = tokio::spawn(async move {
        let answer = app.chat.ask(&tenant, &principal, question).await?;
        limits::quota::spent(&app.limits, &principal, answer.usage.tokens()).await;
        Ok::<_, chat::Error>(answer)
    });
    let answer = answered.await.map_err(ApiError::internal)??;
    Ok(if asked.stream { sse::answer(answer) } else { Body(whole(&answer)).into_response() })
}

fn whole(answer: &Answer) -> ChatAnswer {
    ChatAnswer {
        id: answer.id.0,
        thread_id: answer.thread_id.0,
        answer: answer.text(),
        citations: answer.citations().into_iter().map(Into::into).collect(),
        mode: answer.mode,
        usage: answer.usage,
        stop_reason: answer.stop_reason,
    }
}

impl From<chat::Error> for ApiError {
    fn from(error: chat::Error) -> Self {
        match error {
            chat::Error::Message(detail) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail.clone()).at("/message", detail)
            }
            chat::Error::Retrieval(error) => error.into(),
            chat::Error::Store(error) => error.into(),
        }
    }
}
