//! The configuration: what an admin can say, and the JSON Schema that forms and validation are made from.

use serde::Deserialize;
use tributary_plugin_sdk::{Failure, Size};

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = include_str!("config.schema.json");

/// What to read, and how.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The granted root.
    pub root: String,
    /// Globs of files to read; empty means every supported format.
    #[serde(default)]
    pub include: Vec<String>,
    /// Globs of files and folders to leave out.
    #[serde(default = "default_exclude")]
    pub exclude: Vec<String>,
    /// Longer files are reported and not read.
    #[serde(default)]
    pub max_file: Size,
    /// What the documents are; by default files are `page` and rows `row`.
    #[serde(default)]
    pub kind: Option<String>,
    /// Put before a file's path to make its URL.
    #[serde(default)]
    pub base_url: Option<String>,
    /// How CSV files are read.
    #[serde(default)]
    pub csv: CsvConfig,
    /// How JSON files are read.
    #[serde(default)]
    pub json: JsonConfig,
    /// How HTML files are read.
    #[serde(default)]
    pub html: HtmlConfig,
}

/// How CSV files are read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvConfig {
    /// A document per row, or one for the table.
    pub rows_as: RowsAs,
    /// Columns that name a row; by default `id` or `sku` when there is one, else the row's number.
    pub id_columns: Vec<String>,
    /// The column with the title; by default `title`, `name` or the like.
    pub title_column: Option<String>,
}

/// What rows become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsAs {
    /// A document each.
    #[default]
    Rows,
    /// One document together.
    Table,
}

/// How JSON files are read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JsonConfig {
    /// JSON pointer to the array of records; without it a file that is an array yields its items, any other is one document.
    pub records: Option<String>,
    /// JSON pointer to a record's id, within the record.
    pub id: Option<String>,
    /// JSON pointer to a record's title, within the record.
    pub title: Option<String>,
}

/// How HTML files are read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HtmlConfig {
    /// Leave out navigation, headers, footers, asides and forms.
    pub main_content: bool,
}

impl Default for HtmlConfig {
    fn default() -> Self {
        Self { main_content: true }
    }
}

fn default_exclude() -> Vec<String> {
    [".git", "node_modules", "~$*", ".*.swp"].map(str::to_owned).to_vec()
}

impl Config {
    /// What the schema cannot say.
    ///
    /// # Errors
    /// `config`, pointing at the field.
    pub(crate) fn validate(&self) -> Result<(), Failure> {
        if self.root.is_empty() {
            return Err(Failure::config("/root", "Name a root that the operator granted, such as `docs`."));
        }
        if let Some(url) = &self.base_url
            && !(url.starts_with("https://") || url.starts_with("http://"))
        {
            return Err(Failure::config("/base_url", "`base_url` must start with https:// or http://."));
        }
        if let Some(kind) = &self.kind {
            let letters =
                kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'));
            if kind.is_empty() || kind.len() > 64 || !letters {
                return Err(Failure::config("/kind", "`kind` is one lower-case word, such as `product`."));
            }
        }
        let pointers = [("records", &self.json.records), ("id", &self.json.id), ("title", &self.json.title)];
        for (name, pointer) in pointers {
            if pointer.as_deref().is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
                return Err(Failure::config(
                    format!("/json/{name}"),
                    format!("`json.{name}` is a JSON pointer and starts with `/`, such as `/{name}`."),
                ));
            }
        }
        Ok(())
    }

    /// Kind of a file's document.
    pub(crate) fn file_kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("page")
    }

    /// Kind of a row's document.
    pub(crate) fn row_kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("row")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_every_field_and_its_default() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let config: Config = serde_json::from_str(r#"{"root":"docs"}"#).unwrap();
        let defaults = &schema["properties"];
        assert_eq!(defaults["exclude"]["default"], serde_json::json!(config.exclude));
        assert_eq!(Size::parse(defaults["max_file"]["default"].as_str().unwrap()), Some(config.max_file));
        for field in ["root", "include", "exclude", "max_file", "kind", "base_url", "csv", "json", "html"] {
            assert!(defaults[field]["description"].is_string(), "{field}");
            assert!(defaults[field]["title"].is_string(), "{field}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }
}
