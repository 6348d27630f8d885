//! Templates: text with `{name}` places, filled with typed values. A substitution, not a language.
//!
//! What names a place that has no value is left out as a whole: a parameter, a header, a member of a body. `{{` and `}}` are braces.

use std::collections::BTreeMap;

use serde_json::Value as Plain;
use url::form_urlencoded;

/// What places stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Values(BTreeMap<String, Plain>);

impl Values {
    pub(crate) fn set(&mut self, name: &str, value: impl Into<Plain>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn find(&self, name: &str) -> Option<&Plain> {
        self.0.get(name)
    }
}

enum Part<'a> {
    Literal(&'a str),
    Place(&'a str),
}

fn parts(template: &str) -> Result<Vec<Part<'_>>, String> {
    let (mut parts, mut rest) = (Vec::new(), template);
    while let Some(at) = rest.find(['{', '}']) {
        parts.push(Part::Literal(&rest[..at]));
        let brace = &rest[at..at + 1];
        if rest[at + 1..].starts_with(brace) {
            parts.push(Part::Literal(brace));
            rest = &rest[at + 2..];
            continue;
        }
        let end = rest[at..].find('}').filter(|_| brace == "{");
        let end =
            end.ok_or_else(|| format!("`{template}` has a lone `{brace}`; write `{brace}{brace}` for a brace"))?;
        parts.push(Part::Place(&rest[at + 1..at + end]));
        rest = &rest[at + end + 1..];
    }
    parts.push(Part::Literal(rest));
    Ok(parts)
}

/// The names of a template's places.
///
/// # Errors
/// What is wrong with it, as a sentence without a full stop.
pub(crate) fn places(template: &str) -> Result<Vec<&str>, String> {
    let places = parts(template)?.into_iter().filter_map(|part| match part {
        Part::Place(name) => Some(name),
        Part::Literal(_) => None,
    });
    Ok(places.collect())
}

/// The template filled; `None` when a place has no value, or it is no template.
pub(crate) fn fill(template: &str, values: &Values) -> Option<String> {
    fill_with(template, |name| values.find(name).map(words), |literal| literal.to_owned())
}

/// The template of a URL's path filled; what is filled in is one segment, percent-encoded.
pub(crate) fn fill_path(template: &str, values: &Values) -> Option<String> {
    let segment = |name: &str| {
        let text = words(values.find(name)?);
        // A parser of URLs resolves these even when they are encoded.
        (text != "." && text != "..").then(|| encode(&text))
    };
    fill_with(template, segment, str::to_owned)
}

/// Like [`fill`], with what fills a place and what becomes of the text between the places.
pub(crate) fn fill_with(
    template: &str,
    place: impl Fn(&str) -> Option<String>,
    literal: impl Fn(&str) -> String,
) -> Option<String> {
    let mut filled = String::new();
    for part in parts(template).ok()? {
        filled.push_str(&match part {
            Part::Literal(text) => literal(text),
            Part::Place(name) => place(name)?,
        });
    }
    Some(filled)
}

/// A JSON value whose texts are templates. A text that is one place becomes what it stands for, with its type.
pub(crate) fn fill_json(template: &Plain, values: &Values) -> Option<Plain> {
    match template {
        Plain::String(text) => match parts(text).ok()?.as_slice() {
            [Part::Literal(""), Part::Place(name), Part::Literal("")] => values.find(name).cloned(),
            _ => fill(text, values).map(Plain::String),
        },
        Plain::Array(items) => Some(items.iter().filter_map(|item| fill_json(item, values)).collect()),
        Plain::Object(members) => {
            let filled = members.iter().filter_map(|(name, value)| Some((name.clone(), fill_json(value, values)?)));
            Some(Plain::Object(filled.collect()))
        }
        other => Some(other.clone()),
    }
}

/// Every text of a JSON value, for looking at its places.
pub(crate) fn texts(value: &Plain) -> Vec<&str> {
    match value {
        Plain::String(text) => vec![text],
        Plain::Array(items) => items.iter().flat_map(texts).collect(),
        Plain::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

fn words(value: &Plain) -> String {
    match value {
        Plain::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn encode(text: &str) -> String {
    // Stricter than a path needs, and right anywhere in a URL but for the blank.
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> Values {
        let mut values = Values::default();
        values.set("id", "a/b ?&#ä");
        values.set("size", 50);
        values.set("up", "..");
        values
    }

    #[test]
    fn what_is_filled_into_a_path_stays_one_segment() {
        assert_eq!(fill_path("/products/{id}/x", &values()).unwrap(), "/products/a%2Fb%20%3F%26%23%C3%A4/x");
        assert_eq!(fill_path("/products/{up}/x", &values()), None);
        assert_eq!(fill_path("/{none}", &values()), None);
        assert_eq!(fill("{{{size}}}", &values()).unwrap(), "{50}");
        assert!(places("a } b").unwrap_err().contains("lone `}`"));
        assert!(places("a { b").unwrap_err().contains("lone `{`"));
    }

    #[test]
    fn a_lone_place_keeps_its_type_and_what_has_no_value_is_left_out() {
        let body =
            json!({"first": "{size}", "text": "n={size}", "after": "{cursor}", "deep": [{"a": "{none}"}, "{none}", 1]});
        assert_eq!(fill_json(&body, &values()).unwrap(), json!({"first": 50, "text": "n=50", "deep": [{}, 1]}));
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_an_error(text in "[{}a\\PC]{0,20}") {
            let _ = places(&text);
            let _ = fill_path(&text, &values());
        }

        #[test]
        fn nothing_filled_in_leaves_its_segment(text in "\\PC{0,20}") {
            let mut values = Values::default();
            values.set("id", text.clone());
            if let Some(path) = fill_path("/a/{id}/b", &values) {
                let url = url::Url::parse("https://h").unwrap().join(&path).unwrap();
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!(segments.len(), 3, "{}", path);
                prop_assert_eq!((segments[0], segments[2], url.query(), url.fragment()), ("a", "b", None, None));
            }
        }
    }
}
