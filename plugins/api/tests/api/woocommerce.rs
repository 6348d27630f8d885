//! The recipe for WooCommerce over a shop with its traps.

use std::sync::Arc;

use tributary_fakes::{
    Answer, Secret,
    woocommerce::{KEY, WooCommerce},
};
use tributary_plugin_sdk::{CheckStatus, Fault, Value};

use crate::support::Source;

fn shop(products: u64) -> (Arc<WooCommerce>, Source) {
    let shop = Arc::new(WooCommerce::with_products(products));
    let secret = Secret::Basic(KEY.0, KEY.1);
    let source = Source::recipe(shop.clone(), secret, "woocommerce", &[("shop", "shop.example"), ("currency", "EUR")]);
    (shop, source)
}

const LATER_S: i64 = 1_775_000_000;

#[test]
fn all_products_and_variations_come_and_a_second_run_changes_nothing() {
    let (_, mut source) = shop(250);
    source.sync();
    assert_eq!(source.counts(), (250 + 100, 0, 0));
    assert!(source.synced.exhaustive);
    let document = source.document("products/7");
    assert_eq!((document.title.as_str(), document.kind.as_str()), ("Product 7", "product"));
    assert_eq!(document.provenance.url.as_deref(), Some("https://shop.example/product/7/"));
    assert!(document.fields.contains(&("price".into(), Value::Money(("19.90".into(), "EUR".into())))));
    assert!(!document.fields.iter().any(|(name, _)| name == "sale_price"));
    let text = source.text("products/7");
    assert!(text.contains("All about **Product 7** & its uses.\n\n- Warm\n- Light"), "{text}");
    assert!(text.contains("price: 19.90 EUR"), "{text}");
    assert_eq!(source.document("variations/5/5001").title, "Product 5: Small");

    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted, source.synced.exhaustive), (0, 0, true));
    // One for what changed in the last ten minutes, with the variations of two of them, and one for each page of ids.
    assert_eq!(source.requests.len(), 1 + 2 + 3, "{:#?}", source.urls());
}

#[test]
fn a_change_is_found_without_reading_everything() {
    let (shop, mut source) = shop(250);
    source.sync();
    shop.put(8, LATER_S, "Product 8, better", "24.00");
    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted), (1, 0));
    assert_eq!(source.document("products/8").title, "Product 8, better");
    assert!(source.urls()[0].contains("modified_after=2026-01-01T04"), "{}", source.urls()[0]);
    assert!(source.urls()[0].contains("dates_are_gmt=true"));
}

#[test]
fn a_new_variation_is_read_at_the_latest_by_the_run_after() {
    let (shop, mut source) = shop(20);
    source.sync();
    shop.put_variation(10, 10_003, LATER_S, "Huge");
    source.sync();
    source.sync();
    assert!(source.ids().contains(&"variations/10/10003"), "{:?}", source.ids());
}

#[test]
fn deleted_unpublished_and_trashed_products_go() {
    let (shop, mut source) = shop(30);
    source.sync();
    shop.delete(3);
    shop.set_status(4, "draft");
    shop.set_status(5, "trash");
    shop.delete(10_002);
    source.sync();
    assert_eq!(source.synced.deleted, 3 + 2 + 1);
    for gone in ["products/3", "products/4", "products/5", "variations/5/5001", "variations/10/10002"] {
        assert!(!source.ids().contains(&gone), "{gone}");
    }
    assert!(source.ids().contains(&"variations/10/10001"));
}

#[test]
fn sales_alone_make_no_new_version() {
    let (shop, mut source) = shop(3);
    source.sync();
    shop.put(2, LATER_S, "Product 2", "19.90");
    shop.set(2, "total_sales", 400.into());
    source.sync();
    assert_eq!(source.synced.written, 0);
}

#[test]
fn small_pages_give_the_same() {
    for max_items in [1, 2, 3, 7] {
        let (shop, mut source) = shop(23);
        source.limits.max_items = max_items;
        source.sync();
        assert_eq!(source.counts(), (23 + 8, 0, 0), "{max_items}");
        shop.delete(10_001);
        shop.delete(1);
        source.sync();
        assert_eq!((source.synced.written, source.synced.deleted), (0, 2), "{max_items}");
    }
}

#[test]
fn a_failure_in_the_middle_deletes_nothing_and_the_next_run_catches_up() {
    let (shop, mut source) = shop(150);
    source.sync();
    shop.put(9, LATER_S, "Product 9, new", "1.00");
    shop.fail_next(Answer::status(500));
    assert_eq!(source.failure().fault, Fault::Transient);
    assert_eq!(source.synced.documents.len(), 150 + 60);
    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted), (1, 0));
}

#[test]
fn a_check_says_what_is_wrong_with_the_credential() {
    let (_, source) = shop(5);
    assert!(source.check().iter().all(|item| item.status != CheckStatus::Failed), "{:#?}", source.check());
    let shop = Arc::new(WooCommerce::with_products(5));
    let wrong = Secret::Basic("ck_reader", "cs_wrong");
    let source = Source::recipe(shop, wrong, "woocommerce", &[("shop", "shop.example"), ("currency", "EUR")]);
    let items = source.check();
    let failed = items.iter().find(|item| item.name == "the credential is accepted").unwrap();
    assert_eq!((failed.status, failed.config_pointer.as_deref()), (CheckStatus::Failed, Some("/auth/credential")));
    assert!(failed.message.as_ref().unwrap().contains("Consumer key is invalid"), "{failed:?}");
}
