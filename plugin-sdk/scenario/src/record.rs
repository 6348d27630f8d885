//! What a source holds after some runs: the record of a server, in memory.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{Change, Document, Failure, Next, Page};

/// Longest external id.
const MAX_ID_BYTES: usize = 1_024;

/// Documents, fingerprints and memory of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Live documents by external id.
    pub documents: BTreeMap<String, Document>,
    /// Fingerprints of live documents and containers.
    pub ledger: BTreeMap<String, String>,
    /// What the connector remembers.
    pub state: BTreeMap<String, String>,
}

/// What one page did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Documents that were not there before.
    pub added: Vec<String>,
    /// Documents sent with their content that were there before.
    pub updated: Vec<String>,
    /// Documents and containers that stand as they were.
    pub unchanged: Vec<String>,
    /// Documents that are gone.
    pub deleted: Vec<String>,
}

/// What the pages of a run have named so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    documents: BTreeSet<String>,
    /// Containers all of whose documents stand.
    whole: BTreeSet<String>,
}

impl Seen {
    fn has(&self, document: &Document) -> bool {
        self.documents.contains(&document.external_id)
            || document.container.as_ref().is_some_and(|container| self.whole.contains(container))
    }
}

impl Record {
    /// Takes a page in, as a server's transaction does.
    pub(crate) fn commit(&mut self, page: Page, seen: &mut Seen) -> Result<Committed, Failure> {
        let mut committed = Committed::default();
        for change in page.changes {
            match change {
                Change::Upsert(document) => self.upsert(document, seen, &mut committed)?,
                Change::Container { external_id, fingerprint, unchanged } => {
                    self.ledger.insert(external_id.clone(), fingerprint);
                    if unchanged {
                        seen.whole.insert(external_id.clone());
                        committed.unchanged.push(external_id);
                    }
                }
                Change::Delete(id, _) => {
                    self.ledger.remove(&id);
                    if self.documents.remove(&id).is_some() {
                        committed.deleted.push(id);
                    }
                }
                Change::Failed(id, _) => {
                    seen.documents.insert(id.clone());
                    seen.whole.insert(id);
                }
            }
        }
        for (key, value) in page.state {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
        Ok(committed)
    }

    fn upsert(&mut self, document: Document, seen: &mut Seen, committed: &mut Committed) -> Result<(), Failure> {
        let id = document.external_id.clone();
        seen.documents.insert(id.clone());
        match &document.fingerprint {
            Some(fingerprint) => self.ledger.insert(id.clone(), fingerprint.clone()),
            None => self.ledger.remove(&id),
        };
        if document.text.is_none() {
            let Some(known) = self.documents.get_mut(&id) else {
                return Err(Failure::broken(format!("{id} is sent as unchanged and was never sent")));
            };
            known.fingerprint = document.fingerprint;
            committed.unchanged.push(id);
        } else if self.documents.insert(id.clone(), document).is_some() {
            committed.updated.push(id);
        } else {
            committed.added.push(id);
        }
        Ok(())
    }

    /// The end of an exhaustive traversal: what it did not name is gone.
    pub(crate) fn prune(&mut self, seen: &Seen) -> Vec<String> {
        let gone: Vec<String> =
            self.documents.values().filter(|document| !seen.has(document)).map(|one| one.external_id.clone()).collect();
        for id in &gone {
            self.documents.remove(id);
            self.ledger.remove(id);
        }
        gone
    }
}

/// What the contract demands of every page.
pub(crate) fn check(page: &Page, cursor: Option<&String>, max_items: u32, max_bytes: u64) -> Result<(), Failure> {
    if page.changes.len() > max_items as usize {
        let count = page.changes.len();
        return Err(Failure::broken(format!("a page has {count} changes where at most {max_items} were asked for")));
    }
    let mut ids = BTreeSet::new();
    for change in &page.changes {
        let id = change.external_id();
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(Failure::broken(format!(
                "an external id has {} bytes where 1 to {MAX_ID_BYTES} may be",
                id.len()
            )));
        }
        if !ids.insert(id) {
            return Err(Failure::broken(format!("a page names {id} twice")));
        }
    }
    // A single document may be larger than a page, alone.
    let sizes = page.changes.iter().filter_map(|change| match change {
        Change::Upsert(document) if document.text.is_some() => Some(document.size_bytes),
        _ => None,
    });
    let (count, bytes) = sizes.fold((0, 0_u64), |(count, sum), size| (count + 1, sum.saturating_add(size)));
    if bytes > max_bytes && count > 1 {
        return Err(Failure::broken(format!("a page has {bytes} bytes where at most {max_bytes} were asked for")));
    }
    match page.next {
        Next::More | Next::WaitMs(_) if page.cursor.is_none() => {
            Err(Failure::broken("it wants to go on without a cursor"))
        }
        Next::More if page.cursor.as_ref() == cursor => {
            Err(Failure::broken("the cursor did not move, so that reading would never end"))
        }
        _ => Ok(()),
    }
}
