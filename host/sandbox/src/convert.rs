//! From what a component returned to the host's types. Everything is hostile: counts and lengths are bounded, text is printable,
//! numbers are finite, blobs exist. One bad item becomes a failed item; only a page too large as a whole fails as one.

mod document;
mod text;

use std::collections::BTreeMap;

use tributary_core::contract::{
    Capabilities, Change, CheckItem, CheckStatus, Choice, Choices, Descriptor, Extracted, Failure, Fault, Gone, Next,
    Page, Progress, PullRequest,
};

use crate::{
    bindings::{blobs::BlobInfo, browse::exports::tributary::connector::browse as browsing, types},
    blobs::{Blob, Blobs},
    state::{MAX_KEY_BYTES, MAX_STATE_BYTES, MAX_WRITES},
    text::{one_line, printable},
};
pub(crate) use document::sections;
use document::{bounded_id, document};
use text::{identifier, optional, shorter_than};

/// A day: no wait that a guest asks for is longer.
const MAX_WAIT_MS: u64 = 86_400_000;
const MAX_CURSOR_BYTES: usize = 64 << 10;
const MAX_SCHEMA_BYTES: usize = 256 << 10;
const MAX_FINGERPRINT_BYTES: usize = 512;
const MAX_CHECKS: usize = 100;
/// As long as a body of the API.
const MAX_CONFIG_BYTES: usize = 2 << 20;
const MAX_CHOICES: usize = 200;
const MAX_CHOICE_BYTES: usize = 4096;

/// What a component did against the contract.
pub(crate) fn violation(code: &str, message: impl std::fmt::Display) -> Failure {
    Failure::new(
        Fault::SourceContract,
        code,
        format!("the connector broke the contract: {message}; report it to its author"),
    )
}

/// A page that respects `request`, its blobs found in `blobs`.
pub(crate) fn page(page: types::Page, request: &PullRequest, blobs: &Blobs) -> Result<Page, Failure> {
    if page.changes.len() > request.max_items as usize {
        return Err(violation(
            "page_too_large",
            format!("its page has {} changes where {} were asked for", page.changes.len(), request.max_items),
        ));
    }
    let cursor = page.cursor.filter(|cursor| !cursor.is_empty());
    if let Some(cursor) = &cursor {
        shorter_than(MAX_CURSOR_BYTES, "cursor", cursor)?;
    }
    let next = match page.next {
        types::Next::More => Next::More,
        types::Next::WaitMs(ms) => Next::WaitMs(ms.min(MAX_WAIT_MS)),
        types::Next::Complete => Next::Complete,
        types::Next::CompleteExhaustive => Next::CompleteExhaustive,
    };
    let progress = page.progress.map(|progress| Progress {
        done: progress.done,
        total: progress.total,
        phase: printable(&progress.phase, 64),
    });
    let changes = page.changes.into_iter().map(|one| change(one, blobs)).collect();
    Ok(Page { changes, cursor, next, progress })
}

fn change(change: types::Change, blobs: &Blobs) -> Change {
    match change {
        types::Change::Upsert(raw) => match bounded_id(&raw.external_id) {
            Ok(()) => {
                let external_id = raw.external_id.clone();
                document(raw, blobs).map_or_else(|failure| Change::Failed(external_id, failure), Change::Upsert)
            }
            Err(failure) => Change::Failed(printable(&raw.external_id, 200), failure),
        },
        types::Change::Container(raw) => {
            let checked = bounded_id(&raw.external_id)
                .and_then(|()| shorter_than(MAX_FINGERPRINT_BYTES, "fingerprint", &raw.fingerprint));
            match checked {
                Ok(()) => Change::Container(tributary_core::contract::Container {
                    external_id: raw.external_id,
                    fingerprint: raw.fingerprint,
                    unchanged: raw.unchanged,
                }),
                Err(failure) => Change::Failed(printable(&raw.external_id, 200), failure),
            }
        }
        types::Change::Delete((external_id, gone)) => match bounded_id(&external_id) {
            Ok(()) => Change::Delete(external_id, gone.into()),
            Err(failure) => Change::Failed(printable(&external_id, 200), failure),
        },
        types::Change::Failed((external_id, failure)) => match bounded_id(&external_id) {
            Ok(()) => Change::Failed(external_id, failure.into()),
            Err(_) => Change::Failed(printable(&external_id, 200), failure.into()),
        },
    }
}

