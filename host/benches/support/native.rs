//! The file connector and the extractor as native code behind the sandbox's own traits: the same source, the same host services,
//! no sandbox. What comes back is converted but not checked.

use async_trait::async_trait;
use tributary_core::{
    contract as host,
    document::{Locator, Provenance},
    hash::Sha256Hash,
};
use tributary_plugin_extract::extract_bytes;
use tributary_plugin_file::FileConnector;
use tributary_plugin_sdk as sdk;
use tributary_sandbox::{Blob, Connector, Extractor, ExtractorWorker, FileKind, HostServices};

/// The file connector. Only `pull` works.
pub struct NativeConnector;

#[async_trait]
impl Connector for NativeConnector {
    async fn describe(&self) -> Result<host::Descriptor, host::Failure> {
        Err(only_pulls())
    }

    async fn check(&self, _: &str, _: &HostServices) -> Result<Vec<host::CheckItem>, host::Failure> {
        Err(only_pulls())
    }

    async fn pull(&self, request: &host::PullRequest, services: &HostServices) -> Result<host::Page, host::Failure> {
        let request = sdk::PullRequest {
            config: request.config.clone(),
            cursor: request.cursor.clone(),
            full: request.full,
            upper_bound: request.upper_bound_ms,
            max_items: request.max_items,
            max_bytes: request.max_bytes,
            deadline_ms: request.deadline_ms,
        };
        let services = services.clone();
        let runtime = tokio::runtime::Handle::current();
        let pulled = tokio::task::spawn_blocking(move || {
            sdk::pull::<FileConnector>(&NativeHost { services, runtime }, &request)
        });
        pulled.await.unwrap().map(page).map_err(failure_from_sdk)
    }
}

fn only_pulls() -> host::Failure {
    host::Failure::new(host::Fault::Unsupported, "only_pulls", "the native connector only pulls")
}

/// The extractor.
pub struct NativeExtractor;

impl Extractor for NativeExtractor {
    fn digest(&self) -> Sha256Hash {
        Sha256Hash::of("NativeExtractor")
    }

    fn worker(&self) -> Box<dyn ExtractorWorker> {
        Box::new(Self)
    }
}

#[async_trait]
impl ExtractorWorker for NativeExtractor {
    async fn extract(
        &mut self,
        blob: &Blob,
        media_type: &str,
        name: Option<&str>,
    ) -> Result<host::Extracted, host::Failure> {
        let extracted = extract_bytes(blob.read_all()?.into(), media_type, name).map_err(failure_from_sdk)?;
        let sections = extracted.sections.into_iter().map(section).collect();
        Ok(host::Extracted { title: extracted.title, language: extracted.language, sections })
    }
}

/// The host services as the SDK's synchronous host.
struct NativeHost {
    services: HostServices,
    runtime: tokio::runtime::Handle,
}

impl sdk::ExtractorHost for NativeHost {
    fn create_blob(&self) -> Result<sdk::BlobId, sdk::Failure> {
        self.services.blobs.create().map_err(failure_from_host)
    }

    fn append_blob(&self, blob: sdk::BlobId, bytes: &[u8]) -> Result<(), sdk::Failure> {
        self.services.blobs.append(blob, bytes).map_err(failure_from_host)
    }

    fn finish_blob(&self, blob: sdk::BlobId) -> Result<sdk::BlobInfo, sdk::Failure> {
        self.services.blobs.finish(blob).map(info).map_err(failure_from_host)
    }

    fn blob_info(&self, blob: sdk::BlobId) -> Result<sdk::BlobInfo, sdk::Failure> {
        self.services.blobs.get(blob).map(info).map_err(failure_from_host)
    }

    fn read_blob(&self, blob: sdk::BlobId, offset: u64, len: u32) -> Result<Vec<u8>, sdk::Failure> {
        self.services.blobs.read(blob, offset, len.into()).map(Into::into).map_err(failure_from_host)
    }

    fn log(&self, _: sdk::Level, _: &str, _: &[(&str, &str)]) {}
}

impl sdk::Host for NativeHost {
    fn list(&self, root: &str, dir: &str, after: Option<&str>, limit: u32) -> Result<sdk::Listing, sdk::Failure> {
        let listing = self.services.files.list(root, dir, after, limit).map_err(failure_from_host)?;
        let entries = listing.entries.into_iter().map(|entry| sdk::Entry {
            name: entry.name,
            kind: match entry.kind {
                FileKind::File => sdk::FileKind::File,
                FileKind::Directory => sdk::FileKind::Directory,
                FileKind::Symlink => sdk::FileKind::Symlink,
                FileKind::Other => sdk::FileKind::Other,
            },
            size_bytes: entry.size_bytes,
            modified_at: entry.modified_at_ms,
        });
        Ok(sdk::Listing { entries: entries.collect(), last: listing.last, unreadable: listing.unreadable })
    }

    fn open(&self, root: &str, path: &str, max_bytes: u64) -> Result<sdk::BlobId, sdk::Failure> {
        let HostServices { files, blobs, meter, .. } = &self.services;
        let max_bytes = max_bytes.min(blobs.max_blob_bytes()).min(blobs.remaining_bytes());
        let blob = files.open(root, path, max_bytes).map_err(failure_from_host)?;
        meter.add(blob.size_bytes());
        blobs.add(blob).map_err(failure_from_host)
    }

    /// The connectors measured here read files.
    fn send(&self, _: &sdk::HttpRequest) -> Result<sdk::HttpResponse, sdk::Failure> {
        Err(sdk::Failure::permission("not_available", "no requests in this bench"))
    }

