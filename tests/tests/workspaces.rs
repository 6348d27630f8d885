//! Workspaces as their people see them: settings, the shop, put aside, deleted.

use reqwest::Method;
use serde_json::json;
use tributary_tests::{
    Server, databases, eventually,
    server::{Answer, Options, text},
};

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_the_shop_are_kept_checked_and_used() {
    for database in databases().await {
        let server = Server::start(database).await;
        let path = format!("/api/v1/workspaces/{}", server.workspace("Shop").await);
        let fresh = server.get(&path).await.ok();
        assert_eq!((&fresh["settings"]["answer_mode"], &fresh["commerce"]), (&json!("auto"), &json!(null)));
        let shop = json!({ "platform": "woocommerce", "store_url": "https://shop.example", "currency": "EUR", "locale": "de-AT",
            "order_lookup_url": "https://shop.example/orders/{order}" });
        let patch = json!({ "settings": { "refusal_text": "Ask our support, please.", "top_k": 3 }, "commerce": shop });
        let kept = server.patch(&path, patch).await.ok();
        assert_eq!((&kept["commerce"]["currency"], &kept["name"]), (&json!("EUR"), &json!("Shop")));
        let ask = json!({ "workspace_id": fresh["id"], "message": "What is the airspeed of a swallow?" });
        assert_eq!(server.post("/api/v1/chat", ask).await.ok()["answer"], "Ask our support, please.");
        assert_eq!(server.patch(&path, json!({ "commerce": null })).await.ok()["commerce"], json!(null));

        for (wrong, pointer) in [
            (json!({ "name": " " }), "/name"),
            (json!({ "settings": { "top_k": 0 } }), "/settings/top_k"),
            (json!({ "settings": { "language": "deutsch!" } }), "/settings/language"),
            (json!({ "settings": { "system_prompt": "x".repeat(8_001) } }), "/settings/system_prompt"),
            (json!({ "settings": { "answer_mode": "guess" } }), "/settings/answer_mode"),
            (
                json!({ "commerce": { "platform": "shopify", "store_url": "http://shop.example" } }),
                "/commerce/store_url",
            ),
            (json!({ "commerce": { "platform": "ebay", "store_url": "https://shop.example" } }), "/commerce/platform"),
            (
                json!({ "commerce": { "platform": "custom", "store_url": "https://s.example", "currency": "euro" } }),
                "/commerce/currency",
            ),
            (
                json!({ "commerce": { "platform": "custom", "store_url": "https://s.example", "order_lookup_url": "https://s.example/" } }),
                "/commerce/order_lookup_url",
            ),
            (
                json!({ "commerce": { "platform": "custom", "store_url": "https://s.example", "catalog_source_id": "01890000-0000-7000-8000-000000000000" } }),
                "/commerce/catalog_source_id",
            ),
        ] {
            let problem = server.patch(&path, wrong).await.problem(422, "invalid_body");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archived_workspace_can_be_read_until_it_is_restored() {
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let path = format!("/api/v1/workspaces/{workspace}");
        let push = json!({ "documents": [{ "external_id": "a", "title": "A", "content": "Kettles boil water." }] });
        let pushed = server.post(&format!("{path}/documents"), push.clone()).await.ok();
        assert!(server.post(&format!("{path}/archive"), json!({})).await.ok()["archived_at"].is_string());
        server.post(&format!("{path}/documents"), push.clone()).await.problem(409, "workspace_archived");
        let ask = json!({ "workspace_id": workspace, "message": "Do kettles boil?" });
        server.post("/api/v1/chat", ask.clone()).await.problem(409, "workspace_archived");
        let query = json!({ "workspace_id": workspace, "query": "kettles", "min_position": pushed["position"] });
        assert_eq!(server.post("/api/v1/knowledge/query", query).await.ok()["results"].as_array().unwrap().len(), 1);
        assert_eq!(server.post(&format!("{path}/restore"), json!({})).await.ok()["archived_at"], json!(null));
        server.post("/api/v1/chat", ask).await.ok();
        server.post(&format!("{path}/documents"), push).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workspace_is_gone_at_once_and_then_for_good() {
    for database in databases().await {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.md"), "Kettles boil water.").unwrap();
        let root = format!("library={}", folder.path().display());
        let server = Options::default().arg("--root").arg(root).start(database).await;
        let workspace = server.workspace("Shop").await;
        let path = format!("/api/v1/workspaces/{workspace}");
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        assert_eq!(server.sync(&source).await["status"], "succeeded");
        let query = json!({ "workspace_id": workspace, "query": "kettles" });
        let key = json!({ "name": "k", "scopes": ["knowledge:read"] });
        let key = text(&server.post(&format!("{path}/keys"), key).await.expect(201)["key"]);
        let with_key = || server.anonymous(Method::POST, "/api/v1/knowledge/query").json(&query).bearer_auth(&key);
        eventually("the document to be found", async || {
            let found = Answer::of(with_key()).await.ok();
            (found["results"].as_array().unwrap().len() == 1).then_some(())
        })
        .await;

        let deletion = Answer::of(server.request(Method::DELETE, &path)).await.expect(202);
        assert_eq!(deletion["finished_at"], json!(null));
        server.get(&path).await.problem(404, "not_found");
        server.get(&source).await.problem(404, "not_found");
        server.post("/api/v1/knowledge/query", query.clone()).await.problem(404, "not_found");
        Answer::of(with_key()).await.problem(401, "invalid_key");
        let status = format!("/api/v1/workspace-deletions/{workspace}");
        eventually("nothing to be left", async || {
            let deletion = server.get(&status).await.ok();
            deletion["finished_at"].is_string().then_some(())
        })
        .await;
        server.get("/api/v1/workspace-deletions/01890000-0000-7000-8000-000000000000").await.problem(404, "not_found");
    }
}
