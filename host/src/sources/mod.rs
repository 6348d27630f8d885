//! Sources: making and changing them, and asking for a sync.

mod browse;
pub(crate) mod config_schema;
mod life;
mod schedules;

use std::sync::Arc;

use serde_json::Value;
use tributary_core::{
    Clock, RunId, SourceId,
    citation::ConnectorRef,
    contract::{CheckItem, Descriptor},
    run::{RunKind, Trigger},
    schedule::ScheduleKind,
    source::PUSH_CONNECTOR,
};
use tributary_sandbox::{EmptyLedger, HostServices, Meter};
use tributary_search::text;
use tributary_store::{InstalledConnector, NewRun, NewSource, SourceUpdate, SourceWithRun, TenantDb};

use crate::{
    metrics::Metrics,
    plugins::{Grants, Plugins},
    schedules::{Draft as ScheduleDraft, InvalidSchedule},
    wake::Wake,
};

pub use browse::Browse;
pub use life::purge;
pub use schedules::{LocalTime, Outlook};

/// A field at fault: JSON pointer into the request body, and what is wrong.
pub type FieldFault = (String, String);

/// Why a source was not made, changed or synced.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such connector.
    #[error("there is no connector {given:?}; this server has {known}")]
    UnknownConnector {
        /// What was asked for.
        given: String,
        /// What there is.
        known: String,
    },
    /// The configuration does not fit the connector's schema.
    #[error("the configuration does not fit the connector {connector}")]
    InvalidConfig {
        /// Which connector.
        connector: String,
        /// The fields at fault.
        faults: Vec<FieldFault>,
    },
    /// A root that the operator did not grant.
    #[error("{message}")]
    RootNotGranted {
        /// JSON pointer into the request body.
        pointer: String,
        /// The exact line to add.
        message: String,
    },
    /// The schedule does not parse.
    #[error("{fault}")]
    InvalidSchedule {
        /// JSON pointer into the request body.
        pointer: String,
        /// What is wrong.
        fault: InvalidSchedule,
    },
    /// Another field is not as it must be.
    #[error("{message}")]
    Invalid {
        /// JSON pointer into the request body.
        pointer: &'static str,
        /// What to send instead.
        message: String,
    },
    /// Two sources of one name.
    #[error("there is already a source named {0:?} in this workspace")]
    NameTaken(String),
    /// Push sources have nothing to sync.
    #[error("documents are pushed into this source; there is nothing to sync")]
    NothingToSync,
    /// There is nothing to choose from.
    #[error("{0}")]
    NothingToChoose(String),
    /// No run may use its connector.
    #[error("{0}")]
    Quarantined(String),
    /// It is there.
    #[error("this source is not deleted")]
    NotDeleted,
    /// Nor to copy.
    #[error("documents are pushed into this source; make one in the other workspace and push them there")]
    NothingToCopy,
    /// The record.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
    /// A defect.
    #[error("{0:#}")]
    Internal(#[from] anyhow::Error),
}

/// A source to be made.
#[derive(Clone, Debug)]
pub struct Draft {
    /// For people; unique in the workspace.
    pub name: String,
    /// Which connector.
    pub connector: String,
    /// Its configuration.
    pub config: Value,
    /// When it syncs by itself.
    pub schedule: Option<ScheduleDraft>,
    /// When it reads everything again by itself.
    pub full_schedule: Option<ScheduleDraft>,
    /// So many failed runs in a row pause it; 0 for never.
    pub pause_after_failures: Option<i64>,
}

/// What to change of a source; `None` leaves a field as it is.
#[derive(Clone, Debug, Default)]
pub struct Patch {
    /// For people.
    pub name: Option<String>,
    /// Its configuration, whole.
    pub config: Option<Value>,
    /// Its schedule; `Some(None)` removes it.
    pub schedule: Option<Option<ScheduleDraft>>,
    /// That of full resyncs.
    pub full_schedule: Option<Option<ScheduleDraft>>,
    /// So many failed runs in a row pause it; 0 for never.
    pub pause_after_failures: Option<i64>,
}

/// How to sync.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish {
    /// Read everything again.
    pub full: bool,
    /// Delete what is gone even when the deletion guard would hold it.
    pub accept_deletions: bool,
    /// Record what the connector is told and answers.
    pub record: bool,
}

/// The source service.
pub struct Sources {
    clock: Arc<dyn Clock>,
    plugins: Arc<Plugins>,
    wake: Wake,
    metrics: Metrics,
    grants: Arc<Grants>,
}

