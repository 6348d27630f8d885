//! One run: live while it goes on, and what came of it.

use std::sync::Arc;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use tributary_core::{
    RunId, SourceId, WorkspaceId,
    run::{ChangeKind, RunKind},
};

use super::{
    super::{
        ApiError,
        access::{Caller, Tenant},
        deletions::sees_the_whole_source,
        dry_runs::{self, Change},
        dto::{Counts, FailedItem, List, Numbered, Run},
        extract::{Path, Query},
        run_events::{self, RunState},
        runs as api,
    },
    form::done,
    layout,
    source::{self, manages},
    words::{self, Now, when},
    workspaces,
};
use crate::app::App;

/// Items of a list shown at once.
const ITEMS: u16 = 100;

type Ids = Path<(WorkspaceId, SourceId, RunId)>;

pub(super) fn address(workspace: WorkspaceId, source: SourceId, run: RunId) -> String {
    format!("{}/runs/{run}", source::address(workspace, source))
}

#[derive(Deserialize)]
pub(super) struct Shown {
    /// Items after this one, of whichever list the page has.
    after: Option<i64>,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(ids): Ids,
    Query(shown): Query<Shown>,
) -> Result<Response, ApiError> {
    let entered = || Tenant(tenant.clone());
    let (workspace, found) = (tenant.workspace().await?, tenant.get_source(ids.1).await?);
    let run = api::get(entered(), Path(ids)).await?.0;
    let failed = if run.counts.failed > 0 {
        let paging = Query(Numbered { cursor: shown.after, limit: Some(ITEMS) });
        Some(api::failed_items(entered(), Path(ids), paging).await?.0)
    } else {
        None
    };
    let dry = run.kind == RunKind::DryRun && run.status.is_final() && sees_the_whole_source(&tenant).is_ok();
    let changes = if dry {
        let which = Query(dry_runs::Which { change: None, cursor: shown.after, limit: Some(ITEMS) });
        Some(dry_runs::changes(entered(), Path(ids), which).await?.0)
    } else {
        None
    };
    let (over, kind, manages) = (run.status.is_final(), run.kind, manages(&caller, &tenant));
    let retried = run.retry_of.map(|run| address(ids.0, ids.1, run.into()));
    let can_retry = manages && over && run.counts.failed > 0 && matches!(kind, RunKind::Sync | RunKind::Full);
    let held = run.error.as_ref().is_some_and(|error| error.code == "deletions_held");
    let (above, here, now) = (source::address(ids.0, ids.1), address(ids.0, ids.1, ids.2), app.clock.now());
    let main = html! {
        h1 { (words::kind(kind)) " of " (found.name) }
        p.quiet {
            "Asked for at " (words::exactly(run.queued_at)) ", " (words::trigger(run.trigger)) " · "
            (run.connector.id) " " (run.connector.version) " · configuration " (run.config_revision)
            @if let Some(of) = retried { " · reads again what failed in " a href=(of) { "this run" } }
        }
        (live(&RunState::at_a_glance(run), now))
        div #after data-live {
            @if manages && !over {
                form method="post" action={ (here) "/cancel" } { button type="submit" { "Cancel this run" } }
            }
            @if held { p { a href={ (above) "/held" } { "Look at the held deletions and decide" } } }
            @if let Some(failed) = &failed { (failed_section(&here, failed, can_retry)) }
            @if let Some(changes) = &changes { (changes_section(changes)) }
        }
    };
    let trail = [
        (workspaces::address(ids.0), workspace.name.as_str()),
        (above, found.name.as_str()),
        (here.clone(), words::kind(kind)),
    ];
    Ok(layout::inside(&format!("{} of {}", words::kind(kind), found.name), &trail, !over, main).into_response())
}

/// The state of a run, which the script puts in the place of the one before.
pub(super) fn live(RunState { run, done, total, rate, eta }: &RunState, now: Now) -> Markup {
    let over = run.status.is_final();
    html! {
        section #run aria-label="State" data-events[!over] {
            p.state { (words::status(run.status)) @if let Some(ms) = run.duration_ms { " in " (words::duration(ms)) } }
            @if !over {
                (bar(*done, *total))
                dl.facts {
                    div { dt { "Stage" } dd { @match &run.stage {
                        Some(stage) => { (words::stage(stage.name)) ", moved " (when(now, stage.moved_at)) },
                        None => @if run.waiting.is_some() { "waiting" } @else { "no worker has it yet" },
                    } } }
                    div { dt { "Rate" } dd { @match rate { Some(rate) => { (format!("{rate:.1}")) " a second" }, None => "–" } } }
                    div { dt { "Ready" } dd { @match eta { Some(eta) => (when(now, *eta)), None => "–" } } }
                }
                @if let Some(waiting) = &run.waiting {
                    p.note { (words::waiting(waiting.reason)) " " (when(now, waiting.until)) ", at " (waiting.until.format("%H:%M:%S UTC")) "." }
                }
            }
            (counts(&run.counts))
            p.quiet {
                (words::size(run.bytes)) " read in " (words::count(run.requests, "request", "requests"))
                ", " (words::count(run.pages, "page", "pages"))
            }
            @if let Some(error) = &run.error { (layout::alarm(&layout::sentence(&error.detail))) }
        }
    }
}

