//! Where a traversal stands between two pages: small, whatever the size of the tree.

use serde::{Deserialize, Serialize};

use crate::{file::Stamp, rows::Position};

/// Kept by the host from page to page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// Path of the last thing dealt with, as the file system spells it.
    pub(crate) after: Option<String>,
    /// Some folder could not be listed: absence says nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) incomplete: bool,
    /// Files and rows so far.
    pub(crate) done: u64,
    /// A file of rows that the page ended in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reading: Option<Reading>,
}

/// A file of rows, half read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) path: String,
    pub(crate) stamp: Stamp,
    pub(crate) sha256: String,
    pub(crate) position: Position,
    /// Rows that repeat the id of an earlier one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) repeated: Vec<u64>,
    /// Rows that could not be read.
    #[serde(default)]
    pub(crate) failed: u64,
    /// Some of them could not be named.
    #[serde(default)]
    pub(crate) nameless: bool,
    /// How often it was started over because the file changed.
    #[serde(default)]
    pub(crate) restarts: u8,
}
