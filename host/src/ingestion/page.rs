//! A page as a connector returned it: whether it leads anywhere, and its changes by kind.

use std::collections::HashMap;

use tributary_core::{
    contract::{Change, Container, Content, Document, Failure, Fault, Gone, Next, Page},
    run::FailedItem,
};
use tributary_sandbox::HostServices;

use super::{Item, Material, intake::fields};

/// A connector that pages longer than this has gone astray.
const MOST_PAGES: i64 = 1_000_000;
/// Pages in a row that name what one of the pages just before had named: the connector goes in a circle.
const MOST_REPEATED_PAGES: i64 = 5;
/// Pages in a row that name nothing. Some sources have empty pages before the end.
const MOST_EMPTY_PAGES: i64 = 1_000;

/// A page must lead somewhere.
pub(super) fn check(page: &Page, cursor: &Option<String>, page_no: i64, page_items: u32) -> Result<Next, Failure> {
    let broken = |code: &str, message: String| Err(Failure::new(Fault::SourceContract, code, message));
    if page.changes.len() > page_items as usize {
        return broken(
            "page_too_large",
            format!(
                "the connector returned {} changes in a page, it was asked for at most {}",
                page.changes.len(),
                page_items
            ),
        );
    }
    match page.next {
        Next::More | Next::WaitMs(_) if page.cursor.is_none() => {
            broken("cursor_missing", "the connector wants to go on but gave no cursor".to_owned())
        }
        Next::More if page.cursor == *cursor => {
            broken("cursor_stuck", "the connector returned the cursor it was given: it would never end".to_owned())
        }
        Next::More | Next::WaitMs(_) if page_no >= MOST_PAGES => {
            broken("too_many_pages", format!("the run has {MOST_PAGES} pages and no end"))
        }
        next => Ok(next),
    }
}

/// Whether a connector that wants to go on gets anywhere.
pub(super) fn check_circle(named: bool, stale_pages: i64) -> Result<(), Failure> {
    let (code, message) = if named && stale_pages >= MOST_REPEATED_PAGES {
        let message = "the connector returned the same items again and again under new cursors: it would never end";
        ("page_repeats", message.to_owned())
    } else if stale_pages >= MOST_EMPTY_PAGES {
        (
            "no_progress",
            format!("the connector returned {stale_pages} pages in a row that named nothing new, and no end"),
        )
    } else {
        return Ok(());
    };
    Err(Failure::new(
        Fault::SourceContract,
        code,
        format!("{message}; what was read so far stays, nothing was deleted. Report it to the connector's author."),
    ))
}

/// A page by kind of change.
#[derive(Default)]
pub(super) struct Sorted {
    pub items: Vec<Item>,
    pub containers: Vec<Container>,
    pub deletes: Vec<(String, Gone)>,
    pub failed: Vec<FailedItem>,
}

/// When a page names a document twice, the later one stands.
pub(super) fn sort(changes: Vec<Change>, services: &HostServices) -> Result<Sorted, Failure> {
    let mut sorted = Sorted::default();
    let mut place: HashMap<String, usize> = HashMap::with_capacity(changes.len());
    for change in changes {
        match change {
            Change::Upsert(document) => {
                let id = document.external_id.clone();
                let item = item(document, services)?;
                match place.get(&id) {
                    Some(&index) => sorted.items[index] = item,
                    None => {
                        place.insert(id, sorted.items.len());
                        sorted.items.push(item);
                    }
                }
            }
            Change::Container(container) => sorted.containers.push(container),
            Change::Delete(id, gone) => sorted.deletes.push((id, gone)),
            Change::Failed(external_id, failure) => {
                sorted.failed.push(FailedItem { external_id, fault: failure.fault, message: failure.message });
            }
        }
    }
    Ok(sorted)
}

fn item(document: Document, services: &HostServices) -> Result<Item, Failure> {
    let material = match document.content {
        Content::Sections(sections) => Material::Sections(sections),
        Content::Blob { blob, media_type } => Material::Blob(services.blobs.get(blob)?, media_type),
        Content::Unchanged => Material::Unchanged,
    };
    Ok(Item {
        external_id: document.external_id,
        title: document.title,
        kind: document.kind,
        language: document.language,
        url: document.provenance.url.clone(),
        fields: fields(document.fields),
        provenance: document.provenance,
        fingerprint: document.fingerprint,
        container: document.container,
        material,
    })
}
