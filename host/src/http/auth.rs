//! `/api/v1/auth`: log in, stay logged in, log out, one's own password.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Json as Body,
    extract::{FromRequestParts, State},
    http::{StatusCode, header, request::Parts},
};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tributary_core::{
    SessionId,
    access::{Power, Role, Scope},
    audience::Audience,
    principal::Actor,
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::{Caller, Person},
    client_ip::ClientIp,
    dto::List,
    extract::{Json, Path},
};
use crate::{
    app::App,
    audit,
    auth::{self, ACCESS_TOKEN_LIFETIME, Jwk, LoggedIn, Origin, WidgetRefusal},
    limits,
};

/// Where a request comes from, for the list of sessions.
pub(super) struct RequestOrigin(pub Origin);

impl FromRequestParts<Arc<App>> for RequestOrigin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let ClientIp(ip) = ClientIp::from_request_parts(parts, app).await?;
        let client = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self(Origin { ip: Some(ip.to_string()), client }))
    }
}

/// Somebody who presents a token that is not for requests, and has not done so too often.
pub(super) struct Stranger;

impl FromRequestParts<Arc<App>> for Stranger {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let ClientIp(address) = ClientIp::from_request_parts(parts, app).await?;
        limits::strangers::token(&app.limits, address).await?;
        Ok(Self)
    }
}

/// Credentials.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    #[schema(example = "admin@localhost")]
    email: String,
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// An access token, and the means to get the next one.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
    /// For `POST /api/v1/auth/refresh`, once; a new one comes back each time.
    refresh_token: String,
}

impl From<LoggedIn> for Tokens {
    fn from(logged_in: LoggedIn) -> Self {
        Self {
            access_token: logged_in.access_token,
            token_type: "Bearer",
            expires_in: ACCESS_TOKEN_LIFETIME.as_secs(),
            refresh_token: logged_in.refresh_token,
        }
    }
}

/// Log in
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", request_body = Login,
    responses((status = 200, body = Tokens), (status = 401, description = "Wrong credentials", body = super::Problem), (status = 429, description = "Too many attempts of this address, or failures of this account", body = super::Problem), (status = 503, description = "Too many log-ins at once", body = super::Problem)),
)]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    ClientIp(address): ClientIp,
    RequestOrigin(origin): RequestOrigin,
    recorded: audit::Origin,
    Json(login): Json<Login>,
) -> Result<Body<Tokens>, ApiError> {
    let (email, password) = (login.email, login.password);
    Ok(Body(log_in(&app, address, origin, recorded, &email, &password).await?.into()))
}

/// The one way to begin a session with a password: limited, and recorded unless it was turned away unread.
pub(super) async fn log_in(
    app: &App,
    address: IpAddr,
    origin: Origin,
    recorded: audit::Origin,
    email: &str,
    password: &SecretString,
) -> Result<LoggedIn, ApiError> {
    if let Err(error) = app.auth.check_room() {
        app.metrics.log_in_refused("busy");
        return Err(error.into());
    }
    let attempt = limits::login(&app.limits, address, email).await;
    if attempt.is_err() {
        app.metrics.log_in_refused("rate_limited");
    }
    let attempt = attempt?;
    let outcome = app.auth.log_in(email, password.expose_secret(), origin).await;
    match &outcome {
        Err(auth::Error::WrongCredentials) => app.metrics.log_in_refused("wrong_credentials"),
        _ => attempt.forgive().await,
    }
    if let Err(error @ auth::Error::Busy) = outcome {
        return Err(error.into());
    }
    app.audit.log_in(email, outcome.as_ref().map(|logged_in| logged_in.user), recorded).await;
    Ok(outcome?)
}

/// A refresh token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RefreshRequest {
    #[schema(value_type = String)]
    refresh_token: SecretString,
}

/// Get the next pair of tokens
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", request_body = RefreshRequest,
    responses((status = 200, body = Tokens), (status = 401, description = "Not valid, or used before", body = super::Problem), (status = 429, description = "Too many of this address", body = super::Problem)),
)]
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    _: Stranger,
    Json(request): Json<RefreshRequest>,
) -> Result<Body<Tokens>, ApiError> {
    Ok(Body(app.auth.refresh(request.refresh_token.expose_secret()).await?.into()))
}

/// The caller.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    /// user or key.
    #[serde(rename = "type")]
    #[schema(rename = "type")]
    kind: &'static str,
    id: Uuid,
    /// Administers this server.
    instance_admin: bool,
    /// Workspaces the caller belongs to.
    workspace_ids: Vec<Uuid>,
    /// What the caller may do in each of them.
    grants: Vec<Grant>,
}

