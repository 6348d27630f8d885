//! A collection: requests, answers, paging, what is new, what is gone.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use tributary_plugin_sdk::Gone;

use super::Mapping;
use crate::{
    json::{Json, Pointer},
    time::{Format, Span},
};

/// Records of one kind, page by page.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Collection {
    /// Starts the external id of its documents.
    pub(crate) name: String,
    pub(crate) request: Request,
    #[serde(default)]
    pub(crate) response: Response,
    #[serde(default)]
    pub(crate) pagination: Pagination,
    #[serde(default)]
    pub(crate) incremental: Option<Incremental>,
    #[serde(default)]
    pub(crate) partitions: Option<Partitions>,
    #[serde(default)]
    pub(crate) deletions: Deletions,
    #[serde(default)]
    pub(crate) errors: Vec<ErrorRule>,
    /// None: its records are there to list others for, and are no documents.
    #[serde(default)]
    pub(crate) document: Option<Mapping>,
}

impl Collection {
    pub(crate) fn parent(&self) -> Option<&Parent> {
        self.partitions.as_ref().map(|partitions| &partitions.parent)
    }
}

/// What is sent for a page. Texts are templates.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// By default `POST` with a body, `GET` without.
    #[serde(default)]
    pub(crate) method: Option<Method>,
    /// Put behind the base URL.
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) query: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: Option<Body>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum Method {
    Get,
    Post,
}

/// Exactly one of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Body {
    #[serde(default)]
    pub(crate) json: Option<serde_json::Value>,
    #[serde(default)]
    pub(crate) form: Option<BTreeMap<String, serde_json::Value>>,
    #[serde(default)]
    pub(crate) graphql: Option<Graphql>,
}

/// A GraphQL query, sent as it stands, and its variables, which are templates.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Graphql {
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) variables: serde_json::Map<String, serde_json::Value>,
}

/// How an answer is read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    #[serde(default)]
    pub(crate) decode: Decode,
    #[serde(default)]
    pub(crate) records: Pointer,
    /// What an answer without `records` means.
    #[serde(default)]
    pub(crate) missing: Missing,
    #[serde(default)]
    pub(crate) max_bytes: Bytes,
    /// Of CSV; by default whichever of `,`, `;`, tab and `|` the header has most of.
    #[serde(default)]
    pub(crate) delimiter: Option<char>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Decode {
    #[default]
    Json,
    Jsonl,
    Csv,
    Xml,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Missing {
    #[default]
    Fail,
    Empty,
}

/// How to come to the next page.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pagination {
    #[serde(default)]
    pub(crate) kind: PagingKind,
    /// The parameter of the query that gets the page, offset or cursor.
    #[serde(default)]
    pub(crate) param: Option<String>,
    /// The first page or offset.
    #[serde(default)]
    pub(crate) start: Option<u64>,
    #[serde(default)]
    pub(crate) size_param: Option<String>,
    #[serde(default)]
    pub(crate) size: Option<u32>,
    /// Where the answer has the next cursor, or the next URL.
    #[serde(default)]
    pub(crate) cursor: Option<Pointer>,
    /// Where the answer has the connection with `pageInfo`.
    #[serde(default)]
    pub(crate) connection: Option<Pointer>,
    #[serde(default)]
    pub(crate) drop_params_after_first: Vec<String>,
    #[serde(default)]
    pub(crate) stop: Option<Stop>,
    #[serde(default)]
    pub(crate) has_more: Option<Pointer>,
    #[serde(default)]
    pub(crate) total_header: Option<String>,
    #[serde(default)]
    pub(crate) total: Option<Pointer>,
    /// What `total_header` and `total` count.
    #[serde(default)]
    pub(crate) total_counts: Counts,
    #[serde(default = "default_max_pages")]
    pub(crate) max_pages: u32,
}

impl Default for Pagination {
    fn default() -> Self {
        Self {
            kind: PagingKind::None,
            param: None,
            start: None,
            size_param: None,
            size: None,
            cursor: None,
            connection: None,
            drop_params_after_first: Vec::new(),
            stop: None,
            has_more: None,
            total_header: None,
            total: None,
            total_counts: Counts::Items,
            max_pages: default_max_pages(),
        }
    }
}

fn default_max_pages() -> u32 {
    10_000
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PagingKind {
    #[default]
    None,
    Page,
    Offset,
    Cursor,
    LinkHeader,
    NextUrl,
    GraphqlConnection,
}

/// When pages that are counted end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stop {
    Empty,
    ShortPage,
    HasMoreFalse,
    TotalHeader,
    Total,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Counts {
    #[default]
    Items,
    Pages,
}

/// How to read only what changed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incremental {
    /// When a record was last changed.
    pub(crate) field: Pointer,
    /// The first is the one that `lower_param` and `{since}` are written in.
    #[serde(default = "default_formats")]
    pub(crate) formats: Vec<Format>,
    pub(crate) filter: Filter,
    #[serde(default)]
    pub(crate) lower_param: Option<String>,
    #[serde(default)]
    pub(crate) upper_param: Option<String>,
    #[serde(default)]
    pub(crate) lookback: Span,
    #[serde(default)]
    pub(crate) sorted: Sorted,
}

fn default_formats() -> Vec<Format> {
    vec![Format::Rfc3339]
}

/// Who leaves out what did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Filter {
    Server,
    Client,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sorted {
    Asc,
    Desc,
    #[default]
    None,
}

