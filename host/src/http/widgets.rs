//! `/api/v1/widgets/{widget_key}`: chat for visitors of the sites that a widget key names, straight from their browsers.
//!
//! The key stands in the path so that a preflight request, which carries nothing else, is answered by the key's own list of origins.

use std::sync::Arc;

use axum::{
    Json as Body,
    extract::{FromRequestParts, RawPathParams, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tributary_core::{MessageId, access::Action};
use url::Url;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    ApiError,
    access::{Caller, Entrance, for_action},
    chat::{self, ChatAnswer},
    client_ip::ClientIp,
    dto::{Filters, List, limit},
    extract::{Json, OptionalJson, Query, bearer, unauthenticated},
    messages::{self, Message},
};
use crate::{
    app::App,
    auth::{Visit, WidgetKey},
    limits,
};

const PREFIX: &str = "/api/v1/widgets/";
/// Browsers ask again whether a page may call after so long.
const PREFLIGHT_AGE: std::time::Duration = std::time::Duration::from_secs(600);

/// All routes, with what stands before them.
pub(super) fn guarded(app: &Arc<App>) -> OpenApiRouter<Arc<App>> {
    visits()
        .merge(conversation().route_layer(middleware::from_fn_with_state(app.clone(), require_visit)))
        .route_layer(middleware::from_fn_with_state(app.clone(), frame_ancestors))
        .layer(cors(app.clone()))
}

/// They need a key.
pub(super) fn visits() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(begin)).routes(routes!(renew))
}

/// They need a visit.
pub(super) fn conversation() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(ask)).routes(routes!(list)).route_layer(for_action(Action::Chat))
}

/// Pages on the key's origins may call, and read what they get.
fn cors(app: Arc<App>) -> CorsLayer {
    let admitted = AllowOrigin::async_predicate(move |origin: HeaderValue, parts: &Parts| {
        let key = parts.uri.path().strip_prefix(PREFIX).and_then(|rest| rest.split('/').next()).map(str::to_owned);
        async move {
            let Some(key) = key else { return false };
            let Ok(key) = app.auth.widget(&key).await else { return false };
            key.admit(origin.to_str().ok()).is_ok()
        }
    });
    let shown = ["ratelimit", "ratelimit-policy", "retry-after", "x-request-id"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(admitted)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers(shown)
        .max_age(PREFLIGHT_AGE)
}

/// A widget key on a page that may use it.
struct Page {
    key: Arc<WidgetKey>,
    origin: String,
}

impl FromRequestParts<Arc<App>> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let params =
            RawPathParams::from_request_parts(parts, app).await.map_err(|_| ApiError::not_found("widget key"))?;
        let named = params.iter().find(|(name, _)| *name == "widget_key").map(|(_, value)| value);
        let key = app.auth.widget(named.unwrap_or_default()).await?;
        let origin = origin(parts);
        key.admit(origin.as_deref())?;
        Ok(Self { key, origin: origin.unwrap_or_default() })
    }
}

/// The page's origin. Browsers send none when a page reads from its own server; then its address tells it.
fn origin(parts: &Parts) -> Option<String> {
    let text = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match text(header::ORIGIN) {
        Some(origin) => Some(origin.to_owned()),
        None if parts.method == Method::GET => {
            Some(Url::parse(text(header::REFERER)?).ok()?.origin().ascii_serialization())
        }
        None => None,
    }
}

/// Middleware: no other site shows these answers in a frame.
async fn frame_ancestors(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let key = request.uri().path().strip_prefix(PREFIX).and_then(|rest| rest.split('/').next()).map(str::to_owned);
    let mut response = next.run(request).await;
    let ancestors = match app.auth.widget(&key.unwrap_or_default()).await {
        Ok(key) => key.origins().join(" "),
        Err(_) => "'none'".to_owned(),
    };
    if let Ok(policy) = HeaderValue::from_str(&format!("default-src 'none'; frame-ancestors {ancestors}")) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// Middleware: a visit that goes on, or 401; and no more than a visitor may ask for.
async fn require_visit(
    State(app): State<Arc<App>>,
    page: Result<Page, ApiError>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let token = bearer(request.headers()).ok_or_else(unauthenticated)?.to_owned();
    let page = page?;
    let caller = Caller(Arc::new(app.auth.visitor(&page.key, &page.origin, &token)?));
    request.extensions_mut().insert(caller.clone());
    request.extensions_mut().insert(page.key.workspace_id());
    Ok(match limits::quota::request(&app.limits, &caller.0).await {
        Ok(decision) => limits::headers::on(next.run(request).await, &decision),
        Err(decision) => ApiError::from(decision).into_response(),
    })
}

/// A visit to be begun.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewVisit {
    /// Who the visitor is: a JWT with `sub` and `exp`, signed by the site's server (HS256) with the secret of the widget key.
    identity: Option<String>,
}