    fn open_all(
        &self,
        root: &str,
        paths: &[String],
        max_bytes: u64,
    ) -> Result<Vec<Result<sdk::BlobId, sdk::Failure>>, sdk::Failure> {
        Ok(paths.iter().map(|path| self.open(root, path, max_bytes)).collect())
    }

    fn lookup(&self, external_ids: &[String]) -> Result<Vec<Option<String>>, sdk::Failure> {
        self.runtime.block_on(self.services.lookup(external_ids.to_vec())).map_err(failure_from_host)
    }

    fn state(&self, key: &str) -> Result<Option<String>, sdk::Failure> {
        self.runtime.block_on(self.services.state_get(key)).map_err(failure_from_host)
    }

    fn set_state(&self, key: &str, value: Option<&str>) -> Result<(), sdk::Failure> {
        let set = self.services.state_set(key.to_owned(), value.map(str::to_owned));
        self.runtime.block_on(set).map_err(failure_from_host)
    }
}

fn info(blob: Blob) -> sdk::BlobInfo {
    sdk::BlobInfo { size_bytes: blob.size_bytes(), sha256: blob.sha256().to_string() }
}

fn page(page: sdk::Page) -> host::Page {
    host::Page {
        changes: page.changes.into_iter().map(change).collect(),
        cursor: page.cursor,
        next: match page.next {
            sdk::Next::More => host::Next::More,
            sdk::Next::WaitMs(ms) => host::Next::WaitMs(ms),
            sdk::Next::Complete => host::Next::Complete,
            sdk::Next::CompleteExhaustive => host::Next::CompleteExhaustive,
        },
        progress: page.progress.map(|progress| host::Progress {
            done: progress.done,
            total: progress.total,
            phase: progress.phase,
        }),
    }
}

fn change(change: sdk::Change) -> host::Change {
    match change {
        sdk::Change::Upsert(it) => host::Change::Upsert(host::Document {
            external_id: it.external_id,
            title: it.title,
            kind: it.kind,
            language: it.language,
            content: match it.content {
                sdk::Content::Sections(sections) => {
                    host::Content::Sections(sections.into_iter().map(section).collect())
                }
                sdk::Content::Blob((blob, media_type)) => host::Content::Blob { blob, media_type },
                sdk::Content::Unchanged => host::Content::Unchanged,
            },
            fields: it.fields.into_iter().map(|(name, it)| (name, value(it))).collect(),
            provenance: Provenance {
                url: it.provenance.url,
                retrieved_from: it.provenance.retrieved_from,
                revision: it.provenance.revision,
                etag: it.provenance.etag,
                created_at: it.provenance.created_at,
                modified_at: it.provenance.modified_at,
                authors: it.provenance.authors,
                path: it.provenance.path,
                license: it.provenance.license,
            },
            fingerprint: it.fingerprint,
            container: it.container,
        }),
        sdk::Change::Container(it) => host::Change::Container(host::Container {
            external_id: it.external_id,
            fingerprint: it.fingerprint,
            unchanged: it.unchanged,
        }),
        sdk::Change::Delete((id, why)) => {
            let why = match why {
                sdk::Gone::Deleted => host::Gone::Deleted,
                sdk::Gone::Trashed => host::Gone::Trashed,
                sdk::Gone::OutOfScope => host::Gone::OutOfScope,
                sdk::Gone::AccessLost => host::Gone::AccessLost,
                sdk::Gone::Unpublished => host::Gone::Unpublished,
            };
            host::Change::Delete(id, why)
        }
        sdk::Change::Failed((id, failure)) => host::Change::Failed(id, failure_from_sdk(failure)),
    }
}

fn section(section: sdk::Section) -> host::Section {
    let at = section.at.map(|at| match at {
        sdk::Locator::Page(page) => Locator::Page(page),
        sdk::Locator::Cells((sheet, range)) => Locator::Cells(sheet, range),
        sdk::Locator::JsonPointer(pointer) => Locator::JsonPointer(pointer),
        sdk::Locator::Fragment(fragment) => Locator::Fragment(fragment),
        sdk::Locator::Bytes((start, end)) => Locator::Bytes(start, end),
    });
    host::Section { heading: section.heading, text: section.text, at }
}

fn value(value: sdk::Value) -> host::Value {
    match value {
        sdk::Value::Text(text) => host::Value::Text(text),
        sdk::Value::Integer(number) => host::Value::Integer(number),
        sdk::Value::Number(number) => host::Value::Number(number),
        sdk::Value::Boolean(flag) => host::Value::Boolean(flag),
        sdk::Value::Instant(ms) => host::Value::Instant(ms),
        sdk::Value::Money((amount, currency)) => host::Value::Money(amount, currency),
        sdk::Value::Texts(texts) => host::Value::Texts(texts),
        sdk::Value::Json(json) => host::Value::Json(json),
    }
}

macro_rules! faults {
    ($($fault:ident)*) => {
        fn fault_from_sdk(fault: sdk::Fault) -> host::Fault {
            match fault { $(sdk::Fault::$fault => host::Fault::$fault,)* }
        }

        fn fault_from_host(fault: host::Fault) -> sdk::Fault {
            match fault { $(host::Fault::$fault => sdk::Fault::$fault,)* _ => sdk::Fault::Internal }
        }
    };
}

faults! {
    Config AuthInvalid AuthExpired Permission RateLimited Transient SourceContract CursorExpired NotFound TooLarge Unsupported
    Cancelled Internal
}

fn failure_from_sdk(failure: sdk::Failure) -> host::Failure {
    host::Failure::new(fault_from_sdk(failure.fault), failure.code, failure.message)
}

fn failure_from_host(failure: host::Failure) -> sdk::Failure {
    sdk::Failure::new(fault_from_host(failure.fault), failure.code, failure.message)
}
