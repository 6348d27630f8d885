//! Shapes shared by several routes, exactly as the API documents them.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{
    RunId, SourceId,
    citation::ConnectorRef,
    query::FieldOp,
    run::{self, RunKind, RunStatus, Trigger},
    schedule::{self, Overlap, PauseReason, Rhythm, ScheduleKind},
    source::{self, Health},
};
use tributary_store::{DeletedSource, SourceWithRun};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::problem::{FieldError, Problem};
use crate::schedules;

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct List<T> {
    /// The page.
    pub items: Vec<T>,
    /// Send it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A page of the store as a page of the API; the cursor is the id of its last item.
    pub(super) fn of<U>(page: tributary_store::Page<U>, cursor: impl Fn(&U) -> String, show: impl Fn(U) -> T) -> Self {
        let next_cursor = if page.more { page.items.last().map(cursor) } else { None };
        Self { items: page.items.into_iter().map(show).collect(), next_cursor }
    }
}

/// Paging of every list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// `next_cursor` of the page before.
    pub cursor: Option<Uuid>,
    /// Items in a page, 1 to 100.
    pub limit: Option<u16>,
}

impl Paging {
    pub(super) fn limit(&self) -> i64 {
        limit(self.limit)
    }
}

/// Paging of lists whose items are numbered.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Numbered {
    /// `next_cursor` of the page before.
    pub cursor: Option<i64>,
    /// Items in a page, 1 to 100.
    pub limit: Option<u16>,
}

/// Clamped rather than refused: asking for more than there may be is no mistake.
pub(super) fn limit(given: Option<u16>) -> i64 {
    i64::from(given.unwrap_or(50).clamp(1, 100))
}

/// The exact connector that produced something.
#[derive(Serialize, ToSchema)]
pub(super) struct Connector {
    pub id: String,
    pub version: String,
    /// SHA-256 of the component.
    pub digest: String,
}

impl From<ConnectorRef> for Connector {
    fn from(ConnectorRef { id, version, digest }: ConnectorRef) -> Self {
        Self { id, version, digest }
    }
}

/// When a source syncs by itself: `cron`, or `every`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScheduleBody {
    /// Five fields (minute hour day month weekday), six with the second first, or a name such as `@daily`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "0 3 * * *")]
    pub cron: Option<String>,
    /// IANA time zone of `cron`; UTC when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub timezone: Option<String>,
    /// Elapsed time, at least a minute: `15m`, `2h`, `1d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every: Option<String>,
    /// When the source is busy with another sync: skip, queue (run once when it is over) or cancel (ask it to stop, then run).
    #[schema(value_type = Option<String>, example = "skip")]
    pub overlap: Option<Overlap>,
    /// What was missed within this time becomes one run, older slots are dropped. `24h` when absent.
    pub catch_up: Option<String>,
    /// Starts are spread over so much time after the moment. When absent, a minute, or a tenth of the time to the next moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<String>,
}

impl From<ScheduleBody> for schedules::Draft {
    fn from(ScheduleBody { cron, timezone, every, overlap, catch_up, jitter }: ScheduleBody) -> Self {
        Self { cron, timezone, every, overlap, catch_up, jitter }
    }
}

impl From<schedule::Schedule> for ScheduleBody {
    fn from(schedule: schedule::Schedule) -> Self {
        let (cron, timezone, every) = match schedule.rhythm {
            Rhythm::Cron { expression, timezone } => (Some(expression), Some(timezone), None),
            Rhythm::Every { seconds } => (None, None, Some(schedules::in_words(seconds))),
        };
        Self {
            cron,
            timezone,
            every,
            overlap: Some(schedule.overlap),
            catch_up: Some(schedules::in_words(schedule.catch_up_s)),
            jitter: schedule.jitter_s.map(schedules::in_words),
        }
    }
}

/// Why a source's schedules wait.
#[derive(Serialize, ToSchema)]
pub(super) struct Paused {
    pub at: DateTime<Utc>,
    /// Who paused it, such as `user:…`; `schedule` is the server itself.
    pub by: String,
    /// by_hand, failures or schedule.
    #[schema(value_type = String)]
    pub reason: PauseReason,
    /// In words, and what to do.
    pub note: String,
}

