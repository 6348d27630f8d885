//! The labels of metrics, and how many sources get some of their own.

use std::collections::HashMap;

use prometheus_client::encoding::EncodeLabelSet;
use tributary_core::SourceId;

/// Sources with series of their own. Prometheus keeps each series in memory, and every source has about twenty.
pub(super) const MOST_SOURCES: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Request {
    pub(super) route: String,
    pub(super) method: &'static str,
    pub(super) status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Route {
    pub(super) route: String,
    pub(super) method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Outcome {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Call {
    pub(super) component: String,
    pub(super) outcome: &'static str,
}

/// Which source, by id, and its connector.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SourceOf {
    pub(super) source: String,
    pub(super) connector: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SourceRun {
    #[prometheus(flatten)]
    pub(super) of: SourceOf,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Change {
    #[prometheus(flatten)]
    pub(super) of: SourceOf,
    pub(super) change: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SourceState {
    #[prometheus(flatten)]
    pub(super) of: SourceOf,
    pub(super) state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Job {
    pub(super) kind: String,
    pub(super) state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Connector {
    pub(super) connector: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Workspace {
    pub(super) workspace: String,
}

/// The sources that have labels of their own, on this host and until it stops.
#[derive(Default)]
pub(super) struct Seats {
    taken: HashMap<SourceId, SourceOf>,
    told: bool,
}

impl Seats {
    pub(super) fn find(&self, id: SourceId) -> Option<SourceOf> {
        self.taken.get(&id).cloned()
    }

    pub(super) fn give(&mut self, id: SourceId, connector: &str) -> SourceOf {
        if self.taken.len() >= MOST_SOURCES && !self.taken.contains_key(&id) {
            if !self.told {
                tracing::warn!(
                    "more than {MOST_SOURCES} sources have metrics; further ones are counted together as source=\"other\""
                );
            }
            self.told = true;
            return SourceOf { source: "other".to_owned(), connector: "other".to_owned() };
        }
        let new = || SourceOf { source: id.to_string(), connector: connector.to_owned() };
        self.taken.entry(id).or_insert_with(new).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_past_the_limit_share_their_labels_and_those_before_keep_theirs() {
        let mut seats = Seats::default();
        let first = SourceId::new();
        let given = seats.give(first, "file");
        for _ in 1..MOST_SOURCES {
            assert_ne!(seats.give(SourceId::new(), "file").source, "other");
        }
        assert_eq!(seats.give(SourceId::new(), "file").source, "other");
        assert_eq!(seats.give(first, "file"), given);
        assert_eq!(seats.taken.len(), MOST_SOURCES);
    }
}
