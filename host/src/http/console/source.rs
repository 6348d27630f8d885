//! One source: how it is doing and what to do, its schedules, its runs; and what an editor does with it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Redirect, Response},
};
use maud::{Markup, html};
use serde::Deserialize;
use tributary_core::{
    SourceId, WorkspaceId,
    access::Action,
    schedule::{Overlap, PauseReason, ScheduleKind, SlotOutcome},
    source::PUSH_CONNECTOR,
};
use tributary_store::{QUARANTINED, TenantDb};

use super::{
    super::{
        ApiError,
        access::{Caller, Tenant},
        connectors,
        deletions::{self as held, DeletionGuard, HeldDeletions, sees_the_whole_source},
        dry_runs,
        dto::{List, Paging, Paused, Run, ScheduleBody, Source},
        extract::{Json, OptionalJson, Path, Query},
        runs,
        schedules::{self, PauseRequest, ScheduleView, Schedules},
        sources as api,
    },
    form::{Form, done},
    layout, run, sources,
    words::{self, Now, when},
    workspaces,
};
use crate::app::App;

/// Runs shown at once.
const RUNS: u16 = 20;

pub(super) type Ids = Path<(WorkspaceId, SourceId)>;

pub(super) fn address(workspace: WorkspaceId, source: SourceId) -> String {
    format!("{}/sources/{source}", workspaces::address(workspace))
}

/// Whether the caller may do more here than look.
pub(super) fn manages(Caller(caller): &Caller, tenant: &TenantDb) -> bool {
    caller.may(Action::ManageSources, tenant.workspace_id()) == Some(true) && !tenant.is_archived()
}

#[derive(Deserialize)]
pub(super) struct Shown {
    /// Runs before this one.
    runs: Option<uuid::Uuid>,
}

pub(super) async fn page(
    State(app): State<Arc<App>>,
    caller: Caller,
    Tenant(tenant): Tenant,
    Path(ids): Ids,
    Query(shown): Query<Shown>,
) -> Result<Response, ApiError> {
    let entered = || Tenant(tenant.clone());
    let workspace = tenant.workspace().await?;
    let source = api::get(entered(), Path(ids)).await?.0;
    let schedules = schedules::get(State(app.clone()), entered(), Path(ids)).await?.0;
    let paging = Query(Paging { cursor: shown.runs, limit: Some(RUNS) });
    let runs = runs::list(entered(), Path(ids), paging, Query(runs::Which::default())).await?.0;
    let held = match sees_the_whole_source(&tenant) {
        Ok(()) => {
            let paging = Query(Paging { cursor: None, limit: Some(1) });
            Some(held::held(entered(), Path(ids), paging).await?.0).filter(|held| held.run_id.is_some())
        }
        Err(_) => None,
    };
    let manages = manages(&caller, &tenant);
    let guard = if manages { Some(held::guard(entered(), Path(ids)).await?.0) } else { None };
    let by = match &source.paused {
        Some(paused) => name(&tenant, &paused.by).await?,
        None => String::new(),
    };
    let (here, now) = (address(ids.0, ids.1), app.clock.now());
    let quarantine = app.plugins.quarantine(&source.connector.digest).await.map_err(connectors::internal)?;
    let pushed = source.connector.id == PUSH_CONNECTOR;
    let main = html! {
        h1 { (source.name) }
        p.quiet { "Connector " (source.connector.id) " " (source.connector.version) }
        section #condition data-live aria-label="Condition" {
            @if let Some(advice) = &quarantine { (layout::alarm(&layout::sentence(advice))) }
            (condition(&source, &by, |code| match code {
                "deletions_held" => held.is_some(),
                QUARANTINED => quarantine.is_some(),
                _ => false,
            }, now))
            @if let Some(held) = &held { (held_note(&here, held)) }
        }
        @if manages && !pushed { (actions(&here, &source)) }
        @if !pushed { (schedules_section(&schedules, &source, now)) }
        section #runs data-live aria-labelledby="runs-title" {
            h2 #runs-title { "Runs" }
            (runs_table(&here, &runs, now))
        }
        @if let Some(guard) = &guard { @if !pushed { (guard_section(&here, guard)) } }
        details {
            summary { "Configuration" }
            pre { (serde_json::to_string_pretty(&source.config).unwrap_or_default()) }
        }
    };
    let trail = [(workspaces::address(ids.0), workspace.name.as_str()), (here.clone(), source.name.as_str())];
    Ok(layout::inside(&source.name, &trail, true, main).into_response())
}

/// Who did something, as people know them.
async fn name(tenant: &TenantDb, label: &str) -> Result<String, ApiError> {
    let Some(id) = label.strip_prefix("user:") else { return Ok(label.to_owned()) };
    let members = tenant.members().await?;
    let member = members.into_iter().find(|member| member.user_id.to_string() == id);
    Ok(member.map_or_else(|| label.to_owned(), |member| member.email))
}

