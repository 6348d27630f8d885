//! `/api/v1/workspaces/{workspace_id}/sources`.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tributary_core::{RunId, SourceId, WorkspaceId, run::Trigger};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    ApiError,
    access::{Caller, Tenant},
    dto::{List, Paging, ScheduleBody, Source},
    extract::{Json, OptionalJson, Path, Query},
};
use crate::{
    app::App,
    sources::{self, Draft, Patch, Wish},
};

/// A source to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSource {
    #[schema(example = "Handbook")]
    name: String,
    /// `GET /api/v1/connectors` lists them.
    #[schema(example = "file")]
    connector: String,
    /// As the connector's `config_schema` says.
    #[schema(example = json!({"root": "docs", "include": ["**/*.md"]}))]
    config: serde_json::Value,
    schedule: Option<ScheduleBody>,
    /// When everything is read again; the busy source is waited for unless `overlap` says otherwise.
    full_schedule: Option<ScheduleBody>,
    /// So many failed runs in a row pause the source; 5 when absent, 0 for never.
    pause_after_failures: Option<i64>,
}

/// What to change; a field left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SourcePatch {
    name: Option<String>,
    /// The whole configuration.
    config: Option<serde_json::Value>,
    /// Null removes the schedule.
    #[serde(default, deserialize_with = "super::extract::present")]
    #[schema(value_type = Option<ScheduleBody>)]
    schedule: Option<Option<ScheduleBody>>,
    /// Null removes it.
    #[serde(default, deserialize_with = "super::extract::present")]
    #[schema(value_type = Option<ScheduleBody>)]
    full_schedule: Option<Option<ScheduleBody>>,
    /// 0 for never.
    pause_after_failures: Option<i64>,
}

/// Make a source
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)), request_body = NewSource,
    responses((status = 201, body = Source), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "The name is taken", body = super::Problem), (status = 422, description = "Unknown connector, a configuration that does not fit, a root that is not granted, a schedule that does not parse", body = super::Problem)),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Json(new): Json<NewSource>,
) -> Result<(StatusCode, Body<Source>), ApiError> {
    let draft = Draft {
        name: new.name,
        connector: new.connector,
        config: new.config,
        schedule: new.schedule.map(Into::into),
        full_schedule: new.full_schedule.map(Into::into),
        pause_after_failures: new.pause_after_failures,
    };
    let source = app.sources.create(&tenant, draft).await?;
    Ok((StatusCode::CREATED, Body(source.into())))
}

/// Which sources.
#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SourcesQuery {
    /// Those that are deleted and can be restored, instead of those that are there.
    deleted: Option<bool>,
}

/// List sources
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), SourcesQuery, Paging),
    responses((status = 200, body = List<Source>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn list(
    Tenant(tenant): Tenant,
    Query(query): Query<SourcesQuery>,
    Query(paging): Query<Paging>,
) -> Result<Body<List<Source>>, ApiError> {
    if query.deleted == Some(true) {
        let days = tenant.workspace().await?.settings.purge_after_days();
        let page = tenant.list_deleted_sources(paging.cursor.map(SourceId), paging.limit()).await?;
        return Ok(Body(List::of(page, |it| it.source.id.to_string(), |it| Source::deleted(it, days))));
    }
    let page = tenant.list_sources(paging.cursor.map(SourceId), paging.limit()).await?;
    Ok(Body(List::of(page, |source| source.source.id.to_string(), Into::into)))
}

/// Get a source
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)),
    responses((status = 200, body = Source), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn get(
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
) -> Result<Body<Source>, ApiError> {
    let source = tenant.find_source_with_run(id).await?.ok_or_else(|| ApiError::not_found("source"))?;
    Ok(Body(source.into()))
}

/// Change a source
#[utoipa::path(
    patch, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)), request_body = SourcePatch,
    responses((status = 200, body = Source), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn update(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
    Json(patch): Json<SourcePatch>,
) -> Result<Body<Source>, ApiError> {
    let patch = Patch {
        name: patch.name,
        config: patch.config,
        schedule: patch.schedule.map(|schedule| schedule.map(Into::into)),
        full_schedule: patch.full_schedule.map(|schedule| schedule.map(Into::into)),
        pause_after_failures: patch.pause_after_failures,
    };
    Ok(Body(app.sources.update(&tenant, id, patch).await?.into()))
}

/// How to delete a source.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// Remove it for good now, without waiting until its time has come. Also takes a source that was deleted before.
    purge: Option<bool>,
}