/// A visit.
#[derive(Serialize, ToSchema)]
pub(super) struct VisitBody {
    /// Send it as `Authorization: Bearer …`, from this origin and with this key.
    token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds; renew it before.
    expires_in: i64,
    /// The visitor's conversations belong to this id. The same for everybody whom the site names by the same `sub`.
    visitor_id: Uuid,
    /// When a new visit has to be begun.
    ends_at: DateTime<Utc>,
}

impl From<Visit> for VisitBody {
    fn from(visit: Visit) -> Self {
        let (token, visitor_id) = (visit.token, visit.visitor.0);
        Self { token, token_type: "Bearer", expires_in: visit.expires_in, visitor_id, ends_at: visit.ends_at }
    }
}

/// Begin a visit
#[utoipa::path(
    post, path = "/api/v1/widgets/{widget_key}/sessions", tag = "widgets", params(("widget_key" = String, Path)), request_body = Option<NewVisit>,
    responses((status = 201, body = VisitBody), (status = 401, description = "Not a widget key, or an identity that does not hold", body = super::Problem), (status = 403, description = "Not on this origin", body = super::Problem), (status = 429, description = "Too many visits from this address", body = super::Problem)),
)]
async fn begin(
    State(app): State<Arc<App>>,
    ClientIp(address): ClientIp,
    page: Page,
    OptionalJson(new): OptionalJson<NewVisit>,
) -> Result<(StatusCode, Body<VisitBody>), ApiError> {
    limits::strangers::visit(&app.limits, address).await?;
    let visit = app.auth.begin_visit(&page.key, &page.origin, new.identity.as_deref())?;
    Ok((StatusCode::CREATED, Body(visit.into())))
}

/// Let a visit go on: half an hour more, at most a day in all
#[utoipa::path(
    post, path = "/api/v1/widgets/{widget_key}/sessions/renew", tag = "widgets", security(("bearer" = [])), params(("widget_key" = String, Path)),
    responses((status = 200, body = VisitBody), (status = 401, body = super::Problem), (status = 403, description = "Not on this origin", body = super::Problem)),
)]
async fn renew(
    State(app): State<Arc<App>>,
    page: Result<Page, ApiError>,
    request: Request,
) -> Result<Body<VisitBody>, ApiError> {
    let token = bearer(request.headers()).ok_or_else(unauthenticated)?;
    let page = page?;
    Ok(Body(app.auth.renew_visit(&page.key, &page.origin, token)?.into()))
}

/// A visitor's question.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VisitorQuestion {
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

/// Ask, as a visitor
#[utoipa::path(
    post, path = "/api/v1/widgets/{widget_key}/chat", tag = "widgets", security(("bearer" = [])), params(("widget_key" = String, Path)), request_body = VisitorQuestion,
    responses((status = 200, description = "The answer; with `stream`, `text/event-stream` instead", body = ChatAnswer), (status = 401, body = super::Problem), (status = 403, description = "Not on this origin", body = super::Problem), (status = 404, body = super::Problem), (status = 422, body = super::Problem), (status = 429, body = super::Problem)),
)]
async fn ask(
    State(app): State<Arc<App>>,
    entrance: Entrance,
    Workspace(workspace): Workspace,
    Json(question): Json<VisitorQuestion>,
) -> Result<Response, ApiError> {
    let tenant = entrance.enter(&app, Some(workspace)).await?;
    let VisitorQuestion { message, thread_id, stream, filters } = question;
    chat::answer(&app, tenant, entrance.principal, chat::Asked { message, thread_id, stream, filters }).await
}

/// Which messages.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VisitorMessages {
    /// Only this conversation, oldest first; without it all of the visitor's, newest first.
    thread_id: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<Uuid>,
    /// 1 to 100.
    limit: Option<u16>,
}

/// List the visitor's messages
#[utoipa::path(
    get, path = "/api/v1/widgets/{widget_key}/messages", tag = "widgets", security(("bearer" = [])), params(("widget_key" = String, Path), VisitorMessages),
    responses((status = 200, body = List<Message>), (status = 401, body = super::Problem), (status = 403, description = "Not on this origin", body = super::Problem), (status = 404, body = super::Problem), (status = 429, body = super::Problem)),
)]
async fn list(
    State(app): State<Arc<App>>,
    entrance: Entrance,
    Workspace(workspace): Workspace,
    Query(query): Query<VisitorMessages>,
) -> Result<Body<List<Message>>, ApiError> {
    let tenant = entrance.enter(&app, Some(workspace)).await?;
    let (cursor, limit) = (query.cursor.map(MessageId), limit(query.limit));
    messages::page(&app, &tenant, &entrance.principal, query.thread_id, cursor, limit).await
}

/// The workspace of the visit's key. Put into the request by [`require_visit`].
struct Workspace(tributary_core::WorkspaceId);

impl<S: Sync> FromRequestParts<S> for Workspace {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().copied().map(Self).ok_or_else(unauthenticated)
    }
}
