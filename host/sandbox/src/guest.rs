//! The host's side of one running component: its WASI context, which inherits nothing, and the host interfaces it imports.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use tributary_core::contract::Failure;
use wasmtime::component::{HasSelf, Linker, ResourceTable};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxView, WasiView, random::Deterministic};

use crate::{
    bindings::{blobs, connector::ConnectorPlugin, files, http, ledger, log, state, types},
    blobs::{Blob, BlobLimits, Blobs},
    files::FileKind,
    guest_log::{GuestLog, Level},
    limits::{Limited, Limiter},
    services::{self, HostServices, Moment},
    stdio::LogStream,
};

/// WASI resources (streams, pollables) alive at once.
const MAX_RESOURCES: usize = 1024;
const MAX_RANDOM_BYTES: u64 = 64 << 10;
/// The only moment of what must not depend on any, 2020-01-01T00:00:00Z, and the seed of its randomness.
pub(crate) const FIXED_TIME: Duration = Duration::from_secs(1_577_836_800);
const SEED: &[u8] = b"tributary extractor: same input, same output";

/// What a store holds.
pub(crate) struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(crate) limiter: Limiter,
    blobs: Arc<Blobs>,
    log: Arc<GuestLog>,
    services: Option<HostServices>,
}

impl Guest {
    /// A connector's call. Without services, when it describes itself, every host interface answers `permission`, and moment and
    /// randomness are fixed: what an administrator was shown is what it always says.
    pub(crate) fn connector(limiter: Limiter, services: Option<HostServices>, name: &str) -> Self {
        let log = services.as_ref().map_or_else(|| Arc::new(GuestLog::new(name)), |services| services.log.clone());
        let blobs = services.as_ref().map(|services| services.blobs.clone()).unwrap_or_default();
        let surroundings = match &services {
            Some(services) => services.moment.map(Surroundings::Counted),
            None => Some(Surroundings::Fixed),
        };
        Self { wasi: wasi(&log, surroundings), table: table(), limiter, blobs, log, services }
    }

    /// An extractor: its blob, a log, one fixed moment and the same randomness every time.
    pub(crate) fn extractor(limiter: Limiter, name: &str) -> Self {
        let log = Arc::new(GuestLog::new(name));
        Self {
            wasi: wasi(&log, Some(Surroundings::Fixed)),
            table: table(),
            limiter,
            blobs: Arc::default(),
            log,
            services: None,
        }
    }

    /// From now on this blob, alone, is in reach.
    pub(crate) fn only(&mut self, blob: Blob) -> Result<u64, Failure> {
        let limits = BlobLimits { max_total_bytes: blob.size_bytes(), max_blob_bytes: blob.size_bytes(), max_blobs: 1 };
        self.blobs = Arc::new(Blobs::new(limits));
        self.blobs.add(blob)
    }

    fn services(&self) -> Result<&HostServices, types::Failure> {
        self.services.as_ref().ok_or_else(|| services::not_available().into())
    }
}

impl Limited for Guest {
    fn limiter(&mut self) -> &mut Limiter {
        &mut self.limiter
    }
}

fn table() -> ResourceTable {
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_RESOURCES);
    table
}

/// Surroundings that are the same every time.
enum Surroundings {
    /// One moment, one seed.
    Fixed,
    /// Those of a call that is recorded or replayed.
    Counted(Moment),
}

/// No files, arguments, environment or network; output goes to the log. Time and randomness are the machine's unless given.
fn wasi(log: &Arc<GuestLog>, surroundings: Option<Surroundings>) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    wasi.stdout(LogStream::new(log.clone(), Level::Info))
        .stderr(LogStream::new(log.clone(), Level::Warn))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(MAX_RANDOM_BYTES);
    match surroundings {
        None => &mut wasi,
        Some(Surroundings::Fixed) => wasi
            .wall_clock(Stopped)
            .monotonic_clock(Stopped)
            .secure_random(Deterministic::new(SEED.to_vec()))
            .insecure_random(Deterministic::new(SEED.to_vec()))
            .insecure_random_seed(0),
        Some(Surroundings::Counted(Moment { now_ms, seed })) => {
            let clock = Counted { start: Duration::from_millis(now_ms), looks: Arc::default() };
            wasi.wall_clock(clock.clone())
                .monotonic_clock(clock)
                .secure_random(StdRng::seed_from_u64(seed))
                .insecure_random(StdRng::seed_from_u64(seed))
                .insecure_random_seed(seed.into())
        }
    }
    .build()
}

