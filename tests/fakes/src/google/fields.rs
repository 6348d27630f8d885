//! The `fields` parameter: `id,owners(displayName),files(id,name)`, `a/b`, `*`.
//! <https://developers.google.com/workspace/drive/api/guides/fields-parameter>

use std::collections::BTreeMap;

use serde_json::Value;

/// A mask; an empty one takes everything.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mask(BTreeMap<String, Mask>);

impl Mask {
    /// `None` when it is not a mask.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mask = Self::parse_list(&mut rest)?;
        rest.is_empty().then_some(mask)
    }

    fn parse_list(rest: &mut &str) -> Option<Self> {
        let mut mask = Self::default();
        loop {
            let end = rest.find([',', '(', ')']).unwrap_or(rest.len());
            let name = rest[..end].trim();
            if name.is_empty() {
                return None;
            }
            *rest = &rest[end..];
            let inner = match rest.strip_prefix('(') {
                Some(inside) => {
                    *rest = inside;
                    let inner = Self::parse_list(rest)?;
                    *rest = rest.strip_prefix(')')?;
                    inner
                }
                None => Self::default(),
            };
            let mut inner = Some(inner);
            for part in name.rsplit('/') {
                let mut outer = Self::default();
                outer.0.insert(part.to_owned(), inner.take().unwrap_or_default());
                inner = Some(outer);
            }
            mask.0.extend(inner.unwrap_or_default().0);
            match rest.strip_prefix(',') {
                Some(more) => *rest = more,
                None => return Some(mask),
            }
        }
    }

    /// What the mask leaves of a value.
    pub(crate) fn apply(&self, value: Value) -> Value {
        if self.0.is_empty() || self.0.contains_key("*") {
            return value;
        }
        match value {
            Value::Object(fields) => fields
                .into_iter()
                .filter_map(|(name, value)| self.0.get(&name).map(|mask| (name, mask.apply(value))))
                .collect(),
            Value::Array(items) => items.into_iter().map(|item| self.apply(item)).collect(),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mask_takes_what_it_names() {
        let mask = Mask::parse("kind,files(id,owners(name)),a/b").expect("a mask");
        let value = json!({ "kind": "k", "x": 1, "files": [{ "id": 1, "name": "n", "owners": [{ "name": "o", "me": true }] }], "a": { "b": 1, "c": 2 } });
        assert_eq!(
            mask.apply(value),
            json!({ "kind": "k", "files": [{ "id": 1, "owners": [{ "name": "o" }] }], "a": { "b": 1 } })
        );
        assert_eq!(Mask::parse("a(b"), None);
        assert_eq!(Mask::parse(""), None);
    }
}
