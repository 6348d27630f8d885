//! `/api/v1/users`: accounts, for administrators of the instance.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tributary_core::UserId;
use tributary_store::UserUpdate;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::InstanceAdmin,
    dto::{List, Paging},
    extract::{Json, Path, Query},
};
use crate::{app::App, auth::NewAccount};

/// An account.
#[derive(Serialize, ToSchema)]
pub(super) struct User {
    id: Uuid,
    email: String,
    name: String,
    /// Administers this server.
    instance_admin: bool,
    /// May log in.
    active: bool,
    created_at: DateTime<Utc>,
}

impl From<tributary_store::User> for User {
    fn from(user: tributary_store::User) -> Self {
        Self {
            id: user.id.0,
            email: user.email,
            name: user.name,
            instance_admin: user.instance_admin,
            active: user.deactivated_at.is_none(),
            created_at: user.created_at,
        }
    }
}

/// An account to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    #[schema(example = "ada@example.com")]
    email: String,
    #[serde(default)]
    name: String,
    /// At least 12 characters.
    #[schema(value_type = String, format = Password)]
    password: SecretString,
    #[serde(default)]
    instance_admin: bool,
}

/// Make an account
#[utoipa::path(
    post, path = "/api/v1/users", tag = "users", security(("bearer" = [])), request_body = NewUser,
    responses((status = 201, body = User), (status = 401, body = super::Problem), (status = 403, body = super::Problem), (status = 409, description = "The address is taken", body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Json(new): Json<NewUser>,
) -> Result<(StatusCode, Body<User>), ApiError> {
    let password = new.password.expose_secret().to_owned();
    let account = NewAccount { email: new.email, name: new.name, password, instance_admin: new.instance_admin };
    Ok((StatusCode::CREATED, Body(app.auth.create_account(account).await?.into())))
}

/// List accounts
#[utoipa::path(get, path = "/api/v1/users", tag = "users", security(("bearer" = [])), params(Paging), responses((status = 200, body = List<User>), (status = 401, body = super::Problem), (status = 403, body = super::Problem)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Query(paging): Query<Paging>,
) -> Result<Body<List<User>>, ApiError> {
    let page = app.db.system().list_users(paging.cursor.map(UserId), paging.limit()).await?;
    Ok(Body(List::of(page, |user| user.id.to_string(), Into::into)))
}

/// Get an account
#[utoipa::path(
    get, path = "/api/v1/users/{user_id}", tag = "users", security(("bearer" = [])), params(("user_id" = Uuid, Path)),
    responses((status = 200, body = User), (status = 401, body = super::Problem), (status = 403, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Path(id): Path<UserId>,
) -> Result<Body<User>, ApiError> {
    let user = app.db.system().find_user(id).await?.ok_or_else(|| ApiError::not_found("user"))?;
    Ok(Body(user.into()))
}

/// What to change of an account; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserPatch {
    name: Option<String>,
    instance_admin: Option<bool>,
    /// False ends every session at once, and nobody can log in until it is true again.
    active: Option<bool>,
}

/// Change, deactivate or reactivate an account
#[utoipa::path(
    patch, path = "/api/v1/users/{user_id}", tag = "users", security(("bearer" = [])), params(("user_id" = Uuid, Path)), request_body = UserPatch,
    responses((status = 200, body = User), (status = 401, body = super::Problem), (status = 403, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "The last administrator", body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Path(id): Path<UserId>,
    Json(patch): Json<UserPatch>,
) -> Result<Body<User>, ApiError> {
    let update = UserUpdate { name: patch.name, instance_admin: patch.instance_admin, active: patch.active };
    Ok(Body(app.auth.update_account(id, update).await?.into()))
}

/// A way to set a new password.
#[derive(Serialize, ToSchema)]
pub(super) struct ResetToken {
    /// For `POST /api/v1/auth/password/reset`, once; shown only here.
    token: String,
    expires_at: DateTime<Utc>,
}

/// Make a token with which somebody can set a new password
#[utoipa::path(
    post, path = "/api/v1/users/{user_id}/password-reset", tag = "users", security(("bearer" = [])), params(("user_id" = Uuid, Path)),
    responses((status = 201, body = ResetToken), (status = 401, body = super::Problem), (status = 403, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn reset_password(
    State(app): State<Arc<App>>,
    InstanceAdmin(principal): InstanceAdmin,
    Path(id): Path<UserId>,
) -> Result<(StatusCode, Body<ResetToken>), ApiError> {
    let (token, expires_at) = app.auth.create_password_reset(id, &principal.label()).await?;
    Ok((StatusCode::CREATED, Body(ResetToken { token, expires_at })))
}

/// A signing key.
#[derive(Serialize, ToSchema)]
pub(super) struct SigningKey {
    /// Its name in tokens and at `/.well-known/jwks.json`.
    kid: String,
}

/// Sign access tokens with a new key; those signed before stay valid to their end
#[utoipa::path(post, path = "/api/v1/auth/signing-keys/rotate", tag = "auth", security(("bearer" = [])), responses((status = 201, body = SigningKey), (status = 401, body = super::Problem), (status = 403, body = super::Problem)))]
pub(super) async fn rotate_signing_key(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
) -> Result<(StatusCode, Body<SigningKey>), ApiError> {
    Ok((StatusCode::CREATED, Body(SigningKey { kid: app.auth.rotate_signing_key().await? })))
}
