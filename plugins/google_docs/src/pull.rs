//! The page loop: which stage is next, when a page is full, what becomes of a failure, and how a run begins and ends.

use tributary_plugin_sdk::{Failure, Fault, Host, Next, Page, Progress, PullRequest};

use crate::{
    api::Api,
    config::{Config, Selection},
    cursor::{Cursor, Feed, Folder, Level, Memory, Stage},
    fingerprint,
    page::{PageInMaking, Room},
    places::{Place, Places, Root, is_hidden},
    scope::Scope,
};

/// Requests of one page; they are made one after the other and a page has a deadline.
const MAX_REQUESTS: u32 = 64;
/// Waits in a row after which a run is given up; the longest are an hour.
const MAX_WAITS: u32 = 24;
/// Answers in a row without an item. Some are legal.
const MAX_EMPTY: u32 = 2_000;
/// Answers of one listing or feed.
const MAX_ANSWERS: u32 = 100_000;
/// The longest pause that Google did not name itself.
const LONGEST_WAIT_MS: u64 = 64_000;
/// Bytes of the cursor from which on folders found are gone into before more are looked for. The host takes cursors of 64 KiB.
pub(crate) const MANY_FOLDERS_BYTES: usize = 14 << 10;
/// Bytes of the cursor that folders may have in all; tokens and ids of files have the rest.
pub(crate) const MAX_FOLDERS_BYTES: usize = 52 << 10;

/// Key of [`Memory`] in the source's state.
const MEMORY: &str = "sync";
/// Key of the selected folders in the source's state.
const ROOTS: &str = "roots";
/// Key of the number of the last listing of everything in the source's state.
const LISTING: &str = "listing";
/// In the ledger: everything was listed with this configuration. Hidden when failed items are read again, so that a run for them
/// lists everything.
const SELECTION: &str = "selection";

pub(crate) fn pull(host: &dyn Host, config: &Config, request: &PullRequest) -> Result<Page, Failure> {
    let selection = config.selection()?;
    let scope = Scope::new(config)?;
    let api = Api::new(host, config);
    let digest = fingerprint::digest(&[env!("CARGO_PKG_VERSION"), &request.config]);
    let before: Option<Cursor> = request.cursor()?;
    let (cursor, roots) = match before {
        Some(cursor) => (cursor, roots(host)?),
        None => begin(host, &api, &selection, request, &digest)?,
    };
    let places = Places::new(host, &scope, config.recursive, &roots, listing(host)?);
    let page = PageInMaking::new(request);
    let digest = &digest;
    Puller { host, api, config, scope: &scope, selection: &selection, digest, roots: &roots, places, page, cursor }
        .run()
}

/// The first page: from the feeds when everything is known, else from the folders.
fn begin(
    host: &dyn Host,
    api: &Api,
    selection: &Selection,
    request: &PullRequest,
    digest: &str,
) -> Result<(Cursor, Vec<Root>), Failure> {
    let memory = host.state(MEMORY)?.and_then(|text| serde_json::from_str::<Memory>(&text).ok());
    let listed = host.lookup(&[SELECTION.to_owned()])?.into_iter().next().flatten();
    if !request.full
        && listed.as_deref() == Some(digest)
        && let Some(Memory { feeds, retry, .. }) = memory.filter(|memory| memory.config == digest)
    {
        return Ok((Cursor { files: retry, feeds, ..Cursor::default() }, roots(host)?));
    }
    let roots = look_up_roots(api, selection)?;
    // Before the first listing, so that nothing falls between it and the feed.
    let mut drives: Vec<&str> = roots.iter().filter_map(|root| root.drive.as_deref()).collect();
    drives.sort_unstable();
    drives.dedup();
    let mut feeds = vec![Feed { drive: None, token: api.start_page_token(None)? }];
    for drive in drives {
        feeds.push(Feed { drive: Some(drive.to_owned()), token: api.start_page_token(Some(drive))? });
    }
    remember_roots(host, &roots)?;
    let mut cursor = Cursor { feeds, ..Cursor::default() };
    list_everything(host, &mut cursor, &roots, selection)?;
    Ok((cursor, roots))
}

