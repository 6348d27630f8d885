//! What a workspace keeps for a time only: deleted documents and sources, and old versions. Part of the history chore.

use chrono::TimeDelta;
use tributary_core::{Instant, WorkspaceId, workspace::Settings};
use tributary_store::{KeepVersions, PurgeDeleted, Result, SystemDb, Visible};

/// What was deleted is kept for at least so long, whatever the settings: until then every host has let go of it.
const AT_LEAST: TimeDelta = TimeDelta::hours(1);
/// Documents in one slice: their texts may be large.
const DOCUMENTS: i64 = 200;
/// Versions, or sources, in one slice.
const SLICE: i64 = 500;

/// What each workspace keeps, as of a moment.
pub(super) struct Retention {
    deleted: Vec<PurgeDeleted>,
    versions: Vec<KeepVersions>,
    now: Instant,
}

impl Retention {
    /// Reads every workspace's settings.
    pub(super) async fn read(system: &SystemDb, now: Instant) -> Result<Self> {
        let (mut deleted, mut versions) = (Vec::new(), Vec::new());
        let mut after = None;
        loop {
            let page = system.list_workspaces(&Visible::All, after, 1_000).await?;
            for workspace in &page.items {
                let (purge, keep) = of(workspace.id, &workspace.settings, now);
                deleted.push(purge);
                versions.push(keep);
            }
            after = page.items.last().map(|workspace| workspace.id);
            if !page.more {
                return Ok(Self { deleted, versions, now });
            }
        }
    }

    /// One slice of each; how much it was.
    pub(super) async fn slice(&self, system: &SystemDb) -> Result<u64> {
        let mut purged = system.purge_sources(&self.deleted, SLICE, self.now).await?;
        for (workspace, documents) in system.long_deleted(&self.deleted, DOCUMENTS).await? {
            let before = self.deleted.iter().find(|it| it.workspace_id == workspace).map(|it| it.deleted_before);
            let Some(before) = before else { continue };
            purged += system.tenant(workspace).purge_documents(&documents, before).await?;
        }
        for (workspace, versions) in system.old_versions(&self.versions, SLICE).await? {
            purged += system.tenant(workspace).purge_versions(&versions).await?;
        }
        Ok(purged)
    }
}

