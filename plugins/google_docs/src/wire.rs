//! What Google answers, as far as it is looked at: <https://developers.google.com/workspace/drive/api/reference/rest/v3>.

use serde::Deserialize;
use tributary_plugin_sdk::{Failure, UnixMs};

use crate::id::is_id;

/// Fields of a file that are asked for.
pub(crate) const FILE_FIELDS: &str = "id,name,mimeType,parents,driveId,trashed,version,modifiedTime,createdTime,md5Checksum,size,\
    webViewLink,owners(displayName,emailAddress),lastModifyingUser(displayName,emailAddress),\
    shortcutDetails(targetId),capabilities(canDownload)";

/// The most characters of a name. Drive's own limit is far beyond what anybody reads.
const MAX_NAME_CHARS: usize = 500;

pub(crate) const FOLDER: &str = "application/vnd.google-apps.folder";
pub(crate) const SHORTCUT: &str = "application/vnd.google-apps.shortcut";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) mime_type: String,
    #[serde(default)]
    pub(crate) parents: Vec<String>,
    #[serde(default)]
    pub(crate) drive_id: Option<String>,
    #[serde(default)]
    pub(crate) trashed: bool,
    /// Grows with every change, even those that nobody sees. An int64, so a text.
    #[serde(default)]
    pub(crate) version: Option<String>,
    #[serde(default)]
    pub(crate) modified_time: Option<String>,
    #[serde(default)]
    pub(crate) created_time: Option<String>,
    #[serde(default)]
    pub(crate) md5_checksum: Option<String>,
    /// Bytes; Google's own formats have none.
    #[serde(default)]
    pub(crate) size: Option<String>,
    #[serde(default)]
    pub(crate) web_view_link: Option<String>,
    #[serde(default)]
    pub(crate) owners: Vec<User>,
    #[serde(default)]
    pub(crate) last_modifying_user: Option<User>,
    #[serde(default)]
    pub(crate) shortcut_details: Option<Shortcut>,
    #[serde(default)]
    pub(crate) capabilities: Option<FileCapabilities>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct User {
    pub(crate) display_name: Option<String>,
    pub(crate) email_address: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shortcut {
    pub(crate) target_id: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileCapabilities {
    #[serde(default)]
    pub(crate) can_download: Option<bool>,
}

/// `kind` is asked for and demanded, so that an empty object is never taken for an empty folder.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileList {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) files: Vec<File>,
    #[serde(default)]
    pub(crate) next_page_token: Option<String>,
    #[serde(default)]
    pub(crate) incomplete_search: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangeList {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) changes: Vec<FileChange>,
    #[serde(default)]
    pub(crate) next_page_token: Option<String>,
    #[serde(default)]
    pub(crate) new_start_page_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileChange {
    #[serde(default)]
    pub(crate) removed: bool,
    /// None for a change of a shared drive itself.
    #[serde(default)]
    pub(crate) file_id: Option<String>,
    #[serde(default)]
    pub(crate) file: Option<File>,
    #[serde(default)]
    pub(crate) drive_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StartPageToken {
    pub(crate) start_page_token: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct About {
    pub(crate) user: User,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Drive {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DriveList {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) drives: Vec<Drive>,
    #[serde(default)]
    pub(crate) next_page_token: Option<String>,
}

impl File {
    pub(crate) fn is_folder(&self) -> bool {
        self.mime_type == FOLDER
    }

    /// The target, when it is a shortcut.
    pub(crate) fn target(&self) -> Option<&Shortcut> {
        self.shortcut_details.as_ref().filter(|_| self.mime_type == SHORTCUT)
    }

    pub(crate) fn size_bytes(&self) -> Option<u64> {
        self.size.as_deref()?.parse().ok()
    }

    /// With a name that fits into messages.
    ///
    /// # Errors
    /// `source-contract` when its ids are none.
    pub(crate) fn validated(mut self) -> Result<Self, Failure> {
        clip(&mut self.name);
        clip(&mut self.mime_type);
        let ids = [Some(&self.id), self.drive_id.as_ref(), self.shortcut_details.as_ref().map(|to| &to.target_id)];
        let bad = ids.into_iter().flatten().chain(&self.parents).find(|id| !is_id(id));
        if let Some(bad) = bad {
            let bad: String = bad.chars().take(60).collect();
            let what = format!("Google Drive named a file by the id {bad:?}, which cannot be one.");
            return Err(Failure::source_contract("bad_id", what));
        }
        Ok(self)
    }
}

impl User {
    /// `Ada Lovelace <ada@example.com>`, or what is known of it.
    pub(crate) fn label(&self) -> Option<String> {
        let name = self.display_name.as_deref().filter(|name| !name.is_empty());
        let address = self.email_address.as_deref().filter(|address| !address.is_empty());
        match (name, address) {
            // A service account is called by its address.
            (Some(name), Some(address)) if name != address => Some(format!("{name} <{address}>")),
            (one, other) => one.or(other).map(str::to_owned),
        }
    }
}

impl Drive {
    /// With a name that fits into messages.
    pub(crate) fn clipped(mut self) -> Self {
        clip(&mut self.name);
        self
    }
}

fn clip(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(MAX_NAME_CHARS) {
        text.truncate(at);
    }
}

/// Milliseconds since 1970 of an RFC 3339 time.
pub(crate) fn instant(time: Option<&str>) -> Option<UnixMs> {
    chrono::DateTime::parse_from_rfc3339(time?).ok().map(|at| at.timestamp_millis())
}