/// A source.
#[derive(Serialize, ToSchema)]
pub(super) struct Source {
    pub id: Uuid,
    pub name: String,
    pub connector: Connector,
    pub config: serde_json::Value,
    pub schedule: Option<ScheduleBody>,
    /// When everything is read again.
    pub full_schedule: Option<ScheduleBody>,
    /// The next start of either schedule; null without one and while the source is paused.
    pub next_run_at: Option<DateTime<Utc>>,
    /// Set while its schedules wait.
    pub paused: Option<Paused>,
    /// So many failed runs in a row pause it; 0 for never.
    pub pause_after_failures: i64,
    pub last_run: Option<Run>,
    /// healthy, degraded, failing, needs_attention or paused.
    #[schema(value_type = String)]
    pub health: Health,
    /// Why it is not healthy, and what to do.
    pub health_reason: Option<HealthReason>,
    pub health_since: DateTime<Utc>,
    /// The end of the last run that was not given up.
    pub last_success_at: Option<DateTime<Utc>>,
    /// The end of the last run that changed a document.
    pub last_change_at: Option<DateTime<Utc>>,
    /// Seconds the source is behind its schedule: its moment has passed, or its run waits for a worker.
    pub behind_s: i64,
    pub created_at: DateTime<Utc>,
    /// Only of a deleted source.
    #[serde(skip_serializing_if = "Option::is_none")]
    deletion: Option<SourceDeletion>,
}

/// How a source was deleted, and how long it can be restored.
#[derive(Serialize, ToSchema)]
pub(super) struct SourceDeletion {
    at: DateTime<Utc>,
    /// `user:ID`, `key:ID` or `operator`.
    by: Option<String>,
    /// From when on it is removed for good.
    purge_at: DateTime<Utc>,
    /// Set while it is being removed: what is gone by then does not come back.
    purging_since: Option<DateTime<Utc>>,
    /// Documents that are still kept, hidden; fewer and fewer while it is being removed.
    documents: i64,
}

impl Source {
    /// A deleted one, in a workspace that removes such after so many days.
    pub(super) fn deleted(it: DeletedSource, purge_after_days: u16) -> Self {
        let deletion = SourceDeletion {
            at: it.deleted_at,
            by: it.deleted_by,
            purge_at: it.purging_at.unwrap_or(it.deleted_at + TimeDelta::days(purge_after_days.into())),
            purging_since: it.purging_at,
            documents: it.documents,
        };
        let source = SourceWithRun { source: it.source, schedules: it.schedules, last_run: None };
        Self { deletion: Some(deletion), behind_s: 0, ..source.into() }
    }
}

/// Why a source is not healthy.
#[derive(Serialize, ToSchema)]
pub(super) struct HealthReason {
    /// Stable, snake_case.
    pub code: String,
    /// What happened and what to do.
    pub detail: String,
}

/// Seconds behind schedule.
fn behind_s(next_run_at: Option<DateTime<Utc>>, last_run: Option<&run::Run>) -> i64 {
    let queued = last_run.filter(|run| run.status == RunStatus::Queued && run.trigger == Trigger::Schedule);
    let due = queued.map(|run| run.queued_at).into_iter().chain(next_run_at).min();
    due.map_or(0, |due| (Utc::now() - due).num_seconds().max(0))
}

impl From<SourceWithRun> for Source {
    fn from(SourceWithRun { source, schedules, last_run }: SourceWithRun) -> Self {
        let schedule = |kind: ScheduleKind| {
            schedules.iter().find(|scheduled| scheduled.kind == kind).map(|scheduled| scheduled.schedule.clone().into())
        };
        let next_run_at = schedules.iter().filter_map(|scheduled| scheduled.next).map(|next| next.at).min();
        let behind_s = behind_s(next_run_at, last_run.as_ref());
        let condition = source.condition;
        let stored = condition.reason.map(|source::HealthReason { code, detail }| HealthReason { code, detail });
        // What stands behind a pause is told by the last run.
        let paused =
            source.pause.as_ref().map(|pause| HealthReason { code: "paused".to_owned(), detail: pause.note.clone() });
        Self {
            deletion: None,
            behind_s,
            health_reason: paused.or(stored),
            health_since: source.pause.as_ref().map_or(condition.since, |pause| pause.at),
            last_success_at: condition.last_success_at,
            last_change_at: condition.last_change_at,
            id: source.id.0,
            name: source.name,
            connector: source.connector.into(),
            config: source.config,
            schedule: schedule(ScheduleKind::Sync),
            full_schedule: schedule(ScheduleKind::Full),
            next_run_at,
            health: if source.pause.is_some() { Health::Paused } else { source.health },
            paused: source.pause.map(|pause| Paused {
                at: pause.at,
                by: pause.by,
                reason: pause.reason,
                note: pause.note,
            }),
            pause_after_failures: source.pause_after_failures,
            last_run: last_run.map(|run| Run::new(run, Vec::new())),
            created_at: source.created_at,
        }
    }
}

