//! The records of an answer: documents, deletions, failures, and what waits to be listed for them.

use std::collections::{BTreeMap, HashMap};

use tributary_plugin_sdk::{Change, Content, Document, Failure, Gone, Level};

use super::Puller;
use crate::{
    config::{Collection, Config, DeletionKind, Filter, Mapping, Sorted},
    cursor::{Frame, Phase, Waiting},
    document::{self, Around},
    json::Json,
    time,
};

/// Keys of items that wait for their listings, for each level; the cursor has at most 64 KiB.
const MAX_WAITING_BYTES: usize = 12 * 1024;
/// Longer keys name nothing.
const MAX_KEY_BYTES: usize = 512;
/// Longer values of a parent are cut for its items.
const MAX_WITH_CHARS: usize = 300;

/// What a record comes to.
enum Item {
    Document(Box<Document>),
    /// It exists, which is all that was asked.
    Exists,
    Gone(Gone),
    /// Not a document by `where`.
    Excluded,
    Failed(Failure),
}

pub(super) struct Dealt {
    pub(super) records: usize,
    /// What follows is older than what was read before.
    pub(super) ended: bool,
}

impl Puller<'_> {
    pub(super) fn items(
        &mut self,
        frame: &mut Frame,
        collection: &Collection,
        records: &[Json],
    ) -> Result<Dealt, Failure> {
        let (path, names) = (frame.path.clone(), frame.names.clone());
        let around = Around { collection: &collection.name, path: &path, names: &names };
        let mut items = Vec::with_capacity(records.len());
        for (number, record) in records.iter().enumerate() {
            let place = frame.skip + number + 1;
            items.push(item(collection, frame.phase, &around, record).map(|(id, item)| match id {
                Ok(id) => (id, item),
                Err(failure) => (
                    format!("{}#{}.{place}", around.external_id("").trim_end_matches('/'), frame.pages + 1),
                    Item::Failed(failure),
                ),
            }));
        }
        let children: Vec<usize> =
            if frame.phase == Phase::Feed { Vec::new() } else { self.config.children(frame.collection) };
        let listed: Vec<Vec<String>> =
            records.iter().map(|record| self.listed_children(frame, &children, record)).collect();
        let ids = items.iter().flatten().filter(|(_, item)| !matches!(item, Item::Failed(_))).map(|(id, _)| id);
        let known = self.look_up(ids.chain(listed.iter().flatten()).cloned().collect())?;
        let oldest = stop_before(collection, frame);
        let mut dealt = Dealt { records: 0, ended: false };
        let mut waiting_bytes = 0;
        for ((record, item), listed) in records.iter().zip(items).zip(listed) {
            let changed = collection
                .incremental
                .as_ref()
                .filter(|_| frame.phase == Phase::Walk)
                .and_then(|incremental| time::parse(&incremental.field.scalar(record)?, &incremental.formats));
            if changed.zip(oldest).is_some_and(|(changed, oldest)| changed < oldest) {
                dealt.ended = true;
                break;
            }
            if self.changes.len() + 1 + listed.len() > self.run.max_items as usize && !self.changes.is_empty() {
                break;
            }
            if let Some((id, item)) = item
                && !self.take(frame, collection, record, id, item, &known)
            {
                break;
            }
            for id in listed {
                match known.get(&id) {
                    Some(fingerprint) => self.exists(id, &kind_of_child(self.config, &children), fingerprint),
                    // A parent that was not changed has an item that was not read: it is read with everything else.
                    None => frame.forget |= frame.phase == Phase::Enumerate,
                }
            }
            frame.high = frame.high.max(changed);
            dealt.records += 1;
            waiting_bytes += self.wait_for_children(frame, &children, record);
            if waiting_bytes > MAX_WAITING_BYTES {
                break;
            }
        }
        frame.waiting.reverse();
        Ok(dealt)
    }

    /// Takes a record's item into the page. False: there is no room.
    fn take(
        &mut self,
        frame: &mut Frame,
        collection: &Collection,
        record: &Json,
        id: String,
        item: Item,
        known: &HashMap<String, String>,
    ) -> bool {
        if self.named.contains(&id) {
            return true;
        }
        let fingerprint = known.get(&id);
        let is_listed = collection.deletions.kind == DeletionKind::Enumerate;
        match item {
            Item::Document(document) => {
                let mut document = *document;
                if self.is_feed(frame) {
                    document.container = Some(collection.name.clone());
                }
                if fingerprint.is_some() && fingerprint == document.fingerprint.as_ref() {
                    document.content = Content::Unchanged;
                } else {
                    let size = document::size_bytes(&document);
                    if self.bytes > 0 && self.bytes + size > self.max_bytes {
                        return false;
                    }
                    self.bytes += size;
                }
                self.add(id, document.into());
            }
            Item::Exists => match (fingerprint, &collection.document) {
                (Some(fingerprint), Some(mapping)) => self.exists(id, &mapping.kind, fingerprint),
                // Changed before the last run and yet never read: the source's filter missed it.
                (None, Some(mapping)) if mapping.conditions.is_empty() && collection.deletions.flags.is_empty() => {
                    let changed = collection
                        .incremental
                        .as_ref()
                        .and_then(|incremental| time::parse(&incremental.field.scalar(record)?, &incremental.formats));
                    if changed.zip(frame.since).is_some_and(|(changed, since)| changed <= since) {
                        frame.forget = true;
                    }
                }
                _ => {}
            },
            Item::Gone(gone) if fingerprint.is_some() || self.full => self.add(id.clone(), Change::delete(id, gone)),
            Item::Excluded if fingerprint.is_some() || (self.full && !is_listed) => {
                self.add(id.clone(), Change::delete(id, Gone::OutOfScope));
            }
            Item::Gone(_) | Item::Excluded => {}
            Item::Failed(failure) => {
                // Which document it is may not be known.
                frame.incomplete |= failure.code == "id_missing";
                self.cursor.incomplete |= failure.code == "id_missing";
                frame.forget |= self.is_feed(frame);
                let id: String = id.chars().take(200).collect();
                self.add(id.clone(), Change::failed(id, failure));
            }
        }
        true
    }

    pub(super) fn add(&mut self, id: String, change: Change) {
        if self.named.insert(id) {
            self.changes.push(change);
        }
    }

    fn exists(&mut self, id: String, kind: &str, fingerprint: &str) {
        let document = Document::new(id.clone(), kind, Content::Unchanged).fingerprinted(fingerprint);
        self.add(id, document.into());
    }

    /// Fingerprints of what is known.
    pub(super) fn look_up(&self, ids: Vec<String>) -> Result<HashMap<String, String>, Failure> {
        if ids.is_empty() || self.full {
            return Ok(HashMap::new());
        }
        let found = self.host.lookup(&ids)?;
        Ok(ids.into_iter().zip(found).filter_map(|(id, fingerprint)| Some((id, fingerprint?))).collect())
    }

    /// External ids of a record's items that the record itself lists, where that is enough to know that they exist.
    fn listed_children(&self, frame: &Frame, children: &[usize], record: &Json) -> Vec<String> {
        if frame.phase != Phase::Enumerate {
            return Vec::new();
        }
        let mut listed = Vec::new();
        for child in children {
            let Some((key, ids)) = self.ids_of_children(*child, children, record) else { continue };
            let mut path = frame.path.clone();
            path.push(key);
            let collection = &self.config.collections[*child].name;
            let around = Around { collection, path: &path, names: &BTreeMap::new() };
            listed.extend(ids.iter().map(|id| around.external_id(id)));
        }
        listed
    }

    /// The key of a record and the ids of its items, when it lists them and they are not more than a page takes.
    fn ids_of_children(&self, child: usize, children: &[usize], record: &Json) -> Option<(String, Vec<String>)> {
        let parent = self.config.collections[child].parent()?;
        let found = parent.ids.as_ref()?.find_all(record);
        let room = self.run.max_items as usize / (children.len() + 1);
        let ids = found.into_iter().filter_map(Json::scalar).collect::<Vec<_>>();
        Some((parent.key.scalar(record)?, Some(ids).filter(|ids| ids.len() < room)?))
    }

    /// Notes the listings that belong to a record; how many bytes that takes.
    fn wait_for_children(&mut self, frame: &mut Frame, children: &[usize], record: &Json) -> usize {
        let mut bytes = 0;
        for child in children {
            let Some(parent) = self.config.collections[*child].parent() else { continue };
            if frame.phase == Phase::Enumerate && self.ids_of_children(*child, children, record).is_some() {
                continue;
            }
            if !parent.conditions.iter().all(|condition| condition.holds(record)) {
                continue;
            }
            let Some(key) = parent.key.scalar(record).filter(|key| key.len() <= MAX_KEY_BYTES) else {
                self.host.log(Level::Warn, "an item has no usable key, so what belongs to it is not read", &[]);
                frame.incomplete = true;
                self.cursor.incomplete = true;
                continue;
            };
            let cut = |text: String| text.chars().take(MAX_WITH_CHARS).collect::<String>();
            let with = parent.with.iter().filter_map(|(name, at)| Some((name.clone(), cut(at.scalar(record)?))));
            let with: BTreeMap<String, String> = with.collect();
            bytes += key.len() + 40 + with.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>();
            frame.waiting.push(Waiting { collection: *child, key, with });
        }
        bytes
    }
}

