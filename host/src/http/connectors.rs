//! `/api/v1/connectors`: what sources can be made of.

use std::sync::Arc;

use axum::{Json as Body, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{ApiError, dto::List};
use crate::app::App;

/// A connector.
#[derive(Serialize, ToSchema)]
pub(super) struct Connector {
    #[schema(example = "file")]
    id: String,
    version: String,
    /// SHA-256 of the component.
    digest: String,
    title: String,
    /// JSON Schema (2020-12) of a source's `config`.
    config_schema: serde_json::Value,
}

/// List connectors
#[utoipa::path(get, path = "/api/v1/connectors", tag = "sources", security(("bearer" = [])), responses((status = 200, body = List<Connector>), (status = 401, body = super::Problem)))]
pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Body<List<Connector>>, ApiError> {
    let ready = app.plugins.all().await.map_err(|error| ApiError::internal(format!("{error:#}")))?;
    let items = ready
        .iter()
        .map(|ready| Connector {
            id: ready.reference.id.clone(),
            version: ready.reference.version.clone(),
            digest: ready.reference.digest.clone(),
            title: ready.descriptor.title.clone(),
            config_schema: ready.descriptor.config_schema.clone(),
        })
        .collect();
    Ok(Body(List { items, next_cursor: None }))
}
