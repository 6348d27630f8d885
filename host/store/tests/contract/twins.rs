//! Two workspaces with the same ids throughout, as a restored copy would have, know nothing of each other.
//!
//! Ids are random, so that most tests cannot tell a statement that asks for the workspace from one that asks for the id alone. Here
//! every row stands twice, with the same id and other content. On SQLite: both engines run the same text.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tributary_core::{
    DocumentId, JobId, KeyId, MessageId, RunId, SourceId, ThreadId, UserId, WorkspaceId,
    access::{Power, Role, Scope},
    audience::Audience,
    contract::{Container, Fault, Gone},
    document::{DocumentDraft, Outcome},
    hash::{Sha256Hash, id_digest},
    job::Lease,
    ledger::Ledger,
    principal::{Actor, Grant, Principal},
    query::Hit,
    run::{FailedItem, RecordingState, RunKind, RunStatus, Stage, StageName, Trigger, WaitingFor},
    schedule::{DueSchedule, Overlap, Pause, PauseReason, ScheduleKind},
    source::Health,
};
use tributary_store::{
    ApiKey, Approval, CancelRequest, DocumentFilter, Error, FinishRun, Finished, Fired, Firing, Heartbeat, Invitation,
    KeepVersions, KeyRotation, KeyUse, Moved, NewAnswer, NewQuestion, NewRun, NewSource, NewUser, NextKey, PageCommit,
    Prune, PurgeDeleted, Purged, Push, RecordedPart, Restored, RetryRequest, SealedValue, SourceUpdate, SystemDb,
    TenantDb, testing,
};
use uuid::Uuid;

use crate::schedules::{every_minute, firing, start};
use crate::support::{BASIS, HOUR_MS, Page, World, at, connector, draft, file, new_source, unchanged};

const WEEK: i64 = 8 * 86_400;

/// The ids that both workspaces have.
struct Same {
    source: SourceId,
    scheduled: SourceId,
    /// Deleted, with a document.
    deleted: SourceId,
    /// With a document that a person keeps though no run finds it.
    keeping: SourceId,
    run: RunId,
    dry: RunId,
    held: RunId,
    documents: Vec<DocumentId>,
    thread: ThreadId,
    message: MessageId,
    owner: UserId,
    viewer: UserId,
    invitation: Uuid,
    key: KeyId,
}

/// One of the two, as its worker and its owner see it.
struct Side {
    system: SystemDb,
    tenant: TenantDb,
    /// Limited to one kind of documents: that of the other side.
    limited: TenantDb,
    lease: Lease,
}

fn answer(thread_id: ThreadId, id: MessageId, content: &str) -> NewAnswer {
    NewAnswer {
        id,
        thread_id,
        content: content.to_owned(),
        citations: vec![],
        mode: "extract".to_owned(),
        usage: json!({}),
        stop_reason: "end".to_owned(),
        now: at(2),
    }
}

fn question(thread_id: Option<ThreadId>) -> NewQuestion {
    NewQuestion { thread_id, owner: "user:ada".to_owned(), content: "How long?".to_owned(), now: at(1) }
}

fn key(workspace_id: WorkspaceId, id: KeyId) -> ApiKey {
    ApiKey {
        id,
        workspace_id,
        name: "Shop".to_owned(),
        last4: "abcd".to_owned(),
        scopes: vec![Scope::Chat],
        audience: Audience::everything(),
        limits: Default::default(),
        widget: None,
        sealed_identity_secret: None,
        created_by: "user:ada".to_owned(),
        created_at: at(0),
        expires_at: Some(at(1_000)),
        replaces: None,
        revoked_at: None,
        last_used_at: None,
    }
}

/// The schedule of a workspace that is due.
async fn due(world: &World, of: WorkspaceId, now: i64) -> DueSchedule {
    let due = world.system.due(at(now), 10).await.unwrap();
    due.into_iter().find(|due| due.workspace_id == of).unwrap()
}

fn page(docs: &[(&str, &str)]) -> Page {
    let container = |name: &str, unchanged| Container {
        external_id: name.to_owned(),
        fingerprint: format!("fp:{name}"),
        unchanged,
    };
    Page {
        drafts: docs.iter().map(|(id, text)| file(id, id, text)).collect(),
        containers: vec![container("folder", false), container("attic", false)],
        failed: vec![FailedItem { external_id: "f".to_owned(), fault: Fault::Permission, message: "no".to_owned() }],
        state: BTreeMap::from([("k".to_owned(), Some("v".to_owned())), ("l".to_owned(), Some("w".to_owned()))]),
        ..Page::default()
    }
}

fn invitation() -> Invitation {
    Invitation {
        id: Uuid::now_v7(),
        email: "eve@b".to_owned(),
        role: Role::Viewer,
        audience: Audience::everything(),
        invited_by: "user:ada".to_owned(),
        created_at: at(0),
        expires_at: at(1_000),
    }
}

