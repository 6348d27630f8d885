//! `/api/v1/connectors`: what sources can be made of, and, for administrators of the instance, installing more of it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Json as Body,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderMap, StatusCode, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::contract::Fault;
use tributary_sandbox::InstallError;
use tributary_store::{InstalledConnector, quarantine_advice};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError, Problem,
    access::{Caller, InstanceAdmin},
    dto::List,
    extract::{Json, Path, Query},
};
use crate::{
    app::App,
    plugins::{Package, Refused, not_granted},
};

/// What a component has at most; the sandbox says the same.
const COMPONENT_LIMIT_BYTES: usize = 64 << 20;
/// An answer is due before the request is over; compiling goes on.
const COMPILE_PATIENCE: Duration = Duration::from_secs(25);
/// Holds the text of a `.minisig` file, as base64.
const SIGNATURE: &str = "tributary-signature";

/// The routes, one of which takes large bodies.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(OpenApiRouter::new().routes(routes!(list, install)).layer(DefaultBodyLimit::max(COMPONENT_LIMIT_BYTES)))
        .routes(routes!(get, remove))
        .routes(routes!(grant))
        .routes(routes!(release))
}

/// A connector.
#[derive(Serialize, ToSchema)]
pub(super) struct Connector {
    #[schema(example = "file")]
    id: String,
    version: String,
    /// SHA-256 of the component.
    digest: String,
    title: String,
    /// JSON Schema (2020-12) of a source's `config`.
    config_schema: serde_json::Value,
    /// Hosts it asks for: names, `*.` and a domain, or JSON pointers to where the configuration names one.
    hosts: Vec<String>,
    /// It comes with the server, and is not installed or removed here.
    shipped: bool,
    /// Set while no run uses it.
    quarantine: Option<InQuarantine>,
    /// For administrators of the server alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    installation: Option<Installation>,
}

/// Why no run uses a connector.
#[derive(Serialize, ToSchema)]
pub(super) struct InQuarantine {
    since: DateTime<Utc>,
    /// Why, and what to do.
    detail: String,
}

/// What an administrator of the server sees of a connector.
#[derive(Serialize, ToSchema)]
pub(super) struct Installation {
    size_bytes: i64,
    installed_at: DateTime<Utc>,
    /// Who installed it; null for one that comes with the server.
    installed_by: Option<String>,
    /// Id of the key that its signature was made with; null when no signature was asked for.
    signed_by: Option<String>,
    /// Of `hosts`, or narrower; null for what comes with the server, which reaches what it asks for.
    granted_hosts: Option<Vec<String>>,
    /// Of `hosts`, what was not granted as a whole.
    not_granted: Vec<String>,
    /// Sources that use it, in all workspaces.
    sources: i64,
}

impl Connector {
    /// `sources` for an administrator of the server.
    fn of(known: InstalledConnector, sources: Option<i64>) -> Self {
        let not_granted = not_granted(&known);
        let reference = known.connector;
        Self {
            quarantine: known.quarantine.map(|quarantine| InQuarantine {
                since: quarantine.at,
                detail: quarantine_advice(&reference.id, &reference.version, &quarantine.reason),
            }),
            id: reference.id,
            version: reference.version,
            digest: reference.digest,
            title: known.descriptor.title,
            config_schema: known.descriptor.config_schema,
            hosts: known.descriptor.hosts,
            shipped: known.installed_by.is_none(),
            installation: sources.map(|sources| Installation {
                size_bytes: known.size_bytes,
                installed_at: known.installed_at,
                installed_by: known.installed_by,
                signed_by: known.signed_by,
                granted_hosts: known.granted_hosts,
                not_granted,
                sources,
            }),
        }
    }

    async fn for_admin(app: &App, known: InstalledConnector) -> Result<Self, ApiError> {
        let usage = app.db.system().connector_usage(&known.connector.id).await?;
        Ok(Self::of(known, Some(usage.sources)))
    }
}

/// The record could not be asked, or a component not be readied.
pub(super) fn internal(error: anyhow::Error) -> ApiError {
    ApiError::internal(format!("{error:#}"))
}

