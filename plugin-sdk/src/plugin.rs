//! The traits a plugin implements, and the calls around them: configuration and cursor as typed values.

use serde::{Serialize, de::DeserializeOwned};

use crate::{BlobId, CheckItem, Descriptor, Extracted, ExtractorHost, Failure, Host, Page, PullRequest};

/// A source of documents.
pub trait Connector {
    /// The configuration, as its JSON Schema describes it.
    type Config: DeserializeOwned;

    /// What this connector is and wants.
    fn describe() -> Descriptor;

    /// Looks whether a configuration will work, without reading everything: one item per thing looked at.
    ///
    /// # Errors
    /// Only when checking itself was not possible; a bad configuration is a failed item.
    fn check(host: &dyn Host, config: Self::Config) -> Result<Vec<CheckItem>, Failure>;

    /// The next page of changes. Everything it needs comes in; what it must remember goes out in the page's cursor.
    ///
    /// # Errors
    /// When the page cannot be made; a single bad item is a `Change::failed` instead.
    fn pull(host: &dyn Host, config: Self::Config, request: &PullRequest) -> Result<Page, Failure>;
}

/// Turns a document's bytes into text.
pub trait Extractor {
    /// `media_type` is what the source claims, `name` the file name; both are hints.
    ///
    /// # Errors
    /// `unsupported` for a format it does not know, `too-large` past its limits.
    fn extract(
        host: &dyn ExtractorHost,
        blob: BlobId,
        media_type: &str,
        name: Option<&str>,
    ) -> Result<Extracted, Failure>;
}

/// Checks a configuration given as JSON text, as the host does.
///
/// # Errors
/// As `Connector::check`, and `config` with a JSON pointer when the text is not a configuration.
pub fn check<C: Connector>(host: &dyn Host, config: &str) -> Result<Vec<CheckItem>, Failure> {
    C::check(host, parse_config(config)?)
}

/// Pulls a page, as the host does.
///
/// # Errors
/// As `Connector::pull`, and `config` with a JSON pointer when the request's configuration does not parse.
pub fn pull<C: Connector>(host: &dyn Host, request: &PullRequest) -> Result<Page, Failure> {
    C::pull(host, parse_config(&request.config)?, request)
}

/// A cursor as text.
///
/// # Errors
/// `internal` when the type cannot be JSON, such as a map with keys that are not strings.
pub fn cursor_text<C: Serialize>(cursor: &C) -> Result<String, Failure> {
    serde_json::to_string(cursor)
        .map_err(|error| Failure::internal("cursor_unwritable", format!("The cursor cannot be written: {error}.")))
}

fn parse_config<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    let reader = &mut serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let pointer = json_pointer(error.path());
        let place =
            if pointer.is_empty() { "The configuration".to_owned() } else { format!("Configuration {pointer}") };
        // serde_json ends its message with a position in a text that nobody sees.
        let cause = error.inner().to_string();
        let cause = cause.split(" at line ").next().unwrap_or_default();
        Failure::config(pointer, format!("{place} is not valid: {cause}."))
    })
}

fn json_pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}
