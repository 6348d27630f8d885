//! A workspace with a source, and short ways to say what a page holds.

use std::{collections::BTreeMap, sync::Arc};

use tributary_core::{
    Instant, RunId, SourceId,
    citation::ConnectorRef,
    document::{ChunkDraft, DocumentDraft, DraftContent, Extraction, Provenance},
    hash::Sha256Hash,
    job::Lease,
    run::{RunKind, RunStatus, Trigger},
    source::{Health, Source},
    workspace::Workspace,
};
use tributary_store::{
    Db, FinishRun, Finished, NewRun, NewSource, NewWorkspace, PageCommit, PageOutcome, Prune, SystemDb, TenantDb,
    testing::{TestDb, databases},
};

pub const BASIS: &str = "connector-a/1";
pub const HOUR_MS: i64 = 3_600_000;

/// A moment: so many seconds after one fixed.
pub fn at(seconds: i64) -> Instant {
    chrono::DateTime::from_timestamp(1_750_000_000 + seconds, 123_456_000).unwrap()
}

pub fn connector(id: &str) -> ConnectorRef {
    ConnectorRef { id: id.to_owned(), version: "1.2.3".to_owned(), digest: format!("{id}-digest") }
}

pub struct World {
    pub test: Arc<TestDb>,
    pub system: SystemDb,
    pub workspace: Workspace,
    pub tenant: TenantDb,
    pub source: Source,
}

impl World {
    pub fn db(&self) -> &Db {
        &self.test.db
    }

    pub fn name(&self) -> &'static str {
        self.test.name
    }

    pub async fn on(test: TestDb) -> Self {
        let system = test.db.system();
        let workspace = workspace(&system, "acme").await;
        let tenant = system.tenant(workspace.id);
        let source = tenant.create_source(new_source("docs")).await.unwrap();
        Self { test: Arc::new(test), system, workspace, tenant, source }
    }

    /// A run of the source, leased and begun.
    pub async fn begin(&self, kind: RunKind) -> Running<'_> {
        self.begin_with(NewRun { kind, ..self.new_run() }).await
    }

    pub async fn begin_with(&self, new: NewRun) -> Running<'_> {
        let run_id = self.tenant.create_run(new).await.unwrap();
        let lease = self.system.claim(&["sync"], "worker", HOUR_MS, 1).await.unwrap().remove(0);
        self.tenant.begin_run(&lease, run_id, at(1)).await.unwrap();
        Running { world: self, run_id, lease, page_no: 0 }
    }

    pub fn new_run(&self) -> NewRun {
        NewRun {
            source_id: self.source.id,
            kind: RunKind::Sync,
            trigger: Trigger::Manual,
            accept_deletions: false,
            connector: None,
            record: false,
            now: at(0),
        }
    }

    /// One run that names exactly these documents and prunes the rest.
    pub async fn sync(&self, drafts: Vec<DocumentDraft>) -> Finished {
        let mut running = self.begin(RunKind::Sync).await;
        running.commit(Page { drafts, ..Page::default() }).await;
        running.finish(Some(Prune::default())).await
    }

    /// External id → (version, text) of everything live.
    pub async fn live(&self) -> BTreeMap<String, (i64, String)> {
        let mut live = BTreeMap::new();
        let mut after = None;
        loop {
            let page = self.tenant.list_documents(&Default::default(), after, 100).await.unwrap();
            for document in &page.items {
                let whole = self.tenant.find_document(document.id).await.unwrap().unwrap();
                assert_eq!(&whole.document, document, "{}", self.name());
                let text = whole.chunks.iter().map(|chunk| chunk.text.as_str()).collect();
                live.insert(document.external_id.clone(), (document.version, text));
            }
            after = page.items.last().map(|document| document.id);
            if !page.more {
                return live;
            }
        }
    }
}

/// A world on every database there is.
pub async fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for test in databases().await {
        worlds.push(World::on(test).await);
    }
    worlds
}

pub async fn workspace(system: &SystemDb, slug: &str) -> Workspace {
    let new = NewWorkspace {
        name: slug.to_uppercase(),
        slug: slug.to_owned(),
        push_connector: connector("builtin:push"),
        now: at(0),
    };
    system.create_workspace(new).await.unwrap()
}

