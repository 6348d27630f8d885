//! A database without room: a clear error, nothing half-written, reading goes on.

use tributary_core::run::RunKind;
use tributary_store::{Error, Options, testing};

use crate::support::{Page, World, draft};

#[tokio::test]
async fn a_full_database_says_so_writes_nothing_by_halves_and_keeps_reading() {
    let test = testing::sqlite(Options { max_pages: Some(200), ..Options::default() }).await;
    let world = World::on(test).await;
    let mut running = world.begin(RunKind::Sync).await;
    let text = "Every word takes room. ".repeat(400);
    let mut pages = 0;
    let full = loop {
        let drafts =
            (0..4).map(|number| draft(&format!("{pages}-{number}"), &format!("{pages}{number}{text}"))).collect();
        match running.try_commit(Page { drafts, ..Page::default() }).await {
            Ok(_) => pages += 1,
            Err(error) => break error,
        }
        assert!(pages < 1000, "200 pages of 4 KiB are full at last");
    };
    assert!(matches!(full, Error::Full(_)), "{full:?}");
    assert!(full.to_string().starts_with("the database is full: "), "{full}");
    assert!(pages > 0);
    assert_eq!(world.live().await.len(), pages * 4, "whole pages only");
    assert_eq!(world.tenant.get_run(running.run_id).await.unwrap().page_no, pages as i64);
    world.db().ping().await.unwrap();
    // Small writes may still find room; what they do is whole, too.
    let _ = world.system.heartbeat(&running.lease, 60_000).await;
    assert_eq!(world.live().await.len(), pages * 4);
}
