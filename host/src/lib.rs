//! Tributary: a self-hosted knowledge-chat server.
//!
//! This crate is the server: settings, services, background loops and the HTTP API. What it stands on lives beside it:
//! `core` (domain), `store` (the record), `search` (the index) and `sandbox` (components).

pub mod app;
pub mod audit;
pub mod auth;
pub mod chat;
pub mod cli;
pub mod documents;
pub mod http;
pub mod ingestion;
pub mod jobs;
pub mod limits;
pub mod metrics;
pub mod plugins;
pub mod recording;
pub mod retrieval;
pub mod schedules;
pub mod secrets;
pub mod settings;
pub mod sources;
pub mod telemetry;
pub mod wake;
pub mod workspaces;
