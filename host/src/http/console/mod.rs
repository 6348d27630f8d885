//! The console: pages for people, at `/console`. Rendered here, with no build step, and nothing is loaded from other hosts.
//!
//! It is a client of the API inside the server: a session cookie becomes the bearer token of the request, which is then let in like any
//! other, and a page calls the API's own handlers and shows what they answer. So it can do nothing that the API does not allow, and says
//! no in the same words. One file is one page; `layout` is what they share, `words` how things are put.

mod assets;
mod deletions;
mod form;
mod layout;
mod run;
mod session;
mod source;
mod sources;
mod words;
mod workspaces;

use std::sync::Arc;

use axum::{
    Router,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tower_http::csrf::{CsrfLayer, ProtectionError};
use tributary_core::access::Action;

use super::{ApiError, access::for_action, audited, require_login};
use crate::app::App;

pub(super) use layout::{is_page, problem};

/// Where it lives.
const HOME: &str = "/console";

/// All its routes.
pub(super) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    let open = Router::new()
        .route("/console/login", get(session::login_page).post(session::log_in))
        .route("/console/console.css", get(assets::style))
        .route("/console/console.js", get(assets::script))
        .route("/console/icon.svg", get(assets::icon));
    let source = |path: &str| format!("/console/workspaces/{{workspace_id}}/sources/{{source_id}}{path}");
    let seen = Router::new()
        .route("/console/workspaces/{workspace_id}", get(sources::page))
        .route(&source(""), get(source::page))
        .route(&source("/held"), get(deletions::page))
        .route(&source("/runs/{run_id}"), get(run::page))
        .route(&source("/runs/{run_id}/events"), get(run::events))
        .route_layer(for_action(Action::ReadSources));
    let managed = Router::new()
        .route(&source("/sync"), post(source::sync))
        .route(&source("/pause"), post(source::pause))
        .route(&source("/resume"), post(source::resume))
        .route(&source("/guard"), post(source::guard))
        .route(&source("/held/{run_id}/approve"), post(deletions::approve))
        .route(&source("/held/{run_id}/keep"), post(deletions::keep))
        .route(&source("/runs/{run_id}/cancel"), post(run::cancel))
        .route(&source("/runs/{run_id}/retry"), post(run::retry))
        .route_layer(for_action(Action::ManageSources));
    let closed = Router::new()
        .route(HOME, get(workspaces::page))
        .route("/console/", get(workspaces::page))
        .route("/console/logout", post(session::log_out))
        .merge(seen)
        .merge(managed)
        .route_layer(middleware::from_fn_with_state(app.clone(), require_login))
        .route_layer(middleware::from_fn_with_state(app.clone(), session::enter))
        .route_layer(middleware::from_fn_with_state(app.clone(), audited::record));
    // The cookie is not sent with what other sites cause; this holds where a browser gets that wrong, and at the log-in.
    open.merge(closed).route_layer(CsrfLayer::new().with_rejection_response(from_elsewhere))
}

fn from_elsewhere(_: ProtectionError) -> Response {
    let detail = "this was sent from another site, and nothing was done; open the console itself and try again there";
    ApiError::new(StatusCode::FORBIDDEN, "cross_site", detail).into_response()
}
