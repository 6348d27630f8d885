//! Drive v3: about, files, changes, drives. <https://developers.google.com/workspace/drive/api/reference/rest/v3>

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{
    Inner, errors,
    fields::Mask,
    files::{Entry, FOLDER},
    query::Query,
    token::Token,
};
use crate::{Answer, Request};

const GOOGLE: &str = "application/vnd.google-apps.";
const WORKBOOK: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// `path` begins after `/drive/v3/`.
pub(crate) fn answer(inner: &mut Inner, request: &Request, path: &str, token: &Token) -> Answer {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        ["about"] => match request.param("fields") {
            Some(_) => {
                let user = json!({ "kind": "drive#user", "displayName": token.email, "emailAddress": token.email, "me": true });
                masked(request, json!({ "kind": "drive#about", "user": user }), "")
            }
            None => errors::drive(400, "global", "required", "The 'fields' parameter is required for this method."),
        },
        ["files"] => list(inner, request),
        ["files", id] if request.param("alt") == Some("media") => media(inner, id),
        ["files", id] => match visible(inner, request, id) {
            Some(entry) => masked(request, inner.files.resource(entry), "kind,id,name,mimeType"),
            None => errors::not_found(id),
        },
        ["files", id, "export"] => export(inner, request, id),
        ["changes", "startPageToken"] => match known_drive(inner, request) {
            Ok(_) => masked(
                request,
                json!({ "kind": "drive#startPageToken", "startPageToken": change_token(inner.files.log.len()) }),
                "",
            ),
            Err(answer) => *answer,
        },
        ["changes"] => changes(inner, request),
        ["drives"] => {
            let member = |(id, (name, member)): (&String, &(String, bool))| {
                member.then(|| json!({ "kind": "drive#drive", "id": id, "name": name }))
            };
            let drives: Vec<Value> = inner.files.drives.iter().filter_map(member).collect();
            let start = match request.param("pageToken").map(|token| read_list_token(token, "drives")) {
                None => 0,
                Some(Some((start, _))) => start,
                Some(None) => return errors::bad_parameter("pageToken"),
            };
            let size = page_size(request, 10).min(100);
            let page: Vec<&Value> = drives.iter().skip(start).take(size).collect();
            let mut answer = json!({ "kind": "drive#driveList", "drives": page });
            if start + size < drives.len() {
                answer["nextPageToken"] = json!(list_token(start + size, 0, "drives"));
            }
            masked(request, answer, "")
        }
        ["drives", id] => match inner.files.drives.get(*id) {
            Some((name, true)) => masked(request, json!({ "kind": "drive#drive", "id": id, "name": name }), ""),
            _ => errors::drive(404, "global", "notFound", &format!("Shared drive not found: {id}")),
        },
        _ => Answer::status(404),
    }
}

fn masked(request: &Request, value: Value, unasked: &str) -> Answer {
    let fields = request.param("fields").unwrap_or(unasked);
    if fields.is_empty() {
        return Answer::json(&value);
    }
    match Mask::parse(fields) {
        Some(mask) => Answer::json(&mask.apply(value)),
        None => errors::drive(400, "global", "invalidParameter", &format!("Invalid field selection {fields}")),
    }
}

/// What is in a shared drive is shown to those who say that they know of such drives.
fn visible<'a>(inner: &'a Inner, request: &Request, id: &str) -> Option<&'a Entry> {
    let entry = inner.files.entries.get(id).filter(|_| inner.files.sees(id))?;
    (entry.drive.is_none() || request.param("supportsAllDrives") == Some("true")).then_some(entry)
}

fn known_drive<'a>(inner: &Inner, request: &'a Request) -> Result<Option<&'a str>, Box<Answer>> {
    let Some(drive) = request.param("driveId") else { return Ok(None) };
    if request.param("supportsAllDrives") != Some("true") {
        return Err(Box::new(errors::bad_parameter("supportsAllDrives")));
    }
    match inner.files.drives.get(drive) {
        Some((_, true)) => Ok(Some(drive)),
        _ => Err(Box::new(errors::drive(404, "global", "notFound", &format!("Shared drive not found: {drive}")))),
    }
}

fn page_size(request: &Request, default: usize) -> usize {
    request.param("pageSize").and_then(|size| size.parse().ok()).unwrap_or(default).clamp(1, 1_000)
}

/// Tokens of `files.list` are good for the same query only.
fn list(inner: &mut Inner, request: &Request) -> Answer {
    let text = request.param("q").unwrap_or("trashed = false");
    let Some(query) = Query::parse(text) else { return errors::bad_parameter("q") };
    let drive = match known_drive(inner, request) {
        Ok(drive) => drive,
        Err(answer) => return *answer,
    };
    if drive.is_some() && request.param("corpora") != Some("drive") {
        return errors::drive(
            400,
            "global",
            "invalidParameter",
            "driveId may only be specified when corpora is 'drive'.",
        );
    }
    let files = &inner.files;
    for parent in query.parents() {
        // The account's own drive, in which it has nothing.
        if (parent != "root" && !files.sees(parent)) || inner.unlistable.contains(parent) {
            return errors::drive(404, "global", "notFound", "File not found: .");
        }
    }
    let (skip, empties) = match request.param("pageToken").map(|token| read_list_token(token, text)) {
        None => (0, 0),
        Some(Some(position)) if !inner.list_tokens_expired => position,
        Some(_) => return errors::bad_parameter("pageToken"),
    };
    let all_drives = request.param("supportsAllDrives") == Some("true")
        && request.param("includeItemsFromAllDrives") == Some("true");
    let found: Vec<&Entry> = files
        .entries
        .values()
        .filter(|entry| files.sees(&entry.id) && query.matches(entry, files.trashed(&entry.id)))
        .filter(|entry| match drive {
            Some(drive) => all_drives && entry.drive.as_deref() == Some(drive),
            None => all_drives || entry.drive.is_none(),
        })
        .collect();
    let size = page_size(request, 100);
    // Empty pages come before the first full one.
    let (page, next) = if empties < inner.empty_pages {
        (Vec::new(), Some((skip, empties + 1)))
    } else {
        let page: Vec<Value> = found.iter().skip(skip).take(size).map(|entry| files.resource(entry)).collect();
        let end = skip + page.len();
        (page, (end < found.len()).then_some((end, 0)))
    };
    let mut answer = json!({ "kind": "drive#fileList", "incompleteSearch": inner.incomplete_search, "files": page });
    if let Some((skip, empties)) = next {
        answer["nextPageToken"] = json!(list_token(skip, empties, text));
    }
    masked(request, answer, "kind,nextPageToken,incompleteSearch,files(kind,id,name,mimeType)")
}