/// Before which moment a listing that is sorted by change, latest first, has nothing new.
fn stop_before(collection: &Collection, frame: &Frame) -> Option<i64> {
    let incremental = collection.incremental.as_ref()?;
    let stops =
        incremental.filter == Filter::Client && incremental.sorted == Sorted::Desc && frame.phase == Phase::Walk;
    let lookback = i64::try_from(incremental.lookback.ms).unwrap_or(i64::MAX);
    frame.since.filter(|_| stops).map(|since| since.saturating_sub(lookback))
}

fn kind_of_child(config: &Config, children: &[usize]) -> String {
    let mapping: Option<&Mapping> = children.iter().find_map(|child| config.collections[*child].document.as_ref());
    mapping.map(|mapping| mapping.kind.clone()).unwrap_or_default()
}

/// The id of a record, or why it has none, and what the record comes to. `None` when it is no document.
fn item(
    collection: &Collection,
    phase: Phase,
    around: &Around<'_>,
    record: &Json,
) -> Option<(Result<String, Failure>, Item)> {
    let deletions = &collection.deletions;
    if phase == Phase::Feed {
        let id = deletions.id.as_ref().and_then(|pointer| pointer.scalar(record));
        return id.map(|id| (Ok(around.external_id(&id)), Item::Gone(deletions.gone.into())));
    }
    let mapping = collection.document.as_ref()?;
    let id = match document::id_of(mapping, around, record) {
        Ok(id) => id,
        Err(failure) => return Some((Err(failure), Item::Exists)),
    };
    if phase == Phase::Enumerate && deletions.request.is_some() {
        return Some((Ok(id), Item::Exists));
    }
    if let Some(flag) = deletions.flags.iter().find(|flag| flag.when.holds(record)) {
        return Some((Ok(id), Item::Gone(flag.gone.into())));
    }
    if !mapping.conditions.iter().all(|condition| condition.holds(record)) {
        return Some((Ok(id), Item::Excluded));
    }
    let document = document::document(mapping, around, id.clone(), record);
    Some((Ok(id), Item::Document(Box::new(document))))
}
