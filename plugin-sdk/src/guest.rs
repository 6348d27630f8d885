//! The sandbox's side: the host traits over the imported functions, and the panic hook. Used by the export macros only.

use std::sync::Once;

use crate::bindings::connector::tributary::connector::{blobs, files, http, ledger, log, state};
use crate::{BlobId, BlobInfo, ExtractorHost, Failure, Host, HttpRequest, HttpResponse, Level, Listing};

/// The host as this component sees it.
pub struct Guest;

impl Guest {
    /// The host, with panics going to its log before they trap.
    pub fn enter() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            std::panic::set_hook(Box::new(|panic| {
                let place = panic.location().map(ToString::to_string).unwrap_or_default();
                let message = panic.payload_as_str().unwrap_or("panic");
                log::log(Level::Error, message, &[("panicked_at".to_owned(), place)]);
            }));
        });
        Self
    }
}

impl ExtractorHost for Guest {
    fn create_blob(&self) -> Result<BlobId, Failure> {
        blobs::create()
    }

    fn append_blob(&self, blob: BlobId, bytes: &[u8]) -> Result<(), Failure> {
        blobs::append(blob, bytes)
    }

    fn finish_blob(&self, blob: BlobId) -> Result<BlobInfo, Failure> {
        blobs::finish(blob)
    }

    fn blob_info(&self, blob: BlobId) -> Result<BlobInfo, Failure> {
        blobs::info(blob)
    }

    fn read_blob(&self, blob: BlobId, offset: u64, len: u32) -> Result<Vec<u8>, Failure> {
        blobs::read(blob, offset, len)
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        log::log(level, message, &fields);
    }
}

impl Host for Guest {
    fn list(&self, root: &str, dir: &str, after: Option<&str>, limit: u32) -> Result<Listing, Failure> {
        files::list(root, dir, after, limit)
    }

    fn open(&self, root: &str, path: &str, max_bytes: u64) -> Result<BlobId, Failure> {
        files::open(root, path, max_bytes)
    }

    fn open_all(&self, root: &str, paths: &[String], max_bytes: u64) -> Result<Vec<Result<BlobId, Failure>>, Failure> {
        files::open_all(root, paths, max_bytes)
    }

    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        http::send(request)
    }

    fn lookup(&self, external_ids: &[String]) -> Result<Vec<Option<String>>, Failure> {
        ledger::lookup(external_ids)
    }

    fn state(&self, key: &str) -> Result<Option<String>, Failure> {
        state::get(key)
    }

    fn set_state(&self, key: &str, value: Option<&str>) -> Result<(), Failure> {
        state::set(key, value)
    }
}
