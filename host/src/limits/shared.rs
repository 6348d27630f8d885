//! Counters of all hosts together, in Redis. Redis may come and go: it gets little time to answer, is left alone for a
//! while when it does not, and each change is one log line.

use std::{sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, RedisResult, Script, aio::MultiplexedConnection};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tributary_core::{Clock, SystemClock};

use super::{
    counting::{Call, Counted, Counter, Operation},
    decision::Decision,
    policy::{LARGEST, Policy, Window},
};

/// How long connecting may take; no request waits for it.
const CONNECT: Duration = Duration::from_secs(1);
/// Pause between attempts to come back.
const RETRY: Duration = Duration::from_secs(2);

/// A connection that answered, numbered so that a late failure of an old one does not end a new one.
#[derive(Clone)]
struct Link {
    number: u64,
    connection: MultiplexedConnection,
}

/// The counters in Redis.
pub(super) struct Shared {
    link: Arc<watch::Sender<Option<Link>>>,
    asking: Asking,
}

/// How Redis is asked.
#[derive(Clone)]
struct Asking {
    script: Script,
    patience: Duration,
}

impl Shared {
    /// Tries to connect once, and goes on trying in the background until `shutdown`. A request waits for an answer for
    /// as long as `patience`.
    pub(super) async fn open(client: redis::Client, patience: Duration, shutdown: CancellationToken) -> Self {
        let asking = Asking { script: Script::new(include_str!("shared.lua")), patience };
        let first = match asking.connect(&client).await {
            Ok(connection) => Some(Link { number: 0, connection }),
            Err(error) => {
                log_lost(&error);
                None
            }
        };
        let link = Arc::new(watch::Sender::new(first));
        tokio::spawn(shutdown.run_until_cancelled_owned(reconnect(client, asking.clone(), link.clone())));
        Self { link, asking }
    }

    /// Whether Redis answers, as far as is known.
    #[cfg(test)]
    pub(super) fn is_up(&self) -> bool {
        self.link.borrow().is_some()
    }

    /// `None` when Redis does not answer.
    pub(super) async fn run(&self, call: &Call<'_>) -> Option<Decision> {
        let Link { number, mut connection } = self.link.borrow().clone()?;
        match self.asking.ask(&mut connection, call).await {
            Ok(decision) => Some(decision),
            Err(error) => {
                let lost = self.link.send_if_modified(|link| link.take_if(|link| link.number == number).is_some());
                if lost {
                    log_lost(&error);
                }
                None
            }
        }
    }
}

fn log_lost(error: &redis::RedisError) {
    tracing::warn!(%error, "Redis does not answer; until it is back, each host limits rates by its own count");
}

async fn reconnect(client: redis::Client, asking: Asking, link: Arc<watch::Sender<Option<Link>>>) {
    let mut changes = link.subscribe();
    for number in 1.. {
        if changes.wait_for(Option::is_none).await.is_err() {
            return;
        }
        let connection = loop {
            tokio::time::sleep(RETRY).await;
            if let Ok(connection) = asking.connect(&client).await {
                break connection;
            }
        };
        link.send_replace(Some(Link { number, connection }));
        tracing::info!("Redis is back; rates are limited by the count of all hosts again");
    }
}

impl Asking {
    /// A connection over which the script writes and answers in time, which a Redis that is read-only, full or slow
    /// does not.
    async fn connect(&self, client: &redis::Client) -> RedisResult<MultiplexedConnection> {
        let opened = async {
            let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
            let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
            self.script.load_async(&mut connection).await?;
            Ok(connection)
        };
        let mut connection = timeout(CONNECT, opened).await.unwrap_or_else(|_| Err(too_slow()))?;
        let policies = [Policy::new("probe", LARGEST, Window::Seconds(1))];
        let probe =
            Call { key: "probe", policies: &policies, operation: Operation::Charge, cost: 1, now: SystemClock.now() };
        self.ask(&mut connection, &probe).await?;
        Ok(connection)
    }

    async fn ask(&self, connection: &mut MultiplexedConnection, call: &Call<'_>) -> RedisResult<Decision> {
        let mut invocation = self.script.prepare_invoke();
        invocation.arg(call.operation.name()).arg(call.cost).arg(call.now.timestamp_millis()).arg(LARGEST);
        for policy in call.policies {
            // Braces: the counters of one key belong to one slot of a cluster.
            invocation.key(format!("tributary:limit:{{{}}}:{}", call.key, policy.name));
            invocation.arg(policy.quota.min(LARGEST)).arg(policy.window.end_ms(call.now));
        }
        let answer: Vec<(u64, i64, bool)> =
            timeout(self.patience, invocation.invoke_async(connection)).await.unwrap_or_else(|_| Err(too_slow()))?;
        let counted = |(used, ends_ms, violated)| Counted { counter: Counter { used, ends_ms }, violated };
        Ok(Decision::new(call, &answer.into_iter().map(counted).collect::<Vec<_>>()))
    }
}

fn too_slow() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