/// What a caller may do in one workspace.
#[derive(Serialize, ToSchema)]
pub(super) struct Grant {
    workspace_id: Uuid,
    /// Of a person: viewer, editor, admin or owner.
    #[schema(value_type = Option<String>)]
    role: Option<Role>,
    /// Of a key.
    #[schema(value_type = Option<Vec<String>>)]
    scopes: Option<Vec<Scope>>,
    /// Which documents; empty: all of them.
    #[schema(value_type = Object)]
    audience: Audience,
}

/// Who am I
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", security(("bearer" = [])), responses((status = 200, body = Me), (status = 401, body = super::Problem)))]
pub(super) async fn me(Caller(principal): Caller) -> Body<Me> {
    let (kind, id) = match principal.actor {
        Actor::User { id, .. } => ("user", id.0),
        Actor::Key(id) => ("key", id.0),
        Actor::Visitor { id, .. } => ("visitor", id.0),
        Actor::Operator => ("operator", Uuid::nil()),
    };
    let grants = principal.grants.iter().map(|grant| {
        let (role, scopes) = match &grant.power {
            Power::Role(role) => (Some(*role), None),
            Power::Scopes(scopes) => (None, Some(scopes.clone())),
            Power::Visitor => (None, None),
        };
        Grant { workspace_id: grant.workspace_id.0, role, scopes, audience: grant.audience.clone() }
    });
    let workspace_ids = principal.grants.iter().map(|grant| grant.workspace_id.0).collect();
    Body(Me { kind, id, instance_admin: principal.instance_admin, workspace_ids, grants: grants.collect() })
}

/// A log-in.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    id: Uuid,
    created_at: DateTime<Utc>,
    last_used_at: DateTime<Utc>,
    /// When it ends at the latest.
    expires_at: DateTime<Utc>,
    ip: Option<String>,
    /// What the client called itself.
    client: Option<String>,
    /// The one of this request.
    current: bool,
}

/// List one's sessions
#[utoipa::path(get, path = "/api/v1/auth/sessions", tag = "auth", security(("bearer" = [])), responses((status = 200, body = List<Session>), (status = 401, body = super::Problem)))]
pub(super) async fn sessions(
    State(app): State<Arc<App>>,
    Person { user, session }: Person,
) -> Result<Body<List<Session>>, ApiError> {
    let sessions = app.auth.sessions(user).await?.into_iter().map(|it| Session {
        id: it.id.0,
        created_at: it.created_at,
        last_used_at: it.last_used_at,
        expires_at: it.expires_at,
        ip: it.from_ip,
        client: it.client,
        current: it.id == session,
    });
    Ok(Body(List { items: sessions.collect(), next_cursor: None }))
}

/// Log out: end the session of this request
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", security(("bearer" = [])), responses((status = 204, description = "Logged out"), (status = 401, body = super::Problem)))]
pub(super) async fn logout(State(app): State<Arc<App>>, person: Person) -> Result<StatusCode, ApiError> {
    app.auth.end_session(person.user, person.session).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Log out everywhere: end all one's sessions
#[utoipa::path(delete, path = "/api/v1/auth/sessions", tag = "auth", security(("bearer" = [])), responses((status = 204, description = "Logged out everywhere"), (status = 401, body = super::Problem)))]
pub(super) async fn logout_everywhere(State(app): State<Arc<App>>, person: Person) -> Result<StatusCode, ApiError> {
    app.auth.end_sessions(person.user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End one of one's sessions
#[utoipa::path(
    delete, path = "/api/v1/auth/sessions/{session_id}", tag = "auth", security(("bearer" = [])), params(("session_id" = Uuid, Path)),
    responses((status = 204, description = "Ended"), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn end_session(
    State(app): State<Arc<App>>,
    person: Person,
    Path(session): Path<SessionId>,
) -> Result<StatusCode, ApiError> {
    match app.auth.end_session(person.user, session).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(ApiError::not_found("session")),
    }
}

/// A password to be changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordChange {
    #[schema(value_type = String, format = Password)]
    current_password: SecretString,
    /// At least 12 characters.
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

/// Change one's password; all other sessions end
#[utoipa::path(
    post, path = "/api/v1/auth/password", tag = "auth", security(("bearer" = [])), request_body = PasswordChange,
    responses((status = 204, description = "Changed"), (status = 401, body = super::Problem), (status = 422, body = super::Problem), (status = 429, body = super::Problem)),
)]
pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    ClientIp(address): ClientIp,
    Person { user, session }: Person,
    Json(change): Json<PasswordChange>,
) -> Result<StatusCode, ApiError> {
    // Whoever found an open session must not guess its password either.
    let attempt = limits::login(&app.limits, address, &user.to_string()).await?;
    let (current, new) = (change.current_password.expose_secret(), change.new_password.expose_secret());
    app.auth.change_password(user, session, current, new).await?;
    attempt.forgive().await;
    Ok(StatusCode::NO_CONTENT)
}

