//! Knowledge queries: ranked passages with attribution.

use std::time::{Duration, Instant as Elapsed};

use tokio::task::spawn_blocking;
use tributary_core::{
    Position,
    citation::{Citation, CitationStatus},
    hash::Sha256Hash,
    query::Filters,
};
use tributary_search::{Indexes, SearchRequest, highlight::Highlighter};
use tributary_store::{Passage, TenantDb};

/// Longest query in characters.
pub const LONGEST_QUERY: usize = 2_000;
/// Most results of one query.
const MOST_RESULTS: usize = 100;
/// How long a query waits for `min_position`.
const PATIENCE: Duration = Duration::from_secs(5);

/// How to rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The best this server can do.
    #[default]
    Auto,
    /// By words.
    Lexical,
    /// By meaning; needs an embedding model.
    Vector,
    /// Both; needs an embedding model.
    Hybrid,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Query {
    /// In the words of a person.
    pub text: String,
    /// How many results.
    pub top_k: usize,
    /// How to rank.
    pub mode: Mode,
    /// Answer only when everything up to here is indexed.
    pub min_position: Option<Position>,
    /// What to look at.
    pub filters: Filters,
}

/// One result.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// The passage with everything known of it.
    pub passage: Passage,
    /// Character offsets in the passage of the words that matched.
    pub highlights: Vec<(usize, usize)>,
}

/// The results, best first.
#[derive(Clone, Debug)]
pub struct Results {
    /// Passages, at most one for each document.
    pub items: Vec<Ranked>,
    /// What the index had applied.
    pub position: Position,
    /// From the call to the answer.
    pub took: Duration,
}

/// Why a query was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is out of range.
    #[error("{message}")]
    Invalid {
        /// JSON pointer into the request body.
        pointer: &'static str,
        /// What to send instead.
        message: String,
    },
    /// `min_position` is not indexed yet.
    #[error("position {0} is not indexed yet on this host; ask again in a moment")]
    Behind(Position),
    /// The index was damaged and is being made anew.
    #[error("the search index is being rebuilt; ask again in a moment")]
    Rebuilding,
    /// The index.
    #[error(transparent)]
    Search(tributary_search::Error),
    /// The record.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
    /// A defect.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
}

/// The knowledge service.
pub struct Knowledge {
    indexes: Indexes,
}

impl Knowledge {
    /// Over this host's indexes.
    pub fn new(indexes: Indexes) -> Self {
        Self { indexes }
    }

    /// Answers a query.
    pub async fn query(&self, tenant: &TenantDb, query: Query) -> Result<Results, Error> {
        let started = Elapsed::now();
        check(&query)?;
        let workspace = tenant.workspace_id();
        if let Some(position) = query.min_position
            && !self.indexes.wait_for(workspace, position, PATIENCE).await
        {
            return Err(Error::Behind(position));
        }
        // Over-fetched, since the record may drop some.
        let mut filters = query.filters;
        tenant.audience().narrow(&mut filters);
        let request = SearchRequest { filters, ..SearchRequest::new(query.text, query.top_k + query.top_k / 2 + 10) };
        let (indexes, words) = (self.indexes.clone(), request.query.clone());
        let found =
            spawn_blocking(move || indexes.search(workspace, &request)).await?.map_err(|error| match error {
                tributary_search::Error::Damaged => Error::Rebuilding,
                error => Error::Search(error),
            })?;
        // The spare ones are read only when the record did drop some.
        let (wanted, spare) = found.hits.split_at(query.top_k.min(found.hits.len()));
        let mut passages = tenant.passages(wanted).await?;
        if passages.len() < wanted.len() {
            passages.extend(tenant.passages(spare).await?);
            passages.truncate(query.top_k);
        }
        let mut highlighter = Highlighter::new(&words);
        let items = passages
            .into_iter()
            .map(|passage| Ranked {
                highlights: highlighter.highlights(&passage.text, passage.language.as_deref()),
                passage,
            })
            .collect();
        Ok(Results { items, position: found.position, took: started.elapsed() })
    }
}

/// A citation of `length` characters of a passage from the character `from`.
pub fn cite(number: u32, passage: &Passage, from: usize, length: usize) -> Citation {
    let cited_text: String = passage.text.chars().skip(from).take(length).collect();
    let start = passage.start + from as i64;
    Citation {
        number,
        document_id: passage.hit.document_id,
        document_version: passage.hit.version,
        external_id: passage.external_id.clone(),
        title: passage.title.clone(),
        url: passage.url.clone(),
        source: passage.source.clone(),
        run_id: passage.run_id,
        connector: passage.connector.clone(),
        section: passage.section.clone(),
        locator: passage.locator.clone(),
        start,
        end: start + cited_text.chars().count() as i64,
        text_hash: Sha256Hash::of(&cited_text),
        cited_text,
        ingested_at: passage.ingested_at,
        status: CitationStatus::Current,
    }
}

/// A citation of a whole passage, without the white space around it.
pub fn cite_all(number: u32, passage: &Passage) -> Citation {
    let from = passage.text.chars().take_while(|c| c.is_whitespace()).count();
    cite(number, passage, from, passage.text.trim().chars().count())
}

fn check(query: &Query) -> Result<(), Error> {
    let invalid = |pointer, message: String| Err(Error::Invalid { pointer, message });
    if query.text.trim().is_empty() {
        return invalid("/query", "ask something: the query is empty".to_owned());
    }
    if query.text.chars().count() > LONGEST_QUERY {
        return invalid("/query", format!("a query has at most {LONGEST_QUERY} characters"));
    }
    if !(1..=MOST_RESULTS).contains(&query.top_k) {
        return invalid("/top_k", format!("top_k is between 1 and {MOST_RESULTS}"));
    }
    if matches!(query.mode, Mode::Vector | Mode::Hybrid) {
        return invalid("/mode", "this server has no embedding model; use auto or lexical".to_owned());
    }
    Ok(())
}
