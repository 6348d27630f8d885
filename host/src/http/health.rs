//! `/healthz`: the process answers. `/readyz`: the database does too.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};

use super::ApiError;
use crate::app::App;

/// Is the process alive
#[utoipa::path(get, path = "/healthz", tag = "operations", responses((status = 200, description = "Alive", body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// Can it serve
#[utoipa::path(get, path = "/readyz", tag = "operations", responses((status = 200, description = "Ready", body = String), (status = 503, body = super::Problem)))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    if app.stopping().is_cancelled() {
        return Err(
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "this host is shutting down").retry_after(1)
        );
    }
    app.db.ping().await.map_err(|error| {
        tracing::warn!(%error, "the database does not answer");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", "the database does not answer")
            .retry_after(1)
    })?;
    Ok("ready")
}
