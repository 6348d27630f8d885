//! Ranking: BM25F over the live entries of a snapshot, identifiers pinned above, ties broken by names.
//!
//! The score is a function of the query and the set of live documents alone: not of segments, batches, deletions or the order of
//! arrival. So every term is read to its end (no early stop by upper bounds), which also gives exact document frequencies.

use std::sync::{LazyLock, Mutex};

use tantivy::{index::InvertedIndexReader, schema::IndexRecordOption};
use tributary_core::query::Hit;

use crate::{
    analyse::Analyser,
    filter::Prepared,
    identifier::candidates,
    indexes::SearchRequest,
    query::{Query, parse, readable, variants},
    schema::{BODY, Entries, HEADINGS, TEXTS, TITLE},
    snapshot::Snapshot,
    spelling::replacements,
    weights,
};

/// Most hits of one search.
pub(crate) const MAX_LIMIT: usize = 1_000;
/// Most words of one query that are corrected.
const MAX_CORRECTED: usize = 4;

/// Finds the best passages for `request` in `snapshot`.
pub(crate) fn search(
    snapshot: &Snapshot,
    entries: &Entries,
    request: &SearchRequest,
    pool: &ScratchPool,
) -> tantivy::Result<Vec<Hit>> {
    let limit = request.limit.min(MAX_LIMIT);
    let text = readable(&request.query);
    if limit == 0 || text.is_empty() || snapshot.live == 0 {
        return Ok(Vec::new());
    }
    let query = parse(&text, &snapshot.languages);
    let filter = Prepared::new(&request.filters, snapshot)?;
    let mut scratch = pool.take(snapshot.len as usize);
    let ranked = scratch.score(snapshot, entries, &query).and_then(|()| {
        let pinned = pinned(snapshot, &text)?;
        Ok(scratch.best(snapshot, &filter, query.words, pinned, limit, request.per_document))
    });
    scratch.clear();
    pool.give(scratch);
    ranked
}

/// Entries that bear (tier 2) or mention in their title (tier 1) an identifier the query names.
fn pinned(snapshot: &Snapshot, query: &str) -> tantivy::Result<Vec<(u32, u8)>> {
    let candidates = candidates(query);
    let mut pinned = Vec::new();
    for segment in &snapshot.segments {
        for candidate in &candidates {
            for (reader, tier) in [(&segment.identifiers, 2), (&segment.mentions, 1)] {
                each(reader, &candidate.form, IndexRecordOption::Basic, |entry, _| {
                    if segment.is_alive(entry) {
                        pinned.push((segment.base + entry, tier));
                    }
                })?;
            }
        }
    }
    pinned.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    pinned.dedup_by_key(|(entry, _)| *entry);
    Ok(pinned)
}

/// Calls `visit` with entry and frequency for each posting of a term.
fn each(
    reader: &InvertedIndexReader,
    term: &str,
    option: IndexRecordOption,
    mut visit: impl FnMut(u32, u32),
) -> tantivy::Result<()> {
    if let Some(info) = reader.terms().get(term)? {
        let mut block = reader.read_block_postings_from_terminfo(&info, option)?;
        while !block.docs().is_empty() {
            match option {
                IndexRecordOption::Basic => block.docs().iter().for_each(|entry| visit(*entry, 1)),
                _ => block.docs().iter().zip(block.freqs()).for_each(|(entry, frequency)| visit(*entry, *frequency)),
            }
            block.advance();
        }
    }
    Ok(())
}

/// By field, the frequencies 0 to 63 after [`weights::REPETITION`].
fn repeated() -> &'static [[f32; 64]; TEXTS] {
    static TABLE: LazyLock<[[f32; 64]; TEXTS]> = LazyLock::new(|| {
        std::array::from_fn(|field| std::array::from_fn(|n| (n as f32).powf(weights::REPETITION[field])))
    });
    &TABLE
}

/// Sums per entry, reused between queries; all zero when not in use.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Weighted frequency of the current term.
    frequency: Vec<f32>,
    /// Entries with a frequency.
    touched: Vec<u32>,
    /// Score so far.
    score: Vec<f32>,
    /// Words of the query found so far, as bits.
    covered: Vec<u32>,
    /// Entries with a score.
    matched: Vec<u32>,
}

