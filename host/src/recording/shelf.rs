//! Where a server keeps the recordings of its own syncs: `recordings/WORKSPACE/RUN/` in the data directory, a file for each stretch that a
//! worker of this host recorded.
//!
//! A stretch is written as `N.part`, locked, and becomes `N.rec` when it has ended. A `.part` that nobody has locked is of a host that
//! was killed: what can be read of it is kept.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use tokio::task::{JoinHandle, spawn_blocking};
use tributary_core::{RunId, WorkspaceId, citation::ConnectorRef};

use super::{
    Kept, Recorder,
    recorder::{Writing, new_file},
};

/// Longest recording of a sync, before compression.
pub const MOST_RUN_BYTES: u64 = 512 << 20;
/// What the recordings of one workspace take on this host's disk, at most; the oldest go first.
const MOST_WORKSPACE_BYTES: u64 = 2 << 30;
/// A line longer than this is none.
const MOST_LINE_BYTES: u64 = 256 << 20;

/// The recordings on this host.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: Arc<Path>,
    host: Arc<str>,
}

/// A stretch that is being written. Let go of it and it is kept all the same.
pub struct Part(JoinHandle<io::Result<Kept>>);

impl Part {
    /// Waits until it is on disk. Close its recorder first.
    ///
    /// # Errors
    /// When it could not be written.
    pub async fn end(self) -> io::Result<Kept> {
        self.0.await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl Shelf {
    /// In this data directory; nothing is made yet.
    pub fn new(data_dir: &Path) -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
        let host = host.map(|host| host.trim().to_owned()).filter(|host| !host.is_empty());
        Self { folder: data_dir.join("recordings").into(), host: host.unwrap_or_else(|| "localhost".to_owned()).into() }
    }

    /// The name of this host, as the system has it.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn run(&self, workspace: WorkspaceId, run: RunId) -> PathBuf {
        self.folder.join(workspace.to_string()).join(run.to_string())
    }

    /// Begins the next stretch of a run's recording, of at most `most_bytes` before compression. Older recordings of the workspace make
    /// room for it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn begin(
        &self,
        workspace: WorkspaceId,
        run: RunId,
        connector: ConnectorRef,
        most_bytes: u64,
    ) -> io::Result<(Recorder, Part)> {
        let (folder, shelf) = (self.run(workspace, run), self.clone());
        let (file, part) = spawn_blocking(move || {
            shelf.make_room(workspace, run)?;
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            let before = parts(&folder)?;
            let number = before.iter().filter_map(|part| number(part)).max().unwrap_or(0) + 1;
            let part = folder.join(format!("{number:04}.part"));
            let file = new_file(&part)?;
            file.lock()?;
            io::Result::Ok((file, part))
        })
        .await??;
        let (recorder, writing) = Recorder::into_file(file, &part, connector, most_bytes);
        Ok((recorder, Part(tokio::spawn(keep(writing, part)))))
    }

    /// What this host has of a run's recording, in order: the parts of one file. Empty when there is nothing.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn open(&self, workspace: WorkspaceId, run: RunId) -> io::Result<Vec<File>> {
        let folder = self.run(workspace, run);
        spawn_blocking(move || {
            let mut ended = Vec::new();
            for part in parts(&folder)? {
                let part = if ends_with(&part, "part") { mend(&part)? } else { Some(part) };
                ended.extend(part);
            }
            ended.iter().map(File::open).collect()
        })
        .await?
    }

    /// The same, whatever its workspace is.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn find(&self, run: RunId) -> io::Result<Vec<File>> {
        match self.runs().await?.into_iter().find(|(_, id)| *id == run) {
            Some((workspace, run)) => self.open(workspace, run).await,
            None => Ok(Vec::new()),
        }
    }

    /// Every run that has a folder here.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn runs(&self) -> io::Result<Vec<(WorkspaceId, RunId)>> {
        let shelf = self.clone();
        spawn_blocking(move || {
            let mut runs = Vec::new();
            for (folder, workspace) in folders::<WorkspaceId>(&shelf.folder)? {
                runs.extend(folders::<RunId>(&folder)?.into_iter().map(|(_, run)| (workspace, run)));
            }
            Ok(runs)
        })
        .await?
    }

    /// Removes what is here of these runs.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn remove(&self, runs: Vec<(WorkspaceId, RunId)>) -> io::Result<()> {
        let shelf = self.clone();
        spawn_blocking(move || {
            for (workspace, run) in runs {
                remove(&shelf.run(workspace, run))?;
                // The last one takes the workspace's folder with it.
                let _ = fs::remove_dir(shelf.folder.join(workspace.to_string()));
            }
            Ok(())
        })
        .await?
    }

    fn make_room(&self, workspace: WorkspaceId, except: RunId) -> io::Result<()> {
        let mut runs = folders::<RunId>(&self.folder.join(workspace.to_string()))?;
        // Ids are in the order of their making.
        runs.sort_by_key(|(_, run)| run.0);
        let sizes: Vec<_> = runs.iter().map(|(folder, _)| size(folder)).collect::<io::Result<_>>()?;
        let mut bytes: u64 = sizes.iter().sum();
        for ((folder, run), size) in runs.iter().zip(sizes) {
            if bytes <= MOST_WORKSPACE_BYTES {
                break;
            }
            if *run != except {
                remove(folder)?;
                bytes -= size;
            }
        }
        Ok(())
    }
}

