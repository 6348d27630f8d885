//! The recipe for BigCommerce, with its windows of requests.

use std::sync::Arc;

use tributary_fakes::{
    Secret,
    bigcommerce::{BigCommerce, TOKEN},
};
use tributary_plugin_api::ApiConnector;
use tributary_plugin_sdk::{Next, PullRequest, Value, pull};

use crate::support::{NOW_MS, Source};

const LATER_S: i64 = 1_775_000_000;

fn store(products: u64) -> (Arc<BigCommerce>, Source) {
    let store = Arc::new(BigCommerce::with_products(products));
    let parameters = [("store_hash", "abc123"), ("store_url", "https://store.example"), ("currency", "USD")];
    let source = Source::recipe(store.clone(), Secret::Token(TOKEN), "bigcommerce", &parameters);
    (store, source)
}

#[test]
fn all_products_come_and_a_second_run_changes_nothing() {
    let (_, mut source) = store(220);
    source.sync();
    assert_eq!((source.counts(), source.synced.exhaustive), ((220, 0, 0), true));
    let document = source.document("products/7");
    assert_eq!(document.provenance.url.as_deref(), Some("https://store.example/product-7/"));
    assert!(document.fields.contains(&("skus".into(), Value::Texts(vec!["SKU-7-RED".into()]))));
    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted), (0, 0));
    assert_eq!(source.requests.len(), 1 + 3);
}

#[test]
fn a_price_that_is_a_number_keeps_every_digit() {
    let (store, mut source) = store(1);
    for price in ["19.90", "0.10", "12345678901234.5678"] {
        store.put(1, LATER_S, "Product", price);
        source.sync();
        let price = Value::Money((price.into(), "USD".into()));
        assert!(source.document("products/1").fields.contains(&("price".into(), price)));
    }
}

#[test]
fn a_change_a_deletion_and_a_hidden_product_are_found() {
    let (store, mut source) = store(220);
    source.sync();
    store.put(8, LATER_S, "Product 8, better", "20.00");
    store.delete(9);
    store.hide(10);
    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted), (1, 2));
    assert!(source.urls()[0].contains("date_modified%3Amin=2026-01-01T03%3A30%3A00Z"), "{}", source.urls()[0]);
}

#[test]
fn a_used_up_window_waits_before_it_is_refused_and_after() {
    for left in [0, 1] {
        let (store, source) = store(220);
        store.set_left(left);
        let mut request = PullRequest {
            config: source.config.to_string(),
            cursor: None,
            full: false,
            upper_bound: NOW_MS,
            max_items: 1_000,
            max_bytes: 8 << 20,
            deadline_ms: 60_000,
        };
        let page = pull::<ApiConnector>(&source.host, &request).unwrap();
        assert_eq!((page.next, page.changes.len()), (Next::WaitMs(7_250), 100 * left as usize));
        request.cursor = page.cursor;
        store.set_left(150);
        let page = pull::<ApiConnector>(&source.host, &request).unwrap();
        assert_eq!((page.next, page.changes.len()), (Next::CompleteExhaustive, 220 - 100 * left as usize));
    }
}
