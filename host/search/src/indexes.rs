//! All indexes of a host: one per workspace, opened on demand, a bounded number at a time.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;
use tributary_core::{
    Position, WorkspaceId,
    document::IndexedDocument,
    query::{Filters, Hit},
};

use crate::{
    Error,
    index::{Open, drop_index, guarded, position_on_disk},
    rank::{self, ScratchPool},
    schema::Entries,
};

/// What indexes may use.
#[derive(Clone, Copy, Debug)]
pub struct IndexOptions {
    /// Indexes open for queries at a time; the least recently used is closed.
    pub max_open_readers: usize,
    /// Memory of one writer, in bytes; at least 15 MB are used.
    pub writer_memory_bytes: usize,
    /// Writers at a time; others wait.
    pub max_writers: usize,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { max_open_readers: 64, writer_memory_bytes: 24_000_000, max_writers: 2 }
    }
}

/// A query of one workspace.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRequest {
    /// Words; anything is allowed, the first 2,000 bytes count.
    pub query: String,
    /// What hits are limited to.
    pub filters: Filters,
    /// Most hits, up to 1,000.
    pub limit: usize,
    /// Each document once, by its best chunk.
    pub per_document: bool,
}

impl SearchRequest {
    /// A query without filters, each document once.
    pub fn new(query: impl Into<String>, limit: usize) -> Self {
        Self { query: query.into(), filters: Filters::default(), limit, per_document: true }
    }
}

/// The answer to a query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchResult {
    /// Best first.
    pub hits: Vec<Hit>,
    /// The position the index stood at.
    pub position: Position,
}

/// The indexes of a host. Cheap to clone. All methods block, except the two that say otherwise.
#[derive(Clone)]
pub struct Indexes {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    options: IndexOptions,
    entries: Entries,
    slots: RwLock<HashMap<WorkspaceId, Arc<Slot>>>,
    writers: Permits,
    scratch: ScratchPool,
    /// Counts uses, to find the least recent one.
    uses: AtomicU64,
}

/// What is kept of a workspace between calls; small, also while its index is closed.
struct Slot {
    dir: PathBuf,
    /// Held while the index is opened, so that two queries do not open it twice; never while it is used.
    open: Mutex<Option<Arc<Open>>>,
    /// Held while documents are applied or the index is removed.
    write: Mutex<()>,
    applied: watch::Sender<Position>,
    last_use: AtomicU64,
}

impl Indexes {
    /// Indexes under `dir`, which is created. None is opened yet.
    pub fn open(dir: impl Into<PathBuf>, options: IndexOptions) -> Result<Self, Error> {
        let dir = dir.into();
        std::fs::create_dir_all(&dir)?;
        Ok(Self {
            shared: Arc::new(Shared {
                dir,
                writers: Permits::new(options.max_writers.max(1)),
                options,
                entries: Entries::new(),
                slots: RwLock::default(),
                scratch: ScratchPool::default(),
                uses: AtomicU64::new(0),
            }),
        })
    }

    /// The position a workspace's index has applied; 0 when there is none (or it was dropped): feed it from there.
    pub fn applied(&self, workspace: WorkspaceId) -> Result<Position, Error> {
        Ok(*self.slot(workspace).applied.borrow())
    }

    /// Applies changes read after position `after`, so that the index reflects `up_to`; answers the position to go on from.
    ///
    /// Documents replace or remove what the index holds of them; both they and the position are committed at once, and a killed
    /// process finds the state before or after. When the index does not stand at `after` (it was dropped, or somebody else was
    /// faster) nothing is applied and the answer is where it stands.
    pub fn apply(
        &self,
        workspace: WorkspaceId,
        documents: &[IndexedDocument],
        after: Position,
        up_to: Position,
    ) -> Result<Position, Error> {
        let slot = self.slot(workspace);
        let _writing = lock(&slot.write);
        let open = self.shared.open(&slot)?;
        let stands = open.snapshot().position;
        if stands != after || up_to <= stands {
            return Ok(stands);
        }
        let _permit = self.shared.writers.acquire();
        let memory = self.shared.options.writer_memory_bytes.max(16_000_000);
        let committed = || {
            slot.applied.send_replace(up_to);
        };
        match open.commit(&self.shared.entries, documents, up_to, memory, committed) {
            Ok(()) => Ok(up_to),
            Err(error) => {
                // What is on disk decides: the next use opens and checks it again.
                slot.close();
                slot.applied.send_replace(position_on_disk(&slot.dir));
                Err(error)
            }
        }
    }

