//! Documents per second through `commit_page`, and what follows them: the feed, an unchanged sync, a prune.
//!
//! `sqlite-` is SQLite with `Durability::KilledProcess`; the others survive a power cut.
//!
//! `cargo bench -p tributary-store`; PostgreSQL when `TRIBUTARY_TEST_POSTGRES` is set. Arguments: documents (10,000), bytes each (2,048).
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tributary_core::{
    DocumentId,
    citation::ConnectorRef,
    document::{ChunkDraft, DocumentDraft, DraftContent, Provenance},
    hash::Sha256Hash,
    query::Hit,
    run::{RunKind, RunStatus, Trigger},
};
use tributary_store::{
    AuditOutcome, Durability, Engine, FeedCursor, FeedLimits, FinishRun, NewAuditEvent, NewRun, NewSource,
    NewWorkspace, Options, PageCommit, Prune, TenantDb,
    testing::{self, TestDb, databases},
};

const PAGE: usize = 256;

fn draft(number: usize, bytes: usize) -> DocumentDraft {
    let sentence = format!("Article {number} ships in {} days to \"Köln\" and elsewhere.\n", number % 30);
    let text = sentence.repeat(bytes / sentence.len() + 1);
    let half = text.len() / 2 / sentence.len() * sentence.len();
    let chunk = |text: &str, start: usize| ChunkDraft {
        section: vec!["Shipping".to_owned()],
        locator: None,
        start: start as i64,
        text: text.to_owned(),
    };
    DocumentDraft {
        external_id: format!("docs/articles/{number}.md"),
        fingerprint: Some(format!("{number}:1750000000:{bytes}")),
        container: None,
        content: Some(DraftContent {
            title: format!("Article {number}"),
            kind: "page".to_owned(),
            language: None,
            url: None,
            fields: Default::default(),
            provenance: Provenance { path: vec!["docs".to_owned(), "articles".to_owned()], ..Provenance::default() },
            content_hash: Sha256Hash::of(&text),
            chunks: vec![chunk(&text[..half], 0), chunk(&text[half..], half)],
            extraction: None,
        }),
    }
}

async fn sync(
    tenant: &TenantDb,
    connector: &ConnectorRef,
    source_id: tributary_core::SourceId,
    drafts: &[DocumentDraft],
) -> Duration {
    let now = chrono::Utc::now();
    let new = NewRun {
        source_id,
        kind: RunKind::Push,
        trigger: Trigger::Api,
        accept_deletions: true,
        connector: Some(connector.clone()),
        record: false,
        now,
    };
    let run_id = tenant.create_run(new).await.unwrap();
    let began = Instant::now();
    for (page_no, drafts) in drafts.chunks(PAGE).enumerate() {
        let page = PageCommit {
            run_id,
            source_id,
            page_no: page_no as i64,
            drafts: drafts.to_vec(),
            containers: vec![],
            deletes: vec![],
            failed: vec![],
            state: Default::default(),
            cursor: None,
            traversal: None,
            progress: None,
            bytes: 0,
            requests: 1,
            basis: "bench".to_owned(),
            now,
        };
        tenant.commit_page(None, page).await.unwrap();
    }
    let finish =
        FinishRun { prune: Some(Prune::default()), ..FinishRun::with(run_id, RunStatus::Succeeded, None, None, now) };
    tenant.finish_run(None, finish).await.unwrap();
    began.elapsed()
}

/// CPU seconds of this process so far (Linux; elsewhere 0): on a busy machine they say more than the time on the wall.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.split(' ').skip(13).take(2).filter_map(|field| field.parse().ok()).collect();
    fields.iter().sum::<f64>() / 100.0
}

/// How long 200 reads of 30 passages took, sorted.
async fn passages(tenant: &TenantDb, documents: &[DocumentId]) -> Vec<Duration> {
    let mut took = Vec::new();
    for turn in 0..200_usize {
        let document = |place: usize| documents[(turn * 37 + place * 101) % documents.len()];
        let hits: Vec<_> =
            (0..30).map(|place| Hit { document_id: document(place), version: 1, chunk: 1, score: 1.0 }).collect();
        let began = Instant::now();
        assert_eq!(tenant.passages(&hits).await.unwrap().len(), 30);
        took.push(began.elapsed());
    }
    took.sort();
    took
}

/// The median of a statement that reads nothing: alone, and as the store reads.
async fn smallest_read(test: &TestDb) -> (Duration, Duration) {
    let mut record = PgConnection::connect(&test.url).await.unwrap();
    let (mut plain, mut scoped) = (Vec::new(), Vec::new());
    for _ in 0..500 {
        let began = Instant::now();
        sqlx::query("SELECT 1").execute(&mut record).await.unwrap();
        plain.push(began.elapsed());
        let began = Instant::now();
        test.db.ping().await.unwrap();
        scoped.push(began.elapsed());
    }
    plain.sort();
    scoped.sort();
    (plain[250], scoped[250])
}