/// A workspace with a row in every table.
async fn full() -> (World, Same, Side) {
    let world = World::on(testing::sqlite(Default::default()).await).await;
    let (tenant, system) = (&world.tenant, &world.system);
    // Gone with the second run.
    let mut running = world.begin(RunKind::Sync).await;
    let cellar = Container { external_id: "cellar".to_owned(), fingerprint: "fp".to_owned(), unchanged: false };
    let vault = Container { external_id: "vault".to_owned(), fingerprint: "fp".to_owned(), unchanged: false };
    let y = |name: &str| DocumentDraft { container: Some("vault".to_owned()), ..draft(name, "old") };
    let drafts = vec![draft("z", "old"), y("y"), y("yy"), draft("x", "old")];
    running.commit(Page { drafts, containers: vec![cellar.clone(), vault.clone()], ..Page::default() }).await;
    running.finish(None).await;
    // A dry run, and one that missed what stands in the vault.
    let running = world.begin(RunKind::DryRun).await;
    let dry = running.run_id;
    let state = BTreeMap::from([("k".to_owned(), Some("dry".to_owned()))]);
    let deletes = vec![("x".to_owned(), Gone::Deleted)];
    let previewed = running.page(Page { drafts: vec![draft("z", "new")], deletes, state, ..Page::default() });
    tenant.preview_page(&running.lease, previewed).await.unwrap();
    system.complete(&running.lease).await.unwrap();
    tenant.set_deletion_guard(world.source.id, Some((0, 0))).await.unwrap();
    let mut running = world.begin(RunKind::Sync).await;
    let drafts = vec![draft("z", "old"), draft("x", "old")];
    running.commit(Page { drafts, containers: vec![cellar], ..Page::default() }).await;
    assert!(running.finish(Some(Prune::default())).await.held.is_some());
    let held = running.run_id;
    let mut running = world.begin_with(NewRun { record: true, ..world.new_run() }).await;
    let deleted = deleted_source(&world).await;
    let first = Page {
        deletes: vec![("x".to_owned(), Gone::Trashed)],
        ..page(&[("a", "one\ntwo\n"), ("b", "three"), ("c", "four"), ("d", "five")])
    };
    let documents = running.commit(first).await.committed.iter().map(|it| it.document_id).collect();
    let (run, lease) = (running.run_id, running.lease.clone());

    let schedules = vec![every_minute(ScheduleKind::Sync, Overlap::Queue, 10)];
    let new = NewSource { schedules, pause_after_failures: Some(2), ..new_source("scheduled") };
    let scheduled = tenant.create_source(new).await.unwrap().id;
    let first = due(&world, world.workspace.id, 11).await;
    let Fired::Started(fired) = system.fire(&[firing(&first, 10 + WEEK)], at(11)).await.unwrap()[0] else {
        panic!("it was due")
    };
    assert_eq!(tenant.request_cancel(fired, at(12)).await.unwrap(), CancelRequest::Cancelled);

    let sealed = SealedValue { kind: "api_key".to_owned(), fields: vec!["token".to_owned()], sealed: vec![1, 2, 3] };
    tenant.create_credential("shop", sealed, at(1)).await.unwrap();
    let thread = tenant.save_question(question(None)).await.unwrap().thread_id;
    let message = MessageId::new();
    tenant.save_answer(answer(thread, message, "two weeks")).await.unwrap();
    let user = async |email: &str, role| {
        let new = NewUser {
            email: email.to_owned(),
            name: String::new(),
            password_hash: "x".to_owned(),
            instance_admin: false,
            now: at(0),
        };
        let id = system.create_user(new).await.unwrap().id;
        tenant.set_member(id, role, &Audience::everything(), at(1)).await.unwrap();
        id
    };
    let (owner, viewer) = (user("ada@b", Role::Owner).await, user("bob@b", Role::Viewer).await);
    let invitation = invitation();
    tenant.create_invitation(&invitation, Sha256Hash::of("invitation")).await.unwrap();
    let made = key(world.workspace.id, KeyId::new());
    tenant.create_api_key(&made, Sha256Hash::of("key")).await.unwrap();
    let used = KeyUse { workspace_id: world.workspace.id, key_id: made.id, requests: 3, tokens: 5 };
    system.record_key_use(&[used], at(5)).await.unwrap();

    let (source, invitation, key) = (world.source.id, invitation.id, made.id);
    let keeping = tenant.create_source(new_source("keeping")).await.unwrap().id;
    tenant.set_deletion_guard(keeping, Some((0, 0))).await.unwrap();
    traverse(tenant, keeping, &["k", "l"], true).await;
    let missed = traverse(tenant, keeping, &["l"], true).await;
    assert_eq!(missed.held.unwrap().unseen, 1);
    assert!(tenant.dismiss_deletions(keeping, missed.run.id, "wait", "user:ada", at(4)).await.unwrap());
    let same = Same {
        source,
        scheduled,
        deleted,
        keeping,
        run,
        dry,
        held,
        documents,
        thread,
        message,
        owner,
        viewer,
        invitation,
        key,
    };
    let side = side(&world, world.workspace.id, lease).await;
    (world, same, side)
}

/// A run that names these, and says whether they are all.
async fn traverse(tenant: &TenantDb, source_id: SourceId, names: &[&str], all: bool) -> Finished {
    let new = NewRun {
        source_id,
        kind: RunKind::Push,
        trigger: Trigger::Api,
        accept_deletions: false,
        connector: None,
        record: false,
        now: at(3),
    };
    let run_id = tenant.create_run(new).await.unwrap();
    let page = PageCommit {
        run_id,
        source_id,
        page_no: 0,
        drafts: names.iter().map(|name| draft(name, "kept")).collect(),
        containers: vec![],
        deletes: vec![],
        failed: vec![],
        state: BTreeMap::new(),
        cursor: None,
        traversal: None,
        progress: None,
        bytes: 1,
        requests: 1,
        basis: BASIS.to_owned(),
        now: at(3),
    };
    tenant.commit_page(None, page).await.unwrap();
    let finish = FinishRun::with(run_id, RunStatus::Succeeded, None, Some(Health::Healthy), at(4));
    tenant.finish_run(None, FinishRun { prune: all.then(Prune::default), ..finish }).await.unwrap()
}

