//! One run of a connector to its end, committed page by page as a server does.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    Change, Committed, Failure, Next, Page, Pull, Subject, World,
    record::{Seen, check},
};

/// More pages have no end.
const MOST_PAGES: usize = 10_000;
/// Bytes of text and blobs in a page.
const PAGE_BYTES: u64 = 8 << 20;
/// Time of one page.
const PAGE_DEADLINE_MS: u64 = 60_000;

/// What every request of a run says.
#[derive(Clone, Debug)]
pub struct PullLimits {
    /// JSON text.
    pub config: String,
    /// Read everything again.
    pub full: bool,
    /// When the run started: Unix milliseconds.
    pub now_ms: i64,
    /// Most changes in a page.
    pub max_items: u32,
    /// Ask for each page twice, and see that it is the same.
    pub replay: bool,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Pages.
    pub pages: usize,
    /// What its pages did, all together; `deleted` with what the end of an exhaustive traversal removed.
    pub committed: Committed,
    /// Items that could not be read.
    pub failed: BTreeMap<String, Failure>,
    /// Requests, as `GET https://…`.
    pub requests: Vec<String>,
    /// It named everything that exists.
    pub exhaustive: bool,
    /// It asked to be called later.
    pub waited: bool,
    /// How it failed.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// Documents sent with their content.
    pub fn written(&self) -> impl Iterator<Item = &String> {
        self.committed.added.iter().chain(&self.committed.updated)
    }
}

/// Pulls page after page until the connector is done or fails. `see` sees each page before it is committed, and may take from it
/// what need not be kept; false ends the run.
pub fn pull_all(
    subject: &dyn Subject,
    world: &Arc<World>,
    limits: &PullLimits,
    mut see: impl FnMut(&mut Page) -> bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    let before = world.requests().len();
    outcome.failure = run(subject, world, limits, &mut outcome, &mut see).err();
    outcome.requests = world.requests().split_off(before);
    outcome
}

fn run(
    subject: &dyn Subject,
    world: &Arc<World>,
    limits: &PullLimits,
    outcome: &mut Outcome,
    see: &mut dyn FnMut(&mut Page) -> bool,
) -> Result<(), Failure> {
    let mut seen = Seen::default();
    let mut request = Pull {
        config: limits.config.clone(),
        cursor: None,
        full: limits.full,
        upper_bound_ms: limits.now_ms,
        max_items: limits.max_items,
        max_bytes: PAGE_BYTES,
        deadline_ms: PAGE_DEADLINE_MS,
    };
    loop {
        let mark = limits.replay.then(|| world.mark());
        let mut page = subject.pull(&request, world)?;
        if let Some(mark) = mark {
            let after = world.mark();
            world.rewind(mark);
            let again = subject.pull(&request, world)?;
            if again != page {
                let cursor = request.cursor.as_deref().unwrap_or("none");
                return Err(Failure::broken(format!(
                    "asked twice for the page at cursor {cursor}, it gave another one the second time{}",
                    first_difference(&page, &again)
                )));
            }
            world.rewind(after);
        }
        outcome.pages += 1;
        if outcome.pages > MOST_PAGES {
            return Err(Failure::broken(format!("after {MOST_PAGES} pages it has not come to an end")));
        }
        check(&page, request.cursor.as_ref(), limits.max_items, request.max_bytes)?;
        if !see(&mut page) {
            return Ok(());
        }
        let (next, cursor) = (page.next, page.cursor.clone());
        for change in &page.changes {
            if let Change::Failed(id, failure) = change {
                outcome.failed.insert(id.clone(), failure.clone());
            }
        }
        let mut committed = world.change(|record| record.commit(page, &mut seen))?;
        outcome.committed.added.append(&mut committed.added);
        outcome.committed.updated.append(&mut committed.updated);
        outcome.committed.unchanged.append(&mut committed.unchanged);
        outcome.committed.deleted.append(&mut committed.deleted);
        request.cursor = cursor;
        match next {
            Next::More => {}
            // Nobody waits for a scripted source.
            Next::WaitMs(_) => outcome.waited = true,
            Next::Complete => return Ok(()),
            Next::CompleteExhaustive => {
                outcome.exhaustive = true;
                outcome.committed.deleted.extend(world.change(|record| record.prune(&seen)));
                return Ok(());
            }
        }
    }
}

/// Where two pages part, in a few words.
fn first_difference(one: &Page, other: &Page) -> String {
    let differing = one.changes.iter().zip(&other.changes).find(|(one, other)| one != other);
    match differing {
        Some((change, _)) => format!(" ({} differs)", change.external_id()),
        None if one.changes.len() != other.changes.len() => {
            format!(" ({} changes, then {})", one.changes.len(), other.changes.len())
        }
        None => " (cursor, state or end differs)".to_owned(),
    }
}
