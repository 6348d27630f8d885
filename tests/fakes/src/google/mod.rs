//! Google: the token endpoint, Drive v3 and Docs v1, with knobs for what people and Google do to files.
//!
//! It is harsh where Google's documentation allows it: the feed names the top of what moved, was deleted or unshared and nothing
//! below it; what lies in a shared drive is in that drive's feed alone; pages may be empty before the end.

mod docs;
mod drive;
mod errors;
mod fields;
mod files;
mod query;
mod token;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Answer, Fake, Request};
use files::{FOLDER, Files, SHORTCUT};
use token::Tokens;

/// The scope that reads Drive.
pub const DRIVE_READONLY: &str = "https://www.googleapis.com/auth/drive.readonly";
/// The scope that reads names and not contents.
pub const DRIVE_METADATA: &str = "https://www.googleapis.com/auth/drive.metadata.readonly";
/// Media type of Google documents.
pub const DOCUMENT: &str = "application/vnd.google-apps.document";
/// Media type of Google spreadsheets.
pub const SPREADSHEET: &str = "application/vnd.google-apps.spreadsheet";
/// Media type of Google presentations.
pub const PRESENTATION: &str = "application/vnd.google-apps.presentation";

type Intercept = Box<dyn Fn(&Request) -> Option<Answer> + Send>;

/// The service.
pub struct Google(Mutex<Inner>);

struct Inner {
    files: Files,
    tokens: Tokens,
    /// Reasons that the next requests are refused for.
    next: VecDeque<(String, Option<u64>)>,
    intercept: Option<Intercept>,
    /// Changes before this place are forgotten.
    oldest_change: usize,
    expired_status: u16,
    list_tokens_expired: bool,
    empty_pages: u32,
    incomplete_search: bool,
    export_cap_bytes: u64,
    unlistable: BTreeSet<String>,
    downloads: u64,
}

impl Default for Google {
    fn default() -> Self {
        Self::new()
    }
}

impl Google {
    /// With nothing in it.
    pub fn new() -> Self {
        Self(Mutex::new(Inner {
            files: Files::default(),
            tokens: Tokens::new(),
            next: VecDeque::new(),
            intercept: None,
            oldest_change: 0,
            expired_status: 400,
            list_tokens_expired: false,
            empty_pages: 0,
            incomplete_search: false,
            export_cap_bytes: 10 << 20,
            unlistable: BTreeSet::new(),
            downloads: 0,
        }))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Credentials.

    /// The service account's key file, whose token endpoint is `{origin}/token`.
    pub fn service_account_json(&self, origin: &str) -> String {
        self.inner().tokens.service_account_json(&format!("{origin}/token"))
    }

    /// The service account's address.
    pub fn service_account(&self) -> &'static str {
        token::SERVICE_ACCOUNT
    }