    /// The workspaces that have an index on disk.
    pub fn workspaces(&self) -> Result<Vec<WorkspaceId>, Error> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.shared.dir)? {
            found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<WorkspaceId>().ok()));
        }
        Ok(found)
    }

    /// Removes a workspace's index from memory and disk.
    pub fn remove(&self, workspace: WorkspaceId) -> Result<(), Error> {
        let slot = self.slot(workspace);
        let _writing = lock(&slot.write);
        slot.close();
        drop_index(&slot.dir)?;
        slot.applied.send_replace(0);
        Ok(())
    }

    /// The best passages for a query. A workspace without an index has none, at position 0.
    pub fn search(&self, workspace: WorkspaceId, request: &SearchRequest) -> Result<SearchResult, Error> {
        let slot = self.slot(workspace);
        if *slot.applied.borrow() == 0 && !slot.dir.exists() {
            return Ok(SearchResult::default());
        }
        let expected = *slot.applied.borrow();
        let open = self.shared.open(&slot)?;
        let snapshot = open.snapshot();
        if snapshot.position == 0 && expected > 0 {
            return Err(Error::Damaged);
        }
        let found = guarded(|| rank::search(&snapshot, &self.shared.entries, request, &self.shared.scratch));
        match found {
            Ok(hits) => Ok(SearchResult { hits, position: snapshot.position }),
            Err(reason) => {
                // Bad bytes or a defect: the next use checks the files, and drops the index only when they are damaged.
                slot.close();
                Err(Error::Failed(reason))
            }
        }
    }

    /// Waits until a workspace's index has applied `position`, at most for `timeout`; false when the time ran out. Does not block.
    pub async fn wait_for(&self, workspace: WorkspaceId, position: Position, timeout: Duration) -> bool {
        let mut applied = self.subscribe(workspace);
        tokio::time::timeout(timeout, applied.wait_for(|applied| *applied >= position))
            .await
            .is_ok_and(|seen| seen.is_ok())
    }

    /// The applied position of a workspace, as it moves. Does not block, but for one small file read the first time.
    pub fn subscribe(&self, workspace: WorkspaceId) -> watch::Receiver<Position> {
        self.slot(workspace).applied.subscribe()
    }

    fn slot(&self, workspace: WorkspaceId) -> Arc<Slot> {
        let slots = &self.shared.slots;
        if let Some(slot) = slots.read().unwrap_or_else(|broken| broken.into_inner()).get(&workspace) {
            return slot.clone();
        }
        let dir = self.shared.dir.join(workspace.to_string());
        let applied = watch::Sender::new(position_on_disk(&dir));
        let slot = Slot { dir, open: Mutex::default(), write: Mutex::default(), applied, last_use: AtomicU64::new(0) };
        let mut slots = slots.write().unwrap_or_else(|broken| broken.into_inner());
        slots.entry(workspace).or_insert_with(|| Arc::new(slot)).clone()
    }
}

impl Shared {
    /// The open index of a slot, opened when need be.
    fn open(&self, slot: &Arc<Slot>) -> Result<Arc<Open>, Error> {
        slot.last_use.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut held = lock(&slot.open);
        if let Some(open) = held.as_ref() {
            return Ok(open.clone());
        }
        let open = Arc::new(Open::open_or_create(&slot.dir, &self.entries)?);
        slot.applied.send_replace(open.snapshot().position);
        *held = Some(open.clone());
        drop(held);
        self.close_idle(slot);
        Ok(open)
    }

    /// Closes the least recently used indexes beyond the allowed number, never `kept`.
    fn close_idle(&self, kept: &Arc<Slot>) {
        let slots: Vec<Arc<Slot>> =
            self.slots.read().unwrap_or_else(|broken| broken.into_inner()).values().cloned().collect();
        let mut open: Vec<&Arc<Slot>> = slots.iter().filter(|slot| slot.is_open()).collect();
        let excess = open.len().saturating_sub(self.options.max_open_readers.max(1));
        open.sort_unstable_by_key(|slot| slot.last_use.load(Ordering::Relaxed));
        for slot in open.into_iter().filter(|slot| !Arc::ptr_eq(slot, kept)).take(excess) {
            slot.close();
        }
    }
}

impl Slot {
    fn is_open(&self) -> bool {
        // Being opened right now counts as open.
        self.open.try_lock().map_or(true, |open| open.is_some())
    }

    /// Forgets the open index; queries under way keep theirs to the end.
    fn close(&self) {
        *lock(&self.open) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

/// A counting semaphore for threads.
struct Permits {
    free: Mutex<usize>,
    freed: Condvar,
}

struct Permit<'a>(&'a Permits);

impl Permits {
    fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), freed: Condvar::new() }
    }

    fn acquire(&self) -> Permit<'_> {
        let free = lock(&self.free);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(|broken| broken.into_inner());
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.freed.notify_one();
    }
}
