//! `/api/v1/workspaces/{workspace_id}/connectors/{connector}/browse`: what a field of a source's configuration may be set to.

use std::sync::Arc;

use axum::{Json as Body, extract::State};
use serde::{Deserialize, Serialize};
use tributary_core::{WorkspaceId, contract};
use utoipa::ToSchema;

use super::{
    ApiError, Problem,
    access::Tenant,
    extract::{Json, Path},
};
use crate::{app::App, sources::Browse};

/// Which field, and where in the tree of what there is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BrowseRequest {
    /// The configuration so far; the connector says what it needs of it to look.
    #[schema(example = json!({"credential": "google"}))]
    config: serde_json::Value,
    /// JSON pointer to a field that `config_schema` marks `"x-browse": true`, with `0` for an element of a list.
    #[schema(example = "/folders/0")]
    pointer: String,
    /// `opens` of a choice; left out where the tree begins.
    at: Option<String>,
    /// `next` of the choices before; left out for the first.
    after: Option<String>,
}

/// One of the values there are.
#[derive(Serialize, ToSchema)]
pub(super) struct Choice {
    /// What to set the field to; null for one that only leads to others.
    #[schema(value_type = Object)]
    value: Option<serde_json::Value>,
    title: String,
    description: Option<String>,
    /// Send it as `at` to see what lies under this one.
    opens: Option<String>,
}

/// Values to choose from.
#[derive(Serialize, ToSchema)]
pub(super) struct Choices {
    /// At most 200.
    items: Vec<Choice>,
    /// Send it as `after` to see more of the same; null when these are all.
    next: Option<String>,
}

impl From<contract::Choices> for Choices {
    fn from(choices: contract::Choices) -> Self {
        let choice = |it: contract::Choice| Choice {
            value: it.value,
            title: it.title,
            description: it.description,
            opens: it.opens,
        };
        Self { items: choices.items.into_iter().map(choice).collect(), next: choices.next }
    }
}

/// Look for values of a field of a configuration
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/connectors/{connector}/browse", tag = "sources", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("connector" = String, Path, description = "Its id")), request_body = BrowseRequest,
    responses((status = 200, body = Choices), (status = 401, body = Problem), (status = 404, body = Problem), (status = 409, description = "The connector is in quarantine", body = Problem), (status = 422, description = "Unknown connector, one without choices, a configuration with which it cannot look, a root that is not granted", body = Problem)),
)]
pub(super) async fn browse(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, connector)): Path<(WorkspaceId, String)>,
    Json(request): Json<BrowseRequest>,
) -> Result<Body<Choices>, ApiError> {
    let BrowseRequest { config, pointer, at, after } = request;
    let choices = app.sources.browse(&tenant, Browse { connector, config, pointer, at, after }).await?;
    Ok(Body(choices.into()))
}
