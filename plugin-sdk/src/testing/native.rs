//! A connector as an ordinary library, played against by scenarios.

use std::{
    collections::BTreeMap,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use serde_json::{Value as Json, json};
use tributary_scenario::{self as scenario, Ask, Subject, World, joined};

use super::TestHost;
use crate::{
    Change, CheckStatus, Connector, Content, Document, Failure, Fault, Gone, HttpRequest, Method, Next, PullRequest,
    Value,
};

/// A connector that runs in the test itself.
pub struct Native<C>(PhantomData<C>);

impl<C: Connector> Native<C> {
    /// The connector `C`.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<C: Connector> Default for Native<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Connector> Subject for Native<C> {
    fn about(&self) -> Result<scenario::About, scenario::Failure> {
        let descriptor = caught(|| Ok(C::describe()))?;
        Ok(scenario::About {
            id: descriptor.id,
            version: descriptor.version,
            title: descriptor.title,
            config_schema: descriptor.config_schema,
            hosts: descriptor.hosts,
            roots: descriptor.roots,
            browses: descriptor.capabilities.contains(crate::Capabilities::BROWSE),
        })
    }

    fn check(&self, config: &str, world: &Arc<World>) -> Result<Vec<scenario::Checked>, scenario::Failure> {
        let items = caught(|| crate::check::<C>(&host(world, false), config))?;
        let checked = |item: crate::CheckItem| scenario::Checked {
            name: item.name,
            status: match item.status {
                CheckStatus::Ok => "ok",
                CheckStatus::Warning => "warning",
                CheckStatus::Failed => "failed",
            }
            .to_owned(),
            message: item.message,
            config_pointer: item.config_pointer,
        };
        Ok(items.into_iter().map(checked).collect())
    }

    fn browse(
        &self,
        config: &str,
        request: &scenario::Browse,
        world: &Arc<World>,
    ) -> Result<scenario::Choices, scenario::Failure> {
        let scenario::Browse { pointer, at, after } = request.clone();
        let request = crate::Browse { pointer, at, after };
        let choices = caught(|| crate::browse::<C>(&host(world, false), config, &request))?;
        let choice = |choice: crate::Choice| scenario::Choice { value: choice.value, opens: choice.opens };
        Ok(scenario::Choices { items: choices.items.into_iter().map(choice).collect(), next: choices.next })
    }

    fn pull(&self, request: &scenario::Pull, world: &Arc<World>) -> Result<scenario::Page, scenario::Failure> {
        let host = host(world, request.full);
        let request = PullRequest {
            config: request.config.clone(),
            cursor: request.cursor.clone(),
            full: request.full,
            upper_bound: request.upper_bound_ms,
            max_items: request.max_items,
            max_bytes: request.max_bytes,
            deadline_ms: request.deadline_ms,
        };
        let page = caught(|| crate::pull::<C>(&host, &request))?;
        let changes = page.changes.into_iter().map(|one| change(one, &host)).collect::<Result<_, _>>()?;
        let next = match page.next {
            Next::More => scenario::Next::More,
            Next::WaitMs(ms) => scenario::Next::WaitMs(ms),
            Next::Complete => scenario::Next::Complete,
            Next::CompleteExhaustive => scenario::Next::CompleteExhaustive,
        };
        Ok(scenario::Page { changes, cursor: page.cursor, next, state: written(&world.state(), host.memory()) })
    }
}

/// A host that offers what is in the world; a full run does not see the ledger.
fn host(world: &Arc<World>, full: bool) -> TestHost {
    let asked = world.clone();
    let mut host = TestHost::new().with_http(move |request| asked.answer(&ask(request)).map_err(failure_in));
    for (name, folder) in &world.roots {
        host = host.with_root(name, folder);
    }
    if !full {
        world.ledger().into_iter().for_each(|(id, fingerprint)| host.remember(id, Some(fingerprint)));
    }
    for (key, value) in world.state() {
        // What was let in before is let in again.
        let _ = crate::Host::set_state(&host, &key, Some(&value));
    }
    host
}

/// What differs from what was remembered before.
fn written(before: &BTreeMap<String, String>, after: BTreeMap<String, String>) -> BTreeMap<String, Option<String>> {
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), None));
    let mut written: BTreeMap<_, _> = removed.collect();
    let changed = after.into_iter().filter(|(key, value)| before.get(key) != Some(value));
    written.extend(changed.map(|(key, value)| (key, Some(value))));
    written
}

/// A panic of the connector is what a trap is in the sandbox.
fn caught<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, scenario::Failure> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(failure_out),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message");
            Err(scenario::Failure::new("trap", "panicked", format!("the connector panicked: {said}")))
        }
    }
}

fn ask(request: &HttpRequest) -> Ask {
    Ask {
        method: match request.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        }
        .to_owned(),
        url: request.url.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
        credential: request.credential.as_ref().map(|credential| credential.name.clone()),
        max_bytes: request.max_bytes,
    }
}