/// Sets the cursor to list everything. What is remembered is void until that is done.
fn list_everything(host: &dyn Host, cursor: &mut Cursor, roots: &[Root], selection: &Selection) -> Result<(), Failure> {
    host.set_state(MEMORY, None)?;
    host.set_state(LISTING, Some(&(listing(host)? + 1).to_string()))?;
    let pending = roots.iter().map(|root| Folder {
        id: root.id.clone(),
        place: Place::root(&root.name),
        drive: root.drive.clone(),
        alone: false,
    });
    cursor.levels = vec![Level { listed: true, pending: pending.collect(), ..Level::default() }];
    cursor.files = selection.files.clone();
    cursor.everything = true;
    cursor.stage = Stage::Files;
    Ok(())
}

fn listing(host: &dyn Host) -> Result<u64, Failure> {
    Ok(host.state(LISTING)?.and_then(|number| number.parse().ok()).unwrap_or(0))
}

fn roots(host: &dyn Host) -> Result<Vec<Root>, Failure> {
    let text = host
        .state(ROOTS)?
        .ok_or_else(|| Failure::cursor_expired("What was selected is not remembered any more; reading starts over."))?;
    serde_json::from_str(&text)
        .map_err(|_| Failure::cursor_expired("What was selected is not readable any more; reading starts over."))
}

fn remember_roots(host: &dyn Host, roots: &[Root]) -> Result<(), Failure> {
    let text = serde_json::to_string(roots)
        .map_err(|error| Failure::internal("state_unwritable", format!("The folders cannot be written: {error}.")))?;
    host.set_state(ROOTS, Some(&text))
}

/// The selected folders and drives by name.
///
/// # Errors
/// When one of them is gone, in the trash, or not shared: a run that went on would take everything in it for deleted.
pub(crate) fn look_up_roots(api: &Api, selection: &Selection) -> Result<Vec<Root>, Failure> {
    let mut roots: Vec<Root> = Vec::new();
    for (index, id) in selection.folders.iter().enumerate() {
        let file =
            api.file(id).map_err(|failure| not_shared(api, failure, "folder", id, &format!("/folders/{index}")))?;
        if file.trashed {
            let what = format!(
                "The selected folder \"{}\" is in the trash; restore it, or take it out of `folders`.",
                file.name
            );
            return Err(Failure::not_found("folder_trashed", what).at(format!("/folders/{index}")));
        }
        if !file.is_folder() {
            let what = format!("\"{}\" is no folder; put it under `files`.", file.name);
            return Err(Failure::config(format!("/folders/{index}"), what));
        }
        roots.push(Root { id: file.id, name: file.name, drive: file.drive_id });
    }
    for (index, id) in selection.drives.iter().enumerate() {
        let drive = api
            .shared_drive(id)
            .map_err(|failure| not_shared(api, failure, "shared drive", id, &format!("/shared_drives/{index}")))?;
        if drive.id != *id {
            return Err(Failure::source_contract(
                "unexpected_answer",
                "Google Drive answered another drive than was asked for.",
            ));
        }
        roots.push(Root { id: drive.id.clone(), name: drive.name, drive: Some(drive.id) });
    }
    let mut seen = std::collections::HashSet::new();
    roots.retain(|root| seen.insert(root.id.clone()));
    Ok(roots)
}

/// Says with whom to share what.
pub(crate) fn not_shared(api: &Api, failure: Failure, what: &str, id: &str, pointer: &str) -> Failure {
    if !is_hidden(&failure) {
        return failure;
    }
    let account = account(api);
    let how = if what == "shared drive" {
        "add it as a member (Viewer) of the drive"
    } else {
        "share it with that account (Viewer)"
    };
    let message =
        format!("The selected {what} {id} is not there for {account}; {how}, or take it out of the configuration.");
    let status = failure.http_status.unwrap_or(404);
    // A 403 stays a matter of permission.
    Failure::new(failure.fault, format!("{}_not_shared", what.replace(' ', "_")), message)
        .at(pointer)
        .with_http_status(status)
}

