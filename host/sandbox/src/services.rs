//! What the host offers a connector during one page: files, blobs, the ledger, state, a log.
//!
//! The async functions here put a time limit on every wait and move disk work to blocking threads. They serve WASM and native
//! connectors alike.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::{sync::Semaphore, time::timeout};
use tributary_core::{
    contract::{Failure, Fault},
    http::Http,
    ledger::Ledger,
};

use crate::{
    blobs::Blobs,
    files::{FileAccess, Listing},
    guest_log::GuestLog,
    http::NoNetwork,
    state::StateBuffer,
};

/// No single wait of a guest on the host is longer.
const HOST_CALL: Duration = Duration::from_secs(30);
/// Ids one look-up may ask for.
pub const MAX_LOOKUP_IDS: usize = 10_000;
/// Files opened at once.
pub const MAX_OPEN_ALL: usize = 1_000;
/// Longest external id.
pub const MAX_EXTERNAL_ID_BYTES: usize = 1024;

/// Disk work in flight for all guests; a hung file system keeps its permits, so it can never take every blocking thread.
static DISK: Semaphore = Semaphore::const_new(64);

/// What a run has read so far.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl Meter {
    /// Counts one request of the source and the bytes it brought.
    pub fn add(&self, bytes: u64) {
        self.requests.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Bytes read from the source.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Requests sent and files opened.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }
}

/// Everything one call of a connector may use. Make a new one per page; `files` and `meter` may live for the run.
#[derive(Clone)]
pub struct HostServices {
    /// The granted roots, with the listings read so far.
    pub files: Arc<dyn FileAccess>,
    /// The granted hosts.
    pub http: Arc<dyn Http>,
    /// The page's blobs.
    pub blobs: Arc<Blobs>,
    /// What is committed.
    pub ledger: Arc<dyn Ledger>,
    /// The page's state.
    pub state: Arc<StateBuffer>,
    /// The page's log lines.
    pub log: Arc<GuestLog>,
    /// Counts bytes and requests.
    pub meter: Arc<Meter>,
    /// The time and the randomness that the connector sees; those of the machine when there is none.
    pub moment: Option<Moment>,
}

/// Time and randomness that can be had again: a clock that goes on by a millisecond whenever it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// What the clock shows first, Unix milliseconds.
    pub now_ms: u64,
    /// What randomness is made of.
    pub seed: u64,
}

impl HostServices {
    /// Fresh blobs, state and log over the run's files, ledger and meter. `source` names the source in the server's log.
    pub fn new(
        files: Arc<dyn FileAccess>,
        ledger: Arc<dyn Ledger>,
        meter: Arc<Meter>,
        source: impl Into<String>,
    ) -> Self {
        Self {
            files,
            http: Arc::new(NoNetwork),
            blobs: Arc::default(),
            state: Arc::new(StateBuffer::new(ledger.clone())),
            ledger,
            log: Arc::new(GuestLog::new(source)),
            meter,
            moment: None,
        }
    }

    /// The same services with a way out.
    pub fn with_http(self, http: Arc<dyn Http>) -> Self {
        Self { http, ..self }
    }

    /// The same services with a memory that is not as it is committed: the page commits the difference.
    #[must_use]
    pub fn with_state_writes(self, writes: BTreeMap<String, Option<String>>) -> Self {
        Self { state: Arc::new(StateBuffer::new(self.ledger.clone()).with_writes(writes)), ..self }
    }

    /// The same services with nothing in the ledger, as a full traversal sees them.
    pub fn with_hidden_ledger(&self) -> Self {
        Self { ledger: Arc::new(HiddenLedger(self.ledger.clone())), ..self.clone() }
    }

    /// One slice of a directory; see [`Files::list`](crate::Files::list).
    pub async fn list(&self, root: String, dir: String, after: Option<String>, limit: u32) -> Result<Listing, Failure> {
        let files = self.files.clone();
        on_disk("listing a directory", move || files.list(&root, &dir, after.as_deref(), limit)).await
    }

    /// Reads a file into one of the page's blobs; see [`Files::open`](crate::Files::open).
    pub async fn open(&self, root: String, path: String, max_bytes: u64) -> Result<u64, Failure> {
        let services = self.clone();
        on_disk("reading a file", move || services.open_now(&root, &path, max_bytes)).await
    }

    /// Reads up to [`MAX_OPEN_ALL`] files into blobs of the page, one answer per path.
    pub async fn open_all(
        &self,
        root: String,
        mut paths: Vec<String>,
        max_bytes: u64,
    ) -> Result<Vec<Result<u64, Failure>>, Failure> {
        if paths.len() > MAX_OPEN_ALL {
            return Err(Failure::new(
                Fault::TooLarge,
                "too_many_files",
                format!("open at most {MAX_OPEN_ALL} files at once, not {}", paths.len()),
            ));
        }
        let mut opened = Vec::with_capacity(paths.len());
        paths.reverse();
        // A slow disk gets a time limit for each second of work, not one for all of it.
        while !paths.is_empty() {
            let (services, root) = (self.clone(), root.clone());
            let (left, mut more) = on_disk("reading files", move || {
                let start = Instant::now();
                let mut opened = Vec::with_capacity(paths.len());
                while start.elapsed() < Duration::from_secs(1)
                    && let Some(path) = paths.pop()
                {
                    opened.push(services.open_now(&root, &path, max_bytes));
                }
                Ok((paths, opened))
            })
            .await?;
            paths = left;
            opened.append(&mut more);
        }
        Ok(opened)
    }

