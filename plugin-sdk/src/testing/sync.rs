//! A whole run of a connector, committed page by page as the real host does it.

use std::collections::{BTreeMap, BTreeSet};

use super::{TestHost, hosts_of};
use crate::{Change, Connector, Container, Content, Document, Failure, Gone, Next, Page, PullRequest, UnixMs, pull};

/// What every request of a run says.
#[derive(Clone, Copy, Debug)]
pub struct PullLimits {
    /// Most changes in a page.
    pub max_items: u32,
    /// Most bytes of text and blobs in a page.
    pub max_bytes: u64,
    /// Read everything again.
    pub full: bool,
    /// When the run started.
    pub upper_bound: UnixMs,
}

impl Default for PullLimits {
    fn default() -> Self {
        Self { max_items: 256, max_bytes: 8 << 20, full: false, upper_bound: 0 }
    }
}

/// What a source holds after some runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Synced {
    /// Live documents by external id; the content of a blob is its text.
    pub documents: BTreeMap<String, Document>,
    /// What the last run could not read.
    pub failed: BTreeMap<String, Failure>,
    /// Documents the last run sent with content.
    pub written: u64,
    /// Documents and containers the last run sent as unchanged.
    pub unchanged: u64,
    /// Documents the last run's end removed.
    pub deleted: u64,
    /// Why documents went that the last run said to be gone.
    pub gone: BTreeMap<String, Gone>,
    /// How long the last run would have waited for a quota.
    pub waited_ms: u64,
    /// Pages of the last run.
    pub pages: u64,
    /// The last run named everything that exists.
    pub exhaustive: bool,
}

/// Runs a connector to its end over what earlier runs left in `synced`, and checks what the contract demands of each page.
///
/// # Errors
/// Whatever `pull` fails with; `source-contract` when a page breaks the contract.
pub fn sync<C: Connector>(
    host: &TestHost,
    config: &str,
    limits: PullLimits,
    synced: &mut Synced,
) -> Result<(), Failure> {
    let before = std::mem::take(synced);
    synced.documents = before.documents;
    host.grant_hosts(hosts_of(&C::describe(), config)?);
    let mut seen = Seen::default();
    let mut cursor = None;
    loop {
        let request = PullRequest {
            config: config.to_owned(),
            cursor: cursor.take(),
            full: limits.full,
            upper_bound: limits.upper_bound,
            max_items: limits.max_items,
            max_bytes: limits.max_bytes,
            deadline_ms: 60_000,
        };
        let page = pull::<C>(host, &request)?;
        synced.pages += 1;
        check(&page, limits, host)?;
        for change in page.changes {
            commit(host, synced, &mut seen, change)?;
        }
        host.clear_blobs();
        if let Next::WaitMs(ms) = page.next {
            synced.waited_ms += ms;
        }
        match page.next {
            Next::More | Next::WaitMs(_) if page.cursor == request.cursor => {
                return Err(broken("the cursor did not move"));
            }
            Next::More | Next::WaitMs(_) => cursor = page.cursor,
            Next::Complete => return Ok(()),
            Next::CompleteExhaustive => break,
        }
    }
    synced.exhaustive = true;
    let gone: Vec<String> = synced.documents.values().filter(|document| !seen.has(document)).map(id).collect();
    for id in gone {
        synced.documents.remove(&id);
        host.remember(id, None);
        synced.deleted += 1;
    }
    Ok(())
}

#[derive(Default)]
struct Seen {
    documents: BTreeSet<String>,
    /// Containers all of whose documents stand.
    whole: BTreeSet<String>,
}

impl Seen {
    fn has(&self, document: &Document) -> bool {
        self.documents.contains(&document.external_id)
            || document.container.as_ref().is_some_and(|container| self.whole.contains(container))
    }
}

fn commit(host: &TestHost, synced: &mut Synced, seen: &mut Seen, change: Change) -> Result<(), Failure> {
    match change {
        Change::Upsert(mut document) => {
            seen.documents.insert(document.external_id.clone());
            host.remember(&document.external_id, document.fingerprint.clone());
            if let Content::Blob((blob, media_type)) = &document.content {
                let bytes = host.blob_bytes(*blob).ok_or_else(|| broken("a page names a blob that does not exist"))?;
                document.content = Content::text(format!("{media_type}\n{}", String::from_utf8_lossy(&bytes)));
            }
            if document.content == Content::Unchanged {
                synced.unchanged += 1;
                let known = synced.documents.get_mut(&document.external_id);
                known.ok_or_else(|| broken("an unknown document is unchanged"))?.fingerprint = document.fingerprint;
            } else {
                synced.written += 1;
                synced.documents.insert(document.external_id.clone(), document);
            }
        }
        Change::Container(Container { external_id, fingerprint, unchanged }) => {
            host.remember(&external_id, Some(fingerprint));
            if unchanged {
                synced.unchanged += 1;
                seen.whole.insert(external_id);
            }
        }
        Change::Delete((id, why)) => {
            host.remember(&id, None);
            if synced.documents.remove(&id).is_some() {
                synced.deleted += 1;
                synced.gone.insert(id, why);
            }
        }
        Change::Failed((id, failure)) => {
            seen.documents.insert(id.clone());
            seen.whole.insert(id.clone());
            synced.failed.insert(id, failure);
        }
    }
    Ok(())
}

fn check(page: &Page, limits: PullLimits, host: &TestHost) -> Result<(), Failure> {
    if page.changes.len() > limits.max_items as usize {
        return Err(broken("a page has more than max_items changes"));
    }
    let mut ids = BTreeSet::new();
    let mut bytes = 0;
    for change in &page.changes {
        let id = match change {
            Change::Upsert(document) => {
                bytes += content_bytes(document, host);
                &document.external_id
            }
            Change::Container(container) => &container.external_id,
            Change::Delete((id, _)) | Change::Failed((id, _)) => id,
        };
        if id.is_empty() || id.len() > 1_024 {
            return Err(broken("an external id is empty or longer than 1,024 bytes"));
        }
        if !ids.insert(id) {
            return Err(broken(&format!("a page names {id} twice")));
        }
    }
    // A single item may be larger than a page, alone.
    if bytes > limits.max_bytes && page.changes.iter().filter(|change| matches!(change, Change::Upsert(_))).count() > 1
    {
        return Err(broken("a page has more than max_bytes bytes"));
    }
    Ok(())
}

fn content_bytes(document: &Document, host: &TestHost) -> u64 {
    match &document.content {
        Content::Sections(sections) => sections.iter().map(|section| section.text.len() as u64).sum(),
        Content::Blob((blob, _)) => host.blob_bytes(*blob).map_or(0, |bytes| bytes.len() as u64),
        Content::Unchanged => 0,
    }
}

fn id(document: &Document) -> String {
    document.external_id.clone()
}

fn broken(what: &str) -> Failure {
    Failure::source_contract("contract_broken", format!("The connector breaks the contract: {what}."))
}