impl Scratch {
    fn score(&mut self, snapshot: &Snapshot, entries: &Entries, query: &Query) -> tantivy::Result<()> {
        let mut corrected = 0;
        for term in &query.terms {
            self.gather(snapshot, &term.variants)?;
            if self.touched.is_empty() && !term.optional && corrected < MAX_CORRECTED {
                corrected += 1;
                let meant = meant(snapshot, entries, &term.plain)?;
                self.gather(snapshot, &meant)?;
            }
            self.add(snapshot, self.touched.len(), term.weight, term.covers);
        }
        for variants in &query.stop_words {
            let found = self.gather_matched(snapshot, variants)?;
            self.add(snapshot, found, weights::STOP_WORD, 0);
        }
        Ok(())
    }

    /// Sums the weighted, length-normalised frequencies of a term's variants over all fields.
    fn gather(&mut self, snapshot: &Snapshot, variants: &[(String, f32)]) -> tantivy::Result<()> {
        for (variant, share) in variants {
            for field in 0..TEXTS {
                self.read(snapshot, field, variant, *share, false)?;
            }
        }
        Ok(())
    }

    /// The same for a stop word, over prose and for entries that have a score already; answers in how many entries it occurs.
    fn gather_matched(&mut self, snapshot: &Snapshot, variants: &[(String, f32)]) -> tantivy::Result<usize> {
        let mut found = 0;
        for (variant, share) in variants {
            for field in [TITLE, HEADINGS, BODY] {
                found = found.max(self.read(snapshot, field, variant, *share, true)?);
            }
        }
        Ok(found)
    }

    /// Adds up one term in one field; answers in how many live entries it occurs.
    fn read(
        &mut self,
        snapshot: &Snapshot,
        field: usize,
        term: &str,
        share: f32,
        matched_only: bool,
    ) -> tantivy::Result<usize> {
        let mut found = 0;
        let (table, repeated) = (&snapshot.norm[field], &repeated()[field]);
        for segment in &snapshot.segments {
            let Some(norms) = &segment.norms[field] else { continue };
            each(&segment.text[field], term, IndexRecordOption::WithFreqs, |entry, frequency| {
                if !segment.is_alive(entry) {
                    return;
                }
                found += 1;
                let at = (segment.base + entry) as usize;
                if matched_only && self.score[at] == 0.0 {
                    return;
                }
                if self.frequency[at] == 0.0 {
                    self.touched.push(at as u32);
                }
                self.frequency[at] +=
                    share * repeated[frequency.min(63) as usize] * table[usize::from(norms.fieldnorm_id(entry))];
            })?;
        }
        Ok(found)
    }

    /// Adds the gathered term, which occurs in `found` entries, to the scores.
    fn add(&mut self, snapshot: &Snapshot, found: usize, weight: f32, covers: u32) {
        let (live, found) = (snapshot.live as f32, found as f32);
        let rarity = weight * (1.0 + (live - found + 0.5) / (found + 0.5)).ln();
        for entry in self.touched.drain(..) {
            let at = entry as usize;
            let frequency = std::mem::take(&mut self.frequency[at]);
            if self.score[at] == 0.0 {
                self.matched.push(entry);
            }
            self.score[at] += rarity * frequency * (weights::SATURATION + 1.0) / (frequency + weights::SATURATION);
            self.covered[at] |= covers;
        }
    }

    /// The best `limit` of the matched and pinned entries that pass `filter`.
    fn best(
        &mut self,
        snapshot: &Snapshot,
        filter: &Prepared,
        words: usize,
        pinned: Vec<(u32, u8)>,
        limit: usize,
        per_document: bool,
    ) -> Vec<Hit> {
        for (entry, _) in &pinned {
            if self.score[*entry as usize] == 0.0 {
                self.matched.push(*entry);
            }
        }
        let mut found: Vec<(f32, u32)> = Vec::with_capacity(self.matched.len());
        let mut highest = 0.0f32;
        for &entry in &self.matched {
            if !filter.is_empty() {
                let (place, segment) = snapshot.locate(entry);
                if !filter.passes(place, segment, entry - segment.base) {
                    continue;
                }
            }
            let mut score = self.score[entry as usize];
            if (2..=weights::COVERED_WORDS).contains(&words) {
                let share = self.covered[entry as usize].count_ones() as f32 / words as f32;
                score *= share.powi(weights::COVERAGE);
            }
            highest = highest.max(score);
            found.push((score, entry));
        }
        for (score, entry) in &mut found {
            if let Ok(at) = pinned.binary_search_by_key(entry, |(entry, _)| *entry) {
                *score += (highest + 1.0) * f32::from(pinned[at].1);
            }
        }
        self.choose(snapshot, found, limit, per_document)
    }

