//! Sources: where documents come from.

use sqlx::types::Json;
use tributary_core::{
    Instant, SourceId,
    citation::ConnectorRef,
    run::Run,
    schedule::{Pause, ScheduleKind, Scheduled},
    source::{Condition, Health, HealthReason, PUSH_CONNECTOR, Source},
};
use uuid::Uuid;

use crate::{
    connectors,
    db::Cx,
    dialect::q,
    error::{Error, Result, missing, taken},
    guard,
    rows::{Page, json_list, limited, name_of, named, refuse_nul},
    runs,
    schedules::{self, NewSchedule},
    tenant::TenantDb,
};

/// A source to be made.
#[derive(Clone, Debug)]
pub struct NewSource {
    /// Its id; starts of its schedules are spread by it.
    pub id: SourceId,
    /// Unique in its workspace.
    pub name: String,
    /// The connector that serves it.
    pub connector: ConnectorRef,
    /// Its configuration, already validated.
    pub config: serde_json::Value,
    /// When it syncs by itself.
    pub schedules: Vec<NewSchedule>,
    /// So many failed runs in a row pause it, 0 for never; `None` takes the default.
    pub pause_after_failures: Option<i64>,
    /// Now.
    pub now: Instant,
}

/// What to change; `None` leaves a thing as it is.
#[derive(Clone, Debug, Default)]
pub struct SourceUpdate {
    /// Its name.
    pub name: Option<String>,
    /// Its configuration; the revision grows only when it differs.
    pub config: Option<serde_json::Value>,
    /// Schedules to set, and with `None` to take away; kinds that are not named stay.
    pub schedules: Vec<(ScheduleKind, Option<NewSchedule>)>,
    /// So many failed runs in a row pause it; 0 for never.
    pub pause_after_failures: Option<i64>,
    /// The connector, at another digest.
    pub connector: Option<ConnectorRef>,
}

/// So many failed runs in a row pause a source, unless it says otherwise.
const PAUSE_AFTER_FAILURES: i64 = 5;

/// A source with its schedules and its newest run.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceWithRun {
    /// The source.
    pub source: Source,
    /// Its schedules.
    pub schedules: Vec<Scheduled>,
    /// Its newest run.
    pub last_run: Option<Run>,
}

#[derive(sqlx_macros::FromRow)]
pub(crate) struct Row {
    id: Uuid,
    name: String,
    connector_id: String,
    connector_version: String,
    connector_digest: String,
    config: Json<serde_json::Value>,
    config_revision: i64,
    paused_at: Option<Instant>,
    paused_by: Option<String>,
    pause_reason: Option<String>,
    pause_note: Option<String>,
    pause_after_failures: i64,
    failures_since: Option<Instant>,
    last_run_id: Option<Uuid>,
    health: String,
    health_code: Option<String>,
    health_detail: Option<String>,
    health_since: Option<Instant>,
    last_success_at: Option<Instant>,
    last_change_at: Option<Instant>,
    created_at: Instant,
}

/// What [`Row`] reads, from a table called `s`.
macro_rules! columns {
    () => {
        "s.id, s.name, s.connector_id, s.connector_version, s.connector_digest, s.config, s.config_revision, s.paused_at,
         s.paused_by, s.pause_reason, s.pause_note, s.pause_after_failures, s.failures_since, s.last_run_id, s.health, s.health_code,
         s.health_detail, s.health_since, s.last_success_at, s.last_change_at, s.created_at"
    };
}
pub(crate) use columns;

impl TryFrom<Row> for Source {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id.into(),
            name: row.name,
            connector: ConnectorRef {
                id: row.connector_id,
                version: row.connector_version,
                digest: row.connector_digest,
            },
            config: row.config.0,
            config_revision: row.config_revision,
            pause: match (row.paused_at, row.paused_by, row.pause_reason, row.pause_note) {
                (Some(at), Some(by), Some(reason), Some(note)) => Some(Pause { at, by, reason: named(&reason)?, note }),
                _ => None,
            },
            pause_after_failures: row.pause_after_failures,
            failures_since: row.failures_since,
            last_run: row.last_run_id.map(Into::into),
            health: named(&row.health)?,
            condition: Condition {
                reason: row.health_code.zip(row.health_detail).map(|(code, detail)| HealthReason { code, detail }),
                since: row.health_since.unwrap_or(row.created_at),
                last_success_at: row.last_success_at,
                last_change_at: row.last_change_at,
            },
            created_at: row.created_at,
        })
    }
}

