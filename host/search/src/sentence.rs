//! Sentence boundaries: cheap rules over punctuation and line ends, shared by chunking and answers.
//!
//! Full Unicode segmentation costs ten times as much and still splits after `Dr.`; these rules are for text that is read as prose.

use std::ops::Range;

/// Words that end in a full stop without ending a sentence (lower case, without the stop).
const ABBREVIATIONS: &[&str] = &[
    "al", "approx", "art", "bzw", "ca", "cf", "co", "corp", "dept", "dr", "ed", "eds", "eg", "etc", "fig", "gen", "hr",
    "ie", "inc", "jr", "lt", "ltd", "max", "min", "mr", "mrs", "ms", "mt", "nr", "no", "op", "pp", "prof", "rep",
    "rev", "sen", "sgt", "sr", "st", "str", "tel", "usw", "vol", "vs",
];

/// A hard-wrapped line is about this long, in bytes; shorter lines are list items, cells or headings.
const WRAPPED_LINE: Range<usize> = 40..120;

/// Byte ranges of the sentences of `text`, in order. They partition it: white space belongs to the sentence before it.
pub(crate) fn sentences(text: &str) -> Sentences<'_> {
    Sentences { text, start: 0 }
}

/// The iterator behind [`sentences`].
pub(crate) struct Sentences<'a> {
    text: &'a str,
    start: usize,
}

impl Iterator for Sentences<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.start;
        if start == self.text.len() {
            return None;
        }
        let end = self.boundary_after(start);
        self.start = end;
        Some(start..end)
    }
}

impl Sentences<'_> {
    /// Where the sentence that starts at `start` ends, white space included.
    fn boundary_after(&self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut line_start = start;
        let mut at = start;
        while at < bytes.len() {
            match bytes[at] {
                b'\n' => {
                    let end = self.skip_white(at);
                    if self.ends_line(line_start, at, end) {
                        return end;
                    }
                    line_start = end;
                    at = end;
                }
                b'.' | b'!' | b'?' => {
                    let closed = self.skip_closers(at + 1);
                    let end = self.skip_white(closed);
                    if end == bytes.len() || (end > closed && self.ends_sentence(start, at, end)) {
                        return end;
                    }
                    at = closed;
                }
                // Ideographic full stop, full-width ! and ?, ellipsis: all three bytes long.
                0xE2 | 0xE3 | 0xEF => {
                    let c = self.text[at..].chars().next().unwrap_or(' ');
                    let after = at + c.len_utf8();
                    if matches!(c, '。' | '！' | '？') {
                        return self.skip_white(self.skip_closers(after));
                    }
                    if c == '…' {
                        let end = self.skip_white(after);
                        if end > after && self.ends_sentence(start, at, end) {
                            return end;
                        }
                    }
                    at = after;
                }
                _ => at += 1,
            }
        }
        bytes.len()
    }

    fn skip_closers(&self, from: usize) -> usize {
        let rest = &self.text[from..];
        let after = rest.trim_start_matches(['.', '!', '?', '"', '\'', ')', ']', '”', '’', '»', '」', '』', '）']);
        from + rest.len() - after.len()
    }

    fn skip_white(&self, from: usize) -> usize {
        let rest = &self.text[from..];
        from + rest.len() - rest.trim_start().len()
    }

    /// Whether the line end at `at` (white space up to `next`) ends a sentence, or only wraps it.
    fn ends_line(&self, line_start: usize, at: usize, next: usize) -> bool {
        let blank_line = self.text[at + 1..next].contains('\n');
        let goes_on = self.text[next..].chars().next().is_some_and(char::is_lowercase);
        blank_line || !goes_on || !WRAPPED_LINE.contains(&(at - line_start))
    }

    /// Whether the mark at `at`, with white space up to `next` after it, ends the sentence that began at `start`.
    fn ends_sentence(&self, start: usize, at: usize, next: usize) -> bool {
        if self.text[at..next].contains('\n') && self.text[next..].chars().next().is_none_or(|c| !c.is_lowercase()) {
            return true;
        }
        if self.text[next..].chars().next().is_some_and(char::is_lowercase) {
            return false;
        }
        if self.text.as_bytes()[at] != b'.' {
            return true;
        }
        let before = &self.text[start..at];
        let word = before.rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or(before);
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        // Initials (`J. Smith`, `U.S. Army`): single letters between stops.
        let initials = letters > 0 && word.split('.').all(|part| part.chars().count() <= 1);
        let known = word.len() <= 6 && ABBREVIATIONS.contains(&word.replace('.', "").to_lowercase().as_str());
        // `1. First step`: a number that opens a sentence is a list mark.
        let list_mark = word.len() == before.len() && word.len() <= 3 && word.bytes().all(|b| b.is_ascii_digit());
        !(initials || known || list_mark)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).map(|range| text[range].trim_end()).collect()
    }

    #[test]
    fn abbreviations_initials_and_decimals_do_not_end_sentences() {
        assert_eq!(
            split("Dr. J. Smith paid 3.5 million. \"Really?\" he asked. Yes!"),
            ["Dr. J. Smith paid 3.5 million.", "\"Really?\" he asked.", "Yes!"]
        );
        assert_eq!(split("1. Open the box.\n2. Press the button."), ["1. Open the box.", "2. Press the button."]);
    }

    #[test]
    fn wrapped_lines_go_on_and_list_items_do_not() {
        let wrapped = "The warranty of this device covers every part of it\nfor two years. After that it ends.";
        assert_eq!(split(wrapped).len(), 2);
        assert_eq!(split("Red\nGreen\nBlue"), ["Red", "Green", "Blue"]);
        assert_eq!(split("返品は三十日以内です。送料は無料です。"), ["返品は三十日以内です。", "送料は無料です。"]);
    }

    proptest! {
        #[test]
        fn sentences_partition_any_text(text in any::<String>()) {
            let joined: String = sentences(&text).map(|range| &text[range]).collect();
            prop_assert_eq!(joined, text);
        }

        #[test]
        fn sentences_partition_punctuation(text in "[a-z.!?…。\n \"'A1é]{0,80}") {
            let joined: String = sentences(&text).map(|range| &text[range]).collect();
            prop_assert_eq!(joined, text);
        }
    }
}
