//! Rows of CSV and JSON files as documents.
#![allow(clippy::unwrap_used)]

mod support;

use std::fmt::Write as _;

use serde_json::json;
use support::Source;
use tributary_plugin_sdk::Value;

fn money(amount: &str, currency: &str) -> Value {
    Value::Money((amount.into(), currency.into()))
}

#[test]
fn a_row_is_a_document_with_typed_fields_and_readable_text() {
    let mut source = Source::new().with(json!({ "kind": "product" }));
    source.write(
        "shop/products.csv",
        "sku,Name,Description,Price,Currency,Stock,Weight,EAN,Active,Url,Note\n\
         0042,\"Kettle, red\",\"Boils\nwater.\",19.90,EUR,7,1.25,0012345678905,true,https://s.example/k,\n",
    );
    assert!(source.sync().exhaustive);
    let id = "shop/products.csv#0042";
    let document = source.document(id);
    assert_eq!((document.title.as_str(), document.kind.as_str()), ("Kettle, red", "product"));
    assert_eq!(document.container.as_deref(), Some("shop/products.csv"));
    assert_eq!(document.provenance.url.as_deref(), Some("https://s.example/k"));
    assert_eq!(
        source.text(id),
        "Boils\nwater.\n\nsku: 0042\nPrice: 19.90\nCurrency: EUR\nStock: 7\nWeight: 1.25\nEAN: 0012345678905\nActive: true\n\
         Url: https://s.example/k"
    );
    let expected: [(&str, Value); 9] = [
        ("sku", "0042".into()),
        ("Name", "Kettle, red".into()),
        ("Price", money("19.90", "EUR")),
        ("Currency", "EUR".into()),
        ("Stock", 7.into()),
        ("Weight", 1.25.into()),
        ("EAN", "0012345678905".into()),
        ("Active", true.into()),
        ("Url", "https://s.example/k".into()),
    ];
    assert_eq!(document.fields, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn separators_marks_and_encodings_of_spreadsheets_are_understood() {
    for (name, content) in [
        ("excel.csv", b"\xef\xbb\xbfid;Name\r\n1;Gr\xc3\xb6\xc3\x9fe\r\n".as_slice()),
        ("latin.csv", b"id;Name\n1;Gr\xf6\xdfe\n"),
        ("tab.tsv", b"id\tName\n1\tGr\xc3\xb6\xc3\x9fe\n"),
        ("declared.csv", b"sep=|\r\nid|Name\r\n1|Gr\xc3\xb6\xc3\x9fe"),
        ("quoted.csv", b"\"id\",\"Name\"\n\n\"1\",\"Gr\xc3\xb6\xc3\x9fe\",,\n"),
    ] {
        let mut source = Source::new();
        source.write(name, content);
        source.sync();
        assert_eq!(source.failures(), [], "{name}");
        assert_eq!(source.document(&format!("{name}#1")).title, "Größe", "{name}");
    }
}

#[test]
fn bad_rows_are_named_and_the_others_are_read() {
    for max_items in [1, 2, 256] {
        let mut source = Source::new().paged(max_items);
        source.write(
            "p.csv",
            b"id,name,note\n1,one,\xc3\xa9\n2,two\n3,three,x,y\n,four,z\n5,five,\xff\n1,again,z\n7,seven,z\n"
                .as_slice(),
        );
        source.sync();
        assert_eq!(source.ids(), ["p.csv#1", "p.csv#7"]);
        assert_eq!(source.document("p.csv#1").title, "one");
        assert_eq!(
            source.failures(),
            [
                ("p.csv", "5 rows could not be read. Until that is repaired, no document of this file is deleted."),
                ("p.csv#2", "Row 3 has 2 fields, the header has 3; repair the row."),
                ("p.csv#3", "Row 4 has 4 fields, the header has 3; repair the row."),
                ("p.csv#5", "Row 6, column `note`: broken UTF-8; save the file as UTF-8."),
                ("p.csv#row=5", "Row 5 has no value in `id`, which is to name it; fill it in."),
                ("p.csv#row=7", "Row 7 repeats the id \"1\" of an earlier row, so it was left out; ids must differ."),
            ]
        );
        // Reported again until repaired, the good rows untouched.
        source.sync();
        assert_eq!((source.counts(), source.failures().len()), ((0, 2, 0), 6));
        source.write("p.csv", "id,name,note\n1,one,\u{e9}\n7,seven,z\n8,eight,z\n");
        source.sync();
        assert_eq!((source.counts(), source.failures().len()), ((1, 2, 0), 0));
        source.sync();
        assert_eq!(source.counts(), (0, 1, 0), "the file stands as a whole");
    }
}

#[test]
fn a_row_that_breaks_keeps_its_document_and_a_row_that_goes_is_deleted() {
    let mut source = Source::new();
    source.write("p.csv", "id,name\n1,one\n2,two\n3,three\n");
    source.sync();
    source.write("p.csv", "id,name\n1,one\n2\n");
    source.sync();
    assert_eq!(source.ids(), ["p.csv#1", "p.csv#2"]);
    // Whose row it was cannot be told: everything stays.
    source.write("p.csv", "id,name\n1,one\n,what\n");
    source.sync();
    assert_eq!(source.ids(), ["p.csv#1", "p.csv#2"]);
    source.write("p.csv", "id,name\n1,one\n");
    source.sync();
    assert_eq!((source.ids(), source.counts()), (vec!["p.csv#1"], (0, 1, 1)));
}

#[test]
fn a_file_that_is_no_table_says_why() {
    for (content, message) in [
        (
            [b"id,name\n1,\"open\n".to_vec(), b"2,x\n".repeat(300_000)].concat(),
            "Row 2 is longer than 1 MiB; a quote in it is probably never closed.",
        ),
        (b"\xff\xfei\0d\0".to_vec(), "p.csv is not CSV in UTF-8 or Windows-1252; save it as CSV in UTF-8."),
        (b"name\nx\n".to_vec(), "p.csv has no column `sku`, which is to name its rows; its columns are `name`."),
    ] {
        let settings =
            if content.starts_with(b"name") { json!({ "csv": { "id_columns": ["sku"] } }) } else { json!({}) };
        let mut source = Source::new().with(settings);
        source.write("p.csv", content);
        source.write("a.md", "a");
        source.sync();
        assert_eq!(source.failures(), [("p.csv", message)]);
        assert_eq!(source.ids(), ["a.md"]);
    }
}

#[test]
fn ids_and_titles_follow_the_settings() {
    let csv = json!({ "id_columns": ["Order No", "line"], "title_column": "article" });
    let mut source = Source::new().with(json!({ "csv": csv }));
    source.write("o.csv", "order_no,line,article\n7,1,Kettle\n7,2,Pot\n");
    source.sync();
    assert_eq!(source.ids(), ["o.csv#7|1", "o.csv#7|2"]);
    assert_eq!(source.document("o.csv#7|2").title, "Pot");

    let mut source = Source::new();
    source.write("faq.csv", "Question,Answer\nHow long?,Two days.\n");
    source.sync();
    assert_eq!(
        (source.document("faq.csv#row=2").title.as_str(), source.text("faq.csv#row=2")),
        ("How long?", "Two days.")
    );

    let mut source = Source::new().with(json!({ "csv": { "rows_as": "table" } }));
    source.write("t.csv", "a,b\n1,2\n");
    source.sync();
    assert_eq!(source.text("t.csv"), "text/csv\na,b\n1,2\n");
}

#[test]
fn json_records_are_found_wherever_they_are() {
    let settings = json!({ "records": "/data/1/items", "id": "/meta/key", "title": "/meta/label" });
    let mut source = Source::new().with(json!({ "json": settings }));
    source.write(
        "d.json",
        r#"{"a]":"}","data":[{"x":[1,[2]]},{"q":"\"","items" : [
            {"meta":{"key":"k/1","label":"First"},"body":"Text","tags":["a","b"],"price":{"amount":"5.00","currency":"EUR"}},
            {"meta":{"key":2,"label":"Second"},"dims":{"w":1,"h":[2,3]},"n":null,"f":0.5}
        ]}]}"#,
    );
    source.sync();
    assert_eq!(source.failures(), []);
    assert_eq!(source.ids(), ["d.json#2", "d.json#k/1"]);
    let first = source.document("d.json#k/1");
    assert_eq!((first.title.as_str(), source.text("d.json#k/1").lines().next().unwrap()), ("First", "Text"));
    assert_eq!(first.fields[1], ("tags".into(), Value::Texts(vec!["a".into(), "b".into()])));
    assert_eq!(first.fields[2], ("price".into(), money("5.00", "EUR")));
    assert_eq!(source.text("d.json#2"), "meta.key: 2\nmeta.label: Second\ndims.h: 2, 3\ndims.w: 1\nf: 0.5");
}

