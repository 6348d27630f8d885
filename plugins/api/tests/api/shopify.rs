//! The recipe for Shopify, throttling included.

use std::sync::Arc;

use tributary_fakes::{
    Secret,
    shopify::{Shopify, TOKEN},
};
use tributary_plugin_api::ApiConnector;
use tributary_plugin_sdk::{Next, PullRequest, Value, pull};

use crate::support::{NOW_MS, Source};

const LATER_S: i64 = 1_775_000_000;

fn shop(products: u64) -> (Arc<Shopify>, Source) {
    let shop = Arc::new(Shopify::with_products(products));
    let source = Source::recipe(shop.clone(), Secret::Token(TOKEN), "shopify", &[("shop", "example.myshopify.com")]);
    (shop, source)
}

#[test]
fn all_products_come_and_a_second_run_changes_nothing() {
    let (_, mut source) = shop(120);
    source.sync();
    assert_eq!((source.counts(), source.synced.exhaustive), ((120, 0, 0), true));
    let document = source.document("products/7");
    assert_eq!(document.title, "Product 7");
    assert!(document.fields.contains(&("price".into(), Value::Money(("119.90".into(), "CAD".into())))));
    assert!(document.fields.contains(&("skus".into(), Value::Texts(vec!["J-7-S".into(), "J-7-L".into()]))));
    assert!(source.text("products/7").starts_with("Product 7> Keeps you warm."), "{}", source.text("products/7"));

    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted, source.synced.exhaustive), (0, 0, true));
    assert_eq!(source.requests.len(), 2);
}

#[test]
fn a_change_a_deletion_and_an_archived_product_are_found() {
    let (shop, mut source) = shop(120);
    source.sync();
    shop.put(8, LATER_S, "Product 8, better");
    shop.delete(9);
    shop.archive(10, LATER_S);
    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted), (1, 2));
    assert_eq!(source.document("products/8").title, "Product 8, better");
    let body = String::from_utf8(source.requests[0].body.clone().unwrap()).unwrap();
    assert!(body.contains("updated_at:>='2026-01-01T01:50:00Z'"), "{body}");
}

#[test]
fn throttling_inside_of_a_200_waits_as_long_as_the_points_need() {
    let (shop, mut source) = shop(120);
    source.sync();
    shop.set_available(102.0);
    let request = PullRequest {
        config: source.config.to_string(),
        cursor: None,
        full: false,
        upper_bound: NOW_MS,
        max_items: 256,
        max_bytes: 8 << 20,
        deadline_ms: 60_000,
    };
    let page = pull::<ApiConnector>(&source.host, &request).unwrap();
    // 2 + 50 × 12 points are asked for, 102 are there, 100 come back in a second.
    assert_eq!((page.next, page.changes.len()), (Next::WaitMs(5_000), 0));
    shop.set_available(2_000.0);
    let again = PullRequest { cursor: page.cursor, ..request };
    assert!(!pull::<ApiConnector>(&source.host, &again).unwrap().changes.is_empty());
}

#[test]
fn an_empty_page_in_the_middle_is_not_the_end() {
    let (shop, mut source) = shop(120);
    shop.empty_page_in_the_middle();
    source.sync();
    assert_eq!(source.synced.documents.len(), 120);
}

#[test]
fn a_wrong_token_is_said_to_be_wrong() {
    let shop = Arc::new(Shopify::with_products(1));
    let mut source = Source::recipe(shop, Secret::Token("other"), "shopify", &[("shop", "example.myshopify.com")]);
    let failure = source.failure();
    assert_eq!((failure.http_status, failure.config_pointer.as_deref()), (Some(401), Some("/auth/credential")));
}
