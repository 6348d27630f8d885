//! Languages: which stemmer and which stop words go with a BCP 47 tag.

use frostem::{Algorithm, Stemmer};

/// A language text is analysed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Language {
    /// One with a Snowball stemmer.
    Stemmed(&'static str),
    /// Any other: words are taken as they are.
    Plain,
}

/// Assumed where a document or a query does not say.
pub(crate) const DEFAULT: Language = Language::Stemmed("en");

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("ar", Algorithm::Arabic),
    ("da", Algorithm::Danish),
    ("de", Algorithm::German),
    ("el", Algorithm::Greek),
    ("en", Algorithm::English),
    ("es", Algorithm::Spanish),
    ("fi", Algorithm::Finnish),
    ("fr", Algorithm::French),
    ("hu", Algorithm::Hungarian),
    ("it", Algorithm::Italian),
    ("nb", Algorithm::Norwegian),
    ("nl", Algorithm::Dutch),
    ("no", Algorithm::Norwegian),
    ("pt", Algorithm::Portuguese),
    ("ro", Algorithm::Romanian),
    ("ru", Algorithm::Russian),
    ("sv", Algorithm::Swedish),
    ("ta", Algorithm::Tamil),
    ("tr", Algorithm::Turkish),
];

impl Language {
    /// The language of a tag; its primary subtag decides, no tag means [`DEFAULT`].
    pub(crate) fn of(tag: Option<&str>) -> Self {
        let Some(primary) = tag.map(primary_subtag).filter(|primary| !primary.is_empty()) else { return DEFAULT };
        ALGORITHMS.iter().find(|(name, _)| *name == primary).map_or(Self::Plain, |(name, _)| Self::Stemmed(name))
    }

    /// Its stemmer, when it has one.
    pub(crate) fn stemmer(self) -> Option<Stemmer> {
        let Self::Stemmed(tag) = self else { return None };
        ALGORITHMS.iter().find(|(name, _)| *name == tag).map(|(_, algorithm)| Stemmer::new(*algorithm))
    }

    /// Whether `word` (lower case) says nothing in this language.
    pub(crate) fn is_stop_word(self, word: &str) -> bool {
        let Self::Stemmed(tag) = self else { return false };
        let list: &[&str] = match tag {
            "en" => ENGLISH,
            "de" => GERMAN,
            "fr" => FRENCH,
            "es" => SPANISH,
            "it" => ITALIAN,
            "nl" => DUTCH,
            _ => &[],
        };
        list.binary_search(&word).is_ok()
    }
}

/// `de` of `de-AT`, lower case, at most 8 letters or digits (what BCP 47 allows).
pub(crate) fn primary_subtag(tag: &str) -> String {
    tag.trim().chars().take_while(char::is_ascii_alphanumeric).take(8).map(|c| c.to_ascii_lowercase()).collect()
}

// Sorted, for binary search.
const ENGLISH: &[&str] = &[
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do",
    "does", "for", "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "me", "my", "of",
    "on", "or", "our", "so", "that", "the", "their", "them", "then", "there", "these", "they", "this", "to", "was",
    "we", "were", "what", "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
];
const GERMAN: &[&str] = &[
    "aber", "als", "am", "an", "auch", "auf", "aus", "bei", "bin", "bis", "das", "dass", "dem", "den", "der", "des",
    "die", "dies", "diese", "dieser", "du", "durch", "ein", "eine", "einem", "einen", "einer", "eines", "er", "es",
    "für", "hat", "ich", "ihr", "im", "in", "ist", "ja", "kann", "man", "mein", "mich", "mir", "mit", "nach", "noch",
    "nur", "oder", "sein", "sich", "sie", "sind", "so", "um", "und", "uns", "von", "vor", "wann", "war", "was", "wenn",
    "wer", "werden", "wie", "wir", "wird", "wo", "zu", "zum", "zur", "über",
];
const FRENCH: &[&str] = &[
    "a", "au", "aux", "avec", "c", "ce", "ces", "cette", "comment", "d", "dans", "de", "des", "du", "elle", "en",
    "est", "et", "il", "ils", "j", "je", "l", "la", "le", "les", "leur", "m", "mais", "me", "mes", "mon", "n", "ne",
    "nous", "on", "ou", "où", "par", "pas", "pour", "qu", "quand", "que", "quel", "quelle", "qui", "s", "sa", "se",
    "ses", "son", "sont", "sur", "t", "un", "une", "vos", "votre", "vous", "y", "à",
];
const SPANISH: &[&str] = &[
    "a", "al", "como", "con", "cual", "cuando", "cuál", "cuándo", "cómo", "de", "del", "donde", "dónde", "el", "en",
    "es", "esta", "este", "la", "las", "le", "lo", "los", "me", "mi", "no", "o", "para", "pero", "por", "que", "qué",
    "se", "si", "sin", "sobre", "son", "su", "sus", "te", "tu", "un", "una", "y", "ya", "yo",
];
const ITALIAN: &[&str] = &[
    "a", "ai", "al", "alla", "che", "chi", "ci", "come", "con", "cosa", "da", "dal", "dalla", "de", "dei", "del",
    "della", "delle", "di", "dove", "e", "gli", "i", "il", "in", "io", "l", "la", "le", "lo", "ma", "mi", "mio", "nel",
    "nella", "non", "o", "per", "qual", "quale", "quando", "questa", "questo", "se", "si", "sono", "su", "sul",
    "sulla", "un", "una", "uno", "è",
];
const DUTCH: &[&str] = &[
    "aan", "als", "bij", "dan", "dat", "de", "der", "deze", "die", "dit", "door", "een", "en", "er", "het", "hoe",
    "ik", "in", "is", "je", "kan", "maar", "me", "met", "mijn", "naar", "niet", "of", "om", "ook", "op", "te", "tot",
    "u", "uit", "van", "voor", "waar", "wanneer", "was", "wat", "we", "wel", "wie", "wordt", "ze", "zijn",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_subtag_decides() {
        assert_eq!(Language::of(Some("de-AT")), Language::of(Some("DE")));
        assert_eq!(Language::of(None), DEFAULT);
        assert_eq!(Language::of(Some("pl")), Language::Plain);
        assert_eq!(Language::of(Some("")), DEFAULT);
        assert_eq!(primary_subtag("x\u{0}y"), "x");
    }

    #[test]
    fn stop_words_are_sorted() {
        for list in [ENGLISH, GERMAN, FRENCH, SPANISH, ITALIAN, DUTCH] {
            assert!(list.is_sorted(), "{:?}", list.windows(2).find(|pair| pair[0] > pair[1]));
        }
    }
}