fn list_token(skip: usize, empties: u32, query: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{skip} {empties} {query}"))
}

fn read_list_token(token: &str, query: &str) -> Option<(usize, u32)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    let mut parts = text.splitn(3, ' ');
    let (skip, empties) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next()? == query).then_some((skip, empties))
}

fn change_token(place: usize) -> String {
    // Opaque, and not zero-based, so that nobody counts on it.
    (place + 1_014).to_string()
}

/// The latest of each file since the token. Without a drive: what lies in none.
fn changes(inner: &Inner, request: &Request) -> Answer {
    let drive = match known_drive(inner, request) {
        Ok(drive) => drive,
        Err(answer) => return *answer,
    };
    let log = &inner.files.log;
    let place = request.param("pageToken").and_then(|token| token.parse::<usize>().ok()?.checked_sub(1_014));
    let Some(place) = place.filter(|place| *place <= log.len() && *place >= inner.oldest_change) else {
        return match inner.expired_status {
            410 => errors::drive(
                410,
                "global",
                "fullSyncRequired",
                "Sync token is no longer valid, a full sync is required.",
            ),
            _ => errors::bad_parameter("pageToken"),
        };
    };
    let size = page_size(request, 100);
    let mut end = place;
    let mut found: Vec<&str> = Vec::new();
    while end < log.len() && found.len() < size {
        let happened = &log[end];
        let later = log[end + 1..].iter().any(|other| other.file == happened.file && other.drive == happened.drive);
        if happened.drive.as_deref() == drive && !later {
            found.push(&happened.file);
        }
        end += 1;
    }
    let one = |id: &&str| {
        let entry = inner.files.entries.get(*id).filter(|_| inner.files.sees(id));
        let entry = entry.filter(|entry| drive.is_none() || entry.drive.as_deref() == drive);
        let mut change = json!({ "kind": "drive#change", "changeType": "file", "type": "file", "time": "2026-01-01T00:00:00.000Z",
            "removed": entry.is_none(), "fileId": id });
        if let Some(entry) = entry {
            change["file"] = inner.files.resource(entry);
        }
        change
    };
    let changes: Vec<Value> = found.iter().map(one).collect();
    let mut answer = json!({ "kind": "drive#changeList", "changes": changes });
    let token = change_token(end);
    answer[if end < log.len() { "nextPageToken" } else { "newStartPageToken" }] = json!(token);
    masked(request, answer, "")
}

fn refused(entry: &Entry) -> Option<Answer> {
    if let Some(reason) = &entry.refused {
        return Some(errors::by_reason(reason));
    }
    (!entry.can_download).then(|| errors::by_reason("cannotDownloadFile"))
}

fn media(inner: &mut Inner, id: &str) -> Answer {
    let Some(entry) = inner.files.entries.get(id).filter(|_| inner.files.sees(id)) else {
        return errors::not_found(id);
    };
    if let Some(answer) = refused(entry) {
        return answer;
    }
    if entry.mime_type.starts_with(GOOGLE) {
        let what = "Only files with binary content can be downloaded. Use Export with Docs Editors files.";
        return errors::drive(403, "global", "fileNotDownloadable", what);
    }
    inner.downloads += 1;
    Answer::ok(entry.content.clone()).header("content-type", entry.mime_type.clone())
}

fn export(inner: &mut Inner, request: &Request, id: &str) -> Answer {
    let Some(entry) = inner.files.entries.get(id).filter(|_| inner.files.sees(id)) else {
        return errors::not_found(id);
    };
    if let Some(answer) = refused(entry) {
        return answer;
    }
    let formats: &[&str] = match entry.mime_type.strip_prefix(GOOGLE) {
        Some("document") => &["text/markdown", "text/plain", "text/html", "application/pdf"],
        Some("spreadsheet") => &[WORKBOOK, "text/csv", "application/pdf"],
        Some("presentation") => &["text/plain", "application/pdf"],
        _ => return errors::drive(403, "global", "fileNotExportable", "Export only supports Docs Editors files."),
    };
    let Some(format) = request.param("mimeType").filter(|format| formats.contains(format)) else {
        return errors::drive(400, "global", "badRequest", "The requested conversion is not supported.");
    };
    if entry.content.len() as u64 > inner.export_cap_bytes {
        return errors::by_reason("exportSizeLimitExceeded");
    }
    inner.downloads += 1;
    debug_assert_ne!(entry.mime_type, FOLDER);
    Answer::ok(entry.content.clone()).header("content-type", format)
}
