//! What is asked of the knowledge, and what an answer rests on.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tributary_core::{RunId, SourceId, query::FieldOp};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Connector;

/// What a query looks at; nothing set means everything.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::http) struct Filters {
    /// Any of these sources.
    #[schema(value_type = Vec<Uuid>)]
    source_ids: Vec<SourceId>,
    /// Any of these kinds.
    kinds: Vec<String>,
    /// Any of these languages; `de` matches `de-AT`.
    languages: Vec<String>,
    /// Changed after this moment.
    updated_after: Option<DateTime<Utc>>,
    /// All of these.
    #[schema(value_type = Vec<FieldFilter>)]
    fields: Vec<tributary_core::query::FieldFilter>,
}

/// A condition on one field, such as `{"name": "price", "op": "lt", "value": 100}`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes tributary_core::query::FieldFilter in the OpenAPI document")]
pub(in crate::http) struct FieldFilter {
    /// Field name.
    name: String,
    /// eq, ne, lt, lte, gt, gte or in.
    op: String,
    /// A string, number or boolean; a list of them for `in`. Money compares by amount.
    value: serde_json::Value,
}

/// More conditions than these are refused.
const MOST_CONDITIONS: usize = 100;

impl Filters {
    /// The filters, when they are not too many.
    pub(in crate::http) fn checked(self) -> Result<tributary_core::query::Filters, crate::http::ApiError> {
        let Self { source_ids, kinds, languages, updated_after, fields } = self;
        if source_ids.len() + kinds.len() + languages.len() + fields.len() > MOST_CONDITIONS {
            let detail = format!("filters hold at most {MOST_CONDITIONS} conditions in all");
            return Err(crate::http::ApiError::new(
                axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_body",
                detail.clone(),
            )
            .at("/filters", detail));
        }
        for (index, filter) in fields.iter().enumerate() {
            let fits = match (filter.op, &filter.value) {
                (FieldOp::In, value) => value.is_array(),
                (_, value) => value.is_string() || value.is_number() || value.is_boolean(),
            };
            if !fits {
                let detail = "the value is a string, a number or a boolean; a list of them for the op `in`";
                let pointer = format!("/filters/fields/{index}/value");
                return Err(crate::http::ApiError::new(
                    axum::http::StatusCode::UNPROCESSABLE_ENTITY,
                    "invalid_body",
                    detail,
                )
                .at(pointer, detail));
            }
        }
        Ok(tributary_core::query::Filters { source_ids, kinds, languages, updated_after, fields })
    }
}

/// A passage that an answer or result rests on.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct Citation {
    /// As `[1]` in the answer.
    number: u32,
    document_id: Uuid,
    document_version: i64,
    external_id: String,
    title: String,
    url: Option<String>,
    source: SourceRef,
    #[schema(value_type = Uuid)]
    run_id: RunId,
    connector: Connector,
    /// Headings above the passage.
    section: Vec<String>,
    /// `{"page": 4}`, `{"fragment": "returns"}`, …
    locator: Option<serde_json::Value>,
    cited_text: String,
    /// Character offset of `cited_text` in the version's text.
    start: i64,
    /// End of it, exclusive.
    end: i64,
    /// SHA-256 of `cited_text`.
    text_hash: String,
    ingested_at: DateTime<Utc>,
    /// current, changed (there is a newer version) or removed (gone at its source).
    #[schema(value_type = String)]
    status: tributary_core::citation::CitationStatus,
}

/// A source by name.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SourceRef {
    id: Uuid,
    name: String,
}

impl From<tributary_core::citation::Citation> for Citation {
    fn from(citation: tributary_core::citation::Citation) -> Self {
        Self {
            number: citation.number,
            document_id: citation.document_id.0,
            document_version: citation.document_version,
            external_id: citation.external_id,
            title: citation.title,
            url: citation.url,
            source: SourceRef { id: citation.source.id.0, name: citation.source.name },
            run_id: citation.run_id,
            connector: citation.connector.into(),
            section: citation.section,
            locator: citation.locator.and_then(|locator| serde_json::to_value(locator).ok()),
            cited_text: citation.cited_text,
            start: citation.start,
            end: citation.end,
            text_hash: citation.text_hash.to_string(),
            ingested_at: citation.ingested_at,
            status: citation.status,
        }
    }
}