/// How far a run has come, in a line of a list.
pub(super) fn progress(run: &Run) -> Markup {
    let done = run.progress.as_ref().map_or(run.counts.seen.cast_unsigned(), |progress| progress.done);
    bar(done, run.progress.as_ref().and_then(|progress| progress.total))
}

fn bar(done: u64, total: Option<u64>) -> Markup {
    let number = |amount: u64| words::number(amount.cast_signed());
    html! {
        div.progress {
            @match total {
                Some(total) => {
                    progress aria-label="Items done" value=(done.min(total)) max=(total.max(1)) {}
                    " " span { (number(done)) " of " (number(total)) }
                },
                None => { progress aria-label="Items done" {} " " span { (number(done)) " done" } },
            }
        }
    }
}

/// What a run did, in a line.
pub(super) fn changes(counts: &Counts) -> Markup {
    let all = [
        (counts.added, "added"),
        (counts.updated, "updated"),
        (counts.deleted, "deleted"),
        (counts.failed, "failed"),
        (counts.unchanged, "unchanged"),
    ];
    let some: Vec<_> =
        all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", words::number(*n))).collect();
    html! { @if some.is_empty() { "nothing there" } @else { (some.join(", ")) } }
}

fn counts(counts: &Counts) -> Markup {
    let all = [
        ("Seen", counts.seen),
        ("Added", counts.added),
        ("Updated", counts.updated),
        ("Unchanged", counts.unchanged),
        ("Deleted", counts.deleted),
        ("Failed", counts.failed),
    ];
    html! { dl.counts { @for (what, n) in all { div.none[n == 0] { dt { (what) } dd { (words::number(n)) } } } } }
}

fn failed_section(here: &str, failed: &List<FailedItem>, can_retry: bool) -> Markup {
    html! {
        section aria-labelledby="failed-title" {
            h2 #failed-title { "Failed items" }
            @if can_retry {
                form method="post" action={ (here) "/retry" } { button type="submit" { "Read the failed items again" } }
            }
            div.wide {
                table {
                    thead { tr { th scope="col" { "Name in the source" } th scope="col" { "What is wrong" } } }
                    tbody { @for item in &failed.items { tr {
                        th scope="row" { code { (item.external_id) } }
                        td data-label="What is wrong" { (layout::sentence(&item.message)) " " span.quiet { (item.fault.as_str()) } }
                    } } }
                }
            }
            @if let Some(next) = &failed.next_cursor { p { a href={ "?after=" (next) } { "More failed items" } } }
        }
    }
}

fn changes_section(changes: &List<Change>) -> Markup {
    html! {
        section aria-labelledby="changes-title" {
            h2 #changes-title { "What a sync would do" }
            @if changes.items.is_empty() { p { "Nothing: no document would change." } } @else {
                div.wide {
                    table {
                        thead { tr { th scope="col" { "Change" } th scope="col" { "Title" } th scope="col" { "Name in the source" } } }
                        tbody { @for it in &changes.items { tr {
                            td { @match it.change {
                                ChangeKind::Add => span.badge.good { "+ add" },
                                ChangeKind::Update => span.badge.busy { "~ update" },
                                ChangeKind::Delete => span.badge.bad { "− delete" },
                            } }
                            th scope="row" { (it.title) }
                            td data-label="Name" { code { (it.external_id) } }
                        } } }
                    }
                }
            }
            @if let Some(next) = &changes.next_cursor { p { a href={ "?after=" (next) } { "More changes" } } }
        }
    }
}

pub(super) async fn events(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, source, run)): Ids,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let clock = app.clock.clone();
    let told = run_events::watch(app, tenant, source, run, &headers).await?;
    Ok(run_events::stream(told, move |state| live(&state, clock.now()).into_string()))
}

pub(super) async fn cancel(app: State<Arc<App>>, tenant: Tenant, Path(ids): Ids) -> Result<Redirect, ApiError> {
    let _ = api::cancel(app, tenant, Path(ids)).await?;
    Ok(done(&address(ids.0, ids.1, ids.2)))
}

pub(super) async fn retry(app: State<Arc<App>>, tenant: Tenant, Path(ids): Ids) -> Result<Redirect, ApiError> {
    let (_, queued) = api::retry_failed(app, tenant, Path(ids)).await?;
    Ok(done(&address(ids.0, ids.1, queued.0.run_id.into())))
}
