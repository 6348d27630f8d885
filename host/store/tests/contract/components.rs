//! Components that are installed while the server runs, and those that misbehave.

use std::collections::BTreeMap;

use serde_json::json;
use tributary_core::{
    RunId,
    citation::ConnectorRef,
    contract::{Capabilities, Descriptor, Fault},
    run::{RunKind, RunStatus},
    schedule::{Overlap, ScheduleKind},
    source::{Health, Source},
};
use tributary_store::{
    CarriedConfig, Error, FinishRun, NewComponent, NewRun, NewSource, PageCommit, QUARANTINED, Removal, SourceUpdate,
    Suspect, TenantDb, Usage,
};

use crate::schedules::every_minute;
use crate::support::{HOUR_MS, Page, World, at, new_source, workspace, worlds};

fn descriptor(version: &str) -> Descriptor {
    Descriptor {
        id: "shop".to_owned(),
        version: version.to_owned(),
        title: "Shop".to_owned(),
        config_schema: json!({ "type": "object" }),
        hosts: vec!["api.shop.example".to_owned()],
        roots: vec![],
        capabilities: Capabilities::default(),
    }
}

fn new<'a>(digest: &str, descriptor: &'a Descriptor, checked: Usage) -> NewComponent<'a> {
    let (bytes, by) = (descriptor.version.as_bytes(), "user:ada".to_owned());
    let digest = digest.to_owned();
    NewComponent {
        digest,
        bytes,
        descriptor,
        grant_hosts: &[],
        by,
        signed_by: None,
        checked,
        carried: &[],
        now: at(10),
    }
}

fn reference(digest: &str, version: &str) -> ConnectorRef {
    ConnectorRef { id: "shop".to_owned(), version: version.to_owned(), digest: digest.to_owned() }
}

async fn install(world: &World, digest: &str, version: &str, grant_hosts: &[String]) -> u64 {
    let (descriptor, checked) = (descriptor(version), world.system.connector_usage("shop").await.unwrap());
    let new = NewComponent { grant_hosts, ..new(digest, &descriptor, checked) };
    let (installed, moved) = world.system.install_component(new).await.unwrap().unwrap();
    assert_eq!(installed.connector, reference(digest, version));
    assert_eq!(world.system.current_connector("shop").await.unwrap().unwrap(), installed, "{}", world.name());
    moved
}

async fn source(world: &World, name: &str, connector: ConnectorRef) -> Source {
    world.tenant.create_source(NewSource { connector, ..new_source(name) }).await.unwrap()
}

/// A run of a source of a workspace that ends so.
async fn run_in(
    world: &World,
    tenant: &TenantDb,
    source: &Source,
    status: RunStatus,
    killed: Option<Fault>,
) -> Option<Suspect> {
    let run_id = tenant.create_run(NewRun { source_id: source.id, ..world.new_run() }).await.unwrap();
    let lease = world.system.claim(&["sync"], "worker", HOUR_MS, 1).await.unwrap().remove(0);
    tenant.begin_run(&lease, run_id, at(1)).await.unwrap();
    let end = FinishRun { killed, ..FinishRun::with(run_id, status, None, Some(Health::Failing), at(50)) };
    tenant.finish_run(Some(&lease), end).await.unwrap().suspect
}

async fn run(world: &World, source: &Source, status: RunStatus, killed: Option<Fault>) -> Option<Suspect> {
    run_in(world, &world.tenant, source, status, killed).await
}

/// A killed run, and whether it put the connector into quarantine, as a host goes about it.
async fn killed(world: &World, tenant: &TenantDb, source: &Source) -> bool {
    match run_in(world, tenant, source, RunStatus::Failed, Some(Fault::Trap)).await {
        Some(suspect) => world.system.quarantine(&suspect, at(51)).await.unwrap(),
        None => false,
    }
}

