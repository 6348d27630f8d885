//! What lies in the fake's drives, who sees it, and what changed.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

pub(crate) const FOLDER: &str = "application/vnd.google-apps.folder";
pub(crate) const SHORTCUT: &str = "application/vnd.google-apps.shortcut";
/// 2026-01-01T00:00:00Z.
const START_MS: i64 = 1_767_225_600_000;

/// A file, folder or shortcut.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) mime_type: String,
    pub(crate) parent: Option<String>,
    pub(crate) drive: Option<String>,
    pub(crate) trashed: bool,
    /// Shared with the account directly.
    pub(crate) shared: bool,
    pub(crate) can_download: bool,
    pub(crate) version: u64,
    pub(crate) modified: u64,
    pub(crate) created: u64,
    pub(crate) content: Vec<u8>,
    pub(crate) target: Option<String>,
    /// Reason that its content is refused for.
    pub(crate) refused: Option<String>,
}

/// Something happened to a file.
#[derive(Clone, Debug)]
pub(crate) struct Happened {
    pub(crate) drive: Option<String>,
    pub(crate) file: String,
}

#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Id, name, and whether the account is a member.
    pub(crate) drives: BTreeMap<String, (String, bool)>,
    pub(crate) log: Vec<Happened>,
    ticks: u64,
}

impl Files {
    /// One more moment: versions and times grow by it.
    pub(crate) fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    pub(crate) fn add(&mut self, id: &str, name: &str, mime_type: &str, parent: Option<&str>, content: &[u8]) {
        let now = self.tick();
        let drive = parent.and_then(|parent| self.drive_of(parent));
        self.entries.insert(
            id.to_owned(),
            Entry {
                id: id.to_owned(),
                name: name.to_owned(),
                mime_type: mime_type.to_owned(),
                parent: parent.map(str::to_owned),
                drive,
                trashed: false,
                shared: false,
                can_download: true,
                version: now,
                modified: now,
                created: now,
                content: content.to_vec(),
                target: None,
                refused: None,
            },
        );
        self.note(id);
    }

    fn drive_of(&self, parent: &str) -> Option<String> {
        if self.drives.contains_key(parent) {
            return Some(parent.to_owned());
        }
        self.entries.get(parent)?.drive.clone()
    }

    /// Changes an entry; the feed tells.
    pub(crate) fn change(&mut self, id: &str, with: impl FnOnce(&mut Entry, u64)) {
        let now = self.tick();
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.version = now;
        with(entry, now);
        self.note(id);
    }

    /// The feed tells of it.
    pub(crate) fn note(&mut self, id: &str) {
        let drive = self.entries.get(id).and_then(|entry| entry.drive.clone());
        self.log.push(Happened { drive, file: id.to_owned() });
    }

    pub(crate) fn move_to(&mut self, id: &str, parent: Option<&str>) {
        let drive = parent.and_then(|parent| self.drive_of(parent));
        let before = self.entries.get(id).and_then(|entry| entry.drive.clone());
        for below in self.below(id) {
            if let Some(entry) = self.entries.get_mut(&below) {
                entry.drive.clone_from(&drive);
            }
        }
        self.change(id, |entry, _| {
            entry.parent = parent.map(str::to_owned);
            entry.drive.clone_from(&drive);
        });
        if before != drive {
            self.log.push(Happened { drive: before, file: id.to_owned() });
        }
    }

    /// For ever, with everything below; the feed tells of the top alone.
    pub(crate) fn delete(&mut self, id: &str) {
        self.note(id);
        for below in self.below(id) {
            self.entries.remove(&below);
        }
        self.entries.remove(id);
    }

    /// Everything in a folder, at any depth.
    pub(crate) fn below(&self, id: &str) -> Vec<String> {
        let (mut found, mut open) = (BTreeSet::new(), vec![id.to_owned()]);
        while let Some(folder) = open.pop() {
            for entry in self.entries.values().filter(|entry| entry.parent.as_ref() == Some(&folder)) {
                if found.insert(entry.id.clone()) {
                    open.push(entry.id.clone());
                }
            }
        }
        found.into_iter().collect()
    }

    /// Itself and what it lies in, at most a hundred.
    fn upwards<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Entry> {
        std::iter::successors(self.entries.get(id), |entry| self.entries.get(entry.parent.as_ref()?)).take(100)
    }

    pub(crate) fn sees(&self, id: &str) -> bool {
        if let Some((_, member)) = self.drives.get(id) {
            return *member;
        }
        self.upwards(id).any(|entry| {
            let member =
                entry.drive.as_ref().and_then(|drive| self.drives.get(drive)).is_some_and(|(_, member)| *member);
            entry.shared || member
        })
    }

    /// In the trash, or in a folder that is.
    pub(crate) fn trashed(&self, id: &str) -> bool {
        self.upwards(id).any(|entry| entry.trashed)
    }

    /// The file as Drive shows it.
    pub(crate) fn resource(&self, entry: &Entry) -> Value {
        let user = json!({ "kind": "drive#user", "displayName": "Ada Lovelace", "emailAddress": "ada@example.com", "me": false });
        let mut value = json!({
            "kind": "drive#file",
            "id": entry.id,
            "name": entry.name,
            "mimeType": entry.mime_type,
            "trashed": self.trashed(&entry.id),
            "explicitlyTrashed": entry.trashed,
            "version": entry.version.to_string(),
            "createdTime": time(entry.created),
            "modifiedTime": time(entry.modified),
            "webViewLink": format!("https://docs.google.com/document/d/{}/edit?usp=drivesdk", entry.id),
            "lastModifyingUser": user,
            "capabilities": { "canDownload": entry.can_download, "canEdit": false },
        });
        if let Some(parent) = entry.parent.as_ref().filter(|parent| self.sees(parent)) {
            value["parents"] = json!([parent]);
        }
        match &entry.drive {
            Some(drive) => value["driveId"] = json!(drive),
            None => value["owners"] = json!([user]),
        }
        if let Some(target) = &entry.target {
            let media_type = self.entries.get(target).map_or("", |target| target.mime_type.as_str());
            value["shortcutDetails"] = json!({ "targetId": target, "targetMimeType": media_type });
        }
        if !entry.mime_type.starts_with("application/vnd.google-apps.") {
            value["size"] = json!(entry.content.len().to_string());
            // Not MD5, which nobody needs here: a checksum of the same length.
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &entry.content);
            value["md5Checksum"] =
                json!(digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
        value
    }
}

fn time(tick: u64) -> String {
    let at = DateTime::from_timestamp_millis(START_MS + tick as i64 * 1_000).unwrap_or_default();
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