/// Switches row-level security on or off in every table that has it.
async fn row_security(url: &str, switch: &'static str) {
    let sql = format!(
        "DO $$ DECLARE name TEXT; BEGIN
             FOR name IN SELECT tablename FROM pg_policies LOOP
                 EXECUTE format('ALTER TABLE %I {switch} ROW LEVEL SECURITY', name);
             END LOOP;
         END $$"
    );
    let mut record = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut record).await.unwrap();
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let documents = numbers.next().unwrap_or(10_000);
    let bytes = numbers.next().unwrap_or(2_048);
    let rate = |took: Duration| documents as f64 / took.as_secs_f64();
    let killed = Options { durability: Durability::KilledProcess, ..Options::default() };
    let mut tests = databases().await;
    let mut without_sync = testing::sqlite(killed).await;
    without_sync.name = "sqlite-";
    tests.push(without_sync);
    for test in tests {
        let system = test.db.system();
        let connector = ConnectorRef { id: "builtin:push".to_owned(), version: "0".to_owned(), digest: "d".to_owned() };
        let now = chrono::Utc::now();
        let new =
            NewWorkspace { name: "bench".to_owned(), slug: "bench".to_owned(), push_connector: connector.clone(), now };
        let tenant = system.tenant(system.create_workspace(new).await.unwrap().id);
        let new = NewSource {
            id: tributary_core::SourceId::new(),
            name: "docs".to_owned(),
            connector: ConnectorRef { id: "file".to_owned(), ..connector.clone() },
            config: serde_json::json!({}),
            schedules: Vec::new(),
            pause_after_failures: None,
            now,
        };
        let source = tenant.create_source(new).await.unwrap().id;
        let drafts: Vec<_> = (0..documents).map(|number| draft(number, bytes)).collect();

        let cpu = cpu_seconds();
        let first = sync(&tenant, &connector, source, &drafts).await;
        println!(
            "{:8} first sync      {:8.0} documents/s ({first:?}, {:.2} s CPU)",
            test.name,
            rate(first),
            cpu_seconds() - cpu
        );
        let cpu = cpu_seconds();
        let again = sync(&tenant, &connector, source, &drafts).await;
        println!(
            "{:8} unchanged sync  {:8.0} documents/s ({again:?}, {:.2} s CPU)",
            test.name,
            rate(again),
            cpu_seconds() - cpu
        );

        let began = Instant::now();
        let (mut cursor, mut read) = (FeedCursor::default(), Vec::new());
        loop {
            let changes = tenant.changes_after(cursor, FeedLimits::default()).await.unwrap();
            read.extend(changes.documents.into_iter().map(|it| it.id));
            cursor = changes.up_to;
            if !changes.more {
                break;
            }
        }
        println!("{:8} feed            {:8.0} documents/s", test.name, rate(began.elapsed()));

        let took = passages(&tenant, &read).await;
        println!("{:8} 30 passages     p50 {:?}, p99 {:?}", test.name, took[100], took[198]);
        if test.engine() == Engine::Postgres {
            row_security(&test.url, "DISABLE").await;
            let without = passages(&tenant, &read).await;
            row_security(&test.url, "ENABLE").await;
            let with = passages(&tenant, &read).await;
            let ratio = with[100].as_secs_f64() / without[100].as_secs_f64();
            println!("{:8} row security    p50 {:?} without, {ratio:.2} times that with it", test.name, without[100]);
            let (plain, scoped) = smallest_read(&test).await;
            println!("{:8} smallest read   p50 {plain:?} alone, {scoped:?} in a transaction with its scope", test.name);
        }

        let began = Instant::now();
        let writes = (0..2000).map(|number| {
            let (tenant, owner) = (tenant.clone(), format!("user:{number}"));
            let question = tributary_store::NewQuestion { thread_id: None, owner, content: "?".to_owned(), now };
            async move { tenant.save_question(question).await.unwrap() }
        });
        futures::StreamExt::collect::<Vec<_>>(futures::StreamExt::buffer_unordered(futures::stream::iter(writes), 64))
            .await;
        let commits = test.db.group_commits();
        println!(
            "{:8} small writes    {:8.0}/s from 64 clients ({commits} commits in all)",
            test.name,
            2000.0 / began.elapsed().as_secs_f64()
        );

        let began = Instant::now();
        for number in 0..200 {
            let owner = format!("user:{number}");
            let question = tributary_store::NewQuestion { thread_id: None, owner, content: "?".to_owned(), now };
            tenant.save_question(question).await.unwrap();
        }
        println!("{:8} small writes    {:8.0}/s from one client", test.name, 200.0 / began.elapsed().as_secs_f64());

        let event = || NewAuditEvent {
            at: now,
            actor: format!("user:{}", tenant.workspace_id()),
            action: "POST /api/v1/workspaces/{workspace_id}/sources".to_owned(),
            workspace_id: Some(tenant.workspace_id()),
            target: String::new(),
            from_ip: Some("192.0.2.1".to_owned()),
            request_id: Some(source.to_string()),
            outcome: AuditOutcome::Ok,
            detail: serde_json::json!({ "status": 201 }),
        };
        let began = Instant::now();
        for _ in 0..200 {
            system.append_audit(event()).await.unwrap();
        }
        let alone = began.elapsed() / 200;
        let began = Instant::now();
        let appends = (0..2000).map(|_| system.append_audit(event()));
        futures::StreamExt::collect::<Vec<_>>(futures::StreamExt::buffer_unordered(futures::stream::iter(appends), 64))
            .await;
        let together = 2000.0 / began.elapsed().as_secs_f64();
        let began = Instant::now();
        system.verify_audit().await.unwrap();
        let verified = 2200.0 / began.elapsed().as_secs_f64();
        println!(
            "{:8} audit           {alone:?} alone, {together:8.0}/s from 64 clients, verified {verified:8.0}/s",
            test.name
        );

        let gone = sync(&tenant, &connector, source, &drafts[..1]).await;
        println!("{:8} prune           {:8.0} documents/s", test.name, rate(gone));
    }
}