impl Sources {
    /// Wired.
    pub fn new(
        clock: Arc<dyn Clock>,
        plugins: Arc<Plugins>,
        wake: Wake,
        metrics: Metrics,
        grants: Arc<Grants>,
    ) -> Self {
        Self { clock, plugins, wake, metrics, grants }
    }

    /// Makes a source.
    pub async fn create(&self, tenant: &TenantDb, draft: Draft) -> Result<SourceWithRun, Error> {
        let name = valid_name(&draft.name)?;
        let connector = if draft.connector == PUSH_CONNECTOR {
            self.accept_push(&draft)?
        } else {
            let ready = self.ready(&draft.connector).await?;
            self.accept_config(&ready.descriptor, &draft.config).await?;
            ready.connector.clone()
        };
        let id = SourceId::new();
        let wanted = [(ScheduleKind::Sync, draft.schedule), (ScheduleKind::Full, draft.full_schedule)];
        let schedules = wanted.into_iter().filter_map(|(kind, draft)| Some(self.accept_schedule(id, kind, draft?)));
        let schedules = schedules.collect::<Result<Vec<_>, Error>>()?;
        let new = NewSource {
            id,
            name: name.clone(),
            connector,
            config: draft.config,
            schedules,
            pause_after_failures: schedules::accept_failures(draft.pause_after_failures)?,
            now: self.clock.now(),
        };
        let source = tenant.create_source(new).await.map_err(|error| name_taken(error, &name))?;
        self.get(tenant, source.id).await
    }

    /// Changes a source. A changed configuration moves it to the connector's current version and is read anew by the next run.
    pub async fn update(&self, tenant: &TenantDb, id: SourceId, patch: Patch) -> Result<SourceWithRun, Error> {
        let source = tenant.get_source(id).await?;
        let name = patch.name.as_deref().map(valid_name).transpose()?;
        let mut update = SourceUpdate { name: name.clone(), ..SourceUpdate::default() };
        if let Some(config) = patch.config {
            if source.connector.id == PUSH_CONNECTOR {
                accept_empty(&config)?;
            } else {
                let ready = self.ready(&source.connector.id).await?;
                self.accept_config(&ready.descriptor, &config).await?;
                update.connector = Some(ready.connector.clone());
            }
            update.config = Some(config);
        }
        update.pause_after_failures = schedules::accept_failures(patch.pause_after_failures)?;
        for (kind, draft) in [(ScheduleKind::Sync, patch.schedule), (ScheduleKind::Full, patch.full_schedule)] {
            let Some(draft) = draft else { continue };
            if draft.is_some() && source.connector.id == PUSH_CONNECTOR {
                return Err(push_has_no_schedule());
            }
            update.schedules.push((kind, draft.map(|draft| self.accept_schedule(id, kind, draft)).transpose()?));
        }
        tenant
            .update_source(id, update)
            .await
            .map_err(|error| name_taken(error, name.as_deref().unwrap_or_default()))?;
        self.get(tenant, id).await
    }

    /// Asks for a run; it starts as soon as a worker is free.
    pub async fn sync(&self, tenant: &TenantDb, id: SourceId, wish: Wish, trigger: Trigger) -> Result<RunId, Error> {
        let source = tenant.get_source(id).await?;
        if source.connector.id == PUSH_CONNECTOR {
            return Err(Error::NothingToSync);
        }
        self.refuse_quarantined(&source.connector.digest).await?;
        let run = NewRun {
            source_id: id,
            kind: if wish.full { RunKind::Full } else { RunKind::Sync },
            trigger,
            accept_deletions: wish.accept_deletions,
            record: wish.record,
            connector: None,
            now: self.clock.now(),
        };
        let run_id = tenant.create_run(run).await?;
        self.wake.jobs();
        Ok(run_id)
    }

    /// Asks for a run that shows what a sync would do and does nothing.
    pub async fn dry_run(&self, tenant: &TenantDb, id: SourceId) -> Result<RunId, Error> {
        let source = tenant.get_source(id).await?;
        if source.connector.id == PUSH_CONNECTOR {
            return Err(Error::NothingToSync);
        }
        self.refuse_quarantined(&source.connector.digest).await?;
        let run = NewRun {
            source_id: id,
            kind: RunKind::DryRun,
            trigger: Trigger::Api,
            accept_deletions: false,
            connector: None,
            record: false,
            now: self.clock.now(),
        };
        let run_id = tenant.create_run(run).await?;
        self.wake.jobs();
        Ok(run_id)
    }

