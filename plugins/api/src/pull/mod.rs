//! One page of a run: listings are read one after the other, each item's own listings before the next page of its parent.

mod items;
mod read;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tributary_plugin_sdk::{Change, Failure, Host, Next, Page, Progress, PullRequest};

use crate::{
    config::{Collection, Config, DeletionKind},
    cursor::{Cursor, Frame, Phase},
    document::hex,
    request::{self, Run},
};

/// Requests of one page, so that a page comes to its end when most of them bring nothing.
const MAX_REQUESTS: u32 = 10;
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
}
