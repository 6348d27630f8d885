//! The contract of the store, kept on both databases.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod audience;
mod audit;
mod chat;
mod components;
mod deleted_sources;
mod diagram;
mod documents;
mod dry_runs;
mod extractions;
mod feed;
mod finish;
mod full;
mod gauges;
mod holds;
mod identity;
mod ingest;
mod jobs;
mod keys;
mod members;
mod model;
mod passages;
mod predicates;
mod queue;
mod recordings;
mod row_security;
mod runs;
mod schedules;
mod schema;
mod secrets;
mod sessions;
mod sources;
mod support;
mod tenancy;
mod twins;
mod workspaces;