#[tokio::test]
async fn an_installation_moves_the_sources_and_keeps_what_runs_need() {
    for world in worlds().await {
        let system = &world.system;
        assert_eq!(install(&world, "aa", "1.0.0", &[]).await, 0);
        assert_eq!(system.find_component("aa").await.unwrap().as_deref(), Some(b"1.0.0".as_slice()));
        let shop = source(&world, "shop", reference("aa", "1.0.0")).await;
        let mut running = world.begin_with(NewRun { source_id: shop.id, ..world.new_run() }).await;
        let page = running.page(Page { cursor: Some("next"), ..Page::default() });
        let page = PageCommit { source_id: shop.id, ..page };
        world.tenant.commit_page(Some(&running.lease), page).await.unwrap();
        running.page_no = 1;

        assert_eq!(install(&world, "bb", "2.0.0", &[]).await, 1, "{}", world.name());
        assert_eq!(world.tenant.get_source(shop.id).await.unwrap().connector, reference("bb", "2.0.0"));
        assert!(system.find_component("aa").await.unwrap().is_some(), "a run goes on with it");
        let begun = world.tenant.begin_run(&running.lease, running.run_id, at(20)).await.unwrap();
        assert_eq!(begun.run.connector, reference("aa", "1.0.0"));
        let end = FinishRun::with(running.run_id, RunStatus::Succeeded, None, None, at(30));
        world.tenant.finish_run(Some(&running.lease), end).await.unwrap();

        install(&world, "cc", "3.0.0", &[]).await;
        for forgotten in ["aa", "bb"] {
            assert!(system.find_component(forgotten).await.unwrap().is_none(), "{forgotten} is needed by nothing");
            assert!(system.find_connector(forgotten).await.unwrap().unwrap().removed_at.is_some(), "cited for ever");
        }
        let late = NewSource { connector: reference("aa", "1.0.0"), ..new_source("late") };
        let error = world.tenant.create_source(late).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid(message) if message.contains("try again")), "{error}");
        // Going back is installing the old one again, whatever the clock says.
        assert_eq!(install(&world, "aa", "1.0.0", &[]).await, 1);
        assert!(system.find_component("aa").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn sources_that_changed_since_they_were_checked_are_checked_again() {
    for world in worlds().await {
        install(&world, "aa", "1.0.0", &[]).await;
        let before = world.system.connector_usage("shop").await.unwrap();
        let shop = source(&world, "shop", reference("aa", "1.0.0")).await;
        let descriptor = descriptor("2.0.0");
        let stale = world.system.install_component(new("bb", &descriptor, before)).await.unwrap();
        assert_eq!(stale, None, "{}", world.name());
        assert_eq!(world.tenant.get_source(shop.id).await.unwrap().connector, reference("aa", "1.0.0"));
        assert!(world.system.find_connector("bb").await.unwrap().is_none());

        let listed = world.system.connector_sources("shop", None, 10).await.unwrap();
        assert_eq!(listed.items, [(world.workspace.id, shop.clone())]);
        let after = Some((world.workspace.id, shop.id));
        assert!(world.system.connector_sources("shop", after, 10).await.unwrap().items.is_empty());
        assert_eq!(
            world.system.connector_uses().await.unwrap(),
            [("builtin:push".to_owned(), 1), ("file".to_owned(), 1), ("shop".to_owned(), 1)]
        );
    }
}

#[tokio::test]
async fn configurations_are_carried_over_with_the_installation_or_not_at_all() {
    for world in worlds().await {
        install(&world, "aa", "1.0.0", &[]).await;
        let shop = source(&world, "shop", reference("aa", "1.0.0")).await;
        let other = source(&world, "other", reference("aa", "1.0.0")).await;
        let (descriptor, checked) = (descriptor("2.0.0"), world.system.connector_usage("shop").await.unwrap());
        let carry = |config| [CarriedConfig { workspace: world.workspace.id, source: shop.id, config }];
        let carried = carry(json!({ "store": "one" }));
        let stale = NewComponent { carried: &carried, ..new("bb", &descriptor, Usage::default()) };
        assert_eq!(world.system.install_component(stale).await.unwrap(), None, "{}", world.name());
        let bad = carry(json!({ "store": "\0" }));
        let refused = world.system.install_component(NewComponent { carried: &bad, ..new("bb", &descriptor, checked) });
        assert!(refused.await.is_err(), "{}", world.name());
        assert_eq!(world.tenant.get_source(shop.id).await.unwrap(), shop);

        let new = NewComponent { carried: &carried, ..new("bb", &descriptor, checked) };
        assert_eq!(world.system.install_component(new).await.unwrap().unwrap().1, 2);
        let moved = world.tenant.get_source(shop.id).await.unwrap();
        assert_eq!((&moved.config, moved.config_revision), (&json!({ "store": "one" }), shop.config_revision + 1));
        assert_eq!(moved.connector, reference("bb", "2.0.0"), "{}", world.name());
        let untouched = world.tenant.get_source(other.id).await.unwrap();
        assert_eq!((untouched.config, untouched.config_revision), (other.config, other.config_revision));
    }
}

#[tokio::test]
async fn what_another_version_remembered_is_found_until_a_page_is_committed() {
    for world in worlds().await {
        install(&world, "aa", "1.0.0", &[]).await;
        let shop = source(&world, "shop", reference("aa", "1.0.0")).await;
        let begin = async || world.begin_with(NewRun { source_id: shop.id, ..world.new_run() }).await;
        let found = async |running: &crate::support::Running<'_>| {
            let run = world.tenant.get_run(running.run_id).await.unwrap();
            world.tenant.state_of_another_version(&run).await.unwrap()
        };
        let commit = async |running: &crate::support::Running<'_>| {
            let state = BTreeMap::from([("mark".to_owned(), Some("7".to_owned()))]);
            let page = PageCommit { source_id: shop.id, ..running.page(Page { state, ..Page::default() }) };
            world.tenant.commit_page(Some(&running.lease), page).await.unwrap();
        };
        let end = async |running: &crate::support::Running<'_>| {
            let end = FinishRun::with(running.run_id, RunStatus::Succeeded, None, None, at(30));
            world.tenant.finish_run(Some(&running.lease), end).await.unwrap();
        };
        let first = begin().await;
        assert_eq!(found(&first).await, None, "{}: there was none before", world.name());
        commit(&first).await;
        end(&first).await;
        install(&world, "bb", "2.0.0", &[]).await;
        let failed = begin().await;
        let remembered = Some(("1.0.0".to_owned(), BTreeMap::from([("mark".to_owned(), "7".to_owned())])));
        assert_eq!(found(&failed).await, remembered, "{}", world.name());
        end(&failed).await;
        let second = begin().await;
        assert_eq!(found(&second).await, remembered, "{}: a run without a page wrote nothing", world.name());
        commit(&second).await;
        end(&second).await;
        assert_eq!(found(&begin().await).await, None, "{}", world.name());
    }
}

