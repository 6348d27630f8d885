//! One page: walk on, ask the ledger once for all files come across, and hand over what is new.

use std::collections::HashSet;

use tributary_plugin_sdk::{
    BlobId, Change, Content, Document, Failure, Fault, Host, Next, Page, Progress, Provenance, PullRequest, Size,
};

use crate::{
    config::Config,
    cursor::{Cursor, Reading},
    file::{self, Fingerprint, Form, Stamp},
    rows::{Outcome, Rows},
    scope::Scope,
    walk::{Step, Walk},
};

/// Names looked at per page, so that a page ends in a big tree with few matches.
const LOOK: u64 = 20_000;
/// Files whose fingerprints are looked up together.
const BATCH: usize = 1_000;
/// The contract's limit.
pub(crate) const MAX_EXTERNAL_ID_BYTES: usize = 1_024;
/// The host's codes for a page that holds too much.
const PAGE_FULL: [&str; 2] = ["page_full", "too_many_blobs"];
/// A file of rows that changes this often while it is read is left for the next run.
const MAX_RESTARTS: u8 = 3;

/// Makes the page that a request asks for.
pub(crate) fn pull(host: &dyn Host, config: &Config, request: &PullRequest) -> Result<Page, Failure> {
    config.validate()?;
    let scope = Scope::new(config)?;
    let mut puller = Puller {
        host,
        config,
        max_items: request.max_items.max(1) as usize,
        max_bytes: request.max_bytes.max(1),
        full: request.full,
        cursor: request.cursor()?.unwrap_or_default(),
        changes: Vec::new(),
        bytes: 0,
        restarted: None,
    };
    let at_end = puller.resume()? && puller.walk(&scope)?;
    puller.finish(at_end)
}

/// A page in the making.
pub(crate) struct Puller<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) config: &'a Config,
    max_items: usize,
    max_bytes: u64,
    full: bool,
    pub(crate) cursor: Cursor,
    changes: Vec<Change>,
    /// Bytes of text and blobs in `changes`, and of files opened in vain.
    bytes: u64,
    /// A file of rows that changed while it was read, and how often.
    restarted: Option<(String, u8)>,
}

/// What opening a file ahead of its turn gave.
type Opened = Result<BlobId, Failure>;

/// Whether the page has room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Left,
    Full,
}

