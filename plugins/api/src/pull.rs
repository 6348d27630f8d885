//! One page of a run: listings are read one after the other, each item's own listings before the next page of its parent.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tributary_plugin_sdk::{Change, Content, Document, Failure, Gone, Host, Level, Next, Page, Progress, PullRequest};

use crate::{
    answer::{Answer, Got, ask},
    config::{Action, Collection, Config, DeletionKind, Filter, Mapping, PagingKind, Response, Sorted},
    cursor::{Cursor, Frame, Phase, Position, Waiting},
    decode::Window,
    document::{self, Around, hex},
    json::Json,
    paging,
    request::{self, Run},
    time,
};

/// Requests of one page, so that a page comes to its end when most of them bring nothing.
const MAX_REQUESTS: u32 = 10;
/// Waits before one request.
const MAX_WAITS: u32 = 30;
/// How long the first try again waits; each further one twice as long.
const RETRY_MS: u64 = 1_000;
/// An answer that is another one each time is started over so often.
const MAX_RESTARTS: u8 = 2;
/// Keys of items that wait for their listings, for each level; the cursor has at most 64 KiB.
const MAX_WAITING_BYTES: usize = 12 * 1024;
/// Longer keys name nothing.
const MAX_KEY_BYTES: usize = 512;
/// Longer values of a parent are cut for its items.
const MAX_WITH_CHARS: usize = 300;
/// What a page is guessed to have when nothing is said.
const USUAL_PAGE: u32 = 100;

/// Makes the page that a request asks for.
pub(crate) fn pull(host: &dyn Host, config: &Config, request: &PullRequest) -> Result<Page, Failure> {
    config.validate()?;
    let known: Option<Cursor> = request.cursor()?;
    let mut puller = Puller {
        host,
        config,
        config_hash: hex(&Sha256::digest(&request.config)[..8]),
        run: Run { upper_bound: request.upper_bound, max_items: request.max_items.max(1) },
        max_bytes: request.max_bytes.max(1),
        full: request.full,
        cursor: Cursor::default(),
        changes: Vec::new(),
        named: HashSet::new(),
        bytes: 0,
        requests: 0,
    };
    match known {
        Some(cursor) => {
            let places = cursor
                .frames
                .iter()
                .flat_map(|frame| frame.waiting.iter().map(|waiting| waiting.collection).chain([frame.collection]));
            if places.max().is_some_and(|place| place >= config.collections.len()) {
                return Err(Failure::cursor_expired("The collections are others now; reading starts over."));
            }
            puller.cursor = cursor;
        }
        None => puller.start_next(None)?,
    }
    loop {
        match puller.turn() {
            Ok(Turn::On) => {}
            Ok(Turn::Full) => return puller.page(Next::More),
            Ok(Turn::Wait(ms)) => return puller.page(Next::WaitMs(ms)),
            Ok(Turn::End) => {
                let end = puller.end();
                return puller.page(end);
            }
            // What was read is kept; the next page meets the failure again, alone.
            Err(_) if !puller.changes.is_empty() => return puller.page(Next::More),
            Err(failure) => return Err(failure),
        }
    }
}

enum Turn {
    On,
    Full,
    Wait(u64),
    End,
}

/// What the next run begins from.
#[derive(Serialize, Deserialize)]
struct Mark {
    at: i64,
    /// The configuration it holds for.
    config: String,
}

fn mark_key(collection: &Collection) -> String {
    format!("mark/{}", collection.name)
}

struct Puller<'a> {
    host: &'a dyn Host,
    config: &'a Config,
    config_hash: String,
    run: Run,
    max_bytes: u64,
    full: bool,
    cursor: Cursor,
    changes: Vec<Change>,
    /// Ids in `changes`.
    named: HashSet<String>,
    bytes: u64,
    requests: u32,
}

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

