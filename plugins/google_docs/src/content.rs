//! One file as a document: whether it is read, whether it changed, its content, and where it comes from.

use tributary_plugin_sdk::{Change, Content, Document, Failure, Fault, Gone, Provenance, Size};

use crate::{
    config::Unsupported,
    error, fingerprint,
    outline::{self, Outline},
    page::Room,
    places::{Place, clip, is_hidden},
    pull::{Puller, TRY_AGAIN, not_shared},
    scope::{self, Form},
    wire::{File, User, instant},
};

/// Longest file that the extractor takes.
const MAX_MEDIA_BYTES: u64 = 64 << 20;
/// Tries of a file that Google cannot give right now.
const MAX_TRIES: u32 = 4;
/// Files in a row after which it is not the files.
const MAX_OUTAGE: u32 = 3;
/// Files that are tried again in the next run.
const MAX_RETRY: usize = 100;

/// Media type that spreadsheets are exported in.
pub(crate) const WORKBOOK: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Why a file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was listed: it is to be named, changed or not.
    Listed,
    /// The feed named it.
    Changed,
}

impl Puller<'_> {
    /// One of the selected files, or one that failed before.
    pub(crate) fn single_file(&mut self, id: &str) -> Result<Room, Failure> {
        let selected = self.selection.files.iter().position(|one| one == id);
        let file = match self.api.file(id) {
            Ok(file) => file,
            Err(failure) if is_hidden(&failure) => {
                match selected {
                    Some(place) => {
                        let failure = not_shared(&self.api, failure, "file", id, &format!("/files/{place}"));
                        self.page.push(Change::failed(id, failure));
                    }
                    None => self.page.delete(id, Gone::AccessLost),
                }
                return Ok(Room::Left);
            }
            Err(failure) => return Err(failure),
        };
        if file.is_folder() {
            if let Some(place) = selected {
                let what = format!("\"{}\" is a folder; put it under `folders`.", file.name);
                return Err(Failure::config(format!("/files/{place}"), what));
            }
            return Ok(Room::Left);
        }
        let known = self.look_up(std::slice::from_ref(&file))?.into_iter().next().flatten();
        let why = if selected.is_some() { Why::Listed } else { Why::Changed };
        self.file_anywhere(&file, known.as_deref(), why)
    }

    /// A file of which only its parents are known.
    pub(crate) fn file_anywhere(&mut self, file: &File, known: Option<&str>, why: Why) -> Result<Room, Failure> {
        if file.trashed {
            self.page.delete(&file.id, Gone::Trashed);
            return Ok(Room::Left);
        }
        match self.place_of(file, known)? {
            Some(place) if file.target().is_some() => self.shortcut(file, &place),
            Some(place) => self.document(file, &place, known, why),
            None => {
                self.page.delete(&file.id, Gone::OutOfScope);
                Ok(Room::Left)
            }
        }
    }

    /// Where a file lies in the selection. One that is selected by itself has no path.
    pub(crate) fn place_of(&mut self, file: &File, known: Option<&str>) -> Result<Option<Place>, Failure> {
        let mut by_shortcut = None;
        for parent in file.parents.iter().take(4) {
            match self.places.of(&self.api, parent)? {
                Some(place) if place.by_shortcut => by_shortcut = Some(place),
                Some(place) => return Ok(Some(place)),
                None => {}
            }
        }
        if self.selection.files.contains(&file.id) {
            return Ok(Some(Place::default()));
        }
        // Whether the shortcut is still there, its own change would have told.
        let known = known.filter(|known| fingerprint::is_by_shortcut(known));
        Ok(by_shortcut.or_else(|| known.map(|_| Place { path: Vec::new(), by_shortcut: true })))
    }

    /// A file that lies here. Full: it is looked at again with the next page.
    pub(crate) fn document(
        &mut self,
        file: &File,
        place: &Place,
        known: Option<&str>,
        why: Why,
    ) -> Result<Room, Failure> {
        if !self.scope.wants(file) {
            self.leave_out(file, known);
            return Ok(Room::Left);
        }
        let Some(form) = scope::form(file) else {
            if self.config.unsupported == Unsupported::Report {
                let what =
                    format!("Files of type {} cannot be read.", file.mime_type.chars().take(120).collect::<String>());
                self.page.push(Change::failed(&file.id, Failure::unsupported("unsupported_format", what)));
            } else {
                self.leave_out(file, known);
            }
            return Ok(Room::Left);
        };
        let fingerprint = fingerprint::of_file(file, place);
        if known == Some(fingerprint.as_str()) {
            if why == Why::Listed {
                let document = Document::new(&file.id, form.kind(), Content::Unchanged).fingerprinted(fingerprint);
                self.page.push(document.into());
            }
            return Ok(Room::Left);
        }
        if let Err(failure) = self.acceptable(file) {
            self.page.push(Change::failed(&file.id, failure));
            return Ok(Room::Left);
        }
        if !self.page.takes(file.size_bytes().unwrap_or(0)) {
            return Ok(Room::Full);
        }
        self.page.count_download();
        match self.fetch(file, form) {
            Ok((content, bytes)) => {
                if !self.page.fits(bytes) {
                    return Ok(Room::Full);
                }
                self.page.count_bytes(bytes);
                self.page.push(described(file, place, form, content).fingerprinted(fingerprint).into());
                self.cursor.outage = 0;
                Ok(Room::Left)
            }
            Err(failure) => self.not_fetched(file, failure, why),
        }
    }

    /// What is not read and was before goes.
    fn leave_out(&mut self, file: &File, known: Option<&str>) {
        if known.is_some() {
            self.page.delete(&file.id, Gone::OutOfScope);
        }
    }

    /// # Errors
    /// Why a file is not read, known before it is fetched.
    fn acceptable(&self, file: &File) -> Result<(), Failure> {
        if file.capabilities.as_ref().and_then(|may| may.can_download) == Some(false) {
            let what = "Its owner forbids viewers to download it; ask for that, or for the right to edit it.";
            return Err(Failure::permission("not_downloadable", what));
        }
        let max_file = self.config.max_file;
        match file.size_bytes() {
            Some(bytes) if bytes > max_file.0.min(MAX_MEDIA_BYTES) => {
                let (size, most) = (Size(bytes), Size(max_file.0.min(MAX_MEDIA_BYTES)));
                let what =
                    format!("It is {size} long and files over {most} are not read; split it or raise `max_file`.");
                Err(Failure::too_large("file_too_large", what).at("/max_file"))
            }
            _ => Ok(()),
        }
    }

    /// The content, and how many bytes it has.
    fn fetch(&self, file: &File, form: Form) -> Result<(Content, u64), Failure> {
        let max_bytes = self.config.max_file.0.min(MAX_MEDIA_BYTES);
        let (response, media_type) = match form {
            Form::Document => match self.api.export(&file.id, "text/markdown", max_bytes) {
                Err(failure) if failure.code == error::EXPORT_TOO_LARGE => return self.paragraphs(file),
                answer => (answer?, "text/markdown"),
            },
            Form::Spreadsheet => (self.api.export(&file.id, WORKBOOK, max_bytes)?, WORKBOOK),
            Form::Presentation => (self.api.export(&file.id, "text/plain", max_bytes)?, "text/plain"),
            Form::Media(media_type) => (self.api.download(&file.id, max_bytes)?, media_type),
        };
        Ok((Content::blob(response.body, media_type), response.size_bytes))
    }

    /// A document that is too long for an export.
    fn paragraphs(&self, file: &File) -> Result<(Content, u64), Failure> {
        let sections = outline::sections(&self.api.document::<Outline>(&file.id)?);
        let bytes: usize = sections.iter().map(|section| section.text.len()).sum();
        if bytes as u64 > self.config.max_file.0.min(outline::MAX_TEXT_BYTES as u64)
            || sections.len() > outline::MAX_SECTIONS
        {
            let what = format!(
                "Its text is longer than {}; split it.",
                Size(self.config.max_file.0.min(outline::MAX_TEXT_BYTES as u64))
            );
            return Err(Failure::too_large("document_too_large", what));
        }
        Ok((Content::Sections(sections), bytes as u64))
    }

    /// What a file that could not be fetched means: for the run, for the file, or for what was known of it.
    fn not_fetched(&mut self, file: &File, failure: Failure, why: Why) -> Result<Room, Failure> {
        let run_level = match failure.fault {
            Fault::NotFound | Fault::TooLarge | Fault::Unsupported => false,
            // Of the file; what the host does not allow, or Google does not allow at all, is of the run.
            Fault::Permission => {
                !matches!(failure.code.as_str(), error::FORBIDDEN | "not_downloadable" | "marked_as_abusive")
            }
            Fault::SourceContract => failure.code != error::INVALID_REQUEST,
            Fault::Transient => return self.try_again(file, failure),
            _ => true,
        };
        if run_level {
            return Err(failure);
        }
        match (why, is_hidden(&failure)) {
            // Named by the feed and refused: the account lost it.
            (Why::Changed, true) => self.page.delete(&file.id, Gone::AccessLost),
            // Gone since it was listed: absence tells.
            (Why::Listed, true) if failure.fault == Fault::NotFound => {}
            _ => self.page.push(Change::failed(&file.id, failure)),
        }
        Ok(Room::Left)
    }

    /// A few times after a pause; then it is a failed item and the next run tries again. When several files in a row come to
    /// that, the run is tried again as a whole.
    fn try_again(&mut self, file: &File, failure: Failure) -> Result<Room, Failure> {
        self.cursor.tries += 1;
        if self.cursor.tries < MAX_TRIES {
            return Err(Failure { code: TRY_AGAIN.to_owned(), ..failure });
        }
        self.cursor.outage += 1;
        if self.cursor.outage >= MAX_OUTAGE {
            self.cursor.outage = 0;
            return Err(failure);
        }
        if self.cursor.retry.len() < MAX_RETRY && !self.cursor.retry.contains(&file.id) {
            self.cursor.retry.push(file.id.clone());
        }
        self.page.push(Change::failed(&file.id, failure));
        Ok(Room::Left)
    }
}

fn described(file: &File, place: &Place, form: Form, content: Content) -> Document {
    let owner = file.owners.first().and_then(User::label);
    let mut document =
        Document::new(&file.id, form.kind(), content).titled(&file.name).field("mime_type", file.mime_type.as_str());
    if let Some(owner) = &owner {
        document = document.field("owner", owner.as_str());
    }
    if let Some(drive) = &file.drive_id {
        document = document.field("drive", drive.as_str());
    }
    let mut authors: Vec<String> = file.owners.iter().take(10).filter_map(User::label).collect();
    authors.extend(file.last_modifying_user.as_ref().and_then(User::label).filter(|last| owner.as_ref() != Some(last)));
    let mut path = place.path.clone();
    path.push(clip(&file.name));
    document.provenance = Provenance {
        url: file.web_view_link.clone(),
        revision: file.version.clone(),
        created_at: instant(file.created_time.as_deref()),
        modified_at: instant(file.modified_time.as_deref()),
        authors,
        path,
        ..Provenance::default()
    };
    document
}
