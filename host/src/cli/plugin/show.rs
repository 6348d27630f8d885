//! How things look in the terminal. What a connector says is hostile: nothing of it moves the cursor or hides a line.

use tributary_scenario::{Change, Document, Failure, Outcome, Page};

/// Longest beginning of a text shown.
const SHOWN_CHARS: usize = 80;

/// Names and values, one below the other.
pub(super) fn lines(lines: &[(&str, String)]) -> String {
    lines.iter().map(|(name, value)| format!("{name:<9} {}", printable(value))).collect::<Vec<_>>().join("\n")
}

/// `12.3 KB`
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["KB", "MB", "GB"];
    let mut value = bytes as f64;
    let mut unit = "bytes";
    for next in units {
        if value < 1_000.0 {
            break;
        }
        (value, unit) = (value / 1_000.0, next);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {unit}") }
}

/// `3 documents`, `1 document`
pub(super) fn count(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Without control characters, and characters that change the direction of others.
pub(in crate::cli) fn printable(text: &str) -> String {
    let hidden = |char: char| {
        char.is_control()
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.chars().map(|char| if hidden(char) { ' ' } else { char }).collect()
}

/// One change as a line.
pub(super) fn change(change: &Change) -> String {
    let line = match change {
        Change::Upsert(document) => return upsert(document),
        Change::Container { external_id, unchanged: true, .. } => {
            format!("= {external_id}  and all that was read from it")
        }
        Change::Container { external_id, .. } => format!("  {external_id}  read to its end"),
        Change::Delete(id, why) => format!("- {id}  {why}"),
        Change::Failed(id, failure) => format!("! {id}  {}", self::failure(failure)),
    };
    printable(&line)
}

fn upsert(document: &Document) -> String {
    let Document { external_id, kind, title, text, media_type, size_bytes, .. } = document;
    let Some(text) = text else { return printable(&format!("= {external_id}  unchanged")) };
    let kind = media_type.as_ref().map_or_else(|| kind.clone(), |media_type| format!("{kind}, {media_type}"));
    let title = if title.is_empty() { String::new() } else { format!("  {title:?}") };
    let size = bytes(*size_bytes);
    let fields = match document.fields.len() {
        0 => String::new(),
        fields => format!(", {}", count(fields, "field")),
    };
    let line = printable(&format!("+ {external_id}  [{kind}]{title}  {size}{fields}"));
    format!("{line}{}", beginning(text))
}

/// The first words, when there are any that can be read.
fn beginning(text: &str) -> String {
    if text.chars().take(SHOWN_CHARS).any(|char| char == '\u{fffd}' || char == '\0') {
        return String::new();
    }
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown: String = words.chars().take(SHOWN_CHARS).collect();
    let more = if shown.len() < words.len() { "…" } else { "" };
    if shown.is_empty() { String::new() } else { format!("\n    {}{more}", printable(&shown)) }
}

/// A failure in one line.
pub(super) fn failure(failure: &Failure) -> String {
    let place =
        failure.config_pointer.as_ref().map(|pointer| format!(" (configuration {pointer})")).unwrap_or_default();
    printable(&format!("{}/{}: {}{place}", failure.fault, failure.code, failure.message))
}

/// A page's progress.
pub(super) fn page(number: usize, page: &Page) -> String {
    format!("page {number}: {}", count(page.changes.len(), "change"))
}

/// What a run did, in a sentence or two.
pub(super) fn summary(outcome: &Outcome, documents: usize, bytes_read: u64, requests: u64, seconds: f64) -> String {
    let committed = &outcome.committed;
    let known = if outcome.exhaustive { "everything that exists was named" } else { "absence says nothing" };
    format!(
        "{}: {} added, {} changed, {} unchanged, {} deleted, {} failed; {known}\n{}, {}, {} in {seconds:.1} s",
        count(documents, "document"),
        committed.added.len(),
        committed.updated.len(),
        committed.unchanged.len(),
        committed.deleted.len(),
        outcome.failed.len(),
        count(outcome.pages, "page"),
        count(requests as usize, "read"),
        bytes(bytes_read),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connector_says_cannot_play_with_the_terminal() {
        let failure = Failure::new("internal", "x", "\u{1b}[2Jgone\u{202e}txet\nnext");
        let line = change(&Change::Failed("a\rb".into(), failure));
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains('\u{202e}'));
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            ["0 bytes", "999 bytes", "1.0 KB", "1.5 MB"].map(str::to_owned),
            [0, 999, 1_000, 1_500_000].map(bytes)
        );
    }
}
