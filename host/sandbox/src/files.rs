//! Files under roots the operator granted by name. Synchronous; `services` adds threads and time limits.
//!
//! Nothing leads out of a root: paths are plain names joined by `/`, every directory on the way is entered through a handle
//! (cap-std), symbolic links are listed but never followed, and only regular files are opened.

mod listing;
mod path;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, Read},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use cap_std::{
    ambient_authority,
    fs::{Dir, Metadata, OpenOptions, OpenOptionsExt},
};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use tributary_core::contract::{Failure, Fault};

use crate::{
    blobs::{Blob, BlobWriter},
    text::printable,
};
use listing::Listings;
use path::RelativePath;

/// The operator's roots by name, for the whole server.
pub type Roots = BTreeMap<String, PathBuf>;

/// Most entries one slice has.
pub const MAX_SLICE: u32 = 1000;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; never followed.
    Symlink,
    /// A pipe, socket or device; never opened.
    Other,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Length of a file.
    pub size_bytes: u64,
    /// Unix milliseconds.
    pub modified_at_ms: Option<i64>,
}

/// One slice of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// Sorted by the bytes of the name.
    pub entries: Vec<Entry>,
    /// False: there are more after the last name.
    pub last: bool,
    /// Names in this slice that are not UTF-8, with replacement characters.
    pub unreadable: Vec<String>,
}

/// The files one source may read. Calls block.
pub trait FileAccess: Send + Sync {
    /// One slice of a directory; see [`Files::list`].
    fn list(&self, root: &str, dir: &str, after: Option<&str>, limit: u32) -> Result<Listing, Failure>;

    /// A whole file; see [`Files::open`].
    fn open(&self, root: &str, path: &str, max_bytes: u64) -> Result<Blob, Failure>;
}

impl FileAccess for Files {
    fn list(&self, root: &str, dir: &str, after: Option<&str>, limit: u32) -> Result<Listing, Failure> {
        Self::list(self, root, dir, after, limit)
    }

    fn open(&self, root: &str, path: &str, max_bytes: u64) -> Result<Blob, Failure> {
        Self::open(self, root, path, max_bytes)
    }
}

/// The roots one source may read, with the directories it has listed so far.
///
/// A directory's names are read and sorted once for the life of this value, so one value should serve a whole run; sizes and times
/// are always read anew. What is remembered is bounded (64 MiB).
pub struct Files {
    roots: Arc<Roots>,
    granted: BTreeSet<String>,
    opened: Mutex<HashMap<String, Arc<Dir>>>,
    listings: Listings,
}

impl Files {
    /// Those of the operator's `roots` that the source's configuration names.
    pub fn new(roots: Arc<Roots>, granted: impl IntoIterator<Item = String>) -> Self {
        Self { roots, granted: granted.into_iter().collect(), opened: Mutex::default(), listings: Listings::default() }
    }

    /// No root at all.
    pub fn none() -> Self {
        Self::new(Arc::default(), [])
    }

    /// One slice of the directory `dir` (relative, `/`-separated, empty for the root): names greater than `after`, at most `limit`.
    pub fn list(&self, root: &str, dir: &str, after: Option<&str>, limit: u32) -> Result<Listing, Failure> {
        let path = RelativePath::parse(dir)?;
        let names = self.listings.get(root, dir, || {
            let root_dir = self.root(root)?;
            match enter(&root_dir, path.parts(), dir)? {
                Some(below) => Ok(Arc::new(below)),
                None => Ok(root_dir),
            }
        })?;
        names.slice(after, limit.clamp(1, MAX_SLICE) as usize, dir)
    }

    /// Reads the regular file `path` (relative, `/`-separated); too large when it has more than `max_bytes`.
    pub fn open(&self, root: &str, path: &str, max_bytes: u64) -> Result<Blob, Failure> {
        let parsed = RelativePath::parse(path)?;
        let Some((name, parents)) = parsed.parts().split_last() else {
            return Err(not_a_file(path, "it is the root itself"));
        };
        let root = self.root(root)?;
        let below = enter(&root, parents, path)?;
        let dir = below.as_ref().unwrap_or(&root);

        // Looked at before it is opened: opening a device can itself do something.
        let metadata = dir.symlink_metadata(name).map_err(|error| io_failure(path, &error))?;
        regular(path, &metadata)?;
        let too_large = || {
            Failure::new(
                Fault::TooLarge,
                "file_too_large",
                format!(
                    "{} is longer than the {max_bytes} bytes allowed; raise the limit in the configuration or exclude the file",
                    quoted(path)
                ),
            )
        };
        if metadata.len() > max_bytes {
            return Err(too_large());
        }
        // Should it have become a pipe or a link meanwhile: opening must neither wait nor follow.
        let mut options = OpenOptions::new();
        options.read(true).custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32);
        let file = dir.open_with(name, &options).map_err(|error| io_failure(path, &error))?;
        regular(path, &file.metadata().map_err(|error| io_failure(path, &error))?)?;

