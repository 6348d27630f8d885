//! What the extractor made of a file is found again, as long as a version holds it.

use tributary_core::{document::DocumentDraft, hash::Sha256Hash, run::RunKind};
use tributary_store::{KnownExtraction, NewWorkspace, TenantDb};

use crate::support::{Page, World, at, connector, draft, file, worlds};

async fn known(tenant: &TenantDb, text: &str) -> Option<KnownExtraction> {
    tenant
        .find_extractions(&[Sha256Hash::of("something else"), Sha256Hash::of(text)])
        .await
        .unwrap()
        .remove(&Sha256Hash::of(text))
}

async fn commit(world: &World, drafts: Vec<DocumentDraft>) {
    let mut run = world.begin(RunKind::Sync).await;
    run.commit(Page { drafts, ..Page::default() }).await;
    run.finish(None).await;
}

/// Forgets the first version of a document.
async fn forget_first(world: &World, external_id: &str) {
    let documents = world.tenant.list_documents(&Default::default(), None, 10).await.unwrap().items;
    let document = documents.iter().find(|document| document.external_id == external_id).unwrap();
    assert_eq!(world.tenant.purge_versions(&[(document.id, 1)]).await.unwrap(), 1);
}

#[tokio::test]
async fn the_text_of_a_file_is_found_again_whole() {
    for world in worlds().await {
        let long = "First line.\nSecond line.\nThird line.\n";
        commit(
            &world,
            vec![file("a.pdf", long, long), file("b.pdf", "Other.\n", "Other.\n"), draft("c", "No file.\n")],
        )
        .await;
        let found = known(&world.tenant, long).await.unwrap();
        let as_written = file("a.pdf", long, long).content.unwrap();
        assert_eq!(found.chunks, as_written.chunks, "{}", world.name());
        assert_eq!((found.title, found.language), (Some(format!("Own title of {long}")), None));
        assert_eq!(known(&world.tenant, "No file.\n").await, None);
        let both = [Sha256Hash::of(long), Sha256Hash::of("Other.\n")];
        assert_eq!(world.tenant.find_extractions(&both).await.unwrap().len(), 2);

        let new =
            NewWorkspace { name: "B".into(), slug: "b".into(), push_connector: connector("builtin:push"), now: at(0) };
        let other = world.db().system().create_workspace(new).await.unwrap().id;
        assert_eq!(
            known(&world.db().system().tenant(other), long).await,
            None,
            "another workspace knows nothing of it"
        );
    }
}

#[tokio::test]
async fn it_is_forgotten_with_the_last_version_that_holds_it() {
    for world in worlds().await {
        commit(&world, vec![file("a.pdf", "Old.\n", "Old.\n")]).await;
        commit(&world, vec![file("a.pdf", "New.\n", "New.\n")]).await;
        assert!(known(&world.tenant, "Old.\n").await.is_some(), "an old version holds it");
        // The same file appears elsewhere, so that it outlives that version.
        commit(&world, vec![file("copy.pdf", "Old.\n", "Old.\n")]).await;
        forget_first(&world, "a.pdf").await;
        assert!(known(&world.tenant, "Old.\n").await.is_some(), "{}", world.name());
        commit(&world, vec![file("copy.pdf", "Other.\n", "Other.\n")]).await;
        forget_first(&world, "copy.pdf").await;
        assert_eq!(known(&world.tenant, "Old.\n").await, None, "{}", world.name());
        assert!(known(&world.tenant, "New.\n").await.is_some());
    }
}

#[tokio::test]
async fn a_file_that_says_the_same_as_before_is_known_from_then_on() {
    for world in worlds().await {
        // As it was before a new extractor came, which finds the same text under another key.
        commit(&world, vec![draft("a.pdf", "Text.\n")]).await;
        assert_eq!(known(&world.tenant, "Text.\n").await, None);
        commit(&world, vec![file("a.pdf", "Text.\n", "Text.\n")]).await;
        assert_eq!(
            known(&world.tenant, "Text.\n").await.unwrap().chunks,
            draft("a.pdf", "Text.\n").content.unwrap().chunks
        );
        assert_eq!(world.live().await["a.pdf"].0, 1, "no version came of it");
    }
}
