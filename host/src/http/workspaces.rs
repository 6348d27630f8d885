//! `/api/v1/workspaces`.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{WorkspaceId, principal::Actor, workspace};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::{Caller, Tenant},
    dto::{List, Paging},
    extract::{Json, Query},
};
use crate::{app::App, workspaces};

/// A workspace to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWorkspace {
    #[schema(example = "Winter Shop")]
    name: String,
    /// Made from the name when absent.
    slug: Option<String>,
}

/// A workspace.
#[derive(Serialize, ToSchema)]
pub(super) struct Workspace {
    id: Uuid,
    name: String,
    slug: String,
    created_at: DateTime<Utc>,
}

impl From<workspace::Workspace> for Workspace {
    fn from(workspace::Workspace { id, name, slug, created_at }: workspace::Workspace) -> Self {
        Self { id: id.0, name, slug, created_at }
    }
}

/// Make a workspace
#[utoipa::path(
    post, path = "/api/v1/workspaces", tag = "workspaces", security(("bearer" = [])), request_body = NewWorkspace,
    responses((status = 201, body = Workspace), (status = 401, body = super::Problem), (status = 403, body = super::Problem), (status = 409, description = "The slug is taken", body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Json(new): Json<NewWorkspace>,
) -> Result<(StatusCode, Body<Workspace>), ApiError> {
    let workspace = app.workspaces.create(&principal, &new.name, new.slug.as_deref()).await?;
    if let Actor::User { id, .. } = principal.actor {
        app.auth.found(id, workspace.id).await?;
    }
    Ok((StatusCode::CREATED, Body(workspace.into())))
}

/// List workspaces
#[utoipa::path(get, path = "/api/v1/workspaces", tag = "workspaces", security(("bearer" = [])), params(Paging), responses((status = 200, body = List<Workspace>), (status = 401, body = super::Problem)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Query(paging): Query<Paging>,
) -> Result<Body<List<Workspace>>, ApiError> {
    let page = app.workspaces.list(&principal, paging.cursor.map(WorkspaceId), paging.limit()).await?;
    Ok(Body(List::of(page, |workspace| workspace.id.to_string(), Into::into)))
}

/// Get a workspace
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}", tag = "workspaces", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn get(Tenant(tenant): Tenant) -> Result<Body<Workspace>, ApiError> {
    Ok(Body(tenant.workspace().await?.into()))
}

impl From<workspaces::Error> for ApiError {
    fn from(error: workspaces::Error) -> Self {
        let detail = error.to_string();
        match error {
            workspaces::Error::Invalid { pointer, .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail.clone()).at(pointer, detail)
            }
            workspaces::Error::Forbidden => Self::new(StatusCode::FORBIDDEN, "forbidden", detail),
            workspaces::Error::SlugTaken(_) => {
                Self::new(StatusCode::CONFLICT, "slug_taken", detail.clone()).at("/slug", detail)
            }
            workspaces::Error::Store(error) => error.into(),
        }
    }
}
