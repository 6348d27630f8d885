//! Text normalisation: what every passage, title and heading goes through before it is stored, cited or indexed.
//!
//! Offsets of citations count characters of this form, so a change here is a change of every document.

use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Longest run of spaces or tabs that is kept; longer ones are cut to this.
const MAX_BLANK_RUN: usize = 16;

/// Normalises running text: NFC, `\n` line ends, no control, bidirectional-override or zero-width characters,
/// no white space at line ends, at most one empty line in a row, nothing around it. Idempotent.
pub fn normalise(text: &str) -> String {
    if text.is_ascii() {
        return tidy(text.chars());
    }
    // Dropping first lets marks compose that a dropped character kept apart; tidying after it sees only settled characters.
    let composed: String = text.replace("\r\n", "\n").chars().filter_map(admit).nfc().collect();
    tidy(composed.chars())
}

/// Normalises a title, heading or name: as [`normalise`], then on one line with single spaces.
pub fn line(text: &str) -> String {
    let normal = normalise(text);
    let mut line = String::with_capacity(normal.len());
    for word in normal.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    line
}

/// Whether `text` is unchanged by [`normalise`].
pub fn is_normal(text: &str) -> bool {
    is_nfc(text) && normalise(text) == text
}

/// What stands for one character; `None` drops it.
fn admit(c: char) -> Option<char> {
    match c {
        '\n' | '\t' => Some(c),
        '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some('\n'),
        // Soft hyphen, zero-width space, word joiner, bidirectional controls, byte order mark.
        '\u{AD}'
        | '\u{200B}'
        | '\u{200E}'
        | '\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'
        | '\u{2066}'..='\u{2069}'
        | '\u{FEFF}' => None,
        c if c.is_control() => None,
        c => Some(c),
    }
}

/// Line ends and white space; `chars` may still hold control characters when it comes from ASCII text.
fn tidy(chars: impl Iterator<Item = char>) -> String {
    let (low, _) = chars.size_hint();
    let mut out = String::with_capacity(low);
    let mut newlines = 0;
    let mut blanks = String::new();
    let mut blank_run = 0;
    let mut after_return = false;
    for c in chars {
        // CRLF is one line end.
        if c == '\n' && after_return {
            after_return = false;
            continue;
        }
        after_return = c == '\r';
        let Some(c) = admit(c) else { continue };
        if c == '\n' {
            newlines += 1;
            blanks.clear();
            blank_run = 0;
        } else if c.is_whitespace() {
            if blank_run < MAX_BLANK_RUN {
                blanks.push(c);
                blank_run += 1;
            }
        } else {
            if !out.is_empty() {
                for _ in 0..newlines.min(2) {
                    out.push('\n');
                }
                out.push_str(&blanks);
            }
            out.push(c);
            newlines = 0;
            blanks.clear();
            blank_run = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn line_ends_controls_and_composition_are_settled() {
        assert_eq!(normalise("a\r\nb\rc\0d\u{FEFF}"), "a\nb\ncd");
        assert_eq!(normalise("  cafe\u{301}  \n\n\n\n x\u{202E}y "), "café\n\n xy");
        assert_eq!(line(" A\n long\t title "), "A long title");
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in any::<String>()) {
            let once = normalise(&text);
            prop_assert_eq!(&normalise(&once), &once);
            prop_assert!(is_normal(&once));
            prop_assert!(!once.contains('\0') && !once.contains('\r'));
        }

        #[test]
        fn white_space_is_bounded(text in "[ \t\n\r\u{a0}\u{3000}ae\u{301}]{0,200}") {
            let once = normalise(&text);
            prop_assert_eq!(&normalise(&once), &once);
            prop_assert!(!once.contains("\n\n\n"));
        }
    }
}
