//! Where a run stands between two pages, and what the source remembers between two runs: small, whatever the size of the drive.

use serde::{Deserialize, Serialize};

use crate::places::Place;

/// What a run does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// Files by their ids: selected ones, and those that failed in the run before.
    #[default]
    Files,
    /// Folders.
    Listing,
    /// The feeds of changes.
    Draining,
    /// Nothing is left but to say so.
    End,
}

/// Kept by the host from page to page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cursor {
    pub(crate) stage: Stage,
    /// Ids of single files that are still to be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<String>,
    /// Everything that is selected is named in this run.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) everything: bool,
    /// Some folder could not be listed: absence says nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) incomplete: bool,
    /// Folders to list: the last level first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) levels: Vec<Level>,
    /// Where each feed of changes goes on.
    pub(crate) feeds: Vec<Feed>,
    /// The feed being drained.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) feed: u32,
    /// The last change of the answer at hand that was dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    /// Folders that came into the selection, or changed their names, and are to be listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) entered: Vec<Folder>,
    /// One of those has another place than in the run before.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) moved: bool,
    /// A folder or shortcut left the selection, or too many came: everything is to be listed.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) relist: bool,
    /// The selected folders were seen to be there in this run.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) roots_seen: bool,
    /// Ids of files to try again in the next run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) retry: Vec<String>,
    /// Tries of the file at hand.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) tries: u32,
    /// Files in a row that failed for a reason that should pass.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) outage: u32,
    /// Waits in a row.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) waits: u32,
    /// Answers in a row without an item.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) empty: u32,
    /// Answers of the listing or feed at hand.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) answers: u32,
    /// Items so far.
    pub(crate) done: u64,
}

/// Some folders that are listed together, and what was found in them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Level {
    /// Listed together: all of one drive, or of none.
    pub(crate) folders: Vec<Folder>,
    /// Of the next answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// The last item of the answer at hand that was dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    /// All answers were read.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) listed: bool,
    /// Folders found in them, or selected, that are to be listed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<Folder>,
    /// Its token was refused once: listed from the start.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) restarted: bool,
}

/// A folder on the way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Folder {
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) place: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) drive: Option<String>,
    /// Listed alone, since together with others it failed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) alone: bool,
}

/// The changes of the account, or of a shared drive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Feed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) drive: Option<String>,
    pub(crate) token: String,
}

/// What the source remembers between two runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// Digest of the configuration that it is true of.
    pub(crate) config: String,
    pub(crate) feeds: Vec<Feed>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) retry: Vec<String>,
}

impl Folder {
    /// About how many bytes it has in the cursor.
    pub(crate) fn weight_bytes(&self) -> usize {
        let path: usize = self.place.path.iter().map(|name| name.len() + 3).sum();
        60 + self.id.len() + path + self.drive.as_ref().map_or(0, |drive| drive.len() + 10)
    }
}

impl Cursor {
    /// About how many bytes the folders on the way have.
    pub(crate) fn weight_bytes(&self) -> usize {
        let level = |level: &Level| {
            let folders = level.folders.iter().chain(&level.pending).map(Folder::weight_bytes);
            60 + level.token.as_ref().map_or(0, String::len) + folders.sum::<usize>()
        };
        self.levels.iter().map(level).sum::<usize>() + self.entered.iter().map(Folder::weight_bytes).sum::<usize>()
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
