//! `/api/v1/workspaces/{workspace_id}/members` and `…/invitations`.

use std::sync::Arc;

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{
    UserId, WorkspaceId,
    access::{Power, Role},
    audience::Audience,
    principal::Principal,
};
use tributary_store::TenantDb;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::{Caller, Tenant, forbidden},
    dto::List,
    extract::{Json, Path},
};
use crate::app::App;

/// Somebody who belongs to a workspace.
#[derive(Serialize, ToSchema)]
pub(super) struct Member {
    user_id: Uuid,
    email: String,
    name: String,
    /// viewer, editor, admin or owner.
    #[schema(value_type = String)]
    role: Role,
    /// Which documents; empty: all of them.
    #[schema(value_type = Object)]
    audience: Audience,
    created_at: DateTime<Utc>,
}

/// List members
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/members", tag = "members", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = List<Member>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn list(Tenant(tenant): Tenant) -> Result<Body<List<Member>>, ApiError> {
    let members = tenant.members().await?.into_iter().map(|member| Member {
        user_id: member.user_id.0,
        email: member.email,
        name: member.name,
        role: member.role,
        audience: member.audience,
        created_at: member.created_at,
    });
    Ok(Body(List { items: members.collect(), next_cursor: None }))
}

/// What somebody is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Standing {
    /// viewer, editor, admin or owner.
    #[schema(value_type = String)]
    role: Role,
    /// `{"source_ids": […], "kinds": […], "field": {"name": …, "any_of": […]}}`; absent: all documents.
    #[serde(default)]
    #[schema(value_type = Object)]
    audience: Audience,
}

/// Make an account a member, or change what they are
#[utoipa::path(
    put, path = "/api/v1/workspaces/{workspace_id}/members/{user_id}", tag = "members", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("user_id" = Uuid, Path)), request_body = Standing,
    responses((status = 204, description = "Done"), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "The last owner", body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn put(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Tenant(tenant): Tenant,
    Path((_, user)): Path<(WorkspaceId, UserId)>,
    Json(standing): Json<Standing>,
) -> Result<StatusCode, ApiError> {
    not_above(&principal, &tenant, standing.role)?;
    let members = tenant.members().await?;
    match members.iter().find(|member| member.user_id == user) {
        Some(member) => not_above(&principal, &tenant, member.role)?,
        // An account of this server that does not belong here yet: only its administrators know who has one.
        None if !principal.instance_admin => return Err(ApiError::not_found("member")),
        None => {}
    }
    tenant.set_member(user, standing.role, &standing.audience, app.clock.now()).await?;
    app.auth.catch_up().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Remove a member
#[utoipa::path(
    delete, path = "/api/v1/workspaces/{workspace_id}/members/{user_id}", tag = "members", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("user_id" = Uuid, Path)),
    responses((status = 204, description = "Removed"), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "The last owner", body = super::Problem)),
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Tenant(tenant): Tenant,
    Path((_, user)): Path<(WorkspaceId, UserId)>,
) -> Result<StatusCode, ApiError> {
    let member = tenant.members().await?.into_iter().find(|member| member.user_id == user);
    not_above(&principal, &tenant, member.ok_or_else(|| ApiError::not_found("member"))?.role)?;
    tenant.remove_member(user).await?;
    app.auth.catch_up().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An invitation that stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Invitation {
    id: Uuid,
    email: String,
    #[schema(value_type = String)]
    role: Role,
    #[schema(value_type = Object)]
    audience: Audience,
    invited_by: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// For `POST /api/v1/auth/invitations/accept`; shown only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Invitation {
    fn new(it: tributary_store::Invitation, token: Option<String>) -> Self {
        Self {
            id: it.id,
            email: it.email,
            role: it.role,
            audience: it.audience,
            invited_by: it.invited_by,
            created_at: it.created_at,
            expires_at: it.expires_at,
            token,
        }
    }
}

/// Somebody to be invited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewInvitation {
    #[schema(example = "grace@example.com")]
    email: String,
    #[schema(value_type = String)]
    role: Role,
    #[serde(default)]
    #[schema(value_type = Object)]
    audience: Audience,
}

/// Invite somebody; bring them the token
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/invitations", tag = "members", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)), request_body = NewInvitation,
    responses((status = 201, body = Invitation), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn invite(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Tenant(tenant): Tenant,
    Json(new): Json<NewInvitation>,
) -> Result<(StatusCode, Body<Invitation>), ApiError> {
    not_above(&principal, &tenant, new.role)?;
    let by = principal.label();
    let (invitation, token) = app.auth.invite(&tenant, &new.email, new.role, new.audience, &by).await?;
    Ok((StatusCode::CREATED, Body(Invitation::new(invitation, Some(token)))))
}

/// List invitations that stand
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/invitations", tag = "members", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = List<Invitation>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn invitations(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
) -> Result<Body<List<Invitation>>, ApiError> {
    let invitations = tenant.invitations(app.clock.now()).await?;
    let items = invitations.into_iter().map(|invitation| Invitation::new(invitation, None)).collect();
    Ok(Body(List { items, next_cursor: None }))
}

/// Take an invitation back
#[utoipa::path(
    delete, path = "/api/v1/workspaces/{workspace_id}/invitations/{invitation_id}", tag = "members", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("invitation_id" = Uuid, Path)),
    responses((status = 204, description = "Taken back"), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn uninvite(
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, Uuid)>,
) -> Result<StatusCode, ApiError> {
    tenant.delete_invitation(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Nobody makes, changes or removes somebody above themselves.
fn not_above(principal: &Principal, tenant: &TenantDb, role: Role) -> Result<(), ApiError> {
    match principal.access(tenant.workspace_id()).map(|access| access.power) {
        Some(Power::Role(own)) if own >= role => Ok(()),
        _ => Err(forbidden(format!("only an owner may deal with the role {}", role.as_str()))),
    }
}
