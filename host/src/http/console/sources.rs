//! The sources of a workspace: how each is doing, and when it goes on.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};

use super::{
    super::{
        ApiError,
        access::Tenant,
        connectors,
        dto::{Paging, Run, Source},
        extract::Query,
        sources as api,
    },
    layout, run,
    words::{self, Now, when},
    workspaces,
};
use crate::app::App;

pub(super) async fn page(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Query(paging): Query<Paging>,
) -> Result<Response, ApiError> {
    let workspace = tenant.workspace().await?;
    let here = workspaces::address(workspace.id);
    let list = api::list(Tenant(tenant), Query(api::SourcesQuery::default()), Query(paging)).await?.0;
    let now = app.clock.now();
    let digests: Vec<_> = list.items.iter().map(|source| source.connector.digest.as_str()).collect();
    let quarantines = app.plugins.quarantines(&digests).await.map_err(connectors::internal)?;
    let main = html! {
        h1 { "Sources" }
        @if workspace.archived_at.is_some() { (layout::note("This workspace is archived: it can be read, and nothing else.")) }
        section #sources data-live aria-label="Sources" {
            @if list.items.is_empty() {
                p { "There is no source yet. Make one over the API; the reference is at " a href="/docs" { "/docs" } "." }
            } @else {
                div.wide {
                    table {
                        thead { tr {
                            th scope="col" { "Source" }
                            th scope="col" { "Health" }
                            th scope="col" { "Last run" }
                            th scope="col" { "Next run" }
                        } }
                        tbody { @for source in &list.items {
                            (row(&here, source, quarantines.get(&source.connector.digest), now))
                        } }
                    }
                }
            }
        }
        @if let Some(next) = &list.next_cursor { p { a href={ "?cursor=" (next) } { "More sources" } } }
    };
    Ok(layout::inside("Sources", &[(here, &workspace.name)], true, main).into_response())
}

fn row(workspace: &str, source: &Source, quarantine: Option<&String>, now: Now) -> Markup {
    let address = format!("{workspace}/sources/{}", source.id);
    html! {
        tr {
            th scope="row" {
                a href=(address) { (source.name) }
                div.quiet { (source.connector.id) " " (source.connector.version) }
            }
            td data-label="Health" {
                (words::health(source.health)) " " span.quiet { "since " (when(now, source.health_since)) }
                @if let Some(detail) = quarantine.or(source.health_reason.as_ref().map(|reason| &reason.detail)) {
                    div.reason { (layout::sentence(detail)) }
                }
            }
            td data-label="Last run" { @match &source.last_run {
                Some(run) => (last_run(&address, run, now)),
                None => span.quiet { "never ran" },
            } }
            td data-label="Next run" { (next_run(source, now)) }
        }
    }
}

fn last_run(source: &str, run: &Run, now: Now) -> Markup {
    html! {
        a.state href={ (source) "/runs/" (run.id) } { (words::status(run.status)) }
        " " span.quiet { (when(now, run.finished_at.or(run.started_at).unwrap_or(run.queued_at))) }
        @if run.status.is_final() { div.quiet { (run::changes(&run.counts)) } } @else { (run::progress(run)) }
    }
}

/// When a source goes on by itself, and how late it is.
pub(super) fn next_run(source: &Source, now: Now) -> Markup {
    html! {
        @match source.next_run_at {
            Some(at) => (when(now, at)),
            None => span.quiet { @if source.paused.is_some() { "paused" } @else { "no schedule" } },
        }
        @if source.behind_s >= 60 {
            div.late { "behind by " (words::duration(source.behind_s * 1_000)) }
        }
    }
}
