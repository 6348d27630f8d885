//! Typing mistakes: words that occur nowhere are replaced by the nearest ones that do.

use tantivy::{Term, query::FuzzyTermQuery, schema::Field};

use crate::snapshot::Snapshot;

/// Most replacements of one word.
const MAX_REPLACEMENTS: usize = 3;
/// A replacement is used in at least this share of the entries that the most used one has.
const MIN_SHARE: f32 = 0.1;
/// Most dictionary words looked at per segment and word.
const MAX_CONSIDERED: usize = 2_000;

/// A word that may have been meant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Replacement {
    pub word: String,
    /// Edit distance, 1 or 2; a swap of neighbours counts 1.
    pub distance: u8,
    /// Entries that use it.
    pub uses: u32,
}

/// Words of the index near `word`: those at distance 1, else at distance 2 for longer words. Most used first.
pub(crate) fn replacements(snapshot: &Snapshot, words: Field, word: &str) -> tantivy::Result<Vec<Replacement>> {
    let chars = word.chars().count();
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    // Numbers and part numbers are never corrected into others; one digit among letters is a slip.
    if !(3..=30).contains(&chars) || digits * 3 > chars {
        return Ok(Vec::new());
    }
    for distance in 1..=if chars >= 6 { 2 } else { 1 } {
        let mut near = within(snapshot, words, word, distance)?;
        // People rarely miss the first letter.
        let first = word.chars().next();
        if near.iter().any(|near| near.word.chars().next() == first) {
            near.retain(|near| near.word.chars().next() == first);
        }
        near.sort_unstable_by(|a, b| b.uses.cmp(&a.uses).then_with(|| a.word.cmp(&b.word)));
        let most = near.first().map_or(0, |near| near.uses) as f32;
        near.retain(|near| near.uses as f32 >= most * MIN_SHARE);
        near.truncate(MAX_REPLACEMENTS);
        if !near.is_empty() {
            return Ok(near);
        }
    }
    Ok(Vec::new())
}

fn within(snapshot: &Snapshot, words: Field, word: &str, distance: u8) -> tantivy::Result<Vec<Replacement>> {
    let automaton = FuzzyTermQuery::new(Term::from_field_text(words, word), distance, true).automaton()?;
    let mut near: Vec<Replacement> = Vec::new();
    for segment in &snapshot.segments {
        let mut stream = segment.words.terms().search(&automaton).into_stream()?;
        let mut considered = 0;
        while considered < MAX_CONSIDERED && stream.advance() {
            considered += 1;
            let uses = stream.value().doc_freq;
            let Ok(found) = std::str::from_utf8(stream.key()) else { continue };
            if found.bytes().any(|b| b.is_ascii_digit()) {
                continue;
            }
            match near.iter_mut().find(|other| other.word == found) {
                Some(other) => other.uses += uses,
                None => near.push(Replacement { word: found.to_owned(), distance, uses }),
            }
        }
    }
    Ok(near)
}