#[tokio::test]
async fn what_was_granted_stays_granted_until_it_is_taken_back() {
    for world in worlds().await {
        let granted = async || world.system.current_connector("shop").await.unwrap().unwrap().granted_hosts;
        let (first, second) = ("api.shop.example".to_owned(), "cdn.shop.example".to_owned());
        assert!(!world.system.set_granted_hosts("shop", &[]).await.unwrap(), "nobody installed it");
        install(&world, "aa", "1.0.0", std::slice::from_ref(&first)).await;
        assert_eq!(granted().await, Some(vec![first.clone()]));
        install(&world, "bb", "2.0.0", &[first.clone(), second.clone()]).await;
        assert_eq!(granted().await, Some(vec![first, second.clone()]), "{}", world.name());
        assert!(world.system.set_granted_hosts("shop", std::slice::from_ref(&second)).await.unwrap());
        assert_eq!(granted().await, Some(vec![second]));
        assert_eq!(world.system.remove_connector("shop", at(60)).await.unwrap(), Removal::Removed);
        install(&world, "aa", "1.0.0", &[]).await;
        assert_eq!(granted().await, Some(vec![]), "a stranger again");
        world
            .system
            .put_connector("ff", &Descriptor { id: "file".to_owned(), ..descriptor("1.0.0") }, 1, at(0))
            .await
            .unwrap();
        assert!(!world.system.set_granted_hosts("file", &[]).await.unwrap(), "it ships with the server");
    }
}