/// A descriptor that can be shown and stored.
pub(crate) fn descriptor(raw: types::Descriptor) -> Result<Descriptor, Failure> {
    let bad = |message: String| violation("bad_descriptor", message);
    if !identifier(&raw.id, 64) {
        return Err(bad(format!("its id \"{}\" is not made of a-z, 0-9, `_` and `-`", printable(&raw.id, 64))));
    }
    let version_ok = !raw.version.is_empty()
        && raw.version.len() <= 64
        && raw.version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte));
    if !version_ok {
        return Err(bad(format!("its version \"{}\" is not a semantic version", printable(&raw.version, 64))));
    }
    if raw.config_schema.len() > MAX_SCHEMA_BYTES {
        return Err(bad(format!("its configuration schema has more than {MAX_SCHEMA_BYTES} bytes")));
    }
    let config_schema: serde_json::Value = serde_json::from_str(&raw.config_schema)
        .map_err(|error| bad(format!("its configuration schema is not JSON ({error})")))?;
    if !config_schema.is_object() {
        return Err(bad("its configuration schema is not a JSON object".to_owned()));
    }
    if raw.hosts.len() > 64
        || raw.hosts.iter().any(|host| host.len() > 253 || host.chars().any(crate::text::is_unprintable))
    {
        return Err(bad("it names more than 64 hosts, or one that is no host name".to_owned()));
    }
    if raw.roots.len() > 16 || raw.roots.iter().any(|pointer| pointer.len() > 256 || !pointer.starts_with('/')) {
        return Err(bad("it names more than 16 roots, or one that is no JSON pointer".to_owned()));
    }
    let has = |flag| raw.capabilities.contains(flag);
    Ok(Descriptor {
        capabilities: Capabilities {
            incremental: has(types::Capabilities::INCREMENTAL),
            deletion_feed: has(types::Capabilities::DELETION_FEED),
            enumerate: has(types::Capabilities::ENUMERATE),
            refetch: has(types::Capabilities::REFETCH),
            browse: has(types::Capabilities::BROWSE),
        },
        title: one_line(&raw.title, 200),
        id: raw.id,
        version: raw.version,
        config_schema,
        hosts: raw.hosts,
        roots: raw.roots,
    })
}

/// What `check` found, at most a hundred items.
pub(crate) fn checks(raw: Vec<types::CheckItem>) -> Vec<CheckItem> {
    let one = |item: types::CheckItem| CheckItem {
        name: printable(&item.name, 200),
        status: match item.status {
            types::CheckStatus::Ok => CheckStatus::Ok,
            types::CheckStatus::Warning => CheckStatus::Warning,
            types::CheckStatus::Failed => CheckStatus::Failed,
        },
        message: item.message.map(|message| printable(&message, 1000)),
        config_pointer: item.config_pointer.map(|pointer| printable(&pointer, 256)),
    };
    raw.into_iter().take(MAX_CHECKS).map(one).collect()
}

/// A configuration that a connector wrote: JSON of a bounded length. Whether it fits is for the schema to say.
pub(crate) fn config(raw: String) -> Result<String, Failure> {
    shorter_than(MAX_CONFIG_BYTES, "configuration", &raw)?;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&raw) {
        return Err(violation("bad_config", format!("the configuration it carried over is not JSON ({error})")));
    }
    Ok(raw)
}

