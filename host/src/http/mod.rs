//! The HTTP API: routes, middleware and the OpenAPI document. Handlers hold no rules and no SQL.
//!
//! Every route under `/api/v1` is closed unless it stands in [`open_routes`]; the pages for people are in [`console`].

mod access;
mod audit;
mod audited;
mod auth;
mod browse;
mod chat;
mod client_ip;
mod connectors;
mod console;
mod credentials;
mod deletions;
mod document_moves;
mod documents;
mod dry_runs;
mod dto;
mod extract;
mod health;
mod jobs;
mod keys;
mod knowledge;
mod members;
mod messages;
mod metrics;
mod origin;
mod problem;
mod push;
mod recordings;
mod request_id;
mod run_events;
mod runs;
mod schedules;
mod source_life;
mod sources;
mod sse;
mod users;
mod versions;
mod widgets;
mod workspaces;

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use tower_http::{catch_panic::CatchPanicLayer, set_header::SetResponseHeaderLayer, timeout::TimeoutLayer};
use tracing::Instrument;
use tributary_core::access::Action;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

pub use problem::{ApiError, FieldError, Problem};

use crate::{app::App, limits};
use access::{Caller, may};
use extract::{bearer, unauthenticated};
use request_id::RequestId;

/// Bodies, unless a route says otherwise.
const BODY_LIMIT_BYTES: usize = 2 << 20;
/// No answer takes longer to begin.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(OpenApi)]
#[openapi(
    info(title = "Tributary", description = "Sources in, cited answers out. Errors are RFC 9457 problems; times are RFC 3339 UTC; ids are UUIDv7."),
    components(schemas(Problem, FieldError)),
    modifiers(&BearerToken),
)]
struct Document;

struct BearerToken;

impl Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT or API key").build();
        document.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// Routes that need no login.
fn open_routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(auth::login))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::reset_password))
        .routes(routes!(auth::accept_invitation))
        .routes(routes!(auth::jwks))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
}

/// Routes that do: first those about the caller and the instance, then those of a workspace, by what they are for.
fn closed_routes() -> OpenApiRouter<Arc<App>> {
    let new = OpenApiRouter::new;
    new()
        .routes(routes!(auth::me))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::sessions, auth::logout_everywhere))
        .routes(routes!(auth::end_session))
        .routes(routes!(auth::change_password))
        .routes(routes!(users::rotate_signing_key))
        .routes(routes!(users::create, users::list))
        .routes(routes!(users::get, users::update))
        .routes(routes!(users::reset_password))
        .merge(connectors::routes())
        .routes(routes!(workspaces::create, workspaces::list))
        .routes(routes!(workspaces::deletion))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::open))
        .routes(routes!(jobs::get, jobs::discard))
        .routes(routes!(jobs::retry))
        .routes(routes!(jobs::cancel))
        .merge(may(Action::ReadAudit, new().routes(routes!(audit::of_workspace))))
        .merge(may(
            Action::ManageCredentials,
            new().routes(routes!(credentials::create, credentials::list)).routes(routes!(
                credentials::get,
                credentials::replace,
                credentials::delete
            )),
        ))
        .merge(may(Action::ReadWorkspace, new().routes(routes!(workspaces::get))))
        .merge(may(
            Action::ManageWorkspace,
            new()
                .routes(routes!(workspaces::update))
                .routes(routes!(workspaces::archive))
                .routes(routes!(workspaces::restore)),
        ))
        .merge(may(Action::DeleteWorkspace, new().routes(routes!(workspaces::delete))))
        .merge(may(Action::Chat, new().routes(routes!(chat::chat)).routes(routes!(messages::list))))
        .merge(may(
            Action::ReadKnowledge,
            new()
                .routes(routes!(knowledge::query))
                .routes(routes!(documents::list))
                .routes(routes!(documents::count))
                .routes(routes!(documents::get))
                .routes(routes!(versions::list))
                .routes(routes!(versions::get))
                .routes(routes!(versions::diff)),
        ))
        .merge(may(
            Action::WriteDocuments,
            push::route()
                .routes(routes!(documents::delete))
                .routes(routes!(document_moves::restore))
                .routes(routes!(document_moves::move_to)),
        ))
        .merge(may(
            Action::ReadSources,
            new()
                .routes(routes!(sources::list))
                .routes(routes!(sources::get))
                .routes(routes!(schedules::get))
                .routes(routes!(schedules::preview))
                .routes(routes!(runs::list))
                .routes(routes!(runs::get))
                .routes(routes!(runs::failed_items))
                .routes(routes!(run_events::events))
                .routes(routes!(dry_runs::changes))
                .routes(routes!(deletions::held)),
        ))
        .merge(may(
            Action::ManageSources,
            new()
                .routes(routes!(sources::create))
                .routes(routes!(sources::update, sources::delete))
                .routes(routes!(source_life::restore))
                .routes(routes!(source_life::copy))
                .routes(routes!(sources::check))
                .routes(routes!(browse::browse))
                .routes(routes!(sources::sync))
                .routes(routes!(schedules::pause))
                .routes(routes!(schedules::resume))
                .routes(routes!(dry_runs::start))
                .routes(routes!(runs::cancel))
                .routes(routes!(runs::retry_failed))
                .routes(routes!(recordings::download))
                .routes(routes!(deletions::guard, deletions::set_guard))
                .routes(routes!(deletions::approve))
                .routes(routes!(deletions::dismiss)),
        ))
        .merge(may(Action::ReadMembers, new().routes(routes!(members::list))))
        .merge(may(
            Action::ManageMembers,
            new()
                .routes(routes!(members::put, members::remove))
                .routes(routes!(members::invite, members::invitations))
                .routes(routes!(members::uninvite)),
        ))
        .merge(may(
            Action::ManageKeys,
            new()
                .routes(routes!(keys::create, keys::list))
                .routes(routes!(keys::rotate))
                .routes(routes!(keys::revoke))
                .routes(routes!(keys::usage)),
        ))
}

