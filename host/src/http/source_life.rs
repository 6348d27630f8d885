//! Restoring deleted sources, and copying sources to other workspaces.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use serde::Deserialize;
use tributary_core::{SourceId, WorkspaceId};
use utoipa::ToSchema;

use super::{
    ApiError,
    access::{Caller, Entrance, Tenant},
    dto::Source,
    extract::{Json, OptionalJson, Path},
};
use crate::app::App;

/// How to restore a source.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RestoreRequest {
    /// A new name, when another source has the old one by now.
    name: Option<String>,
}

/// Bring a deleted source back, with its documents and schedules
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/restore", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)), request_body = Option<RestoreRequest>,
    responses((status = 200, body = Source), (status = 401, body = super::Problem), (status = 404, description = "There never was such a source, or it was removed for good", body = super::Problem), (status = 409, description = "The source is not deleted, or its name is taken", body = super::Problem)),
)]
pub(super) async fn restore(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
    OptionalJson(request): OptionalJson<RestoreRequest>,
) -> Result<Body<Source>, ApiError> {
    Ok(Body(app.sources.restore(&tenant, id, request.name.as_deref()).await?.into()))
}

/// Where to copy a source to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CopyRequest {
    /// A workspace in which you may manage sources as well.
    to_workspace_id: String,
    /// The same when absent.
    name: Option<String>,
    /// Pause this source: the copy takes its place. Its documents stay.
    #[serde(default)]
    retire: bool,
}

/// Make a source of the same configuration in another workspace, paused; credentials and documents are not copied
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/copy", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)), request_body = CopyRequest,
    responses((status = 201, body = Source), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "The name is taken there, or documents are pushed into this source", body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn copy(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    entrance: Entrance,
    Caller(caller): Caller,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
    Json(request): Json<CopyRequest>,
) -> Result<(StatusCode, Body<Source>), ApiError> {
    let to = entrance.enter(&app, request.to_workspace_id.parse().ok()).await?;
    let copy = app.sources.copy(&tenant, id, &to, request.name.as_deref(), &caller, request.retire).await?;
    Ok((StatusCode::CREATED, Body(copy.into())))
}
