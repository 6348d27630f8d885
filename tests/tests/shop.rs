//! A shop's products come through the api connector of the real server, from a recipe to a cited answer.

use std::{process::Command, sync::Arc};

use reqwest::Method;
use serde_json::{Value, json};
use tributary_fakes::{
    Served, serve,
    woocommerce::{KEY, WooCommerce},
};
use tributary_tests::{
    Database, Server, databases,
    server::{Answer, Options, binary, text},
};

const LATER_S: i64 = 1_775_000_000;

/// `tributary recipe …`: whether it went well, and what it printed.
fn recipe(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(binary()).arg("recipe").args(arguments).output().expect("the command runs");
    let printed = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

/// What an operator gets from the recipe, but for a shop on this machine, without TLS.
fn config(shop: &Served) -> Value {
    let shop_is = format!("shop={}", shop.url.trim_start_matches("http://"));
    let (done, printed) = recipe(&["show", "woocommerce", "--set", &shop_is, "--set", "currency=EUR"]);
    assert!(done, "{printed}");
    let mut config: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}"));
    config["base_url"] = format!("{}/wp-json/wc/v3", shop.url).into();
    config
}

/// A server that may dial this machine, with a workspace.
async fn start(database: Database) -> (Server, String) {
    let server = Options::default().arg("--egress-network").arg("127.0.0.0/8").start(database).await;
    let workspace = server.workspace("Shop").await;
    (server, workspace)
}

async fn credential(server: &Server, workspace: &str, password: &str) {
    let credentials = format!("/api/v1/workspaces/{workspace}/credentials");
    let value = json!({ "user": KEY.0, "password": password });
    let body = json!({ "name": "woocommerce", "kind": "basic", "value": value });
    let present = server.get(&credentials).await.ok();
    match present["items"].as_array().expect("items").first() {
        None => server.post(&credentials, body).await.expect(201),
        Some(present) => {
            let path = format!("{credentials}/{}", text(&present["id"]));
            let put = server.request(Method::PUT, &path);
            Answer::of(put.json(&json!({ "kind": "basic", "value": value }))).await.ok()
        }
    };
}

async fn source(server: &Server, workspace: &str, config: Value) -> String {
    let sources = format!("/api/v1/workspaces/{workspace}/sources");
    let body = json!({ "name": "Products", "connector": "api", "config": config });
    format!("{sources}/{}", text(&server.post(&sources, body).await.expect(201)["id"]))
}

#[tokio::test]
async fn products_of_a_shop_are_synced_cited_changed_and_deleted() {
    for database in databases().await {
        let name = database.name();
        let shop = Arc::new(WooCommerce::with_products(120));
        let served = serve(shop.clone()).await;
        let (server, workspace) = start(database).await;
        credential(&server, &workspace, KEY.1).await;
        let source = source(&server, &workspace, config(&served)).await;

        let run = server.sync(&source).await;
        assert_eq!(run["status"], "succeeded", "{name}: {run}");
        assert_eq!(run["counts"]["added"], 120 + 24 * 2, "{name}: {run}");

        let ask = json!({ "workspace_id": workspace, "message": "Which product has the SKU-77?" });
        let answer = server.post("/api/v1/chat", ask).await.ok();
        let cited = answer["citations"].as_array().expect("citations");
        assert!(
            cited.iter().any(|one| one["url"] == "https://shop.example/product/77/" && one["connector"]["id"] == "api"),
            "{name}: {answer}"
        );

        shop.put(7, LATER_S, "Product 7, with a hood", "24.00");
        shop.delete(8);
        let run = server.sync(&source).await;
        let counts = &run["counts"];
        assert_eq!(
            (&counts["added"], &counts["updated"], &counts["deleted"]),
            (&json!(0), &json!(1), &json!(1)),
            "{name}: {run}"
        );
        let documents = server.documents(&workspace).await;
        assert!(documents.iter().any(|one| one["title"] == "Product 7, with a hood"), "{name}");
        assert!(!documents.iter().any(|one| one["external_id"] == "products/8"), "{name}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_found_by_the_check_and_put_right() {
    for database in databases().await.into_iter().take(1) {
        let shop = Arc::new(WooCommerce::with_products(3));
        let served = serve(shop).await;
        let (server, workspace) = start(database).await;
        credential(&server, &workspace, "cs_wrong").await;
        let source = source(&server, &workspace, config(&served)).await;

        let items = server.post(&format!("{source}/check"), json!({})).await.ok();
        let failed = items["items"].as_array().expect("items").iter().find(|item| item["status"] == "failed");
        let failed = failed.unwrap_or_else(|| panic!("{items}"));
        assert!(text(&failed["message"]).contains("woocommerce"), "it names the credential: {failed}");

        let run = server.sync(&source).await;
        assert_eq!(run["status"], "failed", "{run}");
        assert!(!run.to_string().contains("cs_wrong"), "{run}");

        credential(&server, &workspace, KEY.1).await;
        assert_eq!(server.sync(&source).await["counts"]["added"], 3);
    }
}

#[tokio::test]
async fn an_address_inside_is_not_asked_unless_the_operator_says_so() {
    for database in databases().await.into_iter().take(1) {
        let shop = Arc::new(WooCommerce::with_products(3));
        let served = serve(shop).await;
        let server = Options::default().start(database).await;
        let workspace = server.workspace("Shop").await;
        credential(&server, &workspace, KEY.1).await;
        let source = source(&server, &workspace, config(&served)).await;
        let run = server.sync(&source).await;
        assert_eq!(run["status"], "failed", "{run}");
        assert!(run["error"].to_string().contains("--egress-network"), "{run}");
        assert!(server.documents(&workspace).await.is_empty());
    }
}

#[test]
fn recipes_are_listed_and_say_what_they_need() {
    let (done, list) = recipe(&["list"]);
    assert!(done && list.contains("woocommerce") && list.contains("shopify"), "{list}");
    let (done, needs) = recipe(&["show", "woocommerce"]);
    assert!(done && needs.contains("--set shop=shop.example.com --set currency=EUR"), "{needs}");
    let (done, refused) = recipe(&["show", "woocommerce", "--set", "shop=a.example"]);
    assert!(!done && refused.contains("needs `currency`"), "{refused}");
    let (done, refused) = recipe(&["show", "magento"]);
    assert!(!done && refused.contains("There is no recipe `magento`"), "{refused}");
}
