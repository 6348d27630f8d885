//! Playing scenarios.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    About, Outcome, PullLimits, Record, Scenario, Subject, World, expect, faults, folders::Folders, hosts::resolved,
    pull_all, script::Script,
};

/// How a scenario went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its name.
    pub name: String,
    /// What was not as it must be, one sentence each. None: all is well.
    pub problems: Vec<String>,
    /// Its runs.
    pub outcomes: Vec<Outcome>,
    /// What there is after the last of them.
    pub record: Record,
}

impl std::fmt::Display for Report {
    /// One line when all is well, else the problems below it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (mark, problems) = (if self.is_ok() { "ok  " } else { "FAIL" }, &self.problems);
        write!(f, "{mark}  {}", self.name)?;
        problems.iter().try_for_each(|problem| write!(f, "\n      {problem}"))
    }
}

impl Report {
    /// Whether all is well.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// A scenario that cannot be played.
    pub(crate) fn broken(name: &str, problem: String) -> Self {
        Self { name: name.to_owned(), problems: vec![problem], ..Self::default() }
    }
}

/// The `.json` files of a folder, in the order of their names.
///
/// # Errors
/// One sentence, also when there is none.
pub fn find_scenarios(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = folder.display();
    let entries = fs::read_dir(folder).map_err(|error| format!("{shown} cannot be read: {error}"))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.is_empty() {
        return Err(format!("{shown} has no scenarios: put JSON files there"));
    }
    Ok(paths)
}

/// Plays all runs of a scenario.
pub fn play(subject: &dyn Subject, scenario: &Scenario) -> Report {
    played(subject, scenario).unwrap_or_else(|problem| Report::broken(&scenario.name, problem))
}

fn played(subject: &dyn Subject, scenario: &Scenario) -> Result<Report, String> {
    let about = subject.about().map_err(|failure| format!("the connector does not say what it is: {failure}"))?;
    let mut report = Report { name: scenario.name.clone(), ..Report::default() };
    report.record.ledger.clone_from(&scenario.before.ledger);
    report.record.state.clone_from(&scenario.before.state);
    let mut folders = Folders::new()?;
    let mut config = scenario.config.clone();
    let runs = scenario.runs();
    let several = runs.len() > 1;
    for (number, run) in runs.into_iter().enumerate() {
        if let Some(changed) = &run.config {
            config.clone_from(changed);
        }
        let now_ms = scenario.now_ms + number as i64 * 1_000;
        let mut problems = misfits(&about, &config)?;
        let files = run.files.as_ref().unwrap_or(&scenario.files);
        folders.set(files, &scenario.directory, now_ms)?;
        let http = run.http.as_ref().unwrap_or(&scenario.http);
        let script = Script::new(http, &scenario.directory)?;
        let stage = Stage { about: &about, config: &config, folders: &folders, files };
        let expected = &run.expect;
        if let Some(wanted) = &expected.check_failed {
            let world = Arc::new(stage.world(script.clone(), report.record.clone()));
            problems.extend(expect::check_differences(wanted, &subject.check(&config.to_string(), &world)));
        }
        let world = Arc::new(stage.world(script, report.record.clone()));
        let limits = PullLimits {
            config: config.to_string(),
            full: run.full,
            now_ms,
            max_items: scenario.max_items,
            replay: false,
        };
        let outcome = pull_all(subject, &world, &limits, |_| true);
        report.record = world.record();
        problems.extend(world.unmatched());
        problems.extend(expect::differences(expected, &outcome, &report.record));
        let name = if run.name.is_empty() { format!("run {}", number + 1) } else { run.name.clone() };
        report.problems.extend(problems.into_iter().map(|what| if several { format!("{name}: {what}") } else { what }));
        report.outcomes.push(outcome);
    }
    Ok(report)
}

/// What a run finds.
pub(crate) struct Stage<'a> {
    pub(crate) about: &'a About,
    pub(crate) config: &'a Value,
    pub(crate) folders: &'a Folders,
    pub(crate) files: &'a crate::Files,
}

impl Stage<'_> {
    /// The world with what the configuration grants, and nothing else.
    pub(crate) fn world(&self, script: Script, record: Record) -> World {
        let named = resolved(&self.about.roots, self.config);
        let mut roots = self.folders.roots(self.files);
        roots.retain(|root, _| named.contains(root));
        World::new(roots, resolved(&self.about.hosts, self.config), script, record)
    }
}

/// What the host would say of a configuration before the connector sees it.
fn misfits(about: &About, config: &Value) -> Result<Vec<String>, String> {
    let faults = faults(&about.config_schema, config)?;
    Ok(faults
        .into_iter()
        .map(|fault| format!("the configuration does not fit the connector's schema: {fault}"))
        .collect())
}