/// A source that was deleted, with a document, a container, a memory and a failed item.
async fn deleted_source(world: &World) -> SourceId {
    let tenant = &world.tenant;
    let source = tenant.create_source(new_source("attic")).await.unwrap().id;
    let run = NewRun { source_id: source, kind: RunKind::Push, ..world.new_run() };
    let run_id = tenant.create_run(run).await.unwrap();
    let page = page(&[("old", "chair")]);
    let commit = PageCommit {
        run_id,
        source_id: source,
        page_no: 0,
        drafts: page.drafts,
        containers: page.containers,
        deletes: vec![],
        failed: page.failed,
        state: page.state,
        cursor: None,
        traversal: None,
        progress: None,
        bytes: 1,
        requests: 1,
        basis: BASIS.to_owned(),
        now: at(3),
    };
    tenant.commit_page(None, commit).await.unwrap();
    tenant
        .finish_run(None, FinishRun::with(run_id, RunStatus::Succeeded, None, Some(Health::Healthy), at(4)))
        .await
        .unwrap();
    tenant.delete_source(source, "user:ada", at(5)).await.unwrap().unwrap();
    source
}

async fn side(world: &World, workspace_id: WorkspaceId, lease: Lease) -> Side {
    let audience = Audience { kinds: Some(vec!["theirs".to_owned()]), ..Audience::default() };
    let grants = vec![Grant { workspace_id, power: Power::Role(Role::Owner), audience, archived: false }];
    let principal = Principal { actor: Actor::Operator, instance_admin: false, grants, ..Principal::operator() };
    let limited = world.db().tenant(&principal, workspace_id).await.unwrap().unwrap();
    Side { system: world.system.clone(), tenant: world.system.tenant(workspace_id), limited, lease }
}

/// The tables of a workspace, with their columns. The audit log and the note of a deletion are the instance's.
async fn tables(record: &mut SqliteConnection) -> BTreeMap<String, Vec<String>> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'
         AND EXISTS (SELECT 1 FROM pragma_table_info(t.name) WHERE name = 'workspace_id')
         AND t.name NOT IN ('audit_event', 'workspace_deletion') ORDER BY t.name, c.cid",
    )
    .fetch_all(record)
    .await
    .unwrap();
    let mut tables = BTreeMap::<_, Vec<_>>::new();
    for (table, column) in columns {
        tables.entry(table).or_default().push(column);
    }
    tables
}

/// Writes every row of a workspace again for a second one. Only what must be unique in the whole record differs.
async fn copy(record: &mut SqliteConnection, from: WorkspaceId, to: WorkspaceId) {
    sqlx::raw_sql("PRAGMA foreign_keys = off").execute(&mut *record).await.unwrap();
    let whole = "INSERT INTO workspace (id, name, slug, change_seq, settings, created_at)
         SELECT $2, name, 'twin', change_seq, settings, created_at FROM workspace WHERE id = $1";
    sqlx::query(whole).bind(from.0).bind(to.0).execute(&mut *record).await.unwrap();
    for (table, columns) in tables(record).await {
        let values = columns.iter().map(|column| match (table.as_str(), column.as_str()) {
            (_, "workspace_id") => "$2",
            ("job", "id") | (_, "token_hash" | "secret_hash") => "randomblob(16)",
            (_, column) => column,
        });
        let (names, values) = (columns.join(", "), values.collect::<Vec<_>>().join(", "));
        let sql = format!("INSERT INTO {table} ({names}) SELECT {values} FROM {table} WHERE workspace_id = $1");
        let copied = sqlx::query(AssertSqlSafe(sql)).bind(from.0).bind(to.0).execute(&mut *record).await.unwrap();
        assert!(copied.rows_affected() > 0, "the world has nothing in {table}: add something");
    }
}

/// Other content under the same ids, and what would mislead: another owner, an active run, as many keys as there may be.
async fn alter(record: &mut SqliteConnection, workspace: WorkspaceId, same: &Same) {
    for sql in [
        "UPDATE workspace SET name = 'theirs', change_seq = change_seq + 1000 WHERE id = $1",
        "UPDATE source SET name = name || ' theirs', config_revision = 9, config = '{}', health = 'failing' WHERE workspace_id = $1",
        "UPDATE run SET status = 'queued', finished_at = NULL, kind = 'sync' WHERE workspace_id = $1 AND source_id = $2",
        "UPDATE run SET seen = 100, added = 100, page_cursor = 'theirs', config_revision = 9, job_id = NULL WHERE workspace_id = $1",
        "INSERT INTO schedule_slot SELECT workspace_id, source_id, kind, $5, fired_at, 'queued', NULL FROM schedule_slot WHERE workspace_id = $1",
        "UPDATE run SET source_id = $2, status = 'failed', config_revision = 1 WHERE workspace_id = $1 AND status = 'succeeded'",
        "UPDATE schedule SET next_at = '2001-01-01T00:00:00.000+00:00' WHERE workspace_id = $1 AND next_at IS NOT NULL",
        "UPDATE run_failed_item SET message = 'theirs', external_id = 'a' WHERE workspace_id = $1",
        "UPDATE run SET status = 'queued', finished_at = NULL WHERE workspace_id = $1 AND kind = 'dry_run'",
        "UPDATE run SET cancel_requested = 1 WHERE workspace_id = $1 AND kind = 'dry_run'",
        "UPDATE run SET connector_version = 'theirs' WHERE workspace_id = $1",
        "UPDATE run SET preview_state = '{\"m\":\"theirs\"}', stale_pages = 7 WHERE workspace_id = $1",
        "UPDATE source SET guard_percent = 100, guard_items = 100, health_code = 'theirs' WHERE workspace_id = $1",
        "UPDATE run_preview SET title = 'theirs', item_no = item_no + 100, change = 'delete',
             document_id = (SELECT id FROM document d WHERE d.workspace_id = $1 AND d.external_id = 'a') WHERE workspace_id = $1",
        "UPDATE deletion_hold SET unseen = 70, config_revision = 9, position = 0 WHERE workspace_id = $1",
        "UPDATE held_deletion SET document_id = (SELECT id FROM document d WHERE d.workspace_id = $1 AND d.external_id = 'z')
         WHERE workspace_id = $1 AND document_id = (SELECT id FROM document d WHERE d.workspace_id = $1 AND d.external_id = 'yy')",
        "UPDATE run_seen SET documents = $3, containers = $4, kept = x'' WHERE workspace_id = $1",
        "UPDATE connector_state SET entry_value = 'theirs' WHERE workspace_id = $1",
        "UPDATE container SET fingerprint = 'theirs' WHERE workspace_id = $1",
        "UPDATE document SET fingerprint = 'theirs', content_hash = x'00', container = 'cellar' WHERE workspace_id = $1",
        "UPDATE document SET source_id = $2 WHERE workspace_id = $1 AND external_id = 'd'",
        "UPDATE document_version SET title = 'theirs', kind = 'theirs', fields = '{}' WHERE workspace_id = $1",
        "UPDATE chunk SET body = 'theirs' WHERE workspace_id = $1",
        "UPDATE message SET content = 'theirs' WHERE workspace_id = $1",
        "UPDATE member SET role = 'owner' WHERE workspace_id = $1",
        "UPDATE invitation SET email = 'theirs' WHERE workspace_id = $1",
        "UPDATE api_key SET name = 'theirs' WHERE workspace_id = $1",
        "UPDATE credential SET kind = 'theirs' WHERE workspace_id = $1",
        "UPDATE key_usage SET requests = 100 WHERE workspace_id = $1",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO invitation (workspace_id, id, token_hash, email, role, invited_by, created_at, expires_at)
         SELECT $1, randomblob(16), randomblob(32), 'more', 'viewer', 'user:ada', created_at, '9999-01-01T00:00:00+00:00'
         FROM n, workspace WHERE id = $1",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO api_key (workspace_id, id, name, secret_hash, last4, scopes, audience, created_by, created_at)
         SELECT $1, randomblob(16), 'more', randomblob(32), 'abcd', '[]', '{}', 'user:ada', created_at FROM n, workspace WHERE id = $1",
    ] {
        let query = sqlx::query(sql).bind(workspace.0).bind(same.scheduled.0);
        let seen = [id_digest("z").to_vec(), id_digest("cellar").to_vec()];
        let [document, container] = seen;
        query.bind(document).bind(container).bind(at(10 + WEEK)).execute(&mut *record).await.unwrap();
    }
}

