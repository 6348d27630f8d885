//! Workspaces: changed, put aside, deleted.

use sqlx::{Connection, PgConnection, SqliteConnection};
use tributary_core::{
    KeyId,
    access::{Role, Scope},
    audience::Audience,
    hash::Sha256Hash,
    job::Work,
    run::{FailedItem, RunKind},
    workspace::{Commerce, Platform, Settings},
};
use tributary_store::{ApiKey, Error, KeyUse, NewQuestion, NewUser, WorkspaceUpdate};

use crate::support::{HOUR_MS, Page, World, at, draft, workspace, worlds};

#[tokio::test]
async fn what_is_not_given_stays() {
    for world in worlds().await {
        let settings = Settings { top_k: Some(4), refusal_text: Some("No idea.".to_owned()), ..Settings::default() };
        let commerce = Commerce {
            platform: Platform::Shopify,
            store_url: "https://shop.example".to_owned(),
            currency: Some("EUR".to_owned()),
            locale: None,
            catalog_source_id: Some(world.source.id),
            order_lookup_url: None,
        };
        let update = WorkspaceUpdate {
            settings: Some(settings.clone()),
            commerce: Some(Some(commerce.clone())),
            ..WorkspaceUpdate::default()
        };
        world.tenant.update_workspace(update).await.unwrap();
        let renamed = WorkspaceUpdate { name: Some("Renamed".to_owned()), ..WorkspaceUpdate::default() };
        let now = world.tenant.update_workspace(renamed).await.unwrap();
        assert_eq!((now.name.as_str(), &now.settings), ("Renamed", &settings), "{}", world.name());
        assert_eq!((now.commerce.as_ref(), now.slug.as_str()), (Some(&commerce), "acme"));
        let none = WorkspaceUpdate { commerce: Some(None), ..WorkspaceUpdate::default() };
        assert_eq!(world.tenant.update_workspace(none).await.unwrap().commerce, None);
        assert_eq!(world.tenant.workspace().await.unwrap().settings, settings);
    }
}

#[tokio::test]
async fn a_deleted_workspace_leaves_no_row_anywhere() {
    for world in worlds().await {
        let other = workspace(&world.system, "other").await;
        let mut running = world.begin(RunKind::Sync).await;
        let failed = FailedItem {
            external_id: "bad".to_owned(),
            fault: tributary_core::contract::Fault::Unsupported,
            message: "no".to_owned(),
        };
        let drafts = (0..5).map(|n| draft(&format!("d{n}"), "text")).collect();
        let state = [("cursor".to_owned(), Some("1".to_owned()))].into();
        running.commit(Page { drafts, failed: vec![failed], state, ..Page::default() }).await;
        let asked = NewQuestion { thread_id: None, owner: "user:a".to_owned(), content: "?".to_owned(), now: at(1) };
        world.tenant.save_question(asked).await.unwrap();
        let new = NewUser {
            email: "a@b".to_owned(),
            name: String::new(),
            password_hash: "x".to_owned(),
            instance_admin: false,
            now: at(0),
        };
        let user = world.system.create_user(new).await.unwrap().id;
        world.tenant.set_member(user, Role::Owner, &Audience::everything(), at(1)).await.unwrap();
        let key = ApiKey {
            id: KeyId::new(),
            workspace_id: world.workspace.id,
            name: "k".to_owned(),
            last4: "abcd".to_owned(),
            scopes: vec![Scope::Chat],
            audience: Audience::everything(),
            limits: Default::default(),
            widget: None,
            sealed_identity_secret: None,
            created_by: "user:a".to_owned(),
            created_at: at(0),
            expires_at: None,
            replaces: None,
            revoked_at: None,
            last_used_at: None,
        };
        world.tenant.create_api_key(&key, Sha256Hash::of("k")).await.unwrap();
        let used = KeyUse { workspace_id: world.workspace.id, key_id: key.id, requests: 1, tokens: 0 };
        world.system.record_key_use(&[used], at(1)).await.unwrap();

        world.tenant.delete_workspace("user:a", at(2)).await.unwrap();
        assert!(matches!(world.tenant.delete_workspace("user:a", at(2)).await, Err(Error::NotFound("workspace"))));
        // Hidden at once, and whoever works in it commits nothing more.
        assert_eq!(world.system.workspaces_of(user).await.unwrap(), []);
        assert_eq!(world.system.find_api_key(Sha256Hash::of("k")).await.unwrap(), None);
        assert_eq!(world.system.find_workspace_by_slug("acme").await.unwrap(), None);
        let late = running.page(Page { drafts: vec![draft("late", "x")], ..Page::default() });
        assert!(matches!(world.tenant.commit_page(Some(&running.lease), late).await, Err(Error::LeaseLost)));
        let deletion = || async { world.system.workspace_deletion(world.workspace.id).await.unwrap().unwrap() };
        assert_eq!(deletion().await.finished_at, None);

        let lease = world.system.claim(&["delete_workspace"], "w", HOUR_MS, 10).await.unwrap().remove(0);
        assert_eq!(lease.work, Work::DeleteWorkspace);
        let mut slices = 0;
        while world.tenant.remove_documents(&lease, 2).await.unwrap() {
            slices += 1;
        }
        assert_eq!(slices, 3, "a few at a time");
        world.tenant.remove_workspace(&lease, at(3)).await.unwrap();
        assert_eq!(deletion().await.finished_at, Some(at(3)));
        assert_eq!(left_of(&world).await, [("workspace_deletion".to_owned(), 1)], "{}", world.name());
        assert!(world.system.tenant(other.id).workspace().await.is_ok(), "its neighbour stands");
    }
}

/// Tables that still have rows of the world's workspace.
async fn left_of(world: &World) -> Vec<(String, i64)> {
    let mut left = Vec::new();
    let url = &world.test.url;
    let id = world.workspace.id.0;
    if url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(url).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT t.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND c.name = 'workspace_id'",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        for table in tables {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE workspace_id = $1");
            let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(id).fetch_one(&mut connection).await.unwrap();
            left.push((table, rows));
        }
    } else {
        let mut connection = PgConnection::connect(url).await.unwrap();
        sqlx::query("SET tributary.system = 'on'").execute(&mut connection).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT table_name::text FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'workspace_id'",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        for table in tables {
            let sql = format!("SELECT COUNT(*) FROM {table} WHERE workspace_id = $1");
            let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(id).fetch_one(&mut connection).await.unwrap();
            left.push((table, rows));
        }
    }
    left.retain(|(_, rows)| *rows > 0);
    left
}
