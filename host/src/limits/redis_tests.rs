//! Redis counts like the memory of one host, is shared, and may go away.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;
use redis::{ConnectionAddr, IntoConnectionInfo};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant as Moment,
};
use tributary_core::{Instant, ManualClock};
use uuid::Uuid;

use super::*;

const BURST: Policy = Policy::new("burst", 5, Window::Seconds(10));
const DAILY: Policy = Policy::new("daily", 12, Window::Day);
const MONTHLY: Policy = Policy::new("monthly", 40, Window::Month);
/// Tests compare counts, so that a busy machine must not make them fall back.
const LONG: Duration = Duration::from_secs(10);

/// The tests' Redis; `None`, with a loud line, where there is none and it may be missing.
fn redis_client() -> Option<redis::Client> {
    let url = std::env::var("TRIBUTARY_TEST_REDIS").ok();
    if url.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "TRIBUTARY_TEST_REDIS is not set, and with CI=true nothing may be skipped"
        );
        eprintln!("SKIPPED with Redis: TRIBUTARY_TEST_REDIS is not set");
    }
    url.map(|url| redis::Client::open(url).unwrap())
}

async fn patient(client: redis::Client, clock: Arc<ManualClock>, shutdown: CancellationToken) -> Limiter {
    Limiter { shared: Some(Shared::open(client, LONG, shutdown).await), ..Limiter::local(clock) }
}

fn start() -> Instant {
    "2027-03-31T12:00:00Z".parse().unwrap()
}

/// A key that no other test has.
fn key() -> String {
    format!("test:{}", Uuid::now_v7())
}

fn cases() -> ProptestConfig {
    ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() }
}

#[derive(Clone, Debug)]
enum Step {
    /// By so many milliseconds, also back.
    Advance(i64),
    Run {
        key: usize,
        policies: Vec<Policy>,
        operation: Operation,
        cost: u64,
    },
}

fn steps(operations: &'static [Operation], earliest_ms: i64) -> impl Strategy<Value = Vec<Step>> {
    const DAY_MS: i64 = 86_400_000;
    // Fives meet the very end of a window.
    let fives = (0..3i64).prop_map(|fives| fives * 5_000);
    let advance = prop_oneof![4 => fives, 4 => 0..6_000i64, 2 => 0..DAY_MS, 1 => 0..40 * DAY_MS, 1 => earliest_ms..1];
    let cost = prop_oneof![20 => 0..7u64, 1 => Just(LARGEST), 1 => Just(u64::MAX)];
    let policies = proptest::sample::subsequence(vec![BURST, DAILY, MONTHLY], 0..=3);
    let run = (0..2usize, policies, proptest::sample::select(operations), cost)
        .prop_map(|(key, policies, operation, cost)| Step::Run { key, policies, operation, cost });
    proptest::collection::vec(prop_oneof![1 => advance.prop_map(Step::Advance), 3 => run], 1..60)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn no_window_lets_more_than_its_quota_through(steps in steps(&[Operation::Take], 0)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let clock = Arc::new(ManualClock::at(start()));
        let limiter = Limiter::local(clock.clone());
        // Key and policy to what was let in, and when.
        let mut let_in: HashMap<(usize, String), Vec<(Instant, u64)>> = HashMap::new();
        for step in steps {
            match step {
                Step::Advance(ms) => clock.set(clock.now() + TimeDelta::milliseconds(ms)),
                Step::Run { key, policies, operation, cost } => {
                    let decision = runtime.block_on(limiter.run(&key.to_string(), &policies, operation, cost));
                    for policy in policies.iter().filter(|_| decision.allowed() && cost > 0) {
                        let_in.entry((key, policy.name.to_string())).or_default().push((clock.now(), cost));
                    }
                }
            }
        }
        for ((_, policy), charges) in let_in {
            match policy.as_str() {
                "burst" => {
                    let (mut begun, mut used) = (DateTime::UNIX_EPOCH, 0);
                    for (now, cost) in charges {
                        if now >= begun + TimeDelta::seconds(10) {
                            (begun, used) = (now, 0);
                        }
                        used += cost;
                        prop_assert!(used <= BURST.quota);
                    }
                }
                name => {
                    let (span, quota) = if name == "daily" { ("%F", DAILY.quota) } else { ("%Y-%m", MONTHLY.quota) };
                    let mut used: HashMap<String, u64> = HashMap::new();
                    for (now, cost) in charges {
                        *used.entry(now.format(span).to_string()).or_default() += cost;
                    }
                    prop_assert!(used.values().all(|used| *used <= quota), "{name}: {used:?}");
                }
            }
        }
    }
}

#[test]
fn any_sequence_is_decided_alike_in_memory_and_in_redis() {
    let Some(client) = redis_client() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shutdown = CancellationToken::new();
    let clock = Arc::new(ManualClock::at(start()));
    let shared = runtime.block_on(patient(client, clock.clone(), shutdown.clone()));
    let operations = &[Operation::Take, Operation::Take, Operation::Charge, Operation::Refund];
    proptest!(cases(), |(steps in steps(operations, -60_000))| {
        clock.set(start());
        let memory = Limiter::local(clock.clone());
        let keys = [key(), key()];
        for step in steps {
            match step {
                Step::Advance(ms) => clock.set(clock.now() + TimeDelta::milliseconds(ms)),
                Step::Run { key, policies, operation, cost } => {
                    let ours = runtime.block_on(memory.run(&keys[key], &policies, operation, cost));
                    let theirs = runtime.block_on(shared.run(&keys[key], &policies, operation, cost));
                    prop_assert_eq!(ours, theirs);
                }
            }
        }
    });
    assert!(shared.shared.as_ref().is_some_and(Shared::is_up), "Redis was asked to the end");
    shutdown.cancel();
}