        let mut writer = BlobWriter::new(max_bytes);
        let mut file = file.into_std().take(max_bytes + 1);
        let mut buffer = vec![0; (metadata.len() as usize + 1).clamp(512, 128 << 10)];
        let mut read = 0;
        loop {
            let n = match file.read(&mut buffer) {
                Ok(0) => return Ok(writer.seal()),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(io_failure(path, &error)),
            };
            read += n as u64;
            if read > max_bytes {
                return Err(too_large());
            }
            writer.write(&buffer[..n])?;
        }
    }

    /// The handle of a granted root, opened once.
    fn root(&self, name: &str) -> Result<Arc<Dir>, Failure> {
        let shown = printable(name, 64);
        if !self.granted.contains(name) {
            return Err(Failure::new(
                Fault::Permission,
                "root_not_configured",
                format!("root \"{shown}\" is not one that this source's configuration names"),
            ));
        }
        let Some(path) = self.roots.get(name) else {
            return Err(Failure::new(
                Fault::Permission,
                "root_not_granted",
                format!(
                    "root \"{shown}\" is not granted: start the server with --root {shown}=PATH or add it under [roots] in the config file"
                ),
            )
            .at("/root"));
        };
        if let Some(dir) = self.opened().get(name) {
            return Ok(dir.clone());
        }
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::new(
                Fault::Permission,
                "root_unreadable",
                format!("the server may not read root \"{shown}\": let its user read and enter the directory"),
            )
            .at("/root"),
            _ => Failure::new(
                Fault::NotFound,
                "root_missing",
                format!(
                    "root \"{shown}\" is not there ({error}): mount it, or correct its path in --root or under [roots]"
                ),
            )
            .at("/root"),
        })?;
        Ok(self.opened().entry(name.to_owned()).or_insert(Arc::new(dir)).clone())
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Dir>>> {
        self.opened.lock().unwrap_or_else(|broken| broken.into_inner())
    }
}

/// The directory `parts` below `from`, or `None` when there are no parts. No part may be a link.
fn enter(from: &Dir, parts: &[&str], shown: &str) -> Result<Option<Dir>, Failure> {
    let mut here = None;
    for part in parts {
        let dir = here.as_ref().unwrap_or(from);
        let metadata = dir.symlink_metadata(part).map_err(|error| io_failure(shown, &error))?;
        if metadata.is_symlink() {
            return Err(link(shown));
        }
        if !metadata.is_dir() {
            return Err(Failure::new(
                Fault::NotFound,
                "not_a_directory",
                format!("{} does not lead to a directory: {} is not one", quoted(shown), quoted(part)),
            ));
        }
        here = Some(dir.open_dir(part).map_err(|error| io_failure(shown, &error))?);
    }
    Ok(here)
}

fn regular(path: &str, metadata: &Metadata) -> Result<(), Failure> {
    if metadata.is_symlink() {
        Err(link(path))
    } else if metadata.is_dir() {
        Err(not_a_file(path, "it is a directory"))
    } else if !metadata.is_file() {
        Err(not_a_file(path, "it is a pipe, socket or device"))
    } else {
        Ok(())
    }
}

fn not_a_file(path: &str, why: &str) -> Failure {
    Failure::new(Fault::Unsupported, "not_a_file", format!("{} cannot be read as a file: {why}", quoted(path)))
}

fn link(path: &str) -> Failure {
    Failure::new(
        Fault::Unsupported,
        "symlink",
        format!("{} is, or leads through, a symbolic link; links are not followed", quoted(path)),
    )
}

/// The failure for an operating system's answer about `path`.
fn io_failure(path: &str, error: &io::Error) -> Failure {
    let shown = quoted(path);
    let is = |errno: rustix::io::Errno| error.raw_os_error() == Some(errno.raw_os_error());
    if is(rustix::io::Errno::LOOP) {
        return link(path);
    }
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(Fault::NotFound, "not_found", format!("{shown} is not there")),
        io::ErrorKind::PermissionDenied => Failure::new(
            Fault::Permission,
            "unreadable",
            format!("the server may not read {shown}: let its user read it, or exclude it"),
        ),
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            Failure::new(Fault::NotFound, "not_found", format!("{shown} is not a name this file system can hold"))
        }
        _ => Failure::new(Fault::Transient, "io_error", format!("{shown} could not be read: {error}")),
    }
}

fn quoted(path: &str) -> String {
    format!("\"{}\"", printable(path, 200))
}
