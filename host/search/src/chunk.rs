//! Chunks: sections cut into passages on sentences, the unit of search and citation.
//!
//! Pure and cheap (it runs inside every sync). The concatenated chunk texts ARE the document's normalised text.

use std::ops::Range;

use tributary_core::{contract::Section, document::ChunkDraft};

use crate::{sentence::sentences, text};

/// A chunk aims at this many tokens, so that most hold 250–350.
const TARGET_TOKENS: f32 = 300.0;
/// A chunk holds no more than this, unless [`MAX_CHUNKS`] forces larger ones.
const MAX_TOKENS: f32 = 350.0;

/// Raised with every change by which the same sections give other chunks: text that was cut before is then cut anew.
pub const REVISION: u32 = 1;

/// Most chunks of one document; longer documents get larger chunks.
pub const MAX_CHUNKS: usize = 2_000;
/// Most headings kept above a chunk.
pub const MAX_HEADINGS: usize = 12;
/// Longest heading, in characters.
pub const MAX_HEADING_CHARS: usize = 200;

/// Normalises `sections` and cuts them into chunks. Never empty: a document without text yields one empty chunk, so that its
/// title can be found.
pub fn chunk(sections: &[Section]) -> Vec<ChunkDraft> {
    let passages = gather(sections);
    let total: f32 = passages.iter().map(|passage| passage.tokens).sum();
    // Half of the allowance is for the sections themselves; the rest leaves room for uneven cuts.
    let target = TARGET_TOKENS.max(total * 3.0 / MAX_CHUNKS as f32);
    let mut chunks = Vec::with_capacity(passages.len());
    let mut start = 0;
    let last = passages.len().saturating_sub(1);
    for (i, passage) in passages.into_iter().enumerate() {
        let mut body = passage.text;
        if i < last {
            body.push_str("\n\n");
        }
        let cuts = cut(&body, passage.tokens, target);
        let whole = cuts.len() == 1;
        for range in cuts {
            let text = if whole { std::mem::take(&mut body) } else { body[range].to_owned() };
            let chars = text.chars().count() as i64;
            chunks.push(ChunkDraft { section: passage.heading.clone(), locator: passage.at.clone(), start, text });
            start += chars;
        }
    }
    if chunks.is_empty() {
        let section = sections.first().map(|section| headings(&section.heading)).unwrap_or_default();
        chunks.push(ChunkDraft { section, locator: None, start: 0, text: String::new() });
    }
    chunks
}

/// One section, or several of a crowd, normalised.
struct Passage {
    heading: Vec<String>,
    at: Option<tributary_core::document::Locator>,
    text: String,
    tokens: f32,
}

/// Normalises the sections. Each keeps a passage of its own, so that a citation names exactly the headings it stands under.
fn gather(sections: &[Section]) -> Vec<Passage> {
    // Far more sections than chunks: join them whatever their parents.
    let crowd = sections.len().div_ceil(MAX_CHUNKS / 2);
    let mut passages: Vec<Passage> = Vec::with_capacity(sections.len().min(MAX_CHUNKS));
    for (i, section) in sections.iter().enumerate() {
        let text = text::normalise(&section.text);
        let tokens = estimate_tokens(&text);
        let heading = headings(&section.heading);
        if crowd > 1
            && i % crowd != 0
            && let Some(before) = passages.last_mut()
        {
            let shared = before.heading.iter().zip(&heading).take_while(|(a, b)| a == b).count();
            before.heading.truncate(shared);
            before.join(&text, tokens);
            continue;
        }
        passages.push(Passage { heading, at: section.at.clone(), text, tokens });
    }
    passages.retain(|passage| !passage.text.is_empty());
    passages
}

impl Passage {
    fn join(&mut self, text: &str, tokens: f32) {
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push_str("\n\n");
        }
        self.text.push_str(text);
        self.tokens += tokens;
    }
}

