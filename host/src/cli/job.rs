//! `tributary job`: the queue, for the operator.

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use tributary_core::{JobId, job::Work};
use tributary_store::{Job as Queued, JobFilter};

use super::{operator::Common, record};
use crate::jobs::{Jobs, Retried};

#[derive(Args)]
pub(super) struct Job {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show jobs, newest first
    List(Box<List>),
    /// Show everything about a job
    Show(Box<One>),
    /// Try a job again that was given up or cancelled, or have one that waits go now
    Retry(Box<One>),
    /// Cancel a job that waits, or ask its worker to stop
    Cancel(Box<One>),
    /// Forget a job that has ended
    Discard(Box<One>),
}

#[derive(Clone, Copy, ValueEnum)]
enum State {
    Queued,
    Leased,
    Done,
    Dead,
    Cancelled,
}

#[derive(Args)]
struct List {
    /// Only in this state; dead ones were given up
    #[arg(long)]
    state: Option<State>,
    /// Only of this kind, such as sync
    #[arg(long)]
    kind: Option<String>,
    /// Only of this workspace, by slug or id
    #[arg(long)]
    workspace: Option<String>,
    /// How many, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=1000))]
    limit: i64,
    #[command(flatten)]
    common: Common,
}

#[derive(Args)]
struct One {
    /// Id of the job
    job: JobId,
    #[command(flatten)]
    common: Common,
}

impl Job {
    pub(super) fn run(self) -> anyhow::Result<()> {
        record::block_on(async {
            match self.command {
                Command::List(list) => list.run().await,
                Command::Show(one) => one.show().await,
                Command::Retry(one) => one.retry().await,
                Command::Cancel(one) => one.cancel().await,
                Command::Discard(one) => one.discard().await,
            }
        })
    }
}

impl List {
    async fn run(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let workspace = match &self.workspace {
            Some(named) => Some(operator.workspace(named).await?.0.id),
            None => None,
        };
        if let Some(kind) = &self.kind {
            ensure!(
                Work::KINDS.contains(&kind.as_str()),
                "there is no kind {kind}; there are {}",
                Work::KINDS.join(", ")
            );
        }
        let state = self.state.and_then(|state| Some(state.to_possible_value()?.get_name().to_owned()));
        let filter = JobFilter { state, kind: self.kind, workspace };
        let jobs = Jobs::new(operator.db.clone(), operator.clock.clone()).list(&filter, None, self.limit).await?.items;
        operator.print(["ID", "KIND", "STATE", "TRIES", "NOT BEFORE", "LAST ERROR"], &jobs, |job| {
            let tries = format!("{}/{}", job.attempt, job.max_attempts);
            let error: String = job.last_error.iter().flat_map(|error| error.chars()).take(80).collect();
            let when = job.run_at.format("%F %T").to_string();
            [job.id.to_string(), job.work.kind().to_owned(), job.state.clone(), tries, when, error]
        })
    }
}

impl One {
    async fn show(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let job = Jobs::new(operator.db.clone(), operator.clock.clone()).get(self.job).await?;
        operator.say(&in_words(&job), &job)
    }

    async fn retry(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let jobs = Jobs::new(operator.db.clone(), operator.clock.clone());
        let retried = jobs.retry(self.job).await?;
        // Workers that are not told find it at their next poll.
        let _ = operator.db.system().notify("jobs").await;
        operator.done("job retry", None, target(self.job)).await?;
        match retried {
            Retried::Queued => operator.say("The job is queued again.", &json!({ "job_id": self.job })),
            Retried::NewRun(run) => operator.say(
                &format!("The sync had ended; a new one is queued: run {run}. The job was discarded."),
                &json!({ "run_id": run }),
            ),
        }
    }

    async fn cancel(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        let cancelled = Jobs::new(operator.db.clone(), operator.clock.clone()).cancel(self.job).await?;
        operator.done("job cancel", None, target(self.job)).await?;
        let sentence = if cancelled { "The job is cancelled." } else { "Its worker was asked to stop." };
        operator.say(sentence, &json!({ "job_id": self.job, "cancelled": cancelled }))
    }

    async fn discard(self) -> anyhow::Result<()> {
        let operator = self.common.open().await?;
        Jobs::new(operator.db.clone(), operator.clock.clone()).discard(self.job).await?;
        operator.done("job discard", None, target(self.job)).await?;
        operator.say("The job is forgotten.", &json!({ "job_id": self.job }))
    }
}

fn target(job: JobId) -> String {
    format!("job_id={job}")
}

fn in_words(job: &Queued) -> String {
    let time = |at: &tributary_core::Instant| at.format("%F %T UTC").to_string();
    let mut lines = vec![
        ("job", job.id.to_string()),
        ("workspace", job.workspace_id.to_string()),
        ("work", serde_json::to_string(&job.work).unwrap_or_default()),
        ("state", job.state.clone()),
        ("tries", format!("{} of {}", job.attempt, job.max_attempts)),
        ("queued", time(&job.created_at)),
        ("not before", time(&job.run_at)),
    ];
    lines.extend(job.worker.clone().map(|worker| ("worker", worker)));
    lines.extend(job.lease_until.as_ref().map(|at| ("leased until", time(at))));
    lines.extend(job.finished_at.as_ref().map(|at| ("ended", time(at))));
    lines.extend(job.last_error.clone().map(|error| ("last error", error)));
    lines.into_iter().map(|(name, value)| format!("{name:<13} {value}")).collect::<Vec<_>>().join("\n")
}
