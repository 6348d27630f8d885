//! What people do with documents that are there already: list, count, look into the past, restore, move.
//!
//! Pushing and deleting them is in `ingestion/push.rs`.

mod diff;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use tokio::{sync::Semaphore, task::spawn_blocking};
use tributary_core::{
    DocumentId, Position, SourceId,
    document::{Document, VersionInfo},
    query::FieldFilter,
    source::PUSH_CONNECTOR,
};
use tributary_store::{DocumentCount, DocumentFilter, DocumentWithText, Moved, Page, Restored, TenantDb};

use crate::wake::Wake;

pub use diff::{Difference, Hunk, Line, Span};

/// Documents read for one count with conditions on fields.
const MOST_COUNTED: usize = 200_000;
/// Documents that are moved at once.
pub const MOST_MOVED: usize = 1_000;
/// Diffs made at the same time.
const DIFFS: usize = 2;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such document.
    #[error("there is no such document")]
    NoSuchDocument,
    /// There never was such a version, or it is not for the caller.
    #[error("there is no such version of this document")]
    NoSuchVersion,
    /// It was kept for its time.
    #[error(
        "version {0} of this document is not kept any more; GET …/versions lists those that are, and the workspace's settings keep_versions and keep_versions_days say for how long"
    )]
    VersionForgotten(i64),
    /// Too long to be compared.
    #[error("the two texts have {0} bytes, at most {most} are compared; read both versions instead", most = diff::MOST_BYTES)]
    TooLarge(i64),
    /// Reading on would take too long.
    #[error(
        "more than {MOST_COUNTED} documents would have to be read one by one; narrow it by source, kind, run or time"
    )]
    TooMany,
    /// It is there.
    #[error("this document is not deleted")]
    NotDeleted,
    /// It went with its source.
    #[error("the source of this document is deleted; restore the source, and its documents come back with it")]
    SourceDeleted,
    /// Nothing to move, or too much.
    #[error("name 1 to {MOST_MOVED} documents in document_ids, or a source in from_source_id")]
    NothingNamed,
    /// A connector feeds it.
    #[error(
        "the source {0:?} is fed by a connector, which would bring its documents back, or miss them; only pushed documents are moved, to sources of the connector {PUSH_CONNECTOR}"
    )]
    KeptBySource(String),
    /// One of them stands elsewhere.
    #[error("the document {0} is not in the source that was named")]
    Elsewhere(DocumentId),
    /// The new source knows the name.
    #[error(
        "two of these documents, or one and a present or deleted document of the new source, have the external id {0:?}; push it under another name or purge the deleted one first"
    )]
    NameTaken(String),
    /// The record.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
    /// A defect.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

/// A page of documents, with the place where the next one begins.
#[derive(Clone, Debug)]
pub struct Listed {
    /// In order.
    pub items: Vec<Document>,
    /// The last document that was looked at, when there may be more.
    pub next: Option<DocumentId>,
}

/// By what documents are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupBy {
    /// Their source.
    Source,
    /// Their kind.
    Kind,
    /// Their language.
    Language,
    /// The day in UTC on which the current version came, or on which they were deleted.
    Day,
}

/// What to move, and where.
#[derive(Clone, Debug, Default)]
pub struct Move {
    /// These; `None`: those of the source.
    pub documents: Option<Vec<DocumentId>>,
    /// From this source.
    pub from: Option<SourceId>,
    /// Without a list: only those of this kind.
    pub kind: Option<String>,
}

/// What a move did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveOutcome {
    /// Documents that changed their source.
    pub moved: i64,
    /// The commit.
    pub position: Option<Position>,
    /// Whether there are more to move: ask again.
    pub more: bool,
}

/// How much is read where documents are looked at one by one, whether or not the caller may see them.
struct Bounds {
    /// In one read.
    slice: i64,
    /// For one page of a list.
    page: usize,
    /// For one count.
    count: usize,
}

/// The document service.
pub struct Documents {
    wake: Wake,
    diffs: Arc<Semaphore>,
    bounds: Bounds,
}

