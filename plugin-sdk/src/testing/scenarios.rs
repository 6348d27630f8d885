//! A folder of scenarios as tests.

use std::path::Path;

use tributary_scenario::{Report, Scenario, find_scenarios, play};

use super::Native;
use crate::Connector;

/// Holds a connector to the contract, starting from a scenario that works.
pub fn conformance<C: Connector>(scenario: &Scenario) -> Report {
    tributary_scenario::conformance(&Native::<C>::new(), scenario)
}

/// Plays every scenario of a folder.
///
/// # Panics
/// With all problems, when there are any.
pub fn run_scenarios<C: Connector>(folder: impl AsRef<Path>) {
    let scenarios = read(folder.as_ref());
    finish(scenarios.iter().map(|scenario| play(&Native::<C>::new(), scenario)).collect());
}

/// Holds a connector to the contract with every scenario of a folder that is expected to end well.
///
/// # Panics
/// With all problems, when there are any.
pub fn run_conformance<C: Connector>(folder: impl AsRef<Path>) {
    let scenarios = read(folder.as_ref());
    finish(scenarios.iter().filter(|scenario| scenario.works()).map(conformance::<C>).collect());
}

fn read(folder: &Path) -> Vec<Scenario> {
    let paths = find_scenarios(folder).unwrap_or_else(|problem| panic!("{problem}"));
    paths.iter().map(|path| Scenario::read(path).unwrap_or_else(|problem| panic!("{problem}"))).collect()
}

fn finish(reports: Vec<Report>) {
    let shown: Vec<_> = reports.iter().map(Report::to_string).collect();
    let failed = reports.iter().filter(|report| !report.is_ok()).count();
    assert!(failed == 0, "{failed} of {} scenarios are not as they must be\n\n{}\n", reports.len(), shown.join("\n"));
}