fn of(workspace_id: WorkspaceId, settings: &Settings, now: Instant) -> (PurgeDeleted, KeepVersions) {
    let days = |days: u16| TimeDelta::days(days.into());
    let deleted_before = now - days(settings.purge_after_days()).max(AT_LEAST);
    let newest = i64::from(settings.keep_versions());
    let replaced_after = now - days(settings.keep_versions_days());
    (PurgeDeleted { workspace_id, deleted_before }, KeepVersions { workspace_id, newest, replaced_after })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tributary_core::{
        DocumentId,
        citation::ConnectorRef,
        document::{ChunkDraft, DocumentDraft, DraftContent},
        hash::Sha256Hash,
        run::Trigger,
    };
    use tributary_search::{IndexOptions, Indexes, SearchRequest};
    use tributary_store::{NewWorkspace, Push, TenantDb, WorkspaceUpdate, testing::databases};

    use super::*;
    use crate::{retrieval::Indexer, wake::Wake};

    fn day(days: i64) -> Instant {
        chrono::DateTime::from_timestamp(1_750_000_000 + days * 86_400, 0).unwrap()
    }

    fn connector() -> ConnectorRef {
        ConnectorRef { id: "builtin:push".to_owned(), version: "1".to_owned(), digest: "digest".to_owned() }
    }

    async fn push(tenant: &TenantDb, name: &str, text: &str, now: Instant) -> DocumentId {
        let chunk = ChunkDraft { section: vec![], locator: None, start: 0, text: text.to_owned() };
        let content = DraftContent {
            title: name.to_owned(),
            kind: "page".to_owned(),
            language: None,
            url: None,
            fields: Default::default(),
            provenance: Default::default(),
            content_hash: Sha256Hash::of(text),
            chunks: vec![chunk],
            extraction: None,
        };
        let external_id = name.to_owned();
        let draft = DocumentDraft { external_id, fingerprint: None, container: None, content: Some(content) };
        let push = Push {
            source_id: tenant.push_source().await.unwrap().id,
            connector: connector(),
            trigger: Trigger::Api,
            drafts: vec![draft],
            failed: vec![],
            basis: "b".to_owned(),
            bytes: 1,
            now,
        };
        tenant.push(push).await.unwrap().outcome.committed[0].document_id
    }

    async fn workspace(system: &SystemDb, slug: &str) -> TenantDb {
        let (name, slug) = (slug.to_owned(), slug.to_owned());
        let new = NewWorkspace { name, slug, push_connector: connector(), now: day(0) };
        system.tenant(system.create_workspace(new).await.unwrap().id)
    }

    #[tokio::test]
    async fn a_workspace_keeps_what_its_settings_say_and_until_then() {
        for test in databases().await {
            let (system, name) = (test.db.system(), test.name);
            let (usual, short) = (workspace(&system, "usual").await, workspace(&system, "short").await);
            let settings = Settings {
                purge_after_days: Some(3),
                keep_versions: Some(2),
                keep_versions_days: Some(0),
                ..Settings::default()
            };
            short.update_workspace(WorkspaceUpdate { settings: Some(settings), ..Default::default() }).await.unwrap();
            for tenant in [&usual, &short] {
                for n in 0..4 {
                    push(tenant, "kept", &format!("text {n}"), day(0)).await;
                }
                let gone = push(tenant, "gone", "text", day(0)).await;
                tenant.delete_document(gone, "user:ada", day(0)).await.unwrap();
            }
            let purged = async |now| Retention::read(&system, now).await.unwrap().slice(&system).await.unwrap();
            assert_eq!(purged(day(2)).await, 2, "{name}: the older versions of the short one");
            assert_eq!(purged(day(2)).await, 0, "{name}");
            assert_eq!(purged(day(4)).await, 1, "{name}: its deleted document");
            assert_eq!(purged(day(29)).await, 0, "{name}: the usual thirty days are not over");
            assert_eq!(purged(day(31)).await, 1, "{name}");
            assert_eq!(purged(day(1_000)).await, 0, "{name}: four versions are fewer than twenty");
        }
    }

    #[tokio::test]
    async fn what_was_deleted_is_kept_for_an_hour_even_when_it_need_not_be() {
        for test in databases().await {
            let system = test.db.system();
            let tenant = workspace(&system, "hasty").await;
            let settings = Settings { purge_after_days: Some(0), ..Settings::default() };
            tenant.update_workspace(WorkspaceUpdate { settings: Some(settings), ..Default::default() }).await.unwrap();
            let gone = push(&tenant, "gone", "text", day(0)).await;
            tenant.delete_document(gone, "user:ada", day(0)).await.unwrap();
            let purged = async |now| Retention::read(&system, now).await.unwrap().slice(&system).await.unwrap();
            assert_eq!(purged(day(0) + TimeDelta::minutes(59)).await, 0, "{}", test.name);
            assert_eq!(purged(day(0) + TimeDelta::minutes(61)).await, 1, "{}", test.name);
        }
    }

    #[tokio::test]
    async fn an_index_that_slept_through_a_purge_is_made_anew() {
        for test in databases().await {
            let system = test.db.system();
            let tenant = workspace(&system, "shop").await;
            let folder = tempfile::tempdir().unwrap();
            let indexes = Indexes::open(folder.path(), IndexOptions::default()).unwrap();
            let indexer = Indexer::new(test.db.clone(), indexes.clone(), Wake::local());
            let found = |words: &str| {
                let found = indexes.search(tenant.workspace_id(), &SearchRequest::new(words, 10)).unwrap();
                found.hits.into_iter().map(|hit| hit.document_id).collect::<Vec<_>>()
            };
            let kettle = push(&tenant, "kettle", "A kettle boils water.", day(0)).await;
            let pan = push(&tenant, "pan", "A pan fries eggs.", day(0)).await;
            indexer.once().await.unwrap();
            assert_eq!((found("kettle"), found("pan")), (vec![kettle], vec![pan]), "{}", test.name);

            tenant.delete_document(kettle, "user:ada", day(0)).await.unwrap();
            assert_eq!(Retention::read(&system, day(60)).await.unwrap().slice(&system).await.unwrap(), 1);
            let pot = push(&tenant, "pot", "A pot holds soup.", day(60)).await;
            indexer.once().await.unwrap();
            assert_eq!((found("kettle"), found("pan"), found("pot")), (vec![], vec![pan], vec![pot]), "{}", test.name);
            // Once is enough.
            let first = indexes.applied(tenant.workspace_id()).unwrap();
            push(&tenant, "lid", "A lid covers it.", day(61)).await;
            indexer.once().await.unwrap();
            assert!(indexes.applied(tenant.workspace_id()).unwrap() > first && found("lid").len() == 1);
        }
    }
}
