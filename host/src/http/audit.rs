//! `/api/v1/audit` and `/api/v1/workspaces/{workspace_id}/audit`: who changed what.

use std::sync::Arc;

use axum::{
    Json as Body,
    body::{self, Bytes},
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use tributary_store::{AuditEvent, AuditFilter, AuditOutcome};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    ApiError,
    access::{InstanceAdmin, Tenant},
    dto::{List, limit},
    extract::Query,
};
use crate::app::App;

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only this actor's, such as `user:…` or `anonymous`.
    actor: Option<String>,
    /// Only actions that begin so, such as `DELETE`.
    action: Option<String>,
    /// From this moment on.
    since: Option<DateTime<Utc>>,
    /// Before this moment.
    until: Option<DateTime<Utc>>,
}

/// Where.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Where {
    /// Only this workspace's.
    workspace_id: Option<Uuid>,
}

/// Paging by number.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Numbered {
    /// `next_cursor` of the page before.
    cursor: Option<i64>,
    /// Items in a page, 1 to 100.
    limit: Option<u16>,
}

impl Which {
    fn filter(self, workspace: Option<Uuid>) -> Result<AuditFilter, ApiError> {
        let Self { actor, action, since, until } = self;
        if actor.iter().chain(&action).any(|text| text.contains('\0')) {
            let detail = "actor and action cannot hold U+0000 (NUL); remove it";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "invalid_query", detail));
        }
        Ok(AuditFilter { workspace: workspace.map(Into::into), actor, action, since, until })
    }
}

/// An event of the audit log.
#[derive(Serialize, ToSchema)]
pub(super) struct Event {
    /// Its number, from 1 and without gaps in the whole log.
    seq: i64,
    at: DateTime<Utc>,
    /// `user:…`, or `anonymous` for nobody known.
    actor: String,
    /// Method and path template.
    #[schema(example = "DELETE /api/v1/workspaces/{workspace_id}/sources/{source_id}")]
    action: String,
    workspace_id: Option<Uuid>,
    /// The other ids of the path, as `source_id=…`; empty when there are none.
    target: String,
    /// The client's address.
    from_ip: Option<String>,
    request_id: Option<String>,
    /// ok, denied (401, 403, 404) or failed.
    #[schema(value_type = String)]
    outcome: AuditOutcome,
    /// `{"status": 204}`, and more for some actions. A status of null: there was no answer, what was asked for may have happened.
    detail: serde_json::Value,
    /// SHA-256 of the event before.
    prev_hash: String,
    /// SHA-256 over `prev_hash` and this event.
    hash: String,
}

impl From<AuditEvent> for Event {
    fn from(event: AuditEvent) -> Self {
        Self {
            seq: event.seq,
            at: event.at,
            actor: event.actor,
            action: event.action,
            workspace_id: event.workspace_id.map(|id| id.0),
            target: event.target,
            from_ip: event.from_ip,
            request_id: event.request_id,
            outcome: event.outcome,
            detail: event.detail,
            prev_hash: event.prev_hash.to_string(),
            hash: event.hash.to_string(),
        }
    }
}

/// List events of the whole server, newest first
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", security(("bearer" = [])), params(Where, Which, Numbered),
    responses((status = 200, body = List<Event>), (status = 401, body = super::Problem), (status = 403, description = "Not an administrator of the server", body = super::Problem)),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Query(place): Query<Where>,
    Query(which): Query<Which>,
    Query(paging): Query<Numbered>,
) -> Result<Body<List<Event>>, ApiError> {
    let filter = which.filter(place.workspace_id)?;
    let page = app.audit.list(&filter, paging.cursor, limit(paging.limit)).await?;
    Ok(Body(List::of(page, |event| event.seq.to_string(), Into::into)))
}

/// List events of a workspace, newest first
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/audit", tag = "audit", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), Which, Numbered),
    responses((status = 200, body = List<Event>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn of_workspace(
    Tenant(tenant): Tenant,
    Query(which): Query<Which>,
    Query(paging): Query<Numbered>,
) -> Result<Body<List<Event>>, ApiError> {
    let page = tenant.list_audit(&which.filter(None)?, paging.cursor, limit(paging.limit)).await?;
    Ok(Body(List::of(page, |event| event.seq.to_string(), Into::into)))
}

/// Export events of the whole server, oldest first, one JSON object a line
#[utoipa::path(
    get, path = "/api/v1/audit/export", tag = "audit", security(("bearer" = [])), params(Where, Which),
    responses((status = 200, body = Event, content_type = "application/x-ndjson"), (status = 401, body = super::Problem), (status = 403, description = "Not an administrator of the server", body = super::Problem)),
)]
pub(super) async fn export(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Query(place): Query<Where>,
    Query(which): Query<Which>,
) -> Result<Response, ApiError> {
    let lines = app.audit.export(which.filter(place.workspace_id)?).map_err(std::io::Error::other).map(|event| {
        let mut line = serde_json::to_vec(&Event::from(event?))?;
        line.push(b'\n');
        Ok::<_, std::io::Error>(Bytes::from(line))
    });
    // What goes wrong half-way cuts the body off, so that nobody takes it for the whole.
    let lines = lines.inspect_err(|error| tracing::warn!(%error, "an export of the audit log broke off"));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], body::Body::from_stream(lines)).into_response())
}