/// Every row of a workspace as the database writes it.
async fn rows(record: &mut SqliteConnection, workspace: WorkspaceId) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for (table, columns) in tables(record).await {
        let row = columns.iter().map(|column| format!("quote({column})")).collect::<Vec<_>>().join(" || ' ' || ");
        let sql = format!("SELECT {row} FROM {table} WHERE workspace_id = $1 ORDER BY 1");
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).bind(workspace.0).fetch_all(&mut *record).await.unwrap();
        all.insert(table, rows);
    }
    let own = sqlx::query_scalar("SELECT name || change_seq FROM workspace WHERE id = $1").bind(workspace.0);
    all.insert("workspace".to_owned(), own.fetch_all(record).await.unwrap());
    all
}

/// Everything that can be read, in words, without the workspace's own id.
async fn read(side: &Side, same: &Same) -> Vec<String> {
    let (tenant, documents) = (&side.tenant, &same.documents);
    let hits: Vec<_> = documents.iter().map(|id| Hit { document_id: *id, version: 1, chunk: 0, score: 1.0 }).collect();
    let cited: Vec<_> = documents.iter().map(|id| (*id, 1)).collect();
    let run = tenant.get_run(same.run).await.unwrap();
    let ledger = tenant.ledger(&run, BASIS.to_owned());
    let known = ["a", "b", "folder", "attic", "z"].map(str::to_owned).to_vec();
    let of_source = DocumentFilter { source_id: Some(same.source), ..DocumentFilter::default() };
    let of_kind = DocumentFilter { kind: Some("page".to_owned()), ..DocumentFilter::default() };
    let of_run = DocumentFilter { run_id: Some(same.run), ..DocumentFilter::default() };
    let recent = DocumentFilter { updated_after: Some(at(-100)), ..DocumentFilter::default() };
    let deleted = DocumentFilter { deleted: true, ..DocumentFilter::default() };
    let deleted_by_run = DocumentFilter { run_id: Some(same.run), deleted: true, ..DocumentFilter::default() };
    let count = async |filter: &DocumentFilter| {
        let mut counts = tenant.count_documents(filter).await.unwrap();
        counts.sort_by_key(|it| format!("{it:?}"));
        counts
    };
    let again = tributary_core::run::Run { retry_of: Some(same.run), ..run.clone() };
    let again = tenant.ledger(&again, BASIS.to_owned());
    // As if it came after all others.
    let mut upgraded = tributary_core::run::Run { id: RunId(Uuid::max()), ..run.clone() };
    upgraded.connector.digest = "another".to_owned();
    let dry = tenant.get_run(same.dry).await.unwrap();
    let dry = tenant.ledger(&dry, BASIS.to_owned());
    let mut gauges = side.system.source_gauges(100).await.unwrap();
    gauges.retain(|it| it.workspace_id == tenant.workspace_id());
    gauges.iter_mut().for_each(|it| it.workspace_id = WorkspaceId(Uuid::nil()));
    let all = [
        format!("{:?}", tenant.state_of_another_version(&upgraded).await.unwrap()),
        format!("{:?}", again.lookup(known.clone()).await.unwrap()),
        format!("{:?}", dry.state().await.unwrap()),
        format!("{:?}", tenant.failed_items_after(same.run, -1, 100).await.unwrap()),
        format!("{:?}", tenant.is_cancelled(same.dry).await.unwrap()),
        format!("{:?}", tenant.preview(same.dry, None, -1, 100).await.unwrap()),
        format!("{:?}", tenant.deletion_guard(same.source).await.unwrap()),
        format!("{:?}", tenant.find_hold(same.source).await.unwrap()),
        format!("{gauges:?}"),
        format!("{:?}", tenant.held_documents(same.held, None, 100).await.unwrap()),
        format!("{:?}", tenant.workspace().await.unwrap().name),
        format!("{:?}", tenant.position().await.unwrap()),
        format!("{:?}", tenant.list_sources(None, 100).await.unwrap()),
        format!("{:?}", tenant.find_source_with_run(same.source).await.unwrap()),
        format!("{:?}", tenant.find_source_with_run(same.scheduled).await.unwrap()),
        format!("{:?}", tenant.past_slots(same.scheduled, 100).await.unwrap()),
        format!("{:?}", tenant.push_source().await.unwrap()),
        format!("{run:?}"),
        format!("{:?}", tenant.list_runs(same.source, None, 100).await.unwrap()),
        format!("{:?}", tenant.failed_items(same.run, 100).await.unwrap()),
        format!("{:?}", tenant.list_documents(&of_source, None, 100).await.unwrap()),
        format!("{:?}", tenant.find_document(documents[0]).await.unwrap()),
        format!("{:?}", tenant.find_version(documents[0], 1).await.unwrap()),
        format!("{:?}", tenant.list_documents(&of_kind, None, 100).await.unwrap()),
        format!("{:?}", tenant.list_documents(&DocumentFilter::default(), None, 100).await.unwrap()),
        format!("{:?}", tenant.list_documents(&of_run, None, 100).await.unwrap()),
        format!("{:?}", tenant.list_documents(&recent, None, 100).await.unwrap()),
        format!("{:?}", tenant.list_documents(&deleted, None, 100).await.unwrap()),
        format!("{:?}", tenant.list_documents(&deleted_by_run, None, 100).await.unwrap()),
        format!("{:?}", count(&DocumentFilter::default()).await),
        format!("{:?}", count(&of_source).await),
        format!("{:?}", count(&of_kind).await),
        format!("{:?}", count(&of_run).await),
        format!("{:?}", count(&recent).await),
        format!("{:?}", count(&deleted).await),
        format!("{:?}", count(&deleted_by_run).await),
        format!("{:?}", tenant.list_versions(documents[0], None, 100).await.unwrap()),
        format!("{:?}", tenant.find_listed(documents[0]).await.unwrap()),
        format!("{:?}", tenant.sources_of(documents).await.unwrap().into_iter().collect::<BTreeMap<_, _>>()),
        format!("{:?}", tenant.purged_position().await.unwrap()),
        format!("{:?}", tenant.own_deletion_guard(same.source).await.unwrap()),
        format!("{:?}", tenant.list_deleted_sources(None, 100).await.unwrap()),
        format!("{:?}", tenant.find_deleted_source(same.deleted).await.unwrap()),
        format!("{:?}", tenant.changes_after(Default::default(), Default::default()).await.unwrap()),
        format!("{:?}", tenant.passages(&hits).await.unwrap()),
        format!("{:?}", tenant.find_extractions(&[Sha256Hash::of("a")]).await.unwrap()),
        format!(
            "{:?}",
            side.limited.admitted(&documents.iter().map(|id| (*id, same.source)).collect::<Vec<_>>()).await.unwrap()
        ),
        format!("{:?}", tenant.citation_status(&cited).await.unwrap()),
        format!("{:?}", ledger.lookup(known).await.unwrap()),
        format!("{:?}", ledger.state().await.unwrap()),
        format!("{:?}", tenant.list_messages(Some("user:ada"), Some(same.thread), None, 100).await.unwrap()),
        format!("{:?}", tenant.list_messages(Some("user:ada"), None, None, 100).await.unwrap()),
        format!("{:?}", tenant.members().await.unwrap()),
        format!("{:?}", tenant.invitations(at(1)).await.unwrap()),
        format!("{:?}", tenant.api_keys().await.unwrap()),
        format!("{:?}", tenant.api_key(same.key).await.unwrap()),
        format!("{:?}", tenant.list_credentials(None, 100).await.unwrap()),
        format!("{:?}", tenant.key_usage(same.key, "2000-01-01").await.unwrap()),
    ];
    let own = tenant.workspace_id().to_string();
    all.into_iter().map(|text| text.replace(&own, "here")).collect()
}

