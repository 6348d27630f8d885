//! Where a run stands between two pages: a few hundred bytes, and the keys of at most one page of parents.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Kept by the host from page to page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The listing being read and those it is part of, outermost first. Empty: the run is at its end.
    pub(crate) frames: Vec<Frame>,
    /// Records so far.
    pub(crate) done: u64,
    /// Something was left out: absence says nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) incomplete: bool,
    /// How often the source asked to wait before the request that comes next.
    #[serde(default)]
    pub(crate) waits: u32,
    /// How often the request that comes next failed in a way that is tried again.
    #[serde(default)]
    pub(crate) tries: u32,
}

/// A listing: a collection, or the part of it that belongs to one item of another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Frame {
    /// Which collection.
    pub(crate) collection: usize,
    pub(crate) phase: Phase,
    pub(crate) at: Position,
    /// Records of the page at `at` that are dealt with.
    #[serde(default)]
    pub(crate) skip: usize,
    /// SHA-256 of the answer that `skip` counts in, and how often another one came in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body: Option<(String, u8)>,
    /// Pages so far.
    #[serde(default)]
    pub(crate) pages: u32,
    #[serde(default)]
    pub(crate) cycle: Cycle,
    /// No page is left.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ended: bool,
    /// What was changed before it was read by an earlier run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    /// The latest change seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) high: Option<i64>,
    /// Something was left out: the next run begins where this one did.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) incomplete: bool,
    /// The next run reads everything again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) forget: bool,
    /// Keys of the parents, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) path: Vec<String>,
    /// What templates have of the parents.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) names: BTreeMap<String, String>,
    /// Listings that come before the next page: those of the items of this one, last first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) waiting: Vec<Waiting>,
}

/// A listing that belongs to an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) collection: usize,
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) with: BTreeMap<String, String>,
}

/// What a listing is read for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// For the documents.
    #[default]
    Walk,
    /// To learn what exists.
    Enumerate,
    /// To learn what is gone.
    Feed,
}

/// Which page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Position {
    #[default]
    First,
    Page(u64),
    Offset(u64),
    Cursor(String),
    Url(String),
}

/// Notices that pages come again, without remembering them all (Brent's algorithm): every page is compared with one before it, which
/// is taken anew at powers of two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cycle {
    seen: String,
    steps: u32,
    power: u32,
}

impl Cycle {
    /// Whether this page was seen before.
    pub(crate) fn repeats(&mut self, page: &str) -> bool {
        if self.seen == page {
            return true;
        }
        if self.steps >= self.power {
            self.seen = page.to_owned();
            self.power = self.power.saturating_mul(2).max(1);
            self.steps = 0;
        }
        self.steps += 1;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_of_any_length_is_noticed_and_none_is_imagined() {
        for (before, length) in [(0, 1), (0, 2), (3, 5), (10, 17)] {
            let mut cycle = Cycle::default();
            let page = |step: u32| if step < before { step } else { before + (step - before) % length };
            let noticed = (0..200).find(|step| cycle.repeats(&page(*step).to_string()));
            assert!(noticed.is_some_and(|step| step <= 3 * (before + length) + 3), "{before} {length} {noticed:?}");
        }
        let mut cycle = Cycle::default();
        assert!((0..10_000).all(|step| !cycle.repeats(&step.to_string())));
    }
}
