//! What a connector is expected to do, as files, and what every connector must do.
//!
//! A [`Scenario`] is a JSON file: a configuration, scripted answers to requests, files, and what a run is expected to bring.
//! [`play`] plays it against a [`Subject`], [`conformance`] holds the subject to the contract. The subject is the connector as a
//! native library (the SDK's test kit) or as a component in the real sandbox (`tributary plugin test`).
//!
//! A crate of its own, without the contract's generated types, so that the server plays the same files as the SDK does without
//! depending on what is made for guests.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod browsing;
mod conformance;
mod expect;
mod file;
mod folders;
mod hosts;
mod model;
mod play;
mod record;
mod run;
mod schema;
mod script;
mod world;

pub use conformance::conformance;
pub use file::{
    Exchange, Expected, ExpectedDocument, FileContent, Files, Known, OneOrMany, Request, Response, Run, Scenario,
};
pub use hosts::{host_of, may_reach, resolved};
pub use model::{
    About, Browse, Change, Checked, Choice, Choices, Document, Failure, Next, Page, Pull, Subject, joined,
};
pub use play::{Report, find_scenarios, play};
pub use record::{Committed, Record};
pub use run::{Outcome, PullLimits, pull_all};
pub use schema::faults;
pub use script::{Answer, Ask};
pub use world::World;
