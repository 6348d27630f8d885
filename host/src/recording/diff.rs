//! Another connector over the same traffic: which documents would be others.

use std::collections::BTreeMap;

use serde::Serialize;
use tributary_core::contract::{Change, Content, Document, Failure, Next, Section};
use tributary_sandbox::Connector;

use super::{Recording, Returned};

/// What a document would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// New.
    Added,
    /// Other.
    Changed,
    /// No longer named.
    Removed,
    /// Read again, because its fingerprint is another; what it says was not recorded.
    ReadAgain,
}

/// A document that would be another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Affected {
    /// Its name in the source.
    pub external_id: String,
    /// What becomes of it.
    pub effect: Effect,
    /// Which of its members change: `title`, `text`, `fields`, …
    pub members: Vec<&'static str>,
    /// Its text, as recorded.
    pub recorded_text: Option<String>,
    /// Its text by the other connector.
    pub text: Option<String>,
}

/// What would change.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diff {
    /// Documents that would be others, by id.
    pub documents: Vec<Affected>,
    /// Documents that stay as they are.
    pub same: usize,
    /// What the other connector asked for that was not recorded: of what depends on it, nothing is known.
    pub not_recorded: Vec<String>,
    /// What ended it early.
    pub failure: Option<Failure>,
}

/// Documents by id, with the text of those that have one; a deletion is `None`.
type Outcome = BTreeMap<String, Option<(Document, Option<String>)>>;

/// Reads what was recorded with `connector`.
pub async fn diff(connector: &dyn Connector, recording: &Recording) -> Diff {
    let mut before = Outcome::new();
    for returned in recording.pages.iter().filter_map(|page| page.returned.as_ref()) {
        let text = |blob: u64| {
            let bytes = recording.content(returned.blobs.get(blob as usize)?)?;
            Some(String::from_utf8_lossy(bytes).into_owned())
        };
        let Ok(page) = &returned.page else { continue };
        note(&mut before, &page.changes, text);
    }
    let mut diff = Diff::default();
    let after = pull(connector, recording, &mut diff).await;

    let mut ids: Vec<&String> = before.keys().chain(after.keys()).collect();
    ids.sort();
    ids.dedup();
    for id in ids {
        match compare(id, before.get(id).and_then(Option::as_ref), after.get(id).and_then(Option::as_ref)) {
            Some(affected) => diff.documents.push(affected),
            None => diff.same += 1,
        }
    }
    diff
}

/// Pages of another connector, as many as it likes within reason, over everything that was recorded.
async fn pull(connector: &dyn Connector, recording: &Recording, diff: &mut Diff) -> Outcome {
    let mut after = Outcome::new();
    let Some(first) = recording.pages.first() else { return after };
    let player = recording.throughout();
    let mut begin = first.begin.clone();
    for number in 0..recording.pages.len() * 10 + 10 {
        // The same time and chance, as far as they were recorded.
        begin.moment = recording.pages.get(number).map_or(begin.moment, |page| page.begin.moment);
        let services = player.services(&begin);
        let result = connector.pull(&begin.request, &services).await;
        let (returned, contents) = Returned::of(&result, &services);
        match result {
            Ok(page) => {
                let changes = returned.page.map(|page| page.changes).unwrap_or_default();
                let text = |blob: u64| Some(String::from_utf8_lossy(contents.get(blob as usize)?).into_owned());
                note(&mut after, &changes, text);
                player.remember(&returned.state);
                begin.request.cursor = page.cursor;
                if matches!(page.next, Next::Complete | Next::CompleteExhaustive) {
                    break;
                }
            }
            Err(failure) => {
                diff.failure = Some(failure);
                break;
            }
        }
    }
    diff.not_recorded = player.missing();
    after
}

fn note(outcome: &mut Outcome, changes: &[Change], blob: impl Fn(u64) -> Option<String>) {
    for change in changes {
        match change {
            Change::Upsert(document) => {
                let text = match &document.content {
                    Content::Sections(sections) => Some(joined(sections)),
                    Content::Blob { blob: number, .. } => blob(*number),
                    Content::Unchanged => None,
                };
                outcome.insert(document.external_id.clone(), Some((document.clone(), text)));
            }
            Change::Delete(id, _) => {
                outcome.insert(id.clone(), None);
            }
            Change::Container(_) | Change::Failed(..) => {}
        }
    }
}

fn joined(sections: &[Section]) -> String {
    tributary_scenario::joined(sections.iter().map(|section| (section.heading.as_slice(), section.text.as_str())))
}

/// What becomes of a document, when it is not the same.
fn compare(
    id: &str,
    before: Option<&(Document, Option<String>)>,
    after: Option<&(Document, Option<String>)>,
) -> Option<Affected> {
    let affected = |effect, members| Affected {
        external_id: id.to_owned(),
        effect,
        members,
        recorded_text: before.and_then(|(_, text)| text.clone()),
        text: after.and_then(|(_, text)| text.clone()),
    };
    let ((one, one_text), (other, other_text)) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (None, Some(_)) => return Some(affected(Effect::Added, Vec::new())),
        (Some(_), None) => return Some(affected(Effect::Removed, Vec::new())),
        (None, None) => return None,
    };
    match (&one.content, &other.content) {
        (Content::Unchanged, Content::Unchanged) => return None,
        (Content::Unchanged, _) | (_, Content::Unchanged) => return Some(affected(Effect::ReadAgain, Vec::new())),
        _ => {}
    }
    let kind = |content: &Content| match content {
        Content::Blob { media_type, .. } => Some(media_type.clone()),
        _ => None,
    };
    let members = [
        ("title", one.title != other.title),
        ("kind", one.kind != other.kind),
        ("language", one.language != other.language),
        ("text", one_text != other_text),
        ("media_type", kind(&one.content) != kind(&other.content)),
        ("fields", one.fields != other.fields),
        ("provenance", one.provenance != other.provenance),
        ("container", one.container != other.container),
    ];
    let members: Vec<_> = members.into_iter().filter(|(_, differs)| *differs).map(|(member, _)| member).collect();
    (!members.is_empty()).then(|| affected(Effect::Changed, members))
}
