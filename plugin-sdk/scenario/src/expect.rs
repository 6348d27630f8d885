//! Whether a run brought what was expected.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{Checked, Document, Expected, ExpectedDocument, Failure, Outcome, Record};

/// Longest text quoted.
const QUOTED_CHARS: usize = 300;

/// What is not as expected, one sentence each.
pub(crate) fn differences(expected: &Expected, outcome: &Outcome, record: &Record) -> Vec<String> {
    let mut found = Vec::new();
    match (&expected.failure, &outcome.failure) {
        (None, Some(failure)) => found.push(format!("the run failed with {failure}")),
        (Some(wanted), None) => found.push(format!("the run did not fail with {wanted}, it ended well")),
        (Some(wanted), Some(failure)) if !is(failure, wanted) => {
            found.push(format!("the run failed with {failure}, not with {wanted}"));
        }
        _ => {}
    }
    if let Some(documents) = &expected.documents {
        for (id, wanted) in documents {
            match record.documents.get(id) {
                None => {
                    found.push(format!("the document {id} is not there; there are {}", list(record.documents.keys())))
                }
                Some(document) => compare(id, wanted, document, &mut found),
            }
        }
        if !expected.more_documents {
            let others = record.documents.keys().filter(|id| !documents.contains_key(*id));
            found.extend(others.map(|id| format!("the document {id} was not expected")));
        }
    }
    if let Some(wanted) = &expected.written {
        same("documents sent with their content", wanted, outcome.written(), &mut found);
    }
    if let Some(wanted) = &expected.deleted {
        same("documents removed", wanted, &outcome.committed.deleted, &mut found);
    }
    if let Some(wanted) = &expected.failed {
        compare_failed(wanted, &outcome.failed, &mut found);
    } else {
        let unexpected = outcome.failed.iter().map(|(id, failure)| format!("the item {id} failed with {failure}"));
        found.extend(unexpected);
    }
    if let Some(most) = expected.requests
        && outcome.requests.len() > most
    {
        let count = outcome.requests.len();
        found.push(format!("{count} requests were sent where at most {most} may be: {}", list(&outcome.requests)));
    }
    if let Some(exhaustive) = expected.exhaustive
        && exhaustive != outcome.exhaustive
    {
        let said = if outcome.exhaustive { "did" } else { "did not" };
        found.push(format!("the run {said} say that it named everything that exists"));
    }
    if let Some(state) = &expected.state
        && *state != record.state
    {
        found.push(format!("the connector remembers {:?}, not {state:?}", record.state));
    }
    found
}

/// Whether a check found what was expected.
pub(crate) fn check_differences(wanted: &[String], checked: &Result<Vec<Checked>, Failure>) -> Vec<String> {
    let items = match checked {
        Ok(items) => items,
        Err(failure) => return vec![format!("the check itself failed with {failure}")],
    };
    let failed: Vec<_> = items.iter().filter(|item| item.status == "failed").collect();
    let names = |item: &Checked, wanted: &String| item.name == *wanted || item.config_pointer.as_ref() == Some(wanted);
    let missing = wanted.iter().filter(|one| !failed.iter().any(|item| names(item, one)));
    let mut found: Vec<_> = missing.map(|one| format!("the check did not find {one:?} failed")).collect();
    let others = failed.iter().filter(|item| !wanted.iter().any(|one| names(item, one)));
    found.extend(others.map(|item| {
        format!("the check found {:?} failed: {}", item.name, item.message.as_deref().unwrap_or_default())
    }));
    found
}

fn compare(id: &str, wanted: &ExpectedDocument, document: &Document, found: &mut Vec<String>) {
    let mut text = |what: &str, wanted: &Option<String>, given: &str| {
        if let Some(wanted) = wanted
            && wanted != given
        {
            found.push(format!("{id}: the {what} is {given:?}, not {wanted:?}"));
        }
    };
    text("title", &wanted.title, &document.title);
    text("kind", &wanted.kind, &document.kind);
    text("url", &wanted.url, document.url.as_deref().unwrap_or_default());
    let content = document.text.as_deref().unwrap_or_default();
    for part in wanted.text.iter().filter(|part| !content.contains(*part)) {
        found.push(format!("{id}: the text does not contain {part:?}; it is {:?}", quote(content)));
    }
    for part in wanted.not_text.iter().filter(|part| content.contains(*part)) {
        found.push(format!("{id}: the text contains {part:?}; it is {:?}", quote(content)));
    }
    for (name, value) in &wanted.fields {
        match document.fields.get(name) {
            None if value.is_null() => {}
            None => found.push(format!("{id}: there is no field {name}; there are {}", list(document.fields.keys()))),
            Some(given) if !equal(given, value) => {
                found.push(format!("{id}: the field {name} is {given}, not {value}"))
            }
            Some(_) => {}
        }
    }
}

/// Numbers are equal by value: 5 and 5.0.
fn equal(one: &Value, other: &Value) -> bool {
    one == other || matches!((one.as_f64(), other.as_f64()), (Some(one), Some(other)) if one == other)
}

fn compare_failed(wanted: &BTreeMap<String, String>, failed: &BTreeMap<String, Failure>, found: &mut Vec<String>) {
    for (id, word) in wanted {
        match failed.get(id) {
            None => found.push(format!("the item {id} did not fail with {word}")),
            Some(failure) if !is(failure, word) => {
                found.push(format!("the item {id} failed with {failure}, not with {word}"));
            }
            Some(_) => {}
        }
    }
    let others = failed.iter().filter(|(id, _)| !wanted.contains_key(*id));
    found.extend(others.map(|(id, failure)| format!("the item {id} failed with {failure}")));
}

/// A fault or a code.
fn is(failure: &Failure, word: &str) -> bool {
    failure.fault == word || failure.code == word
}

fn same<'a>(what: &str, wanted: &[String], given: impl IntoIterator<Item = &'a String>, found: &mut Vec<String>) {
    let wanted: BTreeSet<_> = wanted.iter().collect();
    let given: BTreeSet<_> = given.into_iter().collect();
    if wanted != given {
        found.push(format!("{what}: {}, not {}", list(given), list(wanted)));
    }
}

/// The first of many.
fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 10;
    let items: Vec<_> = items.into_iter().collect();
    let shown: Vec<_> = items.iter().take(SHOWN).map(AsRef::as_ref).collect();
    match items.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{} and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

fn quote(text: &str) -> String {
    text.chars().take(QUOTED_CHARS).collect()
}
