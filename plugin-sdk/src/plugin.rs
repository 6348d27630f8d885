//! The traits a plugin implements, and the calls around them: configuration and cursor as typed values.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as JsonValue;

use crate::{
    BlobId, Browse, CheckItem, Choices, Descriptor, Extracted, ExtractorHost, Failure, Host, Page, PullRequest,
};

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

    /// A source's configuration as this version wants it, when the source was made with `from_version`. It is asked of every source
    /// before this version is installed; what comes of it must fit the schema, and may name no credential, root or host that was not
    /// named before. As it is, unless a connector knows better.
    ///
    /// # Errors
    /// When only a person can say what is wanted: the version is not installed, and the admin reads why.
    fn upgrade_config(from_version: &str, config: JsonValue) -> Result<JsonValue, Failure> {
        let _ = from_version;
        Ok(config)
    }

    /// What a source remembers between runs (`Host::state`), as this version wants it, when `from_version` wrote it. It is asked before
    /// the first page of a source's first run with this version. `None` forgets it all, and the run reads everything. As it is, unless
    /// a connector knows better.
    ///
    /// # Errors
    /// The same as `None`, with a line in the server's log; a transient failure is tried again.
    fn upgrade_state(
        from_version: &str,
        state: BTreeMap<String, String>,
    ) -> Result<Option<BTreeMap<String, String>>, Failure> {
        let _ = from_version;
        Ok(Some(state))
    }

    /// Values to choose from for a field of the configuration, which may be incomplete. For connectors with the capability `BROWSE`,
    /// whose schema marks such fields `"x-browse": true`.
    ///
    /// # Errors
    /// `unsupported` for a field with nothing to choose from, and whatever kept it from looking.
    fn browse(host: &dyn Host, config: JsonValue, request: &Browse) -> Result<Choices, Failure> {
        let _ = (host, config);
        Err(request.unsupported())
    }
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

/// Carries a configuration over from another version, as the host does.
///
/// # Errors
/// As `Connector::upgrade_config`, and `config` when the text is not JSON.
pub fn upgrade_config<C: Connector>(from_version: &str, config: &str) -> Result<String, Failure> {
    Ok(C::upgrade_config(from_version, parse_config(config)?)?.to_string())
}

/// Carries what a source remembers over from another version, as the host does.
///
/// # Errors
/// As `Connector::upgrade_state`.
pub fn upgrade_state<C: Connector>(
    from_version: &str,
    state: Vec<(String, String)>,
) -> Result<Option<Vec<(String, String)>>, Failure> {
    let upgraded = C::upgrade_state(from_version, state.into_iter().collect())?;
    Ok(upgraded.map(|state| state.into_iter().collect()))
}

/// Looks for values of a field, as the host does.
///
/// # Errors
/// As `Connector::browse`, and `config` when the text is not JSON.
pub fn browse<C: Connector>(host: &dyn Host, config: &str, request: &Browse) -> Result<Choices, Failure> {
    C::browse(host, parse_config(config)?, request)
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