#[test]
fn arrays_lines_and_single_documents() {
    let mut source = Source::new();
    source.write("array.json", "\u{feff} [ {\"id\":1,\"name\":\"x\"} , {\"sku\":\"s\"}, 3, {\"id\": } ]");
    source.write("one.json", "{\"id\":1}");
    source.write("lines.jsonl", "{\"id\":\"a\"}\n\n{\"id\":\"b\"}\r\nnot json\n{\"id\":\"a\"}");
    source.sync();
    assert_eq!(source.ids(), ["array.json#1", "array.json#s", "lines.jsonl#a", "lines.jsonl#b", "one.json"]);
    assert_eq!(source.text("one.json"), "application/json\n{\"id\":1}");
    let failures = source.failures();
    assert_eq!(failures[0].1, "2 rows could not be read. Until that is repaired, no document of this file is deleted.");
    assert_eq!(failures[1].0, "array.json#row=3");
    assert!(failures[1].1.starts_with("Record 3 is not a valid JSON object: invalid type: integer"), "{failures:?}");
    assert_eq!(failures[4].0, "lines.jsonl#row=4");
    assert_eq!(failures[5].1, "Row 5 repeats the id \"a\" of an earlier row, so it was left out; ids must differ.");
}

#[test]
fn broken_json_says_where() {
    for (content, message) in [
        ("[{\"id\":1},", "It is not valid JSON at byte 10; repair the file."),
        ("[{\"id\":1},,{\"id\":2}]", "It is not valid JSON at byte 10; repair the file."),
        ("[{\"id\":1", "It is not valid JSON at byte 8; repair the file."),
    ] {
        let mut source = Source::new();
        source.write("a.json", content);
        source.sync();
        assert_eq!(source.failures(), [("a.json", message)], "{content}");
    }
    let mut source = Source::new().with(json!({ "json": { "records": "/items" } }));
    source.write("a.json", "{\"products\":[]}");
    source.sync();
    assert_eq!(source.failures(), [("a.json", "There is no array of records at `/items`; correct `json.records`.")]);
}