    /// Tries a source's configuration without committing anything.
    pub async fn check(&self, tenant: &TenantDb, id: SourceId) -> Result<Vec<CheckItem>, Error> {
        let source = tenant.get_source(id).await?;
        let Some(ready) = self.plugins.at_digest(&source.connector.digest).await? else {
            // Removed since, or of another version of the server.
            if source.connector.id != PUSH_CONNECTOR {
                self.ready(&source.connector.id).await?;
            }
            return Ok(Vec::new());
        };
        if let Some(advice) = &ready.quarantine {
            return Err(Error::Quarantined(advice.clone()));
        }
        let files = self.grants.files(&ready, &source.config);
        let services = HostServices::new(files, Arc::new(EmptyLedger), Arc::new(Meter::default()), source.name.clone())
            .with_http(self.grants.http(&ready, tenant, &source.config));
        let checked = ready.connector.check(&source.config.to_string(), &services).await;
        self.metrics.call(&source.connector.id, &checked);
        checked.map_err(|failure| Error::InvalidConfig {
            connector: source.connector.id,
            faults: vec![(format!("/config{}", failure.config_pointer.unwrap_or_default()), failure.message)],
        })
    }

    async fn get(&self, tenant: &TenantDb, id: SourceId) -> Result<SourceWithRun, Error> {
        tenant.find_source_with_run(id).await?.ok_or(Error::Store(tributary_store::Error::NotFound("source")))
    }

    async fn refuse_quarantined(&self, digest: &str) -> Result<(), Error> {
        self.plugins.quarantine(digest).await?.map_or(Ok(()), |advice| Err(Error::Quarantined(advice)))
    }

    async fn ready(&self, id: &str) -> Result<InstalledConnector, Error> {
        if let Some(ready) = self.plugins.current(id).await? {
            return Ok(ready);
        }
        let known: Vec<_> = self.plugins.all().await?.into_iter().map(|ready| ready.connector.id).collect();
        Err(Error::UnknownConnector { given: id.chars().take(100).collect(), known: known.join(", ") })
    }

    async fn accept_config(&self, descriptor: &Descriptor, config: &Value) -> Result<(), Error> {
        let faults = config_schema::faults(&descriptor.config_schema, config).await?;
        if !faults.is_empty() {
            return Err(Error::InvalidConfig { connector: descriptor.id.clone(), faults });
        }
        self.accept_roots(descriptor, config)
    }

    /// What a configuration names is there to be read.
    fn accept_roots(&self, descriptor: &Descriptor, config: &Value) -> Result<(), Error> {
        for pointer in &descriptor.roots {
            let Some(root) = config.pointer(pointer).and_then(Value::as_str) else { continue };
            if !self.grants.has_root(root) {
                let message = format!(
                    "the root {root:?} is not granted; start the server with --root {root}=PATH, or add {root} = \"PATH\" under [roots] in its configuration file"
                );
                return Err(Error::RootNotGranted { pointer: format!("/config{pointer}"), message });
            }
        }
        Ok(())
    }

    fn accept_push(&self, draft: &Draft) -> Result<ConnectorRef, Error> {
        accept_empty(&draft.config)?;
        if draft.schedule.is_some() || draft.full_schedule.is_some() {
            return Err(push_has_no_schedule());
        }
        Ok(self.plugins.push().clone())
    }
}

fn push_has_no_schedule() -> Error {
    Error::Invalid {
        pointer: "/schedule",
        message: "documents are pushed into this source; it cannot have a schedule".to_owned(),
    }
}

fn accept_empty(config: &Value) -> Result<(), Error> {
    match config {
        Value::Object(fields) if fields.is_empty() => Ok(()),
        _ => Err(Error::InvalidConfig {
            connector: PUSH_CONNECTOR.to_owned(),
            faults: vec![("/config".to_owned(), "this connector has nothing to configure; send {}".to_owned())],
        }),
    }
}

fn valid_name(name: &str) -> Result<String, Error> {
    let name = text::line(name);
    if name.is_empty() || name.chars().count() > 100 {
        return Err(Error::Invalid { pointer: "/name", message: "a name has 1 to 100 characters".to_owned() });
    }
    Ok(name)
}

fn name_taken(error: tributary_store::Error, name: &str) -> Error {
    match error {
        tributary_store::Error::Conflict { .. } => Error::NameTaken(name.to_owned()),
        error => error.into(),
    }
}
