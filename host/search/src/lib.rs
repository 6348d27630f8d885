//! Tributary's search: chunk, analyse, index, rank, and pick the sentences that answer. The only crate that knows tantivy.
//!
//! The database is the record and an index is derived from it: nothing here is worth an fsync, and anything that cannot be trusted
//! (a wrong checksum, another version of the analyser) is dropped and fed again from position 0. Nothing here knows SQL or HTTP.

mod analyse;
pub mod answer;
pub mod chunk;
mod directory;
mod fields;
mod filter;
pub mod highlight;
mod identifier;
mod index;
mod indexes;
mod language;
mod query;
mod question;
mod rank;
mod schema;
mod sentence;
mod snapshot;
mod spelling;
pub mod text;
mod weights;

pub use filter::fields_hold;
pub use indexes::{IndexOptions, Indexes, SearchRequest, SearchResult};

/// Why an index could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index library failed.
    #[error("The search index could not be read or written: {0}")]
    Engine(#[from] tantivy::TantivyError),
    /// The file system failed.
    #[error("The files of the search index could not be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// The index failed its checks and was dropped: feed it again from position 0.
    #[error("The search index of this workspace was damaged and is being rebuilt; try again in a moment.")]
    Damaged,
    /// A query failed; the index is checked at its next use.
    #[error("The search failed ({0}); try again in a moment.")]
    Failed(String),
}
