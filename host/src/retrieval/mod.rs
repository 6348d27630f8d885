//! Retrieval: keeps this host's search indexes up to date and answers knowledge queries.
//!
//! Ranked in the index, checked in the record: a deletion holds at once, whatever the index lags.

mod indexer;
mod knowledge;

pub use indexer::Indexer;
pub use knowledge::{Error, Knowledge, LONGEST_QUERY, Mode, Query, Ranked, Results, cite, cite_all};
