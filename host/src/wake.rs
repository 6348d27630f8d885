//! Wakes sleepers early: workers when there is a job, indexers when there is a commit.
//!
//! Only an accelerator. Every sleeper also polls, so that nothing is lost when a wake-up is, or when Redis or the listening connection
//! is gone. Hosts tell each other through PostgreSQL (LISTEN and NOTIFY) and, where there is one, through Redis; whichever is faster wins.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tributary_store::{Db, Engine, SystemDb};
use uuid::Uuid;

const CHANNEL: &str = "tributary:wake";
/// Between two attempts to reach what is gone.
const AGAIN: Duration = Duration::from_secs(1);

/// What to wake.
#[derive(Clone, Copy, PartialEq, Eq)]
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

/// Wake-ups within this host and between hosts.
#[derive(Clone)]
pub struct Wake {
    sleepers: Sleepers,
    outboxes: Vec<mpsc::Sender<Sleeper>>,
}

/// Who sleeps on this host.
#[derive(Clone)]
struct Sleepers {
    /// Its name among the hosts: what it says is no news to itself.
    host: Uuid,
    workers: watch::Sender<()>,
    indexers: Arc<Notify>,
}

/// What a pool of workers hears.
pub struct JobWakes(watch::Receiver<()>);

impl JobWakes {
    /// What was heard so far is known.
    pub fn heard(&mut self) {
        self.0.mark_unchanged();
    }

    /// Until there may be a job that was not known, or so long.
    pub async fn wait(&mut self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.0.changed()).await;
    }
}

impl Wake {
    /// Within this host only.
    pub fn local() -> Self {
        let sleepers = Sleepers { host: Uuid::now_v7(), workers: watch::Sender::new(()), indexers: Arc::default() };
        Self { sleepers, outboxes: Vec::new() }
    }

    /// Also between the hosts of a database. What is gone is tried again for ever, with one log line each time that changes.
    pub fn between_hosts(db: &Db, redis: Option<redis::Client>, shutdown: &CancellationToken) -> Self {
        let mut wake = Self::local();
        let spawn = |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            tokio::spawn(shutdown.clone().run_until_cancelled_owned(task));
        };
        if db.engine() == Engine::Postgres {
            let (sender, outbox) = mpsc::channel(64);
            wake.outboxes.push(sender);
            spawn(Box::pin(notify(db.system(), wake.sleepers.host, outbox)));
            spawn(Box::pin(listen(db.system(), wake.sleepers.clone())));
        }
        if let Some(client) = redis {
            let (sender, outbox) = mpsc::channel(64);
            wake.outboxes.push(sender);
            spawn(Box::pin(publish(client.clone(), wake.sleepers.host, outbox)));
            spawn(Box::pin(subscribe(client, wake.sleepers.clone())));
        }
        wake
    }

    /// There is a job.
    pub fn jobs(&self) {
        self.sleepers.wake(Sleeper::Workers);
        self.tell(Sleeper::Workers);
    }

    /// A job ended here, so that its workspace may have room for another. Only of interest to this host, and only to those who sleep.
    pub fn job_ended(&self) {
        self.sleepers.wake(Sleeper::Workers);
    }

    /// Documents changed.
    pub fn documents(&self) {
        self.sleepers.wake(Sleeper::Indexers);
        self.tell(Sleeper::Indexers);
    }

    /// For a pool of workers; each hears everything.
    pub fn of_jobs(&self) -> JobWakes {
        JobWakes(self.sleepers.workers.subscribe())
    }

    /// Until documents may have changed, or `poll` has passed.
    pub async fn wait_for_documents(&self, poll: Duration) {
        let _ = tokio::time::timeout(poll, self.sleepers.indexers.notified()).await;
    }

    fn tell(&self, sleeper: Sleeper) {
        for outbox in &self.outboxes {
            // A full outbox already holds a wake-up that has not gone out.
            let _ = outbox.try_send(sleeper);
        }
    }
}

impl Sleepers {
    fn wake(&self, sleeper: Sleeper) {
        match sleeper {
            Sleeper::Workers => {
                self.workers.send_replace(());
            }
            Sleeper::Indexers => self.indexers.notify_one(),
        }
    }