impl Puller<'_> {
    fn turn(&mut self) -> Result<Turn, Failure> {
        let Some(frame) = self.cursor.frames.last_mut() else { return Ok(Turn::End) };
        if let Some(waiting) = frame.waiting.pop() {
            let mut child = Frame {
                collection: waiting.collection,
                phase: frame.phase,
                path: frame.path.clone(),
                names: frame.names.clone(),
                ..Frame::default()
            };
            if let Some(parent) = self.config.collections[waiting.collection].parent() {
                child.names.insert(parent.name.clone(), waiting.key.clone());
            }
            child.names.extend(waiting.with);
            child.path.push(waiting.key);
            self.cursor.frames.push(child);
            return Ok(Turn::On);
        }
        if frame.ended {
            self.finish_frame()?;
            return Ok(Turn::On);
        }
        let frame = frame.clone();
        let paging = request::pagination(&self.config.collections[frame.collection], frame.phase);
        let room = (self.run.max_items as usize).saturating_sub(self.changes.len());
        let expected = request::page_size(paging, self.run).unwrap_or(USUAL_PAGE.min(self.run.max_items)) as usize;
        // What lists its items in itself brings more changes than records.
        let lists_ids = frame.phase == Phase::Enumerate && !self.config.children(frame.collection).is_empty();
        let is_short = (room < expected || lists_ids) && !self.changes.is_empty();
        if room == 0 || is_short || self.bytes >= self.max_bytes || self.requests >= MAX_REQUESTS {
            return Ok(Turn::Full);
        }
        if frame.pages >= paging.max_pages {
            let what = format!(
                "`{}` has more than {} pages; raise `max_pages` if that is right.",
                self.config.collections[frame.collection].name, paging.max_pages
            );
            let at = format!("/collections/{}/pagination/max_pages", frame.collection);
            return Err(Failure::config(at, what));
        }
        self.read(frame, room)
    }

    /// Asks for the page that a listing is at, and deals with what comes back.
    fn read(&mut self, mut frame: Frame, room: usize) -> Result<Turn, Failure> {
        let collection = &self.config.collections[frame.collection];
        let reading = reading(collection, frame.phase);
        let mut request = match request::build(self.config, &frame, self.run) {
            Ok(request) => request,
            Err(failure) if frame.path.is_empty() => return Err(failure),
            Err(failure) => return self.skip(frame, Action::SkipPartition, failure),
        };
        let feed = if self.is_feed(&frame) { Some(self.feed(collection)?) } else { None };
        if let Some(etag) = feed.as_ref().and_then(|feed| feed.etag.clone()).filter(|_| frame.skip == 0) {
            request.headers.push(("if-none-match".to_owned(), etag));
        }
        self.requests += 1;
        let mut restarts = frame.body.as_ref().map_or(0, |(_, restarts)| *restarts);
        let (mut skip, mut is_other) = (frame.skip, false);
        let known_body = frame.body.take().map(|(body, _)| body);
        let answer =
            ask(self.host, self.config, frame.collection, reading, &request, self.run.upper_bound, |sha256| {
                if skip > 0 && known_body.as_deref() != Some(sha256) {
                    is_other = true;
                    if restarts < MAX_RESTARTS {
                        skip = 0;
                        restarts += 1;
                    }
                }
                Window { skip, take: room }
            })?;
        let answer = match answer {
            Answer::Retry { retries, then, wait_ms, failure } => {
                if self.cursor.tries < retries {
                    let ms = wait_ms.unwrap_or(RETRY_MS << self.cursor.tries.min(8));
                    self.cursor.tries += 1;
                    return Ok(Turn::Wait(ms));
                }
                Answer::after_retries(then, failure)?
            }
            answer => answer,
        };
        if let Answer::Wait { ms, failure } = answer {
            self.cursor.waits += 1;
            return if self.cursor.waits > MAX_WAITS { Err(failure) } else { Ok(Turn::Wait(ms)) };
        }
        (self.cursor.waits, self.cursor.tries) = (0, 0);
        let got = match answer {
            Answer::Page(got) => got,
            Answer::NotModified => {
                let Some(feed) = feed else {
                    let what = format!("{} answered 304 to a request without a condition.", collection.name);
                    return Err(Failure::source_contract("unexpected_status", what).with_http_status(304));
                };
                self.feed_unchanged(&mut frame, collection, &feed.fingerprint);
                return Ok(Turn::On);
            }
            Answer::Skip { action, failure } => return self.skip(frame, action, failure),
            Answer::Empty => {
                frame.ended = true;
                self.keep(frame);
                return Ok(Turn::On);
            }
            Answer::Wait { .. } | Answer::Retry { .. } => return Ok(Turn::Full),
        };
        if let Some(feed) = &feed
            && frame.skip == 0
            && feed.sha256.as_deref() == Some(&got.sha256)
        {
            self.feed_unchanged(&mut frame, collection, &feed.fingerprint);
            return Ok(Turn::On);
        }
        if is_other && skip > 0 {
            // It never comes twice the same: what moved within it is not known.
            frame.incomplete = true;
            self.cursor.incomplete = true;
        }
        frame.skip = skip;
        frame.body = Some((got.sha256.clone(), restarts));
        self.deal(frame, &got)
    }

    /// Deals with the records of a page, as far as the page being made has room.
    fn deal(&mut self, mut frame: Frame, got: &Got) -> Result<Turn, Failure> {
        let config = self.config;
        let collection = &config.collections[frame.collection];
        let paging = request::pagination(collection, frame.phase);
        let (records, total) = (&got.decoded.records, got.decoded.total);
        if paging.kind != PagingKind::None
            && frame.skip == 0
            && frame.body.as_ref().is_none_or(|(_, restarts)| *restarts == 0)
            && let Some(first) = records.first()
        {
            let page = hex(&Sha256::digest(format!("{total}{first}"))[..8]);
            if frame.cycle.repeats(&page) {
                let what = format!(
                    "`{}` answered a page that it answered before (page {}), so paging does not work as configured; correct `pagination`.",
                    collection.name,
                    frame.pages + 1
                );
                let at = format!("/collections/{}/pagination", frame.collection);
                return Err(Failure::source_contract("page_repeats", what).at(at));
            }
        }
        // Before anything is taken, so that a failure leaves the cursor where it is.
        let after = if frame.skip + records.len() >= total {
            let page = paging::Page {
                response: &got.response,
                envelope: &got.decoded.envelope,
                records: total,
                size: request::page_size(paging, self.run),
                number: frame.pages + 1,
            };
            let next = paging::next(config, paging, &frame.at, &page)?;
            if next.as_ref() == Some(&frame.at) {
                let what =
                    format!("`{}` names the page it answered as the next one; correct `pagination`.", collection.name);
                let at = format!("/collections/{}/pagination", frame.collection);
                return Err(Failure::source_contract("page_repeats", what).at(at));
            }
            next
        } else {
            None
        };
        let dealt = self.items(&mut frame, collection, records)?;
        frame.skip += dealt.records;
        self.cursor.done += dealt.records as u64;
        if dealt.ended {
            frame.ended = true;
        } else if frame.skip >= total {
            if self.is_feed(&frame) {
                if self.changes.len() >= self.run.max_items as usize {
                    self.keep(frame);
                    return Ok(Turn::Full);
                }
                self.feed_read(&frame, collection, got);
            }
            frame.ended = after.is_none();
            frame.at = after.unwrap_or_default();
            (frame.skip, frame.body, frame.pages) = (0, None, frame.pages + 1);
        }
        let has_more = !frame.ended || !frame.waiting.is_empty() || self.cursor.frames.len() > 1;
        let is_full = !frame.ended && frame.skip > 0;
        self.keep(frame);
        match got.pause_ms {
            Some(ms) if has_more => Ok(Turn::Wait(ms)),
            _ if is_full => Ok(Turn::Full),
            _ => Ok(Turn::On),
        }
    }

    fn items(&mut self, frame: &mut Frame, collection: &Collection, records: &[Json]) -> Result<Dealt, Failure> {
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

    fn add(&mut self, id: String, change: Change) {
        if self.named.insert(id) {
            self.changes.push(change);
        }
    }

    fn exists(&mut self, id: String, kind: &str, fingerprint: &str) {
        let document = Document::new(id.clone(), kind, Content::Unchanged).fingerprinted(fingerprint);
        self.add(id, document.into());
    }

    /// Fingerprints of what is known.
    fn look_up(&self, ids: Vec<String>) -> Result<HashMap<String, String>, Failure> {
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

    /// Passes over what cannot be read.
    fn skip(&mut self, mut frame: Frame, action: Action, failure: Failure) -> Result<Turn, Failure> {
        let collection = &self.config.collections[frame.collection];
        let around = Around { collection: &collection.name, path: &frame.path, names: &frame.names };
        let mut id = around.external_id("").trim_end_matches('/').to_owned();
        let paging = request::pagination(collection, frame.phase);
        let next = match (action, paging.kind, &frame.at) {
            (Action::SkipItem, PagingKind::Page, Position::Page(page)) => Some(Position::Page(page + 1)),
            (Action::SkipItem, PagingKind::Page, _) => Some(Position::Page(paging.start.unwrap_or(1) + 1)),
            (Action::SkipItem, PagingKind::Offset, at) => {
                let offset = if let Position::Offset(offset) = at { *offset } else { paging.start.unwrap_or(0) };
                request::page_size(paging, self.run).map(|size| Position::Offset(offset + u64::from(size)))
            }
            _ => None,
        };
        if next.is_some() {
            id = format!("{id}#{}", frame.pages + 1);
        }
        id = id.chars().take(200).collect();
        self.add(id.clone(), Change::failed(id, failure));
        frame.ended = next.is_none();
        frame.at = next.unwrap_or_default();
        (frame.skip, frame.body, frame.pages, frame.incomplete) = (0, None, frame.pages + 1, true);
        self.cursor.incomplete = true;
        (self.cursor.waits, self.cursor.tries) = (0, 0);
        self.keep(frame);
        Ok(Turn::On)
    }

    fn keep(&mut self, frame: Frame) {
        if let Some(last) = self.cursor.frames.last_mut() {
            *last = frame;
        }
    }

    /// A listing is at its end: what comes after it.
    fn finish_frame(&mut self) -> Result<(), Failure> {
        let Some(frame) = self.cursor.frames.pop() else { return Ok(()) };
        if let Some(parent) = self.cursor.frames.last_mut() {
            parent.incomplete |= frame.incomplete;
            parent.forget |= frame.forget;
            return Ok(());
        }
        let collection = &self.config.collections[frame.collection];
        let was_bounded = request::lower_bound(collection, &frame).is_some();
        let after = match (frame.phase, collection.deletions.kind) {
            (Phase::Walk, DeletionKind::Enumerate) if was_bounded => Some(Phase::Enumerate),
            (Phase::Walk, DeletionKind::Feed) if frame.since.is_some() => Some(Phase::Feed),
            _ => None,
        };
        if let Some(phase) = after {
            let Frame { collection, since, high, incomplete, forget, .. } = frame;
            self.cursor.frames.push(Frame { collection, phase, since, high, incomplete, forget, ..Frame::default() });
            return Ok(());
        }
        if collection.incremental.is_some() && !frame.incomplete {
            // A moment that is still to come would leave out what is changed until then.
            let seen = frame.high.map(|high| high.min(self.run.upper_bound));
            let mark = seen.max(frame.since).filter(|_| !frame.forget);
            let mark = mark.map(|at| Mark { at, config: self.config_hash.clone() });
            let text = mark.and_then(|mark| serde_json::to_string(&mark).ok());
            self.host.set_state(&mark_key(collection), text.as_deref())?;
        }
        self.start_next(Some(frame.collection))
    }

    fn start_next(&mut self, after: Option<usize>) -> Result<(), Failure> {
        let Some(place) = self.config.next_top(after) else { return Ok(()) };
        let collection = &self.config.collections[place];
        // Listing everything twice tells no more than once.
        let is_whole = self.full
            || (collection.deletions.kind == DeletionKind::Enumerate && collection.deletions.request.is_none());
        let since = match collection.incremental.as_ref().filter(|_| !is_whole) {
            Some(_) => self.host.state(&mark_key(collection))?,
            None => None,
        };
        let since = since.and_then(|text| serde_json::from_str::<Mark>(&text).ok());
        let since = since.filter(|mark| mark.config == self.config_hash).map(|mark| mark.at);
        self.cursor.frames.push(Frame { collection: place, since, ..Frame::default() });
        Ok(())
    }

    fn end(&self) -> Next {
        let mut documents = self.config.collections.iter().filter(|collection| collection.document.is_some());
        let all = documents.all(|collection| collection.deletions.kind == DeletionKind::Enumerate);
        if all && !self.cursor.incomplete { Next::CompleteExhaustive } else { Next::Complete }
    }

    fn page(mut self, next: Next) -> Result<Page, Failure> {
        let progress = Progress {
            done: self.cursor.done,
            total: None,
            phase: match self.cursor.frames.last() {
                Some(frame) => format!("reading {}", self.config.collections[frame.collection].name),
                None => "reading".to_owned(),
            },
        };
        let cursor = match next {
            Next::More | Next::WaitMs(_) => Some(tributary_plugin_sdk::cursor_text(&self.cursor)?),
            Next::Complete | Next::CompleteExhaustive => None,
        };
        Ok(Page { changes: std::mem::take(&mut self.changes), cursor, next, progress: Some(progress) })
    }

    /// A single answer that is everything: it need not be read when it is the same as before.
    fn is_feed(&self, frame: &Frame) -> bool {
        let collection = &self.config.collections[frame.collection];
        frame.phase == Phase::Walk
            && collection.pagination.kind == PagingKind::None
            && collection.incremental.is_none()
            && collection.partitions.is_none()
            && collection.document.is_some()
            && self.config.children(frame.collection).is_empty()
    }

    fn feed(&self, collection: &Collection) -> Result<Feed, Failure> {
        let known = self.look_up(vec![collection.name.clone()])?.remove(&collection.name).unwrap_or_default();
        let mut parts = known.splitn(3, '|');
        let (config, sha256, etag) = (parts.next(), parts.next(), parts.next());
        if config != Some(&self.config_hash) {
            return Ok(Feed { fingerprint: known, sha256: None, etag: None });
        }
        let (sha256, etag) = (sha256.map(str::to_owned), etag.filter(|etag| !etag.is_empty()).map(str::to_owned));
        Ok(Feed { fingerprint: known, sha256, etag })
    }

    fn feed_unchanged(&mut self, frame: &mut Frame, collection: &Collection, fingerprint: &str) {
        self.add(collection.name.clone(), Change::container_unchanged(&collection.name, fingerprint));
        frame.ended = true;
        self.keep(frame.clone());
    }

    fn feed_read(&mut self, frame: &Frame, collection: &Collection, got: &Got) {
        // A record that failed is to be met again.
        if frame.forget || frame.incomplete {
            return;
        }
        let etag = got.response.header("etag").filter(|etag| etag.len() < 300).unwrap_or_default();
        let fingerprint = format!("{}|{}|{etag}", self.config_hash, got.sha256);
        self.add(collection.name.clone(), Change::container_read(&collection.name, fingerprint));
    }
}

/// What is known of a feed.
struct Feed {
    fingerprint: String,
    sha256: Option<String>,
    etag: Option<String>,
}

struct Dealt {
    records: usize,
    /// What follows is older than what was read before.
    ended: bool,
}

fn reading(collection: &Collection, phase: Phase) -> &Response {
    match phase {
        Phase::Walk => &collection.response,
        _ => collection.deletions.response.as_ref().unwrap_or(&collection.response),
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
