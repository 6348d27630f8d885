//! `/api/v1/workspaces/{workspace_id}/keys`: API keys for servers, widget keys for pages.

use std::{collections::BTreeSet, sync::Arc};

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tributary_core::{KeyId, WorkspaceId, access::Scope, audience::Audience, principal::KeyLimits, widget::Identity};
use tributary_store::ApiKey;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    ApiError,
    access::{Caller, Tenant},
    dto::List,
    extract::{Json, OptionalJson, Path, Query},
};
use crate::{
    app::App,
    auth::{self, MadeKey, NewWidget},
};

/// An API key.
#[derive(Serialize, ToSchema)]
pub(super) struct Key {
    id: Uuid,
    name: String,
    /// The last characters of the key, to tell keys apart.
    last4: String,
    /// chat, knowledge:read, documents:write, sources:manage, webhooks:manage, admin; none for a widget key.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<Scope>,
    /// What makes it a widget key.
    #[serde(skip_serializing_if = "Option::is_none")]
    widget: Option<WidgetBody>,
    /// Which documents; empty: all of them.
    #[schema(value_type = Object)]
    audience: Audience,
    /// `requests_per_minute` (600 when absent), `requests_per_day`, `requests_per_month`, `tokens_per_day`, `tokens_per_month`.
    #[schema(value_type = Object)]
    limits: KeyLimits,
    created_by: String,
    created_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    /// The key it was made to replace.
    replaces: Option<Uuid>,
    revoked_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    /// The key itself: send it as `Authorization: Bearer …`, or put a widget key into the page. Shown only when it is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// What the site's server signs its visitors' identities with. Shown only when the key is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_secret: Option<String>,
}

/// What makes a key one for widgets.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WidgetBody {
    /// Where pages may use it, letter for letter: 1 to 50.
    #[schema(example = json!(["https://shop.example"]))]
    origins: Vec<String>,
    /// What one visitor may ask for, as `limits`; 20 requests a minute, 200 a day and 100,000 tokens a day when absent.
    #[serde(default)]
    #[schema(value_type = Object)]
    visitor_limits: KeyLimits,
    /// Whether the site says, signed, who its visitors are: none, optional or required.
    #[serde(default)]
    #[schema(value_type = String)]
    identity: Identity,
}

impl Key {
    fn new(key: ApiKey) -> Self {
        Self {
            id: key.id.0,
            name: key.name,
            last4: key.last4,
            scopes: key.scopes,
            widget: key.widget.map(|it| WidgetBody {
                origins: it.origins,
                visitor_limits: it.visitor_limits,
                identity: it.identity,
            }),
            audience: key.audience,
            limits: key.limits,
            created_by: key.created_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            replaces: key.replaces.map(|id| id.0),
            revoked_at: key.revoked_at,
            last_used_at: key.last_used_at,
            key: None,
            identity_secret: None,
        }
    }
}

impl From<MadeKey> for Key {
    fn from(made: MadeKey) -> Self {
        let identity_secret = made.identity_secret.map(|secret| secret.expose_secret().to_owned());
        Self { key: Some(made.secret.expose().to_owned()), identity_secret, ..Self::new(made.key) }
    }
}

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    #[schema(example = "Shop backend")]
    name: String,
    /// At least one; none for a widget key, whose visitors chat.
    #[serde(default)]
    #[schema(value_type = Vec<String>, example = json!(["chat", "knowledge:read"]))]
    scopes: BTreeSet<Scope>,
    /// Makes it a widget key: public, for pages of these origins.
    widget: Option<WidgetBody>,
    /// `{"source_ids": […], "kinds": […], "field": {"name": …, "any_of": […]}}`; absent: all documents. A widget key must have one.
    #[serde(default)]
    #[schema(value_type = Object)]
    audience: Audience,
    /// `requests_per_minute` (600 when absent), `requests_per_day`, `requests_per_month`, `tokens_per_day`, `tokens_per_month`.
    /// Of a widget key with all its visitors: 300 a minute, 20,000 a day and 5,000,000 tokens a day when absent.
    #[serde(default)]
    #[schema(value_type = Object)]
    limits: KeyLimits,
    expires_at: Option<DateTime<Utc>>,
}