#[test]
fn a_file_that_changes_between_two_pages_is_started_over() {
    let rows = |from: usize| {
        (from..from + 30).fold("id,name\n".to_owned(), |mut csv, n| {
            writeln!(csv, "{n},row {n}").unwrap();
            csv
        })
    };
    let source = Source::new().paged(10);
    source.write("p.csv", rows(0));
    let pull = |source: &Source, cursor: Option<String>| {
        let request = tributary_plugin_sdk::PullRequest {
            config: source.config.to_string(),
            cursor,
            full: false,
            upper_bound: 0,
            max_items: 10,
            max_bytes: 1 << 20,
            deadline_ms: 1_000,
        };
        tributary_plugin_sdk::pull::<tributary_plugin_file::FileConnector>(&source.host, &request).unwrap()
    };
    let first = |page: &tributary_plugin_sdk::Page| match &page.changes[0] {
        tributary_plugin_sdk::Change::Upsert(document) => document.external_id.clone(),
        other => format!("{other:?}"),
    };
    let mut page = pull(&source, None);
    assert_eq!(first(&page), "p.csv#0");
    page = pull(&source, page.cursor);
    assert_eq!(first(&page), "p.csv#10");
    source.write("p.csv", rows(100));
    page = pull(&source, page.cursor);
    assert_eq!(first(&page), "p.csv#100");
    // A file that never rests is left alone in the end.
    for n in 2..4 {
        source.write("p.csv", rows(n * 100));
        page = pull(&source, page.cursor);
    }
    assert!(first(&page).contains("It changed again and again"), "{}", first(&page));
}

#[test]
fn a_big_file_is_read_a_slice_at_a_time() {
    let mut csv = "sku,name,description\n".to_owned();
    for n in 0..4_000 {
        writeln!(csv, "S-{n},Thing {n},\"{}\"", "words ".repeat(20)).unwrap();
    }
    csv.push_str("S-3,again,x\n");
    let mut source = Source::new().paged(400);
    source.write("big.csv", &csv);
    source.sync();
    assert_eq!((source.ids().len(), source.synced.pages, source.failures().len()), (4_000, 11, 1));
    source.write("big.csv", csv.replace("Thing 500,", "Thing 500 improved,"));
    source.sync();
    assert_eq!(source.counts(), (1, 3_999, 0));
}
