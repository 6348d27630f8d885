//! Documents pushed or uploaded over the API: each request is a run of the workspace's push source.

use std::{collections::HashMap, sync::Arc};

use tributary_core::{
    Clock, DocumentId, Position, RunId, SourceId,
    document::{DocumentDraft, Outcome},
    principal::Principal,
    run::{FailedItem, Trigger},
    source::PUSH_CONNECTOR,
};
use tributary_store::TenantDb;

use super::{Intake, Item, Material};
use crate::{
    metrics::{Metrics, counted},
    plugins::Plugins,
    wake::Wake,
};

/// Most documents in one request.
const MOST_DOCUMENTS: usize = 1_000;

/// Why a push was not taken at all.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Nothing, or too much.
    #[error("a push holds 1 to {MOST_DOCUMENTS} documents, this one {0}")]
    Count(usize),
    /// Two documents with one external id.
    #[error("the external id {0:?} stands more than once in this push")]
    Duplicate(String, usize),
    /// The source is fed by a connector.
    #[error("documents can only be pushed into a source of the connector {PUSH_CONNECTOR}; this one is fed by {0}")]
    NotAPushSource(String),
    /// The next sync would bring the document back.
    #[error(
        "the source {0:?} keeps this document, its next sync would bring it back; delete it there, or leave it out of the source's configuration"
    )]
    KeptBySource(String),
    /// There is no such document.
    #[error("there is no such document")]
    NoSuchDocument,
    /// The record.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
    /// A defect.
    #[error("{0:#}")]
    Internal(#[from] anyhow::Error),
}

/// What became of one document.
#[derive(Clone, Debug)]
pub enum PushResult {
    /// Committed.
    Committed {
        /// Its id.
        document_id: DocumentId,
        /// Its current version.
        version: i64,
        /// What was done.
        outcome: Outcome,
    },
    /// Not taken.
    Failed(FailedItem),
}

/// What became of a push.
#[derive(Clone, Debug)]
pub struct PushOutcome {
    /// The run that stands for it.
    pub run_id: RunId,
    /// Its commit, when anything changed.
    pub position: Position,
    /// One result for each document, in order.
    pub results: Vec<Pushed>,
}

/// One document of a push.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Its name.
    pub external_id: String,
    /// What became of it.
    pub result: PushResult,
}

/// The push service.
pub struct Push {
    clock: Arc<dyn Clock>,
    plugins: Arc<Plugins>,
    wake: Wake,
    metrics: Metrics,
}

impl Push {
    /// Wired.
    pub fn new(clock: Arc<dyn Clock>, plugins: Arc<Plugins>, wake: Wake, metrics: Metrics) -> Self {
        Self { clock, plugins, wake, metrics }
    }

    /// Commits the good documents in one transaction and names the bad ones.
    pub async fn push(
        &self,
        tenant: &TenantDb,
        source_id: Option<SourceId>,
        items: Vec<Item>,
    ) -> Result<PushOutcome, PushError> {
        if items.is_empty() || items.len() > MOST_DOCUMENTS {
            return Err(PushError::Count(items.len()));
        }
        let mut seen = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            if seen.insert(item.external_id.as_str(), index).is_some() {
                return Err(PushError::Duplicate(item.external_id.clone(), index));
            }
        }
        let source = match source_id {
            Some(id) => tenant.get_source(id).await?,
            None => tenant.push_source().await?,
        };
        if source.connector.id != PUSH_CONNECTOR {
            return Err(PushError::NotAPushSource(source.connector.id));
        }
        let order: Vec<String> = items.iter().map(|item| item.external_id.clone()).collect();
        let bytes = items
            .iter()
            .map(|item| if let Material::Blob(blob, _) = &item.material { blob.size_bytes() as i64 } else { 0 })
            .sum();
        let intake = Intake::new(counted(self.plugins.extractor().await?, &self.metrics), tenant.clone());
        let (mut drafts, mut failed): (Vec<DocumentDraft>, Vec<FailedItem>) = (Vec::new(), Vec::new());
        let mut results: Vec<Option<PushResult>> = Vec::with_capacity(order.len());
        for taken in intake.take(items).await.map_err(anyhow::Error::from)? {
            match taken {
                Ok(draft) => {
                    drafts.push(draft);
                    results.push(None);
                }
                Err(item) => {
                    failed.push(item.clone());
                    results.push(Some(PushResult::Failed(item)));
                }
            }
        }
        let connector = self.plugins.push().clone();
        let basis = format!("{}:{}", connector.digest, source.config_revision);
        let push = tributary_store::Push {
            source_id: source.id,
            connector,
            trigger: Trigger::Api,
            drafts,
            failed,
            basis,
            bytes,
            now: self.clock.now(),
        };
        let pushed = tenant.push(push).await?;
        self.wake.documents();
        let mut committed: HashMap<String, PushResult> = pushed
            .outcome
            .committed
            .into_iter()
            .map(|done| {
                (
                    done.external_id,
                    PushResult::Committed {
                        document_id: done.document_id,
                        version: done.version,
                        outcome: done.outcome,
                    },
                )
            })
            .collect();
        let position = match pushed.outcome.position {
            Some(position) => position,
            None => tenant.position().await?,
        };
        let results = order
            .into_iter()
            .zip(results)
            .filter_map(|(external_id, failed)| {
                let result = failed.or_else(|| committed.remove(&external_id))?;
                Some(Pushed { external_id, result })
            })
            .collect();
        Ok(PushOutcome { run_id: pushed.run_id, position, results })
    }

    /// Deletes a pushed document; it is gone from answers at once, and can be restored until it is purged.
    pub async fn delete(&self, tenant: &TenantDb, id: DocumentId, by: &Principal) -> Result<(), PushError> {
        let found = tenant.find_listed(id).await?.ok_or(PushError::NoSuchDocument)?;
        let source = tenant.get_source(found.source_id).await?;
        if source.connector.id != PUSH_CONNECTOR {
            return Err(PushError::KeptBySource(source.name));
        }
        tenant.delete_document(id, &by.label(), self.clock.now()).await?.ok_or(PushError::NoSuchDocument)?;
        self.wake.documents();
        Ok(())
    }
}
