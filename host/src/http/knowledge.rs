//! `/api/v1/knowledge/query`.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::Entrance,
    dto::{Citation, Filters},
    extract::Json,
};
use crate::{
    app::App,
    retrieval::{self, Mode, Ranked, cite_all},
};

/// A knowledge query.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KnowledgeQuery {
    workspace_id: String,
    /// In the words of a person, at most 2,000 characters.
    query: String,
    /// 1 to 100.
    #[serde(default = "ten")]
    top_k: usize,
    #[serde(default)]
    mode: Mode,
    /// Answer only when everything up to this position is indexed.
    min_position: Option<i64>,
    #[serde(default)]
    filters: Filters,
}

fn ten() -> usize {
    10
}

/// One result.
#[derive(Serialize, ToSchema)]
pub(super) struct KnowledgeResult {
    external_id: String,
    document_id: Uuid,
    title: String,
    url: Option<String>,
    kind: String,
    /// Higher is better; comparable within one answer only.
    score: f32,
    /// The passage.
    text: String,
    /// Character offsets in `text` of the words that matched.
    highlights: Vec<(usize, usize)>,
    citation: Citation,
}

/// Ranked passages.
#[derive(Serialize, ToSchema)]
pub(super) struct KnowledgeResults {
    /// Best first, at most one for each document.
    results: Vec<KnowledgeResult>,
    /// What the index had applied.
    position: i64,
    took_ms: f64,
}

/// Ranked passages with their sources
#[utoipa::path(
    post, path = "/api/v1/knowledge/query", tag = "knowledge", security(("bearer" = [])), request_body = KnowledgeQuery,
    responses((status = 200, body = KnowledgeResults), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 422, body = super::Problem), (status = 503, description = "`min_position` is not indexed yet", body = super::Problem)),
)]
pub(super) async fn query(
    State(app): State<Arc<App>>,
    entrance: Entrance,
    Json(query): Json<KnowledgeQuery>,
) -> Result<Body<KnowledgeResults>, ApiError> {
    let tenant = entrance.enter(&app, query.workspace_id.parse().ok()).await?;
    let filters = query.filters.checked()?;
    let query = retrieval::Query {
        text: query.query,
        top_k: query.top_k,
        mode: query.mode,
        min_position: query.min_position,
        filters,
    };
    let found = app.knowledge.query(&tenant, query).await?;
    let results = (1_u32..).zip(found.items).map(|(number, ranked)| result(number, ranked)).collect();
    let took_ms = (found.took.as_secs_f64() * 1e6).round() / 1e3;
    Ok(Body(KnowledgeResults { results, position: found.position, took_ms }))
}

fn result(number: u32, Ranked { passage, highlights }: Ranked) -> KnowledgeResult {
    let citation = cite_all(number, &passage).into();
    KnowledgeResult {
        external_id: passage.external_id,
        document_id: passage.hit.document_id.0,
        title: passage.title,
        url: passage.url,
        kind: passage.kind,
        score: passage.hit.score,
        text: passage.text,
        highlights,
        citation,
    }
}

impl From<retrieval::Error> for ApiError {
    fn from(error: retrieval::Error) -> Self {
        let detail = error.to_string();
        match error {
            retrieval::Error::Invalid { pointer, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail.clone()).at(pointer, detail)
            }
            retrieval::Error::Behind(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "index_behind", detail).retry_after(1)
            }
            retrieval::Error::Rebuilding => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "index_rebuilding", detail).retry_after(1)
            }
            retrieval::Error::Store(error) => error.into(),
            retrieval::Error::Search(error) => Self::internal(error),
            retrieval::Error::Task(error) => Self::internal(error),
        }
    }
}
