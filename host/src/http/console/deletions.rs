//! Deletions that wait for a decision: what would go, and the two ways to decide.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use tributary_core::{RunId, SourceId, WorkspaceId};
use uuid::Uuid;

use super::{
    super::{
        ApiError,
        access::{Caller, Tenant},
        deletions::{self as api, Dismissal, HeldDeletions},
        dto::Paging,
        extract::{Json, Path, Query},
    },
    form::{Form, done},
    layout,
    source::{self, Ids},
    words, workspaces,
};
use crate::app::App;

/// Documents shown at once.
const DOCUMENTS: u16 = 100;

#[derive(Deserialize)]
pub(super) struct Shown {
    cursor: Option<Uuid>,
    /// What an approval did.
    deleted: Option<i64>,
    kept: Option<i64>,
}

pub(super) async fn page(
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(ids): Ids,
    Query(shown): Query<Shown>,
) -> Result<Response, ApiError> {
    let (workspace, found) = (tenant.workspace().await?, tenant.get_source(ids.1).await?);
    let manages = source::manages(&caller, &tenant);
    let paging = Query(Paging { cursor: shown.cursor, limit: Some(DOCUMENTS) });
    let held = api::held(Tenant(tenant), Path(ids), paging).await?.0;
    let above = source::address(ids.0, ids.1);
    let here = format!("{above}/held");
    let main = html! {
        h1 { "Held deletions" }
        @if let (Some(deleted), Some(kept)) = (shown.deleted, shown.kept) {
            (layout::note(&approved(deleted, kept)))
        }
        @match held.run_id {
            None => p { "Nothing of this source waits for a decision. " a href=(above) { "Back to " (found.name) } },
            Some(run) => (waiting(&here, &held, run, manages)),
        }
    };
    let trail = [
        (workspaces::address(ids.0), workspace.name.as_str()),
        (above.clone(), found.name.as_str()),
        (here.clone(), "Held deletions"),
    ];
    Ok(layout::inside("Held deletions", &trail, false, main).into_response())
}

fn approved(deleted: i64, kept: i64) -> String {
    let mut words = format!("Deleted: {}.", words::count(deleted, "document", "documents"));
    if kept > 0 {
        let rest = words::count(kept, "document", "documents");
        words.push_str(&format!(" Kept: {rest}, which came back or changed meanwhile."));
    }
    words
}

fn waiting(here: &str, held: &HeldDeletions, run: Uuid, manages: bool) -> Markup {
    html! {
        p {
            "A " a href={ (here.trim_end_matches("held")) "runs/" (run) } { "run" }
            @if let Some(at) = held.held_at { " of " (words::exactly(at)) }
            " did not find " b { (words::count(held.held, "document", "documents")) } " of " (words::number(held.of))
            ". They are still there and can still be found. If a folder was moved or a share is not mounted, keep them."
        }
        @if manages {
            section.actions aria-label="Decide" {
                form method="post" action={ (here) "/" (run) "/approve" } {
                    button.danger type="submit" { "Delete " (words::count(held.held, "document", "documents")) }
                }
                form.line method="post" action={ (here) "/" (run) "/keep" } {
                    label for="note" { "Keep them, because" }
                    input #note name="note" required maxlength="500" placeholder="The share was offline";
                    button type="submit" { "Keep" }
                }
            }
        } @else { (layout::note("An editor of this workspace decides about them.")) }
        div.wide {
            table {
                caption { "What would go" }
                thead { tr { th scope="col" { "Title" } th scope="col" { "Name in the source" } } }
                tbody { @for it in &held.items { tr {
                    th scope="row" { (it.title) }
                    td data-label="Name" { code { (it.external_id) } }
                } } }
            }
        }
        @if let Some(next) = &held.next_cursor { p { a href={ "?cursor=" (next) } { "More documents" } } }
    }
}

type Held = Path<(WorkspaceId, SourceId, RunId)>;

pub(super) async fn approve(
    app: State<Arc<App>>,
    tenant: Tenant,
    caller: Caller,
    Path(ids): Held,
) -> Result<Redirect, ApiError> {
    let did = api::approve(app, tenant, caller, Path(ids)).await?.0;
    Ok(done(&format!("{}/held?deleted={}&kept={}", source::address(ids.0, ids.1), did.deleted, did.kept)))
}

pub(super) async fn keep(
    app: State<Arc<App>>,
    tenant: Tenant,
    caller: Caller,
    Path(ids): Held,
    Form(why): Form<Dismissal>,
) -> Result<Redirect, ApiError> {
    api::dismiss(app, tenant, caller, Path(ids), Json(why)).await?;
    Ok(done(&source::address(ids.0, ids.1)))
}
