//! Whatever lies in the folder and however small the pages are, a run ends in the same documents.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;
use support::Source;

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "a-b", "a.b", "ä", "e\u{301}", "é", "z z", "B", "a!"]).prop_map(str::to_owned)
}

fn rows() -> impl Strategy<Value = Vec<u8>> {
    let field = select(vec!["1", "2", "3", "x", "\"q,\n\"", "", "é", "\"open", "1.5"]);
    let row = vec(field, 1..4).prop_map(|fields| fields.join(","));
    vec(row, 0..12).prop_map(|rows| format!("id,name,text\n{}", rows.join("\n")).into_bytes())
}

fn records() -> impl Strategy<Value = Vec<u8>> {
    let item = select(vec![
        "{\"id\":1}",
        "{\"id\":2,\"a\":[{}]}",
        "{\"name\":\"x\"}",
        "4",
        "{",
        "",
        "\"s\"",
        "{\"id\":\"]\"}",
    ]);
    vec(item, 0..10).prop_map(|items| format!("[{}]", items.join(",")).into_bytes())
}

fn file() -> impl Strategy<Value = (Vec<String>, Vec<u8>)> {
    let named = |extension: &'static str| {
        move |(folders, name, content): (Vec<String>, String, Vec<u8>)| {
            let mut path = folders;
            path.push(format!("{name}.{extension}"));
            (path, content)
        }
    };
    let folders = || vec(name(), 0..4);
    prop_oneof![
        (folders(), name(), vec(any::<u8>(), 0..40)).prop_map(named("md")),
        (folders(), name(), vec(any::<u8>(), 0..200)).prop_map(named("csv")),
        (folders(), name(), rows()).prop_map(named("csv")),
        (folders(), name(), records()).prop_map(named("json")),
        (folders(), name(), vec(any::<u8>(), 0..200)).prop_map(named("jsonl")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pages_of_any_size_give_what_one_page_gives(
        files in vec(file(), 0..14),
        max_items in 1_u32..12,
        max_bytes in 1_u64..3_000,
    ) {
        let mut whole = Source::new();
        let mut written = BTreeMap::new();
        for (path, content) in &files {
            whole.write(&path.join("/"), content);
            written.insert(path.join("/"), content);
        }
        whole.limits.max_items = 100_000;
        whole.limits.max_bytes = 1 << 30;
        whole.sync();
        let mut paged = Source::new();
        for (path, content) in &written {
            paged.write(path, content);
        }
        paged.limits.max_items = max_items;
        paged.limits.max_bytes = max_bytes;
        paged.sync();

        let plain = |source: &Source| {
            let mut documents = source.synced.documents.clone();
            for document in documents.values_mut() {
                document.provenance.modified_at = None;
                document.fingerprint = None;
            }
            documents
        };
        prop_assert_eq!(plain(&whole), plain(&paged));
        prop_assert_eq!(&whole.synced.failed, &paged.synced.failed);
        prop_assert_eq!(whole.synced.exhaustive, paged.synced.exhaustive);

        // And again, with nothing to do.
        let documents = paged.synced.documents.clone();
        paged.sync();
        prop_assert_eq!((paged.synced.written, paged.synced.deleted), (0, 0));
        prop_assert_eq!(documents, paged.synced.documents.clone());
    }

    #[test]
    fn any_bytes_in_any_format_with_any_pointer(
        bytes in vec(any::<u8>(), 0..400),
        extension in select(vec!["csv", "json", "jsonl", "tsv"]),
        records in select(vec!["", "/a", "/0", "/a/1/b"]),
    ) {
        let mut source = Source::new().with(json!({ "json": { "records": records } })).paged(3);
        source.write(&format!("f.{extension}"), bytes);
        source.sync();
    }
}
