//! Questions: what kind of thing one asks for, and whether a sentence holds such a thing. English, and the commonest of German.

use crate::analyse::{Word, words};

/// How many words apart a number and the thing counted may stand (`118 tackles`, `tackles (118)`).
const NEAR_WORDS: usize = 3;
/// A number that stands near nothing the question names, as a share of one that does.
const FAR: f32 = 0.7;

/// What a question asks for, as far as its words tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `how many`, `what percentage`
    Number,
    /// `when`, `what year`
    Time,
    /// `who`, `where`
    Name,
    /// Anything else.
    Any,
}

impl Kind {
    pub(crate) fn of(query: &str) -> Self {
        let words: Vec<String> = words(query).into_iter().map(|word| word.text).collect();
        let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(&word.as_str()));
        let follows = |first: &[&str], second: &[&str]| {
            words.windows(2).any(|pair| first.contains(&pair[0].as_str()) && second.contains(&pair[1].as_str()))
        };
        if follows(&["how"], &["many", "much", "long", "old", "far", "large", "big", "tall", "high", "fast", "often"])
            || follows(&["what"], &["percent", "number", "size", "amount"])
            || follows(&["wie"], &["viel", "viele", "lange", "oft", "groß", "hoch", "teuer"])
            || has(&["percentage"])
        {
            Self::Number
        } else if has(&["when", "wann"])
            || follows(&["what", "which"], &["year", "date", "day", "month", "century", "decade", "time"])
        {
            Self::Time
        } else if has(&["who", "whom", "whose", "where", "wer", "wem", "wen", "wo"]) {
            Self::Name
        } else {
            Self::Any
        }
    }

    /// How well `sentence` holds such a thing, 0 to 1; what the question mentions itself (`asked`) does not count.
    pub(crate) fn held_by(self, sentence: &str, asked: &[Word]) -> f32 {
        let own = words(sentence);
        let fresh = |word: &Word| !word.joined && !asked.iter().any(|other| other.text == word.text);
        match self {
            Self::Any => 0.0,
            Self::Time => f32::from(u8::from(own.iter().any(|word| fresh(word) && is_time(word)))),
            Self::Name => {
                let is_name =
                    |word: &Word| word.range.start > 0 && sentence[word.range.clone()].starts_with(char::is_uppercase);
                f32::from(u8::from(own.iter().any(|word| fresh(word) && is_name(word))))
            }
            Self::Number => {
                let counted = |word: &Word| asked.iter().any(|other| !is_generic(&other.text) && same(other, word));
                let near = |at: usize| {
                    let around = at.saturating_sub(NEAR_WORDS)..(at + NEAR_WORDS + 1).min(own.len());
                    own[around].iter().any(counted)
                };
                let mut numbers = own.iter().enumerate().filter(|(_, word)| fresh(word) && is_number(word)).peekable();
                if numbers.peek().is_none() {
                    0.0
                } else if numbers.any(|(at, _)| near(at)) {
                    1.0
                } else {
                    FAR
                }
            }
        }
    }
}

/// Whether a word of a question says what kind of thing is asked for, not what about.
pub(crate) fn is_generic(word: &str) -> bool {
    GENERIC.contains(&word)
}

fn same(a: &Word, b: &Word) -> bool {
    let (short, long) = if a.text.len() < b.text.len() { (&a.text, &b.text) } else { (&b.text, &a.text) };
    short == long || (short.len() > 3 && long.starts_with(short.as_str()))
}

fn is_number(word: &Word) -> bool {
    word.text.bytes().any(|b| b.is_ascii_digit()) || NUMBERS.contains(&word.text.as_str())
}

fn is_time(word: &Word) -> bool {
    let year_like = word.text.len() >= 3 && word.text.bytes().take(2).all(|b| b.is_ascii_digit());
    year_like || TIMES.contains(&word.text.as_str())
}

const GENERIC: &[&str] = &[
    "amount",
    "art",
    "called",
    "date",
    "day",
    "jahr",
    "kind",
    "long",
    "many",
    "much",
    "name",
    "named",
    "number",
    "old",
    "percent",
    "percentage",
    "term",
    "time",
    "type",
    "way",
    "year",
    "years",
    "zahl",
];
const NUMBERS: &[&str] = &[
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "twenty",
    "thirty", "forty", "fifty", "hundred", "thousand", "million", "billion", "half", "third", "quarter", "dozen",
    "once", "twice", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn", "hundert", "tausend",
];
const TIMES: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "century",
    "yesterday",
    "today",
    "tomorrow",
    "morning",
    "evening",
    "night",
    "januar",
    "februar",
    "märz",
    "mai",
    "juni",
    "juli",
    "oktober",
    "dezember",
    "montag",
    "dienstag",
    "mittwoch",
    "donnerstag",
    "freitag",
    "samstag",
    "sonntag",
    "jahrhundert",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_asked_for_is_read_from_the_question() {
        assert_eq!(Kind::of("How many tackles did he make?"), Kind::Number);
        assert_eq!(Kind::of("In what year was it built?"), Kind::Time);
        assert_eq!(Kind::of("Wer liefert nach Wien?"), Kind::Name);
        assert_eq!(Kind::of("return policy"), Kind::Any);
    }

    #[test]
    fn what_the_question_names_itself_is_no_answer() {
        let query = "How many teams had won in 2015?";
        let asked = words(query);
        assert_eq!(Kind::of(query).held_by("That was in 2015.", &asked), 0.0);
        assert_eq!(Kind::of(query).held_by("Seven teams won in 2015.", &asked), 1.0);
    }
}
