//! What an admin relies on: syncs over fakes of real services and over answers written by hand.
#![allow(clippy::unwrap_used, missing_docs)]

mod behaviour;
mod bigcommerce;
mod docs;
mod failures;
mod feeds;
mod github;
mod hostile;
mod settings;
mod shopify;
mod support;
mod woocommerce;