/// What can be done with a schedule.
async fn schedule(world: &World, side: &Side, same: &Same) {
    let (tenant, system, id) = (&side.tenant, &world.system, side.tenant.workspace_id());
    let queued =
        tenant.create_run(NewRun { source_id: same.scheduled, now: at(WEEK), ..world.new_run() }).await.unwrap();
    let second = due(world, id, 11 + WEEK).await;
    let fired = system.fire(&[firing(&second, 10 + 2 * WEEK)], at(11 + WEEK)).await.unwrap();
    assert_eq!(fired, [Fired::Queued { stop: None }]);
    assert_eq!(system.queued_slots(10).await.unwrap(), []);
    assert_eq!(tenant.request_cancel(queued, at(12 + WEEK)).await.unwrap(), CancelRequest::Cancelled);
    let waiting = system.queued_slots(10).await.unwrap();
    let fired = system.fire(&[Firing::Queued(waiting[0].clone())], at(13 + WEEK)).await.unwrap();
    let Fired::Started(run) = fired[0] else { panic!("{fired:?}") };

    // One failed run is not two.
    let lease = system.claim(&["sync"], "worker", HOUR_MS, 1).await.unwrap().remove(0);
    tenant.begin_run(&lease, run, at(14 + WEEK)).await.unwrap();
    let failed = FinishRun::with(run, RunStatus::Failed, None, None, at(15 + WEEK));
    tenant.finish_run(Some(&lease), failed).await.unwrap();
    assert_eq!(tenant.get_source(same.scheduled).await.unwrap().pause, None);

    let third = due(world, id, 11 + 2 * WEEK).await;
    assert_eq!(system.reschedule(&[(third, Some(start(20 + 2 * WEEK)))], at(WEEK)).await.unwrap(), 1);
    let pause = Pause { at: at(80), by: "user:ada".to_owned(), reason: PauseReason::ByHand, note: "no".to_owned() };
    tenant.pause_source(same.scheduled, pause).await.unwrap();
    tenant.resume_source(same.scheduled, &[(ScheduleKind::Sync, Some(start(90)))], at(81)).await.unwrap();
    let removed = SourceUpdate { schedules: vec![(ScheduleKind::Sync, None)], ..SourceUpdate::default() };
    tenant.update_source(same.scheduled, removed).await.unwrap();
    let hourly = every_minute(ScheduleKind::Full, Overlap::Skip, 100);
    let set = SourceUpdate { schedules: vec![(ScheduleKind::Full, Some(hourly))], ..SourceUpdate::default() };
    tenant.update_source(same.scheduled, set).await.unwrap();
}

