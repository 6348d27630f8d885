//! Extractive answers: which sentences of the passages answer a question. Never a word that is not in a passage.

use crate::{
    analyse::{Analyser, words},
    language::{DEFAULT, Language},
    query::{content_words, readable},
    sentence::sentences,
};

/// Most passages and sentences of each that are looked at.
const MAX_PASSAGES: usize = 50;
const MAX_SENTENCES: usize = 500;

/// A passage to answer from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passage<'a> {
    /// Its text.
    pub text: &'a str,
    /// BCP 47 tag; English when not given.
    pub language: Option<&'a str>,
}

/// A sentence of a passage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sentence {
    /// Which passage, from 0.
    pub passage: usize,
    /// Character offset in the passage's text.
    pub start: usize,
    /// End, exclusive; white space around the sentence is left out.
    pub end: usize,
    /// Higher is better; comparable within one call only.
    pub score: f32,
}

/// The sentences of `passages` (best passage first) that answer `query` best, at most `max`, best first.
///
/// A sentence scores by the rarity of the question's words in it, rarity being counted over all sentences at hand; earlier
/// passages win between equals.
pub fn best_sentences(query: &str, passages: &[Passage<'_>], max: usize) -> Vec<Sentence> {
    let mut analyser = Analyser::new();
    let query = readable(query);
    let mut found = Vec::new();
    let mut terms: Vec<Vec<String>> = Vec::new();
    for (passage, Passage { text, language }) in passages.iter().enumerate().take(MAX_PASSAGES) {
        let language = Language::of(*language);
        let (mut byte, mut char) = (0, 0);
        for range in sentences(text).take(MAX_SENTENCES) {
            let source = &text[range.clone()];
            let lead = source.len() - source.trim_start().len();
            let trimmed = source.trim();
            let start = char + text[byte..range.start + lead].chars().count();
            let end = start + trimmed.chars().count();
            (byte, char) = (range.start + lead + trimmed.len(), end);
            if start < end {
                found.push(Sentence { passage, start, end, score: 0.0 });
                terms.push(words(trimmed).iter().map(|word| analyser.term(&word.text, language)).collect());
            }
        }
    }
    let wanted = content_words(&query, &[DEFAULT]);
    for word in wanted.iter().filter(|word| !word.joined) {
        let term = analyser.term(&word.text, DEFAULT);
        let holding = terms.iter().filter(|terms| terms.contains(&term)).count() as f32;
        let rarity = (1.0 + (found.len() as f32 - holding + 0.5) / (holding + 0.5)).ln();
        for (sentence, _) in found.iter_mut().zip(&terms).filter(|(_, terms)| terms.contains(&term)) {
            sentence.score += rarity;
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(max);
    found
}
