//! A host over real folders and scripted answers, which bounds and refuses as the real one does.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, Metadata},
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::UNIX_EPOCH,
};

use sha2::{Digest, Sha256};

use super::{Answer, may_reach};
use crate::{
    BlobId, BlobInfo, Entry, ExtractorHost, Failure, Fault, FileKind, Host, HttpRequest, HttpResponse, Level, Listing,
    Method,
};

/// Most entries one slice has, as in the real host.
const MAX_SLICE: u32 = 1_000;
/// Most files opened at once, as in the real host.
const MAX_OPEN_ALL: usize = 1_000;
/// Most bytes one read returns, as in the real host.
const MAX_READ_BYTES: u32 = 4 << 20;
/// Headers a connector may not set, as in the real host.
const REFUSED_HEADERS: [&str; 4] = ["authorization", "cookie", "host", "proxy-authorization"];
/// Bytes of state one source may have.
const MAX_STATE_BYTES: usize = 64 << 10;

/// A line a plugin logged.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// How bad.
    pub level: Level,
    /// What.
    pub message: String,
    /// With what.
    pub fields: Vec<(String, String)>,
}

/// What answers the requests of a test.
type Script = Box<dyn Fn(&HttpRequest) -> Result<Answer, Failure> + Send + Sync>;

/// A host for tests and benches: real folders as roots, scripted answers to requests, everything else in memory.
#[derive(Default)]
pub struct TestHost {
    roots: BTreeMap<String, PathBuf>,
    script: Option<Script>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    blobs: HashMap<BlobId, (Vec<u8>, Option<BlobInfo>)>,
    blobs_made: BlobId,
    ledger: HashMap<String, String>,
    state: BTreeMap<String, String>,
    failures: HashMap<String, Failure>,
    log: Vec<LogLine>,
    listed: u64,
    opened: u64,
    lookups: u64,
    requests: Vec<HttpRequest>,
    /// None: every host may be reached.
    granted: Option<Vec<String>>,
}

impl TestHost {
    /// A host without roots.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, granting a folder under a name.
    pub fn with_root(mut self, name: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        self.roots.insert(name.into(), folder.into());
        self
    }

    /// The same, answering requests with what `script` says of them.
    pub fn with_http(
        mut self,
        script: impl Fn(&HttpRequest) -> Result<Answer, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.script = Some(Box::new(script));
        self
    }

    /// From now on these hosts may be reached and no others; `sync` calls it with what the connector's descriptor names.
    pub fn grant_hosts(&self, hosts: Vec<String>) {
        self.inner().granted = Some(hosts);
    }

    /// The requests sent so far; forgets them.
    pub fn take_requests(&self) -> Vec<HttpRequest> {
        std::mem::take(&mut self.inner().requests)
    }

    /// What the source remembers under a key.
    pub fn remembered(&self, key: &str) -> Option<String> {
        self.inner().state.get(key).cloned()
    }

    /// All that the source remembers.
    pub fn memory(&self) -> BTreeMap<String, String> {
        self.inner().state.clone()
    }

    /// A sealed blob of these bytes.
    pub fn blob(&self, bytes: impl Into<Vec<u8>>) -> BlobId {
        let bytes = bytes.into();
        let info = info(&bytes);
        self.inner().add_blob(bytes, Some(info))
    }

    /// The bytes of a sealed blob.
    pub fn blob_bytes(&self, blob: BlobId) -> Option<Vec<u8>> {
        self.inner().blobs.get(&blob).filter(|(_, sealed)| sealed.is_some()).map(|(bytes, _)| bytes.clone())
    }

    /// Forgets all blobs, as the real host does after each page.
    pub fn clear_blobs(&self) {
        self.inner().blobs.clear();
    }

    /// Sets or removes what the ledger knows of an id.
    pub fn remember(&self, external_id: impl Into<String>, fingerprint: Option<String>) {
        let mut inner = self.inner();
        match fingerprint {
            Some(fingerprint) => inner.ledger.insert(external_id.into(), fingerprint),
            None => inner.ledger.remove(&external_id.into()),
        };
    }

    /// Makes listing or opening this path fail, or work again.
    pub fn fail_at(&self, path: impl Into<String>, failure: Option<Failure>) {
        let mut inner = self.inner();
        match failure {
            Some(failure) => inner.failures.insert(path.into(), failure),
            None => inner.failures.remove(&path.into()),
        };
    }

    /// What was logged so far.
    pub fn log_lines(&self) -> Vec<LogLine> {
        self.inner().log.clone()
    }

