//! Making text from a guest fit to show: bounded, one line, nothing that moves a terminal or reorders what a person reads.

/// At most `max_bytes` of `text`, cut at a character, with control and direction-changing characters escaped.
pub(crate) fn printable(text: &str, max_bytes: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max_bytes));
    for c in text.chars() {
        if out.len() + c.len_utf8() > max_bytes {
            out.push('…');
            break;
        }
        if is_unprintable(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// The same with every run of white space as one space: titles, headings, names.
pub(crate) fn one_line(text: &str, max_bytes: usize) -> String {
    let words: Vec<_> = prefix(text, max_bytes.saturating_mul(4)).split_whitespace().collect();
    printable(&words.join(" "), max_bytes)
}

/// `text` with NUL replaced: no database column or index takes it.
pub(crate) fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// Controls, line and paragraph separators, and the marks that override text direction.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The longest prefix of `text` of at most `max_bytes`.
pub(crate) fn prefix(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_cuts() {
        assert_eq!(printable("a\x1b[2Jb\nc", 100), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("ééé", 4), "éé…");
        assert_eq!(printable("\u{202e}gpj", 100), "\\u{202e}gpj");
        assert_eq!(prefix("aé", 2), "a");
        assert_eq!(one_line(" a\n  b\t", 100), "a b");
    }
}