/// Without a reason that a note of its own says already.
fn condition(source: &Source, by: &str, said: impl Fn(&str) -> bool, now: Now) -> Markup {
    html! {
        dl.facts {
            div { dt { "Health" } dd { (words::health(source.health)) " since " (when(now, source.health_since)) } }
            div { dt { "Next run" } dd { (sources::next_run(source, now)) } }
            div { dt { "Last success" } dd { (ever(now, source.last_success_at)) } }
            div { dt { "Last change" } dd { (ever(now, source.last_change_at)) } }
        }
        @match &source.paused {
            Some(paused) => (pause_note(paused, by, now)),
            None => @if let Some(reason) = source.health_reason.as_ref().filter(|it| !said(&it.code)) {
                (layout::alarm(&layout::sentence(&reason.detail)))
            },
        }
    }
}

fn ever(now: Now, at: Option<Now>) -> Markup {
    html! { @match at { Some(at) => (when(now, at)), None => "never" } }
}

fn pause_note(paused: &Paused, by: &str, now: Now) -> Markup {
    html! {
        p.note {
            @match paused.reason {
                PauseReason::ByHand => { "Paused by " (by) " " },
                PauseReason::Failures => "Paused after too many failed runs ",
                PauseReason::Schedule => "Paused, since its schedule cannot be computed, ",
            }
            (when(now, paused.at)) ": " q { (paused.note) } " Its schedules wait until it is resumed; syncs by hand go on."
        }
    }
}

fn held_note(source: &str, held: &HeldDeletions) -> Markup {
    html! {
        p.note.bad {
            (words::count(held.held, "document", "documents")) " of " (words::number(held.of))
            " were not found by the last complete sync. None is deleted until somebody has decided. "
            a href={ (source) "/held" } { "Look at them and decide" }
        }
    }
}

fn actions(here: &str, source: &Source) -> Markup {
    html! {
        section.actions aria-label="Actions" {
            form method="post" action={ (here) "/sync" } {
                button.primary type="submit" name="what" value="changes" { "Sync now" }
                button type="submit" name="what" value="everything" title="Reads everything again; nothing disappears meanwhile" { "Read everything again" }
                button type="submit" name="what" value="nothing" title="Shows what a sync would do, and does nothing" { "Dry run" }
            }
            @if source.paused.is_some() {
                form method="post" action={ (here) "/resume" } { button type="submit" { "Resume" } }
            } @else {
                form.line method="post" action={ (here) "/pause" } {
                    label for="note" { "Pause, because" }
                    input #note name="note" required maxlength="500" placeholder="The shop moves until Friday";
                    button type="submit" { "Pause" }
                }
            }
        }
    }
}

fn schedules_section(schedules: &Schedules, source: &Source, now: Now) -> Markup {
    let views = [("Syncs", &schedules.schedule), ("Reads everything again", &schedules.full_schedule)];
    let scheduled = views.iter().any(|(_, view)| view.is_some());
    html! {
        section #schedules data-live aria-labelledby="schedules-title" {
            h2 #schedules-title { "Schedule" }
            @if !scheduled { p { "None: it syncs when somebody asks for it." } }
            @for (what, view) in views { @if let Some(view) = view { (schedule(what, view, now)) } }
            @if scheduled && source.paused.is_none() && source.pause_after_failures > 0 {
                p.quiet { "Paused by itself after " (source.pause_after_failures) " failed runs in a row, so that no account is locked by a wrong password." }
            }
            @if !schedules.past.is_empty() {
                details {
                    summary { "What became of the last moments" }
                    table {
                        thead { tr { th scope="col" { "Moment" } th scope="col" { "Schedule" } th scope="col" { "What became of it" } } }
                        tbody { @for past in &schedules.past { tr {
                            td { (when(now, past.slot)) }
                            td { @match past.kind { ScheduleKind::Sync => "sync", ScheduleKind::Full => "full resync" } }
                            td { @match past.outcome {
                                SlotOutcome::Started => "a run was started",
                                SlotOutcome::Queued => "it waits for the present run",
                                SlotOutcome::Skipped => "skipped: the source was busy",
                                SlotOutcome::Missed => "missed: no host was running",
                            } }
                        } } }
                    }
                }
            }
        }
    }
}

