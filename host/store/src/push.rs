//! Pushed documents: run, page and the run's end in one transaction.

use std::collections::BTreeMap;

use tributary_core::{
    Instant, RunId, SourceId,
    citation::ConnectorRef,
    document::DocumentDraft,
    run::{FailedItem, RunKind, RunStatus, Trigger},
};

use crate::{
    error::{Error, Result},
    finish::{self, FinishRun},
    page::{PageCommit, PageOutcome, validate},
    runs::{self, NewRun},
    sources,
    tenant::TenantDb,
};

/// Documents pushed over the API: a run of one page, in one transaction.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where to; usually the workspace's push source.
    pub source_id: SourceId,
    /// The server build that takes them in.
    pub connector: ConnectorRef,
    /// What started it.
    pub trigger: Trigger,
    /// The documents.
    pub drafts: Vec<DocumentDraft>,
    /// Those that could not be read.
    pub failed: Vec<FailedItem>,
    /// As in [`PageCommit`].
    pub basis: String,
    /// Bytes taken in.
    pub bytes: i64,
    /// Now.
    pub now: Instant,
}

/// What a push did.
#[derive(Clone, Debug, PartialEq)]
pub struct Pushed {
    /// Its run, ended.
    pub run_id: RunId,
    /// What was committed.
    pub outcome: PageOutcome,
}

impl TenantDb {
    /// Run, page and end of a push in one transaction.
    pub async fn push(&self, push: Push) -> Result<Pushed> {
        if !self.audience().admits_source(push.source_id) {
            return Err(Error::NotFound("source"));
        }
        let new = NewRun {
            source_id: push.source_id,
            kind: RunKind::Push,
            trigger: push.trigger,
            accept_deletions: false,
            connector: Some(push.connector),
            record: false,
            now: push.now,
        };
        let mut page = PageCommit {
            run_id: RunId::new(),
            source_id: push.source_id,
            page_no: 0,
            drafts: push.drafts,
            containers: Vec::new(),
            deletes: Vec::new(),
            failed: push.failed,
            state: BTreeMap::new(),
            cursor: None,
            traversal: None,
            progress: None,
            bytes: push.bytes,
            requests: 1,
            basis: push.basis,
            now: push.now,
        };
        validate(&page)?;
        let mut cx = self.write().await?;
        let source = sources::lock(&mut cx, self.key(), push.source_id).await?;
        page.run_id = runs::insert(&mut cx, self.key(), &source, &new).await?;
        let outcome = self.write_page(&mut cx, &page).await?;
        let accepted = !outcome.committed.is_empty();
        let status = match outcome.counts.failed {
            0 => RunStatus::Succeeded,
            _ if accepted => RunStatus::Partial,
            _ => RunStatus::Failed,
        };
        let end = FinishRun {
            run_id: page.run_id,
            status,
            error: None,
            prune: None,
            allow_deletions: false,
            health: None,
            killed: None,
            now: push.now,
        };
        finish::end(&mut cx, self.key(), &end).await?;
        cx.commit().await?;
        Ok(Pushed { run_id: page.run_id, outcome })
    }
}