/// List connectors
#[utoipa::path(get, path = "/api/v1/connectors", tag = "sources", security(("bearer" = [])), responses((status = 200, body = List<Connector>), (status = 401, body = Problem)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
) -> Result<Body<List<Connector>>, ApiError> {
    let uses: Option<HashMap<String, i64>> = match principal.instance_admin {
        true => Some(app.db.system().connector_uses().await?.into_iter().collect()),
        false => None,
    };
    let known = app.plugins.all().await.map_err(internal)?;
    let items = known.into_iter().map(|known| {
        let sources = uses.as_ref().map(|uses| uses.get(&known.connector.id).copied().unwrap_or_default());
        Connector::of(known, sources)
    });
    Ok(Body(List { items: items.collect(), next_cursor: None }))
}

/// Get a connector
#[utoipa::path(
    get, path = "/api/v1/connectors/{connector}", tag = "sources", security(("bearer" = [])), params(("connector" = String, Path, description = "Its id")),
    responses((status = 200, body = Connector), (status = 401, body = Problem), (status = 404, body = Problem)),
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Body<Connector>, ApiError> {
    let known = app.plugins.current(&id).await.map_err(internal)?.ok_or_else(|| ApiError::not_found("connector"))?;
    match principal.instance_admin {
        true => Ok(Body(Connector::for_admin(&app, known).await?)),
        false => Ok(Body(Connector::of(known, None))),
    }
}

/// What goes with a component.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct InstallParams {
    /// `sha256:` and the digest that the component must have.
    digest: Option<String>,
    /// Hosts to grant, separated by commas.
    grant_hosts: Option<String>,
}

/// A connector that was installed.
#[derive(Serialize, ToSchema)]
pub(super) struct InstalledAnswer {
    connector: Connector,
    /// Sources that used another version and use this one from now on. What they have is read again by their next run.
    moved_sources: u64,
    /// Of these, whose configuration the connector carried over to another one.
    carried_configs: u64,
}

/// A component as a body.
pub(super) struct Component(Bytes);

impl<S: Send + Sync> FromRequest<S> for Component {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if media_type.is_none_or(|value| !value.trim().eq_ignore_ascii_case("application/wasm")) {
            let detail = "send the component itself as the body, with `Content-Type: application/wasm`";
            return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail));
        }
        let body = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = format!(
                    "a component has at most {} MiB; build it in release mode and without debug information",
                    COMPONENT_LIMIT_BYTES >> 20
                );
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
            }
            _ => ApiError::new(StatusCode::BAD_REQUEST, "bad_request", "the component could not be read to its end"),
        })?;
        Ok(Self(body))
    }
}

/// Install a connector, or another version of it, on all hosts
///
/// The body is the component. Sources of the connector move to it; runs that are going end with the version they began with.
#[utoipa::path(
    post, path = "/api/v1/connectors", tag = "instance", security(("bearer" = [])),
    params(InstallParams, ("Tributary-Signature" = Option<String>, Header, description = "The `.minisig` file, as base64")),
    request_body(content = String, content_type = "application/wasm", description = "A component, at most 64 MiB"),
    responses((status = 201, body = InstalledAnswer), (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, description = "Its id is one that comes with the server, or sources do not fit it", body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, description = "It is not a connector, not the one that was meant, or not signed as it must be", body = Problem), (status = 503, description = "It is still being compiled; send it again", body = Problem)),
)]
pub(super) async fn install(
    State(app): State<Arc<App>>,
    InstanceAdmin(principal): InstanceAdmin,
    Query(params): Query<InstallParams>,
    headers: HeaderMap,
    Component(wasm): Component,
) -> Result<(StatusCode, Body<InstalledAnswer>), ApiError> {
    let signature = headers.get(SIGNATURE).map(|value| {
        let decoded = BASE64_STANDARD.decode(value.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.ok_or_else(|| {
            let detail = "the header Tributary-Signature holds a .minisig file as base64, on one line";
            ApiError::new(StatusCode::BAD_REQUEST, "invalid_signature", detail)
        })
    });
    let grant_hosts = params.grant_hosts.as_deref().unwrap_or_default().split(',').map(str::trim);
    let package = Package {
        wasm,
        digest: params.digest,
        signature: signature.transpose()?,
        grant_hosts: grant_hosts.filter(|host| !host.is_empty()).map(str::to_owned).collect(),
    };
    let installed = app.plugins.install(package, &principal.label(), Some(COMPILE_PATIENCE)).await?;
    let connector = Connector::for_admin(&app, installed.connector).await?;
    let answer = InstalledAnswer {
        connector,
        moved_sources: installed.moved_sources,
        carried_configs: installed.carried_configs,
    };
    Ok((StatusCode::CREATED, Body(answer)))
}

/// What an installed connector may reach.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hosts {
    /// Of those it asks for, or narrower; these and no others.
    #[schema(example = json!(["api.example.com", "*.cdn.example.com", "/base_url"]))]
    hosts: Vec<String>,
}

