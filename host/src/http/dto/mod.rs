//! Shapes shared by several routes, exactly as the API documents them.

mod query;
mod run;
mod source;

use serde::{Deserialize, Serialize};
use tributary_core::citation::ConnectorRef;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

pub(super) use query::{Citation, Filters};
pub(super) use run::{Counts, FailedItem, Run};
pub(super) use source::{Paused, ScheduleBody, Source};

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(super) struct List<T> {
    /// The page.
    pub items: Vec<T>,
    /// Send it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
}

impl<T> List<T> {
    /// A page of the store as a page of the API; the cursor is the id of its last item.
    pub(super) fn of<U>(page: tributary_store::Page<U>, cursor: impl Fn(&U) -> String, show: impl Fn(U) -> T) -> Self {
        let next_cursor = if page.more { page.items.last().map(cursor) } else { None };
        Self { items: page.items.into_iter().map(show).collect(), next_cursor }
    }
}

/// Paging of every list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// `next_cursor` of the page before.
    pub cursor: Option<Uuid>,
    /// Items in a page, 1 to 100.
    pub limit: Option<u16>,
}

impl Paging {
    pub(super) fn limit(&self) -> i64 {
        limit(self.limit)
    }
}

/// Paging of lists whose items are numbered.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Numbered {
    /// `next_cursor` of the page before.
    pub cursor: Option<i64>,
    /// Items in a page, 1 to 100.
    pub limit: Option<u16>,
}

/// Clamped rather than refused: asking for more than there may be is no mistake.
pub(super) fn limit(given: Option<u16>) -> i64 {
    i64::from(given.unwrap_or(50).clamp(1, 100))
}

/// The exact connector that produced something.
#[derive(Serialize, ToSchema)]
pub(super) struct Connector {
    pub id: String,
    pub version: String,
    /// SHA-256 of the component.
    pub digest: String,
}

impl From<ConnectorRef> for Connector {
    fn from(ConnectorRef { id, version, digest }: ConnectorRef) -> Self {
        Self { id, version, digest }
    }
}