    /// Directory slices listed, files opened and ledger look-ups made so far.
    pub fn calls(&self) -> (u64, u64, u64) {
        let inner = self.inner();
        (inner.listed, inner.opened, inner.lookups)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path under a root, entered part by part; no part but the last may be a link.
    fn resolve(&self, root: &str, path: &str) -> Result<PathBuf, Failure> {
        let folder = self.roots.get(root).ok_or_else(|| {
            let what = format!("root \"{root}\" is not granted: start the server with --root {root}=PATH");
            Failure::permission("root_not_granted", what).at("/root")
        })?;
        if let Some(failure) = self.inner().failures.get(path) {
            return Err(failure.clone());
        }
        if !folder.is_dir() {
            return Err(Failure::not_found("root_missing", format!("root \"{root}\" is not there")).at("/root"));
        }
        let mut resolved = folder.clone();
        let parts: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('/').collect() };
        for (place, part) in parts.iter().enumerate() {
            if matches!(*part, "" | "." | "..") || part.contains('\0') {
                let what = format!("\"{path}\" is not a path inside a root");
                return Err(Failure::permission("path_not_allowed", what));
            }
            resolved.push(part);
            let metadata = resolved.symlink_metadata().map_err(|error| io_failure(path, &error))?;
            if metadata.is_symlink() {
                return Err(Failure::unsupported("symlink", format!("\"{path}\" leads through a symbolic link")));
            }
            if place + 1 < parts.len() && !metadata.is_dir() {
                return Err(Failure::not_found("not_a_directory", format!("\"{part}\" is not a directory")));
            }
        }
        Ok(resolved)
    }
}

impl Inner {
    fn add_blob(&mut self, bytes: Vec<u8>, sealed: Option<BlobInfo>) -> BlobId {
        self.blobs_made += 1;
        self.blobs.insert(self.blobs_made, (bytes, sealed));
        self.blobs_made
    }

    fn sealed(&self, blob: BlobId) -> Result<(&[u8], &BlobInfo), Failure> {
        match self.blobs.get(&blob) {
            Some((bytes, Some(info))) => Ok((bytes, info)),
            Some(_) => {
                Err(Failure::internal("blob_not_finished", format!("blob {blob} was used before it was finished")))
            }
            None => Err(Failure::not_found("unknown_blob", format!("blob {blob} does not belong to this call"))),
        }
    }

    fn open(&mut self, blob: BlobId) -> Result<&mut (Vec<u8>, Option<BlobInfo>), Failure> {
        match self.blobs.get_mut(&blob) {
            Some((_, Some(_))) => Err(Failure::internal("blob_finished", format!("blob {blob} is finished"))),
            Some(open) => Ok(open),
            None => Err(Failure::not_found("unknown_blob", format!("blob {blob} does not belong to this call"))),
        }
    }
}

impl ExtractorHost for TestHost {
    fn create_blob(&self) -> Result<BlobId, Failure> {
        Ok(self.inner().add_blob(Vec::new(), None))
    }

    fn append_blob(&self, blob: BlobId, bytes: &[u8]) -> Result<(), Failure> {
        self.inner().open(blob)?.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finish_blob(&self, blob: BlobId) -> Result<BlobInfo, Failure> {
        let mut inner = self.inner();
        let (bytes, sealed) = inner.open(blob)?;
        let info = info(bytes);
        *sealed = Some(info.clone());
        Ok(info)
    }

    fn blob_info(&self, blob: BlobId) -> Result<BlobInfo, Failure> {
        self.inner().sealed(blob).map(|(_, info)| info.clone())
    }

    fn read_blob(&self, blob: BlobId, offset: u64, len: u32) -> Result<Vec<u8>, Failure> {
        let inner = self.inner();
        let (bytes, _) = inner.sealed(blob)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(len.min(MAX_READ_BYTES) as usize).min(bytes.len());
        Ok(bytes[start..end].to_vec())
    }

    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.inner().log.push(LogLine { level, message: message.to_owned(), fields });
    }
}

impl Host for TestHost {
    fn list(&self, root: &str, dir: &str, after: Option<&str>, limit: u32) -> Result<Listing, Failure> {
        self.inner().listed += 1;
        let folder = self.resolve(root, dir)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder).map_err(|error| io_failure(dir, &error))? {
            names.push(entry.map_err(|error| io_failure(dir, &error))?.file_name());
        }
        names.retain(|name| after.is_none_or(|after| name.as_encoded_bytes() > after.as_bytes()));
        names.sort_unstable_by(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
        let limit = limit.clamp(1, MAX_SLICE) as usize;
        let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
        let mut rest = names.iter();
        while entries.len() < limit {
            let Some(name) = rest.next() else { break };
            let Some(readable) = name.to_str() else {
                unreadable.push(name.to_string_lossy().into_owned());
                continue;
            };
            match folder.join(name).symlink_metadata() {
                Ok(metadata) => entries.push(entry(readable, &metadata)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_failure(readable, &error)),
            }
        }
        Ok(Listing { entries, last: rest.as_slice().is_empty(), unreadable })
    }

