//! Highlights: where the words of a query stand in a text.

use std::{collections::HashMap, ops::Range};

use crate::{
    analyse::{Analyser, words},
    language::{DEFAULT, Language},
    query::{content_words, readable},
};

/// Most highlights in one text.
const MAX_HIGHLIGHTS: usize = 200;

/// Finds the words of one query in text after text; what it learns from one helps with the next.
pub struct Highlighter {
    query: String,
    analyser: Analyser,
    /// Terms of the query in each language asked for so far.
    wanted: HashMap<Language, Vec<String>>,
}

impl Highlighter {
    /// For the content words of `query`.
    pub fn new(query: &str) -> Self {
        Self { query: readable(query), analyser: Analyser::new(), wanted: HashMap::new() }
    }

    /// Character offsets (start, end exclusive) in `text` of words that share a stem with a word of the query; sorted, disjoint.
    /// `language` is that of the text, as a BCP 47 tag; English when not given.
    pub fn highlights(&mut self, text: &str, language: Option<&str>) -> Vec<(usize, usize)> {
        let language = Language::of(language);
        let (query, analyser) = (&self.query, &mut self.analyser);
        let wanted = self.wanted.entry(language).or_insert_with(|| {
            let words = content_words(query, &[DEFAULT, language]).into_iter();
            words.map(|word| analyser.term(&word.text, language).to_owned()).collect()
        });
        let ranges = words(text)
            .into_iter()
            .filter(|word| wanted.iter().any(|wanted| wanted == analyser.term(&word.text, language)))
            .map(|word| word.range);
        offsets(text, ranges.collect())
    }
}

/// Byte ranges as character offsets, without those inside another.
fn offsets(text: &str, mut ranges: Vec<Range<usize>>) -> Vec<(usize, usize)> {
    ranges.sort_unstable_by_key(|range| (range.start, usize::MAX - range.end));
    let mut highlights: Vec<(usize, usize)> = Vec::new();
    let (mut byte, mut char) = (0, 0);
    for range in ranges {
        // A joined form covers its parts.
        if range.start < byte {
            continue;
        }
        let start = char + text[byte..range.start].chars().count();
        let end = start + text[range.clone()].chars().count();
        (byte, char) = (range.end, end);
        highlights.push((start, end));
        if highlights.len() == MAX_HIGHLIGHTS {
            break;
        }
    }
    highlights
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_match_by_stem_and_offsets_count_characters() {
        let text = "Für Bücher: shipped in é 3 days with TN-2110.";
        let marked: Vec<String> = Highlighter::new("shipping of TN2110 and tn-2110")
            .highlights(text, None)
            .into_iter()
            .map(|(start, end)| text.chars().skip(start).take(end - start).collect())
            .collect();
        assert_eq!(marked, ["shipped", "TN-2110"]);
    }

    proptest! {
        #[test]
        fn offsets_are_in_order_and_inside(query in any::<String>(), text in any::<String>()) {
            let length = text.chars().count();
            let mut last = 0;
            for query in [&query, &text] {
                last = 0;
                for (start, end) in Highlighter::new(query).highlights(&text, None) {
                    prop_assert!(last <= start && start < end && end <= length);
                    last = end;
                }
            }
            let _ = last;
        }
    }
}
