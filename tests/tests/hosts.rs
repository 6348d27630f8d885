//! Several hosts on one database, with Redis and without.

use serde_json::json;
use tributary_tests::{
    Database, Server, databases,
    server::{Options, redis, text},
};

async fn push(server: &Server, workspace: &str) -> serde_json::Value {
    let documents = json!({ "documents": [{ "external_id": "boot", "title": "Winter boot", "content": "The winter boot WX-1017 is warm." }] });
    server.post(&format!("/api/v1/workspaces/{workspace}/documents"), documents).await.ok()["position"].clone()
}

async fn best(server: &Server, workspace: &str, position: serde_json::Value) -> String {
    let query = json!({ "workspace_id": workspace, "query": "WX-1017", "min_position": position });
    text(&server.post("/api/v1/knowledge/query", query).await.ok()["results"][0]["external_id"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_host_commits_another_finds() {
    let Some(redis) = redis() else { return };
    for database in databases().await {
        let name = database.name();
        let with_redis = || Options::default().arg("--redis-url").arg(redis.clone());
        let first = with_redis().start(database).await;
        let second = with_redis().beside(&first).start(Database::Sqlite).await;
        let workspace = first.workspace("Shop").await;
        let position = push(&first, &workspace).await;
        assert_eq!(best(&second, &workspace, position).await, "boot", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_serves_without_the_redis_it_was_given() {
    // Nothing listens on port 1.
    let server = Options::default().arg("--redis-url").arg("redis://127.0.0.1:1").start(Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    let position = push(&server, &workspace).await;
    assert_eq!(best(&server, &workspace, position).await, "boot");
}
