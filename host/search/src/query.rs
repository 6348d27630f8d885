//! From the words of a query to weighted index terms. There is no query language: whatever is typed is words.

use std::ops::Range;

use crate::{
    analyse::{Analyser, Word, fold, words},
    language::Language,
    text, weights,
};

/// Longest part of a query that is read, in bytes.
pub(crate) const MAX_QUERY_BYTES: usize = 2_000;
/// Most distinct terms; the first ones count.
const MAX_TERMS: usize = 32;

/// Most stop words that count; their postings are long.
const MAX_STOP_WORDS: usize = 8;

/// One thing to look for: a document matches it by any of its variants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Term {
    /// The word without diacritics, as typed.
    pub plain: String,
    /// Index terms and how much each counts.
    pub variants: Vec<(String, f32)>,
    /// How often the query says it, or less for something it only hints at.
    pub weight: f32,
    /// The words of the query it stands for, as bits.
    pub covers: u32,
    /// A joined or compound form: looked for, but not missed.
    pub optional: bool,
}

/// An analysed query.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Query {
    pub terms: Vec<Term>,
    /// Number of distinct words that should be covered.
    pub words: usize,
    /// Variants of the stop words beside them.
    pub stop_words: Vec<Vec<(String, f32)>>,
}

/// The part of `query` that is read, on one line.
pub(crate) fn readable(query: &str) -> String {
    text::line(&query[..query.floor_char_boundary(MAX_QUERY_BYTES)])
}

/// Words of a query worth looking for: no stop words, unless there is nothing else.
pub(crate) fn content_words(query: &str, languages: &[Language]) -> Vec<Word> {
    split(query, languages).0
}

/// The words of a query: those worth looking for, and the stop words beside them.
fn split(query: &str, languages: &[Language]) -> (Vec<Word>, Vec<Word>) {
    let is_stop = |word: &Word| languages.iter().any(|language| language.is_stop_word(&word.text));
    let (stop, content): (Vec<Word>, Vec<Word>) = words(query).into_iter().partition(is_stop);
    if content.is_empty() { (stop, content) } else { (content, stop) }
}

/// Analyses a readable query in all `languages` at once.
pub(crate) fn parse(query: &str, languages: &[Language]) -> Query {
    let mut analyser = Analyser::new();
    let mut parsed = Query::default();
    let (words, stop) = split(query, languages);
    // Bits of the words that stand at their ranges, for the joined forms.
    let mut placed: Vec<(Range<usize>, u32)> = Vec::new();
    for word in words.iter().filter(|word| !word.joined) {
        let variants = variants(&word.text, languages, &mut analyser);
        if let Some(term) = parsed.terms.iter_mut().find(|term| term.variants == variants) {
            term.weight += 1.0;
            placed.push((word.range.clone(), term.covers));
        } else if parsed.words < MAX_TERMS {
            let covers = 1 << parsed.words;
            parsed.words += 1;
            placed.push((word.range.clone(), covers));
            let plain = fold(&word.text).into_owned();
            parsed.terms.push(Term { plain, variants, weight: 1.0, covers, optional: false });
        }
    }
    for word in words.iter().filter(|word| word.joined) {
        let inside = |range: &Range<usize>| range.start >= word.range.start && range.end <= word.range.end;
        let covers = placed.iter().filter(|(range, _)| inside(range)).fold(0, |bits, (_, bit)| bits | bit);
        parsed.hint(&word.text, covers, 1.0, languages, &mut analyser);
    }
    for pair in words.iter().filter(|word| !word.joined).collect::<Vec<_>>().windows(2) {
        let between = query.get(pair[0].range.end..pair[1].range.start);
        if between.is_some_and(|between| !between.is_empty() && between.trim().is_empty()) {
            let inside = |range: &Range<usize>| *range == pair[0].range || *range == pair[1].range;
            let covers = placed.iter().filter(|(range, _)| inside(range)).fold(0, |bits, (_, bit)| bits | bit);
            let joined = format!("{}{}", pair[0].text, pair[1].text);
            parsed.hint(&joined, covers, weights::COMPOUND, languages, &mut analyser);
        }
    }
    for word in stop.iter().filter(|word| !word.joined) {
        let variants = variants(&word.text, languages, &mut analyser);
        if parsed.stop_words.len() < MAX_STOP_WORDS && !parsed.stop_words.contains(&variants) {
            parsed.stop_words.push(variants);
        }
    }
    parsed
}

impl Query {
    fn hint(&mut self, word: &str, covers: u32, weight: f32, languages: &[Language], analyser: &mut Analyser) {
        let variants = variants(word, languages, analyser);
        if self.terms.len() < 2 * MAX_TERMS && !self.terms.iter().any(|term| term.variants == variants) {
            self.terms.push(Term { plain: fold(word).into_owned(), variants, weight, covers, optional: true });
        }
    }
}

/// The index terms of a word in each of the languages.
pub(crate) fn variants(word: &str, languages: &[Language], analyser: &mut Analyser) -> Vec<(String, f32)> {
    let mut variants: Vec<(String, f32)> = Vec::with_capacity(languages.len());
    for language in languages {
        let term = analyser.term(word, *language);
        if !term.is_empty() && !variants.iter().any(|(other, _)| other == term) {
            variants.push((term.to_owned(), 1.0));
        }
    }
    variants
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::language::DEFAULT;

    fn plain(query: &str) -> Vec<String> {
        parse(query, &[DEFAULT]).terms.into_iter().filter(|term| !term.optional).map(|term| term.plain).collect()
    }

    #[test]
    fn stop_words_stay_only_when_nothing_else_is_there() {
        assert_eq!(plain("How do I return the batteries?"), ["return", "batteries"]);
        assert_eq!(plain("The Who"), ["the", "who"]);
    }

    #[test]
    fn operators_are_words_or_nothing() {
        assert_eq!(plain("title:\"red AND (blue~2^\\"), ["title", "red", "blue", "2"]);
    }

    proptest! {
        #[test]
        fn any_query_is_bounded(query in any::<String>(), many in "([a-z]{1,3} ){0,400}") {
            for query in [query, many] {
                let parsed = parse(&readable(&query), &[DEFAULT, Language::Plain]);
                prop_assert!(parsed.terms.len() <= 2 * MAX_TERMS && parsed.words <= MAX_TERMS);
            }
        }
    }
}