/// Everything that can be written.
async fn write(world: &World, side: &Side, same: &Same) {
    let (tenant, lease, id) = (&side.tenant, &side.lease, side.tenant.workspace_id());
    let begun = tenant.begin_run(lease, same.run, at(20)).await.unwrap();
    assert_eq!(begun.source.name, "docs");
    tenant.begin_recording(lease, same.run, &begun.run.recording.unwrap(), "ada").await.unwrap();
    let part = RecordedPart { state: RecordingState::Complete, pages: 1, bytes: 2 };
    tenant.end_recording(lease, same.run, part).await.unwrap();
    tenant.set_progress(lease, same.run, &Default::default()).await.unwrap();
    tenant.set_waiting(lease, same.run, WaitingFor::Quota, at(90)).await.unwrap();
    tenant.begin_run(lease, same.run, at(21)).await.unwrap();
    let stage = Stage { name: StageName::Pull, since: at(21), moved_at: at(22) };
    tenant.set_stage(lease, same.run, &stage).await.unwrap();
    let second = page(&[("a", "changed"), ("e", "six")]);
    let commit = |page_no, page: Page| PageCommit {
        run_id: same.run,
        source_id: same.source,
        page_no,
        drafts: page.drafts,
        containers: page.containers,
        deletes: page.deletes,
        failed: page.failed,
        state: page.state,
        cursor: None,
        traversal: None,
        progress: None,
        bytes: 1,
        requests: 1,
        basis: BASIS.to_owned(),
        now: at(30),
    };
    // Of what was held one document is named by a push, the other goes.
    let end = |run, prune| FinishRun {
        prune,
        ..FinishRun::with(run, RunStatus::Succeeded, None, Some(Health::Healthy), at(22))
    };
    let push = tenant.create_run(NewRun { kind: RunKind::Push, now: at(22), ..world.new_run() }).await.unwrap();
    let named = Page { drafts: vec![unchanged("y")], ..Page::default() };
    tenant.commit_page(None, PageCommit { run_id: push, ..commit(0, named) }).await.unwrap();
    tenant.finish_run(None, end(push, None)).await.unwrap();
    assert_eq!(tenant.find_hold(same.source).await.unwrap().unwrap().held.unseen, 1);
    let approved = tenant.approve_deletions(same.source, same.held, "user:ada", at(23)).await.unwrap();
    assert!(matches!(approved, Approval::Deleted { deleted: 1, kept: 0, .. }), "{approved:?}");
    let containers = tenant.ledger(&tenant.get_run(same.run).await.unwrap(), BASIS.to_owned());
    let known = containers.lookup(vec!["cellar".to_owned(), "vault".to_owned()]).await.unwrap();
    assert_eq!(known, [Some("fp".to_owned()), None]);
    let outcome = tenant.commit_page(Some(lease), commit(1, second)).await.unwrap();
    assert_eq!(outcome.committed.len(), 2);
    // The same content under a new fingerprint.
    let refreshed = DocumentDraft { fingerprint: Some("new".to_owned()), ..draft("b", "three") };
    let third = Page {
        drafts: vec![unchanged("d"), refreshed],
        deletes: vec![("c".to_owned(), Gone::Deleted)],
        state: BTreeMap::from([("k".to_owned(), None)]),
        ..Page::default()
    };
    let outcome = tenant.commit_page(Some(lease), commit(2, third)).await.unwrap();
    assert!(outcome.committed.iter().all(|it| it.outcome == Outcome::Unchanged), "{outcome:?}");
    let previewed = Page {
        drafts: vec![draft("b", "previewed")],
        deletes: vec![("d".to_owned(), Gone::Deleted)],
        state: BTreeMap::from([("k".to_owned(), Some("dry".to_owned()))]),
        ..Page::default()
    };
    tenant.preview_page(lease, PageCommit { run_id: same.dry, ..commit(1, previewed) }).await.unwrap();
    let ended = tenant.finish_run(None, end(same.dry, Some(Prune::default()))).await.unwrap();
    assert_eq!((ended.run.counts.updated, ended.run.counts.deleted), (2, 5), "x, d, a, e and y");
    let listed = tenant.preview(same.dry, None, -1, 100).await.unwrap().items;
    let listed: Vec<_> = listed.iter().map(|it| (it.item_no, it.title.as_str())).collect();
    let names = ["z", "x", "b", "d", "a", "e", "y"].map(|name| format!("Title of {name}"));
    assert_eq!(listed, (0..).zip(names.iter().map(String::as_str)).collect::<Vec<_>>());
    let other = tenant.create_run(NewRun { kind: RunKind::DryRun, now: at(30), ..world.new_run() }).await.unwrap();
    tenant.request_cancel(other, at(30)).await.unwrap();
    tenant.delete_document(same.documents[0], "user:ada", at(60)).await.unwrap().unwrap();
    tenant.set_health(same.source, Health::Degraded).await.unwrap();
    let renamed = SourceUpdate { name: Some("renamed".to_owned()), ..SourceUpdate::default() };
    tenant.update_source(same.source, renamed).await.unwrap();
    assert_eq!(tenant.request_cancel(same.run, at(31)).await.unwrap(), CancelRequest::Asked);
    assert_eq!(world.system.heartbeat(lease, HOUR_MS).await.unwrap(), Heartbeat::CancelRequested);
    let prune = FinishRun {
        prune: Some(Prune::default()),
        allow_deletions: true,
        ..FinishRun::with(same.run, RunStatus::Succeeded, None, Some(Health::Healthy), at(40))
    };
    let finished = tenant.finish_run(Some(lease), prune).await.unwrap();
    assert_eq!((finished.run.counts.deleted, finished.held), (4, None), "what the page named, and what no page did");
    let names = |page: tributary_store::DocumentPage| {
        let mut names: Vec<_> = page.items.into_iter().map(|document| document.external_id).collect();
        names.sort();
        names
    };
    let all = DocumentFilter::default();
    assert_eq!(names(tenant.list_documents(&all, None, 100).await.unwrap()), ["b", "d", "e", "k", "l"]);
    // What was dismissed stays dismissed, until it is found again.
    for _ in 0..2 {
        let without = traverse(tenant, same.keeping, &["l"], true).await;
        assert_eq!((without.held, without.run.counts.deleted), (None, 0));
    }
    traverse(tenant, same.keeping, &["k"], false).await;
    assert!(traverse(tenant, same.keeping, &["l"], true).await.held.is_some());

    // Another run misses all there is.
    tenant.set_deletion_guard(same.source, None).await.unwrap();
    let missing = tenant.create_run(NewRun { now: at(41), ..world.new_run() }).await.unwrap();
    assert_eq!(tenant.finish_run(None, end(missing, Some(Prune::default()))).await.unwrap().held.unwrap().unseen, 3);
    let hold = tenant.find_hold(same.source).await.unwrap().unwrap();
    assert_eq!((hold.run_id, hold.position), (missing, tenant.position().await.unwrap()));
    let asked = tenant.retry_failed(same.run, Trigger::Api, at(43)).await.unwrap();
    let RetryRequest::Queued(again) = asked else { panic!("{asked:?}") };
    assert_eq!(tenant.request_cancel(again, at(43)).await.unwrap(), CancelRequest::Cancelled);
    assert!(tenant.dismiss_deletions(same.source, missing, "not now", "user:ada", at(44)).await.unwrap());

    let push = Push {
        source_id: tenant.push_source().await.unwrap().id,
        connector: connector("builtin:push"),
        trigger: Trigger::Api,
        drafts: vec![draft("p", "pushed")],
        failed: vec![],
        basis: BASIS.to_owned(),
        bytes: 1,
        now: at(50),
    };
    tenant.push(push).await.unwrap();
    let new = NewRun { now: at(51), ..world.new_run() };
    let queued = tenant.create_run(new).await.unwrap();
    assert_eq!(tenant.request_cancel(queued, at(52)).await.unwrap(), CancelRequest::Cancelled);
    schedule(world, side, same).await;

    tenant.save_question(question(Some(same.thread))).await.unwrap();
    tenant.save_answer(answer(same.thread, same.message, "three weeks")).await.unwrap();
    let last = tenant.remove_member(same.owner).await.unwrap_err();
    assert!(matches!(last, Error::LastOne(_)), "{last}");
    tenant.set_member(same.viewer, Role::Editor, &Audience::everything(), at(60)).await.unwrap();
    tenant.remove_member(same.viewer).await.unwrap();
    tenant.create_api_key(&key(id, KeyId::new()), Sha256Hash::of(format!("another of {id}"))).await.unwrap();
    let next = NextKey {
        id: KeyId::new(),
        secret_hash: Sha256Hash::of(format!("next of {id}")),
        last4: "efgh".to_owned(),
        created_by: "user:ada".to_owned(),
        now: at(60),
        old_until: at(500),
    };
    let KeyRotation::Made(next) = tenant.rotate_api_key(same.key, next).await.unwrap() else {
        panic!("it was not replaced here")
    };
    assert_eq!(next.workspace_id, id);
    tenant.revoke_api_key(same.key, at(61)).await.unwrap();
    let used = KeyUse { workspace_id: id, key_id: same.key, requests: 1, tokens: 1 };
    world.system.record_key_use(&[used], at(62)).await.unwrap();
    tenant.create_invitation(&invitation(), Sha256Hash::of(format!("another of {id}"))).await.unwrap();
    tenant.delete_invitation(same.invitation).await.unwrap();
    assert_eq!(tenant.delete_source(same.scheduled, "user:ada", at(70)).await.unwrap(), None, "it has no documents");
    tenant.delete_source(same.source, "user:ada", at(71)).await.unwrap().unwrap();
    assert_eq!(names(tenant.list_documents(&all, None, 100).await.unwrap()), ["k", "l", "p"]);
    undo(world, side, same).await;
    assert_eq!(names(tenant.list_documents(&all, None, 100).await.unwrap()), ["a", "b", "d", "e", "k", "l", "p"]);
    purge(world, side, same).await;
    assert_eq!(names(tenant.list_documents(&all, None, 100).await.unwrap()), ["a", "b", "d", "e", "k", "l", "p"]);
}