/// What a source is to remember, within what its pages might have written.
pub(crate) fn state(raw: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Failure> {
    let size: usize = raw.iter().map(|(key, value)| key.len() + value.len()).sum();
    let bad = |(key, value): &(String, String)| {
        key.is_empty() || key.len() > MAX_KEY_BYTES || key.contains('\0') || value.contains('\0')
    };
    if raw.len() > MAX_WRITES || size > MAX_STATE_BYTES || raw.iter().any(bad) {
        let message = format!(
            "a source may remember {MAX_WRITES} values in {MAX_STATE_BYTES} bytes, with keys of 1 to {MAX_KEY_BYTES} bytes and without NUL"
        );
        return Err(violation("bad_state", message));
    }
    Ok(raw.into_iter().collect())
}

/// Values to choose from, which can be shown.
pub(crate) fn choices(raw: browsing::Choices) -> Result<Choices, Failure> {
    if raw.items.len() > MAX_CHOICES {
        let message = format!("it offers {} choices at once where {MAX_CHOICES} are allowed", raw.items.len());
        return Err(violation("too_many_choices", message));
    }
    let token = |what: &str, token: Option<String>| match token.filter(|token| !token.is_empty()) {
        Some(token) => shorter_than(MAX_CHOICE_BYTES, what, &token).map(|()| Some(token)),
        None => Ok(None),
    };
    let one = |choice: browsing::Choice| {
        let value = choice.value.map(|value| {
            shorter_than(MAX_CHOICE_BYTES, "value of a choice", &value)?;
            serde_json::from_str(&value)
                .map_err(|error| violation("bad_choice", format!("the value of a choice is not JSON ({error})")))
        });
        Ok(Choice {
            value: value.transpose()?,
            title: one_line(&choice.title, 200),
            description: optional(choice.description).map(|text| one_line(&text, 500)),
            opens: token("name of what a choice opens", choice.opens)?,
        })
    };
    let items = raw.items.into_iter().map(one).collect::<Result<_, Failure>>()?;
    Ok(Choices { items, next: token("name of the next choices", raw.next)? })
}

/// What an extractor made of a blob.
pub(crate) fn extracted(raw: types::Extracted) -> Result<Extracted, Failure> {
    Ok(Extracted {
        title: optional(raw.title).map(|title| one_line(&title, 1000)),
        language: optional(raw.language).filter(|tag| identifier(&tag.to_ascii_lowercase(), 35)),
        sections: sections(raw.sections)?,
    })
}

/// The request as the component gets it.
pub(crate) fn request(request: &PullRequest, deadline_ms: u64) -> types::PullRequest {
    types::PullRequest {
        config: request.config.clone(),
        cursor: request.cursor.clone(),
        full: request.full,
        upper_bound: request.upper_bound_ms,
        max_items: request.max_items,
        max_bytes: request.max_bytes,
        deadline_ms,
    }
}

impl From<types::Gone> for Gone {
    fn from(gone: types::Gone) -> Self {
        match gone {
            types::Gone::Deleted => Self::Deleted,
            types::Gone::Trashed => Self::Trashed,
            types::Gone::OutOfScope => Self::OutOfScope,
            types::Gone::AccessLost => Self::AccessLost,
            types::Gone::Unpublished => Self::Unpublished,
        }
    }
}

impl From<Blob> for BlobInfo {
    fn from(blob: Blob) -> Self {
        Self { size_bytes: blob.size_bytes(), sha256: blob.sha256().to_string() }
    }
}

impl From<types::Failure> for Failure {
    fn from(raw: types::Failure) -> Self {
        let fault = match raw.fault {
            types::Fault::Config => Fault::Config,
            types::Fault::AuthInvalid => Fault::AuthInvalid,
            types::Fault::AuthExpired => Fault::AuthExpired,
            types::Fault::Permission => Fault::Permission,
            types::Fault::RateLimited => Fault::RateLimited,
            types::Fault::Transient => Fault::Transient,
            types::Fault::SourceContract => Fault::SourceContract,
            types::Fault::CursorExpired => Fault::CursorExpired,
            types::Fault::NotFound => Fault::NotFound,
            types::Fault::TooLarge => Fault::TooLarge,
            types::Fault::Unsupported => Fault::Unsupported,
            types::Fault::Cancelled => Fault::Cancelled,
            types::Fault::Internal => Fault::Internal,
        };
        Self {
            fault,
            code: if identifier(&raw.code, 64) { raw.code } else { fault.as_str().to_owned() },
            message: printable(&raw.message, 1000),
            retry_after_ms: raw.retry_after_ms.map(|ms| ms.min(MAX_WAIT_MS)),
            config_pointer: raw.config_pointer.map(|pointer| printable(&pointer, 256)),
            http_status: raw.http_status,
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        Self {
            fault: match failure.fault {
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
                Fault::Internal | Fault::Trap | Fault::Deadline | Fault::Memory => types::Fault::Internal,
            },
            code: failure.code,
            message: failure.message,
            retry_after_ms: failure.retry_after_ms,
            config_pointer: failure.config_pointer,
            http_status: failure.http_status,
        }
    }
}
