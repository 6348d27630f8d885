//! What every connector must do, whatever its source: held against a scenario that works.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    About, Answer, Failure, Outcome, PullLimits, Record, Report, Scenario, Subject, World, browsing, faults,
    folders::Folders, play::Stage, pull_all, script::Script, world::Spoil,
};

/// Requests of a run that are spoiled, one after the other.
const MOST_SPOILED: usize = 8;

/// Holds a connector to the contract with the first run of a scenario that works.
///
/// - Its descriptor makes sense: id, version, a configuration schema that is JSON Schema and accepts the scenario's configuration.
/// - Paging ends, and each page asked for twice is the same page.
/// - A second run sends nothing again that the ledger knows.
/// - Answers that a source gives on a bad day, one for each request, become failures of the right kind: 401, 403, 429, 500,
///   none in time, too long a one, one of another shape and half of one. Nothing is deleted and nothing panics.
/// - It asks no host that its descriptor does not name.
/// - What it offers to choose from ends, and the schema takes each value.
pub fn conformance(subject: &dyn Subject, scenario: &Scenario) -> Report {
    let mut report = Report { name: format!("conformance: {}", scenario.name), ..Report::default() };
    if let Err(problem) = examine(subject, scenario, &mut report.problems) {
        report.problems.push(problem);
    }
    report
}

fn examine(subject: &dyn Subject, scenario: &Scenario, problems: &mut Vec<String>) -> Result<(), String> {
    let about = subject.about().map_err(|failure| format!("the connector does not say what it is: {failure}"))?;
    let Some(run) = scenario.runs().into_iter().next() else { return Ok(()) };
    let config = run.config.as_ref().unwrap_or(&scenario.config);
    problems.extend(descriptor(&about, config));
    let files = run.files.as_ref().unwrap_or(&scenario.files);
    let mut folders = Folders::new()?;
    folders.set(files, &scenario.directory, scenario.now_ms)?;
    let script = Script::new(run.http.as_ref().unwrap_or(&scenario.http), &scenario.directory)?;
    let examiner = Examiner {
        subject,
        stage: Stage { about: &about, config, folders: &folders, files },
        script,
        limits: PullLimits {
            config: config.to_string(),
            full: false,
            now_ms: scenario.now_ms,
            max_items: scenario.max_items,
            replay: false,
        },
    };

    let empty =
        Record { ledger: scenario.before.ledger.clone(), state: scenario.before.state.clone(), ..Record::default() };
    let (first, world) = examiner.run(empty, |limits| limits.replay = true, None);
    if let Some(failure) = first.failure {
        return Err(format!("the scenario must be one that works, and it failed with {failure}"));
    }
    problems.extend(
        world.refused().into_iter().map(|line| format!("it asks a host that its descriptor does not name: {line}")),
    );
    problems.extend(world.unmatched());
    let known = world.record();

    examiner.small_pages(&known, problems);
    examiner.second_run(&known, problems);
    examiner.bad_days(&known, problems);
    let world = || Arc::new(examiner.stage.world(examiner.script.clone(), known.clone()));
    problems.extend(browsing::problems(subject, &about, config, &world)?);
    Ok(())
}

struct Examiner<'a> {
    subject: &'a dyn Subject,
    stage: Stage<'a>,
    script: Script,
    limits: PullLimits,
}

impl Examiner<'_> {
    fn run(
        &self,
        record: Record,
        adjust: impl FnOnce(&mut PullLimits),
        trouble: Option<(usize, Result<Spoil, Failure>)>,
    ) -> (Outcome, Arc<World>) {
        let world = Arc::new(self.stage.world(self.script.clone(), record));
        if let Some((request, spoil)) = trouble {
            world.spoil(request, spoil);
        }
        let mut limits = self.limits.clone();
        adjust(&mut limits);
        (pull_all(self.subject, &world, &limits, |_| true), world)
    }

    /// Files can be read in pages of any size; scripted sources answer one size only.
    fn small_pages(&self, known: &Record, problems: &mut Vec<String>) {
        if self.script.is_empty() {
            let (outcome, world) = self.run(Record::default(), |limits| limits.max_items = 1, None);
            match outcome.failure {
                Some(failure) => problems.push(format!("in pages of one item it fails with {failure}")),
                None if world.record().documents != known.documents => {
                    problems.push("in pages of one item it brings other documents than in large ones".to_owned());
                }
                None => {}
            }
        }
    }

    fn second_run(&self, known: &Record, problems: &mut Vec<String>) {
        let (second, world) = self.run(known.clone(), |_| {}, None);
        if let Some(failure) = &second.failure {
            problems.push(format!("a second run over the same source fails with {failure}"));
            return;
        }
        let after = world.record();
        for id in second.written() {
            let (before, now) = (known.documents.get(id), after.documents.get(id));
            let fingerprint = known.ledger.get(id);
            if before != now {
                problems.push(format!("a second run over the same source brings {id} with other content"));
            } else if fingerprint.is_some() && now.and_then(|document| document.fingerprint.as_ref()) == fingerprint {
                problems.push(format!(
                    "a second run sends {id} again although the ledger has its fingerprint: send it as unchanged"
                ));
            }
        }
        problems.extend(
            second.committed.deleted.iter().map(|id| format!("a second run over the same source deletes {id}")),
        );
    }

    fn bad_days(&self, known: &Record, problems: &mut Vec<String>) {
        // A full run, so that it does all its work over what is known.
        let (clean, _) = self.run(known.clone(), |limits| limits.full = true, None);
        let clean_writes = clean.written().count();
        for (request, line) in clean.requests.iter().enumerate().take(MOST_SPOILED) {
            for day in days() {
                let trouble = Some((request, day.spoil.clone()));
                let (outcome, world) = self.run(known.clone(), |limits| limits.full = true, trouble);
                let what = format!("when {line} {}", day.what);
                let missing: Vec<_> =
                    known.documents.keys().filter(|id| !world.record().documents.contains_key(*id)).cloned().collect();
                if !missing.is_empty() {
                    problems.push(format!("{what}, it deletes {}", missing.join(", ")));
                }
                problems.extend(verdict(&day, &outcome, clean_writes).map(|why| format!("{what}, {why}")));
            }
        }
    }
}