/// The account's address, or where to find it.
pub(crate) fn account(api: &Api) -> String {
    match api.about() {
        Ok(about) if about.user.email_address.is_some() => about.user.email_address.unwrap_or_default(),
        _ => "the account of the credential (the service account's e-mail address is `client_email` in its key)"
            .to_owned(),
    }
}

/// A page in the making, and where the run stands.
pub(crate) struct Puller<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) api: Api<'a>,
    pub(crate) config: &'a Config,
    pub(crate) scope: &'a Scope,
    pub(crate) selection: &'a Selection,
    digest: &'a str,
    pub(crate) roots: &'a [Root],
    pub(crate) places: Places<'a>,
    pub(crate) page: PageInMaking,
    pub(crate) cursor: Cursor,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Went,
    /// The page has no room for what is next, or what is next needs this page committed.
    PageFull,
}

impl From<Room> for Step {
    fn from(room: Room) -> Self {
        match room {
            Room::Left => Self::Went,
            Room::Full => Self::PageFull,
        }
    }
}

impl Puller<'_> {
    fn run(mut self) -> Result<Page, Failure> {
        loop {
            if self.page.is_full() || self.api.spent() >= MAX_REQUESTS {
                return self.more(Next::More);
            }
            self.places.by_ledger = !self.cursor.everything || self.cursor.stage == Stage::Draining;
            let step = match self.cursor.stage {
                Stage::Files => self.next_file(),
                Stage::Listing => self.list(),
                Stage::Draining => self.drain(),
                Stage::End => return self.end(),
            };
            match step {
                Ok(Step::Went) => {}
                Ok(Step::PageFull) => return self.more(Next::More),
                Err(failure) => return self.interrupted(failure),
            }
        }
    }

    /// What was done so far stands; the rest waits for its quota, is tried again, or cannot be done.
    fn interrupted(mut self, failure: Failure) -> Result<Page, Failure> {
        match failure.fault {
            Fault::RateLimited => {
                self.cursor.waits += 1;
                if self.cursor.waits > MAX_WAITS {
                    let what = format!(
                        "Google has refused for its quota {MAX_WAITS} times in a row; read less often, or ask for more. {}",
                        failure.message
                    );
                    return Err(Failure::transient("quota_exhausted", what));
                }
                let pause_ms =
                    failure.retry_after_ms.filter(|ms| *ms > 0).unwrap_or_else(|| self.pause_ms(self.cursor.waits));
                self.more(Next::WaitMs(pause_ms))
            }
            // One file made trouble: its tries are counted in the cursor.
            Fault::Transient if failure.code == TRY_AGAIN => {
                let pause_ms = failure.retry_after_ms.unwrap_or_else(|| self.pause_ms(self.cursor.tries));
                self.more(Next::WaitMs(pause_ms))
            }
            Fault::Transient if !self.page.is_empty() => self.more(Next::More),
            _ => Err(failure),
        }
    }

    /// Doubles from a second.
    fn pause_ms(&self, times: u32) -> u64 {
        (1_000_u64 << times.saturating_sub(1).min(16)).min(LONGEST_WAIT_MS)
    }

    fn more(mut self, next: Next) -> Result<Page, Failure> {
        if matches!(next, Next::More) {
            self.cursor.waits = 0;
        }
        let (cursor, phase) = (tributary_plugin_sdk::cursor_text(&self.cursor)?, self.phase());
        let progress = Some(Progress { done: self.cursor.done, total: None, phase: phase.to_owned() });
        Ok(Page { changes: self.page.into_changes(), cursor: Some(cursor), next, progress })
    }

    fn phase(&self) -> &'static str {
        match self.cursor.stage {
            Stage::Files => "reading single files",
            Stage::Listing => "listing folders",
            Stage::Draining | Stage::End => "reading changes",
        }
    }

    /// Single files by their ids.
    fn next_file(&mut self) -> Result<Step, Failure> {
        let Some(id) = self.cursor.files.first().cloned() else {
            self.cursor.stage = if self.cursor.everything { Stage::Listing } else { Stage::Draining };
            return Ok(Step::Went);
        };
        let room = self.single_file(&id)?;
        if room == Room::Left {
            self.cursor.files.remove(0);
            self.item_done();
        }
        Ok(room.into())
    }

    /// After the listing. The page is committed first, so that the feed's changes meet a ledger that knows what was listed.
    pub(crate) fn listing_over(&mut self) -> Result<Step, Failure> {
        self.cursor.stage = if self.cursor.everything { Stage::Draining } else { Stage::End };
        (self.cursor.feed, self.cursor.after) = (0, None);
        (self.cursor.empty, self.cursor.answers) = (0, 0);
        Ok(if self.cursor.everything { Step::PageFull } else { Step::Went })
    }

    /// After the feeds.
    pub(crate) fn draining_over(&mut self) -> Result<(), Failure> {
        (self.cursor.empty, self.cursor.answers) = (0, 0);
        if self.cursor.everything {
            self.cursor.stage = Stage::End;
        } else if self.cursor.relist || (self.cursor.moved && self.cursor.entered.len() > 1) {
            // One that came may lie below one that moved, where the ledger's places are those of before.
            let roots = look_up_roots(&self.api, self.selection)?;
            remember_roots(self.host, &roots)?;
            list_everything(self.host, &mut self.cursor, &roots, self.selection)?;
            (self.cursor.relist, self.cursor.moved, self.cursor.entered) = (false, false, Vec::new());
            self.cursor.feed = 0;
            self.places = Places::new(self.host, self.scope, self.config.recursive, &roots, listing(self.host)?);
        } else if self.cursor.entered.is_empty() {
            self.cursor.stage = Stage::End;
        } else {
            let pending = std::mem::take(&mut self.cursor.entered);
            self.cursor.levels = vec![Level { listed: true, pending, ..Level::default() }];
            self.cursor.stage = Stage::Listing;
        }
        Ok(())
    }

    fn end(mut self) -> Result<Page, Failure> {
        let Cursor { everything, incomplete, .. } = self.cursor;
        if !incomplete {
            let memory = Memory {
                config: self.digest.to_owned(),
                feeds: std::mem::take(&mut self.cursor.feeds),
                retry: std::mem::take(&mut self.cursor.retry),
            };
            let text = serde_json::to_string(&memory).map_err(|error| {
                Failure::internal("state_unwritable", format!("The feeds cannot be written: {error}."))
            })?;
            self.host.set_state(MEMORY, Some(&text))?;
            if everything {
                self.page.remember(SELECTION.to_owned(), self.digest.to_owned());
            }
        }
        let done = self.cursor.done;
        let changes = self.page.into_changes();
        let page = if everything && !incomplete { Page::complete_exhaustive(changes) } else { Page::complete(changes) };
        Ok(page.with_progress(done, Some(done), "done"))
    }

    /// Counts an answer with so many items.
    ///
    /// # Errors
    /// `source-contract` when they do not come to an end.
    pub(crate) fn count_answer(&mut self, items: usize) -> Result<(), Failure> {
        self.cursor.answers += 1;
        self.cursor.empty = if items == 0 { self.cursor.empty + 1 } else { 0 };
        if self.cursor.empty > MAX_EMPTY || self.cursor.answers > MAX_ANSWERS {
            let what = "Google Drive goes on naming next pages without an end; try again later, and tell Google's support if it stays.";
            return Err(Failure::source_contract("endless_pages", what));
        }
        Ok(())
    }

    /// Adds the mark of a folder or shortcut.
    pub(crate) fn mark(&mut self, key: String, text: &str) {
        self.page.remember(key, fingerprint::mark(self.places.listing, text));
    }

    pub(crate) fn item_done(&mut self) {
        self.cursor.done += 1;
        (self.cursor.tries, self.cursor.waits) = (0, 0);
    }
}

/// Code of the failure of one file that is tried again after a pause.
pub(crate) const TRY_AGAIN: &str = "try_again";