    /// An access token of the service account. It lives as long as the process, as the secrets of `script` do.
    pub fn token(&self, scopes: &[&str]) -> &'static str {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned());
        Box::leak(self.inner().tokens.mint(token::SERVICE_ACCOUNT, scopes).into_boxed_str())
    }

    /// A refresh token of a person, for the client `fake-client` with the secret `fake-client-secret`. When it rotates, each is
    /// accepted once.
    pub fn refresh_token(&self, scopes: &[&str], rotate: bool) -> String {
        let mut inner = self.inner();
        let token = "1//fake-refresh-0".to_owned();
        inner.tokens.rotate = rotate;
        inner.tokens.refresh.insert(token.clone(), scopes.iter().map(|scope| (*scope).to_owned()).collect());
        token
    }

    /// The service account may act for this user (domain-wide delegation).
    pub fn delegate(&self, user: &str) {
        self.inner().tokens.delegated.insert(user.to_owned());
    }

    /// The service account's key is deleted: assertions are refused.
    pub fn delete_key(&self) {
        self.inner().tokens.key_deleted = true;
    }

    /// All access tokens are void; refresh tokens as well.
    pub fn revoke(&self) {
        let mut inner = self.inner();
        inner.tokens.valid.clear();
        inner.tokens.refresh.clear();
    }

    /// Takes a scope away from all tokens.
    pub fn take_scope(&self, scope: &str) {
        for token in self.inner().tokens.valid.values_mut() {
            token.scopes.remove(scope);
        }
    }

    // What people do.

    /// A shared drive that the account is a member of.
    pub fn add_drive(&self, id: &str, name: &str) {
        self.inner().files.drives.insert(id.to_owned(), (name.to_owned(), true));
    }

    /// The account is a member of a shared drive, or not any more.
    pub fn set_member(&self, drive: &str, member: bool) {
        if let Some(drive) = self.inner().files.drives.get_mut(drive) {
            drive.1 = member;
        }
    }

    /// A folder that is shared with the account.
    pub fn add_shared_folder(&self, id: &str, name: &str) {
        let mut inner = self.inner();
        inner.files.add(id, name, FOLDER, None, b"");
        inner.files.change(id, |entry, _| entry.shared = true);
    }

    /// A folder in a folder or drive.
    pub fn add_folder(&self, id: &str, name: &str, parent: &str) {
        self.inner().files.add(id, name, FOLDER, Some(parent), b"");
    }

    /// A file in a folder or drive, or in none that anybody knows of.
    pub fn add(&self, id: &str, name: &str, mime_type: &str, parent: Option<&str>, content: impl AsRef<[u8]>) {
        self.inner().files.add(id, name, mime_type, parent, content.as_ref());
    }

    /// A shortcut in a folder.
    pub fn add_shortcut(&self, id: &str, name: &str, parent: &str, target: &str) {
        let mut inner = self.inner();
        inner.files.add(id, name, SHORTCUT, Some(parent), b"");
        inner.files.change(id, |entry, _| entry.target = Some(target.to_owned()));
    }

    /// Somebody writes.
    pub fn edit(&self, id: &str, content: impl AsRef<[u8]>) {
        let content = content.as_ref().to_vec();
        self.inner().files.change(id, |entry, now| (entry.content, entry.modified) = (content, now));
    }

    /// Another name. The time of the last change stays.
    pub fn rename(&self, id: &str, name: &str) {
        self.inner().files.change(id, |entry, _| entry.name = name.to_owned());
    }

    /// To another folder, or to one that the account does not see.
    pub fn move_to(&self, id: &str, parent: Option<&str>) {
        self.inner().files.move_to(id, parent);
    }

    /// Into the trash, with everything below.
    pub fn trash(&self, id: &str) {
        self.inner().files.change(id, |entry, _| entry.trashed = true);
    }

    /// Out of the trash.
    pub fn restore(&self, id: &str) {
        self.inner().files.change(id, |entry, _| entry.trashed = false);
    }

    /// For ever, with everything below.
    pub fn delete(&self, id: &str) {
        self.inner().files.delete(id);
    }

    /// Shared with the account by itself.
    pub fn share(&self, id: &str) {
        self.inner().files.change(id, |entry, _| entry.shared = true);
    }

    /// Not any more. What lies in it goes with it, and the feed names the top alone.
    pub fn unshare(&self, id: &str) {
        self.inner().files.change(id, |entry, _| entry.shared = false);
    }

    /// The feed names everything below as well, as it may.
    pub fn note_below(&self, id: &str) {
        let mut inner = self.inner();
        for below in inner.files.below(id) {
            inner.files.note(&below);
        }
    }

    /// Viewers may, or may not, download it.
    pub fn set_downloadable(&self, id: &str, downloadable: bool) {
        self.inner().files.change(id, |entry, _| entry.can_download = downloadable);
    }

    // What Google does.

    /// The content of a file is refused for a reason, or not any more.
    pub fn refuse(&self, id: &str, reason: Option<&str>) {
        self.inner().files.change(id, |entry, _| entry.refused = reason.map(str::to_owned));
    }

    /// The next so many requests are refused for a reason, with a `Retry-After` in seconds.
    pub fn refuse_next(&self, count: usize, reason: &str, retry_after_seconds: Option<u64>) {
        self.inner().next.extend(std::iter::repeat_n((reason.to_owned(), retry_after_seconds), count));
    }

    /// Looks at every request of Drive and Docs first, and may answer it.
    pub fn intercept(&self, with: impl Fn(&Request) -> Option<Answer> + Send + 'static) {
        self.inner().intercept = Some(Box::new(with));
    }

    /// Everything is answered as before.
    pub fn let_go(&self) {
        self.inner().intercept = None;
    }

    /// Tokens of the feed that were given out so far are refused with this status, 400 or 410.
    pub fn expire_change_tokens(&self, status: u16) {
        let mut inner = self.inner();
        let now = inner.files.tick();
        inner.files.log.push(files::Happened { drive: Some(format!("nobody's {now}")), file: "nothing".to_owned() });
        (inner.oldest_change, inner.expired_status) = (inner.files.log.len(), status);
    }

    /// Tokens of listings are refused, or not any more.
    pub fn expire_list_tokens(&self, expired: bool) {
        self.inner().list_tokens_expired = expired;
    }

    /// So many empty pages come before each page of a listing.
    pub fn set_empty_pages(&self, count: u32) {
        self.inner().empty_pages = count;
    }

    /// Listings say that they are not complete.
    pub fn set_incomplete_search(&self, incomplete: bool) {
        self.inner().incomplete_search = incomplete;
    }

    /// Longest export; 10 MiB at first.
    pub fn set_export_cap_bytes(&self, cap: u64) {
        self.inner().export_cap_bytes = cap;
    }

    /// A folder that is seen cannot be listed, or can again.
    pub fn set_listable(&self, id: &str, listable: bool) {
        let mut inner = self.inner();
        if listable {
            inner.unlistable.remove(id);
        } else {
            inner.unlistable.insert(id.to_owned());
        }
    }

    /// The answer that Google gives for a reason.
    pub fn error(reason: &str) -> Answer {
        errors::by_reason(reason)
    }

    /// Contents given out since the last call.
    pub fn take_downloads(&self) -> u64 {
        std::mem::take(&mut self.inner().downloads)
    }
}

