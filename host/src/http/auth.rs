//! `/api/v1/auth`: log in, who am I.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tributary_core::principal::Principal;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    extract::{Caller, Json},
};
use crate::{
    app::App,
    audit::Origin,
    auth::{self, ACCESS_TOKEN_LIFETIME},
};

/// Credentials.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    #[schema(example = "admin@localhost")]
    email: String,
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// An access token.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    /// Send it as `Authorization: Bearer …`.
    access_token: String,
    /// Always `Bearer`.
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
}

/// Log in
#[utoipa::path(
    post, path = "/api/v1/auth/login", tag = "auth", request_body = Login,
    responses((status = 200, body = Token), (status = 401, description = "Wrong credentials", body = super::Problem), (status = 503, description = "Too many log-ins at once", body = super::Problem)),
)]
pub(super) async fn login(
    State(app): State<Arc<App>>,
    origin: Origin,
    Json(login): Json<Login>,
) -> Result<Body<Token>, ApiError> {
    let entered = log_in(&app, &login).await;
    app.audit.log_in(&login.email, entered.as_ref().map(|(_, principal)| principal), origin).await;
    let (access_token, _) = entered?;
    Ok(Body(Token { access_token, token_type: "Bearer", expires_in: ACCESS_TOKEN_LIFETIME.as_secs() }))
}

async fn log_in(app: &App, login: &Login) -> Result<(String, Principal), auth::Error> {
    let token = app.auth.log_in(&login.email, login.password.expose_secret()).await?;
    let principal = app.auth.authenticate(&token).await?;
    Ok((token, principal))
}

/// The caller.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    id: Uuid,
    /// Administers this server.
    instance_admin: bool,
    /// Workspaces the caller belongs to.
    workspace_ids: Vec<Uuid>,
}

/// Who am I
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", security(("bearer" = [])), responses((status = 200, body = Me), (status = 401, body = super::Problem)))]
pub(super) async fn me(Caller(principal): Caller) -> Body<Me> {
    let Principal::User { id, instance_admin, workspaces } = principal;
    Body(Me { id: id.0, instance_admin, workspace_ids: workspaces.into_iter().map(|workspace| workspace.0).collect() })
}

impl From<auth::Error> for ApiError {
    fn from(error: auth::Error) -> Self {
        match error {
            auth::Error::WrongCredentials => {
                Self::new(StatusCode::UNAUTHORIZED, "wrong_credentials", error.to_string())
            }
            auth::Error::InvalidToken => Self::new(StatusCode::UNAUTHORIZED, "invalid_token", error.to_string()),
            auth::Error::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", error.to_string()).retry_after(1),
            auth::Error::Store(error) => error.into(),
            auth::Error::Secrets(error) => Self::internal(error),
            auth::Error::Internal(message) => Self::internal(message),
        }
    }
}