#[tokio::test]
async fn a_connector_is_removed_when_nothing_uses_it() {
    for world in worlds().await {
        let system = &world.system;
        assert_eq!(system.remove_connector("shop", at(60)).await.unwrap(), Removal::Unknown);
        install(&world, "aa", "1.0.0", &[]).await;
        let shop = source(&world, "shop", reference("aa", "1.0.0")).await;
        assert_eq!(system.remove_connector("shop", at(60)).await.unwrap(), Removal::InUse(1), "{}", world.name());
        assert!(system.find_component("aa").await.unwrap().is_some());
        world.tenant.delete_source(shop.id, "user:ada", at(61)).await.unwrap();
        assert_eq!(system.remove_connector("shop", at(62)).await.unwrap(), Removal::Removed);
        assert!(system.find_component("aa").await.unwrap().is_none());
        assert!(system.current_connector("shop").await.unwrap().is_none());
        assert!(system.list_connectors().await.unwrap().is_empty());
        assert_eq!(system.find_connector("aa").await.unwrap().unwrap().removed_at, Some(at(62)));
        assert_eq!(system.remove_connector("shop", at(63)).await.unwrap(), Removal::Unknown);
    }
}

#[tokio::test]
async fn three_killed_runs_in_a_row_put_a_digest_into_quarantine() {
    for world in worlds().await {
        let (system, name) = (&world.system, world.name());
        install(&world, "aa", "1.0.0", &[]).await;
        let (one, other) = (
            source(&world, "one", reference("aa", "1.0.0")).await,
            source(&world, "other", reference("aa", "1.0.0")).await,
        );
        let quarantine = async || system.find_connector("aa").await.unwrap().unwrap().quarantine;
        for _ in 0..2 {
            assert_eq!(run(&world, &one, RunStatus::Failed, Some(Fault::Trap)).await, None);
        }
        assert_eq!(run(&world, &other, RunStatus::Succeeded, None).await, None, "a success of any source between");
        assert_eq!(run(&world, &one, RunStatus::Failed, Some(Fault::Trap)).await, None);
        assert_eq!(run(&world, &one, RunStatus::Failed, None).await, None, "its source was at fault");
        assert_eq!(run(&world, &other, RunStatus::Cancelled, None).await, None);
        assert_eq!(run(&world, &one, RunStatus::Failed, Some(Fault::Deadline)).await, None);
        assert_eq!(quarantine().await, None, "{name}");
        let suspect = run(&world, &other, RunStatus::Failed, Some(Fault::Memory)).await.unwrap();
        assert_eq!(suspect.digest, "aa", "{name}");
        assert_eq!(quarantine().await, None, "it is decided by who sees all workspaces");
        assert_eq!(system.connector_gauges().await.unwrap(), [("shop".to_owned(), false)], "{name}");
        assert!(system.quarantine(&suspect, at(51)).await.unwrap(), "{name}: the only workspace that uses it");
        assert!(!system.quarantine(&suspect, at(52)).await.unwrap(), "once");
        assert_eq!(system.connector_gauges().await.unwrap(), [("shop".to_owned(), true)], "{name}");
        let why = quarantine().await.unwrap();
        assert!(why.at == at(51) && why.reason.contains("3 runs") && why.reason.contains("memory"), "{why:?}");
        for source in [&one, &other] {
            let source = world.tenant.get_source(source.id).await.unwrap();
            let reason = source.condition.reason.unwrap();
            assert_eq!((source.health, reason.code.as_str()), (Health::NeedsAttention, QUARANTINED), "{name}");
            assert!(reason.detail.contains("tributary plugin release shop"), "{}", reason.detail);
        }
        assert_eq!(world.tenant.get_source(world.source.id).await.unwrap().health, Health::Healthy);
        assert_eq!(run(&world, &other, RunStatus::Failed, Some(Fault::Trap)).await, None, "it is there already");
        run(&world, &other, RunStatus::Succeeded, None).await;
        assert!(quarantine().await.is_some(), "a run that began before does not lift it");

        let health = async || {
            let source = world.tenant.get_source(one.id).await.unwrap();
            (source.health, source.condition.reason.map(|reason| reason.code))
        };
        assert!(system.release_connector("shop", at(52)).await.unwrap());
        assert_eq!(quarantine().await, None);
        assert_eq!(health().await, (Health::Degraded, Some("connector_changed".to_owned())), "{name}");
        assert!(!system.release_connector("shop", at(53)).await.unwrap());

        for number in 1..=3 {
            assert_eq!(killed(&world, &world.tenant, &one).await, number == 3, "{name}: counted anew");
        }
        install(&world, "aa", "1.0.0", &[]).await;
        assert!(quarantine().await.is_some(), "the same once more is no better");
        install(&world, "bb", "2.0.0", &[]).await;
        assert_eq!(system.current_connector("shop").await.unwrap().unwrap().quarantine, None);
        assert_eq!(health().await, (Health::Degraded, Some("connector_changed".to_owned())), "{name}");
    }
}

