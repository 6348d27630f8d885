//! The recipes for feeds: everything in one file, in three formats.

use std::sync::Arc;

use tributary_fakes::{Secret, feeds::Feeds};
use tributary_plugin_sdk::Value;

use crate::support::Source;

fn feed(format: &str, items: u64) -> (Arc<Feeds>, Source) {
    let feeds = Arc::new(Feeds::with_items(items));
    let path = format!("/products.{format}");
    let mut parameters = vec![("base_url", "https://feeds.example"), ("path", &*path)];
    match format {
        "json" => parameters.extend([("records", "/products"), ("price", "/price")]),
        "csv" => parameters.push(("price", "price")),
        _ => {}
    }
    let source = Source::recipe(feeds.clone(), Secret::Token(""), &format!("{format}-feed"), &parameters);
    (feeds, source)
}

fn id(format: &str, id: u64) -> String {
    format!("{}/{id}", if format == "csv" { "rows" } else { "items" })
}

#[test]
fn every_format_says_the_same() {
    for format in ["json", "csv", "xml"] {
        let (_, mut source) = feed(format, 30);
        source.sync();
        assert_eq!((source.counts(), source.synced.exhaustive), ((30, 0, 0), true), "{format}");
        let document = source.document(&id(format, 7));
        assert_eq!(document.title, "Item \"7\", <new> & old", "{format}");
        assert_eq!(document.provenance.url.as_deref(), Some("https://x.example/7"));
        assert!(document.fields.contains(&("price".into(), Value::Money(("19.90".into(), "EUR".into())))), "{format}");
        assert!(source.text(&id(format, 7)).starts_with("About 7."), "{format}");
    }
}

#[test]
fn an_unchanged_feed_is_not_sent_again_and_one_without_an_etag_is_not_read_again() {
    for format in ["json", "csv", "xml"] {
        let (feeds, mut source) = feed(format, 30);
        source.sync();
        feeds.take_full();
        source.sync();
        assert_eq!((source.counts(), feeds.take_full(), source.requests.len()), ((0, 1, 0), 0, 1), "{format}");
        feeds.without_etag();
        feeds.put(1, "Changed", "1.00");
        source.sync();
        assert_eq!(source.counts(), (1, 29, 0), "{format}");
        source.sync();
        assert_eq!((source.counts(), feeds.take_full()), ((0, 1, 0), 2), "{format}");
        assert_eq!((source.synced.documents.len(), source.synced.exhaustive), (30, true));
    }
}

#[test]
fn what_is_no_longer_in_a_feed_is_gone_whatever_the_size_of_pages() {
    for (format, max_items) in [("json", 1), ("csv", 2), ("xml", 7), ("json", 256)] {
        let (feeds, mut source) = feed(format, 20);
        source.limits.max_items = max_items;
        source.sync();
        assert_eq!(source.counts(), (20, 0, 0), "{format} {max_items}");
        feeds.delete(3);
        feeds.put(4, "Other", "2");
        feeds.put(21, "New", "3");
        source.sync();
        assert_eq!(source.counts(), (2, 18, 1), "{format} {max_items}");
    }
}

#[test]
fn a_configuration_that_changes_reads_a_feed_again() {
    let (_, mut source) = feed("json", 5);
    source.sync();
    source.config["collections"][0]["document"]["kind"] = "thing".into();
    source.sync();
    assert_eq!(source.counts(), (5, 0, 0));
}
