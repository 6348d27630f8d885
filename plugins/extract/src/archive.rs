//! The ZIP container of office documents and books. Only the parts asked for are unpacked, within limits that hold
//! whatever the headers promise.

use std::{
    borrow::Cow,
    io::{Cursor, Read},
};

use tributary_plugin_sdk::Failure;
use zip::{ZipArchive, result::ZipError};

use crate::{decode, fault};

/// The most entries of one archive.
pub(crate) const MAX_ENTRIES: usize = 20_000;
/// The longest part, unpacked, in bytes.
pub(crate) const MAX_PART_BYTES: u64 = 96 << 20;
/// The most that is unpacked of one archive, in bytes.
pub(crate) const MAX_UNPACKED_BYTES: u64 = 192 << 20;

/// An open archive.
pub(crate) struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// What it is, as the subject of a sentence.
    what: &'static str,
    left_bytes: u64,
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    ///
    /// # Errors
    /// Damaged, or more entries than a document has.
    pub(crate) fn open(bytes: &'a [u8], what: &'static str) -> Result<Self, Failure> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(what, &error))?;
        if zip.len() > MAX_ENTRIES {
            return Err(fault::bomb(what, &format!("has {} parts where at most {MAX_ENTRIES} are read", zip.len())));
        }
        Ok(Self { zip, what, left_bytes: MAX_UNPACKED_BYTES })
    }

    /// The names of all parts.
    pub(crate) fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.zip.file_names().flatten()
    }

    /// The bytes of a part; `None` when there is none of this name.
    ///
    /// # Errors
    /// Damaged, encrypted, or past the limits.
    pub(crate) fn find(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let part = match self.zip.by_name(name) {
            Ok(part) => part,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(broken(self.what, &error)),
        };
        let allowed = self.left_bytes.min(MAX_PART_BYTES);
        let mut bytes = Vec::new();
        part.take(allowed + 1).read_to_end(&mut bytes).map_err(|error| {
            fault::damaged(self.what, &format!("its part {} cannot be unpacked ({error})", shown(name)))
        })?;
        if bytes.len() as u64 > allowed {
            let why = format!("unpacks to more than {} MiB", allowed >> 20);
            return Err(fault::bomb(self.what, &why));
        }
        self.left_bytes -= bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// A part as text.
    ///
    /// # Errors
    /// Those of [`Archive::find`].
    pub(crate) fn find_text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        Ok(self.find(name)?.map(decode::text))
    }

    /// A part as text that must be there.
    ///
    /// # Errors
    /// Those of [`Archive::find`], or that it is missing.
    pub(crate) fn get_text(&mut self, name: &str) -> Result<String, Failure> {
        let text = self.find_text(name)?;
        text.ok_or_else(|| fault::damaged(self.what, &format!("its part {} is missing", shown(name))))
    }

    /// Refuses what promises to unpack to more than the limits, for readers that unpack by themselves.
    ///
    /// # Errors
    /// `too-large`.
    pub(crate) fn check_promised(&mut self) -> Result<(), Failure> {
        let mut total_bytes = 0_u64;
        for place in 0..self.zip.len() {
            let part = self.zip.by_index_raw(place).map_err(|error| broken(self.what, &error))?;
            // Pictures and the like stay packed.
            let name = part.name_raw();
            let is_read = [b".xml".as_slice(), b".rels", b".bin"].iter().any(|end| name.ends_with(end));
            if is_read {
                total_bytes = total_bytes.saturating_add(part.size());
            }
        }
        if total_bytes > MAX_UNPACKED_BYTES {
            let why = format!("unpacks to more than {} MiB", MAX_UNPACKED_BYTES >> 20);
            return Err(fault::bomb(self.what, &why));
        }
        Ok(())
    }
}

/// The path that `target` means in a part: relative to its folder, or from the root with a leading slash.
pub(crate) fn resolve(part: &str, target: &str) -> String {
    let target = target.split(['#', '?']).next().unwrap_or_default();
    let base = if target.starts_with('/') { "" } else { part.rsplit_once('/').map_or("", |(folder, _)| folder) };
    let mut path: Vec<&str> = base.split('/').filter(|step| !step.is_empty()).collect();
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path.join("/")
}

fn broken(what: &str, error: &ZipError) -> Failure {
    match error {
        ZipError::InvalidPassword | ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => fault::encrypted(what),
        error => fault::damaged(what, &format!("its ZIP container cannot be read ({error})")),
    }
}

/// A name from outside, safe inside a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn targets_are_relative_to_their_part() {
        assert_eq!(resolve("ppt/slides/slide1.xml", "../notesSlides/n1.xml"), "ppt/notesSlides/n1.xml");
        assert_eq!(resolve("ppt/slides/slide1.xml", "/ppt/a.xml"), "ppt/a.xml");
        assert_eq!(resolve("content.opf", "Text/c1.xhtml#top"), "Text/c1.xhtml");
        assert_eq!(resolve("a/b", "../../../../etc/passwd"), "etc/passwd");
    }
}