/// Why an outcome on a bad day is not a good one.
fn verdict(day: &Day, outcome: &Outcome, clean_writes: usize) -> Option<String> {
    let faults = outcome.failure.iter().chain(outcome.failed.values());
    if let Some(crash) = faults.clone().find(|failure| failure.is_crash() || failure.code == "contract_broken") {
        return Some(format!("it breaks: {crash}"));
    }
    if let Some(failure) = &outcome.failure {
        let good = day.faults.contains(&failure.fault.as_str());
        return (!good)
            .then(|| format!("it fails with {failure}, where the fault is one of {}", day.faults.join(", ")));
    }
    let lost = outcome.failed.is_empty() && !outcome.waited && outcome.written().count() < clean_writes;
    lost.then(|| "it says nothing of it and leaves documents out".to_owned())
}

/// An answer on a bad day, and what it may become.
struct Day {
    what: &'static str,
    spoil: Result<Spoil, Failure>,
    faults: &'static [&'static str],
}

fn days() -> Vec<Day> {
    let status = |what, status, faults| {
        let answer = Answer::json(&serde_json::json!({"message": "not today"})).with_status(status);
        let answer = if status == 429 { answer.header("retry-after", "7") } else { answer };
        Day { what, spoil: Ok(Spoil::Instead(answer)), faults }
    };
    vec![
        status("is answered 401", 401, &["auth_invalid", "auth_expired", "permission", "config"]),
        status("is answered 403", 403, &["permission", "auth_invalid", "auth_expired", "rate_limited", "config"]),
        status("is answered 429", 429, &["rate_limited", "transient"]),
        status("is answered 500", 500, &["transient", "rate_limited"]),
        Day {
            what: "is not answered in time",
            spoil: Err(Failure::new(
                "transient",
                "timed_out",
                "it did not answer within 60 s; it is tried again later",
            )),
            faults: &["transient"],
        },
        Day {
            what: "has too long an answer",
            spoil: Err(Failure::new("too_large", "answer_too_large", "it answered more bytes than were asked for")),
            faults: &["too_large", "source_contract"],
        },
        Day {
            what: "is answered with a page of HTML",
            spoil: Ok(Spoil::Instead(
                Answer::ok("<!doctype html><title>Log in</title>").header("content-type", "text/html"),
            )),
            faults: &["source_contract", "transient", "unsupported"],
        },
        Day {
            what: "is answered by half",
            spoil: Ok(Spoil::Half),
            faults: &["source_contract", "transient", "unsupported"],
        },
    ]
}

/// What is wrong with a descriptor.
fn descriptor(about: &About, config: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '_' | '-');
    if about.id.is_empty() || !about.id.chars().all(plain) {
        problems.push(format!("the id {:?} is not made of a-z, 0-9, `_` and `-`", about.id));
    }
    let release = about.version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<_> = release.split('.').collect();
    if numbers.len() != 3 || numbers.iter().any(|number| number.parse::<u64>().is_err()) {
        problems.push(format!("the version {:?} is not like 1.2.3", about.version));
    }
    if about.title.trim().is_empty() {
        problems.push("the title is empty".to_owned());
    }
    for host in about.hosts.iter().filter(|host| !host.starts_with('/')) {
        let name = host.strip_prefix("*.").unwrap_or(host);
        if name.is_empty() || name.contains(['*', '/', ' ']) || (host.starts_with("*.") && !name.contains('.')) {
            problems.push(format!("the host {host:?} is not like api.example.com, *.example.com or /base_url"));
        }
    }
    problems.extend(
        about
            .roots
            .iter()
            .filter(|root| !root.starts_with('/'))
            .map(|root| format!("the root {root:?} is not like /root")),
    );
    match faults(&about.config_schema, config) {
        Err(problem) => problems.push(problem),
        Ok(faults) => problems
            .extend(faults.into_iter().map(|fault| format!("its own schema does not take the configuration: {fault}"))),
    }
    problems
}
