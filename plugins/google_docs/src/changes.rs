//! Draining the feeds of changes.
//!
//! A file's change is dealt with at once. A folder that came, or changed its name or place, is listed after the feeds. A folder or
//! shortcut that left makes everything be listed again, since nothing tells what it contained; what did not change is not fetched
//! again, and what is not named any more goes, under the host's guard against deletions in bulk.

use tributary_plugin_sdk::{Failure, Gone};

use crate::{
    content::Why,
    cursor::{Feed, Folder},
    error, fingerprint,
    page::Room,
    places::Root,
    pull::{MANY_FOLDERS_BYTES, Puller, Step, look_up_roots},
    wire::{File, FileChange},
};

/// Folders that came, before everything is listed instead.
const MAX_ENTERED: usize = 50;

/// What a change was found to be.
enum Met {
    Dealt(Room),
    /// In the feed after a listing: what the folders are now is for the next run to find out, from here.
    LeaveToNextRun,
}

impl Puller<'_> {
    /// One answer of the feed at hand.
    pub(crate) fn drain(&mut self) -> Result<Step, Failure> {
        let Some(feed) = self.cursor.feeds.get(self.cursor.feed as usize).cloned() else {
            self.draining_over()?;
            return Ok(Step::Went);
        };
        // Without its marks nothing can be told about folders: the next run drains what has come since.
        if self.cursor.everything && !self.marks_are_offered()? {
            self.cursor.feed = self.cursor.feeds.len() as u32;
            return Ok(Step::Went);
        }
        let list = match self.api.changes(feed.drive.as_deref(), &feed.token, self.page.max_items()) {
            Ok(list) => list,
            Err(failure) => return Err(self.not_drained(&feed, failure)),
        };
        if self.cursor.after.is_none() {
            self.count_answer(list.changes.len())?;
        }
        let id_of = |change: &FileChange| change.file_id.clone().or_else(|| change.drive_id.clone());
        let start = self.cursor.after.as_deref().and_then(|after| {
            list.changes.iter().position(|change| id_of(change).as_deref() == Some(after)).map(|place| place + 1)
        });
        let changes = &list.changes[start.unwrap_or(0)..];
        let known = self.known_of(changes)?;
        for (change, known) in changes.iter().zip(known) {
            if self.page.is_full() {
                return Ok(Step::PageFull);
            }
            match self.change(change, &known)? {
                Met::Dealt(Room::Full) => return Ok(Step::PageFull),
                Met::Dealt(Room::Left) => {
                    self.cursor.after = id_of(change);
                    self.item_done();
                }
                Met::LeaveToNextRun => {
                    self.next_feed();
                    return Ok(Step::Went);
                }
            }
        }
        (self.cursor.after, self.cursor.waits) = (None, 0);
        let at = self.cursor.feed as usize;
        match list.next_page_token {
            Some(next) => self.cursor.feeds[at].token = next,
            None => {
                if let Some(token) = list.new_start_page_token {
                    self.cursor.feeds[at].token = token;
                }
                self.next_feed();
            }
        }
        Ok(Step::Went)
    }

    fn next_feed(&mut self) {
        self.cursor.feed += 1;
        (self.cursor.after, self.cursor.empty, self.cursor.answers) = (None, 0, 0);
    }

    /// A feed whose token is refused is of no use any more; one that is hidden may be of a drive that is.
    fn not_drained(&self, feed: &Feed, failure: Failure) -> Failure {
        if failure.code != error::INVALID_REQUEST && failure.code != error::NOT_FOUND {
            return failure;
        }
        if feed.drive.is_some()
            && let Err(hidden) = look_up_roots(&self.api, self.selection)
        {
            return hidden;
        }
        Failure::cursor_expired(
            "Google does not know any more what changed since the last run; everything is read again.",
        )
    }

    /// Whether the ledger tells of the folders that were listed. It hides them in a run that reads everything, or failed items, again.
    fn marks_are_offered(&self) -> Result<bool, Failure> {
        let Some(Root { id, .. }) = self.roots.first() else { return Ok(true) };
        let mark = self.host.lookup(&[fingerprint::folder_key(id)])?.into_iter().next().flatten();
        Ok(mark.is_some_and(|mark| fingerprint::unmark(self.places.listing, &mark).is_some()))
    }

    /// What the ledger knows of each: as a document, a folder, a shortcut.
    fn known_of(&self, changes: &[FileChange]) -> Result<Vec<Known>, Failure> {
        let ids = changes.iter().filter_map(|change| change.file_id.as_deref());
        let asked: Vec<String> =
            ids.flat_map(|id| [id.to_owned(), fingerprint::folder_key(id), fingerprint::shortcut_key(id)]).collect();
        let mut answers = if asked.is_empty() { Vec::new() } else { self.host.lookup(&asked)? }.into_iter();
        let mut next = || answers.next().flatten();
        let of_now = |mark: Option<String>| Some(fingerprint::unmark(self.places.listing, &mark?)?.to_owned());
        let known = |change: &FileChange| match change.file_id {
            Some(_) => Known { document: next(), folder: of_now(next()), shortcut: of_now(next()) },
            None => Known::default(),
        };
        Ok(changes.iter().map(known).collect())
    }

    fn change(&mut self, change: &FileChange, known: &Known) -> Result<Met, Failure> {
        let Some(id) = change.file_id.as_deref() else {
            // A shared drive came, went or was renamed.
            if change.drive_id.as_ref().is_some_and(|drive| self.selection.drives.contains(drive)) {
                self.see_roots()?;
            }
            return Ok(Met::Dealt(Room::Left));
        };
        match change.file.as_ref().filter(|file| !change.removed && !file.trashed) {
            None => self.gone(id, change, known),
            Some(file) if file.id != id => {
                let what = format!("Google Drive described the file {id} as {}.", file.id);
                Err(Failure::source_contract("unexpected_answer", what))
            }
            Some(file) if file.is_folder() => self.folder(file, known),
            Some(file) if file.target().is_some() => self.changed_shortcut(file, known),
            Some(file) => self.file_anywhere(file, known.document.as_deref(), Why::Changed).map(Met::Dealt),
        }
    }

    /// Removed, trashed or not shared any more.
    fn gone(&mut self, id: &str, change: &FileChange, known: &Known) -> Result<Met, Failure> {
        let is_root = self.roots.iter().any(|root| root.id == id);
        if is_root || known.folder.is_some() || known.shortcut.is_some() {
            return self.left();
        }
        if known.document.is_none() {
            return Ok(Met::Dealt(Room::Left));
        }
        if !change.removed {
            self.page.delete(id, Gone::Trashed);
            return Ok(Met::Dealt(Room::Left));
        }
        // When all that is selected was taken away, its files are named one by one as well.
        self.see_roots()?;
        self.page.delete(id, Gone::AccessLost);
        Ok(Met::Dealt(Room::Left))
    }

    fn folder(&mut self, file: &File, known: &Known) -> Result<Met, Failure> {
        if let Some(root) = self.roots.iter().find(|root| root.id == file.id) {
            return if root.name == file.name { Ok(Met::Dealt(Room::Left)) } else { self.left() };
        }
        let parent = match file.parents.first() {
            Some(parent) if self.config.recursive && self.scope.enters(&file.name) => {
                self.places.of(&self.api, parent)?
            }
            _ => None,
        };
        match (parent.map(|parent| parent.child(&file.name)), known.folder.as_deref()) {
            (Some(place), Some(known)) if fingerprint::of_folder(&place) == known => Ok(Met::Dealt(Room::Left)),
            // The target of a shortcut, as before.
            (None, Some(known)) if fingerprint::is_by_shortcut(known) => Ok(Met::Dealt(Room::Left)),
            (Some(_), _) if self.cursor.everything => Ok(Met::LeaveToNextRun),
            (Some(place), known) => {
                self.cursor.moved |= known.is_some();
                let folder = Folder { id: file.id.clone(), place, drive: file.drive_id.clone(), alone: false };
                self.entered(folder);
                Ok(Met::Dealt(Room::Left))
            }
            (None, Some(_)) => self.left(),
            (None, None) => Ok(Met::Dealt(Room::Left)),
        }
    }

    /// A shortcut that still leads where it led, from where it stood, is no news.
    fn changed_shortcut(&mut self, file: &File, known: &Known) -> Result<Met, Failure> {
        let target = file.target().map(|shortcut| shortcut.target_id.as_str());
        match (self.place_of(file, None)?, known.shortcut.as_deref()) {
            (Some(_), Some(known)) if Some(known) == target => Ok(Met::Dealt(Room::Left)),
            (_, Some(_)) => self.left(),
            (Some(_), None) if self.cursor.everything => Ok(Met::LeaveToNextRun),
            (Some(place), None) => self.shortcut(file, &place).map(Met::Dealt),
            (None, None) => Ok(Met::Dealt(Room::Left)),
        }
    }

    /// Something that others were read through left.
    fn left(&mut self) -> Result<Met, Failure> {
        if self.cursor.everything {
            return Ok(Met::LeaveToNextRun);
        }
        self.see_roots()?;
        self.cursor.relist = true;
        Ok(Met::Dealt(Room::Left))
    }

    /// A folder that came is listed after the feeds.
    pub(crate) fn entered(&mut self, folder: Folder) {
        self.cursor.entered.retain(|other| other.id != folder.id);
        let many = self.cursor.entered.len() >= MAX_ENTERED || self.cursor.weight_bytes() > MANY_FOLDERS_BYTES;
        if many || self.cursor.everything {
            self.cursor.relist = true;
        } else {
            self.cursor.entered.push(folder);
        }
    }

    /// Once in a run: before anything is taken for gone, what is selected must be there.
    fn see_roots(&mut self) -> Result<(), Failure> {
        if !self.cursor.roots_seen {
            look_up_roots(&self.api, self.selection)?;
            self.cursor.roots_seen = true;
        }
        Ok(())
    }
}

/// What the ledger knows of an id.
#[derive(Debug, Default)]
struct Known {
    document: Option<String>,
    folder: Option<String>,
    shortcut: Option<String>,
}