fn api() -> (OpenApiRouter<Arc<App>>, OpenApiRouter<Arc<App>>) {
    (OpenApiRouter::with_openapi(Document::openapi()).merge(open_routes()), closed_routes())
}

/// The OpenAPI document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (open, closed) = api();
    open.merge(closed).merge(widgets::visits()).merge(widgets::conversation()).into_openapi()
}

/// The whole server.
pub fn router(app: Arc<App>) -> Router {
    let (open, closed) = api();
    let closed = closed
        .route_layer(middleware::from_fn_with_state(app.clone(), require_login))
        .route_layer(middleware::from_fn_with_state(app.clone(), audited::record));
    let (routes, document) = open.merge(closed).merge(widgets::guarded(&app)).split_for_parts();
    let docs: Router<Arc<App>> = SwaggerUi::new("/docs").url("/openapi.json", document).into();
    let docs = docs.layer(SetResponseHeaderLayer::overriding(
        header::CONTENT_SECURITY_POLICY,
        // Swagger UI writes its own style attributes and images; scripts come from here only.
        HeaderValue::from_static(
            "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ),
    ));
    manners(routes.merge(docs).merge(console::router(&app)).merge(metrics::route(&app)))
        .layer(middleware::from_fn_with_state(app.clone(), metrics::observe))
        .with_state(app)
}

/// What every route shares: limits, problems, request ids, one log line.
fn manners<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    routes
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(problem::finish))
        .layer(middleware::from_fn(log))
        .layer(middleware::from_fn(request_id::assign))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
}

/// Middleware of every closed route: a valid token, or 401.
async fn require_login(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let principal = app.auth.authenticate(bearer(request.headers()).ok_or_else(unauthenticated)?).await?;
    let caller = Caller(principal);
    request.extensions_mut().insert(caller.clone());
    let mut response = match limits::quota::request(&app.limits, &caller.0).await {
        Ok(decision) => limits::headers::on(next.run(request).await, &decision),
        Err(decision) => ApiError::from(decision).into_response(),
    };
    // For the audit log, which stands outside.
    response.extensions_mut().insert(caller);
    Ok(response)
}

/// Middleware: one line for each request, without query string, headers or body.
async fn log(request_id: RequestId, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = std::time::Instant::now();
    let span = tracing::info_span!("request", id = %request_id);
    async move {
        let response = next.run(request).await;
        let (status, took_ms) = (response.status().as_u16(), started.elapsed().as_secs_f64() * 1_000.0);
        // Who turns away for a while says so in the log, once for many.
        let turned_away = response.headers().contains_key(header::RETRY_AFTER);
        if response.status().is_server_error() && !turned_away {
            tracing::warn!(%method, path, status, took_ms, "answered");
        } else {
            tracing::debug!(%method, path, status, took_ms, "answered");
        }
        response
    }
    .instrument(span)
    .await
}

fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message =
        panic.downcast_ref::<&str>().map(|text| (*text).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    ApiError::internal(format!("panic: {}", message.unwrap_or_default())).into_response()
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing_and_the_server_goes_on() {
        async fn faulty() -> &'static str {
            panic!("the canary is K7Q-SECRET")
        }
        let router = manners(Router::new().route("/faulty", get(faulty)).route("/fine", get(|| async { "fine" })));
        let ask = |path: &str| router.clone().oneshot(Request::get(path).body(Body::empty()).expect("a request"));
        let response = ask("/faulty").await.expect("an answer");
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.expect("a body");
        let problem: Problem = serde_json::from_slice(&body).expect("a problem");
        assert_eq!(problem.code, "internal");
        assert!(problem.request_id.is_some());
        assert!(!String::from_utf8_lossy(&body).contains("K7Q"));
        assert_eq!(ask("/fine").await.expect("an answer").status(), StatusCode::OK);
    }
}
