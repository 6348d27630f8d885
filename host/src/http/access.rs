//! What each route is for, and whether the caller may.
//!
//! Routes of a workspace are registered under an [`Action`] with [`may`]. Only through it does a handler come to a workspace: a route
//! without an action reaches nothing.

use std::sync::Arc;

use axum::{
    Extension,
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
};
use serde_json::json;
use tributary_core::{
    SessionId, UserId, WorkspaceId,
    access::{Action, Power},
    principal::{Actor, Principal},
};
use tributary_store::TenantDb;
use utoipa::openapi::{Content, Ref, ResponseBuilder, extensions::ExtensionsBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::{extract::unauthenticated, problem::ApiError};
use crate::app::App;

/// The OpenAPI extension that names an operation's action.
const EXTENSION: &str = "x-action";

/// What a route is for.
#[derive(Clone, Copy, Debug)]
struct Purpose(Action);

/// These routes are for `action`, in the workspace that the path or the body names.
pub(super) fn may(action: Action, mut routes: OpenApiRouter<Arc<App>>) -> OpenApiRouter<Arc<App>> {
    for path in routes.get_openapi_mut().paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
        for operation in operations.into_iter().flatten() {
            operation.extensions = Some(ExtensionsBuilder::new().add(EXTENSION, json!(action)).build());
            let problem = Ref::from_schema_name("Problem");
            let refusal = ResponseBuilder::new()
                .description("The caller's role or scopes do not allow it")
                .content("application/problem+json", Content::new(Some(problem)));
            operation.responses.responses.insert("403".to_owned(), refusal.build().into());
        }
    }
    routes.route_layer(for_action(action))
}

/// Tells [`Entrance`] what a route is for. For routes whose callers come in another way than those of [`may`].
pub(super) fn for_action(action: Action) -> Extension<impl Clone + Send + Sync + 'static> {
    Extension(Purpose(action))
}

/// The verified caller. Put into the request by [`super::require_login`].
#[derive(Clone, Debug)]
pub(super) struct Caller(pub Arc<Principal>);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

/// A caller that is a person, with the session they came with.
pub(super) struct Person {
    pub user: UserId,
    pub session: SessionId,
}

impl<S: Sync> FromRequestParts<S> for Person {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Caller(principal) = Caller::from_request_parts(parts, state).await?;
        match principal.actor {
            Actor::User { id, session } => Ok(Self { user: id, session }),
            _ => Err(forbidden("this is for people: log in instead of sending an API key".to_owned())),
        }
    }
}

/// A caller who administers the instance.
pub(super) struct InstanceAdmin(pub Arc<Principal>);

impl<S: Sync> FromRequestParts<S> for InstanceAdmin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Caller(principal) = Caller::from_request_parts(parts, state).await?;
        if !principal.instance_admin {
            return Err(forbidden("only an administrator of this server may do this".to_owned()));
        }
        Ok(Self(principal))
    }
}

impl Caller {
    /// Refuses what needs more than the route itself does.
    pub(super) fn may_also(&self, tenant: &TenantDb, action: Action) -> Result<(), ApiError> {
        let access = self.0.access(tenant.workspace_id()).ok_or_else(|| ApiError::not_found("workspace"))?;
        if access.power.allows(action) { Ok(()) } else { Err(forbidden(needed(&access.power, action))) }
    }
}

/// A caller on the way to a workspace that the body or the query names.
pub(super) struct Entrance {
    pub principal: Arc<Principal>,
    action: Action,
}

impl<S: Sync> FromRequestParts<S> for Entrance {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Caller(principal) = Caller::from_request_parts(parts, state).await?;
        let purpose = parts.extensions.get::<Purpose>();
        let Purpose(action) = *purpose.ok_or_else(|| ApiError::internal("this route names no action"))?;
        Ok(Self { principal, action })
    }
}

impl Entrance {
    /// Enters a workspace as the caller. Another's workspace answers like one that never existed.
    pub(super) async fn enter(&self, app: &App, id: Option<WorkspaceId>) -> Result<TenantDb, ApiError> {
        let no_such = || ApiError::not_found("workspace");
        let id = id.ok_or_else(no_such)?;
        let tenant = app.db.tenant(&self.principal, id).await?.ok_or_else(no_such)?;
        let access = self.principal.access(id).ok_or_else(no_such)?;
        if !access.power.allows(self.action) {
            return Err(forbidden(needed(&access.power, self.action)));
        }
        if self.action.needs_all_documents() && !tenant.audience().is_everything() {
            let detail = "your access is limited to some documents of this workspace, and this concerns all of it";
            return Err(forbidden(detail.to_owned()));
        }
        if tenant.is_archived() && !self.action.in_archive() {
            let detail = "this workspace is archived: it can be read, and nothing else; restore it first";
            return Err(ApiError::new(StatusCode::CONFLICT, "workspace_archived", detail));
        }
        Ok(tenant)
    }
}

/// The workspace named in the path, entered as the caller.
pub(super) struct Tenant(pub TenantDb);

impl FromRequestParts<Arc<App>> for Tenant {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let entrance = Entrance::from_request_parts(parts, app).await?;
        let params =
            RawPathParams::from_request_parts(parts, app).await.map_err(|_| ApiError::not_found("workspace"))?;
        let id = params.iter().find(|(name, _)| *name == "workspace_id").and_then(|(_, value)| value.parse().ok());
        entrance.enter(app, id).await.map(Self)
    }
}

fn needed(power: &Power, action: Action) -> String {
    let rule = action.rule();
    match (power, rule.scope) {
        (Power::Role(role), _) => format!(
            "this needs the role {} in this workspace, and yours is {}; ask one of its admins",
            rule.role.as_str(),
            role.as_str()
        ),
        (Power::Scopes(_), Some(scope)) => {
            let scope = serde_json::to_value(scope).unwrap_or_default();
            format!("this needs a key with the scope {}", scope.as_str().unwrap_or_default())
        }
        (Power::Visitor, _) => "visitors chat and read their own conversation, nothing else".to_owned(),
        (Power::Scopes(_), None) => "no API key may do this: a person has to log in".to_owned(),
    }
}

pub(super) fn forbidden(detail: String) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", detail)
}