    /// Blocking.
    fn open_now(&self, root: &str, path: &str, max_bytes: u64) -> Result<u64, Failure> {
        let blobs = &self.blobs;
        let max_bytes = max_bytes.min(blobs.max_blob_bytes());
        let remaining = blobs.remaining_bytes();
        let blob = self.files.open(root, path, max_bytes.min(remaining)).map_err(|failure| {
            // The page's budget, not the file, was too small.
            if failure.fault == Fault::TooLarge && remaining < max_bytes { blobs.page_full() } else { failure }
        })?;
        let size_bytes = blob.size_bytes();
        let id = blobs.add(blob)?;
        self.meter.add(size_bytes);
        Ok(id)
    }

    /// Fingerprints of what is committed, one answer per id.
    pub async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        if external_ids.len() > MAX_LOOKUP_IDS {
            return Err(Failure::new(
                Fault::TooLarge,
                "too_many_ids",
                format!("ask the ledger for at most {MAX_LOOKUP_IDS} ids at once, not {}", external_ids.len()),
            ));
        }
        if external_ids.iter().any(|id| id.len() > MAX_EXTERNAL_ID_BYTES) {
            return Err(Failure::new(
                Fault::TooLarge,
                "external_id_too_long",
                format!("an external id has at most {MAX_EXTERNAL_ID_BYTES} bytes"),
            ));
        }
        let asked = external_ids.len();
        let answers = in_time("reading the ledger", self.ledger.lookup(external_ids)).await?;
        debug_assert_eq!(answers.len(), asked, "one answer per id");
        Ok(answers)
    }

    /// A value of the page's state.
    pub async fn state_get(&self, key: &str) -> Result<Option<String>, Failure> {
        in_time("reading the state", self.state.get(key)).await
    }

    /// Sets or removes a value of the page's state.
    pub async fn state_set(&self, key: String, value: Option<String>) -> Result<(), Failure> {
        in_time("reading the state", self.state.set(key, value)).await
    }
}

/// What is said where a call has no services.
pub(crate) fn not_available() -> Failure {
    Failure::new(Fault::Permission, "not_available", "this host interface is not available during this call")
}

/// Appends to a blob, off the async threads when it is on a disk.
pub(crate) async fn append(blobs: &Arc<Blobs>, id: u64, bytes: Vec<u8>) -> Result<(), Failure> {
    if !blobs.append_is_slow(id, bytes.len()) {
        return blobs.append(id, &bytes);
    }
    let blobs = blobs.clone();
    on_disk("writing a large item", move || blobs.append(id, &bytes)).await
}

/// Reads from a blob, off the async threads when it is on a disk.
pub(crate) async fn read(blobs: &Arc<Blobs>, id: u64, offset: u64, len: u64) -> Result<Bytes, Failure> {
    if blobs.get(id)?.in_memory() {
        return blobs.read(id, offset, len);
    }
    let blobs = blobs.clone();
    on_disk("reading a large item", move || blobs.read(id, offset, len)).await
}

/// Runs blocking work on its own thread, for at most `HOST_CALL`.
async fn on_disk<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    in_time(what, async {
        let permit = DISK.acquire().await.expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        });
        done.await.unwrap_or_else(|_| {
            Err(Failure::new(
                Fault::Internal,
                "host_call_failed",
                format!("{what} failed inside the server; see its log"),
            ))
        })
    })
    .await
}

pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(HOST_CALL, work).await.unwrap_or_else(|_| {
        Err(Failure::new(
            Fault::Transient,
            "host_call_timeout",
            format!(
                "{what} took longer than {} seconds; check that the disk or network share answers",
                HOST_CALL.as_secs()
            ),
        ))
    })
}

/// A ledger that knows nothing; what a connector's first run, or one without a server, sees.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyLedger;

#[async_trait]
impl Ledger for EmptyLedger {
    async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        Ok(vec![None; external_ids.len()])
    }

    async fn state(&self) -> Result<BTreeMap<String, String>, Failure> {
        Ok(BTreeMap::new())
    }
}

/// Answers as if nothing had been committed; the state stays.
struct HiddenLedger(Arc<dyn Ledger>);

#[async_trait]
impl Ledger for HiddenLedger {
    async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        Ok(vec![None; external_ids.len()])
    }

    async fn state(&self) -> Result<BTreeMap<String, String>, Failure> {
        self.0.state().await
    }
}