fn headings(path: &[String]) -> Vec<String> {
    path.iter()
        .map(|heading| text::line(heading).chars().take(MAX_HEADING_CHARS).collect::<String>())
        .filter(|heading| !heading.is_empty())
        .take(MAX_HEADINGS)
        .collect()
}

/// Cuts `text` of `tokens` into pieces of about equal size, none far above `target`, on sentences where they allow it.
fn cut(text: &str, tokens: f32, target: f32) -> Vec<Range<usize>> {
    let limit = MAX_TOKENS.max(target * 1.2);
    if tokens <= limit {
        return std::iter::once(0..text.len()).collect();
    }
    let even = tokens / (tokens / target).ceil();
    let mut cuts = Vec::new();
    let (mut start, mut held) = (0, 0.0);
    for sentence in sentences(text) {
        for piece in bounded(text, sentence, limit) {
            let size = estimate_tokens(&text[piece.clone()]);
            let over = held + size > limit;
            // Past the even share, or closer to it without this piece than with it.
            let enough = held >= even || (held > even * 0.7 && held + size - even > even - held);
            if piece.start > start && (over || enough) {
                cuts.push(start..piece.start);
                start = piece.start;
                held = 0.0;
            }
            held += size;
        }
    }
    cuts.push(start..text.len());
    cuts
}

/// A sentence as pieces of at most `limit` tokens: between words, or inside a word that is too long itself.
fn bounded(text: &str, sentence: Range<usize>, limit: f32) -> Vec<Range<usize>> {
    // A token is at least one byte.
    if (sentence.len() as f32) <= limit || estimate_tokens(&text[sentence.clone()]) <= limit {
        return vec![sentence];
    }
    let mut pieces = Vec::new();
    let mut start = sentence.start;
    let mut held = 0.0;
    let mut in_word = 0;
    for (i, c) in text[sentence.clone()].char_indices() {
        let at = sentence.start + i;
        if held >= limit * 0.9 && (in_word == 0 || held >= limit) && at > start {
            pieces.push(start..at);
            (start, held, in_word) = (at, 0.0, 0);
        }
        if c.is_whitespace() {
            in_word = 0;
        } else {
            held += if in_word == 0 { WORD_TOKENS } else { 0.0 };
            in_word += c.len_utf8();
            if in_word > LONG_WORD_BYTES || !c.is_ascii() {
                held += c.len_utf8() as f32 / BYTES_PER_TOKEN;
            }
        }
    }
    pieces.push(start..sentence.end);
    pieces
}

/// Tokens per word of ordinary prose.
const WORD_TOKENS: f32 = 1.3;
/// Words beyond this many bytes cost more: compounds, URLs.
const LONG_WORD_BYTES: usize = 10;
/// Bytes per token of what costs more: the rest of long words, and letters beyond ASCII anywhere.
const BYTES_PER_TOKEN: f32 = 4.0;

