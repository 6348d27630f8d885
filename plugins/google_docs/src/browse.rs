//! Values to choose from for `folders`, `files` and `shared_drives`: what the account of the credential sees.
//!
//! A place in the tree is `shared`, `mine`, `drives`, `drive/ID`, `folder/ID`, or `folder/ID/DRIVE` in a shared drive.

use serde_json::{Value, json};
use tributary_plugin_sdk::{Browse, Choice, Choices, Failure, Host};

use crate::{
    api::Api,
    config::Config,
    id::is_id,
    scope,
    wire::{FOLDER, File},
};

/// Offered at once.
const PAGE_SIZE: u32 = 100;

/// What is looked for.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    Folders,
    Files,
    Drives,
}

pub(crate) fn browse(host: &dyn Host, config: &Value, request: &Browse) -> Result<Choices, Failure> {
    let field = match request.pointer.split('/').nth(1) {
        Some("folders") => Field::Folders,
        Some("files") => Field::Files,
        Some("shared_drives") => Field::Drives,
        _ => return Err(request.unsupported()),
    };
    let config = signed_in(config)?;
    let api = Api::new(host, &config);
    let after = request.after.as_deref();
    let at = request.at.as_deref().unwrap_or(if field == Field::Drives { "drives" } else { "" });
    let parts: Vec<&str> = at.split('/').collect();
    match parts.as_slice() {
        [""] => Ok(Choices::all(vec![
            Choice::group("Shared with me", "shared").described("What people shared with the account"),
            Choice::group("My Drive", "mine").described("What belongs to the account"),
            Choice::group("Shared drives", "drives"),
        ])),
        ["drives"] => drives(&api, field, after),
        ["shared"] => listed(&api, field, "sharedWithMe = true", None, after),
        ["mine"] => listed(&api, field, "'root' in parents", None, after),
        ["drive" | "folder", id] if is_id(id) => {
            let drive = (parts[0] == "drive").then_some(*id);
            listed(&api, field, &format!("'{id}' in parents"), drive, after)
        }
        ["folder", id, drive] if is_id(id) && is_id(drive) => {
            listed(&api, field, &format!("'{id}' in parents"), Some(drive), after)
        }
        _ => Err(Failure::not_found("place_unknown", "There is no such place in Drive; begin again without one.")),
    }
}

/// What signing in needs; the rest of the configuration may not be there yet.
fn signed_in(config: &Value) -> Result<Config, Failure> {
    let Some(credential) = config["credential"].as_str().filter(|name| !name.is_empty()) else {
        return Err(Failure::config("/credential", "Name the workspace's credential for Google first."));
    };
    let mut known = json!({ "credential": credential });
    if let Some(url) = config["drive_url"].as_str() {
        if !(url.starts_with("https://") || url.starts_with("http://")) {
            return Err(Failure::config("/drive_url", "`drive_url` must start with https:// or http://."));
        }
        known["drive_url"] = url.into();
    }
    serde_json::from_value(known)
        .map_err(|error| Failure::config("", format!("The configuration is not valid: {error}.")))
}

fn drives(api: &Api, field: Field, after: Option<&str>) -> Result<Choices, Failure> {
    let list = api.shared_drives(after, PAGE_SIZE)?;
    let choice = |drive: crate::wire::Drive| match field {
        Field::Drives => Choice::new(&drive.name, drive.id),
        Field::Folders | Field::Files => Choice::group(&drive.name, format!("drive/{}", drive.id)),
    };
    Ok(Choices { items: list.drives.into_iter().map(choice).collect(), next: list.next_page_token })
}

fn listed(api: &Api, field: Field, place: &str, drive: Option<&str>, after: Option<&str>) -> Result<Choices, Failure> {
    let query = match field {
        Field::Files => format!("{place} and trashed = false"),
        Field::Folders | Field::Drives => format!("{place} and mimeType = '{FOLDER}' and trashed = false"),
    };
    let list = api.search(&query, drive, after, PAGE_SIZE)?;
    let items = list.files.into_iter().filter_map(|file| choice(field, &file)).collect();
    Ok(Choices { items, next: list.next_page_token })
}

fn choice(field: Field, file: &File) -> Option<Choice> {
    let described = |choice: Choice| match file.owners.first().and_then(crate::wire::User::label) {
        Some(owner) => choice.described(format!("of {owner}")),
        None => choice,
    };
    if file.is_folder() {
        let opens = match &file.drive_id {
            Some(drive) => format!("folder/{}/{drive}", file.id),
            None => format!("folder/{}", file.id),
        };
        return Some(described(match field {
            Field::Folders => Choice::new(&file.name, file.id.as_str()).opens(opens),
            Field::Files | Field::Drives => Choice::group(&file.name, opens),
        }));
    }
    let readable = scope::form(file).is_some() || file.target().is_some();
    (field == Field::Files && readable).then(|| described(Choice::new(&file.name, file.id.as_str())))
}
