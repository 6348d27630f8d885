//! Whether a configuration will work, and if not, which share or scope is missing.

use tributary_plugin_sdk::{CheckItem, Failure, Fault, Host};

use crate::{
    api::Api,
    config::Config,
    content::WORKBOOK,
    pull::not_shared,
    scope::{self, Form, Scope},
    wire::File,
};

pub(crate) fn check(host: &dyn Host, config: &Config) -> Result<Vec<CheckItem>, Failure> {
    let mut items = Vec::new();
    let selection = match config.selection().and_then(|selection| Scope::new(config).map(|_| selection)) {
        Ok(selection) => selection,
        Err(failure) => return Ok(vec![failed("settings are valid", failure, "")]),
    };
    items.push(CheckItem::ok("settings are valid"));
    let api = Api::new(host, config);
    match api.about() {
        Ok(about) => {
            let who = about.user.label().unwrap_or_else(|| "an account without a name".to_owned());
            items.push(CheckItem::ok(format!("signed in as {who}")));
        }
        Err(failure) if failure.fault == Fault::Cancelled => return Err(failure),
        Err(failure) => {
            items.push(failed("signed in", failure, "/credential"));
            return Ok(items);
        }
    }
    let mut readable = None;
    for (place, id) in selection.folders.iter().enumerate() {
        let pointer = format!("/folders/{place}");
        match api.file(id) {
            Ok(file) if !file.is_folder() => {
                let what = "It is no folder; put it under `files`.";
                items.push(CheckItem::failed(format!("folder \"{}\"", file.name), what).at(pointer));
            }
            Ok(file) if file.trashed => {
                let what = "It is in the trash; restore it, or take it out of `folders`.";
                items.push(CheckItem::failed(format!("folder \"{}\"", file.name), what).at(pointer));
            }
            Ok(file) => {
                let name = format!("folder \"{}\"", file.name);
                items.push(listed(&api, &name, &file.id, file.drive_id.as_deref(), &pointer, &mut readable)?);
            }
            Err(failure) => items.push(hidden(&api, failure, "folder", id, &pointer)?),
        }
    }
    for (place, id) in selection.drives.iter().enumerate() {
        let pointer = format!("/shared_drives/{place}");
        match api.shared_drive(id) {
            Ok(drive) => {
                let name = format!("shared drive \"{}\"", drive.name);
                items.push(listed(&api, &name, id, Some(id), &pointer, &mut readable)?);
            }
            Err(failure) => items.push(hidden(&api, failure, "shared drive", id, &pointer)?),
        }
    }
    for (place, id) in selection.files.iter().enumerate() {
        let pointer = format!("/files/{place}");
        match api.file(id) {
            Ok(file) => {
                items.push(single(&file, &pointer));
                readable = readable.or(Some(file).filter(can_be_read));
            }
            Err(failure) => items.push(hidden(&api, failure, "file", id, &pointer)?),
        }
    }
    if let Some(file) = readable {
        items.push(downloaded(&api, &file)?);
    }
    Ok(items)
}

/// Whether a folder can be listed, by one answer.
fn listed(
    api: &Api,
    name: &str,
    id: &str,
    drive: Option<&str>,
    pointer: &str,
    readable: &mut Option<File>,
) -> Result<CheckItem, Failure> {
    let item = match api.list(&[id], drive, None, 50) {
        Ok(list) if list.files.is_empty() && list.next_page_token.is_none() => {
            let what = "It is empty, or nothing in it is shared with the account of the credential.";
            CheckItem::warning(format!("{name} can be listed"), what).at(pointer)
        }
        Ok(list) => {
            *readable = readable.take().or_else(|| list.files.into_iter().find(can_be_read));
            CheckItem::ok(format!("{name} can be listed"))
        }
        Err(failure) if failure.fault == Fault::Cancelled => return Err(failure),
        Err(failure) => failed(&format!("{name} can be listed"), failure, pointer),
    };
    Ok(item)
}

fn can_be_read(file: &File) -> bool {
    scope::form(file).is_some() && file.capabilities.as_ref().and_then(|may| may.can_download) != Some(false)
}

fn single(file: &File, pointer: &str) -> CheckItem {
    let name = format!("file \"{}\"", file.name);
    if file.is_folder() {
        return CheckItem::failed(name, "It is a folder; put it under `folders`.").at(pointer);
    }
    if file.trashed {
        return CheckItem::failed(name, "It is in the trash; restore it, or take it out of `files`.").at(pointer);
    }
    if file.capabilities.as_ref().and_then(|may| may.can_download) == Some(false) {
        let what = "Its owner forbids viewers to download it; ask for that, or for the right to edit it.";
        return CheckItem::failed(name, what).at(pointer);
    }
    if scope::form(file).is_none() && file.target().is_none() {
        return CheckItem::warning(name, format!("Files of type {} cannot be read.", file.mime_type)).at(pointer);
    }
    CheckItem::ok(name)
}

/// Whether content can be fetched: metadata alone may be allowed by a narrower scope.
fn downloaded(api: &Api, file: &File) -> Result<CheckItem, Failure> {
    const PROBE_BYTES: u64 = 1 << 20;
    let name = format!("content can be read (\"{}\")", file.name);
    let answer = match scope::form(file) {
        Some(Form::Media(_)) | None => api.download(&file.id, PROBE_BYTES),
        Some(Form::Spreadsheet) => api.export(&file.id, WORKBOOK, PROBE_BYTES),
        Some(Form::Presentation) => api.export(&file.id, "text/plain", PROBE_BYTES),
        Some(Form::Document) => api.export(&file.id, "text/markdown", PROBE_BYTES),
    };
    match answer {
        Ok(_) => Ok(CheckItem::ok(name)),
        // Too long to try, so it was on its way.
        Err(failure) if failure.fault == Fault::TooLarge => Ok(CheckItem::ok(name)),
        Err(failure) if failure.fault == Fault::Cancelled => Err(failure),
        Err(failure) => Ok(failed(&name, failure, "/credential")),
    }
}

fn hidden(api: &Api, failure: Failure, what: &str, id: &str, pointer: &str) -> Result<CheckItem, Failure> {
    if failure.fault == Fault::Cancelled {
        return Err(failure);
    }
    Ok(failed(&format!("{what} {id}"), not_shared(api, failure, what, id, pointer), pointer))
}

fn failed(name: &str, failure: Failure, pointer: &str) -> CheckItem {
    let pointer = failure.config_pointer.unwrap_or_else(|| pointer.to_owned());
    let item = CheckItem::failed(name, failure.message);
    if pointer.is_empty() { item } else { item.at(pointer) }
}
