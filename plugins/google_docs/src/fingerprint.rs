//! Fingerprints: what tells that a document, or a folder, is as it was.

use sha2::{Digest, Sha256};

use crate::{places::Place, wire::File};

/// Longest fingerprint of a folder that holds its path; a longer one holds a digest of it.
const MAX_PATH_BYTES: usize = 400;

/// Hex digits of a digest over parts that cannot run into each other.
pub(crate) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Of a document. Uploads have a checksum; Google's own formats a version, which grows with every change.
/// Name and path are part of it, since answers cite them. It begins with `s` when only a shortcut leads to it.
pub(crate) fn of_file(file: &File, place: &Place) -> String {
    let (content, at) = match &file.md5_checksum {
        Some(md5) => (md5.as_str(), file.modified_time.as_deref()),
        None => (file.version.as_deref().unwrap_or_default(), file.modified_time.as_deref()),
    };
    let path = place.path.join("\0");
    let digest = digest(&[content, at.unwrap_or_default(), &file.name, &file.mime_type, &path]);
    format!("{}{digest}", if place.by_shortcut { 's' } else { 'f' })
}

/// Whether the document with this fingerprint was reached by a shortcut.
pub(crate) fn is_by_shortcut(fingerprint: &str) -> bool {
    fingerprint.starts_with('s')
}

/// Of a folder: its path, or when that is long its digest.
pub(crate) fn of_folder(place: &Place) -> String {
    let mark = if place.by_shortcut { 's' } else { 'f' };
    let path = serde_json::to_string(&place.path).unwrap_or_default();
    if path.len() <= MAX_PATH_BYTES { format!("{mark}{path}") } else { format!("{mark}#{}", digest(&[&path])) }
}

/// The folder's place, when its fingerprint holds it.
pub(crate) fn place_of_folder(fingerprint: &str) -> Option<Place> {
    let path = fingerprint.get(1..)?;
    Some(Place { path: serde_json::from_str(path).ok()?, by_shortcut: is_by_shortcut(fingerprint) })
}

/// A mark of a folder or shortcut in the ledger. It holds the number of the listing that found it: the host may keep marks of what
/// a listing did not name, when it holds the deletions for a person to decide.
pub(crate) fn mark(listing: u64, text: &str) -> String {
    format!("{listing}:{text}")
}

/// What a mark says, when it is of this listing.
pub(crate) fn unmark(listing: u64, mark: &str) -> Option<&str> {
    let (number, text) = mark.split_once(':')?;
    (number.parse() == Ok(listing)).then_some(text)
}

/// Id of a folder's mark in the ledger.
pub(crate) fn folder_key(id: &str) -> String {
    format!("folder:{id}")
}

/// Id of a shortcut's mark in the ledger; its fingerprint is the target.
pub(crate) fn shortcut_key(id: &str) -> String {
    format!("shortcut:{id}")
}