/// Bringing back what was deleted, and moving it.
async fn undo(world: &World, side: &Side, same: &Same) {
    let tenant = &side.tenant;
    let deleted = tenant.find_deleted_source(same.source).await.unwrap().unwrap();
    assert_eq!((deleted.documents, deleted.schedules.len()), (9, 0));
    tenant.restore_source(same.source, "docs again", &[], at(72)).await.unwrap().unwrap();
    let next = [(ScheduleKind::Full, Some(start(100)))];
    assert_eq!(tenant.restore_source(same.scheduled, "scheduled again", &next, at(72)).await.unwrap(), None);
    let scheduled = tenant.find_source_with_run(same.scheduled).await.unwrap().unwrap();
    assert_eq!(scheduled.schedules[0].next, Some(start(100)));
    assert!(matches!(tenant.restore_document(same.documents[0]).await.unwrap(), Restored::Back(_)));
    let moved = tenant.move_documents(&same.documents[..1], &[same.source], same.scheduled).await.unwrap();
    assert!(matches!(moved, Moved::Moved { moved: 1, .. }), "{moved:?}");
    let pause = Pause { at: at(80), by: "user:ada".to_owned(), reason: PauseReason::ByHand, note: "no".to_owned() };
    let copy = tenant.create_paused_source(new_source("copy"), pause, Some((1, 2))).await.unwrap().id;
    assert_eq!(world.system.tenant(tenant.workspace_id()).own_deletion_guard(copy).await.unwrap(), Some((1, 2)));
}

