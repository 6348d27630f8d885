//! The extractive answerer: the best sentences of the passages, word for word, each with its citation.
//!
//! It never invents: what it says is a span of a document, and when there is no passage it says so.

use std::collections::HashSet;

use tributary_search::answer::{Passage as Text, best_sentences};
use tributary_store::Passage;

use super::Piece;
use crate::retrieval::cite;

/// Sentences in an answer.
const SENTENCES: usize = 3;
/// A sentence that answers less well than this share of the best one is left out.
const WORTH_SAYING: f32 = 0.6;
/// What is said when nothing was found.
const NOTHING_FOUND: &str = "I found nothing about this in the workspace's documents.";

/// The answer in pieces; `refusal` is said when nothing was found.
pub(super) fn answer(question: &str, passages: &[Passage], refusal: Option<&str>) -> Vec<Piece> {
    let texts: Vec<Text<'_>> =
        passages.iter().map(|passage| Text { text: &passage.text, language: passage.language.as_deref() }).collect();
    let mut sentences = best_sentences(question, &texts, SENTENCES);
    let Some(best) = sentences.first().map(|sentence| sentence.score) else {
        return vec![Piece::Delta(refusal.unwrap_or(NOTHING_FOUND).to_owned())];
    };
    let mut said = HashSet::new();
    sentences.retain(|sentence| {
        let words =
            words(&cite(0, &passages[sentence.passage], sentence.start, sentence.end - sentence.start).cited_text);
        // The same sentence often stands in several documents.
        sentence.score >= best * WORTH_SAYING && said.insert(words)
    });
    let last = sentences.len();
    (1_u32..)
        .zip(sentences)
        .flat_map(|(number, sentence)| {
            let citation = cite(number, &passages[sentence.passage], sentence.start, sentence.end - sentence.start);
            let words = words(&citation.cited_text);
            let gap = if number as usize == last { "" } else { " " };
            [Piece::Delta(format!("{words} [{number}]{gap}")), Piece::Citation(Box::new(citation))]
        })
        .collect()
}

/// A sentence without line breaks: they belong to the document's layout, not to the answer.
fn words(sentence: &str) -> String {
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}
