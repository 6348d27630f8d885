//! The contract as JSON: the records of `wit/v0_1` with their names in snake_case, variants as `{"case": value}` or, without a
//! value, `"case"`. Fields that are options or lists may be left out.
//!
//! What is read here becomes what a component would have handed over, so that the same checks see to it.

mod page;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tributary_core::contract;

use crate::{
    bindings::{browse::exports::tributary::connector::browse as browsing, types},
    text::prefix,
};
pub(super) use page::Page;

/// What holding a JSON value costs, beside its bytes.
const VALUE_BYTES: usize = 64;
const MAX_MESSAGE_BYTES: usize = 4096;

/// About what a JSON text takes in memory once read: its bytes, and something for every value in it. Short values cost many times
/// their length, so that a text within a limit may stand for a page far over it.
pub(super) fn weight(json: &[u8]) -> usize {
    let (mut values, mut quoted, mut escaped) = (1usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' | b':' | b'[' | b'{' if !quoted => values += 1,
            _ => {}
        }
    }
    json.len().saturating_add(values.saturating_mul(VALUE_BYTES))
}

/// What a guest said went wrong: the JSON of a failure, or any text.
pub(super) fn failure(said: &str) -> contract::Failure {
    let failure = serde_json::from_str(said).unwrap_or_else(|_| Failure {
        fault: Fault::Internal,
        code: "guest_error".to_owned(),
        message: prefix(said, MAX_MESSAGE_BYTES).to_owned(),
        retry_after_ms: None,
        config_pointer: None,
        http_status: None,
    });
    types::Failure::from(failure).into()
}

#[derive(Deserialize)]
pub(super) struct Descriptor {
    id: String,
    version: String,
    title: String,
    /// An object, or its text.
    config_schema: Json,
    #[serde(default)]
    pub(super) hosts: Vec<String>,
    #[serde(default)]
    roots: Vec<String>,
    #[serde(default)]
    capabilities: Vec<Capability>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Capability {
    Incremental,
    DeletionFeed,
    Enumerate,
    Refetch,
    Browse,
}

impl From<Descriptor> for types::Descriptor {
    fn from(raw: Descriptor) -> Self {
        let capabilities = raw.capabilities.into_iter().map(|capability| match capability {
            Capability::Incremental => types::Capabilities::INCREMENTAL,
            Capability::DeletionFeed => types::Capabilities::DELETION_FEED,
            Capability::Enumerate => types::Capabilities::ENUMERATE,
            Capability::Refetch => types::Capabilities::REFETCH,
            Capability::Browse => types::Capabilities::BROWSE,
        });
        Self {
            id: raw.id,
            version: raw.version,
            title: raw.title,
            config_schema: match raw.config_schema {
                Json::String(text) => text,
                schema => schema.to_string(),
            },
            hosts: raw.hosts,
            roots: raw.roots,
            capabilities: capabilities.fold(types::Capabilities::empty(), |all, one| all | one),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct CheckItem {
    name: String,
    status: CheckStatus,
    message: Option<String>,
    config_pointer: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CheckStatus {
    Ok,
    Warning,
    Failed,
}

impl From<CheckItem> for types::CheckItem {
    fn from(raw: CheckItem) -> Self {
        Self {
            name: raw.name,
            status: match raw.status {
                CheckStatus::Ok => types::CheckStatus::Ok,
                CheckStatus::Warning => types::CheckStatus::Warning,
                CheckStatus::Failed => types::CheckStatus::Failed,
            },
            message: raw.message,
            config_pointer: raw.config_pointer,
        }
    }
}

/// The value of a choice is the value itself, not its text; `null` is none.
#[derive(Deserialize)]
struct Choice {
    value: Option<Json>,
    title: String,
    description: Option<String>,
    opens: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Choices {
    items: Vec<Choice>,
    next: Option<String>,
}

impl From<Choices> for browsing::Choices {
    fn from(raw: Choices) -> Self {
        let choice = |raw: Choice| browsing::Choice {
            value: raw.value.map(|value| value.to_string()),
            title: raw.title,
            description: raw.description,
            opens: raw.opens,
        };
        Self { items: raw.items.into_iter().map(choice).collect(), next: raw.next }
    }
}

#[derive(Deserialize, Serialize)]
pub(super) struct Failure {
    fault: Fault,
    code: String,
    message: String,
    retry_after_ms: Option<u64>,
    config_pointer: Option<String>,
    http_status: Option<u16>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Fault {
    Config,
    AuthInvalid,
    AuthExpired,
    Permission,
    RateLimited,
    Transient,
    SourceContract,
    CursorExpired,
    NotFound,
    TooLarge,
    Unsupported,
    Cancelled,
    Internal,
}

impl From<Failure> for types::Failure {
    fn from(raw: Failure) -> Self {
        Self {
            fault: match raw.fault {
                Fault::Config => types::Fault::Config,
                Fault::AuthInvalid => types::Fault::AuthInvalid,
                Fault::AuthExpired => types::Fault::AuthExpired,
                Fault::Permission => types::Fault::Permission,
                Fault::RateLimited => types::Fault::RateLimited,
                Fault::Transient => types::Fault::Transient,
                Fault::SourceContract => types::Fault::SourceContract,
                Fault::CursorExpired => types::Fault::CursorExpired,
                Fault::NotFound => types::Fault::NotFound,
                Fault::TooLarge => types::Fault::TooLarge,
                Fault::Unsupported => types::Fault::Unsupported,
                Fault::Cancelled => types::Fault::Cancelled,
                Fault::Internal => types::Fault::Internal,
            },
            code: raw.code,
            message: raw.message,
            retry_after_ms: raw.retry_after_ms,
            config_pointer: raw.config_pointer,
            http_status: raw.http_status,
        }
    }
}

/// As the host tells a guest.
impl From<contract::Failure> for Failure {
    fn from(failure: contract::Failure) -> Self {
        use contract::Fault as Known;
        Self {
            fault: match failure.fault {
                Known::Config => Fault::Config,
                Known::AuthInvalid => Fault::AuthInvalid,
                Known::AuthExpired => Fault::AuthExpired,
                Known::Permission => Fault::Permission,
                Known::RateLimited => Fault::RateLimited,
                Known::Transient => Fault::Transient,
                Known::SourceContract => Fault::SourceContract,
                Known::CursorExpired => Fault::CursorExpired,
                Known::NotFound => Fault::NotFound,
                Known::TooLarge => Fault::TooLarge,
                Known::Unsupported => Fault::Unsupported,
                Known::Cancelled => Fault::Cancelled,
                Known::Internal | Known::Trap | Known::Deadline | Known::Memory => Fault::Internal,
            },
            code: failure.code,
            message: failure.message,
            retry_after_ms: failure.retry_after_ms,
            config_pointer: failure.config_pointer,
            http_status: failure.http_status,
        }
    }
}

#[cfg(test)]
mod tests {
    use tributary_core::contract::Fault as Known;

    use super::*;

    #[test]
    fn many_short_values_weigh_more_than_long_text() {
        let texts = serde_json::to_vec(&vec!["a, [b]: {c} \" \\ , ,".repeat(1_000)]).unwrap();
        assert!(weight(&texts) < texts.len() + 5 * VALUE_BYTES);
        assert!(weight(&b"[],".repeat(1_000)) > 100_000);
    }

    #[test]
    fn what_a_guest_says_is_a_failure_or_text() {
        let known =
            failure(r#"{"fault": "auth_expired", "code": "expired", "message": "Log in again.", "http_status": 401}"#);
        assert_eq!((known.fault, known.code.as_str(), known.http_status), (Known::AuthExpired, "expired", Some(401)));
        let text = failure("boom\u{1b}[2J");
        assert_eq!(
            (text.fault, text.code.as_str(), text.message.as_str()),
            (Known::Internal, "guest_error", "boom\\u{1b}[2J")
        );
        assert_eq!(failure(r#"{"fault": "trap", "code": "x", "message": "forged"}"#).fault, Known::Internal);
    }
}
