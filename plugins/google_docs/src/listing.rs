//! Listing folders, level by level, a bounded number of them in the cursor.
//!
//! Up to twenty folders are listed with one query. What they contain is dealt with in the order of the answers; folders found wait
//! in `pending`, and when many wait they are gone into before the listing goes on. A folder's mark goes into the ledger once
//! everything below it was listed, so that a run that dies in between comes back to it.

use tributary_plugin_sdk::{Change, Failure};

use crate::{
    content::Why,
    cursor::{Folder, Level, Stage},
    error, fingerprint,
    page::Room,
    places::{Place, is_hidden},
    pull::{MANY_FOLDERS_BYTES, MAX_FOLDERS_BYTES, Puller, Step, not_shared},
    wire::{FOLDER, File},
};

/// Folders listed with one query.
const MAX_TOGETHER: usize = 20;
/// Folders that wait at one level before they are gone into.
const MAX_PENDING: usize = 100;

impl Puller<'_> {
    /// One answer of the level at hand, or the next level.
    pub(crate) fn list(&mut self) -> Result<Step, Failure> {
        let Some(level) = self.cursor.levels.last() else { return self.listing_over() };
        let many = level.pending.len() >= MAX_PENDING || self.cursor.weight_bytes() > MANY_FOLDERS_BYTES;
        if !level.pending.is_empty() && (level.listed || many) {
            self.go_down();
            return Ok(Step::Went);
        }
        if !level.listed {
            return self.list_level();
        }
        self.leave_level()
    }

    /// Starts a level with folders that wait: of one drive, and alone those that failed together.
    fn go_down(&mut self) {
        let Some(level) = self.cursor.levels.last_mut() else { return };
        let first = level.pending.remove(0);
        let mut folders = vec![first];
        while !folders[0].alone
            && folders.len() < MAX_TOGETHER
            && let Some(next) = level.pending.first()
            && next.drive == folders[0].drive
            && !next.alone
        {
            folders.push(level.pending.remove(0));
        }
        self.cursor.levels.push(Level { folders, ..Level::default() });
        (self.cursor.empty, self.cursor.answers) = (0, 0);
    }

    /// Everything below is listed: the folders' marks, as many as the page takes.
    fn leave_level(&mut self) -> Result<Step, Failure> {
        while let Some(level) = self.cursor.levels.last_mut()
            && !level.folders.is_empty()
        {
            if self.page.is_full() {
                return Ok(Step::PageFull);
            }
            if let Some(folder) = level.folders.pop() {
                self.mark(fingerprint::folder_key(&folder.id), &fingerprint::of_folder(&folder.place));
            }
        }
        self.cursor.levels.pop();
        Ok(Step::Went)
    }

    fn list_level(&mut self) -> Result<Step, Failure> {
        let Some(level) = self.cursor.levels.last().cloned() else { return Ok(Step::Went) };
        let ids: Vec<&str> = level.folders.iter().map(|folder| folder.id.as_str()).collect();
        let drive = level.folders.first().and_then(|folder| folder.drive.as_deref());
        let list = match self.api.list(&ids, drive, level.token.as_deref(), self.page.max_items()) {
            Ok(list) => list,
            Err(failure) => return self.not_listed(level, failure),
        };
        if level.after.is_none() {
            self.count_answer(list.files.len())?;
        }
        self.cursor.incomplete |= list.incomplete_search;
        let files = after(&list.files, level.after.as_deref());
        let known = self.look_up(files)?;
        for (file, known) in files.iter().zip(known) {
            if self.page.is_full() || self.listed_file(file, &level, known.as_deref())? == Room::Full {
                return Ok(Step::PageFull);
            }
            self.item_done();
            if let Some(level) = self.cursor.levels.last_mut() {
                level.after = Some(file.id.clone());
            }
            if file.is_folder() && self.cursor.weight_bytes() > MANY_FOLDERS_BYTES {
                return Ok(Step::Went);
            }
        }
        self.cursor.waits = 0;
        if let Some(level) = self.cursor.levels.last_mut() {
            level.after = None;
            level.listed = list.next_page_token.is_none();
            level.token = list.next_page_token;
        }
        Ok(Step::Went)
    }

    /// A token that lost its validity starts the level over, once; folders that cannot be listed together are listed alone; one
    /// that cannot be listed alone is a failed item, unless it was selected.
    fn not_listed(&mut self, level: Level, failure: Failure) -> Result<Step, Failure> {
        let place = self.cursor.levels.len() - 1;
        if failure.code == error::INVALID_REQUEST && level.token.is_some() && !level.restarted {
            self.cursor.levels[place] = Level { token: None, after: None, restarted: true, ..level };
            return Ok(Step::Went);
        }
        if !is_hidden(&failure) {
            return Err(failure);
        }
        if level.folders.len() > 1 {
            self.cursor.levels.pop();
            let alone = level.folders.into_iter().chain(level.pending).map(|folder| Folder { alone: true, ..folder });
            self.cursor.levels[place - 1].pending.extend(alone);
            return Ok(Step::Went);
        }
        let Some(folder) = level.folders.into_iter().next() else { return Err(failure) };
        if self.roots.iter().any(|root| root.id == folder.id) {
            return Err(not_shared(&self.api, failure, "folder", &folder.id, "/folders"));
        }
        self.cursor.incomplete = true;
        self.page.push(Change::failed(fingerprint::folder_key(&folder.id), failure));
        self.cursor.levels[place] = Level { listed: true, pending: level.pending, ..Level::default() };
        Ok(Step::Went)
    }

    /// What the ledger knows of each, in order.
    pub(crate) fn look_up(&self, files: &[File]) -> Result<Vec<Option<String>>, Failure> {
        let ids: Vec<String> = files.iter().map(|file| file.id.clone()).collect();
        if ids.is_empty() { Ok(Vec::new()) } else { self.host.lookup(&ids) }
    }

    /// One thing that lies in a folder of the level.
    fn listed_file(&mut self, file: &File, level: &Level, known: Option<&str>) -> Result<Room, Failure> {
        let parent =
            level.folders.iter().find(|folder| file.parents.contains(&folder.id)).or(match level.folders.as_slice() {
                [only] => Some(only),
                // Not what was asked for.
                _ => None,
            });
        let Some(parent) = parent else { return Ok(Room::Left) };
        if file.trashed {
            return Ok(Room::Left);
        }
        if file.is_folder() {
            self.found_folder(file, parent);
            return Ok(Room::Left);
        }
        if file.target().is_some() {
            return self.shortcut(file, &parent.place);
        }
        self.document(file, &parent.place, known, Why::Listed)
    }

    /// A folder in a folder. One that is selected itself is listed as such, under its own name.
    fn found_folder(&mut self, file: &File, parent: &Folder) {
        let selected = self.roots.iter().any(|root| root.id == file.id);
        if selected || !self.config.recursive || !self.scope.enters(&file.name) {
            return;
        }
        let above = self.cursor.levels.iter().flat_map(|level| &level.folders).any(|folder| folder.id == file.id);
        if above {
            return;
        }
        let folder = Folder {
            id: file.id.clone(),
            place: parent.place.child(&file.name),
            drive: parent.drive.clone(),
            alone: false,
        };
        self.wait(folder);
    }

    /// Puts a folder among those that are to be listed.
    fn wait(&mut self, folder: Folder) {
        if self.cursor.weight_bytes() + folder.weight_bytes() > MAX_FOLDERS_BYTES {
            let what = "It lies too deep in folders with long names; move it up, or select it by itself.";
            self.cursor.incomplete = true;
            self.page.push(Change::failed(fingerprint::folder_key(&folder.id), Failure::too_large("too_deep", what)));
            return;
        }
        if let Some(level) = self.cursor.levels.last_mut()
            && !level.pending.iter().any(|waiting| waiting.id == folder.id)
        {
            level.pending.push(folder);
        }
    }

    /// A shortcut: its target is read once, unless it lies in the selection itself. Shortcuts behind shortcuts lead nowhere, so
    /// there are no circles.
    pub(crate) fn shortcut(&mut self, file: &File, place: &Place) -> Result<Room, Failure> {
        let Some(shortcut) = file.target().cloned() else { return Ok(Room::Left) };
        if place.by_shortcut || !self.scope.enters(&file.name) {
            return Ok(Room::Left);
        }
        let key = fingerprint::shortcut_key(&file.id);
        let target = match self.api.file(&shortcut.target_id) {
            Ok(target) => target,
            // A dead shortcut is nothing that anybody has to mend.
            Err(failure) if is_hidden(&failure) => {
                self.mark(key, &shortcut.target_id);
                return Ok(Room::Left);
            }
            Err(failure) => return Err(failure),
        };
        let listed_itself = self.selection.files.contains(&target.id)
            || self.roots.iter().any(|root| root.id == target.id)
            || self.places.selected(&self.api, &target.parents)?.is_some();
        let dead = target.trashed || target.target().is_some() || listed_itself;
        if !dead && target.mime_type == FOLDER {
            if self.config.recursive {
                let place = Place { path: place.child(&target.name).path, by_shortcut: true };
                let folder = Folder { id: target.id.clone(), place, drive: target.drive_id.clone(), alone: false };
                self.enter(folder);
            }
        } else if !dead {
            let place = Place { path: Vec::new(), by_shortcut: true };
            let known = self.look_up(std::slice::from_ref(&target))?.into_iter().next().flatten();
            if self.document(&target, &place, known.as_deref(), Why::Listed)? == Room::Full {
                return Ok(Room::Full);
            }
        }
        self.mark(key, &target.id);
        Ok(Room::Left)
    }

    /// To be listed: with this level, or after the feeds.
    fn enter(&mut self, folder: Folder) {
        if self.cursor.stage == Stage::Listing {
            self.wait(folder);
        } else {
            self.entered(folder);
        }
    }
}

/// Those after this one; all when it is not there any more.
fn after<'a>(files: &'a [File], id: Option<&str>) -> &'a [File] {
    let place = id.and_then(|id| files.iter().position(|file| file.id == id));
    &files[place.map_or(0, |place| place + 1)..]
}