#[tokio::test]
async fn hosts_that_share_a_redis_count_together() {
    let Some(client) = redis_client() else { return };
    let (shutdown, clock, key) = (CancellationToken::new(), Arc::new(ManualClock::at(start())), key());
    let first = patient(client.clone(), clock.clone(), shutdown.clone()).await;
    let second = patient(client, clock, shutdown.clone()).await;
    assert!(first.take(&key, &[BURST], 3).await.allowed());
    assert_eq!(second.take(&key, &[BURST], 1).await.standings[0].remaining, 1);
    assert!(!first.take(&key, &[BURST], 2).await.allowed());
    let _stop = shutdown.drop_guard();
}

#[tokio::test]
async fn counters_in_redis_expire_by_themselves() {
    let Some(client) = redis_client() else { return };
    let (shutdown, key) = (CancellationToken::new(), key());
    let limiter = patient(client.clone(), Arc::new(ManualClock::at(start())), shutdown.clone()).await;
    limiter.take(&key, &[BURST], 1).await;
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let expiry: i64 =
        redis::cmd("PTTL").arg(format!("tributary:limit:{{{key}}}:burst")).query_async(&mut connection).await.unwrap();
    assert!((1..=70_000).contains(&expiry), "{expiry}");
    let _stop = shutdown.drop_guard();
}

/// What the network between a host and its Redis does.
#[derive(Clone, Copy, PartialEq)]
enum Network {
    Fine,
    Cut,
    Stalled,
}

/// A client of the same Redis over a network that can fail.
async fn over_a_network(client: &redis::Client) -> (redis::Client, watch::Sender<Network>) {
    let info = client.get_connection_info().clone();
    let ConnectionAddr::Tcp(host, port) = info.addr().clone() else { panic!("the tests' Redis listens on TCP") };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = ConnectionAddr::Tcp("127.0.0.1".to_owned(), listener.local_addr().unwrap().port());
    let (sender, network) = watch::channel(Network::Fine);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let (mut network, address) = (network.clone(), (host.clone(), port));
            tokio::spawn(async move {
                if *network.borrow() == Network::Fine {
                    let mut far = TcpStream::connect(address).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = async { network.wait_for(|now| *now != Network::Fine).await.is_ok() } => {}
                    }
                }
                // Silent, but open.
                network.wait_for(|now| *now != Network::Stalled).await.is_ok()
            });
        }
    });
    (redis::Client::open(info.set_addr(local).into_connection_info().unwrap()).unwrap(), sender)
}

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Moment::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Moment::now() < deadline, "waited 30 s until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_redis_each_host_goes_on_alone_with_one_log_line_and_comes_back_with_another() {
    let Some(client) = redis_client() else { return };
    for failure in [Network::Cut, Network::Stalled] {
        let log = Log::default();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer({
            let log = log.clone();
            move || log.clone()
        });
        let _logging = tracing::subscriber::set_default(subscriber.finish());
        let (shutdown, key) = (CancellationToken::new(), key());
        let (client, network) = over_a_network(&client).await;
        let patience = Duration::from_millis(500);
        let limiter = Limiter {
            shared: Some(Shared::open(client, patience, shutdown.clone()).await),
            ..Limiter::local(Arc::new(ManualClock::at(start())))
        };
        let is_up = || limiter.shared.as_ref().is_some_and(Shared::is_up);
        assert!(limiter.take(&key, &[BURST], 4).await.allowed());

        network.send_replace(failure);
        let asked = Moment::now();
        let burst = [BURST];
        let together = (0..20).map(|_| limiter.take(&key, &burst, 1));
        let let_in = futures::future::join_all(together).await.iter().filter(|decision| decision.allowed()).count();
        assert_eq!(let_in, 5, "the host's own quota");
        assert!(asked.elapsed() < patience * 4, "nobody waits for long");
        let asked = Moment::now();
        assert!(!limiter.take(&key, &[BURST], 1).await.allowed());
        assert!(asked.elapsed() < patience / 2, "nobody waits for a Redis that is known to be gone");
        assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
        assert!(log.lines()[0].contains("WARN") && log.lines()[0].contains("Redis does not answer"));

        network.send_replace(Network::Fine);
        wait_until("Redis is back", is_up).await;
        assert_eq!(limiter.take(&key, &[BURST], 1).await.standings[0].remaining, 0, "it still knows of the first four");
        assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
        assert!(log.lines()[1].contains("INFO") && log.lines()[1].contains("Redis is back"));
        let _stop = shutdown.drop_guard();
    }
}

#[tokio::test]
async fn a_host_starts_and_counts_while_its_redis_is_gone() {
    // Nothing listens on port 1.
    let client = redis::Client::open("redis://127.0.0.1:1").unwrap();
    let shutdown = CancellationToken::new();
    let limiter = Limiter::with_redis(Arc::new(ManualClock::at(start())), client, shutdown.clone()).await;
    assert!(limiter.take("a", &[BURST], 5).await.allowed());
    assert!(!limiter.take("a", &[BURST], 1).await.allowed());
    let _stop = shutdown.drop_guard();
}