/// What is not kept for ever.
async fn purge(world: &World, side: &Side, same: &Same) {
    let (tenant, system, workspace_id) = (&side.tenant, &world.system, side.tenant.workspace_id());
    let keep = [KeepVersions { workspace_id, newest: 1, replaced_after: at(1_000) }];
    let old = system.old_versions(&keep, 100).await.unwrap();
    assert_eq!(old, [(workspace_id, vec![(same.documents[0], 1)])].into());
    assert_eq!(tenant.purge_versions(&old[&workspace_id]).await.unwrap(), 1);
    assert_eq!(tenant.find_listed(same.documents[0]).await.unwrap().unwrap().oldest_version, 2);

    let deleted = [PurgeDeleted { workspace_id, deleted_before: at(1_000) }];
    let due = system.long_deleted(&deleted, 100).await.unwrap();
    assert_eq!(due.iter().map(|(workspace, ids)| (*workspace, ids.len())).collect::<Vec<_>>(), [(workspace_id, 5)]);
    assert_eq!(tenant.purge_documents(&due[&workspace_id], at(1_000)).await.unwrap(), 5, "x, y, yy, z and c");
    assert_eq!(system.purge_sources(&deleted, 10, at(90)).await.unwrap(), 1);
    let deleted = tenant.list_deleted_sources(None, 100).await.unwrap().items;
    assert_eq!(
        deleted.iter().map(|it| (it.source.id, it.purging_at, it.documents)).collect::<Vec<_>>(),
        [(same.deleted, Some(at(90)), 1)]
    );
    tenant.purge_source(same.deleted, 0, at(91)).await.unwrap();
    let lease = system.claim(&["purge_source"], "worker", HOUR_MS, 1).await.unwrap().remove(0);
    assert_eq!(lease.workspace_id, workspace_id);
    for expected in [Purged::Some, Purged::All] {
        assert_eq!(tenant.purge_source_slice(&lease, same.deleted, 10, at(92)).await.unwrap(), expected);
    }
    assert!(tenant.list_deleted_sources(None, 100).await.unwrap().items.is_empty());
}

/// Acts in one of the twins: in the copy or in the other, where a scan meets the rows of the other side first or last; the copy's id
/// is greater or smaller, where an index does.
async fn act(copied: bool, greater: bool) {
    let (world, same, first) = full().await;
    let expected = read(&first, &same).await;
    let twin = WorkspaceId(if greater { Uuid::max() } else { Uuid::from_u128(1) });
    let mut record = SqliteConnection::connect(&world.test.url).await.unwrap();
    copy(&mut record, world.workspace.id, twin).await;
    let job = "SELECT id FROM job WHERE workspace_id = $1 AND state = 'leased'";
    let job: Uuid = sqlx::query_scalar(job).bind(twin.0).fetch_one(&mut record).await.unwrap();
    let lease = Lease { job_id: JobId(job), workspace_id: twin, ..first.lease.clone() };
    let own = "UPDATE run SET job_id = $2 WHERE workspace_id = $1 AND id = $3";
    sqlx::query(own).bind(twin.0).bind(job).bind(same.run.0).execute(&mut record).await.unwrap();
    let second = side(&world, twin, lease).await;
    let (ours, theirs) = if copied { (second, first) } else { (first, second) };
    let them = theirs.tenant.workspace_id();
    alter(&mut record, them, &same).await;

    assert_eq!(read(&ours, &same).await, expected, "copied: {copied}");
    let before = rows(&mut record, them).await;
    write(&world, &ours, &same).await;
    for (table, rows) in rows(&mut record, them).await {
        assert_eq!(rows, before[&table], "copied: {copied}: {table}");
    }
    // A worker of the one cannot act for the other.
    let mixed = theirs.tenant.begin_run(&ours.lease, same.run, at(80)).await;
    assert!(matches!(mixed, Err(Error::LeaseLost)));
    assert_eq!(world.system.heartbeat(&theirs.lease, HOUR_MS).await.unwrap(), Heartbeat::Alive);
    // Nor does the end of the one take anything of the other, though that is to end as well.
    for side in [&ours, &theirs] {
        side.tenant.delete_workspace("user:ada", at(90)).await.unwrap();
    }
    let leases = world.system.claim(&["delete_workspace"], "w", HOUR_MS, 10).await.unwrap();
    let lease = leases.iter().find(|lease| lease.workspace_id == ours.tenant.workspace_id()).unwrap();
    let before = rows(&mut record, them).await;
    while ours.tenant.remove_documents(lease, 100).await.unwrap() {}
    ours.tenant.remove_workspace(lease, at(91)).await.unwrap();
    assert_eq!(rows(&mut record, them).await, before, "copied: {copied}");
    assert_eq!(world.system.workspace_deletion(them).await.unwrap().unwrap().finished_at, None);
}

#[tokio::test]
async fn a_workspace_sees_and_changes_nothing_of_another_with_the_same_ids() {
    for (copied, greater) in [(false, false), (false, true), (true, false), (true, true)] {
        act(copied, greater).await;
    }
}
