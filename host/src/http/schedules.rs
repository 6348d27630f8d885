//! Looking ahead in schedules, and pausing and resuming sources.

use std::sync::Arc;

use axum::{Json as Body, extract::State};
use chrono::{DateTime, FixedOffset, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{
    SourceId, WorkspaceId,
    schedule::{PastSlot, ScheduleKind, SlotOutcome, Start},
};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::{Caller, Tenant},
    dto::{List, ScheduleBody, Source},
    extract::{Json, Path},
};
use crate::{
    app::App,
    sources::{LocalTime, Outlook},
};

/// A moment that a schedule names.
#[derive(Serialize, ToSchema)]
pub(super) struct Slot {
    /// In UTC.
    slot: DateTime<Utc>,
    /// As a clock in the schedule's time zone shows it.
    local: DateTime<FixedOffset>,
}

/// Show the next ten moments of a schedule before saving it
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/schedule-preview", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)), request_body = ScheduleBody,
    responses((status = 200, body = List<Slot>), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 422, description = "A schedule that does not parse, never comes round, or comes more often than once a minute", body = super::Problem)),
)]
pub(super) async fn preview(
    State(app): State<Arc<App>>,
    Tenant(_): Tenant,
    Json(schedule): Json<ScheduleBody>,
) -> Result<Body<List<Slot>>, ApiError> {
    let slots = app.sources.preview(schedule.into())?;
    let items = slots.into_iter().map(|(slot, local)| Slot { slot, local }).collect();
    Ok(Body(List { items, next_cursor: None }))
}

/// A start to come.
#[derive(Serialize, ToSchema)]
pub(super) struct Upcoming {
    /// The moment the schedule names, in UTC.
    pub slot: DateTime<Utc>,
    /// The same as a clock in the schedule's time zone shows it.
    pub local: DateTime<FixedOffset>,
    /// When the sync starts: later by this source's share of the jitter.
    pub starts_at: DateTime<Utc>,
}

impl From<(Start, LocalTime)> for Upcoming {
    fn from((start, local): (Start, LocalTime)) -> Self {
        Self { slot: start.slot, local, starts_at: start.at }
    }
}

/// A schedule and where it stands.
#[derive(Serialize, ToSchema)]
pub(super) struct ScheduleView {
    pub schedule: ScheduleBody,
    /// The next ten; none while the source is paused.
    pub upcoming: Vec<Upcoming>,
    /// A moment that waits for the present run to end.
    pub queued: Option<DateTime<Utc>>,
}

impl From<Outlook> for ScheduleView {
    fn from(Outlook { scheduled, upcoming }: Outlook) -> Self {
        let queued = scheduled.queued_slot;
        Self { schedule: scheduled.schedule.into(), upcoming: upcoming.into_iter().map(Into::into).collect(), queued }
    }
}

/// What became of a moment.
#[derive(Serialize, ToSchema)]
pub(super) struct Past {
    /// sync or full.
    #[schema(value_type = String)]
    pub kind: ScheduleKind,
    pub slot: DateTime<Utc>,
    /// When it was dealt with.
    pub fired_at: DateTime<Utc>,
    /// started, queued (waits for the present run), skipped (the source was busy) or missed (longer ago than `catch_up`).
    #[schema(value_type = String)]
    pub outcome: SlotOutcome,
    /// The run it started.
    pub run_id: Option<Uuid>,
}

impl From<PastSlot> for Past {
    fn from(PastSlot { kind, slot, fired_at, outcome, run_id }: PastSlot) -> Self {
        Self { kind, slot, fired_at, outcome, run_id: run_id.map(|id| id.0) }
    }
}

/// A source's schedules, ahead and past.
#[derive(Serialize, ToSchema)]
pub(super) struct Schedules {
    pub schedule: Option<ScheduleView>,
    pub full_schedule: Option<ScheduleView>,
    /// The last twenty moments of both, newest first.
    pub past: Vec<Past>,
}

/// Show the next ten starts of a source's schedules, and what became of the last ones
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/schedule", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)),
    responses((status = 200, body = Schedules), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
) -> Result<Body<Schedules>, ApiError> {
    let (outlooks, past) = app.sources.outlook(&tenant, id).await?;
    let mut view = Schedules { schedule: None, full_schedule: None, past: past.into_iter().map(Into::into).collect() };
    for outlook in outlooks {
        match outlook.scheduled.kind {
            ScheduleKind::Sync => view.schedule = Some(outlook.into()),
            ScheduleKind::Full => view.full_schedule = Some(outlook.into()),
        }
    }
    Ok(Body(view))
}

/// Why to pause.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseRequest {
    /// For whoever finds it paused; 1 to 500 characters.
    #[schema(example = "The shop moves to another server until Friday")]
    pub note: String,
}

/// Pause a source: its schedules wait; syncs by hand go on
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/pause", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)), request_body = PauseRequest,
    responses((status = 200, body = Source), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "Documents are pushed into this source", body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
    Json(request): Json<PauseRequest>,
) -> Result<Body<Source>, ApiError> {
    Ok(Body(app.sources.pause(&tenant, id, &principal, &request.note).await?.into()))
}

/// Resume a source: its schedules go on from now
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/resume", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path)),
    responses((status = 200, body = Source), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "Documents are pushed into this source", body = super::Problem), (status = 422, description = "A schedule that cannot be computed any more", body = super::Problem)),
)]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, SourceId)>,
) -> Result<Body<Source>, ApiError> {
    Ok(Body(app.sources.resume(&tenant, id).await?.into()))
}
