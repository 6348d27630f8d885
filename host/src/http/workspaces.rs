//! `/api/v1/workspaces`.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{WorkspaceId, principal::Actor, workspace};
use tributary_store::{WorkspaceDeletion, WorkspaceUpdate};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::{Caller, Tenant},
    dto::{List, Paging},
    extract::{Json, Path, Query},
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
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    /// `system_prompt`, `answer_mode` (auto or extract), `top_k`, `language`, `refusal_text`, `purge_after_days`, `keep_versions`,
    /// `keep_versions_days`.
    #[schema(value_type = Object)]
    pub settings: workspace::Settings,
    /// `platform` (shopify, woocommerce, bigcommerce, magento or custom), `store_url`, `currency`, `locale`, `catalog_source_id`,
    /// `order_lookup_url`.
    #[schema(value_type = Option<Object>)]
    pub commerce: Option<workspace::Commerce>,
    /// Since when it can be read only.
    pub archived_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

impl From<workspace::Workspace> for Workspace {
    fn from(it: workspace::Workspace) -> Self {
        let workspace::Workspace { id, name, slug, settings, commerce, archived_at, created_at } = it;
        Self { id: id.0, name, slug, settings, commerce, archived_at, created_at }
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

/// What to change; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WorkspacePatch {
    name: Option<String>,
    /// All of them: those left out go back to the server's.
    #[schema(value_type = Option<Object>)]
    settings: Option<workspace::Settings>,
    /// Null removes it.
    #[serde(default, deserialize_with = "super::extract::present")]
    #[schema(value_type = Option<Object>)]
    commerce: Option<Option<workspace::Commerce>>,
}

/// Change a workspace's name, settings and commerce profile
#[utoipa::path(
    patch, path = "/api/v1/workspaces/{workspace_id}", tag = "workspaces", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)), request_body = WorkspacePatch,
    responses((status = 200, body = Workspace), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Json(patch): Json<WorkspacePatch>,
) -> Result<Body<Workspace>, ApiError> {
    let update = WorkspaceUpdate { name: patch.name, settings: patch.settings, commerce: patch.commerce };
    Ok(Body(app.workspaces.update(&tenant, update).await?.into()))
}

/// Put a workspace aside: it can be read, and nothing is asked, synced or changed in it
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/archive", tag = "workspaces", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn archive(State(app): State<Arc<App>>, Tenant(tenant): Tenant) -> Result<Body<Workspace>, ApiError> {
    tenant.archive_workspace(Some(app.clock.now())).await?;
    app.auth.catch_up().await?;
    Ok(Body(tenant.workspace().await?.into()))
}

/// Take an archived workspace up again
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/restore", tag = "workspaces", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn restore(State(app): State<Arc<App>>, Tenant(tenant): Tenant) -> Result<Body<Workspace>, ApiError> {
    tenant.archive_workspace(None).await?;
    app.auth.catch_up().await?;
    Ok(Body(tenant.workspace().await?.into()))
}

/// The deletion of a workspace.
#[derive(Serialize, ToSchema)]
pub(super) struct Deletion {
    workspace_id: Uuid,
    name: String,
    requested_by: String,
    requested_at: DateTime<Utc>,
    /// When nothing was left of it; null while it is being removed.
    finished_at: Option<DateTime<Utc>>,
}

impl From<WorkspaceDeletion> for Deletion {
    fn from(it: WorkspaceDeletion) -> Self {
        let WorkspaceDeletion { workspace_id, name, requested_by, requested_at, finished_at } = it;
        Self { workspace_id, name, requested_by, requested_at, finished_at }
    }
}

/// Delete a workspace with everything in it: it is hidden at once, and removed in the background
#[utoipa::path(
    delete, path = "/api/v1/workspaces/{workspace_id}", tag = "workspaces", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)),
    responses((status = 202, body = Deletion), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Tenant(tenant): Tenant,
) -> Result<(StatusCode, Body<Deletion>), ApiError> {
    let deletion = tenant.delete_workspace(&principal.label(), app.clock.now()).await?;
    app.auth.catch_up().await?;
    app.wake.jobs();
    Ok((StatusCode::ACCEPTED, Body(deletion.into())))
}

/// What became of a workspace that was to be deleted; for whoever asked for it, and for administrators
#[utoipa::path(
    get, path = "/api/v1/workspace-deletions/{workspace_id}", tag = "workspaces", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Deletion), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn deletion(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Path(id): Path<WorkspaceId>,
) -> Result<Body<Deletion>, ApiError> {
    let found = app.db.system().workspace_deletion(id).await?;
    let visible = found.filter(|it| principal.instance_admin || it.requested_by == principal.label());
    Ok(Body(visible.ok_or_else(|| ApiError::not_found("deletion"))?.into()))
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