/// Make an API key or a widget key
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/keys", tag = "keys", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)), request_body = NewKey,
    responses((status = 201, body = Key), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Tenant(tenant): Tenant,
    Json(new): Json<NewKey>,
) -> Result<(StatusCode, Body<Key>), ApiError> {
    let widget = new.widget.map(|WidgetBody { origins, visitor_limits, identity }| NewWidget {
        origins,
        visitor_limits,
        identity,
    });
    let NewKey { name, scopes, audience, limits, expires_at, .. } = new;
    let new = auth::NewKey { name, scopes, widget, audience, limits, expires_at };
    let made = app.auth.make_key(&tenant, new, principal.label()).await?;
    Ok((StatusCode::CREATED, Body(made.into())))
}

/// List API keys, newest first
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/keys", tag = "keys", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = List<Key>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn list(Tenant(tenant): Tenant) -> Result<Body<List<Key>>, ApiError> {
    let items = tenant.api_keys().await?.into_iter().map(Key::new).collect();
    Ok(Body(List { items, next_cursor: None }))
}

/// How to rotate.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rotation {
    /// Seconds for which the key before goes on, 0 to 30 days; a day when absent.
    overlap_s: Option<i64>,
}

/// Replace an API key by a new one with the same rights; the old one goes on for a while
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/keys/{key_id}/rotate", tag = "keys", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("key_id" = Uuid, Path)), request_body = Option<Rotation>,
    responses((status = 201, body = Key), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "It is revoked, expired or replaced already", body = super::Problem)),
)]
pub(super) async fn rotate(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, KeyId)>,
    OptionalJson(rotation): OptionalJson<Rotation>,
) -> Result<(StatusCode, Body<Key>), ApiError> {
    let made = app.auth.rotate_key(&tenant, id, rotation.overlap_s, principal.label()).await?;
    Ok((StatusCode::CREATED, Body(made.into())))
}

/// Revoke an API key at once
#[utoipa::path(
    delete, path = "/api/v1/workspaces/{workspace_id}/keys/{key_id}", tag = "keys", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("key_id" = Uuid, Path)),
    responses((status = 204, description = "Revoked"), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, KeyId)>,
) -> Result<StatusCode, ApiError> {
    app.auth.revoke_key(&tenant, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// From when on.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageQuery {
    /// The first day, such as 2026-11-01; 30 days ago when absent.
    since: Option<chrono::NaiveDate>,
}

/// What a key was used for on one day.
#[derive(Serialize, ToSchema)]
pub(super) struct Usage {
    /// UTC.
    #[schema(example = "2026-11-23")]
    day: String,
    requests: i64,
    /// Of a language model.
    tokens: i64,
}

/// What an API key was used for, day by day
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/keys/{key_id}/usage", tag = "keys", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("key_id" = Uuid, Path), UsageQuery),
    responses((status = 200, body = List<Usage>), (status = 401, body = super::Problem), (status = 404, body = super::Problem)),
)]
pub(super) async fn usage(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, KeyId)>,
    Query(query): Query<UsageQuery>,
) -> Result<Body<List<Usage>>, ApiError> {
    tenant.api_key(id).await?;
    let since = query.since.unwrap_or_else(|| (app.clock.now() - TimeDelta::days(30)).date_naive());
    let usage = tenant.key_usage(id, &since.format("%Y-%m-%d").to_string()).await?;
    let items = usage.into_iter().map(|it| Usage { day: it.day, requests: it.requests, tokens: it.tokens }).collect();
    Ok(Body(List { items, next_cursor: None }))
}