impl Fake for Google {
    fn answer(&self, request: &Request) -> Answer {
        let mut inner = self.inner();
        if request.path == "/token" && request.method == "POST" {
            return inner.tokens.answer(request);
        }
        if let Some(answer) = inner.intercept.as_ref().and_then(|intercept| intercept(request)) {
            return answer;
        }
        let Some(authorization) = request.header("authorization") else { return errors::by_reason("required") };
        let Some(token) =
            authorization.strip_prefix("Bearer ").and_then(|token| inner.tokens.valid.get(token)).cloned()
        else {
            return errors::by_reason("authError");
        };
        if let Some((reason, retry_after)) = inner.next.pop_front() {
            let answer = errors::by_reason(&reason);
            return match retry_after {
                Some(seconds) => answer.header("retry-after", seconds.to_string()),
                None => answer,
            };
        }
        let reads = token.scopes.contains(DRIVE_READONLY);
        let content = request.param("alt") == Some("media") || request.path.ends_with("/export");
        if !reads && (content || !token.scopes.contains(DRIVE_METADATA)) {
            return errors::by_reason("insufficientPermissions");
        }
        if let Some(path) = request.path.strip_prefix("/drive/v3/") {
            return drive::answer(&mut inner, request, path, &token);
        }
        match request.path.strip_prefix("/v1/documents/") {
            Some(_) if !reads => {
                errors::api(403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
            }
            Some(id) => docs::answer(&inner.files, request, id),
            None => Answer::status(404),
        }
    }
}
