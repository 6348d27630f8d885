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

/// With less room than this a database is as good as full.
const LITTLE_ROOM_BYTES: u64 = 1 << 20;

/// Can it serve; the body says so when it can read but hardly write any more, because the embedded database is full
#[utoipa::path(get, path = "/readyz", tag = "operations", responses((status = 200, description = "Ready", body = String), (status = 503, body = super::Problem)))]
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<String, ApiError> {
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
    // Still 200: a host that can only read is better than none.
    Ok(match app.db.room_bytes().await {
        Ok(Some(room)) if room < LITTLE_ROOM_BYTES => {
            format!(
                "ready to read, but the database is full: it has room for {room} bytes; free some space or raise database_max_bytes"
            )
        }
        _ => "ready".to_owned(),
    })
}