impl Documents {
    /// Wired.
    pub fn new(wake: Wake) -> Self {
        let bounds = Bounds { slice: 1_000, page: 5_000, count: MOST_COUNTED };
        Self { wake, diffs: Arc::new(Semaphore::new(DIFFS)), bounds }
    }

    /// Documents, oldest first. Conditions on fields are checked one by one, so a page may hold fewer than asked for, or none, and still
    /// not be the last.
    pub async fn list(
        &self,
        tenant: &TenantDb,
        filter: &DocumentFilter,
        fields: &[FieldFilter],
        cursor: Option<DocumentId>,
        limit: i64,
    ) -> Result<Listed, Error> {
        if fields.is_empty() {
            let page = tenant.list_documents(filter, cursor, limit).await?;
            return Ok(Listed { next: page.last, items: page.items });
        }
        let (mut items, mut after, mut read) = (Vec::new(), cursor, 0);
        let limit = usize::try_from(limit).unwrap_or(1);
        while read < self.bounds.page {
            let page = tenant.list_documents(filter, after, self.bounds.slice).await?;
            read += page.read;
            for document in page.items {
                let id = document.id;
                if tributary_search::fields_hold(fields, &document.fields) {
                    items.push(document);
                }
                if items.len() == limit {
                    return Ok(Listed { items, next: Some(id) });
                }
            }
            let Some(last) = page.last else { return Ok(Listed { items, next: None }) };
            after = Some(last);
        }
        Ok(Listed { items, next: after })
    }

