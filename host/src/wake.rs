//! Wakes sleepers early: workers when there is a job, indexers when there is a commit.
//!
//! Only an accelerator. Every sleeper also polls, so that nothing is lost when a wake-up is, or Redis is gone.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const CHANNEL: &str = "tributary:wake";

/// What to wake.
#[derive(Clone, Copy)]
enum Sleeper {
    Workers,
    Indexers,
}

impl Sleeper {
    fn name(self) -> &'static str {
        match self {
            Self::Workers => "jobs",
            Self::Indexers => "documents",
        }
    }
}

/// Wake-ups within this host and, with Redis, between hosts.
#[derive(Clone, Default)]
pub struct Wake {
    workers: Arc<Notify>,
    indexers: Arc<Notify>,
    outbox: Option<tokio::sync::mpsc::Sender<Sleeper>>,
}

impl Wake {
    /// Within this host only.
    pub fn local() -> Self {
        Self::default()
    }

    /// Also between hosts. Redis may come and go: it is tried again for ever, with one log line each time it changes.
    pub fn with_redis(client: redis::Client, shutdown: CancellationToken) -> Self {
        let (sender, receiver) = tokio::sync::mpsc::channel(64);
        let wake = Self { outbox: Some(sender), ..Self::default() };
        tokio::spawn(shutdown.clone().run_until_cancelled_owned(publish(client.clone(), receiver)));
        tokio::spawn(shutdown.run_until_cancelled_owned(listen(client, wake.workers.clone(), wake.indexers.clone())));
        wake
    }

    /// There is a job.
    pub fn jobs(&self) {
        self.workers.notify_one();
        self.send(Sleeper::Workers);
    }

    /// Documents changed.
    pub fn documents(&self) {
        self.indexers.notify_one();
        self.send(Sleeper::Indexers);
    }

    /// Until there may be a job, or `poll` has passed.
    pub async fn wait_for_jobs(&self, poll: Duration) {
        let _ = tokio::time::timeout(poll, self.workers.notified()).await;
    }

    /// Until documents may have changed, or `poll` has passed.
    pub async fn wait_for_documents(&self, poll: Duration) {
        let _ = tokio::time::timeout(poll, self.indexers.notified()).await;
    }

    fn send(&self, sleeper: Sleeper) {
        // A full outbox already holds a wake-up that has not gone out.
        if let Some(outbox) = &self.outbox {
            let _ = outbox.try_send(sleeper);
        }
    }
}

async fn publish(client: redis::Client, mut outbox: tokio::sync::mpsc::Receiver<Sleeper>) {
    let mut connection = None;
    while let Some(sleeper) = outbox.recv().await {
        if connection.is_none() {
            connection = client.get_multiplexed_async_connection().await.ok();
        }
        if let Some(open) = &mut connection {
            let sent: redis::RedisResult<()> = redis::AsyncCommands::publish(open, CHANNEL, sleeper.name()).await;
            if sent.is_err() {
                connection = None;
            }
        }
    }
}

async fn listen(client: redis::Client, workers: Arc<Notify>, indexers: Arc<Notify>) {
    let mut reachable = true;
    loop {
        let connected = async {
            let mut subscription = client.get_async_pubsub().await?;
            subscription.subscribe(CHANNEL).await?;
            redis::RedisResult::Ok(subscription)
        };
        match connected.await {
            Ok(subscription) => {
                if !reachable {
                    tracing::info!("Redis is back");
                    reachable = true;
                }
                let mut messages = subscription.into_on_message();
                while let Some(message) = messages.next().await {
                    match message.get_payload::<String>().as_deref() {
                        Ok("jobs") => workers.notify_one(),
                        Ok("documents") => indexers.notify_one(),
                        _ => {}
                    }
                }
            }
            Err(error) if reachable => {
                tracing::warn!(%error, "Redis cannot be reached; going on without it, other hosts are woken by polling");
                reachable = false;
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