/// One listing for each item of another collection.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Partitions {
    pub(crate) parent: Parent,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parent {
    pub(crate) collection: String,
    /// What names an item of the parent.
    pub(crate) key: Pointer,
    /// The name under which templates have the key.
    #[serde(rename = "as")]
    pub(crate) name: String,
    /// More of the parent's record, for templates.
    #[serde(default)]
    pub(crate) with: BTreeMap<String, Pointer>,
    /// Only parents that fulfil all of these have items.
    #[serde(default, rename = "where")]
    pub(crate) conditions: Vec<Condition>,
    /// Where the parent's record lists the ids of its items.
    #[serde(default)]
    pub(crate) ids: Option<Pointer>,
}

/// Something that a record is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    pub(crate) at: Pointer,
    /// One of these, as text.
    #[serde(default)]
    pub(crate) equals: Option<Vec<String>>,
    /// This is in it, as text.
    #[serde(default)]
    pub(crate) contains: Option<String>,
    #[serde(default)]
    pub(crate) is: Option<Is>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Is {
    Present,
    Absent,
}

impl Condition {
    pub(crate) fn holds(&self, record: &Json) -> bool {
        let values = self.at.find_all(record);
        let is_present = values.iter().any(|value| !value.is_blank());
        let equals = self
            .equals
            .as_ref()
            .is_none_or(|wanted| values.iter().filter_map(|value| value.scalar()).any(|value| wanted.contains(&value)));
        let is = match self.is {
            None => true,
            Some(Is::Present) => is_present,
            Some(Is::Absent) => !is_present,
        };
        let contains = self
            .contains
            .as_ref()
            .is_none_or(|part| values.iter().filter_map(|value| value.words()).any(|value| value.contains(part)));
        equals && contains && is
    }
}

/// How it is found out that a record is gone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deletions {
    #[serde(default)]
    pub(crate) kind: DeletionKind,
    /// `enumerate`: in the place of the collection's own parameters, to list ids only. `feed`: how to ask for what is gone.
    #[serde(default)]
    pub(crate) request: Option<Request>,
    #[serde(default)]
    pub(crate) response: Option<Response>,
    #[serde(default)]
    pub(crate) pagination: Option<Pagination>,
    /// Where a record of the feed has the id.
    #[serde(default)]
    pub(crate) id: Option<Pointer>,
    /// What the feed's records are.
    #[serde(default)]
    pub(crate) gone: GoneAs,
    /// Records that are listed and yet gone.
    #[serde(default)]
    pub(crate) flags: Vec<Flag>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DeletionKind {
    #[default]
    None,
    Enumerate,
    Flag,
    Feed,
}

/// A record that fulfils the condition is gone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flag {
    pub(crate) when: Condition,
    #[serde(default)]
    pub(crate) gone: GoneAs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GoneAs {
    #[default]
    Deleted,
    Trashed,
    Unpublished,
    OutOfScope,
    AccessLost,
}

impl From<GoneAs> for Gone {
    fn from(gone: GoneAs) -> Self {
        match gone {
            GoneAs::Deleted => Self::Deleted,
            GoneAs::Trashed => Self::Trashed,
            GoneAs::Unpublished => Self::Unpublished,
            GoneAs::OutOfScope => Self::OutOfScope,
            GoneAs::AccessLost => Self::AccessLost,
        }
    }
}

/// What an answer means that is not a page.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorRule {
    pub(crate) when: When,
    #[serde(rename = "do")]
    pub(crate) action: Action,
    /// How often `retry` tries.
    #[serde(default = "default_retries")]
    pub(crate) retries: u32,
    /// What is done after the last try.
    #[serde(default)]
    pub(crate) then: Option<Action>,
}

fn default_retries() -> u32 {
    3
}

/// All that is said must be so.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    #[serde(default)]
    pub(crate) status: Option<Statuses>,
    #[serde(default)]
    pub(crate) json_pointer: Option<Pointer>,
    #[serde(default)]
    pub(crate) contains: Option<String>,
}

/// One status or several.
#[derive(Clone, Debug)]
pub(crate) struct Statuses(pub(crate) Vec<u16>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let statuses = match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Array(items) => items,
            one => vec![one],
        };
        let status = |one: &serde_json::Value| one.as_u64().and_then(|status| u16::try_from(status).ok());
        let statuses: Option<Vec<u16>> = statuses.iter().map(status).collect();
        statuses.map(Self).ok_or_else(|| de::Error::custom("expected a status such as 404, or a list of them"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    Retry,
    RateLimited,
    SkipItem,
    SkipPartition,
    Empty,
    Fail,
}

/// A number of bytes, or text such as `32MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl Default for Bytes {
    fn default() -> Self {
        Self(32 << 20)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = serde_json::Value::deserialize(deserializer)?;
        let bytes = given.as_u64().or_else(|| {
            let text = given.as_str()?.trim();
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            let unit = match text[digits..].trim() {
                "" | "B" => 1,
                "KB" => 1_000,
                "MB" => 1_000_000,
                "KiB" => 1 << 10,
                "MiB" => 1 << 20,
                _ => return None,
            };
            text[..digits].parse::<u64>().ok()?.checked_mul(unit)
        });
        bytes.map(Self).ok_or_else(|| de::Error::custom("expected a number of bytes or a size such as \"32MiB\""))
    }
}