impl Puller<'_> {
    /// Goes on in the file of rows that the page before ended in. False: the page is full.
    fn resume(&mut self) -> Result<bool, Failure> {
        let Some(reading) = self.cursor.reading.take() else { return Ok(true) };
        let opened = self.host.open(&self.config.root, &reading.path, self.config.max_file.0);
        let blob = match opened {
            Ok(blob) => blob,
            Err(failure) if is_run_level(&failure) => return Err(failure),
            // Walking on comes to the file again, if it is still there, and says what is wrong with it.
            Err(_) => return Ok(true),
        };
        if self.host.blob_info(blob)?.sha256 != reading.sha256 {
            self.restarted = Some((reading.path, reading.restarts.saturating_add(1)));
            return Ok(true);
        }
        Ok(self.rows(blob, reading)? == Room::Left)
    }

    /// Walks on until the page is full or the tree is at its end (true).
    fn walk(&mut self, scope: &Scope) -> Result<bool, Failure> {
        let config = self.config;
        let after = self.cursor.after.clone();
        let mut walk = Walk::new(self.host, &config.root, scope, after.as_deref());
        loop {
            let room = self.max_items.saturating_sub(self.changes.len()).min(BATCH);
            if room == 0 {
                return Ok(false);
            }
            let mut steps = Vec::with_capacity(room);
            while steps.len() < room {
                match walk.next(LOOK)? {
                    Some(step) => steps.push(step),
                    None => break,
                }
            }
            let known = self.look_up(&steps)?;
            let opened = self.open_all(&steps, &known)?;
            for ((step, known), opened) in steps.into_iter().zip(known).zip(opened) {
                if self.step(step, known, opened)? == Room::Full {
                    return Ok(false);
                }
            }
            if walk.is_at_end() {
                return Ok(true);
            }
            if walk.looked_at >= LOOK {
                self.cursor.after = walk.position;
                return Ok(false);
            }
        }
    }

    /// What the ledger knows of each step, in order.
    fn look_up(&self, steps: &[Step]) -> Result<Vec<Option<Fingerprint>>, Failure> {
        let mut known = vec![None; steps.len()];
        let files = || {
            steps.iter().enumerate().filter_map(|(place, step)| match step {
                Step::File { path, .. } => Some((place, path)),
                _ => None,
            })
        };
        let ids: Vec<String> = files().map(|(_, path)| file::normal(path)).collect();
        if !self.full && !ids.is_empty() {
            for ((place, _), text) in files().zip(self.host.lookup(&ids)?) {
                known[place] = text.as_deref().and_then(Fingerprint::parse);
            }
        }
        Ok(known)
    }

    /// Opens the next files that will be read whole, as many as the page seems to have room for. The others are opened when it
    /// is their turn.
    fn open_all(&self, steps: &[Step], known: &[Option<Fingerprint>]) -> Result<Vec<Option<Opened>>, Failure> {
        let (mut places, mut paths, mut bytes) = (Vec::new(), Vec::new(), self.bytes);
        for (place, (step, known)) in steps.iter().zip(known).enumerate() {
            let Step::File { path, stamp } = step else { continue };
            if known.as_ref().is_some_and(|known| known.stamp == *stamp) || stamp.size_bytes > self.config.max_file.0 {
                continue;
            }
            bytes = bytes.saturating_add(stamp.size_bytes);
            if bytes > self.max_bytes || file::form(path, self.config) != Form::Whole {
                break;
            }
            places.push(place);
            paths.push(path.clone());
        }
        let mut opened: Vec<_> = steps.iter().map(|_| None).collect();
        if paths.len() > 1 {
            let answers = self.host.open_all(&self.config.root, &paths, self.config.max_file.0)?;
            for (place, answer) in places.into_iter().zip(answers) {
                opened[place] = Some(answer);
            }
        }
        Ok(opened)
    }

    fn step(&mut self, step: Step, known: Option<Fingerprint>, opened: Option<Opened>) -> Result<Room, Failure> {
        match step {
            Step::File { path, stamp } => self.file(&path, stamp, known, opened),
            Step::Unreadable { folder, names, position } => {
                let id = if folder.is_empty() { names.join(", ") } else { format!("{folder}/{}", names.join(", ")) };
                let what = format!(
                    "The name of {} is not UTF-8, so it was left out; rename it.",
                    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                );
                self.failed(&clip(&id), Failure::unsupported("name_not_utf8", what));
                self.cursor.after = Some(position);
                Ok(Room::Left)
            }
            Step::Unlistable { path, failure } => {
                self.cursor.incomplete = true;
                self.failed(&clip(&file::normal(&path)), failure);
                self.cursor.after = Some(path);
                Ok(Room::Left)
            }
        }
    }

    /// Deals with a file, or says that the page has no room for it.
    fn file(
        &mut self,
        path: &str,
        stamp: Stamp,
        known: Option<Fingerprint>,
        opened: Option<Opened>,
    ) -> Result<Room, Failure> {
        let id = file::normal(path);
        if let Err(failure) = self.acceptable(path, &id, stamp) {
            self.failed(&clip(&id_of_failed(path, &id, &failure)), failure);
            return Ok(self.done_with(path));
        }
        if let Some(known) = &known
            && known.stamp == stamp
        {
            self.unchanged(&id, known);
            return Ok(self.done_with(path));
        }
        if self.bytes > 0 && self.bytes.saturating_add(stamp.size_bytes) > self.max_bytes {
            return Ok(Room::Full);
        }
        let opened = opened.unwrap_or_else(|| self.host.open(&self.config.root, path, self.config.max_file.0));
        let blob = match opened {
            Ok(blob) => blob,
            Err(failure) if is_run_level(&failure) => return Err(failure),
            // What the host keeps for a page is used up: the next page has its own.
            Err(failure) if PAGE_FULL.contains(&&*failure.code) && !self.changes.is_empty() => return Ok(Room::Full),
            // Gone since its folder was listed: absence tells.
            Err(failure) if failure.fault == Fault::NotFound => return Ok(self.done_with(path)),
            Err(failure) => {
                self.failed(&id, failure);
                return Ok(self.done_with(path));
            }
        };
        let info = self.host.blob_info(blob)?;
        self.bytes += info.size_bytes;
        if let Some(known) = known
            && known.sha256 == info.sha256
        {
            self.unchanged(&id, &Fingerprint { stamp, ..known });
            return Ok(self.done_with(path));
        }
        let restarts = match self.restarted.take() {
            Some((restarted, count)) if restarted == path => count,
            _ => 0,
        };
        if restarts >= MAX_RESTARTS {
            let what = "It changed again and again while it was read; it is left for the next run.";
            self.failed(&id, Failure::transient("file_changing", what));
            return Ok(self.done_with(path));
        }
        let form = Rows::form(self.host, blob, file::form(path, self.config), self.config)?;
        if form == Form::Whole {
            self.whole(path, id, blob, Fingerprint { is_container: false, stamp, sha256: info.sha256 });
            return Ok(self.done_with(path));
        }
        // Its bytes are counted row by row.
        self.bytes -= info.size_bytes;
        let reading = Reading {
            path: path.to_owned(),
            stamp,
            sha256: info.sha256,
            position: Default::default(),
            repeated: Vec::new(),
            failed: 0,
            nameless: false,
            restarts,
        };
        self.rows(blob, reading)
    }

    /// # Errors
    /// Why a file is not read.
    fn acceptable(&self, path: &str, id: &str, stamp: Stamp) -> Result<(), Failure> {
        if id.len() > MAX_EXTERNAL_ID_BYTES {
            let what = format!("Its path is longer than {MAX_EXTERNAL_ID_BYTES} bytes; move it to a shorter path.");
            return Err(Failure::too_large("path_too_long", what));
        }
        let max_file = self.config.max_file;
        if stamp.size_bytes > max_file.0 {
            let size = Size(stamp.size_bytes);
            let what =
                format!("It is {size} long and files over {max_file} are not read; split it or raise `max_file`.");
            return Err(Failure::too_large("file_too_large", what).at("/max_file"));
        }
        // Two spellings of one name would be one document. Opening with a limit of nothing tells whether a file is there.
        if path != id
            && !matches!(self.host.open(&self.config.root, id, 0), Err(failure) if failure.fault == Fault::NotFound)
        {
            let what = "Another file has the same name in another Unicode spelling; rename one of them.";
            return Err(Failure::unsupported("name_ambiguous", what));
        }
        Ok(())
    }

    fn whole(&mut self, path: &str, id: String, blob: u64, fingerprint: Fingerprint) {
        let content = Content::blob(blob, file::media_type(path, self.config));
        let mut document = Document::new(id, self.config.file_kind(), content).fingerprinted(fingerprint.to_text());
        document.provenance = self.provenance(&document.external_id, fingerprint.stamp);
        self.changes.push(document.into());
    }

    /// Reads a file of rows as far as the page has room.
    fn rows(&mut self, blob: u64, reading: Reading) -> Result<Room, Failure> {
        let path = reading.path.clone();
        let room_items = self.max_items.saturating_sub(self.changes.len());
        let room_bytes = self.max_bytes.saturating_sub(self.bytes);
        let provenance = self.provenance(&file::normal(&path), reading.stamp);
        let read = Rows::new(self.host, blob, self.config, reading, provenance, self.full).read(
            room_items,
            room_bytes,
            self.changes.is_empty(),
        )?;
        self.cursor.done += read.rows;
        self.bytes += read.bytes;
        self.changes.extend(read.changes);
        match read.outcome {
            Outcome::Finished => Ok(self.done_with(&path)),
            Outcome::Paused(reading) => {
                self.cursor.reading = Some(reading);
                Ok(Room::Full)
            }
        }
    }

    fn provenance(&self, id: &str, stamp: Stamp) -> Provenance {
        Provenance {
            url: file::url(self.config, id),
            modified_at: stamp.modified_at,
            path: id.split('/').map(str::to_owned).collect(),
            ..Provenance::default()
        }
    }

    fn unchanged(&mut self, id: &str, fingerprint: &Fingerprint) {
        let text = fingerprint.to_text();
        self.changes.push(if fingerprint.is_container {
            Change::container_unchanged(id, text)
        } else {
            Document::new(id, self.config.file_kind(), Content::Unchanged).fingerprinted(text).into()
        });
    }

    fn failed(&mut self, id: &str, failure: Failure) {
        self.changes.push(Change::failed(id, failure));
    }

    /// Notes that a path was dealt with.
    fn done_with(&mut self, path: &str) -> Room {
        self.cursor.after = Some(path.to_owned());
        self.cursor.done += 1;
        if self.changes.len() >= self.max_items || self.bytes >= self.max_bytes { Room::Full } else { Room::Left }
    }

    fn finish(mut self, at_end: bool) -> Result<Page, Failure> {
        // A row's id can spell another file's path; the first to name it has it.
        let mut ids = HashSet::with_capacity(self.changes.len());
        self.changes.retain(|change| ids.insert(id_of(change).to_owned()));
        let done = self.cursor.done;
        let page = if !at_end {
            Page::more(self.changes, &self.cursor)?
        } else {
            // Whether an empty folder means that everything was deleted is for the host's guard, and in the end for a person.
            let next = if self.cursor.incomplete { Next::Complete } else { Next::CompleteExhaustive };
            Page { changes: self.changes, cursor: None, next, progress: None }
        };
        Ok(Page { progress: Some(Progress { done, total: None, phase: "reading".to_owned() }), ..page })
    }
}

fn id_of(change: &Change) -> &str {
    match change {
        Change::Upsert(document) => &document.external_id,
        Change::Container(container) => &container.external_id,
        Change::Delete((id, _)) | Change::Failed((id, _)) => id,
    }
}

/// Failures of one file that stop the run: the host wants to stop, or the root is not ours.
fn is_run_level(failure: &Failure) -> bool {
    failure.fault == Fault::Cancelled || failure.code.starts_with("root_")
}

/// An ambiguous name cannot be reported under the id that the other file has.
fn id_of_failed(path: &str, id: &str, failure: &Failure) -> String {
    if failure.code == "name_ambiguous" { path.to_owned() } else { id.to_owned() }
}

/// An external id within the limit.
pub(crate) fn clip(id: &str) -> String {
    if id.len() <= MAX_EXTERNAL_ID_BYTES {
        return id.to_owned();
    }
    format!("{}…", &id[..id.floor_char_boundary(MAX_EXTERNAL_ID_BYTES - '…'.len_utf8())])
}