fn schedule(what: &str, view: &ScheduleView, now: Now) -> Markup {
    let ScheduleBody { cron, timezone, every, overlap, catch_up, jitter } = &view.schedule;
    html! {
        p {
            (what) " "
            @if let Some(every) = every { "every " b { (every) } }
            @if let Some(cron) = cron { "at " code { (cron) } " " (timezone.as_deref().unwrap_or("UTC")) }
            span.quiet {
                @match overlap {
                    Some(Overlap::Queue) => ", after the run that is going on",
                    Some(Overlap::Cancel) => ", stopping the run that is going on",
                    Some(Overlap::Skip) | None => ", not while another run is going on",
                }
                @if let Some(catch_up) = catch_up { ", catching up for " (catch_up) }
                @if let Some(jitter) = jitter { ", spread over " (jitter) }
            }
            @if let Some(queued) = view.queued { " · one is waiting since " (when(now, queued)) }
        }
        @if let Some(first) = view.upcoming.first() {
            details {
                summary { "Next: " (first.local.format("%a %-d %b, %H:%M %:z")) " (" (when(now, first.starts_at)) ")" }
                ol.slots { @for next in &view.upcoming {
                    li { (next.local.format("%a %Y-%m-%d %H:%M %:z")) " " span.quiet { "starts " (when(now, next.starts_at)) } }
                } }
            }
        }
    }
}

fn runs_table(here: &str, runs: &List<Run>, now: Now) -> Markup {
    html! {
        @if runs.items.is_empty() { p { "None yet." } } @else {
            div.wide {
                table {
                    thead { tr {
                        th scope="col" { "Run" }
                        th scope="col" { "When" }
                        th scope="col" { "Took" }
                        th scope="col" { "What it did" }
                        th scope="col" { "Read" }
                    } }
                    tbody { @for it in &runs.items { tr {
                        th scope="row" {
                            a.state href={ (here) "/runs/" (it.id) } { (words::status(it.status)) }
                            div.quiet { (words::kind(it.kind)) ", " (words::trigger(it.trigger)) }
                        }
                        td data-label="When" { (when(now, it.started_at.unwrap_or(it.queued_at))) }
                        td data-label="Took" { @match it.duration_ms { Some(ms) => (words::duration(ms)), None => "–" } }
                        td data-label="What it did" {
                            @if it.status.is_final() {
                                (run::changes(&it.counts))
                                @if let Some(error) = &it.error { div.reason { (layout::sentence(&error.detail)) } }
                            } @else { (run::progress(it)) }
                        }
                        td data-label="Read" { (words::size(it.bytes)) }
                    } } }
                }
            }
        }
        @if let Some(next) = &runs.next_cursor { p { a href={ "?runs=" (next) } { "Older runs" } } }
    }
}

fn guard_section(here: &str, guard: &DeletionGuard) -> Markup {
    html! {
        section aria-labelledby="guard-title" {
            h2 #guard-title { "Deletion guard" }
            p { "When a complete sync misses more documents than this, they are kept until somebody has looked." }
            form.line method="post" action={ (here) "/guard" } {
                label for="max_items" { "More than" }
                input #max_items name="max_items" type="number" min="0" max="4294967295" required value=(guard.max_items);
                label for="max_percent" { "documents and at least" }
                input #max_percent name="max_percent" type="number" min="0" max="100" required value=(guard.max_percent);
                span { "% of the source" }
                button type="submit" { "Save" }
            }
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Wish {
    /// changes, everything or nothing (a dry run).
    what: What,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Changes,
    Everything,
    Nothing,
}

pub(super) async fn sync(
    app: State<Arc<App>>,
    tenant: Tenant,
    Path(ids): Ids,
    Form(wish): Form<Wish>,
) -> Result<Redirect, ApiError> {
    let request = |full| OptionalJson(api::SyncRequest { full, ..api::SyncRequest::default() });
    let (_, queued) = match wish.what {
        What::Changes => api::sync(app, tenant, Path(ids), request(false)).await?,
        What::Everything => api::sync(app, tenant, Path(ids), request(true)).await?,
        What::Nothing => dry_runs::start(app, tenant, Path(ids)).await?,
    };
    Ok(done(&run::address(ids.0, ids.1, queued.0.run_id.into())))
}

pub(super) async fn pause(
    app: State<Arc<App>>,
    caller: Caller,
    tenant: Tenant,
    Path(ids): Ids,
    Form(request): Form<PauseRequest>,
) -> Result<Redirect, ApiError> {
    let _ = schedules::pause(app, caller, tenant, Path(ids), Json(request)).await?;
    Ok(done(&address(ids.0, ids.1)))
}

pub(super) async fn resume(app: State<Arc<App>>, tenant: Tenant, Path(ids): Ids) -> Result<Redirect, ApiError> {
    let _ = schedules::resume(app, tenant, Path(ids)).await?;
    Ok(done(&address(ids.0, ids.1)))
}

pub(super) async fn guard(
    tenant: Tenant,
    Path(ids): Ids,
    Form(guard): Form<DeletionGuard>,
) -> Result<Redirect, ApiError> {
    let _ = held::set_guard(tenant, Path(ids), Json(guard)).await?;
    Ok(done(&address(ids.0, ids.1)))
}