/// A password to be set anew.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordReset {
    /// From an administrator.
    #[schema(value_type = String)]
    token: SecretString,
    /// At least 12 characters.
    #[schema(value_type = String, format = Password)]
    new_password: SecretString,
}

/// Set a new password with a token from an administrator; all sessions end
#[utoipa::path(
    post, path = "/api/v1/auth/password/reset", tag = "auth", request_body = PasswordReset,
    responses((status = 204, description = "Set"), (status = 401, body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn reset_password(
    State(app): State<Arc<App>>,
    _: Stranger,
    Json(reset): Json<PasswordReset>,
) -> Result<StatusCode, ApiError> {
    app.auth.reset_password(reset.token.expose_secret(), reset.new_password.expose_secret()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The acceptance of an invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Acceptance {
    /// From the invitation.
    #[schema(value_type = String)]
    token: SecretString,
    /// For a new account; for people.
    #[serde(default)]
    name: String,
    /// Of the account: its own when there is one, else one for the new account, with at least 12 characters.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// An invitation that was accepted.
#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    workspace_id: Uuid,
    /// For a new account, which is logged in at once.
    tokens: Option<Tokens>,
}

/// Accept an invitation into a workspace
#[utoipa::path(
    post, path = "/api/v1/auth/invitations/accept", tag = "auth", request_body = Acceptance,
    responses((status = 200, body = Accepted), (status = 401, body = super::Problem), (status = 422, body = super::Problem), (status = 429, body = super::Problem)),
)]
pub(super) async fn accept_invitation(
    State(app): State<Arc<App>>,
    ClientIp(address): ClientIp,
    RequestOrigin(origin): RequestOrigin,
    Json(it): Json<Acceptance>,
) -> Result<Body<Accepted>, ApiError> {
    let (token, password) = (it.token.expose_secret(), it.password.expose_secret());
    // Whoever found an invitation must not guess the password of its account.
    let attempt = limits::login(&app.limits, address, token).await?;
    let accepted = app.auth.accept_invitation(token, &it.name, password, origin).await?;
    attempt.forgive().await;
    Ok(Body(Accepted { workspace_id: accepted.workspace_id.0, tokens: accepted.logged_in.map(Into::into) }))
}

/// Public keys (RFC 7517).
#[derive(Serialize, ToSchema)]
pub(super) struct Jwks {
    keys: Vec<Jwk>,
}

/// The keys that verify access tokens
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth", responses((status = 200, body = Jwks)))]
pub(super) async fn jwks(State(app): State<Arc<App>>) -> Body<Jwks> {
    Body(Jwks { keys: app.auth.public_keys() })
}

impl From<auth::Error> for ApiError {
    fn from(error: auth::Error) -> Self {
        let detail = error.to_string();
        let unauthorized = |code: &str| Self::new(StatusCode::UNAUTHORIZED, code, detail.clone());
        match error {
            auth::Error::WrongCredentials => unauthorized("wrong_credentials"),
            auth::Error::InvalidToken => unauthorized("invalid_token"),
            auth::Error::InvalidRefreshToken => unauthorized("invalid_refresh_token"),
            auth::Error::RefreshTokenReused => unauthorized("refresh_token_reused"),
            auth::Error::InvalidKey(_) => unauthorized("invalid_key"),
            auth::Error::InvalidLink(_) => unauthorized("invalid_link"),
            auth::Error::InvalidVisit => unauthorized("invalid_visit"),
            auth::Error::Widget(WidgetRefusal::NoOrigin | WidgetRefusal::Origin(_)) => {
                Self::new(StatusCode::FORBIDDEN, "origin_not_allowed", detail)
            }
            auth::Error::Widget(WidgetRefusal::IdentityRequired) => unauthorized("identity_required"),
            auth::Error::Widget(WidgetRefusal::Identity(_)) => unauthorized("invalid_identity"),
            auth::Error::Invalid { pointer, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail.clone()).at(pointer, detail)
            }
            auth::Error::KeyOver(_) => Self::new(StatusCode::CONFLICT, "key_over", detail),
            auth::Error::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(1),
            auth::Error::Store(error) => error.into(),
            auth::Error::Secrets(error) => Self::internal(error),
            auth::Error::Internal(message) => Self::internal(message),
        }
    }
}