    /// The first `limit` of `found` in order, each document once when asked.
    fn choose(&self, snapshot: &Snapshot, mut found: Vec<(f32, u32)>, limit: usize, per_document: bool) -> Vec<Hit> {
        let mut wanted = limit * if per_document { 4 } else { 1 };
        loop {
            let mut top = found.split_off(0);
            if wanted < top.len() {
                top.select_nth_unstable_by(wanted, |a, b| b.0.total_cmp(&a.0));
                let least = top[wanted].0;
                // All that tie with the last one are candidates too.
                found = top.iter().copied().filter(|(score, _)| *score < least).collect();
                top.retain(|(score, _)| *score >= least);
            }
            let all = found.is_empty();
            let hits = order(snapshot, &mut top, limit, per_document);
            if hits.len() >= limit || all {
                return hits;
            }
            found.append(&mut top);
            wanted *= 4;
        }
    }

    fn clear(&mut self) {
        for entry in self.touched.drain(..) {
            self.frequency[entry as usize] = 0.0;
        }
        for entry in self.matched.drain(..) {
            self.score[entry as usize] = 0.0;
            self.covered[entry as usize] = 0;
        }
    }
}

/// Index terms for what `word`, which occurs nowhere, may have meant.
fn meant(snapshot: &Snapshot, entries: &Entries, word: &str) -> tantivy::Result<Vec<(String, f32)>> {
    let mut analyser = Analyser::new();
    let mut meant: Vec<(String, f32)> = Vec::new();
    for near in replacements(snapshot, entries.words, word)? {
        let share = weights::CORRECTION.powi(i32::from(near.distance));
        for (term, _) in variants(&near.word, &snapshot.languages, &mut analyser) {
            if !meant.iter().any(|(other, _)| *other == term) {
                meant.push((term, share));
            }
        }
    }
    Ok(meant)
}

/// Sorts by score, then external id, document id and chunk; answers the first `limit`.
fn order(snapshot: &Snapshot, top: &mut [(f32, u32)], limit: usize, per_document: bool) -> Vec<Hit> {
    top.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut hits: Vec<Hit> = Vec::with_capacity(limit);
    for tied in top.chunk_by(|a, b| a.0 == b.0) {
        if hits.len() >= limit {
            break;
        }
        for entry in tie_break(snapshot, tied) {
            let (_, segment) = snapshot.locate(entry);
            let at = entry - segment.base;
            let document_id = segment.document(at);
            if per_document && hits.iter().any(|hit| hit.document_id == document_id) {
                continue;
            }
            hits.push(Hit { document_id, version: segment.version(at), chunk: segment.chunk(at), score: tied[0].0 });
            if hits.len() >= limit {
                break;
            }
        }
    }
    hits
}

/// Entries of equal score in the order of external id, document id and chunk. The external id comes first because document ids
/// differ between two servers that were given the same documents.
fn tie_break(snapshot: &Snapshot, tied: &[(f32, u32)]) -> Vec<u32> {
    if let [(_, entry)] = tied {
        return vec![*entry];
    }
    let mut named: Vec<_> = tied
        .iter()
        .map(|(_, entry)| {
            let (_, segment) = snapshot.locate(*entry);
            let at = entry - segment.base;
            let name = segment.external_id(segment.external_ordinal(at));
            (name, segment.document(at), segment.chunk(at), *entry)
        })
        .collect();
    named.sort_unstable();
    named.into_iter().map(|(.., entry)| entry).collect()
}

/// A few scratch spaces, so that a query need not allocate and zero one.
#[derive(Default)]
pub(crate) struct ScratchPool(Mutex<Vec<Scratch>>);

impl ScratchPool {
    /// Scratch spaces kept.
    const KEPT: usize = 8;
    /// Larger ones are freed after use, in entries (12 bytes each).
    const MAX_KEPT_LEN: usize = 1 << 20;

    fn take(&self, len: usize) -> Scratch {
        let mut scratch = self.0.lock().unwrap_or_else(|broken| broken.into_inner()).pop().unwrap_or_default();
        if scratch.score.len() < len {
            scratch.frequency.resize(len, 0.0);
            scratch.score.resize(len, 0.0);
            scratch.covered.resize(len, 0);
        }
        scratch
    }

    fn give(&self, scratch: Scratch) {
        let mut pool = self.0.lock().unwrap_or_else(|broken| broken.into_inner());
        if pool.len() < Self::KEPT && scratch.score.len() <= Self::MAX_KEPT_LEN {
            pool.push(scratch);
        }
    }
}
