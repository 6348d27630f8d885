//! `/metrics` for Prometheus, where the operator gave a token for it; and the counting of requests.

use std::{sync::Arc, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
    routing::get,
};

use super::{ApiError, extract::bearer};
use crate::{app::App, metrics::admits};

/// What `prometheus-client` writes: <https://prometheus.io/docs/specs/om/open_metrics_spec/>.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The route, if there is a token; without one there is nothing at the address.
pub(super) fn route(app: &App) -> Router<Arc<App>> {
    if app.config.metrics_token.is_some() { Router::new().route("/metrics", get(scrape)) } else { Router::new() }
}

async fn scrape(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, ApiError> {
    let given = bearer(&headers).unwrap_or_default();
    if !app.config.metrics_token.as_ref().is_some_and(|token| admits(token, given)) {
        let detail =
            "send the server's metrics_token as `Authorization: Bearer …`; no log-in or API key opens this address";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail));
    }
    let text = app.scrape().await.map_err(|error| ApiError::internal(format!("metrics: {error}")))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

/// Middleware of everything: counts the request under its route's template, so that no id becomes a label.
pub(super) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = name_of(request.method());
    let began = Instant::now();
    let response = next.run(request).await;
    app.metrics.request(&route, method, response.status().as_u16(), began.elapsed());
    response
}

/// The usual methods by name: anybody can invent others.
fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
