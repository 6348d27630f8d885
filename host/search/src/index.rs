//! The index of one workspace on disk: open or create, check, commit, drop when it cannot be trusted.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use serde::{Deserialize, Serialize};
use tantivy::{
    Index, IndexSettings, IndexWriter,
    indexer::{IndexWriterOptions, LogMergePolicy},
    store::Compressor,
};
use tributary_core::{Position, document::IndexedDocument};

use crate::{
    Error,
    analyse::{self, Analyser},
    directory::UnsyncedDirectory,
    schema::Entries,
    snapshot::Snapshot,
};

/// What a commit says about itself; in the same file as the list of segments, so both change at once.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    /// See [`analyse::VERSION`].
    analyser: u32,
    position: Position,
}

/// An open index.
pub(crate) struct Open {
    index: Index,
    snapshot: RwLock<Arc<Snapshot>>,
}

impl Open {
    /// Opens the index under `dir`, or creates an empty one. One that is damaged, or was written by another version, is replaced
    /// by an empty one at position 0.
    pub(crate) fn open_or_create(dir: &Path, entries: &Entries) -> Result<Self, Error> {
        if dir.exists() {
            match Self::existing(dir, entries) {
                Ok(open) => return Ok(open),
                Err(reason) => {
                    tracing::warn!(index = %dir.display(), %reason, "search index dropped, it will be rebuilt");
                    drop_index(dir)?;
                }
            }
        }
        std::fs::create_dir_all(dir)?;
        let directory = UnsyncedDirectory::open(dir).map_err(tantivy::TantivyError::from)?;
        let settings = IndexSettings {
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let index = Index::create(directory, entries.schema.clone(), settings)?;
        let snapshot = RwLock::new(Arc::new(Snapshot::load(&index, entries, 0)?));
        Ok(Self { index, snapshot })
    }

    fn existing(dir: &Path, entries: &Entries) -> Result<Self, String> {
        let read = || -> tantivy::Result<(Index, Option<Payload>, bool)> {
            let index = Index::open(UnsyncedDirectory::open(dir)?)?;
            let metas = index.load_metas()?;
            let payload = metas.payload.as_deref().and_then(|payload| serde_json::from_str(payload).ok());
            Ok((index, payload, metas.segments.is_empty()))
        };
        let (index, payload, empty) = guarded(read)?;
        let position = match payload {
            Some(payload) if payload.analyser == analyse::VERSION => payload.position,
            None if empty => 0,
            _ => return Err("it was written by another version".to_owned()),
        };
        if index.schema() != entries.schema {
            return Err("it was written by another version".to_owned());
        }
        let damaged = guarded(|| index.validate_checksum())?;
        if let Some(file) = damaged.iter().next() {
            return Err(format!("the checksum of {} is wrong", file.display()));
        }
        let snapshot = guarded(|| Snapshot::load(&index, entries, position))?;
        Ok(Self { index, snapshot: RwLock::new(Arc::new(snapshot)) })
    }

    /// The newest committed state.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.read().unwrap_or_else(|broken| broken.into_inner()).clone()
    }

    /// Commits `documents` together with `up_to`. Calls `committed` as soon as queries see them; merging goes on after that.
    pub(crate) fn commit(
        &self,
        entries: &Entries,
        documents: &[IndexedDocument],
        up_to: Position,
        memory_bytes: usize,
        committed: impl FnOnce(),
    ) -> Result<(), Error> {
        let options = IndexWriterOptions::builder()
            .memory_budget_per_thread(memory_bytes)
            .num_worker_threads(1)
            .num_merge_threads(1)
            .build();
        let mut writer: IndexWriter = self.index.writer_with_options(options)?;
        let mut policy = LogMergePolicy::default();
        policy.set_del_docs_ratio_before_merge(0.3);
        writer.set_merge_policy(Box::new(policy));
        let mut analyser = Analyser::new();
        for document in documents {
            writer.delete_term(entries.document_term(document.id));
            if let Some(live) = &document.live {
                for entry in entries.entries(document.id, live, &mut analyser) {
                    writer.add_document(entry)?;
                }
            }
        }
        let mut prepared = writer.prepare_commit()?;
        let payload = Payload { analyser: analyse::VERSION, position: up_to };
        prepared.set_payload(&serde_json::to_string(&payload).map_err(std::io::Error::from)?);
        prepared.commit()?;
        self.refresh(entries, up_to)?;
        committed();
        writer.wait_merging_threads()?;
        self.refresh(entries, up_to)
    }

    fn refresh(&self, entries: &Entries, position: Position) -> Result<(), Error> {
        let fresh = Arc::new(Snapshot::load(&self.index, entries, position)?);
        *self.snapshot.write().unwrap_or_else(|broken| broken.into_inner()) = fresh;
        Ok(())
    }
}

/// The position an index on disk has applied, without opening it: 0 when there is none, or it is of another version.
pub(crate) fn position_on_disk(dir: &Path) -> Position {
    #[derive(Deserialize)]
    struct Meta {
        payload: Option<String>,
    }
    let read = || -> Option<Payload> {
        let meta: Meta = serde_json::from_slice(&std::fs::read(dir.join("meta.json")).ok()?).ok()?;
        serde_json::from_str(&meta.payload?).ok()
    };
    read().filter(|payload| payload.analyser == analyse::VERSION).map_or(0, |payload| payload.position)
}

/// Removes an index. It is renamed first: a directory half removed would look damaged, a renamed one is gone at once.
pub(crate) fn drop_index(dir: &Path) -> Result<(), Error> {
    let mut gone = PathBuf::from(dir).into_os_string();
    gone.push(format!(".dropped-{}", uuid::Uuid::now_v7().simple()));
    match std::fs::rename(dir, &gone) {
        Ok(()) => Ok(std::fs::remove_dir_all(&gone)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Runs what may meet damaged bytes: the index library answers some of them with a panic.
pub(crate) fn guarded<T>(work: impl FnOnce() -> tantivy::Result<T>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it could not be read".to_owned()),
    }
}
