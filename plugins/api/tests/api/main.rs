//! What an admin relies on: syncs over fakes of real services and over answers written by hand.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;
mod woocommerce;
