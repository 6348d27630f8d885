//! The configuration: what an admin can say, and the JSON Schema that forms and validation are made from.

use std::fmt;

use serde::{Deserialize, Deserializer, de};
use tributary_plugin_sdk::Failure;

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

/// A size in bytes: a number, or text such as `50MiB`, `20MB`, `512 KiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Default for Size {
    fn default() -> Self {
        Self(50 << 20)
    }
}

impl Size {
    /// `None` when it is not a size.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().ok()?;
        let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return None,
        };
        number.checked_mul(unit).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 >> shift > 0) {
            Some((shift, unit)) if self.0.trailing_zeros() >= shift => write!(f, "{} {unit}", self.0 >> shift),
            Some((shift, unit)) => write!(f, "{:.1} {unit}", self.0 as f64 / (1_u64 << shift) as f64),
            None => write!(f, "{} bytes", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes or a size such as \"50MiB\"")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(Size::parse("50MiB"), Some(Size(50 << 20)));
        assert_eq!(Size::parse(" 2 gb "), Some(Size(2_000_000_000)));
        assert_eq!(Size::parse("99999999999GiB"), None);
        assert_eq!(Size::parse("lots"), None);
        assert_eq!(Size(50 << 20).to_string(), "50 MiB");
        assert_eq!(Size(1_600_000).to_string(), "1.5 MiB");
    }

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
