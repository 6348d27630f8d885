//! The configuration: what an admin can say, and the JSON Schema that forms and validation are made from.

mod collection;
mod document;
mod validate;

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

pub(crate) use collection::{
    Action, Collection, Condition, Counts, Decode, DeletionKind, ErrorRule, Filter, Incremental, Method, Missing,
    Pagination, PagingKind, Request, Response, Sorted, Stop,
};
pub(crate) use document::{Field, FieldType, Html, Mapping, Text};

use crate::time::Span;

/// JSON Schema of [`Config`].
pub(crate) const SCHEMA: &str = include_str!("../config.schema.json");

/// An API, and what of it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Everything is asked for under it.
    pub(crate) base_url: String,
    #[serde(default)]
    pub(crate) auth: Auth,
    #[serde(default)]
    pub(crate) limits: Limits,
    /// Sent with every request.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Parents stand before what is listed for each of them.
    pub(crate) collections: Vec<Collection>,
}

/// Which credential goes where.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    #[serde(default)]
    pub(crate) kind: AuthKind,
    #[serde(default)]
    pub(crate) credential: Option<String>,
    #[serde(default)]
    pub(crate) inject: Option<Inject>,
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
}

/// What kind of credential it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuthKind {
    #[default]
    None,
    ApiKey,
    Bearer,
    Basic,
    Oauth2,
    Jwt,
}

/// Where the host puts a secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inject {
    #[serde(rename = "in")]
    pub(crate) place: InjectPlace,
    /// Of the header or parameter.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Stands before the secret in a header.
    #[serde(default)]
    pub(crate) prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InjectPlace {
    Header,
    Query,
    Authorization,
}

/// How fast the source may be asked, and how it says that it is asked too fast.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    #[serde(default)]
    pub(crate) requests: Vec<Rate>,
    #[serde(default)]
    pub(crate) remaining: Option<Remaining>,
    #[serde(default)]
    pub(crate) reset: Option<Reset>,
    #[serde(default)]
    pub(crate) cost: Option<Cost>,
}

/// So many requests in so much time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    pub(crate) n: u32,
    pub(crate) per: Span,
}

/// The header that counts how many requests are left.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Remaining {
    pub(crate) header: String,
}

/// The header that says when there are more.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reset {
    pub(crate) header: String,
    pub(crate) format: ResetFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResetFormat {
    EpochS,
    EpochMs,
    DeltaS,
    DeltaMs,
    HttpDate,
}

/// A budget of points that fills again, told in the body: how long to wait until a request can be paid.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    pub(crate) requested: crate::json::Pointer,
    pub(crate) available: crate::json::Pointer,
    pub(crate) restored_per_s: crate::json::Pointer,
}

impl Config {
    /// The base URL, with a path that ends in `/`.
    pub(crate) fn base(&self) -> Option<Url> {
        let mut base = Url::parse(&self.base_url).ok()?;
        let is_plain = matches!(base.scheme(), "https" | "http")
            && base.host_str().is_some()
            && base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        is_plain.then_some(base)
    }

    /// The collections listed for each item of this one.
    pub(crate) fn children(&self, parent: usize) -> Vec<usize> {
        let name = &self.collections[parent].name;
        let is_child = |one: &Collection| one.parent().is_some_and(|parent| parent.collection == *name);
        (0..self.collections.len()).filter(|place| is_child(&self.collections[*place])).collect()
    }

    /// The first collection after `after` that is not listed for items of another.
    pub(crate) fn next_top(&self, after: Option<usize>) -> Option<usize> {
        let start = after.map_or(0, |after| after + 1);
        (start..self.collections.len()).find(|place| self.collections[*place].parent().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_every_option_with_a_title_and_a_description() {
        fn look(schema: &serde_json::Value, path: &str) {
            for (name, option) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}/{name}");
                assert!(option["description"].is_string() || option["$ref"].is_string(), "{path} has no description");
                look(option, &path);
                look(&option["items"], &path);
            }
        }
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        look(&schema, "");
        for (name, one) in schema["$defs"].as_object().unwrap() {
            look(one, name);
        }
        jsonschema::meta::validate(&schema).unwrap();
        assert_eq!(schema["$defs"]["auth"]["properties"]["credential"]["x-credential"], true);
    }
}
