//! The analyser: text to words, words to index terms. Used alike for documents, queries, highlights and answers.
//!
//! Any change of the terms made here needs a new [`VERSION`], which drops and rebuilds every index.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use frostem::Stemmer;
use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use crate::language::Language;

/// Version of the terms in an index.
pub(crate) const VERSION: u32 = 1;

/// Longer words are cut: nobody types them, and a term must fit the dictionary.
const MAX_WORD_CHARS: usize = 40;
/// Most parts of a compound that is also indexed in its joined form.
const MAX_JOINED_PARTS: usize = 6;
/// Stems remembered by one analyser.
const MAX_CACHED_STEMS: usize = 20_000;

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Lower case, without separators.
    pub text: String,
    /// Where it stands, in bytes.
    pub range: Range<usize>,
    /// `tn2110` of `TN-2110`: the joined form of the words within `range`, which stand on their own as well.
    pub joined: bool,
}

/// The words of `text`: runs of letters and digits, lower case; ideographs as overlapping pairs; part numbers and hyphenated
/// words also joined.
pub(crate) fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::with_capacity(text.len() / 6 + 1);
    // Words directly linked by one separator, from this index on.
    let mut chain = 0;
    let mut at = 0;
    for run in runs(text) {
        let linked = is_link(&text[at..run.start]) && words.len() > chain;
        if !linked {
            join(text, &mut words, chain);
            chain = words.len();
        }
        at = run.end;
        push_run(text, run, &mut words);
    }
    join(text, &mut words, chain);
    words
}

/// Byte ranges of runs of letters, digits and marks.
fn runs(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let start = loop {
            let (i, c) = chars.next()?;
            if c.is_alphanumeric() {
                break i;
            }
        };
        let mut end = text.len();
        while let Some(&(i, c)) = chars.peek() {
            if !(c.is_alphanumeric() || is_combining_mark(c)) {
                end = i;
                break;
            }
            chars.next();
        }
        Some(start..end)
    })
}

fn is_link(between: &str) -> bool {
    matches!(between, "-" | "_" | "/" | "." | "\u{2010}" | "\u{2011}")
}

fn push_run(text: &str, run: Range<usize>, words: &mut Vec<Word>) {
    let source = &text[run.clone()];
    if source.is_ascii() {
        // `don't` is one word, the `s` of `Anna's` is none.
        let apostrophe = text[..run.start].ends_with(['\'', '’'])
            && words.last().is_some_and(|word| !word.joined && run.start - word.range.end <= '’'.len_utf8());
        if apostrophe && source.eq_ignore_ascii_case("s") {
            return;
        }
        if apostrophe
            && source.eq_ignore_ascii_case("t")
            && let Some(word) = words.last_mut()
        {
            word.text.push('t');
            word.range.end = run.end;
            return;
        }
        let mut lower = source[..source.len().min(MAX_WORD_CHARS)].to_owned();
        lower.make_ascii_lowercase();
        words.push(Word { text: lower, range: run, joined: false });
    } else if source.contains(is_ideograph) {
        push_ideographs(run.start, source, words);
    } else {
        let lower = source.to_lowercase().chars().take(MAX_WORD_CHARS).collect();
        words.push(Word { text: lower, range: run, joined: false });
    }
}

/// Scripts written without spaces become overlapping pairs (a single one stays alone), other letters among them words.
fn push_ideographs(offset: usize, source: &str, words: &mut Vec<Word>) {
    let mut chars = source.char_indices().peekable();
    while let Some((start, first)) = chars.next() {
        let mut end = start + first.len_utf8();
        if is_ideograph(first) {
            let next = chars.peek().filter(|(_, c)| is_ideograph(*c));
            let alone = next.is_none() && !source[..start].ends_with(is_ideograph);
            if let Some((i, c)) = next {
                end = i + c.len_utf8();
            } else if !alone {
                continue;
            }
        } else {
            while let Some((i, c)) = chars.next_if(|(_, c)| !is_ideograph(*c)) {
                end = i + c.len_utf8();
            }
        }
        let text = source[start..end].to_lowercase().chars().take(MAX_WORD_CHARS).collect();
        words.push(Word { text, range: offset + start..offset + end, joined: false });
    }
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}'
        | '\u{0E00}'..='\u{0E7F}' | '\u{20000}'..='\u{3FFFF}')
}

