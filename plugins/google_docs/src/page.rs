//! A page in the making: each id once, within the host's bounds.

use std::collections::HashMap;

use tributary_plugin_sdk::{Change, Gone, PullRequest};

/// Downloads are one after the other and a page has a deadline.
const MAX_DOWNLOADS: u32 = 32;

/// Whether the page has room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Left,
    Full,
}

pub(crate) struct PageInMaking {
    max_items: usize,
    max_bytes: u64,
    changes: Vec<Change>,
    places: HashMap<String, usize>,
    bytes: u64,
    downloads: u32,
}

impl PageInMaking {
    pub(crate) fn new(request: &PullRequest) -> Self {
        Self {
            max_items: request.max_items.max(1) as usize,
            max_bytes: request.max_bytes.max(1),
            changes: Vec::new(),
            places: HashMap::new(),
            bytes: 0,
            downloads: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// One place is kept free for the mark that a shortcut leaves beside its target.
    pub(crate) fn is_full(&self) -> bool {
        self.changes.len() + 1 >= self.max_items.max(2)
    }

    /// How many items an answer may have.
    pub(crate) fn max_items(&self) -> u32 {
        self.max_items.min(256) as u32
    }

    /// Adds something for the ledger alone.
    pub(crate) fn remember(&mut self, key: String, fingerprint: String) {
        if self.changes.len() < self.max_items || self.places.contains_key(&key) {
            self.push(Change::container_read(key, fingerprint));
        }
    }

    /// Whether content of this size may be fetched for this page; alone it may have any size.
    pub(crate) fn takes(&self, bytes: u64) -> bool {
        self.downloads < MAX_DOWNLOADS && (self.bytes == 0 || self.bytes.saturating_add(bytes) <= self.max_bytes)
    }

    /// Whether fetched content of this size may stay.
    pub(crate) fn fits(&self, bytes: u64) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= self.max_bytes
    }

    pub(crate) fn count_download(&mut self) {
        self.downloads += 1;
    }

    pub(crate) fn count_bytes(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Adds a change; a later one of the same id takes the earlier one's place.
    pub(crate) fn push(&mut self, change: Change) {
        let id = id_of(&change).to_owned();
        match self.places.get(&id) {
            Some(&place) => self.changes[place] = change,
            None => {
                self.places.insert(id, self.changes.len());
                self.changes.push(change);
            }
        }
    }

    pub(crate) fn delete(&mut self, id: &str, why: Gone) {
        self.push(Change::delete(id, why));
    }

    pub(crate) fn into_changes(self) -> Vec<Change> {
        self.changes
    }
}

fn id_of(change: &Change) -> &str {
    match change {
        Change::Upsert(document) => &document.external_id,
        Change::Container(container) => &container.external_id,
        Change::Delete((id, _)) | Change::Failed((id, _)) => id,
    }
}
