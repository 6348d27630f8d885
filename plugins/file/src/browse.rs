//! Values to choose from for `include` and `exclude`: globs of what lies in a folder of the root.

use std::collections::BTreeSet;

use serde_json::Value;
use tributary_plugin_sdk::{Browse, Choice, Choices, Entry, Failure, FileKind, Host};
use unicode_normalization::UnicodeNormalization;

use crate::file;

/// Names offered at once; endings come on top.
const SLICE: u32 = 150;
const MOST_ENDINGS: usize = 30;
/// As the schema says.
const MAX_GLOB_CHARS: usize = 1024;

pub(crate) fn browse(host: &dyn Host, config: &Value, request: &Browse) -> Result<Choices, Failure> {
    if !["/include/", "/exclude/"].iter().any(|field| request.pointer.starts_with(field)) {
        return Err(request.unsupported());
    }
    let Some(root) = config["root"].as_str() else {
        return Err(Failure::config("/root", "Say first which root is read."));
    };
    let dir = request.at.as_deref().unwrap_or_default();
    let listing = host.list(root, dir, request.after.as_deref(), SLICE)?;
    let mut items = Vec::new();
    if request.after.is_none() {
        items.extend(endings(dir, &listing.entries));
    }
    items.extend(listing.entries.iter().filter_map(|entry| choice(dir, entry)));
    items.retain(|choice| choice.value.as_ref().is_none_or(|glob| glob.chars().count() <= MAX_GLOB_CHARS));
    let next = listing.entries.last().filter(|_| !listing.last).map(|last| last.name.clone());
    Ok(Choices { items, next })
}

/// All files of a format, here and below.
fn endings(dir: &str, entries: &[Entry]) -> Vec<Choice> {
    let files = entries.iter().filter(|entry| entry.kind == FileKind::File && file::is_supported(&entry.name));
    let endings: BTreeSet<_> = files.filter_map(|entry| Some(entry.name.rsplit_once('.')?.1.to_lowercase())).collect();
    let glob = |ending: String| {
        let glob = if dir.is_empty() { format!("*.{ending}") } else { format!("{}/**/*.{ending}", escaped(dir)) };
        Choice::new(format!("*.{ending}"), glob).described("All files with this ending, here and in the folders below")
    };
    endings.into_iter().take(MOST_ENDINGS).map(glob).collect()
}

fn choice(dir: &str, entry: &Entry) -> Option<Choice> {
    let path = if dir.is_empty() { entry.name.clone() } else { format!("{dir}/{}", entry.name) };
    match entry.kind {
        FileKind::Directory => {
            Some(Choice::new(format!("{}/", entry.name), format!("{}/**", escaped(&path))).opens(path))
        }
        FileKind::File if dir.is_empty() => {
            Some(Choice::new(&entry.name, escaped(&path)).described("Files of this name in any folder"))
        }
        FileKind::File => Some(Choice::new(&entry.name, escaped(&path))),
        FileKind::Symlink | FileKind::Other => None,
    }
}

/// A path as a glob that matches nothing else.
fn escaped(path: &str) -> String {
    let mut glob = String::with_capacity(path.len());
    for letter in path.nfc() {
        if "*?[]{}\\!".contains(letter) {
            glob.push('\\');
        }
        glob.push(letter);
    }
    glob
}