    fn open(&self, root: &str, path: &str, max_bytes: u64) -> Result<BlobId, Failure> {
        self.inner().opened += 1;
        let file = self.resolve(root, path)?;
        let metadata = file.metadata().map_err(|error| io_failure(path, &error))?;
        if !metadata.is_file() {
            return Err(Failure::unsupported("not_a_file", format!("\"{path}\" cannot be read as a file")));
        }
        if metadata.len() > max_bytes {
            let what = format!("\"{path}\" is longer than the {max_bytes} bytes allowed");
            return Err(Failure::too_large("file_too_large", what));
        }
        let bytes = fs::read(&file).map_err(|error| io_failure(path, &error))?;
        Ok(self.blob(bytes))
    }

    fn open_all(&self, root: &str, paths: &[String], max_bytes: u64) -> Result<Vec<Result<BlobId, Failure>>, Failure> {
        if paths.len() > MAX_OPEN_ALL {
            return Err(Failure::too_large("too_many_files", format!("open at most {MAX_OPEN_ALL} files at once")));
        }
        Ok(paths.iter().map(|path| self.open(root, path, max_bytes)).collect())
    }

    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure> {
        {
            let mut inner = self.inner();
            inner.requests.push(request.clone());
            if inner.granted.as_ref().is_some_and(|hosts| !may_reach(hosts, &request.url)) {
                let what = format!("{} is not among the hosts that the connector's descriptor names", request.url);
                return Err(Failure::permission("host_not_granted", what));
            }
        }
        if let Some((name, _)) =
            request.headers.iter().find(|(name, _)| REFUSED_HEADERS.contains(&name.to_ascii_lowercase().as_str()))
        {
            let what = format!("a connector may not set the header {name}; name a credential instead");
            return Err(Failure::permission("header_not_allowed", what));
        }
        if request.body.is_some() != (request.method == Method::Post) {
            return Err(Failure::internal("body_not_allowed", "POST has a body, GET and HEAD have none"));
        }
        let script = self.script.as_ref().ok_or_else(|| {
            Failure::transient("unreachable", format!("{} cannot be reached: the test has no answers", request.url))
        })?;
        let answer = script(request)?;
        let size_bytes = answer.body.len() as u64;
        if size_bytes > request.max_bytes {
            let what = format!("{} answered more than {} bytes", request.url, request.max_bytes);
            return Err(Failure::too_large("answer_too_large", what));
        }
        let body = self.blob(answer.body);
        Ok(HttpResponse { status: answer.status, url: request.url.clone(), headers: answer.headers, body, size_bytes })
    }

    fn lookup(&self, external_ids: &[String]) -> Result<Vec<Option<String>>, Failure> {
        let mut inner = self.inner();
        inner.lookups += 1;
        Ok(external_ids.iter().map(|id| inner.ledger.get(id).cloned()).collect())
    }

    fn state(&self, key: &str) -> Result<Option<String>, Failure> {
        Ok(self.inner().state.get(key).cloned())
    }

    fn set_state(&self, key: &str, value: Option<&str>) -> Result<(), Failure> {
        let mut inner = self.inner();
        let others = inner.state.iter().filter(|(name, _)| *name != key).map(|(name, value)| name.len() + value.len());
        let size = others.sum::<usize>() + value.map_or(0, |value| key.len() + value.len());
        if size > MAX_STATE_BYTES {
            return Err(Failure::too_large("state_full", format!("a source may remember {MAX_STATE_BYTES} bytes")));
        }
        match value {
            Some(value) => inner.state.insert(key.to_owned(), value.to_owned()),
            None => inner.state.remove(key),
        };
        Ok(())
    }
}

fn info(bytes: &[u8]) -> BlobInfo {
    let sha256 = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    BlobInfo { size_bytes: bytes.len() as u64, sha256 }
}

fn entry(name: &str, metadata: &Metadata) -> Entry {
    let kind = if metadata.is_symlink() {
        FileKind::Symlink
    } else if metadata.is_dir() {
        FileKind::Directory
    } else if metadata.is_file() {
        FileKind::File
    } else {
        FileKind::Other
    };
    let modified_at = metadata.modified().ok().and_then(|at| match at.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).ok(),
        Err(before) => i64::try_from(before.duration().as_millis()).ok().map(|ms| -ms),
    });
    let size_bytes = if metadata.is_file() { metadata.len() } else { 0 };
    Entry { name: name.to_owned(), kind, size_bytes, modified_at }
}

fn io_failure(path: &str, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::not_found("not_found", format!("\"{path}\" is not there")),
        io::ErrorKind::NotADirectory => {
            Failure::not_found("not_a_directory", format!("\"{path}\" does not lead to a directory"))
        }
        io::ErrorKind::PermissionDenied => {
            Failure::permission("unreadable", format!("the server may not read \"{path}\""))
        }
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            Failure::not_found("not_found", format!("\"{path}\" is not a name this file system can hold"))
        }
        _ => Failure::new(Fault::Transient, "io_error", format!("\"{path}\" could not be read: {error}")),
    }
}
