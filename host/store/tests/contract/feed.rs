//! The feed: every change once, in commit order, however it is cut.

use std::collections::BTreeMap;

use tributary_core::{contract::Gone, run::RunKind};
use tributary_store::{FeedCursor, FeedLimits};

use crate::support::{Page, World, draft, workspace, worlds};

/// Reads the feed to its end as an index would.
async fn follow(
    world: &World,
    mut cursor: FeedCursor,
    limits: FeedLimits,
    index: &mut BTreeMap<String, Option<String>>,
) -> (FeedCursor, usize) {
    let mut reads = 0;
    loop {
        let changes = world.tenant.changes_after(cursor, limits).await.unwrap();
        let mut last = None;
        for it in changes.documents {
            assert!(last < Some((it.change_seq, it.id)), "in order");
            last = Some((it.change_seq, it.id));
            let text = it.live.map(|live| live.chunks.into_iter().map(|chunk| chunk.text).collect::<String>());
            index.insert(it.id.to_string(), text);
        }
        reads += 1;
        cursor = changes.up_to;
        if !changes.more {
            return (cursor, reads);
        }
        assert!(reads < 1000, "it comes to an end");
    }
}

#[tokio::test]
async fn a_commit_larger_than_one_read_is_followed_without_gap_or_loop() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let drafts = (0..25).map(|number| draft(&format!("{number}"), "text")).collect();
        running.commit(Page { drafts, ..Page::default() }).await;
        running.commit(Page { drafts: vec![draft("3", "changed"), draft("new", "n")], ..Page::default() }).await;
        running.commit(Page { deletes: vec![("4".to_owned(), Gone::Deleted)], ..Page::default() }).await;
        for documents in [1, 7, 24, 25, 100] {
            let mut index = BTreeMap::new();
            let limits = FeedLimits { documents, ..FeedLimits::default() };
            let (cursor, _) = follow(&world, FeedCursor::default(), limits, &mut index).await;
            assert_eq!((cursor, cursor.complete()), (FeedCursor::at(3), 3), "{} by {documents}", world.name());
            assert_eq!(index.len(), 26);
            assert_eq!(index.values().filter(|text| text.is_none()).count(), 1);
            assert!(index.values().flatten().any(|text| text == "changed"));
        }
        let part = world
            .tenant
            .changes_after(FeedCursor::default(), FeedLimits { documents: 7, ..Default::default() })
            .await
            .unwrap();
        assert_eq!(
            (part.up_to.position, part.up_to.complete(), part.more),
            (1, 0, true),
            "half a commit is not complete"
        );
    }
}

#[tokio::test]
async fn a_read_is_bounded_by_bytes_and_still_moves_on() {
    for world in worlds().await {
        let big = "x".repeat(10_000);
        let mut running = world.begin(RunKind::Sync).await;
        let drafts = (0..5).map(|number| draft(&format!("{number}"), &format!("{number}{big}"))).collect();
        running.commit(Page { drafts, ..Page::default() }).await;
        let mut index = BTreeMap::new();
        let limits = FeedLimits { documents: 100, bytes: 25_000 };
        let (_, reads) = follow(&world, FeedCursor::default(), limits, &mut index).await;
        assert_eq!((index.len(), reads), (5, 3), "{}", world.name());
        let (_, reads) = follow(&world, FeedCursor::default(), FeedLimits { bytes: 1, ..limits }, &mut index).await;
        assert_eq!(reads, 5, "one document is read whatever its size");
    }
}

#[tokio::test]
async fn a_document_that_changes_while_the_feed_is_read_is_seen_in_its_last_state() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let drafts = (0..10).map(|number| draft(&format!("{number}"), "old")).collect();
        running.commit(Page { drafts, ..Page::default() }).await;
        let limits = FeedLimits { documents: 4, ..FeedLimits::default() };
        let first = world.tenant.changes_after(FeedCursor::default(), limits).await.unwrap();
        let drafts = (0..10).map(|number| draft(&format!("{number}"), "new")).collect();
        running.commit(Page { drafts, ..Page::default() }).await;
        let mut index = BTreeMap::new();
        follow(&world, first.up_to, limits, &mut index).await;
        assert_eq!(index.values().filter(|text| text.as_deref() == Some("new")).count(), 10, "{}", world.name());
        let idle = world.tenant.changes_after(FeedCursor::at(2), limits).await.unwrap();
        assert_eq!((idle.documents.len(), idle.up_to, idle.more), (0, FeedCursor::at(2), false));
    }
}

#[tokio::test]
async fn the_index_loop_learns_where_every_workspace_stands() {
    for world in worlds().await {
        workspace(&world.system, "idle").await;
        assert_eq!(world.system.workspace_positions().await.unwrap(), []);
        world.sync(vec![draft("a", "one")]).await;
        assert_eq!(world.system.workspace_positions().await.unwrap(), [(world.workspace.id, 1)], "{}", world.name());
        assert_eq!(world.tenant.position().await.unwrap(), 1);
    }
}