/// Delete a source; its documents disappear at once, and it can be restored until it is removed for good
#[utoipa::path(
    delete, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), DeleteQuery),
    responses((status = 204, description = "Deleted"), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Caller(caller): Caller,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, ApiError> {
    app.sources.delete(&tenant, id, &caller, query.purge.unwrap_or_default()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One checked thing.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckItem {
    /// What was checked.
    name: String,
    /// ok, warning or failed.
    #[schema(value_type = String)]
    status: tributary_core::contract::CheckStatus,
    /// What to do.
    message: Option<String>,
    /// JSON pointer into the source, such as `/config/root`.
    pointer: Option<String>,
}

/// Check a source's configuration against the world
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/check", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)),
    responses((status = 200, body = List<CheckItem>), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn check(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
) -> Result<Body<List<CheckItem>>, ApiError> {
    let items = app.sources.check(&tenant, id).await?.into_iter();
    let items = items
        .map(|item| CheckItem {
            name: item.name,
            status: item.status,
            message: item.message,
            pointer: item.config_pointer.map(|pointer| format!("/config{pointer}")),
        })
        .collect();
    Ok(Body(List { items, next_cursor: None }))
}

/// How to sync.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SyncRequest {
    /// Read everything again.
    pub full: bool,
    /// Delete what is gone even when the deletion guard would hold it.
    pub accept_deletions: bool,
    /// Record what the connector is told and answers, for `…/runs/{run_id}/recording`.
    pub record: bool,
}

/// A run that was asked for.
#[derive(Serialize, ToSchema)]
pub(super) struct Queued {
    pub run_id: Uuid,
    /// Always `queued`.
    pub status: &'static str,
}

impl Queued {
    pub(super) fn new(run_id: RunId) -> Self {
        Self { run_id: run_id.0, status: "queued" }
    }
}

/// Sync now
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/sync", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)), request_body = Option<SyncRequest>,
    responses((status = 202, body = Queued), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "Already running; `run_id` names the run", body = super::Problem)),
)]
pub(super) async fn sync(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
    OptionalJson(request): OptionalJson<SyncRequest>,
) -> Result<(StatusCode, Body<Queued>), ApiError> {
    let SyncRequest { full, accept_deletions, record } = request;
    let run_id = app.sources.sync(&tenant, id, Wish { full, accept_deletions, record }, Trigger::Api).await?;
    Ok((StatusCode::ACCEPTED, Body(Queued::new(run_id))))
}

impl From<sources::Error> for ApiError {
    fn from(error: sources::Error) -> Self {
        let detail = error.to_string();
        let unprocessable = |code: &str, pointer: &str| {
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail.clone()).at(pointer, detail.clone())
        };
        match error {
            sources::Error::UnknownConnector { .. } => unprocessable("unknown_connector", "/connector"),
            sources::Error::InvalidConfig { faults, .. } => {
                let summary =
                    faults.first().map_or_else(String::new, |(pointer, detail)| format!(": {detail} (at {pointer})"));
                let error = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_config", format!("{detail}{summary}"));
                faults.into_iter().fold(error, |error, (pointer, detail)| error.at(pointer, detail))
            }
            sources::Error::RootNotGranted { pointer, message } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "root_not_granted", message.clone()).at(pointer, message)
            }
            sources::Error::InvalidSchedule { pointer, .. } => unprocessable("invalid_schedule", &pointer),
            sources::Error::Invalid { pointer, .. } => unprocessable("invalid_body", pointer),
            sources::Error::NameTaken(_) => {
                Self::new(StatusCode::CONFLICT, "name_taken", detail.clone()).at("/name", detail)
            }
            sources::Error::NothingToChoose(_) => unprocessable("browse_unsupported", "/pointer"),
            sources::Error::Quarantined(_) => Self::new(StatusCode::CONFLICT, "connector_quarantined", detail),
            sources::Error::NotDeleted => Self::new(StatusCode::CONFLICT, "not_deleted", detail),
            sources::Error::NothingToCopy => Self::new(StatusCode::CONFLICT, "nothing_to_copy", detail),
            sources::Error::NothingToSync => Self::new(StatusCode::CONFLICT, "nothing_to_sync", detail),
            sources::Error::Store(error) => error.into(),
            sources::Error::Internal(error) => Self::internal(format!("{error:#}")),
        }
    }
}
