//! Knowledge queries: filters and modes, shared by the API, the index and the services.

use serde::{Deserialize, Serialize};

use crate::{DocumentId, Instant, SourceId};

/// What a query is limited to. Empty lists and `None` mean no limit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filters {
    /// Any of these sources.
    pub source_ids: Vec<SourceId>,
    /// Any of these kinds.
    pub kinds: Vec<String>,
    /// Any of these languages (primary subtag decides: `de` matches `de-AT`).
    pub languages: Vec<String>,
    /// Changed after this moment.
    pub updated_after: Option<Instant>,
    /// All of these.
    pub fields: Vec<FieldFilter>,
}

/// A condition on one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldFilter {
    /// Field name, as in the document's `fields`.
    pub name: String,
    /// Comparison.
    pub op: FieldOp,
    /// A string, number or boolean; for `in` a list of them. Money compares by amount.
    pub value: serde_json::Value,
}

/// How a field is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldOp {
    /// Equal.
    Eq,
    /// Not equal; documents without the field match.
    Ne,
    /// Less than.
    Lt,
    /// Less than or equal.
    Lte,
    /// Greater than.
    Gt,
    /// Greater than or equal.
    Gte,
    /// One of a list.
    In,
}

/// A ranked passage, before it is checked in the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// The document.
    pub document_id: DocumentId,
    /// The version that was indexed.
    pub version: i64,
    /// The chunk's place in the document, from 0.
    pub chunk: i64,
    /// Higher is better; comparable within one query only.
    pub score: f32,
}
