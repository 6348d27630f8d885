//! Where a folder lies in the selection: from the ledger, else by asking for its parents until a selected folder is reached.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tributary_plugin_sdk::{Failure, Fault, Host};

use crate::{api::Api, fingerprint, scope::Scope};

/// Folders nest at most a hundred deep in a shared drive; more is a circle.
const MAX_DEPTH: usize = 100;
/// Longest name of a folder in a path, most names, and longest path in all: folders wait in the cursor with their paths.
const MAX_NAME_CHARS: usize = 120;
const MAX_NAMES: usize = 12;
const MAX_PATH_BYTES: usize = 600;

/// A selected folder or drive, as it was when it was looked up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Root {
    pub(crate) id: String,
    pub(crate) name: String,
    /// The shared drive that it lies in, or is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) drive: Option<String>,
}

/// Where something lies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Names of the folders, from the selected one.
    pub(crate) path: Vec<String>,
    /// It lies outside of what is selected, and a shortcut leads there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) by_shortcut: bool,
}

impl Place {
    pub(crate) fn root(name: &str) -> Self {
        Self { path: vec![clip(name)], by_shortcut: false }
    }

    /// Of a folder of this name in it.
    pub(crate) fn child(&self, name: &str) -> Self {
        let mut path = self.path.clone();
        let name = clip(name);
        if path.len() < MAX_NAMES && path.iter().map(String::len).sum::<usize>() + name.len() <= MAX_PATH_BYTES {
            path.push(name);
        }
        Self { path, by_shortcut: self.by_shortcut }
    }
}

/// A name as far as it goes into a path.
pub(crate) fn clip(name: &str) -> String {
    name.chars().take(MAX_NAME_CHARS).collect()
}

/// Places of folders, remembered for a page.
pub(crate) struct Places<'a> {
    host: &'a dyn Host,
    scope: &'a Scope,
    recursive: bool,
    /// The ledger's marks are true. While everything is listed they are not: that is what it is listed for.
    pub(crate) by_ledger: bool,
    /// Number of the last listing of everything: older marks mean nothing.
    pub(crate) listing: u64,
    known: HashMap<String, Option<Place>>,
}

impl<'a> Places<'a> {
    pub(crate) fn new(host: &'a dyn Host, scope: &'a Scope, recursive: bool, roots: &[Root], listing: u64) -> Self {
        let known = roots.iter().map(|root| (root.id.clone(), Some(Place::root(&root.name)))).collect();
        Self { host, scope, recursive, by_ledger: false, listing, known }
    }

    /// Where this folder lies; `None`: outside of what is selected, or not to be entered.
    pub(crate) fn of(&mut self, api: &Api, folder: &str) -> Result<Option<Place>, Failure> {
        let mut climbed: Vec<(String, String)> = Vec::new();
        let mut id = folder.to_owned();
        let mut place = loop {
            if let Some(known) = self.known.get(&id) {
                break known.clone();
            }
            if !self.recursive || climbed.len() >= MAX_DEPTH || climbed.iter().any(|(above, _)| *above == id) {
                break None;
            }
            if self.by_ledger
                && let Some(place) = self.remembered(&id)?
            {
                self.known.insert(id, Some(place.clone()));
                break Some(place);
            }
            match api.file(&id) {
                Ok(file) if !file.trashed && file.is_folder() && self.scope.enters(&file.name) => {
                    let Some(parent) = file.parents.into_iter().next() else {
                        self.known.insert(id, None);
                        break None;
                    };
                    climbed.push((id, file.name));
                    id = parent;
                }
                Ok(_) => {
                    self.known.insert(id, None);
                    break None;
                }
                Err(failure) if is_hidden(&failure) => {
                    self.known.insert(id, None);
                    break None;
                }
                Err(failure) => return Err(failure),
            }
        };
        for (id, name) in climbed.into_iter().rev() {
            place = place.map(|place| place.child(&name));
            self.known.insert(id, place.clone());
        }
        Ok(place)
    }

    /// Of the first of these folders that lies in the selection itself, not behind a shortcut.
    pub(crate) fn selected(&mut self, api: &Api, parents: &[String]) -> Result<Option<Place>, Failure> {
        for parent in parents.iter().take(4) {
            if let Some(place) = self.of(api, parent)?
                && !place.by_shortcut
            {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn remembered(&self, id: &str) -> Result<Option<Place>, Failure> {
        let known = self.host.lookup(&[fingerprint::folder_key(id)])?;
        let known = known.into_iter().next().flatten();
        Ok(known
            .as_deref()
            .and_then(|mark| fingerprint::unmark(self.listing, mark))
            .and_then(fingerprint::place_of_folder))
    }
}

/// Whether a failure says that the account cannot see something.
pub(crate) fn is_hidden(failure: &Failure) -> bool {
    failure.fault == Fault::NotFound || failure.code == crate::error::FORBIDDEN
}