/// A clock that goes on by a millisecond whenever it is looked at.
#[derive(Clone)]
struct Counted {
    start: Duration,
    looks: Arc<AtomicU64>,
}

impl Counted {
    fn look(&self) -> Duration {
        Duration::from_millis(self.looks.fetch_add(1, Relaxed))
    }
}

impl HostWallClock for Counted {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.start + self.look()
    }
}

impl HostMonotonicClock for Counted {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        self.look().as_nanos() as u64
    }
}

/// A clock that stands still.
struct Stopped;

impl HostWallClock for Stopped {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        FIXED_TIME
    }
}

impl HostMonotonicClock for Stopped {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        0
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Links everything a connector may import; an extractor's imports are a part of it.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    ConnectorPlugin::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl types::Host for Guest {}

impl blobs::Host for Guest {
    async fn create(&mut self) -> Result<u64, types::Failure> {
        Ok(self.blobs.create()?)
    }

    async fn append(&mut self, blob: u64, bytes: Vec<u8>) -> Result<(), types::Failure> {
        Ok(services::append(&self.blobs, blob, bytes).await?)
    }

    async fn finish(&mut self, blob: u64) -> Result<blobs::BlobInfo, types::Failure> {
        Ok(self.blobs.finish(blob)?.into())
    }

    async fn info(&mut self, blob: u64) -> Result<blobs::BlobInfo, types::Failure> {
        Ok(self.blobs.get(blob)?.into())
    }

    async fn read(&mut self, blob: u64, offset: u64, len: u32) -> Result<Vec<u8>, types::Failure> {
        Ok(services::read(&self.blobs, blob, offset, len.into()).await?.into())
    }
}

impl files::Host for Guest {
    async fn list(
        &mut self,
        root: String,
        dir: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<files::Listing, types::Failure> {
        let listing = self.services()?.list(root, dir, after, limit).await?;
        let entries = listing.entries.into_iter().map(|entry| files::Entry {
            name: entry.name,
            kind: match entry.kind {
                FileKind::File => files::FileKind::File,
                FileKind::Directory => files::FileKind::Directory,
                FileKind::Symlink => files::FileKind::Symlink,
                FileKind::Other => files::FileKind::Other,
            },
            size_bytes: entry.size_bytes,
            modified_at: entry.modified_at_ms,
        });
        Ok(files::Listing { entries: entries.collect(), last: listing.last, unreadable: listing.unreadable })
    }

    async fn open(&mut self, root: String, path: String, max_bytes: u64) -> Result<u64, types::Failure> {
        Ok(self.services()?.open(root, path, max_bytes).await?)
    }

    async fn open_all(
        &mut self,
        root: String,
        paths: Vec<String>,
        max_bytes: u64,
    ) -> Result<Vec<Result<u64, types::Failure>>, types::Failure> {
        let opened = self.services()?.open_all(root, paths, max_bytes).await?;
        Ok(opened.into_iter().map(|blob| blob.map_err(Into::into)).collect())
    }
}

impl http::Host for Guest {
    async fn send(&mut self, request: http::Request) -> Result<http::Response, types::Failure> {
        Ok(self.services()?.send(request.into()).await?.into())
    }
}

impl ledger::Host for Guest {
    async fn lookup(&mut self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, types::Failure> {
        Ok(self.services()?.lookup(external_ids).await?)
    }
}

impl state::Host for Guest {
    async fn get(&mut self, key: String) -> Result<Option<String>, types::Failure> {
        Ok(self.services()?.state_get(&key).await?)
    }

    async fn set(&mut self, key: String, value: Option<String>) -> Result<(), types::Failure> {
        Ok(self.services()?.state_set(key, value).await?)
    }
}

impl log::Host for Guest {
    async fn log(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.log.write(level, &message, &fields);
    }
}