pub(crate) async fn insert(cx: &mut Cx, workspace: Uuid, new: NewSource) -> Result<Source> {
    refuse_nul([new.name.as_str()])?;
    refuse_nul_in_json(&new.config)?;
    connectors::hold(cx, &new.connector).await?;
    let source = Source {
        id: new.id,
        name: new.name,
        connector: new.connector,
        config: new.config,
        config_revision: 1,
        pause: None,
        pause_after_failures: new.pause_after_failures.unwrap_or(PAUSE_AFTER_FAILURES),
        failures_since: None,
        last_run: None,
        health: Health::Healthy,
        condition: Condition { reason: None, since: new.now, last_success_at: None, last_change_at: None },
        created_at: new.now,
    };
    q!(
        cx,
        execute,
        "INSERT INTO source (workspace_id, id, name, connector_id, connector_version, connector_digest, config, config_revision,
             pause_after_failures, health, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        workspace,
        source.id.0,
        &source.name,
        &source.connector.id,
        &source.connector.version,
        &source.connector.digest,
        Json(&source.config),
        source.config_revision,
        source.pause_after_failures,
        name_of(&source.health),
        source.created_at
    )
    .map_err(|error| match missing("workspace")(error) {
        Error::Database(error) => taken("name")(error),
        other => other,
    })?;
    for schedule in &new.schedules {
        schedules::set(cx, workspace, &source, schedule).await?;
    }
    Ok(source)
}

pub(crate) fn refuse_nul_in_json(value: &serde_json::Value) -> Result<()> {
    use serde_json::Value;
    match value {
        Value::String(text) => refuse_nul([text.as_str()]),
        Value::Array(items) => items.iter().try_for_each(refuse_nul_in_json),
        Value::Object(entries) => entries.iter().try_for_each(|(key, value)| {
            refuse_nul([key.as_str()])?;
            refuse_nul_in_json(value)
        }),
        _ => Ok(()),
    }
}

/// Reads a source that is not deleted.
pub(crate) async fn find(cx: &mut Cx, workspace: Uuid, id: SourceId) -> Result<Option<Source>> {
    let row = q!(
        cx,
        fetch_optional as Row,
        concat!(
            "SELECT ",
            columns!(),
            " FROM source s WHERE s.workspace_id = $1 AND s.id = $2 AND s.deleted_at IS NULL"
        ),
        workspace,
        id.0
    )?;
    row.map(Source::try_from).transpose()
}

/// The same, locked until the transaction ends. Whoever changes a source's documents or runs takes this lock first.
pub(crate) async fn lock(cx: &mut Cx, workspace: Uuid, id: SourceId) -> Result<Source> {
    let row = q!(
        cx,
        fetch_optional as Row,
        concat!(
            "SELECT ",
            columns!(),
            " FROM source s WHERE s.workspace_id = $1 AND s.id = $2 AND s.deleted_at IS NULL {lock}"
        ),
        workspace,
        id.0
    )?;
    row.ok_or(Error::NotFound("source"))?.try_into()
}

impl TenantDb {
    /// Makes a source; `Conflict` when the name is in use.
    pub async fn create_source(&self, new: NewSource) -> Result<Source> {
        let mut cx = self.write().await?;
        let source = insert(&mut cx, self.key(), new).await?;
        cx.commit().await?;
        Ok(source)
    }

    /// Makes a source whose schedules wait, with limits of its own for its deletion guard (whole percent, documents).
    pub async fn create_paused_source(
        &self,
        new: NewSource,
        pause: Pause,
        guard: Option<(i64, i64)>,
    ) -> Result<Source> {
        let mut cx = self.write().await?;
        let source = insert(&mut cx, self.key(), new).await?;
        schedules::pause(&mut cx, self.key(), source.id, &pause).await?;
        guard::limit(&mut cx, self.key(), source.id, guard).await?;
        cx.commit().await?;
        Ok(Source { pause: Some(pause), ..source })
    }

    /// A source, when there is one.
    pub async fn find_source(&self, id: SourceId) -> Result<Option<Source>> {
        if !self.audience().admits_source(id) {
            return Ok(None);
        }
        find(&mut self.read().await?, self.key(), id).await
    }

    /// A source.
    pub async fn get_source(&self, id: SourceId) -> Result<Source> {
        self.find_source(id).await?.ok_or(Error::NotFound("source"))
    }

