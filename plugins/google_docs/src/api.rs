//! Requests of Drive and Docs, and their answers as values.

use std::cell::Cell;

use serde::de::DeserializeOwned;
use tributary_plugin_sdk::{Failure, Fault, Host, HttpRequest, HttpResponse};
use url::Url;

use crate::{
    config::Config,
    error,
    id::is_id,
    wire::{About, ChangeList, Drive, DriveList, FILE_FIELDS, File, FileList, StartPageToken},
};

/// The one scope that everything here needs; the Docs API takes it as well.
pub(crate) const SCOPE: &str = "https://www.googleapis.com/auth/drive.readonly";

/// Longest answer with JSON.
const MAX_JSON_BYTES: u64 = 16 << 20;
/// Longest document that is read paragraph by paragraph, as JSON.
const MAX_DOCUMENT_JSON_BYTES: u64 = 48 << 20;
/// Longest token of a page.
const MAX_TOKEN_BYTES: usize = 4 << 10;
/// How much of an error is looked at.
const ERROR_BYTES: u32 = 16 << 10;
/// Half of what Google allows a project: <https://developers.google.com/workspace/drive/api/guides/limits>.
const REQUESTS_PER_MINUTE: u32 = 6_000;

/// Google, asked with the source's credential.
pub(crate) struct Api<'a> {
    pub(crate) host: &'a dyn Host,
    config: &'a Config,
    spent: Cell<u32>,
}

impl<'a> Api<'a> {
    pub(crate) fn new(host: &'a dyn Host, config: &'a Config) -> Self {
        Self { host, config, spent: Cell::new(0) }
    }

    /// Requests so far.
    pub(crate) fn spent(&self) -> u32 {
        self.spent.get()
    }

    /// Whose token it is.
    pub(crate) fn about(&self) -> Result<About, Failure> {
        self.json(&self.drive("about", &[("fields", "user(displayName,emailAddress)")]), MAX_JSON_BYTES)
    }

    pub(crate) fn file(&self, id: &str) -> Result<File, Failure> {
        let url = self.drive(&format!("files/{id}"), &[("supportsAllDrives", "true"), ("fields", FILE_FIELDS)]);
        self.json::<File>(&url, MAX_JSON_BYTES)?.validated()
    }

    pub(crate) fn shared_drive(&self, id: &str) -> Result<Drive, Failure> {
        let drive: Drive = self.json(&self.drive(&format!("drives/{id}"), &[("fields", "id,name")]), MAX_JSON_BYTES)?;
        Ok(drive.clipped())
    }

    /// The shared drives that the account is a member of.
    pub(crate) fn shared_drives(&self, token: Option<&str>, page_size: u32) -> Result<DriveList, Failure> {
        let page_size = page_size.to_string();
        let mut parameters = vec![("fields", "kind,nextPageToken,drives(id,name)"), ("pageSize", page_size.as_str())];
        parameters.extend(token.map(|token| ("pageToken", token)));
        let mut list: DriveList = self.json(&self.drive("drives", &parameters), MAX_JSON_BYTES)?;
        of_kind(&list.kind, "drive#driveList")?;
        list.drives = list.drives.into_iter().filter(|drive| is_id(&drive.id)).map(Drive::clipped).collect();
        list.next_page_token = sane_token(list.next_page_token, token)?;
        Ok(list)
    }

    /// What lies in these folders, all of them in the same shared drive or in none.
    pub(crate) fn list(
        &self,
        folders: &[&str],
        drive: Option<&str>,
        token: Option<&str>,
        page_size: u32,
    ) -> Result<FileList, Failure> {
        let parents: Vec<String> = folders.iter().map(|id| format!("'{id}' in parents")).collect();
        self.search(&format!("({}) and trashed = false", parents.join(" or ")), drive, token, page_size)
    }

    /// What a query finds, in a shared drive or in none. Ids in it must be some.
    pub(crate) fn search(
        &self,
        query: &str,
        drive: Option<&str>,
        token: Option<&str>,
        page_size: u32,
    ) -> Result<FileList, Failure> {
        let fields = format!("kind,nextPageToken,incompleteSearch,files({FILE_FIELDS})");
        let page_size = page_size.to_string();
        let mut parameters = vec![
            ("q", query),
            ("fields", &fields),
            ("pageSize", &page_size),
            ("supportsAllDrives", "true"),
            ("includeItemsFromAllDrives", "true"),
        ];
        if let Some(drive) = drive {
            parameters.extend([("corpora", "drive"), ("driveId", drive)]);
        }
        parameters.extend(token.map(|token| ("pageToken", token)));
        let mut list: FileList = self.json(&self.drive("files", &parameters), MAX_JSON_BYTES)?;
        of_kind(&list.kind, "drive#fileList")?;
        list.files = list.files.into_iter().map(File::validated).collect::<Result<_, _>>()?;
        list.next_page_token = sane_token(list.next_page_token, token)?;
        Ok(list)
    }

