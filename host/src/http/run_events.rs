//! A run as it goes on: its state as server-sent events, read from the database, so that any host can tell of any host's run.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt, stream};
use serde::Serialize;
use tributary_core::{RunId, SourceId, WorkspaceId, access::Action, run};
use tributary_store::TenantDb;
use utoipa::ToSchema;

use super::{
    ApiError,
    access::Tenant,
    dto::Run,
    extract::{Path, bearer},
    runs::find,
};
use crate::{app::App, auth, limits::streams::Seat};

/// How often the run is looked at.
const POLL: Duration = Duration::from_millis(500);
/// A comment is sent when nothing else was, so that no proxy takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A rate over less time than this says little.
const SHORTEST_S: f64 = 3.0;

/// What a run is doing. The last event is called `done` and has its end.
#[derive(Serialize, ToSchema)]
pub(super) struct RunState {
    /// The run, as `GET` shows it, without failed items.
    pub run: Run,
    /// Items done.
    pub done: u64,
    /// Null when the source cannot tell.
    pub total: Option<u64>,
    /// Items a second; null in the first seconds and while nothing is worked on.
    pub rate: Option<f64>,
    /// When it will have done `total` at this rate.
    pub eta: Option<DateTime<Utc>>,
}

impl RunState {
    /// As it is now, without having watched it.
    pub(super) fn at_a_glance(run: Run) -> Self {
        let done = run.progress.as_ref().map_or(run.counts.seen.cast_unsigned(), |progress| progress.done);
        let total = run.progress.as_ref().and_then(|progress| progress.total);
        Self { run, done, total, rate: None, eta: None }
    }
}

/// Watch a run
///
/// `state` whenever something changed, `done` with its end, which ends the stream. `end` ends it early, with the reason: log in again,
/// or connect again. An id names a state: sent back as `Last-Event-ID`, that state is not sent again.
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs/{run_id}/events", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), ("run_id" = Uuid, Path)),
    responses((status = 200, content_type = "text/event-stream", body = RunState), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 503, description = "Too many streams are open", body = super::Problem)),
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, source, id)): Path<(WorkspaceId, SourceId, RunId)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    Ok(stream(watch(app, tenant, source, id, &headers).await?, |state| {
        serde_json::to_string(&state).unwrap_or_default()
    }))
}

/// What a watcher is told.
pub(super) enum Told {
    /// How it is now. With `last` nothing more comes.
    State { id: String, state: Box<RunState>, last: bool },
    /// Nothing more comes, though the run may go on.
    End { code: &'static str, detail: &'static str },
}

/// Watches a run, for as long as the bearer credential among the headers holds.
pub(super) async fn watch(
    app: Arc<App>,
    tenant: TenantDb,
    source: SourceId,
    id: RunId,
    headers: &HeaderMap,
) -> Result<impl Stream<Item = Told> + Send + use<>, ApiError> {
    find(&tenant, source, id).await?;
    let Some(seat) = app.streams.take(tenant.workspace_id()) else {
        let detail = "too many runs are being watched on this host; close one, or ask for the run now and then instead";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", detail).retry_after(10));
    };
    let watch = Watch {
        app,
        tenant,
        run: id,
        bearer: bearer(headers).unwrap_or_default().to_owned(),
        sent: headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned),
        first: None,
        fresh: true,
        over: false,
        _seat: seat,
    };
    Ok(stream::unfold(watch, |mut watch| async move {
        let told = watch.next().await?;
        Some((told, watch))
    }))
}

/// What is told as server-sent events: a state as `show` writes it, an early end as code and detail.
pub(super) fn stream(
    told: impl Stream<Item = Told> + Send + 'static,
    show: impl Fn(RunState) -> String + Send + 'static,
) -> Response {
    let events = told.map(move |told| {
        Ok::<_, Infallible>(match told {
            Told::State { id, state, last } => {
                Event::default().id(id).event(if last { "done" } else { "state" }).data(show(*state))
            }
            Told::End { code, detail } => {
                Event::default().event("end").data(serde_json::json!({ "code": code, "detail": detail }).to_string())
            }
        })
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

struct Watch {
    app: Arc<App>,
    tenant: TenantDb,
    run: RunId,
    bearer: String,
    /// The id of the last event.
    sent: Option<String>,
    /// When this stream first saw the run at work, and how much was done then.
    first: Option<(DateTime<Utc>, u64)>,
    fresh: bool,
    over: bool,
    _seat: Seat,
}

impl Watch {
    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<Told> {
        while !self.over {
            if !std::mem::take(&mut self.fresh) {
                let stopping = self.app.stopping();
                if stopping.run_until_cancelled(tokio::time::sleep(POLL)).await.is_none() {
                    return self.end("stopping", "this host is stopping; connect again");
                }
            }
            if !self.still_allowed().await {
                return self.end("unauthenticated", "your access ended or changed; log in and connect again");
            }
            // A database that does not answer now may do so the next time.
            let Ok(run) = self.tenant.find_run(self.run).await else { continue };
            let Some(run) = run else { return self.end("not_found", "the run is not there any more") };
            let id = mark(&run);
            self.over = run.status.is_final();
            if self.sent.as_ref() == Some(&id) && !self.over {
                continue;
            }
            self.sent = Some(id.clone());
            let state = Box::new(self.state(run, self.app.clock.now()));
            return Some(Told::State { id, state, last: self.over });
        }
        None
    }

    fn end(&mut self, code: &'static str, detail: &'static str) -> Option<Told> {
        self.over = true;
        Some(Told::End { code, detail })
    }

    /// As at the first request: the credential holds, and the caller may see this source.
    async fn still_allowed(&self) -> bool {
        let workspace = self.tenant.workspace_id();
        match self.app.auth.authenticate(&self.bearer).await {
            Ok(caller) => {
                caller.may(Action::ReadSources, workspace) == Some(true)
                    && caller.access(workspace).is_some_and(|grant| grant.audience == *self.tenant.audience())
            }
            // A database that does not answer says nothing about anybody.
            Err(auth::Error::Store(_)) => true,
            Err(_) => false,
        }
    }

    fn state(&mut self, run: run::Run, now: DateTime<Utc>) -> RunState {
        let done = run.progress.as_ref().map_or(run.counts.seen.cast_unsigned(), |progress| progress.done);
        let total = run.progress.as_ref().and_then(|progress| progress.total);
        let working = run.status == run::RunStatus::Running;
        if !working {
            self.first = None;
        }
        let (since, before) = *self.first.get_or_insert((now, done));
        let elapsed_s = (now - since).as_seconds_f64();
        let rate = (working && elapsed_s >= SHORTEST_S)
            .then(|| done.saturating_sub(before) as f64 / elapsed_s)
            .map(|rate| (rate * 10.0).round() / 10.0);
        let eta = rate.filter(|rate| *rate > 0.0).zip(total).and_then(|(rate, total)| {
            let left_s = total.saturating_sub(done) as f64 / rate;
            // Longer than a year is no estimate.
            (left_s < 31_536_000.0).then(|| now + Duration::from_secs_f64(left_s))
        });
        RunState { done, total, rate, eta, run: Run::new(run, Vec::new()) }
    }
}

/// Names a state of a run: equal when nothing a reader could see changed.
fn mark(run: &run::Run) -> String {
    format!("{:08x}", crc32fast::hash(format!("{run:?}").as_bytes()))
}
