//! The names of directories, sorted once and remembered, and slices of them.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use cap_std::fs::{Dir, Metadata};
use tributary_core::contract::{Failure, Fault};

use super::{Entry, FileKind, Listing, io_failure, quoted};

/// Memory of all remembered names together, and thereby the largest directory that can be read.
const MAX_BYTES: usize = 64 << 20;
/// Remembered directories; each keeps a handle open.
const MAX_DIRECTORIES: usize = 32;
/// What a name costs beside its bytes.
const NAME_OVERHEAD_BYTES: usize = 40;
/// Undecodable names one slice shows.
const MAX_UNREADABLE: usize = 100;

/// Directories listed so far, the least recently used forgotten first.
#[derive(Default)]
pub(super) struct Listings(Mutex<VecDeque<Remembered>>);

struct Remembered {
    root: String,
    dir: String,
    names: Arc<Names>,
}

impl Listings {
    /// The names in `dir`, remembered or read through the handle that `open` gives.
    pub(super) fn get(
        &self,
        root: &str,
        dir: &str,
        open: impl FnOnce() -> Result<Arc<Dir>, Failure>,
    ) -> Result<Arc<Names>, Failure> {
        if let Some(names) = self.find(root, dir) {
            return Ok(names);
        }
        let names = Arc::new(Names::read(open()?, dir, MAX_BYTES)?);
        let mut all = self.all();
        all.push_back(Remembered { root: root.to_owned(), dir: dir.to_owned(), names: names.clone() });
        let mut bytes: usize = all.iter().map(|one| one.names.bytes).sum();
        while all.len() > 1 && (bytes > MAX_BYTES || all.len() > MAX_DIRECTORIES) {
            bytes -= all.pop_front().map_or(0, |oldest| oldest.names.bytes);
        }
        Ok(names)
    }

    fn find(&self, root: &str, dir: &str) -> Option<Arc<Names>> {
        let mut all = self.all();
        let at = all.iter().position(|one| one.root == root && one.dir == dir)?;
        let found = all.remove(at)?;
        let names = found.names.clone();
        all.push_back(found);
        Some(names)
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<Remembered>> {
        self.0.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// The names of one directory, sorted by their bytes, and its handle.
pub(super) struct Names {
    dir: Arc<Dir>,
    sorted: Vec<OsString>,
    bytes: usize,
}

impl Names {
    fn read(dir: Arc<Dir>, shown: &str, max_bytes: usize) -> Result<Self, Failure> {
        let mut sorted = Vec::new();
        let mut bytes = 0;
        for entry in dir.entries().map_err(|error| io_failure(shown, &error))? {
            let name = entry.map_err(|error| io_failure(shown, &error))?.file_name();
            bytes += name.len() + NAME_OVERHEAD_BYTES;
            if bytes > max_bytes {
                return Err(Failure::new(
                    Fault::TooLarge,
                    "directory_too_large",
                    format!("the directory {} holds too many files to list; split it into several", quoted(shown)),
                ));
            }
            sorted.push(name);
        }
        sorted.sort_unstable_by(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
        Ok(Self { dir, sorted, bytes })
    }

    /// At most `limit` readable names greater than `after`, with what they are now; names gone meanwhile are left out.
    pub(super) fn slice(&self, after: Option<&str>, limit: usize, shown: &str) -> Result<Listing, Failure> {
        let start =
            after.map_or(0, |after| self.sorted.partition_point(|name| name.as_encoded_bytes() <= after.as_bytes()));
        let mut listing = Listing::default();
        let mut hidden = 0;
        let mut rest = self.sorted[start..].iter();
        loop {
            // Undecodable names after the last readable one belong to the next slice, which starts there.
            if listing.entries.len() == limit {
                listing.last = rest.as_slice().is_empty();
                break;
            }
            let Some(name) = rest.next() else {
                listing.last = true;
                break;
            };
            match name.to_str() {
                Some(readable) => listing.entries.extend(self.look(name, readable, shown)?),
                None if listing.unreadable.len() < MAX_UNREADABLE => {
                    listing.unreadable.push(name.to_string_lossy().into_owned())
                }
                None => hidden += 1,
            }
        }
        if hidden > 0 {
            listing.unreadable.push(format!("… and {hidden} more"));
        }
        Ok(listing)
    }

    fn look(&self, name: &OsStr, readable: &str, shown: &str) -> Result<Option<Entry>, Failure> {
        match self.dir.symlink_metadata(name) {
            Ok(metadata) => Ok(Some(entry(readable, &metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_failure(&format!("{shown}/{readable}"), &error)),
        }
    }
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
    let modified_at_ms = metadata.modified().ok().and_then(|at| {
        let epoch = std::time::SystemTime::UNIX_EPOCH;
        match at.into_std().duration_since(epoch) {
            Ok(since) => i64::try_from(since.as_millis()).ok(),
            Err(before) => i64::try_from(before.duration().as_millis()).ok().map(|ms| -ms),
        }
    });
    let size_bytes = if kind == FileKind::File { metadata.len() } else { 0 };
    Entry { name: name.to_owned(), kind, size_bytes, modified_at_ms }
}
