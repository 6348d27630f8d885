//! Jobs for whoever runs the server: what runs, what waits, what was given up, and what to do about it.

use std::sync::Arc;

use tributary_core::{
    Clock, JobId, RunId,
    job::Work,
    run::{RunKind, Trigger},
};
use tributary_store::{Db, Job, JobChange, JobFilter, NewRun, OpenJobs, Page};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such job.
    #[error("there is no such job; it may have been forgotten or discarded")]
    Unknown,
    /// It is in a state that does not allow it.
    #[error("{0}")]
    NotNow(String),
    /// The record.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
}

/// What trying a job again led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// The job itself is queued again.
    Queued,
    /// Its sync had ended; a new one was begun instead, and the job discarded.
    NewRun(RunId),
}

/// The job service.
#[derive(Clone)]
pub struct Jobs {
    db: Db,
    clock: Arc<dyn Clock>,
}

impl Jobs {
    /// Wired.
    pub fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock }
    }

    /// Jobs, newest first.
    pub async fn list(&self, filter: &JobFilter, before: Option<JobId>, limit: i64) -> Result<Page<Job>, Error> {
        Ok(self.db.system().list_jobs(filter, before, limit).await?)
    }

    /// A job.
    pub async fn get(&self, id: JobId) -> Result<Job, Error> {
        self.db.system().find_job(id).await?.ok_or(Error::Unknown)
    }

    /// The open jobs of each kind.
    pub async fn open(&self) -> Result<Vec<OpenJobs>, Error> {
        Ok(self.db.system().open_jobs().await?)
    }

    /// Tries a job again that was given up or cancelled, or has one that waits go now.
    pub async fn retry(&self, id: JobId) -> Result<Retried, Error> {
        let job = self.get(id).await?;
        if matches!(job.state.as_str(), "leased" | "done") {
            let why = if job.state == "done" { "is done" } else { "is running" };
            return Err(Error::NotNow(format!(
                "the job {why}; only one that was given up or cancelled, or that waits, can be tried again"
            )));
        }
        // A sync that ended stays what it was in the history of its source.
        if let (Work::Sync { run_id }, "dead" | "cancelled") = (&job.work, job.state.as_str()) {
            return self.sync_again(&job, *run_id).await;
        }
        match self.db.system().requeue_job(id).await {
            Ok(JobChange::Refused) => Err(Error::NotNow("the job has just changed; look at it again".to_owned())),
            Ok(_) => Ok(Retried::Queued),
            Err(tributary_store::Error::Conflict { .. }) => {
                Err(Error::NotNow("another job does the same by now; discard this one".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn sync_again(&self, job: &Job, run_id: RunId) -> Result<Retried, Error> {
        let tenant = self.db.system().tenant(job.workspace_id);
        let gone = || Error::NotNow("the source of this sync is gone; discard the job".to_owned());
        let run = tenant.find_run(run_id).await?.ok_or_else(gone)?;
        let new = NewRun {
            source_id: run.source_id,
            kind: if run.kind == RunKind::Full { RunKind::Full } else { RunKind::Sync },
            trigger: Trigger::Manual,
            accept_deletions: run.accept_deletions,
            record: run.recording.is_some(),
            connector: None,
            now: self.clock.now(),
        };
        let run_id = tenant.create_run(new).await.map_err(|error| match error {
            tributary_store::Error::NotFound(_) => gone(),
            tributary_store::Error::AlreadyRunning { .. } => {
                Error::NotNow("a sync of this source is already running; discard this job".to_owned())
            }
            error => error.into(),
        })?;
        self.db.system().discard_job(job.id).await?;
        Ok(Retried::NewRun(run_id))
    }

    /// Cancels a job that waits (true), or asks its worker to stop (false).
    pub async fn cancel(&self, id: JobId) -> Result<bool, Error> {
        if self.get(id).await?.work == Work::DeleteWorkspace {
            return Err(Error::NotNow("the deletion of a workspace cannot be cancelled".to_owned()));
        }
        match self.db.system().cancel_job(id).await? {
            JobChange::Done => Ok(true),
            JobChange::Asked => Ok(false),
            JobChange::Refused => {
                let state = self.get(id).await?.state;
                Err(Error::NotNow(format!("the job is {state}; only one that is queued or running can be cancelled")))
            }
        }
    }

    /// Forgets a job that has ended.
    pub async fn discard(&self, id: JobId) -> Result<(), Error> {
        let job = self.get(id).await?;
        if job.work == Work::DeleteWorkspace && job.state == "dead" {
            let detail =
                "without this job the workspace would stay half deleted; look at its last error, then retry it";
            return Err(Error::NotNow(detail.to_owned()));
        }
        if self.db.system().discard_job(id).await? != JobChange::Refused {
            return Ok(());
        }
        let state = job.state;
        Err(Error::NotNow(format!("the job is {state}; cancel it first, only one that has ended can be discarded")))
    }
}