/// What a run did.
#[derive(Serialize, ToSchema)]
pub(super) struct Counts {
    /// Items the source named.
    pub seen: i64,
    pub added: i64,
    pub updated: i64,
    pub unchanged: i64,
    pub deleted: i64,
    pub failed: i64,
}

/// How far a run has come.
#[derive(Serialize, ToSchema)]
pub(super) struct Progress {
    pub done: u64,
    /// Null when the source cannot tell.
    pub total: Option<u64>,
    pub phase: String,
}

/// An item that could not be read.
#[derive(Serialize, ToSchema)]
pub(super) struct FailedItem {
    pub external_id: String,
    /// What kind of failure: unsupported, too_large, permission, …
    #[schema(value_type = String)]
    pub fault: tributary_core::contract::Fault,
    pub message: String,
}

impl From<run::FailedItem> for FailedItem {
    fn from(run::FailedItem { external_id, fault, message }: run::FailedItem) -> Self {
        Self { external_id, fault, message }
    }
}

/// What a worker is doing.
#[derive(Serialize, ToSchema)]
pub(super) struct RunStage {
    /// pull, extract or index.
    #[schema(value_type = String)]
    pub name: run::StageName,
    pub since: DateTime<Utc>,
    /// When it last moved on.
    pub moved_at: DateTime<Utc>,
}

impl From<run::Stage> for RunStage {
    fn from(run::Stage { name, since, moved_at }: run::Stage) -> Self {
        Self { name, since, moved_at }
    }
}

/// A pause of a run.
#[derive(Serialize, ToSchema)]
pub(super) struct RunWaiting {
    /// quota (the source asked to slow down) or retry.
    #[schema(value_type = String)]
    pub reason: run::WaitingFor,
    pub until: DateTime<Utc>,
}

impl From<run::Waiting> for RunWaiting {
    fn from(run::Waiting { reason, until }: run::Waiting) -> Self {
        Self { reason, until }
    }
}

/// A run of a source.
#[derive(Serialize, ToSchema)]
pub(super) struct Run {
    pub id: Uuid,
    /// sync, full, push or dry_run.
    #[schema(value_type = String)]
    pub kind: RunKind,
    /// queued, running, waiting, succeeded, partial, failed or cancelled.
    #[schema(value_type = String)]
    pub status: RunStatus,
    /// schedule, manual, api or webhook.
    #[schema(value_type = String)]
    pub trigger: Trigger,
    pub queued_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    /// From the start to the end, pauses included.
    pub duration_ms: Option<i64>,
    /// What its worker is doing; null while no worker has it.
    pub stage: Option<RunStage>,
    /// What it waits for.
    pub waiting: Option<RunWaiting>,
    /// The run whose failed items this one reads again.
    pub retry_of: Option<Uuid>,
    /// The revision of the source's configuration it ran with.
    pub config_revision: i64,
    /// Pages committed.
    pub pages: i64,
    pub counts: Counts,
    /// Bytes read from the source.
    pub bytes: i64,
    /// Requests made of the source.
    pub requests: i64,
    pub progress: Option<Progress>,
    pub error: Option<Problem>,
    /// At most 100; `counts.failed` has the number.
    pub failed_items: Vec<FailedItem>,
    pub connector: Connector,
    /// The newest commit of this run: send it as `min_position` to search what it brought.
    pub position: Option<i64>,
}

impl Run {
    pub(super) fn new(run: run::Run, failed_items: Vec<run::FailedItem>) -> Self {
        let run::Counts { seen, added, updated, unchanged, deleted, failed } = run.counts;
        let error = run.error.map(|error| {
            let mut problem =
                Problem::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, &error.code, error.detail.clone());
            problem.errors.extend(error.config_pointer.map(|pointer| FieldError { pointer, detail: error.detail }));
            problem
        });
        Self {
            id: run.id.0,
            kind: run.kind,
            status: run.status,
            trigger: run.trigger,
            queued_at: run.queued_at,
            duration_ms: run.started_at.zip(run.finished_at).map(|(from, to)| (to - from).num_milliseconds()),
            stage: run.stage.map(Into::into),
            waiting: run.waiting.map(Into::into),
            retry_of: run.retry_of.map(|run| run.0),
            config_revision: run.config_revision,
            pages: run.page_no,
            started_at: run.started_at,
            finished_at: run.finished_at,
            counts: Counts { seen, added, updated, unchanged, deleted, failed },
            bytes: run.bytes,
            requests: run.requests,
            progress: run.progress.filter(|_| !run.status.is_final()).map(|progress| Progress {
                done: progress.done,
                total: progress.total,
                phase: progress.phase,
            }),
            error,
            failed_items: failed_items.into_iter().map(Into::into).collect(),
            connector: run.connector.into(),
            position: run.position,
        }
    }
}

