//! What a connector meets in a scenario: answers, folders, and what is known already.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Answer, Ask, Failure, Record, may_reach, script::Script};

/// Headers that belong to the host, as in the real one.
const REFUSED_HEADERS: [&str; 4] = ["authorization", "cookie", "host", "proxy-authorization"];
/// More requests of one run end it.
const MOST_REQUESTS: usize = 10_000;

/// A source's surroundings during a run. Shared with whatever calls the connector.
#[derive(Default)]
pub struct World {
    /// Folders that it may read, by name.
    pub roots: BTreeMap<String, PathBuf>,
    hosts: Vec<String>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    record: Record,
    script: Script,
    trouble: Option<(usize, Result<Spoil, Failure>)>,
    requests: Vec<String>,
    refused: Vec<String>,
    unmatched: Vec<String>,
}

/// What becomes of one answer, to see what a connector makes of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spoil {
    /// Another answer.
    Instead(Answer),
    /// The first half of it.
    Half,
}

impl World {
    pub(crate) fn new(roots: BTreeMap<String, PathBuf>, hosts: Vec<String>, script: Script, record: Record) -> Self {
        Self { roots, hosts, inner: Mutex::new(Inner { script, record, ..Inner::default() }) }
    }

    /// A world without answers, over what is known.
    pub fn over(record: Record) -> Self {
        Self::new(BTreeMap::new(), Vec::new(), Script::default(), record)
    }

    /// Answers a request, or says as the host does why there is no answer.
    ///
    /// # Errors
    /// What the host would say, and `internal/not_scripted`.
    pub fn answer(&self, ask: &Ask) -> Result<Answer, Failure> {
        let mut inner = self.inner();
        let number = inner.requests.len();
        if number >= MOST_REQUESTS {
            return Err(Failure::new(
                "internal",
                "too_many_requests",
                format!("the run has sent {MOST_REQUESTS} requests"),
            ));
        }
        inner.requests.push(ask.line());
        if !may_reach(&self.hosts, &ask.url) {
            inner.refused.push(ask.line());
            let message = format!("{} is not among the hosts that the connector's descriptor names", ask.url);
            return Err(Failure::new("permission", "host_not_granted", message));
        }
        let refused =
            ask.headers.iter().find(|(name, _)| REFUSED_HEADERS.contains(&name.to_ascii_lowercase().as_str()));
        if let Some((name, _)) = refused {
            let message = format!("a connector may not set the header {name}; name a credential instead");
            return Err(Failure::new("permission", "header_not_allowed", message));
        }
        if ask.body.is_some() != (ask.method == "POST") {
            return Err(Failure::new("permission", "body_not_allowed", "POST has a body, GET and HEAD have none"));
        }
        let answer = inner.script.answer(ask);
        if let Err(failure) = &answer
            && failure.code == "not_scripted"
        {
            inner.unmatched.push(failure.message.clone());
        }
        let answer = match inner.trouble.clone() {
            Some((at, spoil)) if at == number => match spoil? {
                Spoil::Instead(other) => other,
                Spoil::Half => {
                    let mut answer = answer?;
                    answer.body.truncate(answer.body.len() / 2);
                    answer
                }
            },
            _ => answer?,
        };
        if answer.body.len() as u64 > ask.max_bytes {
            let message = format!("{} answered more than {} bytes; ask for less at once", ask.url, ask.max_bytes);
            return Err(Failure::new("too_large", "answer_too_large", message));
        }
        Ok(answer)
    }

    /// Fingerprints of what is committed, one answer per id.
    pub fn lookup(&self, external_ids: &[String]) -> Vec<Option<String>> {
        let inner = self.inner();
        external_ids.iter().map(|id| inner.record.ledger.get(id).cloned()).collect()
    }

    /// All fingerprints.
    pub fn ledger(&self) -> BTreeMap<String, String> {
        self.inner().record.ledger.clone()
    }

    /// What the connector remembers.
    pub fn state(&self) -> BTreeMap<String, String> {
        self.inner().record.state.clone()
    }

    /// What is known, after the runs so far.
    pub fn record(&self) -> Record {
        self.inner().record.clone()
    }

    /// Changes what is known.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        change(&mut self.inner().record)
    }

    /// Spoils the answer to this request of the run, counted from 0.
    pub(crate) fn spoil(&self, request: usize, spoil: Result<Spoil, Failure>) {
        self.inner().trouble = Some((request, spoil));
    }

    /// How many answers were given, to come back to with `rewind`.
    pub(crate) fn mark(&self) -> (Script, usize) {
        let inner = self.inner();
        (inner.script.clone(), inner.requests.len())
    }

    /// Goes back to a mark, as if the requests since had not been sent.
    pub(crate) fn rewind(&self, (script, requests): (Script, usize)) {
        let mut inner = self.inner();
        inner.script = script;
        inner.requests.truncate(requests);
    }

    /// Requests sent so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.inner().requests.clone()
    }

    /// Requests of hosts that the descriptor does not name.
    pub(crate) fn refused(&self) -> Vec<String> {
        self.inner().refused.clone()
    }

    /// Requests that no answer fits.
    pub(crate) fn unmatched(&self) -> Vec<String> {
        self.inner().unmatched.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
