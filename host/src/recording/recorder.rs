//! Writes a recording. A recording never stands in a run's way: when it cannot be written it ends, and says so once.

use std::{
    collections::{BTreeSet, HashSet},
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use tokio::{sync::mpsc, task::JoinHandle};
use tributary_core::{citation::ConnectorRef, hash::Sha256Hash};

use super::format::{FORMAT, Header, Line, Stored};

/// Longest recording, before compression.
pub const MOST_BYTES: u64 = 2 << 30;
/// Lines that may wait for the disk.
const QUEUE: usize = 64;
/// Shorter secrets would hide half of what was said, and protect nothing.
const SHORTEST_SECRET: usize = 6;

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Pages in it.
    pub pages: u64,
    /// Its length before compression.
    pub bytes: u64,
    /// False: it was longer than a recording may be, and ends early.
    pub whole: bool,
}

/// An open recording.
pub struct Recorder {
    /// `None` is the end.
    lines: mpsc::Sender<Option<Line>>,
    hidden: Mutex<BTreeSet<String>>,
    contents: Mutex<HashSet<Sha256Hash>>,
}

/// The task that writes it. It ends when the recorder is closed, or the last one dropped.
pub struct Writing(JoinHandle<io::Result<Kept>>);

impl Recorder {
    /// Begins a recording at `path`, which only its owner may read: it holds what the source answered.
    ///
    /// # Errors
    /// When the file cannot be made, or is there already.
    pub fn begin(path: &Path, connector: ConnectorRef) -> io::Result<(Self, Writing)> {
        Ok(Self::into_file(new_file(path)?, path, connector, MOST_BYTES))
    }

    /// The same into an open file of that name, and of at most `most_bytes` before compression.
    pub(super) fn into_file(file: File, path: &Path, connector: ConnectorRef, most_bytes: u64) -> (Self, Writing) {
        let (lines, waiting) = mpsc::channel(QUEUE);
        let header = Header { format: FORMAT, connector, tributary: env!("CARGO_PKG_VERSION").to_owned() };
        let path = path.to_owned();
        let task = tokio::task::spawn_blocking(move || write_all(&path, file, header, waiting, most_bytes));
        (Self { lines, hidden: Mutex::default(), contents: Mutex::default() }, Writing(task))
    }

    /// Nothing more is taken, whoever still holds it.
    pub async fn close(&self) {
        let _ = self.lines.send(None).await;
    }

    /// From now on these are written as stars, wherever they stand.
    pub fn hide(&self, secrets: Vec<String>) {
        lock(&self.hidden).extend(secrets.into_iter().filter(|secret| secret.len() >= SHORTEST_SECRET));
    }

    /// Keeps bytes once; the hash is that of what was kept.
    pub(super) async fn content(&self, bytes: Bytes) -> Sha256Hash {
        let (hash, line) = self.stored(&bytes);
        if let Some(line) = line {
            let _ = self.lines.send(Some(line)).await;
        }
        hash
    }

    pub(super) fn blocking_content(&self, bytes: Bytes) -> Sha256Hash {
        let (hash, line) = self.stored(&bytes);
        if let Some(line) = line {
            let _ = self.lines.blocking_send(Some(line));
        }
        hash
    }

    pub(super) async fn write(&self, line: Line) {
        if let Some(line) = self.without_secrets(line) {
            let _ = self.lines.send(Some(line)).await;
        }
    }

    pub(super) fn blocking_write(&self, line: Line) {
        if let Some(line) = self.without_secrets(line) {
            let _ = self.lines.blocking_send(Some(line));
        }
    }

    fn stored(&self, bytes: &Bytes) -> (Sha256Hash, Option<Line>) {
        if self.lines.is_closed() {
            return (Sha256Hash::of(bytes), None);
        }
        let mut kept = bytes.to_vec();
        for secret in &*lock(&self.hidden) {
            blot(&mut kept, secret.as_bytes());
        }
        let stored = Stored::of(&kept);
        let hash = stored.sha256;
        let new = lock(&self.contents).insert(hash);
        (hash, new.then_some(Line::Content(stored)))
    }

    fn without_secrets(&self, line: Line) -> Option<Line> {
        if self.lines.is_closed() {
            return None;
        }
        let hidden = lock(&self.hidden);
        if hidden.is_empty() {
            return Some(line);
        }
        let mut text = serde_json::to_vec(&line).ok()?;
        for secret in &*hidden {
            // As it stands within a text of JSON.
            let quoted = serde_json::to_string(secret).ok()?;
            blot(&mut text, quoted.trim_matches('"').as_bytes());
        }
        serde_json::from_slice(&text).ok()
    }
}

impl Writing {
    /// Waits until everything is on disk. Call it after the recorder was dropped.
    ///
    /// # Errors
    /// When the file could not be written; what there is of it was removed.
    pub async fn end(self) -> io::Result<Kept> {
        self.0.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stars in the place of `secret`, so that nothing moves.
fn blot(text: &mut [u8], secret: &[u8]) {
    let places: Vec<usize> = memchr::memmem::find_iter(text, secret).collect();
    for place in places {
        text[place..place + secret.len()].fill(b'*');
    }
}

/// A file that is not there yet, for its owner alone.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn write_all(
    path: &PathBuf,
    file: File,
    header: Header,
    waiting: mpsc::Receiver<Option<Line>>,
    most_bytes: u64,
) -> io::Result<Kept> {
    let result = write_lines(file, header, waiting, most_bytes);
    if let Err(error) = &result {
        tracing::warn!(path = %path.display(), %error, "the recording could not be written and is given up");
        let _ = std::fs::remove_file(path);
    }
    result
}

fn write_lines(
    file: File,
    header: Header,
    mut waiting: mpsc::Receiver<Option<Line>>,
    most_bytes: u64,
) -> io::Result<Kept> {
    let mut out = GzEncoder::new(BufWriter::new(file), Compression::fast());
    let mut kept = Kept { pages: 0, bytes: 0, whole: true };
    let mut write = |line: &Line, kept: &mut Kept| -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        kept.bytes += text.len() as u64;
        out.write_all(&text)?;
        // A page that is over is there, even when the host is killed in the next.
        if matches!(line, Line::Returned(_)) { out.flush() } else { Ok(()) }
    };
    write(&Line::Recording(header), &mut kept)?;
    while let Some(Some(line)) = waiting.blocking_recv() {
        if kept.bytes > most_bytes {
            // Without its end.
            kept.whole = false;
            waiting.close();
            break;
        }
        kept.pages += u64::from(matches!(line, Line::Returned(_)));
        write(&line, &mut kept)?;
    }
    if kept.whole {
        write(&Line::End { pages: kept.pages }, &mut kept)?;
    }
    out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(kept)
}