/// What a query looks at; nothing set means everything.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Filters {
    /// Any of these sources.
    #[schema(value_type = Vec<Uuid>)]
    source_ids: Vec<SourceId>,
    /// Any of these kinds.
    kinds: Vec<String>,
    /// Any of these languages; `de` matches `de-AT`.
    languages: Vec<String>,
    /// Changed after this moment.
    updated_after: Option<DateTime<Utc>>,
    /// All of these.
    #[schema(value_type = Vec<FieldFilter>)]
    fields: Vec<tributary_core::query::FieldFilter>,
}

/// A condition on one field, such as `{"name": "price", "op": "lt", "value": 100}`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes tributary_core::query::FieldFilter in the OpenAPI document")]
pub(super) struct FieldFilter {
    /// Field name.
    name: String,
    /// eq, ne, lt, lte, gt, gte or in.
    op: String,
    /// A string, number or boolean; a list of them for `in`. Money compares by amount.
    value: serde_json::Value,
}

/// More conditions than these are refused.
const MOST_CONDITIONS: usize = 100;

impl Filters {
    /// The filters, when they are not too many.
    pub(super) fn checked(self) -> Result<tributary_core::query::Filters, super::ApiError> {
        let Self { source_ids, kinds, languages, updated_after, fields } = self;
        if source_ids.len() + kinds.len() + languages.len() + fields.len() > MOST_CONDITIONS {
            let detail = format!("filters hold at most {MOST_CONDITIONS} conditions in all");
            return Err(super::ApiError::new(
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_body",
                detail.clone(),
            )
            .at("/filters", detail));
        }
        for (index, filter) in fields.iter().enumerate() {
            let fits = match (filter.op, &filter.value) {
                (FieldOp::In, value) => value.is_array(),
                (_, value) => value.is_string() || value.is_number() || value.is_boolean(),
            };
            if !fits {
                let detail = "the value is a string, a number or a boolean; a list of them for the op `in`";
                let pointer = format!("/filters/fields/{index}/value");
                return Err(super::ApiError::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail)
                    .at(pointer, detail));
            }
        }
        Ok(tributary_core::query::Filters { source_ids, kinds, languages, updated_after, fields })
    }
}

/// A passage that an answer or result rests on.
#[derive(Serialize, ToSchema)]
pub(super) struct Citation {
    /// As `[1]` in the answer.
    number: u32,
    document_id: Uuid,
    document_version: i64,
    external_id: String,
    title: String,
    url: Option<String>,
    source: SourceRef,
    #[schema(value_type = Uuid)]
    run_id: RunId,
    connector: Connector,
    /// Headings above the passage.
    section: Vec<String>,
    /// `{"page": 4}`, `{"fragment": "returns"}`, …
    locator: Option<serde_json::Value>,
    cited_text: String,
    /// Character offset of `cited_text` in the version's text.
    start: i64,
    /// End of it, exclusive.
    end: i64,
    /// SHA-256 of `cited_text`.
    text_hash: String,
    ingested_at: DateTime<Utc>,
    /// current, changed (there is a newer version) or removed (gone at its source).
    #[schema(value_type = String)]
    status: tributary_core::citation::CitationStatus,
}

/// A source by name.
#[derive(Serialize, ToSchema)]
pub(super) struct SourceRef {
    id: Uuid,
    name: String,
}

impl From<tributary_core::citation::Citation> for Citation {
    fn from(citation: tributary_core::citation::Citation) -> Self {
        Self {
            number: citation.number,
            document_id: citation.document_id.0,
            document_version: citation.document_version,
            external_id: citation.external_id,
            title: citation.title,
            url: citation.url,
            source: SourceRef { id: citation.source.id.0, name: citation.source.name },
            run_id: citation.run_id,
            connector: citation.connector.into(),
            section: citation.section,
            locator: citation.locator.and_then(|locator| serde_json::to_value(locator).ok()),
            cited_text: citation.cited_text,
            start: citation.start,
            end: citation.end,
            text_hash: citation.text_hash.to_string(),
            ingested_at: citation.ingested_at,
            status: citation.status,
        }
    }
}
