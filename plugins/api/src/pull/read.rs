//! One request of a listing: what comes back, and where the listing stands afterwards.

use sha2::{Digest, Sha256};
use tributary_plugin_sdk::{Change, Failure};

use super::{Puller, Turn};
use crate::{
    answer::{Answer, Got, ask},
    config::{Action, Collection, PagingKind, Response},
    cursor::{Frame, Phase, Position},
    decode::Window,
    document::{Around, hex},
    paging, request,
};

/// Waits before one request.
const MAX_WAITS: u32 = 30;
/// How long the first try again waits; each further one twice as long.
const RETRY_MS: u64 = 1_000;
/// An answer that is another one each time is started over so often.
const MAX_RESTARTS: u8 = 2;

/// What is known of a feed.
struct Feed {
    fingerprint: String,
    sha256: Option<String>,
    etag: Option<String>,
}

impl Puller<'_> {
    /// Asks for the page that a listing is at, and deals with what comes back.
    pub(super) fn read(&mut self, mut frame: Frame, room: usize) -> Result<Turn, Failure> {
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

    /// A single answer that is everything: it need not be read when it is the same as before.
    pub(super) fn is_feed(&self, frame: &Frame) -> bool {
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

fn reading(collection: &Collection, phase: Phase) -> &Response {
    match phase {
        Phase::Walk => &collection.response,
        _ => collection.deletions.response.as_ref().unwrap_or(&collection.response),
    }
}
