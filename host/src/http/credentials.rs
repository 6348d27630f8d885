//! `/api/v1/workspaces/{workspace_id}/credentials`: what connectors log in with. A value goes in and never comes out.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use tributary_core::{CredentialId, WorkspaceId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::Tenant,
    dto::{List, Paging},
    extract::{Json, Path, Query},
};
use crate::{
    app::App,
    secrets::{self, CredentialValue, InvalidCredential},
};

/// A credential to be kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredential {
    /// Unique in the workspace; it cannot be changed later.
    #[schema(example = "shop")]
    name: String,
    /// What it is: `api_key`, `oauth2`, `basic`, …
    #[schema(example = "basic")]
    kind: String,
    /// Fields with their secrets, at most 16 KiB as JSON. No answer ever holds them.
    #[serde(deserialize_with = "value")]
    #[schema(value_type = BTreeMap<String, String>, example = json!({ "user": "bot", "password": "…" }))]
    value: CredentialValue,
}

/// Another value for a credential.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CredentialUpdate {
    /// What it is: `api_key`, `oauth2`, `basic`, …
    kind: String,
    /// All fields with their secrets; those of before are gone.
    #[serde(deserialize_with = "value")]
    #[schema(value_type = BTreeMap<String, String>)]
    value: CredentialValue,
}

/// The library's own message would repeat what was sent.
fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CredentialValue, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Object(fields) => fields
            .into_iter()
            .map(|(field, secret)| match secret {
                serde_json::Value::String(secret) => Ok((field, secret.into())),
                _ => Err(D::Error::custom("a field of a value is a string")),
            })
            .collect::<Result<BTreeMap<_, _>, _>>(),
        _ => Err(D::Error::custom("a value is an object of strings")),
    }
}

/// A credential, without its value.
#[derive(Serialize, ToSchema)]
pub(super) struct Credential {
    id: Uuid,
    name: String,
    kind: String,
    /// The names of the value's fields.
    fields: Vec<String>,
    created_at: DateTime<Utc>,
    /// When the value was last replaced.
    updated_at: DateTime<Utc>,
    /// When a connector last used it.
    last_used_at: Option<DateTime<Utc>>,
}

impl From<tributary_store::Credential> for Credential {
    fn from(credential: tributary_store::Credential) -> Self {
        let tributary_store::Credential { id, name, kind, fields, created_at, updated_at, last_used_at } = credential;
        Self { id: id.0, name, kind, fields, created_at, updated_at, last_used_at }
    }
}

/// Keep a credential
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/credentials", tag = "credentials", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)), request_body = NewCredential,
    responses((status = 201, body = Credential), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "The name is taken", body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Json(new): Json<NewCredential>,
) -> Result<(StatusCode, Body<Credential>), ApiError> {
    let credential = app.credentials.create(&tenant, &new.name, &new.kind, &new.value).await?;
    Ok((StatusCode::CREATED, Body(credential.into())))
}

/// List credentials
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/credentials", tag = "credentials", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), Paging),
    responses((status = 200, body = List<Credential>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn list(
    Tenant(tenant): Tenant,
    Query(paging): Query<Paging>,
) -> Result<Body<List<Credential>>, ApiError> {
    let page = tenant.list_credentials(paging.cursor.map(CredentialId), paging.limit()).await?;
    Ok(Body(List::of(page, |credential| credential.id.to_string(), Into::into)))
}

/// Get a credential
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/credentials/{credential_id}", tag = "credentials", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("credential_id" = Uuid, Path)),
    responses((status = 200, body = Credential), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn get(
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, CredentialId)>,
) -> Result<Body<Credential>, ApiError> {
    Ok(Body(tenant.get_credential(id).await?.into()))
}

/// Replace the value of a credential
#[utoipa::path(
    put, path = "/api/v1/workspaces/{workspace_id}/credentials/{credential_id}", tag = "credentials", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("credential_id" = Uuid, Path)), request_body = CredentialUpdate,
    responses((status = 200, body = Credential), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn replace(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, CredentialId)>,
    Json(update): Json<CredentialUpdate>,
) -> Result<Body<Credential>, ApiError> {
    Ok(Body(app.credentials.replace(&tenant, id, &update.kind, &update.value).await?.into()))
}

/// Delete a credential
#[utoipa::path(
    delete, path = "/api/v1/workspaces/{workspace_id}/credentials/{credential_id}", tag = "credentials", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("credential_id" = Uuid, Path)),
    responses((status = 204, description = "Deleted"), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn delete(
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, CredentialId)>,
) -> Result<StatusCode, ApiError> {
    tenant.delete_credential(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<InvalidCredential> for ApiError {
    fn from(error: InvalidCredential) -> Self {
        let detail = error.to_string();
        match error {
            InvalidCredential::Invalid { pointer, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail.clone()).at(pointer, detail)
            }
            InvalidCredential::NameTaken(_) => {
                Self::new(StatusCode::CONFLICT, "name_taken", detail.clone()).at("/name", detail)
            }
            InvalidCredential::Secrets(secrets::Error::Store(error)) => error.into(),
            InvalidCredential::Secrets(error) => Self::internal(error),
        }
    }
}