/// Adds the joined form of the linked words from `chain` on: `TN-2110` → `tn2110`, `wi-fi` → `wifi`.
fn join(text: &str, words: &mut Vec<Word>, chain: usize) {
    let parts = &words[chain..];
    // Pairs of ideographs touch or overlap; they are not parts of anything.
    let apart = parts.windows(2).all(|pair| pair[0].range.end < pair[1].range.start);
    if parts.len() < 2 || parts.len() > MAX_JOINED_PARTS || !apart {
        return;
    }
    let range = parts[0].range.start..parts[parts.len() - 1].range.end;
    let letters = parts.iter().any(|part| part.text.chars().any(char::is_alphabetic));
    let digits = parts.iter().any(|part| part.text.bytes().any(|b| b.is_ascii_digit()));
    let hyphens = !text[range.clone()].contains(['.', '/', '_']);
    // Plain words keep apart at `/` and `.` (`and/or`), plain numbers at everything but hyphens (`2.13`, `16/9`).
    if hyphens || (letters && digits) {
        let joined: String = parts.iter().map(|part| part.text.as_str()).collect();
        if joined.chars().count() <= MAX_WORD_CHARS {
            words.push(Word { text: joined, range, joined: true });
        }
    }
}

/// Turns words into index terms of one language, remembering stems: documents repeat their words.
pub(crate) struct Analyser {
    stemmers: HashMap<Language, (Option<Stemmer>, HashMap<String, String>)>,
}

impl Default for Analyser {
    fn default() -> Self {
        Self::new()
    }
}

impl Analyser {
    /// One without memory yet.
    pub(crate) fn new() -> Self {
        Self { stemmers: HashMap::new() }
    }

    /// The index term of a lower-case word: its stem without diacritics. Words with digits are not stemmed.
    pub(crate) fn term(&mut self, word: &str, language: Language) -> &str {
        let (stemmer, cache) = self.stemmers.entry(language).or_insert_with(|| (language.stemmer(), HashMap::new()));
        if !cache.contains_key(word) {
            let stem = match stemmer {
                Some(stemmer) if !word.bytes().any(|b| b.is_ascii_digit()) => stemmer.stem(word),
                _ => Cow::Borrowed(word),
            };
            let term = fold(&stem).into_owned();
            if cache.len() >= MAX_CACHED_STEMS {
                cache.clear();
            }
            cache.insert(word.to_owned(), term);
        }
        &cache[word]
    }

    /// Appends the terms of `text` to `terms`, and its plain words to `plain`, each followed by a space.
    pub(crate) fn append(&mut self, text: &str, language: Language, terms: &mut String, plain: &mut String) {
        for word in words(text) {
            terms.push_str(self.term(&word.text, language));
            terms.push(' ');
            plain.push_str(&fold(&word.text));
            plain.push(' ');
        }
    }
}

/// Without diacritics: `café` → `cafe`. People leave them out when they type.
pub(crate) fn fold(word: &str) -> Cow<'_, str> {
    if word.is_ascii() {
        return Cow::Borrowed(word);
    }
    let folded: String = word.nfd().filter(|c| !is_combining_mark(*c)).nfc().collect();
    // White space ends a term in the index; some compatibility characters decompose into it.
    Cow::Owned(folded.replace(char::is_whitespace, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<String> {
        words(text).into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn part_numbers_and_hyphenated_words_are_joined_too() {
        assert_eq!(texts("Brother TN-2110, wi-fi"), ["brother", "tn", "2110", "tn2110", "wi", "fi", "wifi"]);
        assert_eq!(texts("and/or 2.13 v1.2"), ["and", "or", "2", "13", "v1", "2", "v12"]);
        assert_eq!(texts("don't Anna’s"), ["dont", "anna"]);
    }

    #[test]
    fn ideographs_become_pairs() {
        assert_eq!(texts("返品方法 ok 茶"), ["返品", "品方", "方法", "ok", "茶"]);
    }

    #[test]
    fn stems_follow_the_language_and_lose_diacritics() {
        let mut analyser = Analyser::new();
        assert_eq!(analyser.term("batteries", Language::of(Some("en"))), "batteri");
        assert_eq!(
            analyser.term("batterien", Language::of(Some("de"))).to_owned(),
            analyser.term("batterie", Language::of(Some("de")))
        );
        assert_eq!(analyser.term("café", Language::Plain), "cafe");
        assert_eq!(analyser.term("tn2110", Language::of(None)), "tn2110");
    }

    proptest! {
        #[test]
        fn words_lie_in_the_text_and_never_hold_white_space(text in any::<String>()) {
            let mut analyser = Analyser::new();
            for word in words(&text) {
                prop_assert!(text.get(word.range.clone()).is_some());
                for language in [Language::of(None), Language::of(Some("de")), Language::of(Some("ta")), Language::Plain] {
                    prop_assert!(!analyser.term(&word.text, language).contains(char::is_whitespace));
                }
            }
        }
    }
}