    /// Where the feed of changes of the account, or of a shared drive, stands now.
    pub(crate) fn start_page_token(&self, drive: Option<&str>) -> Result<String, Failure> {
        let mut parameters = vec![("supportsAllDrives", "true"), ("fields", "startPageToken")];
        parameters.extend(drive.map(|drive| ("driveId", drive)));
        let answer: StartPageToken = self.json(&self.drive("changes/startPageToken", &parameters), MAX_JSON_BYTES)?;
        sane_token(Some(answer.start_page_token), None)?
            .ok_or_else(|| Failure::source_contract("bad_token", "Google Drive gave an empty token for its changes."))
    }

    pub(crate) fn changes(&self, drive: Option<&str>, token: &str, page_size: u32) -> Result<ChangeList, Failure> {
        let fields =
            format!("kind,nextPageToken,newStartPageToken,changes(removed,fileId,driveId,file({FILE_FIELDS}))");
        let page_size = page_size.to_string();
        let mut parameters = vec![
            ("pageToken", token),
            ("fields", &fields),
            ("pageSize", &page_size),
            ("includeRemoved", "true"),
            ("supportsAllDrives", "true"),
            ("includeItemsFromAllDrives", "true"),
        ];
        parameters.extend(drive.map(|drive| ("driveId", drive)));
        let mut list: ChangeList = self.json(&self.drive("changes", &parameters), MAX_JSON_BYTES)?;
        of_kind(&list.kind, "drive#changeList")?;
        for change in &mut list.changes {
            change.file = change.file.take().map(File::validated).transpose()?;
            if let Some(bad) = [&change.file_id, &change.drive_id].into_iter().flatten().find(|id| !is_id(id)) {
                let bad: String = bad.chars().take(60).collect();
                let what = format!("Google Drive named a changed file by the id {bad:?}, which cannot be one.");
                return Err(Failure::source_contract("bad_id", what));
            }
        }
        list.next_page_token = sane_token(list.next_page_token, Some(token))?;
        list.new_start_page_token = sane_token(list.new_start_page_token, None)?;
        if list.next_page_token.is_none() && list.new_start_page_token.is_none() {
            let what = "Google Drive ended its list of changes without saying where the next one begins.";
            return Err(Failure::source_contract("no_token", what));
        }
        Ok(list)
    }

    /// The bytes of a file, as it was uploaded.
    pub(crate) fn download(&self, id: &str, max_bytes: u64) -> Result<HttpResponse, Failure> {
        self.get(&self.drive(&format!("files/{id}"), &[("alt", "media"), ("supportsAllDrives", "true")]), max_bytes)
    }

    /// A document of Google's own formats in another.
    pub(crate) fn export(&self, id: &str, media_type: &str, max_bytes: u64) -> Result<HttpResponse, Failure> {
        self.get(&self.drive(&format!("files/{id}/export"), &[("mimeType", media_type)]), max_bytes)
    }

    /// A Google document, paragraph by paragraph, with all its tabs.
    pub(crate) fn document<T: DeserializeOwned>(&self, id: &str) -> Result<T, Failure> {
        let base = self.config.docs_url.trim_end_matches('/');
        let url = format!("{base}/v1/documents/{id}?includeTabsContent=true&fields=tabs");
        self.json(&url, MAX_DOCUMENT_JSON_BYTES)
    }

    fn drive(&self, path: &str, parameters: &[(&str, &str)]) -> String {
        let base = self.config.drive_url.trim_end_matches('/');
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        format!("{base}/drive/v3/{path}?{query}")
    }

    fn json<T: DeserializeOwned>(&self, url: &str, max_bytes: u64) -> Result<T, Failure> {
        let response = self.get(url, max_bytes)?;
        response.json(self.host).map_err(|failure| match failure.fault {
            Fault::SourceContract => {
                let place = Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
                // What was met instead is quoted there, and may be long.
                let why: String = failure.message.chars().take(300).collect();
                let what = format!(
                    "{place} answered something that is not of Google's interface; look whether a proxy stands in between ({why})."
                );
                Failure::source_contract("unexpected_answer", what)
            }
            _ => failure,
        })
    }

    fn get(&self, url: &str, max_bytes: u64) -> Result<HttpResponse, Failure> {
        self.spent.set(self.spent.get() + 1);
        let request = HttpRequest::get(url)
            .authorized_by(&self.config.credential)
            .scoped([SCOPE])
            .rate(REQUESTS_PER_MINUTE, 60_000)
            .at_most(max_bytes);
        let response = self.host.send(&request)?;
        if response.is_success() {
            return Ok(response);
        }
        let body = self.host.read_blob(response.body, 0, ERROR_BYTES)?;
        Err(error::classify(&response, &body))
    }
}

fn of_kind(kind: &str, expected: &str) -> Result<(), Failure> {
    if kind == expected {
        return Ok(());
    }
    let what = format!("Google Drive answered something else than a {expected}.");
    Err(Failure::source_contract("unexpected_answer", what))
}

/// A token that leads on: not empty, not endless, not the one just used.
fn sane_token(token: Option<String>, used: Option<&str>) -> Result<Option<String>, Failure> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    if token.len() > MAX_TOKEN_BYTES {
        let what = format!("Google Drive gave a token of more than {MAX_TOKEN_BYTES} bytes.");
        return Err(Failure::source_contract("bad_token", what));
    }
    if used == Some(token.as_str()) {
        let what = "Google Drive answered a page whose next page is itself.";
        return Err(Failure::source_contract("endless_pages", what));
    }
    Ok(Some(token))
}