/// Grant an installed connector hosts: these and no others
#[utoipa::path(
    put, path = "/api/v1/connectors/{connector}/grants", tag = "instance", security(("bearer" = [])), params(("connector" = String, Path, description = "Its id")), request_body = Hosts,
    responses((status = 200, body = Connector), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, description = "It comes with the server", body = Problem), (status = 422, body = Problem)),
)]
pub(super) async fn grant(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Path(id): Path<String>,
    Json(grants): Json<Hosts>,
) -> Result<Body<Connector>, ApiError> {
    let known = app.plugins.grant(&id, &grants.hosts).await?;
    Ok(Body(Connector::for_admin(&app, known).await?))
}

/// Release a connector from quarantine
#[utoipa::path(
    post, path = "/api/v1/connectors/{connector}/release", tag = "instance", security(("bearer" = [])), params(("connector" = String, Path, description = "Its id")),
    responses((status = 200, body = Connector), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, description = "It is not in quarantine", body = Problem)),
)]
pub(super) async fn release(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Path(id): Path<String>,
) -> Result<Body<Connector>, ApiError> {
    let known = app.plugins.release(&id).await?;
    Ok(Body(Connector::for_admin(&app, known).await?))
}

/// Remove an installed connector that no source uses
#[utoipa::path(
    delete, path = "/api/v1/connectors/{connector}", tag = "instance", security(("bearer" = [])), params(("connector" = String, Path, description = "Its id")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, description = "Sources use it, or it comes with the server", body = Problem)),
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    _: InstanceAdmin,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    app.plugins.remove(&id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        let unprocessable = |code| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail.clone());
        let conflict = |code| Self::new(StatusCode::CONFLICT, code, detail.clone());
        match refused {
            Refused::Digest { .. } => unprocessable("digest_mismatch"),
            Refused::Signature(_) => unprocessable("signature_refused"),
            Refused::Schema(_) => unprocessable("invalid_component"),
            Refused::Component(error) => match &*error {
                InstallError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
                InstallError::Describe(failure) if failure.fault == Fault::Transient => later("busy", detail),
                InstallError::Host(_) => Self::internal(error),
                _ => unprocessable("invalid_component"),
            },
            Refused::StillCompiling => later("still_compiling", detail),
            Refused::Shipped(_) => conflict("shipped_connector"),
            Refused::Misfits { misfits, .. } => {
                let faults = misfits.iter().flat_map(|misfit| {
                    let of = format!("source {} {:?} in workspace {}", misfit.source, misfit.name, misfit.workspace);
                    misfit.faults.iter().map(move |(pointer, fault)| (pointer.clone(), format!("{of}: {fault}")))
                });
                faults.fold(conflict("config_mismatch"), |problem, (pointer, fault)| problem.at(pointer, fault))
            }
            Refused::CarriedTooLong { .. } => later("carried_too_long", detail),
            Refused::Unsettled(_) => conflict("conflict"),
            Refused::Host(_) => unprocessable("invalid_host").at("/hosts", detail.clone()),
            Refused::Unknown(_) => Self::not_found("connector"),
            Refused::InUse { .. } => conflict("connector_in_use"),
            Refused::NotQuarantined(_) => conflict("not_quarantined"),
            Refused::Store(error) => error.into(),
            Refused::Internal(error) => internal(error),
        }
    }
}

/// 503, for now.
fn later(code: &str, detail: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(30)
}