/// Waits for a stretch's end, and gives it the name of one that has ended.
async fn keep(writing: Writing, part: PathBuf) -> io::Result<Kept> {
    let kept = writing.end().await?;
    let ended = part.with_extension("rec");
    match tokio::fs::rename(&part, &ended).await {
        // Whoever asked for it in this moment took it for one of a killed host, and kept it.
        Err(error) if error.kind() == io::ErrorKind::NotFound && ended.exists() => Ok(kept),
        renamed => renamed.map(|()| kept),
    }
}

/// Keeps what can be read of a stretch whose host was killed. `None` while somebody writes it.
fn mend(part: &Path) -> io::Result<Option<PathBuf>> {
    let ended = part.with_extension("rec");
    let file = match File::open(part) {
        Ok(file) => file,
        // It ended in this moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ended.exists().then_some(ended)),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => return Ok(None),
        Err(fs::TryLockError::Error(error)) => return Err(error),
    }
    let mended = part.with_extension("new");
    // Of somebody who was killed while mending: the lock is ours.
    let _ = fs::remove_file(&mended);
    let mut out = GzEncoder::new(BufWriter::new(new_file(&mended)?), Compression::fast());
    let mut lines = BufReader::new(GzDecoder::new(file));
    let mut line = Vec::new();
    loop {
        line.clear();
        match lines.by_ref().take(MOST_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(_) if line.last() == Some(&b'\n') => out.write_all(&line)?,
            _ => break,
        }
    }
    out.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&mended, &ended)?;
    fs::remove_file(part)?;
    Ok(Some(ended))
}

/// The stretches in a run's folder, in order.
fn parts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut parts: Vec<_> = entries(folder)?.into_iter().filter(|path| number(path).is_some()).collect();
    parts.sort();
    Ok(parts)
}

fn number(part: &Path) -> Option<u32> {
    let ours = ends_with(part, "part") || ends_with(part, "rec");
    part.file_stem().filter(|_| ours)?.to_str()?.parse().ok()
}

fn ends_with(path: &Path, extension: &str) -> bool {
    path.extension() == Some(OsStr::new(extension))
}

/// What is in a folder; nothing when there is none.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Folders that are named after an id.
fn folders<Id: std::str::FromStr>(folder: &Path) -> io::Result<Vec<(PathBuf, Id)>> {
    let named = |path: PathBuf| {
        let id = path.file_name()?.to_str()?.parse().ok()?;
        Some((path, id))
    };
    Ok(entries(folder)?.into_iter().filter_map(named).collect())
}

fn size(folder: &Path) -> io::Result<u64> {
    entries(folder)?.iter().map(|part| Ok(fs::metadata(part).map_or(0, |metadata| metadata.len()))).sum()
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
