//! A depth-first walk over a root in the order of the names' bytes, resumable after any position.
//!
//! A position is a path as the file system spells it: `docs/a.md` or `docs` was dealt with, `docs/` was entered, and a
//! trailing `//` says that the unreadable names after it were reported.

use tributary_plugin_sdk::{Entry, Failure, Fault, FileKind, Host};

use crate::{
    file::{self, Stamp},
    scope::Scope,
};

/// Names asked for at a time.
const SLICE: u32 = 512;

/// Something the walk came to. Paths are as the file system spells them.
#[derive(Debug)]
pub(crate) enum Step {
    /// A file that is read.
    File { path: String, stamp: Stamp },
    /// Names that cannot be offered; shown with replacement characters.
    Unreadable { folder: String, names: Vec<String>, position: String },
    /// A folder that could not be listed.
    Unlistable { path: String, failure: Failure },
}

/// The walk.
pub(crate) struct Walk<'a> {
    host: &'a dyn Host,
    root: &'a str,
    scope: &'a Scope,
    open: Vec<Folder>,
    /// Names looked at.
    pub(crate) looked_at: u64,
    /// Where it stands.
    pub(crate) position: Option<String>,
}

/// A folder being listed.
struct Folder {
    path: String,
    after: Option<String>,
    entries: std::vec::IntoIter<Entry>,
    /// With the position that says they were reported.
    unreadable: Option<(Vec<String>, String)>,
    /// The unreadable names of the next slice were reported.
    reported: bool,
    /// No names after `entries`.
    last: bool,
}

impl Folder {
    fn new(path: String, after: Option<String>) -> Self {
        Self { path, after, entries: Vec::new().into_iter(), unreadable: None, reported: false, last: false }
    }
}

impl<'a> Walk<'a> {
    /// Starts after a path, or at the beginning.
    pub(crate) fn new(host: &'a dyn Host, root: &'a str, scope: &'a Scope, after: Option<&str>) -> Self {
        let mut open = vec![Folder::new(String::new(), None)];
        let (path, reported) = match after.and_then(|after| after.strip_suffix("//")) {
            Some(path) => (Some(path), true),
            None => (after, false),
        };
        let mut names = path.into_iter().flat_map(|path| path.split('/')).peekable();
        while let Some(name) = names.next() {
            let folder = open.last_mut().expect("the root was pushed");
            folder.after = Some(name.to_owned());
            if names.peek().is_some() {
                let path = join(&folder.path, name);
                open.push(Folder::new(path, None));
            }
        }
        if let Some(folder) = open.last_mut() {
            folder.reported = reported;
        }
        Self { host, root, scope, open, looked_at: 0, position: after.map(str::to_owned) }
    }

    /// The next step; `None` at the end, or when `looked_at` has reached `limit` (then `is_at_end` is false).
    ///
    /// # Errors
    /// When the root itself cannot be listed, or the host asks to stop.
    pub(crate) fn next(&mut self, limit: u64) -> Result<Option<Step>, Failure> {
        while let Some(folder) = self.open.last_mut() {
            if let Some((names, position)) = folder.unreadable.take() {
                return Ok(Some(Step::Unreadable { folder: folder.path.clone(), names, position }));
            }
            if self.looked_at >= limit {
                return Ok(None);
            }
            let Some(entry) = folder.entries.next() else {
                if folder.last {
                    self.open.pop();
                } else if let Some(step) = self.list()? {
                    return Ok(Some(step));
                }
                continue;
            };
            self.looked_at += 1;
            let path = join(&folder.path, &entry.name);
            let normal = file::normal(&path);
            self.position = Some(path.clone());
            match entry.kind {
                FileKind::Directory if self.scope.enters(&normal) => {
                    self.position = Some(format!("{path}/"));
                    self.open.push(Folder::new(path, None));
                }
                FileKind::File if self.scope.reads(&normal) => {
                    let stamp = Stamp { size_bytes: entry.size_bytes, modified_at: entry.modified_at };
                    return Ok(Some(Step::File { path, stamp }));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Everything was looked at.
    pub(crate) fn is_at_end(&self) -> bool {
        self.open.is_empty()
    }

    /// Lists on in the innermost folder.
    fn list(&mut self) -> Result<Option<Step>, Failure> {
        let Some(folder) = self.open.last_mut() else { return Ok(None) };
        let listed = self.host.list(self.root, &folder.path, folder.after.as_deref(), SLICE);
        match listed {
            Ok(listing) => {
                // A slice that names nothing cannot be continued from.
                folder.last = listing.last || listing.entries.is_empty();
                let is_new = !listing.unreadable.is_empty() && !folder.reported;
                folder.unreadable = is_new.then(|| {
                    let after = folder.after.as_deref().unwrap_or_default();
                    (listing.unreadable, format!("{}//", join(&folder.path, after)))
                });
                folder.reported = false;
                if let Some(last) = listing.entries.last() {
                    folder.after = Some(last.name.clone());
                }
                folder.entries = listing.entries.into_iter();
                Ok(None)
            }
            Err(failure) if folder.path.is_empty() => Err(failure.at("/root")),
            Err(failure) if failure.fault == Fault::Cancelled => Err(failure),
            // Gone since its parent was listed.
            Err(failure) if failure.fault == Fault::NotFound => {
                self.open.pop();
                Ok(None)
            }
            Err(failure) => {
                let folder = self.open.pop();
                Ok(folder.map(|folder| Step::Unlistable { path: folder.path, failure }))
            }
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

#[cfg(test)]
mod tests {
    use tributary_plugin_sdk::testing::TestHost;

    use super::*;

    #[test]
    fn a_walk_in_any_number_of_parts_comes_to_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        for path in
            ["a/1.md", "a/2.md", "a/b/3.md", "a/b/c/4.md", "a-b/5.md", "a.md", "b/x.png", "c/d/e/f/6.md", "z.md"]
        {
            std::fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(path), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        let host = TestHost::new().with_root("r", folder.path());
        let scope = Scope::new(&serde_json::from_str(r#"{"root":"r"}"#).unwrap()).unwrap();
        for limit in 1..30 {
            let (mut found, mut position, mut parts) = (Vec::new(), None::<String>, 0);
            loop {
                let mut walk = Walk::new(&host, "r", &scope, position.as_deref());
                while let Some(step) = walk.next(limit).unwrap() {
                    match step {
                        Step::File { path, .. } => found.push(path),
                        other => panic!("{other:?}"),
                    }
                }
                parts += 1;
                if walk.is_at_end() {
                    break;
                }
                assert_eq!(walk.looked_at, limit);
                position = walk.position;
            }
            let files = ["a-b/5.md", "a.md", "a/1.md", "a/2.md", "a/b/3.md", "a/b/c/4.md", "c/d/e/f/6.md", "z.md"];
            let mut sorted = found.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, files, "{limit}");
            // In the order of the names, folder by folder.
            assert_eq!(found[..3], ["a/1.md", "a/2.md", "a/b/3.md"]);
            assert!(parts >= 18 / limit);
        }
    }
}