pub fn new_source(name: &str) -> NewSource {
    NewSource {
        id: SourceId::new(),
        name: name.to_owned(),
        connector: connector("file"),
        config: serde_json::json!({ "root": "docs", "depth": 3, "ratio": 0.5, "tags": ["ä", null] }),
        schedules: Vec::new(),
        pause_after_failures: None,
        now: at(0),
    }
}

/// What a page holds; the rest is filled in.
#[derive(Default)]
pub struct Page {
    pub drafts: Vec<DocumentDraft>,
    pub containers: Vec<tributary_core::contract::Container>,
    pub deletes: Vec<(String, tributary_core::contract::Gone)>,
    pub failed: Vec<tributary_core::run::FailedItem>,
    pub state: BTreeMap<String, Option<String>>,
    pub basis: Option<&'static str>,
    pub cursor: Option<&'static str>,
}

pub struct Running<'a> {
    pub world: &'a World,
    pub run_id: RunId,
    pub lease: Lease,
    pub page_no: i64,
}

impl Running<'_> {
    pub fn page(&self, page: Page) -> PageCommit {
        PageCommit {
            run_id: self.run_id,
            source_id: self.world.source.id,
            page_no: self.page_no,
            drafts: page.drafts,
            containers: page.containers,
            deletes: page.deletes,
            failed: page.failed,
            state: page.state,
            cursor: page.cursor.map(str::to_owned),
            traversal: None,
            progress: None,
            bytes: 10,
            requests: 1,
            basis: page.basis.unwrap_or(BASIS).to_owned(),
            now: at(10 + self.page_no),
        }
    }

    pub async fn try_commit(&mut self, page: Page) -> tributary_store::Result<PageOutcome> {
        let page = self.page(page);
        let outcome = self.world.tenant.commit_page(Some(&self.lease), page).await?;
        self.page_no += 1;
        Ok(outcome)
    }

    pub async fn commit(&mut self, page: Page) -> PageOutcome {
        self.try_commit(page).await.unwrap()
    }

    pub async fn try_finish(&self, prune: Option<Prune>, allow_deletions: bool) -> tributary_store::Result<Finished> {
        let finish = FinishRun {
            prune,
            allow_deletions,
            ..FinishRun::with(self.run_id, RunStatus::Succeeded, None, Some(Health::Healthy), at(100))
        };
        self.world.tenant.finish_run(Some(&self.lease), finish).await
    }

    pub async fn finish(&self, prune: Option<Prune>) -> Finished {
        self.try_finish(prune, false).await.unwrap()
    }
}

/// A document of one chunk per line.
pub fn draft(external_id: &str, text: &str) -> DocumentDraft {
    let mut start = 0;
    let chunks: Vec<_> = text
        .split_inclusive('\n')
        .map(|line| {
            let chunk = ChunkDraft {
                section: vec!["Ärger".to_owned(), "\"quoted\"".to_owned()],
                locator: Some(tributary_core::document::Locator::Page(7)),
                start,
                text: line.to_owned(),
            };
            start += line.chars().count() as i64;
            chunk
        })
        .collect();
    DocumentDraft {
        external_id: external_id.to_owned(),
        fingerprint: Some(format!("fp:{text}")),
        container: None,
        content: Some(DraftContent {
            title: format!("Title of {external_id}"),
            kind: "page".to_owned(),
            language: Some("de".to_owned()),
            url: Some(format!("https://example.com/{external_id}")),
            fields: BTreeMap::from([
                ("price".to_owned(), serde_json::json!({ "amount": "19.90", "currency": "EUR" })),
                ("stock".to_owned(), serde_json::json!(5)),
                ("weight".to_owned(), serde_json::json!(1.5)),
            ]),
            provenance: Provenance { authors: vec!["Zoë".to_owned()], modified_at: Some(5), ..Provenance::default() },
            content_hash: Sha256Hash::of(text),
            chunks,
            extraction: None,
        }),
    }
}

/// The same, the text of a file whose extraction has the hash of `key` as its key.
pub fn file(external_id: &str, key: &str, text: &str) -> DocumentDraft {
    let mut draft = draft(external_id, text);
    if let Some(content) = &mut draft.content {
        let (key, title) = (Sha256Hash::of(key), Some(format!("Own title of {key}")));
        content.extraction = Some(Extraction { key, title, language: None, known: false });
    }
    draft
}

/// The same document, called unchanged.
pub fn unchanged(external_id: &str) -> DocumentDraft {
    DocumentDraft { external_id: external_id.to_owned(), fingerprint: None, container: None, content: None }
}