    /// How many documents, in all and by group: the greatest group first, days in their order.
    pub async fn count(
        &self,
        tenant: &TenantDb,
        filter: &DocumentFilter,
        fields: &[FieldFilter],
        by: Option<GroupBy>,
    ) -> Result<(i64, Vec<(Option<String>, i64)>), Error> {
        let counts = if fields.is_empty() && tenant.audience().field.is_none() {
            tenant.count_documents(filter).await?
        } else {
            self.count_one_by_one(tenant, filter, fields).await?
        };
        let total = counts.iter().map(|it| it.documents).sum();
        let Some(by) = by else { return Ok((total, Vec::new())) };
        let mut groups = BTreeMap::<Option<String>, i64>::new();
        for count in counts {
            let key = match by {
                GroupBy::Source => Some(count.source_id.to_string()),
                GroupBy::Kind => Some(count.kind),
                GroupBy::Language => count.language,
                GroupBy::Day => Some(count.day),
            };
            *groups.entry(key).or_default() += count.documents;
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        if by != GroupBy::Day {
            groups.sort_by_key(|(_, documents)| std::cmp::Reverse(*documents));
        }
        Ok((total, groups))
    }

    async fn count_one_by_one(
        &self,
        tenant: &TenantDb,
        filter: &DocumentFilter,
        fields: &[FieldFilter],
    ) -> Result<Vec<DocumentCount>, Error> {
        let mut counts = BTreeMap::<_, i64>::new();
        let (mut after, mut read) = (None, 0);
        loop {
            let page = tenant.list_documents(filter, after, self.bounds.slice).await?;
            read += page.read;
            for it in page.items.into_iter().filter(|it| tributary_search::fields_hold(fields, &it.fields)) {
                let day = it.tombstone.map_or(it.updated_at, |tombstone| tombstone.at).format("%Y-%m-%d").to_string();
                *counts.entry((it.source_id.0, it.kind, it.language, day)).or_default() += 1;
            }
            after = page.last;
            if after.is_none() {
                break;
            }
            if read >= self.bounds.count {
                return Err(Error::TooMany);
            }
        }
        let counts = counts.into_iter().map(|((source_id, kind, language, day), documents)| DocumentCount {
            source_id,
            kind,
            language,
            day,
            documents,
        });
        Ok(counts.collect())
    }

    /// The versions of a document that are kept, newest first.
    pub async fn versions(
        &self,
        tenant: &TenantDb,
        id: DocumentId,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Page<VersionInfo>, Error> {
        tenant.list_versions(id, before, limit).await?.ok_or(Error::NoSuchDocument)
    }

    /// One version with its text.
    pub async fn version(&self, tenant: &TenantDb, id: DocumentId, version: i64) -> Result<DocumentWithText, Error> {
        if let Some(found) = tenant.find_version(id, version).await? {
            return Ok(found);
        }
        Err(self.missing(tenant, id, version).await?)
    }

    async fn missing(&self, tenant: &TenantDb, id: DocumentId, version: i64) -> Result<Error, Error> {
        let document = tenant.find_listed(id).await?.ok_or(Error::NoSuchDocument)?;
        let forgotten = (1..document.oldest_version).contains(&version);
        Ok(if forgotten { Error::VersionForgotten(version) } else { Error::NoSuchVersion })
    }

    /// What changed from one version to another; from the one before when none is named.
    pub async fn diff(
        &self,
        tenant: &TenantDb,
        id: DocumentId,
        version: i64,
        against: Option<i64>,
    ) -> Result<Difference, Error> {
        let against = against.unwrap_or(version - 1);
        let mut bytes = 0;
        for wanted in [against, version] {
            let page = self.versions(tenant, id, Some(wanted.saturating_add(1)), 1).await?;
            match page.items.first().filter(|it| it.version == wanted) {
                Some(it) => bytes += it.text_bytes,
                None => return Err(self.missing(tenant, id, wanted).await?),
            }
        }
        if bytes > diff::MOST_BYTES {
            return Err(Error::TooLarge(bytes));
        }
        let from = self.version(tenant, id, against).await?;
        let to = self.version(tenant, id, version).await?;
        let hand = self.diffs.clone().acquire_owned().await;
        let made = spawn_blocking(move || {
            let _hand = hand;
            diff::between(&from, &to)
        });
        Ok(made.await?)
    }

    /// Brings a deleted document back, with its last version.
    pub async fn restore(&self, tenant: &TenantDb, id: DocumentId) -> Result<Position, Error> {
        match tenant.restore_document(id).await? {
            Restored::Back(position) => {
                self.wake.documents();
                Ok(position)
            }
            Restored::NotDeleted => Err(Error::NotDeleted),
            Restored::SourceDeleted => Err(Error::SourceDeleted),
            Restored::NoSuchDocument => Err(Error::NoSuchDocument),
        }
    }

    /// Moves pushed documents to another source; all that are named, or none.
    pub async fn move_to(&self, tenant: &TenantDb, to: SourceId, what: Move) -> Result<MoveOutcome, Error> {
        self.takes_pushes(tenant, to).await?;
        let mut from = what.from.into_iter().collect::<Vec<_>>();
        for source in &from {
            self.takes_pushes(tenant, *source).await?;
        }
        let (ids, more) = match what.documents {
            Some(ids) => {
                if ids.is_empty() || ids.len() > MOST_MOVED {
                    return Err(Error::NothingNamed);
                }
                let homes = tenant.sources_of(&ids).await?;
                if ids.iter().any(|id| !homes.contains_key(id)) {
                    return Err(Error::NoSuchDocument);
                }
                if what.from.is_none() {
                    from = homes.into_values().collect();
                    from.sort_unstable();
                    from.dedup();
                    for source in &from {
                        self.takes_pushes(tenant, *source).await?;
                    }
                }
                (ids, false)
            }
            None => {
                let filter = DocumentFilter { source_id: what.from, kind: what.kind, ..DocumentFilter::default() };
                if what.from.is_none() {
                    return Err(Error::NothingNamed);
                }
                let page = tenant.list_documents(&filter, None, MOST_MOVED as i64).await?;
                (page.items.iter().map(|it| it.id).collect(), page.more)
            }
        };
        match tenant.move_documents(&ids, &from, to).await? {
            Moved::Moved { moved, position } => {
                self.wake.documents();
                Ok(MoveOutcome { moved, position, more })
            }
            Moved::NoSuchDocument(_) => Err(Error::NoSuchDocument),
            Moved::Elsewhere(id) => Err(Error::Elsewhere(id)),
            Moved::NameTaken(external_id) => Err(Error::NameTaken(external_id)),
        }
    }

    async fn takes_pushes(&self, tenant: &TenantDb, source: SourceId) -> Result<(), Error> {
        let source = tenant.get_source(source).await?;
        if source.connector.id == PUSH_CONNECTOR { Ok(()) } else { Err(Error::KeptBySource(source.name)) }
    }
}