    /// A source with its newest run, when there is one.
    pub async fn find_source_with_run(&self, id: SourceId) -> Result<Option<SourceWithRun>> {
        if !self.audience().admits_source(id) {
            return Ok(None);
        }
        let mut cx = self.read().await?;
        let Some(source) = find(&mut cx, self.key(), id).await? else { return Ok(None) };
        let last_run = match source.last_run {
            Some(run) => runs::find(&mut cx, self.key(), run).await?,
            None => None,
        };
        let schedules = schedules::of_sources(&mut cx, self.key(), &[id]).await?.remove(&id).unwrap_or_default();
        Ok(Some(SourceWithRun { source, schedules, last_run }))
    }

    /// The workspace's own source of pushed and uploaded documents: the one it was made with.
    pub async fn push_source(&self) -> Result<Source> {
        let mut cx = self.read().await?;
        let row = q!(
            cx,
            fetch_optional as Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM source s WHERE s.workspace_id = $1 AND s.connector_id = $2 ORDER BY s.id LIMIT 1"
            ),
            self.key(),
            PUSH_CONNECTOR
        )?;
        row.ok_or(Error::NotFound("workspace"))?.try_into()
    }

    /// Sources with their newest runs, oldest first.
    pub async fn list_sources(&self, after: Option<SourceId>, limit: i64) -> Result<Page<SourceWithRun>> {
        let limit = limited(limit);
        let mut cx = self.read().await?;
        let rows = q!(
            cx,
            fetch_all as Row,
            concat!(
                "SELECT ",
                columns!(),
                " FROM source s WHERE s.workspace_id = $1 AND s.id > $2 AND s.deleted_at IS NULL
                     AND ($4 IS NULL OR s.id IN {ids $4})
                 ORDER BY s.id LIMIT $3"
            ),
            self.key(),
            after.map_or(Uuid::nil(), |id| id.0),
            limit + 1,
            self.audience().sources().map(json_list).transpose()?
        )?;
        let sources = Page::of(rows, limit).try_map(Source::try_from)?;
        let ids: Vec<_> = sources.items.iter().filter_map(|source| source.last_run).collect();
        let mut last_runs = runs::find_all(&mut cx, self.key(), &json_list(&ids)?).await?;
        let ids: Vec<_> = sources.items.iter().map(|source| source.id).collect();
        let mut schedules = schedules::of_sources(&mut cx, self.key(), &ids).await?;
        sources.try_map(|source| {
            let last_run = source.last_run.and_then(|id| last_runs.remove(&id));
            let schedules = schedules.remove(&source.id).unwrap_or_default();
            Ok(SourceWithRun { source, schedules, last_run })
        })
    }

    /// Changes a source; `Conflict` when the new name is in use.
    pub async fn update_source(&self, id: SourceId, update: SourceUpdate) -> Result<Source> {
        if !self.audience().admits_source(id) {
            return Err(Error::NotFound("source"));
        }
        let mut cx = self.write().await?;
        let mut source = lock(&mut cx, self.key(), id).await?;
        if let Some(name) = update.name {
            refuse_nul([name.as_str()])?;
            source.name = name;
        }
        if let Some(config) = update.config.filter(|config| *config != source.config) {
            refuse_nul_in_json(&config)?;
            source.config = config;
            source.config_revision += 1;
        }
        if let Some(failures) = update.pause_after_failures {
            source.pause_after_failures = failures;
        }
        if let Some(connector) = update.connector {
            connectors::hold(&mut cx, &connector).await?;
            source.connector = connector;
        }
        q!(
            cx,
            execute,
            "UPDATE source SET name = $3, connector_id = $4, connector_version = $5, connector_digest = $6, config = $7,
                 config_revision = $8, pause_after_failures = $9
             WHERE workspace_id = $1 AND id = $2",
            self.key(),
            id.0,
            &source.name,
            &source.connector.id,
            &source.connector.version,
            &source.connector.digest,
            Json(&source.config),
            source.config_revision,
            source.pause_after_failures
        )
        .map_err(taken("name"))?;
        for (kind, schedule) in &update.schedules {
            match schedule {
                Some(schedule) => schedules::set(&mut cx, self.key(), &source, schedule).await?,
                None => schedules::remove(&mut cx, self.key(), id, *kind).await?,
            }
        }
        cx.commit().await?;
        Ok(source)
    }

    /// Says how a source is doing.
    pub async fn set_health(&self, id: SourceId, health: Health) -> Result<()> {
        let mut cx = self.write().await?;
        let changed = q!(
            cx,
            execute,
            "UPDATE source SET health = $3 WHERE workspace_id = $1 AND id = $2 AND deleted_at IS NULL",
            self.key(),
            id.0,
            name_of(&health)
        )?;
        if changed == 0 {
            return Err(Error::NotFound("source"));
        }
        cx.commit().await
    }
}
