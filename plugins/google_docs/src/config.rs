//! The configuration: what an admin can say, and the JSON Schema that forms and validation are made from.

use serde::Deserialize;
use tributary_plugin_sdk::{Failure, Size};

use crate::id;

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = include_str!("config.schema.json");

/// What to read, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of a credential of the workspace: `google_service_account` or `oauth2`.
    pub credential: String,
    /// Folders: ids or addresses.
    #[serde(default)]
    pub folders: Vec<String>,
    /// Single files: ids or addresses.
    #[serde(default)]
    pub files: Vec<String>,
    /// Whole shared drives: ids or addresses.
    #[serde(default)]
    pub shared_drives: Vec<String>,
    /// Whether folders within folders are read.
    #[serde(default = "yes")]
    pub recursive: bool,
    /// Globs of names (`*.pdf`) or media types (`application/*`); empty means everything that can be read.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs of names or media types to leave out; a folder whose name matches is not entered.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Longer files are reported and not read.
    #[serde(default)]
    pub max_file: Size,
    /// What becomes of formats that cannot be read.
    #[serde(default)]
    pub unsupported: Unsupported,
    /// Where the Drive API is.
    #[serde(default = "drive_url")]
    pub drive_url: String,
    /// Where the Docs API is.
    #[serde(default = "docs_url")]
    pub docs_url: String,
}

/// What becomes of formats that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsupported {
    /// They are left out.
    #[default]
    Skip,
    /// Each is a failed item.
    Report,
}

fn yes() -> bool {
    true
}

fn drive_url() -> String {
    "https://www.googleapis.com".to_owned()
}

fn docs_url() -> String {
    "https://docs.googleapis.com".to_owned()
}

/// What is selected, as ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selection {
    pub(crate) folders: Vec<String>,
    pub(crate) files: Vec<String>,
    pub(crate) drives: Vec<String>,
}

impl Config {
    /// What the schema cannot say.
    ///
    /// # Errors
    /// `config`, pointing at the field.
    pub(crate) fn selection(&self) -> Result<Selection, Failure> {
        if self.credential.is_empty() {
            return Err(Failure::config("/credential", "Name the workspace's credential for Google."));
        }
        for (pointer, url) in [("/drive_url", &self.drive_url), ("/docs_url", &self.docs_url)] {
            if !(url.starts_with("https://") || url.starts_with("http://")) {
                let what = format!("`{}` must start with https:// or http://.", &pointer[1..]);
                return Err(Failure::config(pointer, what));
            }
        }
        let selection = Selection {
            folders: ids("folders", &self.folders)?,
            files: ids("files", &self.files)?,
            drives: ids("shared_drives", &self.shared_drives)?,
        };
        if selection == Selection::default() {
            return Err(Failure::config("/folders", "Select at least one folder, file or shared drive."));
        }
        Ok(selection)
    }
}

/// The ids, each once.
fn ids(field: &str, pasted: &[String]) -> Result<Vec<String>, Failure> {
    let mut ids: Vec<String> = Vec::new();
    for (place, text) in pasted.iter().enumerate() {
        let id = id::from_pasted(text).ok_or_else(|| {
            let what = format!("`{text}` is neither an id nor an address of Google Drive; paste it from the browser.");
            Failure::config(format!("/{field}/{place}"), what)
        })?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_every_field_and_its_default() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let config: Config = serde_json::from_str(r#"{"credential":"google"}"#).unwrap();
        let fields = &schema["properties"];
        let names = [
            "credential",
            "folders",
            "files",
            "shared_drives",
            "recursive",
            "include",
            "exclude",
            "max_file",
            "unsupported",
            "drive_url",
            "docs_url",
        ];
        for field in names {
            assert!(fields[field]["title"].is_string() && fields[field]["description"].is_string(), "{field}");
        }
        assert_eq!(fields.as_object().unwrap().len(), names.len());
        assert_eq!(fields["drive_url"]["default"], config.drive_url);
        assert_eq!(fields["docs_url"]["default"], config.docs_url);
        assert_eq!(fields["recursive"]["default"], config.recursive);
        assert_eq!(Size::parse(fields["max_file"]["default"].as_str().unwrap()), Some(config.max_file));
        assert_eq!(fields["credential"]["x-credential"], true);
        assert_eq!(schema["additionalProperties"], false);
    }

    #[test]
    fn a_selection_that_means_nothing_is_refused_where_it_stands() {
        let read = |text: &str| serde_json::from_str::<Config>(text).unwrap().selection().unwrap_err();
        let failure = read(r#"{"credential":"google"}"#);
        assert_eq!(failure.message, "Select at least one folder, file or shared drive.");
        let failure = read(r#"{"credential":"google","folders":["abc","the big one"]}"#);
        assert_eq!(failure.config_pointer.as_deref(), Some("/folders/1"));
        assert!(failure.message.contains("paste it from the browser"), "{}", failure.message);
    }
}
