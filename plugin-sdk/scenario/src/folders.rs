//! A scenario's files as real folders, one for each root.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use tempfile::TempDir;

use crate::{FileContent, Files};

/// The folders, removed when dropped.
pub(crate) struct Folders {
    folder: TempDir,
    written: BTreeMap<PathBuf, Vec<u8>>,
}

impl Folders {
    pub(crate) fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder can be made: {error}"))?;
        Ok(Self { folder, written: BTreeMap::new() })
    }

    /// Makes these files, and no others, be there. A file that is as it was keeps its time.
    pub(crate) fn set(&mut self, files: &Files, directory: &Path, now_ms: i64) -> Result<(), String> {
        let mut wanted = BTreeMap::new();
        for (root, files) in files {
            for (path, content) in files {
                let path = self.folder.path().join(within(root)?).join(within(path)?);
                let bytes = match content {
                    FileContent::Text(text) => text.clone().into_bytes(),
                    FileContent::File { file } => {
                        let file = directory.join(file);
                        fs::read(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?
                    }
                };
                wanted.insert(path, bytes);
            }
            make(&self.folder.path().join(within(root)?))?;
        }
        for gone in self.written.keys().filter(|path| !wanted.contains_key(*path)) {
            fs::remove_file(gone).map_err(|error| format!("{} cannot be removed: {error}", gone.display()))?;
        }
        for (path, bytes) in &wanted {
            if self.written.get(path) == Some(bytes) {
                continue;
            }
            make(path.parent().unwrap_or(self.folder.path()))?;
            let write = || {
                fs::write(path, bytes)?;
                let at = SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms.max(0).cast_unsigned());
                fs::File::options().write(true).open(path)?.set_modified(at)
            };
            write().map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
        self.written = wanted;
        Ok(())
    }

    /// The folder of each root.
    pub(crate) fn roots(&self, files: &Files) -> BTreeMap<String, PathBuf> {
        files.keys().map(|root| (root.clone(), self.folder.path().join(root))).collect()
    }
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))
}

fn within(path: &str) -> Result<&Path, String> {
    let plain = !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| Path::new(path)).ok_or_else(|| format!("{path:?} is no path within a root"))
}
