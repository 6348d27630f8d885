//! What the host offers a plugin, as traits, so that the same code runs in the sandbox and in a native test.

use std::io::{self, BufRead, Read};

use crate::{BlobId, BlobInfo, Failure, HttpRequest, HttpResponse, Level, Listing};

/// What every plugin may use: blobs and the log. An extractor gets nothing else.
pub trait ExtractorHost {
    /// Starts an empty blob.
    fn create_blob(&self) -> Result<BlobId, Failure>;

    /// Adds bytes to a blob that is not sealed yet.
    fn append_blob(&self, blob: BlobId, bytes: &[u8]) -> Result<(), Failure>;

    /// Seals a created blob; only a sealed blob has a hash and can be read.
    fn finish_blob(&self, blob: BlobId) -> Result<BlobInfo, Failure>;

    /// Size and SHA-256 of a sealed blob.
    fn blob_info(&self, blob: BlobId) -> Result<BlobInfo, Failure>;

    /// At most `len` bytes from `offset`; fewer, or none, at the end.
    fn read_blob(&self, blob: BlobId, offset: u64, len: u32) -> Result<Vec<u8>, Failure>;

    /// Writes a line of the run's log.
    fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]);
}

/// What a connector may use.
pub trait Host: ExtractorHost {
    /// One slice of a directory: names greater than `after`, at most `limit`, sorted by their bytes.
    /// `dir` is relative, `/`-separated, and empty for the root itself.
    fn list(&self, root: &str, dir: &str, after: Option<&str>, limit: u32) -> Result<Listing, Failure>;

    /// Reads a file into a sealed blob; `too-large` when it is longer than `max_bytes`.
    fn open(&self, root: &str, path: &str, max_bytes: u64) -> Result<BlobId, Failure>;

    /// Reads up to 1,000 files, one answer per path, in order: the same as `open` for each, without a wait for each.
    fn open_all(&self, root: &str, paths: &[String], max_bytes: u64) -> Result<Vec<Result<BlobId, Failure>>, Failure>;

    /// Sends a request. What the source answers comes back whatever its status; see [`HttpResponse::success`].
    ///
    /// # Errors
    /// When there was no answer (`transient`), none was allowed (`permission`), it is too long (`too-large`), or the rate is used up
    /// (`rate-limited`, with how long to wait).
    fn send(&self, request: &HttpRequest) -> Result<HttpResponse, Failure>;

    /// What was committed before: one answer per id, in order, the fingerprint of a live document or container.
    fn lookup(&self, external_ids: &[String]) -> Result<Vec<Option<String>>, Failure>;

    /// A value of the source's small memory (64 KiB in all).
    fn state(&self, key: &str) -> Result<Option<String>, Failure>;

    /// Changes a value of the source's memory, in the transaction of the page; `None` removes it.
    fn set_state(&self, key: &str, value: Option<&str>) -> Result<(), Failure>;
}

/// How much a `BlobReader` asks for at a time.
const SLICE_BYTES: u32 = 256 * 1024;

/// Reads a sealed blob in big slices, from any offset. A failure of the host comes out of `Failure::from(io::Error)` whole.
pub struct BlobReader<'a> {
    host: &'a dyn ExtractorHost,
    blob: BlobId,
    /// Where `slice` ends in the blob.
    end: u64,
    slice: Vec<u8>,
    /// How much of `slice` was consumed.
    used: usize,
    at_end: bool,
}

impl<'a> BlobReader<'a> {
    /// Reads from the start.
    pub fn new(host: &'a dyn ExtractorHost, blob: BlobId) -> Self {
        Self::from_offset(host, blob, 0)
    }

    /// Reads from a byte offset.
    pub fn from_offset(host: &'a dyn ExtractorHost, blob: BlobId, offset: u64) -> Self {
        Self { host, blob, end: offset, slice: Vec::new(), used: 0, at_end: false }
    }

    /// The offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.end - (self.slice.len() - self.used) as u64
    }
}

impl BufRead for BlobReader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.used == self.slice.len() && !self.at_end {
            self.slice = self.host.read_blob(self.blob, self.end, SLICE_BYTES)?;
            self.used = 0;
            self.end += self.slice.len() as u64;
            self.at_end = self.slice.is_empty();
        }
        Ok(&self.slice[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        self.used = (self.used + amount).min(self.slice.len());
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(out.len());
        out[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// A whole blob in memory.
///
/// # Errors
/// `too-large` when it is longer than `max_bytes`, without reading it.
pub fn read_whole(host: &dyn ExtractorHost, blob: BlobId, max_bytes: u64) -> Result<Vec<u8>, Failure> {
    const SLICE: u64 = 4 << 20;
    let size = host.blob_info(blob)?.size_bytes;
    if size > max_bytes {
        return Err(Failure::too_large(
            "content_too_large",
            format!("It is {size} bytes long; at most {max_bytes} bytes can be read. Split it into smaller files."),
        ));
    }
    let mut bytes = host.read_blob(blob, 0, size.min(SLICE) as u32)?;
    while (bytes.len() as u64) < size {
        let more = host.read_blob(blob, bytes.len() as u64, (size - bytes.len() as u64).min(SLICE) as u32)?;
        if more.is_empty() {
            break;
        }
        bytes.extend_from_slice(&more);
    }
    Ok(bytes)
}
