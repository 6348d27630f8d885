//! Extractive answers: which sentences of the passages answer a question. Never a word that is not in a passage.
//!
//! A sentence scores by the share of the question's words it holds (rare ones count more), by what its neighbours and the rank of
//! its passage add, and by whether it holds the kind of thing asked for: a number for `how many`, a name for `who`.

use std::{collections::HashMap, ops::Range};

use crate::{
    analyse::{Analyser, Word, words},
    language::{DEFAULT, Language},
    query::{content_words, readable},
    question::{Kind, is_generic},
    sentence::sentences,
};

/// Most passages that are looked at.
const MAX_PASSAGES: usize = 50;
/// Most sentences of one passage that are looked at.
const MAX_SENTENCES: usize = 500;

// Weights, tuned on the development questions; the share of the question's words in the sentence itself has weight 1.

/// A word with the same beginning (`nation`, `nationality`), as a share of the word itself.
const RELATED: f32 = 0.6;
/// The first passage; the second has half of it, and so on.
const PASSAGE: f32 = 0.3;
/// The share of the question's words that only the neighbouring sentences hold.
const AROUND: f32 = 0.3;
/// The share of the question's neighbouring words that are neighbours here too.
const PAIRS: f32 = 0.15;
/// Holding what is asked for.
const KIND: f32 = 0.2;
/// Taken off fragments of less than [`FRAGMENT_WORDS`].
const FRAGMENT: f32 = 0.2;
const FRAGMENT_WORDS: usize = 4;
/// A word that only says what kind of thing is asked for (`year`, `name`), as a share of other words.
const GENERIC: f32 = 0.4;

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
pub fn best_sentences(query: &str, passages: &[Passage<'_>], max: usize) -> Vec<Sentence> {
    let passages = &passages[..passages.len().min(MAX_PASSAGES)];
    let mut analyser = Analyser::new();
    let query = readable(query);
    let mut languages = vec![DEFAULT];
    for language in passages.iter().map(|passage| Language::of(passage.language)) {
        if !languages.contains(&language) {
            languages.push(language);
        }
    }
    let asked: Vec<Word> = content_words(&query, &languages).into_iter().filter(|word| !word.joined).collect();
    let terms: HashMap<Language, Vec<String>> = languages
        .into_iter()
        .map(|language| (language, asked.iter().map(|word| analyser.term(&word.text, language).to_owned()).collect()))
        .collect();
    let mut read = read(passages, &mut analyser);
    for sentence in &mut read {
        sentence.matches = terms[&sentence.language].iter().map(|term| sentence.holds(term)).collect();
    }
    let rarity = rarity(&asked, &read);
    let sum = rarity.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    let share = |matches: &[f32]| matches.iter().zip(&rarity).map(|(m, r)| m * r).sum::<f32>() / sum;
    let kind = Kind::of(&query);

    let mut found = Vec::with_capacity(read.len());
    for (i, sentence) in read.iter().enumerate() {
        let mut around = sentence.matches.clone();
        for other in [i.checked_sub(1), Some(i + 1)].into_iter().flatten().filter_map(|j| read.get(j)) {
            if other.passage == sentence.passage {
                around.iter_mut().zip(&other.matches).for_each(|(own, theirs)| *own = own.max(*theirs));
            }
        }
        let pairs: f32 = terms[&sentence.language]
            .windows(2)
            .zip(rarity.windows(2))
            .filter(|(pair, _)| sentence.terms.windows(2).any(|two| two == *pair))
            .map(|(_, rarity)| rarity[0] + rarity[1])
            .sum();
        let own = share(&sentence.matches);
        let text = &passages[sentence.passage].text[sentence.bytes.clone()];
        let score = own
            + PASSAGE / (1.0 + sentence.passage as f32)
            + AROUND * (share(&around) - own)
            + PAIRS * pairs / (2.0 * sum)
            + KIND * kind.held_by(text, &asked)
            - if sentence.terms.len() < FRAGMENT_WORDS { FRAGMENT } else { 0.0 };
        found.push(Sentence { passage: sentence.passage, start: sentence.chars.start, end: sentence.chars.end, score });
    }
    // Stable: earlier sentences win between equals.
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    found.truncate(max);
    found
}

/// A sentence made ready.
struct Read {
    passage: usize,
    bytes: Range<usize>,
    chars: Range<usize>,
    language: Language,
    terms: Vec<String>,
    /// For each word of the question how well this sentence holds it, 0 to 1.
    matches: Vec<f32>,
}

impl Read {
    fn holds(&self, term: &str) -> f32 {
        if self.terms.iter().any(|own| own == term) {
            return 1.0;
        }
        let related = |own: &String| {
            let shared = own.chars().zip(term.chars()).take_while(|(a, b)| a == b).count();
            shared >= 4 && shared * 3 >= own.chars().count().max(term.chars().count()) * 2
        };
        if self.terms.iter().any(related) { RELATED } else { 0.0 }
    }
}

fn read(passages: &[Passage<'_>], analyser: &mut Analyser) -> Vec<Read> {
    let mut read = Vec::new();
    for (passage, Passage { text, language }) in passages.iter().enumerate() {
        let language = Language::of(*language);
        let (mut byte, mut char) = (0, 0);
        for range in sentences(text).take(MAX_SENTENCES) {
            let source = &text[range.clone()];
            let start = range.start + source.len() - source.trim_start().len();
            let end = start + source.trim().len();
            if start >= end {
                continue;
            }
            let from = char + text[byte..start].chars().count();
            let to = from + text[start..end].chars().count();
            (byte, char) = (end, to);
            let terms =
                words(&text[start..end]).iter().map(|word| analyser.term(&word.text, language).to_owned()).collect();
            read.push(Read { passage, bytes: start..end, chars: from..to, language, terms, matches: Vec::new() });
        }
    }
    read
}

/// What each word of the question is worth: the fewer of the sentences hold it, the more.
fn rarity(asked: &[Word], read: &[Read]) -> Vec<f32> {
    let total = read.len() as f32;
    let worth = |(i, word): (usize, &Word)| {
        let holding = read.iter().filter(|sentence| sentence.matches[i] >= 1.0).count() as f32;
        let rarity = (1.0 + (total - holding + 0.5) / (holding + 0.5)).ln();
        if is_generic(&word.text) { GENERIC * rarity } else { rarity }
    };
    asked.iter().enumerate().map(worth).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn best(query: &str, text: &str) -> String {
        let passages = [Passage { text, language: None }];
        let best = best_sentences(query, &passages, 1);
        best.first()
            .map_or(String::new(), |found| text.chars().skip(found.start).take(found.end - found.start).collect())
    }

    #[test]
    fn the_sentence_that_holds_the_answer_comes_first() {
        let text = "WX-1 is a lamp. It ships within 19 days to Europe. Returns are free – for 30 days!";
        assert_eq!(best("How many days does it take to ship to Europe?", text), "It ships within 19 days to Europe.");
        assert_eq!(best("Are returns free?", text), "Returns are free – for 30 days!");
    }

    proptest! {
        #[test]
        fn sentences_are_spans_of_their_passage(query in any::<String>(), texts in proptest::collection::vec(any::<String>(), 0..4)) {
            let passages: Vec<Passage<'_>> = texts.iter().map(|text| Passage { text, language: Some("de") }).collect();
            let found = best_sentences(&query, &passages, 5);
            prop_assert!(found.len() <= 5);
            for sentence in found {
                let length = texts[sentence.passage].chars().count();
                prop_assert!(sentence.start < sentence.end && sentence.end <= length && sentence.score.is_finite());
            }
        }
    }
}