fn change(change: Change, host: &TestHost) -> Result<scenario::Change, scenario::Failure> {
    Ok(match change {
        Change::Upsert(one) => scenario::Change::Upsert(document(one, host)?),
        Change::Container(one) => scenario::Change::Container {
            external_id: one.external_id,
            fingerprint: one.fingerprint,
            unchanged: one.unchanged,
        },
        Change::Delete((id, why)) => scenario::Change::Delete(
            id,
            match why {
                Gone::Deleted => "deleted",
                Gone::Trashed => "trashed",
                Gone::OutOfScope => "out_of_scope",
                Gone::AccessLost => "access_lost",
                Gone::Unpublished => "unpublished",
            }
            .to_owned(),
        ),
        Change::Failed((id, failure)) => scenario::Change::Failed(id, failure_out(failure)),
    })
}

fn document(document: Document, host: &TestHost) -> Result<scenario::Document, scenario::Failure> {
    let (text, media_type, size_bytes) = match document.content {
        Content::Sections(sections) => {
            let size_bytes = sections.iter().map(|section| section.text.len() as u64).sum();
            let text = joined(sections.iter().map(|section| (section.heading.as_slice(), section.text.as_str())));
            (Some(text), None, size_bytes)
        }
        Content::Blob((blob, media_type)) => {
            let bytes = host.blob_bytes(blob).ok_or_else(|| {
                scenario::Failure::new("source_contract", "contract_broken", "a page names a blob that does not exist")
            })?;
            (Some(String::from_utf8_lossy(&bytes).into_owned()), Some(media_type), bytes.len() as u64)
        }
        Content::Unchanged => (None, None, 0),
    };
    Ok(scenario::Document {
        external_id: document.external_id,
        title: document.title,
        kind: document.kind,
        language: document.language,
        text,
        media_type,
        size_bytes,
        fields: document.fields.into_iter().filter_map(|(name, value)| Some((name, json(value)?))).collect(),
        url: document.provenance.url,
        modified_at_ms: document.provenance.modified_at,
        fingerprint: document.fingerprint,
        container: document.container,
    })
}

/// As the server keeps it.
fn json(value: Value) -> Option<Json> {
    Some(match value {
        Value::Text(text) => Json::String(text),
        Value::Integer(number) => json!(number),
        Value::Number(number) => Json::Number(serde_json::Number::from_f64(number)?),
        Value::Boolean(flag) => Json::Bool(flag),
        Value::Instant(ms) => Json::String(rfc3339(ms)?),
        Value::Money((amount, currency)) => json!({ "amount": amount, "currency": currency }),
        Value::Texts(texts) => json!(texts),
        Value::Json(text) => serde_json::from_str(&text).ok()?,
    })
}

/// `2026-01-31T23:59:59.000Z`. The date is counted as in "chrono-Compatible Low-Level Date Algorithms" (Howard Hinnant).
fn rfc3339(ms: i64) -> Option<String> {
    let (days, of_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let shifted = days.checked_add(719_468)?;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, ms) = (of_day / 1_000, of_day % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"))
}

const FAULTS: [(Fault, &str); 13] = [
    (Fault::Config, "config"),
    (Fault::AuthInvalid, "auth_invalid"),
    (Fault::AuthExpired, "auth_expired"),
    (Fault::Permission, "permission"),
    (Fault::RateLimited, "rate_limited"),
    (Fault::Transient, "transient"),
    (Fault::SourceContract, "source_contract"),
    (Fault::CursorExpired, "cursor_expired"),
    (Fault::NotFound, "not_found"),
    (Fault::TooLarge, "too_large"),
    (Fault::Unsupported, "unsupported"),
    (Fault::Cancelled, "cancelled"),
    (Fault::Internal, "internal"),
];

fn failure_out(failure: Failure) -> scenario::Failure {
    let fault = FAULTS.iter().find(|(fault, _)| *fault == failure.fault).map_or("internal", |(_, name)| name);
    scenario::Failure {
        fault: fault.to_owned(),
        code: failure.code,
        message: failure.message,
        retry_after_ms: failure.retry_after_ms,
        config_pointer: failure.config_pointer,
        http_status: failure.http_status,
    }
}

fn failure_in(failure: scenario::Failure) -> Failure {
    let fault = FAULTS.iter().find(|(_, name)| *name == failure.fault).map_or(Fault::Internal, |(fault, _)| *fault);
    Failure {
        fault,
        code: failure.code,
        message: failure.message,
        retry_after_ms: failure.retry_after_ms,
        config_pointer: failure.config_pointer,
        http_status: failure.http_status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_the_server_writes_them() {
        for (ms, written) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_225_599_123, "2025-12-31T23:59:59.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms).as_deref(), Some(written));
        }
    }
}
