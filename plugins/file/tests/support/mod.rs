//! A folder of files with a host over it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tributary_plugin_file::FileConnector;
use tributary_plugin_sdk::{
    Content, Document, Failure,
    testing::{PullLimits, Synced, TestHost, sync},
};

/// A source over a folder of its own.
pub struct Source {
    pub folder: TempDir,
    pub host: TestHost,
    pub config: serde_json::Value,
    pub limits: PullLimits,
    pub synced: Synced,
}

impl Source {
    /// An empty folder, granted as `docs`.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = TestHost::new().with_root("docs", folder.path());
        let config = serde_json::json!({ "root": "docs" });
        Self { folder, host, config, limits: PullLimits::default(), synced: Synced::default() }
    }

    /// The same with these settings beside the root.
    pub fn with(mut self, settings: serde_json::Value) -> Self {
        self.config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        self
    }

    /// The same with pages of so many changes.
    pub fn paged(mut self, max_items: u32) -> Self {
        self.limits.max_items = max_items;
        self
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes a file, folders included.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Sets the modification time, in seconds since the epoch.
    pub fn touch(&self, path: &str, seconds: u64) {
        let file = fs::File::options().write(true).open(self.path(path)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    pub fn try_sync(&mut self) -> Result<&Synced, Failure> {
        sync::<FileConnector>(&self.host, &self.config.to_string(), self.limits, &mut self.synced)?;
        Ok(&self.synced)
    }

    pub fn sync(&mut self) -> &Synced {
        self.try_sync().unwrap()
    }

    pub fn document(&self, id: &str) -> &Document {
        self.synced.documents.get(id).unwrap_or_else(|| panic!("no {id} in {:?}", self.ids()))
    }

    pub fn text(&self, id: &str) -> &str {
        text(self.document(id))
    }

    pub fn ids(&self) -> Vec<&str> {
        self.synced.documents.keys().map(String::as_str).collect()
    }

    /// Failed ids with their messages.
    pub fn failures(&self) -> Vec<(&str, &str)> {
        self.synced.failed.iter().map(|(id, failure)| (&**id, &*failure.message)).collect()
    }

    /// (written, unchanged, deleted) of the last run.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.synced.written, self.synced.unchanged, self.synced.deleted)
    }
}

pub fn text(document: &Document) -> &str {
    match &document.content {
        Content::Sections(sections) => &sections[0].text,
        other => panic!("{} has {other:?}", document.external_id),
    }
}
