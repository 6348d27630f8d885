//! The workspaces of whoever is logged in; with one alone, straight on to it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use maud::html;

use super::{
    super::{ApiError, access::Caller, dto::Paging, extract::Query, workspaces as api},
    form::done,
    layout,
};
use crate::app::App;

pub(super) fn address(id: impl std::fmt::Display) -> String {
    format!("/console/workspaces/{id}")
}

pub(super) async fn page(
    app: State<Arc<App>>,
    caller: Caller,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let first = paging.cursor.is_none();
    let list = api::list(app, caller, Query(paging)).await?.0;
    if let ([only], None, true) = (list.items.as_slice(), &list.next_cursor, first) {
        return Ok(done(&address(only.id)).into_response());
    }
    let main = html! {
        h1 { "Workspaces" }
        @if list.items.is_empty() {
            p { "You belong to no workspace yet. Ask one of its admins for an invitation." }
        } @else {
            ul.cards {
                @for it in &list.items {
                    li {
                        a href=(address(it.id)) { (it.name) }
                        " " span.quiet { (it.slug) @if it.archived_at.is_some() { " · archived, to be read only" } }
                    }
                }
            }
        }
        @if let Some(next) = list.next_cursor { p { a href={ "/console?cursor=" (next) } { "More workspaces" } } }
    };
    Ok(layout::inside("Workspaces", &[], false, main).into_response())
}
