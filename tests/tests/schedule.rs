//! Schedules with the real ticker.

use serde_json::json;
use tributary_tests::{databases, eventually, server::Options};

#[tokio::test(flavor = "multi_thread")]
async fn a_due_source_syncs_by_itself() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.md"), "# A\n\nText.").unwrap();
        let server = Options::default().root("shop", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let sources = format!("/api/v1/workspaces/{workspace}/sources");
        let source = json!({ "name": "Files", "connector": "file", "config": { "root": "shop" }, "schedule": { "cron": "* * * * * *", "timezone": "Asia/Kathmandu" } });
        let source = server.post(&sources, source).await.expect(201);
        assert!(source["next_run_at"].is_string(), "{name}: {source}");
        let source = format!("{sources}/{}", source["id"].as_str().unwrap());
        let run = eventually("a scheduled run", async || {
            let source = server.get(&source).await.ok();
            (source["last_run"]["status"] == "succeeded").then(|| source["last_run"].clone())
        })
        .await;
        assert_eq!(run["trigger"], "schedule", "{name}: {run}");
        assert_eq!(server.documents(&workspace).await.len(), 1, "{name}");

        let unscheduled = server.patch(&source, json!({ "schedule": null })).await.ok();
        assert_eq!((&unscheduled["schedule"], &unscheduled["next_run_at"]), (&json!(null), &json!(null)), "{name}");
    }
}
