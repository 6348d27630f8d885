//! The part of Drive's query language that is understood: `'ID' in parents`, `mimeType = 'T'`, `mimeType != 'T'`, `name = 'N'`,
//! `trashed = BOOL`, `sharedWithMe = true`, `and`, `or`, parentheses. <https://developers.google.com/workspace/drive/api/guides/ref-search-terms>

use super::files::Entry;

/// A query, ready to match.
#[derive(Debug, PartialEq)]
pub(crate) enum Query {
    In(String),
    MimeType(String, bool),
    Name(String),
    Trashed(bool),
    SharedWithMe,
    All(Vec<Query>),
    Any(Vec<Query>),
}

impl Query {
    /// `None` for what is not understood.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let words = words(text)?;
        let mut rest = words.as_slice();
        let query = any(&mut rest)?;
        rest.is_empty().then_some(query)
    }

    /// Ids of folders it names.
    pub(crate) fn parents(&self) -> Vec<&str> {
        match self {
            Self::In(id) => vec![id],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::parents).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn matches(&self, entry: &Entry, trashed: bool) -> bool {
        match self {
            Self::In(id) => entry.parent.as_ref() == Some(id),
            Self::MimeType(media_type, equal) => (entry.mime_type == *media_type) == *equal,
            Self::Name(name) => entry.name == *name,
            Self::Trashed(wanted) => trashed == *wanted,
            Self::SharedWithMe => entry.shared,
            Self::All(parts) => parts.iter().all(|part| part.matches(entry, trashed)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(entry, trashed)),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Word {
    Text(String),
    Plain(String),
}

fn words(text: &str) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(&letter) = letters.peek() {
        match letter {
            ' ' => {
                letters.next();
            }
            '\'' => {
                letters.next();
                let mut quoted = String::new();
                loop {
                    match letters.next()? {
                        '\\' => quoted.push(letters.next()?),
                        '\'' => break,
                        other => quoted.push(other),
                    }
                }
                words.push(Word::Text(quoted));
            }
            '(' | ')' => {
                letters.next();
                words.push(Word::Plain(letter.to_string()));
            }
            _ => {
                let mut plain = String::new();
                while let Some(&letter) = letters.peek().filter(|letter| !" ()'".contains(**letter)) {
                    plain.push(letter);
                    letters.next();
                }
                words.push(Word::Plain(plain));
            }
        }
    }
    Some(words)
}

fn take(rest: &mut &[Word], plain: &str) -> bool {
    match rest.split_first() {
        Some((Word::Plain(word), others)) if word == plain => {
            *rest = others;
            true
        }
        _ => false,
    }
}

fn any(rest: &mut &[Word]) -> Option<Query> {
    let mut parts = vec![all(rest)?];
    while take(rest, "or") {
        parts.push(all(rest)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Query::Any(parts) })
}

fn all(rest: &mut &[Word]) -> Option<Query> {
    let mut parts = vec![term(rest)?];
    while take(rest, "and") {
        parts.push(term(rest)?);
    }
    Some(if parts.len() == 1 { parts.remove(0) } else { Query::All(parts) })
}

fn term(rest: &mut &[Word]) -> Option<Query> {
    if take(rest, "(") {
        let inner = any(rest)?;
        return take(rest, ")").then_some(inner);
    }
    let (query, used) = match *rest {
        [Word::Text(id), Word::Plain(is_in), Word::Plain(parents), ..] if is_in == "in" && parents == "parents" => {
            (Query::In(id.clone()), 3)
        }
        [Word::Plain(field), Word::Plain(equal), Word::Text(value), ..] if field == "mimeType" => {
            (Query::MimeType(value.clone(), equal == "="), 3)
        }
        [Word::Plain(field), Word::Plain(equal), Word::Text(value), ..] if field == "name" && equal == "=" => {
            (Query::Name(value.clone()), 3)
        }
        [Word::Plain(field), Word::Plain(equal), Word::Plain(value), ..] if field == "trashed" && equal == "=" => {
            (Query::Trashed(value == "true"), 3)
        }
        [Word::Plain(field), Word::Plain(equal), Word::Plain(value), ..]
            if field == "sharedWithMe" && equal == "=" && value == "true" =>
        {
            (Query::SharedWithMe, 3)
        }
        _ => return None,
    };
    *rest = &rest[used..];
    Some(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_as_google_documents_them() {
        let query = Query::parse("('a' in parents or 'b' in parents) and trashed = false").expect("a query");
        assert_eq!(query.parents(), ["a", "b"]);
        assert!(matches!(query, Query::All(_)));
        assert_eq!(Query::parse("name = 'it\\'s'"), Some(Query::Name("it's".into())));
        assert_eq!(Query::parse("'a' in parents and"), None);
        assert_eq!(Query::parse("fullText contains 'x'"), None);
    }
}
