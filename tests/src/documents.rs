//! What stands in a workspace, in a form in which two servers can be compared.

use std::collections::BTreeMap;

use serde_json::Value;

/// External id → (title, version).
pub type Standing = BTreeMap<String, (String, i64)>;

/// The comparable part of a list of documents.
pub fn standing(documents: &[Value]) -> Standing {
    let entry = |document: &Value| {
        let title = document["title"].as_str().expect("a title").to_owned();
        let version = document["version"].as_i64().expect("a version");
        (document["external_id"].as_str().expect("an external id").to_owned(), (title, version))
    };
    documents.iter().map(entry).collect()
}
