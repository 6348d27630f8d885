//! Random pages against a model in memory: the record ends in the same live set.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use tributary_core::{contract::Gone, run::RunKind};
use tributary_store::{FeedCursor, FeedLimits, NewRun, Prune};

use crate::support::{Page, World, draft, unchanged, worlds};

/// One thing that a page says of a document.
#[derive(Clone, Debug)]
enum Said {
    Content(u8),
    Unchanged,
    Deleted,
}

/// Pages of (document, what is said), and whether the run ends with a prune.
type Sync = (Vec<Vec<(u8, Said)>>, bool);

fn syncs() -> impl Strategy<Value = Vec<Sync>> {
    let said =
        prop_oneof![4 => (0..4_u8).prop_map(Said::Content), 2 => Just(Said::Unchanged), 1 => Just(Said::Deleted)];
    let page = vec((0..12_u8, said), 0..8);
    vec((vec(page, 0..4), any::<bool>()), 1..5)
}

/// What the record should hold: external id → (version, text).
#[derive(Default)]
struct Model {
    live: BTreeMap<String, String>,
    versions: BTreeMap<String, i64>,
}

impl Model {
    fn page(&mut self, page: &[(u8, Said)], seen: &mut BTreeSet<String>) {
        // The last draft of a document counts, and more than a deletion on the same page.
        let drafts: BTreeMap<String, &Said> = page
            .iter()
            .filter(|(_, said)| !matches!(said, Said::Deleted))
            .map(|(document, said)| (format!("d{document}"), said))
            .collect();
        for (document, said) in page {
            let id = format!("d{document}");
            if matches!(said, Said::Deleted) && !drafts.contains_key(&id) {
                self.live.remove(&id);
            }
        }
        for (id, said) in drafts {
            seen.insert(id.clone());
            if let Said::Content(content) = said {
                let text = format!("content {content}");
                if self.live.get(&id) != Some(&text) {
                    *self.versions.entry(id.clone()).or_default() += 1;
                    self.live.insert(id, text);
                }
            }
        }
    }
}

async fn play(world: &World, syncs: Vec<Sync>) {
    let mut model = Model::default();
    let mut index = BTreeMap::new();
    let mut cursor = FeedCursor::default();
    for (pages, prune) in syncs {
        let mut running =
            world.begin_with(NewRun { accept_deletions: true, kind: RunKind::Sync, ..world.new_run() }).await;
        let mut seen = BTreeSet::new();
        for page in pages {
            model.page(&page, &mut seen);
            let mut commit = Page::default();
            for (document, said) in &page {
                let id = format!("d{document}");
                match said {
                    Said::Content(content) => commit.drafts.push(draft(&id, &format!("content {content}"))),
                    Said::Unchanged => commit.drafts.push(unchanged(&id)),
                    Said::Deleted => commit.deletes.push((id, Gone::Deleted)),
                }
            }
            running.commit(commit).await;
        }
        if prune {
            model.live.retain(|id, _| seen.contains(id));
        }
        running.finish(prune.then(Prune::default)).await;

        let expected: BTreeMap<_, _> =
            model.live.iter().map(|(id, text)| (id.clone(), (model.versions[id], text.clone()))).collect();
        assert_eq!(world.live().await, expected, "{}", world.name());

        // An index that follows the feed in small bites holds the same.
        loop {
            let changes = world.tenant.changes_after(cursor, FeedLimits { documents: 3, bytes: 1000 }).await.unwrap();
            for it in changes.documents {
                match it.live {
                    Some(live) => index.insert(it.id, live.external_id),
                    None => index.remove(&it.id),
                };
            }
            cursor = changes.up_to;
            if !changes.more {
                break;
            }
        }
        let indexed: BTreeSet<_> = index.values().cloned().collect();
        assert_eq!(indexed, model.live.keys().cloned().collect(), "{}", world.name());
    }
}

#[test]
fn random_syncs_end_in_the_same_documents_as_a_model() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let worlds = runtime.block_on(worlds());
    let cases = Config { cases: 12, failure_persistence: None, ..Config::default() };
    for (number, world) in worlds.into_iter().enumerate() {
        let case = std::cell::Cell::new(0);
        TestRunner::new(cases.clone())
            .run(&syncs(), |syncs| {
                case.set(case.get() + 1);
                runtime.block_on(async {
                    // A fresh workspace per case.
                    let slug = format!("case-{number}-{}", case.get());
                    let workspace = crate::support::workspace(&world.system, &slug).await;
                    let tenant = world.system.tenant(workspace.id);
                    let source = tenant.create_source(crate::support::new_source("docs")).await.unwrap();
                    let fresh =
                        World { test: world.test.clone(), system: world.system.clone(), workspace, tenant, source };
                    play(&fresh, syncs).await;
                });
                Ok(())
            })
            .unwrap();
    }
}