/// About how many tokens a language model makes of `text`, within a few per cent for prose; costs one pass over the bytes.
pub fn estimate_tokens(text: &str) -> f32 {
    let (mut words, mut extra, mut in_word) = (0usize, 0usize, 0usize);
    for &byte in text.as_bytes() {
        if byte.is_ascii_whitespace() {
            in_word = 0;
        } else {
            words += usize::from(in_word == 0);
            in_word += 1;
            extra += usize::from(in_word > LONG_WORD_BYTES || !byte.is_ascii());
        }
    }
    words as f32 * WORD_TOKENS + extra as f32 / BYTES_PER_TOKEN
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn section(heading: &[&str], text: &str) -> Section {
        Section { heading: heading.iter().map(|s| s.to_string()).collect(), text: text.to_owned(), at: None }
    }

    fn prose(sentences: usize) -> String {
        (0..sentences).map(|i| format!("Sentence number {i} says that parcels travel for some days. ")).collect()
    }

    /// What must hold of the chunks of any document.
    fn check(chunks: &[ChunkDraft]) {
        let mut start = 0;
        for chunk in chunks {
            assert_eq!(chunk.start, start);
            start += chunk.text.chars().count() as i64;
        }
        assert!(!chunks.is_empty() && chunks.len() <= MAX_CHUNKS);
    }

    /// Text that was cut before is only cut anew under another revision.
    #[test]
    fn other_chunks_need_another_revision() {
        let long = section(&["Terms", "Returns"], &prose(200));
        let table =
            section(&[], "| sku | price |\n|---|---|\n| A-1 | 19.90 |\n\n* one\n* two\n\nDr. Müller paid 3.5 %. ¿Qué?");
        let crowd: Vec<_> = (0..3_000).map(|n| section(&["List", &n.to_string()], "An entry.")).collect();
        let all = [chunk(&[long, table]), chunk(&crowd), chunk(&[])];
        let hash = tributary_core::hash::Sha256Hash::of(serde_json::to_vec(&all).unwrap()).to_string();
        assert_eq!((REVISION, &hash[..16]), (1, "cbf5e24666a514ad"), "raise REVISION, and write the new pair here");
    }

    #[test]
    fn long_sections_become_even_passages_of_whole_sentences() {
        let chunks = chunk(&[section(&["Shipping"], &prose(100))]);
        check(&chunks);
        assert!(chunks.len() >= 4, "{}", chunks.len());
        for chunk in &chunks {
            let tokens = estimate_tokens(&chunk.text);
            assert!((200.0..=350.0).contains(&tokens), "{tokens}");
            assert!(chunk.text.starts_with("Sentence") && chunk.text.trim_end().ends_with("days."));
            assert_eq!(chunk.section, ["Shipping"]);
        }
    }

    #[test]
    fn every_section_keeps_its_own_headings_however_short() {
        let chunks = chunk(&[section(&["Size", "Width"], "10 cm"), section(&["Size", "Height"], "20 cm")]);
        check(&chunks);
        let found: Vec<_> = chunks.iter().map(|chunk| (chunk.section.join("/"), chunk.text.as_str())).collect();
        assert_eq!(found, [("Size/Width".to_owned(), "10 cm\n\n"), ("Size/Height".to_owned(), "20 cm")]);
    }

    #[test]
    fn a_document_without_text_has_one_empty_chunk() {
        let chunks = chunk(&[]);
        assert_eq!(chunks.len(), 1);
        assert_eq!(chunks[0].text, "");
        assert_eq!(chunk(&[section(&["Only"], " \0 ")])[0].section, ["Only"]);
    }

    #[test]
    fn huge_documents_stay_within_the_number_of_chunks() {
        check(&chunk(&[section(&[], &prose(60_000))]));
        let many: Vec<Section> = (0..9_000).map(|i| section(&["A", &format!("h{i}")], &prose(4))).collect();
        check(&chunk(&many));
        let word = "x".repeat(300_000);
        let chunks = chunk(&[section(&[], &word)]);
        check(&chunks);
        assert!(chunks.iter().all(|chunk| chunk.text.len() < 4_000));
    }

    fn any_section() -> impl Strategy<Value = Section> {
        let text = prop_oneof![any::<String>(), "[a-zé.!? \n]{0,3000}", "(长文本。){0,900}", "[a-z]{0,5000}"];
        (proptest::collection::vec(any::<String>(), 0..4), text).prop_map(|(heading, text)| Section {
            heading,
            text,
            at: None,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn chunks_partition_the_normalised_text(sections in proptest::collection::vec(any_section(), 0..8)) {
            let chunks = chunk(&sections);
            check(&chunks);
            let whole: String = chunks.iter().map(|chunk| chunk.text.as_str()).collect();
            let parts: Vec<String> =
                sections.iter().map(|s| text::normalise(&s.text)).filter(|text| !text.is_empty()).collect();
            prop_assert_eq!(whole, parts.join("\n\n"));
            for chunk in &chunks {
                prop_assert!(estimate_tokens(&chunk.text) <= MAX_TOKENS * 1.1, "{}", estimate_tokens(&chunk.text));
            }
        }
    }
}
