//! The check in the record: only what stands is quoted.

use tributary_core::{
    DocumentId, citation::CitationStatus, contract::Gone, document::Locator, query::Hit, run::RunKind,
};

use crate::support::{Page, at, draft, worlds};

#[tokio::test]
async fn passages_that_stand_come_back_in_order_with_all_a_citation_needs() {
    for world in worlds().await {
        let mut running = world.begin(RunKind::Sync).await;
        let drafts = vec![draft("a", "first\nsecond\n"), draft("b", "other\n"), draft("c", "gone\n")];
        let committed = running.commit(Page { drafts, ..Page::default() }).await.committed;
        let page = Page {
            drafts: vec![draft("b", "newer\n")],
            deletes: vec![("c".to_owned(), Gone::Deleted)],
            ..Page::default()
        };
        running.commit(page).await;
        let hit = |document: usize, version, chunk, score| Hit {
            document_id: committed[document].document_id,
            version,
            chunk,
            score,
        };
        let nowhere = Hit { document_id: DocumentId::new(), version: 1, chunk: 0, score: 0.1 };
        let hits = [
            hit(1, 2, 0, 0.9),
            hit(0, 1, 1, 0.8),
            hit(1, 1, 0, 0.7),
            hit(2, 1, 0, 0.6),
            nowhere,
            hit(0, 1, 0, 0.2),
            hit(0, 1, 9, 0.1),
        ];
        let passages = world.tenant.passages(&hits).await.unwrap();
        let found: Vec<_> = passages.iter().map(|it| (it.text.as_str(), it.hit.score)).collect();
        assert_eq!(found, [("newer\n", 0.9), ("second\n", 0.8), ("first\n", 0.2)], "{}", world.name());

        let second = &passages[1];
        assert_eq!((second.external_id.as_str(), second.title.as_str()), ("a", "Title of a"));
        assert_eq!((second.source.id, second.source.name.as_str()), (world.source.id, "docs"));
        assert_eq!((second.run_id, &second.connector), (running.run_id, &world.source.connector));
        assert_eq!((second.start, &second.locator), (6, &Some(Locator::Page(7))));
        assert_eq!(second.section, ["Ärger", "\"quoted\""]);
        assert_eq!((second.ingested_at, second.updated_at), (at(10), at(10)));
        assert_eq!(second.fields["stock"], 5);
        assert_eq!(second.url.as_deref(), Some("https://example.com/a"));

        let cited =
            [(0, 1), (1, 1), (1, 2), (2, 1)].map(|(document, version)| (committed[document].document_id, version));
        let status = world.tenant.citation_status(&cited).await.unwrap();
        use CitationStatus::{Changed, Current, Removed};
        assert_eq!(status, [Current, Changed, Current, Removed], "{}", world.name());

        world.tenant.delete_source(world.source.id, "user:ada", at(60)).await.unwrap();
        assert_eq!(world.tenant.passages(&hits).await.unwrap(), [], "a deletion holds at once");
        assert_eq!(world.tenant.citation_status(&cited[..1]).await.unwrap(), [Removed]);
        assert!(world.tenant.passages(&[]).await.unwrap().is_empty());
        assert!(world.tenant.citation_status(&[]).await.unwrap().is_empty());
    }
}
