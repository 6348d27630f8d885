//! Documents per second of a sync: 1,000 and 10,000 Markdown files of 2 KB through the server's own services, then the same
//! files again unchanged. SQLite always, PostgreSQL where `TRIBUTARY_TEST_POSTGRES` says.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    corpus,
    report::{Aim, Report},
    sized, usage,
};
use tributary::{
    app::App,
    retrieval,
    settings::Settings,
    sources::{Draft, Wish},
};
use tributary_core::{
    SourceId,
    principal::Principal,
    run::{Run, RunStatus, Trigger},
};
use tributary_store::{TenantDb, testing};

fn main() {
    support::runtime().block_on(run());
}

async fn run() {
    let mut report = Report::new("sync");
    for count in [sized(1_000), sized(10_000)] {
        let tree = tempfile::tempdir().unwrap();
        corpus::write_tree(tree.path(), count);
        let sqlite = Host::open(None, tree.path()).await;
        measure(&mut report, "SQLite", &sqlite, count, true).await;
        sqlite.app.stop().await;
        if let Some(postgres) = testing::postgres(tributary_store::Options::default()).await {
            let host = Host::open(Some(postgres.url.clone()), tree.path()).await;
            measure(&mut report, "PostgreSQL", &host, count, false).await;
            host.app.stop().await;
        }
    }
    report.finish();
}

async fn measure(report: &mut Report, database: &str, host: &Host, count: usize, aimed: bool) {
    report.section(&format!("{count} files of 2 KB, {database}"));
    let source = host.source().await;
    let documents = count as i64;

    let first = host.sync(source).await;
    let counts = first.run.counts;
    assert_eq!((counts.added, counts.failed), (documents, 0), "{counts:?}");
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    if aimed {
        report.aimed("first sync, committed", rate(first.committed), "documents/s", Aim::AtLeast(2_000.0));
    } else {
        report.figure("first sync, committed", rate(first.committed), "documents/s");
    }
    report.figure("first sync, found by a query", rate(first.searchable), "documents/s");
    report.figure("first sync, processor time", first.cpu.as_secs_f64() * 1e6 / count as f64, "µs/document");

    let position = host.tenant.position().await.unwrap();
    let again = host.sync(source).await;
    let counts = again.run.counts;
    assert_eq!((counts.unchanged, counts.added, counts.updated, counts.deleted), (documents, 0, 0, 0), "{counts:?}");
    report.figure("unchanged sync", rate(again.committed), "documents/s");
    report.figure("unchanged sync, processor time", again.cpu.as_secs_f64() * 1e6 / count as f64, "µs/document");
    let changes = host.tenant.position().await.unwrap() - position;
    report.aimed("unchanged sync, commits that changed a document", changes as f64, "", Aim::AtMost(0.0));
}

/// The server's services in this process, on data of their own.
struct Host {
    app: Arc<App>,
    tenant: TenantDb,
    _data: tempfile::TempDir,
}

/// What one sync took.
struct Took {
    run: Run,
    committed: Duration,
    searchable: Duration,
    cpu: Duration,
}

impl Host {
    async fn open(database_url: Option<String>, tree: &Path) -> Self {
        let data = tempfile::tempdir().unwrap();
        let settings = Settings {
            data_dir: Some(data.path().to_owned()),
            database_url,
            root: vec![("files".to_owned(), tree.to_owned())],
            ..Settings::default()
        };
        let app = App::open(settings.resolve().unwrap()).await.unwrap();
        app.bootstrap(Some("correct horse battery staple".into())).await.unwrap().unwrap();
        app.start().await.unwrap();
        // Compiling the components is no part of a sync.
        app.plugins.load().await.unwrap();
        let principal = Principal::operator();
        let workspace = app.db.system().find_workspace_by_slug("default").await.unwrap().unwrap();
        let tenant = app.db.tenant(&principal, workspace.id).await.unwrap().unwrap();
        Self { app, tenant, _data: data }
    }

    async fn source(&self) -> SourceId {
        let draft = Draft {
            name: "files".to_owned(),
            connector: "file".to_owned(),
            config: json!({ "root": "files" }),
            schedule: None,
            full_schedule: None,
            pause_after_failures: None,
        };
        self.app.sources.create(&self.tenant, draft).await.unwrap().source.id
    }

    /// Asks for a sync and follows it to its end, and to where its documents can be found.
    async fn sync(&self, source: SourceId) -> Took {
        let (started, cpu) = (Instant::now(), usage::cpu());
        let id = self.app.sources.sync(&self.tenant, source, Wish::default(), Trigger::Api).await.unwrap();
        let run = loop {
            let run = self.tenant.get_run(id).await.unwrap();
            if run.status.is_final() {
                break run;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let committed = started.elapsed();
        assert_eq!(run.status, RunStatus::Succeeded, "{:?}", run.error);
        let position = self.tenant.position().await.unwrap();
        while !self.is_indexed(position).await {}
        Took { run, committed, searchable: started.elapsed(), cpu: usage::cpu() - cpu }
    }

    async fn is_indexed(&self, position: i64) -> bool {
        let query = retrieval::Query {
            text: "order".to_owned(),
            top_k: 1,
            mode: retrieval::Mode::Auto,
            min_position: Some(position),
            filters: Default::default(),
        };
        match self.app.knowledge.query(&self.tenant, query).await {
            Ok(_) => true,
            Err(retrieval::Error::Behind(_)) => false,
            Err(error) => panic!("{error}"),
        }
    }
}
