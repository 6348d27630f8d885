//! What changed between two versions: what is said about the document, and its text, line by line.
//!
//! Texts are hostile: their size is bounded before, the time of the comparison and the size of the answer here.

use std::{ops::Range, time::Duration};

use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};
use tributary_core::document::Document;
use tributary_store::DocumentWithText;

/// Both texts together.
pub const MOST_BYTES: i64 = 8 << 20;
/// After that, what is left is called changed as a whole.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Text shown in an answer.
const MOST_SHOWN_BYTES: usize = 1 << 20;
/// Equal lines shown around a change.
const CONTEXT: usize = 3;

/// What changed from one version to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The version that is compared with.
    pub from: i64,
    /// The version that is looked at.
    pub to: i64,
    /// JSON pointer into the document (`/title`, `/fields/price`), what stood there and what stands there; null for nothing.
    pub changes: Vec<(String, Value, Value)>,
    /// Where the text differs.
    pub hunks: Vec<Hunk>,
    /// More hunks are left out.
    pub truncated: bool,
}

/// Lines that changed, with some around them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunk {
    /// Where it stood.
    pub from: Span,
    /// Where it stands.
    pub to: Span,
    /// In order.
    pub lines: Vec<Line>,
}

/// Some lines of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first, from 1.
    pub start: usize,
    /// How many.
    pub lines: usize,
}

/// A line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// In both.
    Kept(String),
    /// In the one that is compared with.
    Removed(String),
    /// In the other.
    Added(String),
}

/// Compares two versions of a document.
pub fn between(from: &DocumentWithText, to: &DocumentWithText) -> Difference {
    let [old, new] = [from, to].map(|it| it.chunks.iter().map(|chunk| chunk.text.as_str()).collect::<String>());
    let (hunks, truncated) = hunks(&old, &new);
    let (from, to) = (&from.document, &to.document);
    Difference { from: from.version, to: to.version, changes: changes(from, to), hunks, truncated }
}

fn changes(from: &Document, to: &Document) -> Vec<(String, Value, Value)> {
    let [old, new] = [from, to].map(|it| {
        let about = [
            ("/title", json!(it.title)),
            ("/kind", json!(it.kind)),
            ("/language", json!(it.language)),
            ("/url", json!(it.url)),
        ];
        let about = about.into_iter().map(|(pointer, value)| (pointer.to_owned(), value));
        let fields = it.fields.iter().map(|(name, value)| (pointer("fields", name), value.clone()));
        let provenance = serde_json::to_value(&it.provenance).unwrap_or_default();
        let provenance = provenance.as_object().cloned().unwrap_or_default().into_iter();
        let provenance = provenance.map(|(name, value)| (pointer("provenance", &name), shown(&name, value)));
        about.chain(fields).chain(provenance).collect::<std::collections::BTreeMap<_, _>>()
    });
    let pointers: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changed = pointers.into_iter().filter_map(|pointer| {
        let [old, new] = [&old, &new].map(|it| it.get(pointer).cloned().unwrap_or_default());
        (old != new).then(|| (pointer.clone(), old, new))
    });
    changed.collect()
}

/// Moments are stored as Unix milliseconds.
fn shown(name: &str, value: Value) -> Value {
    let moment = value.as_i64().filter(|_| name.ends_with("_at")).and_then(chrono::DateTime::from_timestamp_millis);
    moment.map_or(value, |moment| json!(moment))
}

/// RFC 6901.
fn pointer(of: &str, name: &str) -> String {
    format!("/{of}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn hunks(old: &str, new: &str) -> (Vec<Hunk>, bool) {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_lines(old, new);
    let (mut hunks, mut shown) = (Vec::new(), 0);
    for group in diff.grouped_ops(CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (from, to) =
            (span(first.old_range().start..last.old_range().end), span(first.new_range().start..last.new_range().end));
        let mut lines = Vec::new();
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let line = change.value().trim_end_matches(['\n', '\r']).to_owned();
            shown += line.len() + 1;
            if shown > MOST_SHOWN_BYTES {
                return (hunks, true);
            }
            lines.push(match change.tag() {
                ChangeTag::Equal => Line::Kept(line),
                ChangeTag::Delete => Line::Removed(line),
                ChangeTag::Insert => Line::Added(line),
            });
        }
        hunks.push(Hunk { from, to, lines });
    }
    (hunks, false)
}

fn span(lines: Range<usize>) -> Span {
    Span { start: lines.start + 1, lines: lines.len() }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_changed_line_is_shown_with_those_around_it() {
        let lines: Vec<_> = (1..=20).map(|n| format!("line {n}\n")).collect();
        let old = lines.concat();
        let new = old.replace("line 10\n", "line ten\nand a half\n");
        let (hunks, truncated) = hunks(&old, &new);
        assert!(!truncated);
        let [hunk] = &hunks[..] else { panic!("{hunks:?}") };
        assert_eq!((hunk.from, hunk.to), (Span { start: 7, lines: 7 }, Span { start: 7, lines: 8 }));
        assert_eq!(hunk.lines[3], Line::Removed("line 10".to_owned()));
        assert_eq!(hunk.lines[4..6], [Line::Added("line ten".to_owned()), Line::Added("and a half".to_owned())]);
        assert_eq!(super::hunks(&old, &old), (vec![], false));
    }

    #[test]
    fn texts_made_to_take_long_take_no_longer_than_they_may() {
        // Nothing in common, and everything in common in another order.
        let old: String = (0..200_000_u64).map(|n| format!("{}\n", n * 7_919 % 200_003)).collect();
        let new: String = (0..200_000_u64).map(|n| format!("{}\n", n * 104_729 % 200_003)).collect();
        let started = Instant::now();
        let (hunks, truncated) = hunks(&old, &new);
        assert!(started.elapsed() < PATIENCE * 8, "{:?}", started.elapsed());
        let shown: usize = hunks.iter().flat_map(|it| &it.lines).count();
        assert!(truncated && shown <= MOST_SHOWN_BYTES, "{shown}");
    }
}