    /// What another host said: `jobs HOST` or `documents HOST`.
    fn hear(&self, word: &str) {
        let (sleeper, host) = word.split_once(' ').unwrap_or((word, ""));
        if host.parse() == Ok(self.host) {
            return;
        }
        match sleeper {
            "jobs" => self.wake(Sleeper::Workers),
            "documents" => self.wake(Sleeper::Indexers),
            _ => {}
        }
    }

    fn wake_all(&self) {
        self.wake(Sleeper::Workers);
        self.wake(Sleeper::Indexers);
    }
}

/// The next words to say: what came in while the last ones were on their way is said once.
async fn next_words(outbox: &mut mpsc::Receiver<Sleeper>, host: Uuid) -> Option<Vec<String>> {
    let mut sleepers = vec![outbox.recv().await?];
    while let Ok(sleeper) = outbox.try_recv() {
        if !sleepers.contains(&sleeper) {
            sleepers.push(sleeper);
        }
    }
    Some(sleepers.into_iter().map(|sleeper| format!("{} {host}", sleeper.name())).collect())
}

async fn notify(system: SystemDb, host: Uuid, mut outbox: mpsc::Receiver<Sleeper>) {
    while let Some(words) = next_words(&mut outbox, host).await {
        for word in words {
            // Whoever is not told polls; whoever wrote what this tells of has said that the database is gone.
            let _ = system.notify(&word).await;
        }
    }
}

async fn listen(system: SystemDb, sleepers: Sleepers) {
    let mut reachable = true;
    loop {
        let listener = system.listen().await;
        if let Ok(Some(mut listener)) = listener {
            if !reachable {
                tracing::info!("PostgreSQL is back; listening for other hosts again");
                reachable = true;
            }
            // Something may have been said while nobody listened.
            sleepers.wake_all();
            while let Ok(word) = listener.next().await {
                match word {
                    Some(word) => sleepers.hear(&word),
                    None => sleepers.wake_all(),
                }
            }
        } else if let Err(error) = listener
            && reachable
        {
            tracing::warn!(%error, "PostgreSQL cannot be listened to; other hosts are heard of by polling");
            reachable = false;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn publish(client: redis::Client, host: Uuid, mut outbox: mpsc::Receiver<Sleeper>) {
    let mut connection = None;
    while let Some(words) = next_words(&mut outbox, host).await {
        for word in words {
            // A connection of before Redis was restarted fails once.
            for _ in 0..2 {
                if connection.is_none() {
                    connection = client.get_multiplexed_async_connection().await.ok();
                }
                let Some(open) = &mut connection else { break };
                let sent: redis::RedisResult<()> = redis::AsyncCommands::publish(open, CHANNEL, &word).await;
                if sent.is_ok() {
                    break;
                }
                connection = None;
            }
        }
    }
}

async fn subscribe(client: redis::Client, sleepers: Sleepers) {
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
                    tracing::info!("Redis is back; hosts wake each other through it again");
                    reachable = true;
                    sleepers.wake_all();
                }
                let mut messages = subscription.into_on_message();
                while let Some(message) = messages.next().await {
                    if let Ok(word) = message.get_payload::<String>() {
                        sleepers.hear(&word);
                    }
                }
            }
            Err(error) if reachable => {
                tracing::warn!(%error, "Redis cannot be reached; going on without it, other hosts are woken by polling");
                reachable = false;
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tributary_store::testing;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// How long it took until one heard the other.
    async fn heard_after(from: &Wake, to: &Wake) -> Duration {
        let mut heard = to.of_jobs();
        // Until it listens, and until it is quiet again.
        while !heard.0.has_changed().unwrap() {
            from.jobs();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        heard.heard();
        let began = Instant::now();
        from.jobs();
        heard.wait(LONG).await;
        began.elapsed()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn hosts_on_one_postgresql_wake_each_other_without_redis() {
        let Some(test) = testing::postgres(Default::default()).await else { return };
        let shutdown = CancellationToken::new();
        let _stop = shutdown.clone().drop_guard();
        let first = Wake::between_hosts(&test.db, None, &shutdown);
        let second = Wake::between_hosts(&test.db, None, &shutdown);
        for (from, to) in [(&first, &second), (&second, &first)] {
            let took = heard_after(from, to).await;
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
    }
}