#[tokio::test]
async fn one_workspace_stops_no_connector_that_another_uses_but_its_own_source_is_paused() {
    for world in worlds().await {
        let (system, name) = (&world.system, world.name());
        install(&world, "aa", "1.0.0", &[]).await;
        let mine = source(&world, "mine", reference("aa", "1.0.0")).await;
        let second = system.tenant(workspace(system, "other").await.id);
        let theirs = NewSource { connector: reference("aa", "1.0.0"), ..new_source("theirs") };
        let theirs = second.create_source(theirs).await.unwrap();
        let quarantined = async || system.find_connector("aa").await.unwrap().unwrap().quarantine.is_some();

        let schedule = every_minute(ScheduleKind::Sync, Overlap::Skip, 60);
        let update = SourceUpdate { schedules: vec![(ScheduleKind::Sync, Some(schedule))], ..SourceUpdate::default() };
        world.tenant.update_source(mine.id, update).await.unwrap();
        for _ in 0..5 {
            assert!(!killed(&world, &world.tenant, &mine).await, "{name}: others use it");
        }
        let paused = world.tenant.get_source(mine.id).await.unwrap();
        assert!(paused.pause.unwrap().note.contains("The last 5 runs failed"), "{name}: it is stopped by itself");
        assert_eq!(second.get_source(theirs.id).await.unwrap().health, Health::Healthy, "{name}");

        // What the second workspace sees is evidence of its own.
        assert!(killed(&world, &second, &theirs).await, "{name}");
        assert!(quarantined().await);
        assert!(system.release_connector("shop", at(60)).await.unwrap());
        for _ in 0..3 {
            assert!(!killed(&world, &second, &theirs).await, "{name}: a release forgets whose runs were counted");
        }
        run(&world, &mine, RunStatus::Succeeded, None).await;
        for _ in 0..4 {
            assert!(!killed(&world, &second, &theirs).await, "{name}: and so does a success");
        }
        // Deleted after it crashed: the workspace that still uses the connector has seen nothing.
        second.delete_source(theirs.id, "user:eve", at(61)).await.unwrap();
        let last = Suspect { digest: "aa".to_owned(), reason: "x".to_owned() };
        assert!(!system.quarantine(&last, at(62)).await.unwrap(), "{name}");
        world.tenant.delete_source(mine.id, "user:ada", at(63)).await.unwrap();
        assert!(system.quarantine(&last, at(64)).await.unwrap(), "{name}: nobody else is left who uses it");
    }
}

#[tokio::test]
async fn runs_that_a_quarantine_refused_pause_no_source() {
    for world in worlds().await {
        let kind = RunKind::Sync;
        let refused = async |code: &str| -> RunId {
            let running = world.begin(kind).await;
            let error =
                tributary_core::run::RunError { code: code.to_owned(), detail: "x".to_owned(), config_pointer: None };
            let end =
                FinishRun::with(running.run_id, RunStatus::Failed, Some(error), Some(Health::NeedsAttention), at(50));
            world.tenant.finish_run(Some(&running.lease), end).await.unwrap();
            running.run_id
        };
        let schedule = every_minute(ScheduleKind::Sync, Overlap::Skip, 60);
        let update = SourceUpdate { schedules: vec![(ScheduleKind::Sync, Some(schedule))], ..SourceUpdate::default() };
        world.tenant.update_source(world.source.id, update).await.unwrap();
        for _ in 0..6 {
            refused(QUARANTINED).await;
        }
        assert_eq!(world.tenant.get_source(world.source.id).await.unwrap().pause, None, "{}", world.name());
        for _ in 0..5 {
            refused("trap").await;
        }
        assert!(world.tenant.get_source(world.source.id).await.unwrap().pause.is_some(), "{}", world.name());
        assert!(world.system.claim(&["sync"], "worker", HOUR_MS, 1).await.unwrap().is_empty());
    }
}
