//! Which part of a workspace's documents somebody may see.
//!
//! The store checks every document it hands out with [`Audience::admits`]; [`Audience::narrow`] only keeps the index from finding
//! what would be dropped.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    SourceId,
    fields::Fields,
    query::{FieldFilter, FieldOp, Filters},
};

/// A limit to some documents. Every condition given must hold; with none, everything is seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audience {
    /// From one of these sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ids: Option<Vec<SourceId>>,
    /// Of one of these kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<Vec<String>>,
    /// With such a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<FieldIs>,
}

/// A field that has one of a few values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldIs {
    /// Name of the field.
    pub name: String,
    /// Texts, numbers or booleans.
    pub any_of: Vec<Json>,
}

impl Audience {
    /// No limit.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Whether there is no limit.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a document may be seen.
    pub fn admits(&self, source: SourceId, kind: &str, fields: &Fields) -> bool {
        self.source_ids.as_ref().is_none_or(|ids| ids.contains(&source))
            && self.kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|other| other == kind))
            && self
                .field
                .as_ref()
                .is_none_or(|field| fields.get(&field.name).is_some_and(|it| field.any_of.contains(it)))
    }

    /// The sources that may be seen as such, with their settings and runs; `None`: all of them.
    /// A limit that names no sources shows none: a kind or a field says nothing about a source.
    pub fn sources(&self) -> Option<&[SourceId]> {
        if self.is_everything() { None } else { Some(self.source_ids.as_deref().unwrap_or_default()) }
    }

    /// Whether a source may be seen, and written to, as such.
    pub fn admits_source(&self, source: SourceId) -> bool {
        self.sources().is_none_or(|ids| ids.contains(&source))
    }

    /// Narrows a query's filters to what is admitted.
    pub fn narrow(&self, filters: &mut Filters) {
        if let Some(ids) = &self.source_ids {
            narrow_list(&mut filters.source_ids, ids, SourceId(uuid::Uuid::nil()));
        }
        if let Some(kinds) = &self.kinds {
            narrow_list(&mut filters.kinds, kinds, String::new());
        }
        if let Some(FieldIs { name, any_of }) = &self.field {
            filters.fields.push(FieldFilter {
                name: name.clone(),
                op: FieldOp::In,
                value: Json::Array(any_of.clone()),
            });
        }
    }
}

/// The asked ones that are allowed, or all allowed when none is asked for; `nobody` when none is left, as an empty list is no limit.
fn narrow_list<T: Clone + PartialEq>(asked: &mut Vec<T>, allowed: &[T], nobody: T) {
    if asked.is_empty() {
        *asked = allowed.to_vec();
    } else {
        asked.retain(|id| allowed.contains(id));
    }
    if asked.is_empty() {
        asked.push(nobody);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_condition_must_hold() {
        let (shop, internal) = (SourceId::new(), SourceId::new());
        let fields = |public: Json| Fields::from([("public".to_owned(), public)]);
        let audience = Audience {
            source_ids: Some(vec![shop]),
            kinds: Some(vec!["product".to_owned()]),
            field: Some(FieldIs { name: "public".to_owned(), any_of: vec![json!(true), json!("yes")] }),
        };
        assert!(audience.admits(shop, "product", &fields(json!("yes"))));
        assert!(!audience.admits(internal, "product", &fields(json!(true))));
        assert!(!audience.admits(shop, "order", &fields(json!(true))));
        assert!(!audience.admits(shop, "product", &fields(json!("no"))));
        assert!(!audience.admits(shop, "product", &Fields::new()));
        assert!(Audience::everything().admits(internal, "order", &Fields::new()));
    }

    #[test]
    fn narrowing_never_widens() {
        let (shop, internal) = (SourceId::new(), SourceId::new());
        let audience = Audience { source_ids: Some(vec![shop]), ..Audience::default() };
        for asked in [vec![], vec![internal], vec![shop, internal]] {
            let mut filters = Filters { source_ids: asked.clone(), ..Filters::default() };
            audience.narrow(&mut filters);
            assert!(!filters.source_ids.is_empty(), "an empty list would be no limit");
            assert!(!filters.source_ids.contains(&internal));
        }
        let nothing = Audience { kinds: Some(Vec::new()), ..Audience::default() };
        let mut filters = Filters::default();
        nothing.narrow(&mut filters);
        assert_eq!(filters.kinds, [""]);
        assert!(!nothing.admits(shop, "page", &Fields::new()));
        assert_eq!(nothing.sources(), Some(&[][..]), "a limit without sources shows none");
    }
}
