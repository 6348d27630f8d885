//! Indexes of workspaces: what is applied is found, by words, identifiers and filters; what is gone is not; a killed or damaged
//! index starts again; and the ranking depends on nothing but the documents.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tributary_core::{
    DocumentId, SourceId, WorkspaceId,
    contract::Section,
    document::{IndexedDocument, LiveDocument},
    query::{FieldFilter, FieldOp, Filters, Hit},
};
use tributary_search::{IndexOptions, Indexes, SearchRequest, chunk::chunk};
use uuid::Uuid;

const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));

fn document(number: u128, title: &str, body: &str, fields: Json) -> IndexedDocument {
    let sections = [Section { heading: Vec::new(), text: body.to_owned(), at: None }];
    IndexedDocument {
        id: DocumentId(Uuid::from_u128(number)),
        change_seq: number as i64,
        live: Some(LiveDocument {
            source_id: SourceId(Uuid::from_u128(number % 2)),
            external_id: format!("d{number:04}"),
            version: 1,
            title: title.to_owned(),
            kind: if number.is_multiple_of(2) { "page" } else { "product" }.to_owned(),
            language: None,
            fields: serde_json::from_value(fields).unwrap(),
            updated_at: chrono::DateTime::from_timestamp(number as i64, 0).unwrap(),
            chunks: chunk(&sections),
        }),
    }
}

fn gone(number: u128) -> IndexedDocument {
    IndexedDocument { id: DocumentId(Uuid::from_u128(number)), change_seq: number as i64, live: None }
}

struct Index {
    dir: tempfile::TempDir,
    indexes: Indexes,
    position: i64,
}

impl Index {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let indexes = Indexes::open(dir.path(), IndexOptions::default()).unwrap();
        Self { dir, indexes, position: 0 }
    }

    fn with(documents: &[IndexedDocument]) -> Self {
        let mut index = Self::new();
        index.apply(documents);
        index
    }

    fn apply(&mut self, documents: &[IndexedDocument]) {
        self.position = self.indexes.apply(WORKSPACE, documents, self.position, self.position + 1).unwrap();
    }

    fn hits(&self, query: &str, filters: Filters) -> Vec<Hit> {
        let request = SearchRequest { filters, ..SearchRequest::new(query, 10) };
        self.indexes.search(WORKSPACE, &request).unwrap().hits
    }

    fn found(&self, query: &str) -> Vec<u128> {
        self.hits(query, Filters::default()).iter().map(|hit| hit.document_id.0.as_u128()).collect()
    }

    fn found_where(&self, query: &str, name: &str, op: FieldOp, value: Json) -> Vec<u128> {
        let fields = vec![FieldFilter { name: name.to_owned(), op, value }];
        let filters = Filters { fields, ..Filters::default() };
        let mut found: Vec<u128> = self.hits(query, filters).iter().map(|hit| hit.document_id.0.as_u128()).collect();
        found.sort_unstable();
        found
    }
}

#[test]
fn a_newer_version_replaces_the_older_and_a_deletion_removes_it() {
    let mut index = Index::with(&[document(1, "Lamp", "It glows green.", json!({}))]);
    assert_eq!(index.found("green lamp"), [1]);
    index.apply(&[document(1, "Lamp", "It glows red.", json!({}))]);
    assert_eq!(index.found("green"), Vec::<u128>::new());
    assert_eq!(index.found("red"), [1]);
    index.apply(&[gone(1)]);
    assert_eq!(index.found("lamp"), Vec::<u128>::new());
}

#[test]
fn the_position_is_committed_with_the_documents_and_survives_a_restart() {
    let mut index = Index::with(&[document(1, "Lamp", "", json!({}))]);
    index.apply(&[]);
    let Index { dir, indexes, position } = index;
    drop(indexes);
    let indexes = Indexes::open(dir.path(), IndexOptions::default()).unwrap();
    assert_eq!((indexes.applied(WORKSPACE).unwrap(), position), (2, 2));
    let result = indexes.search(WORKSPACE, &SearchRequest::new("lamp", 10)).unwrap();
    assert_eq!((result.hits.len(), result.position), (1, 2));
    // A feed that was read from another position changes nothing and learns where the index stands.
    assert_eq!(indexes.apply(WORKSPACE, &[gone(1)], 1, 3).unwrap(), 2);
    assert_eq!(indexes.search(WORKSPACE, &SearchRequest::new("lamp", 10)).unwrap().hits.len(), 1);
}

#[test]
fn a_damaged_index_is_dropped_and_fed_again() {
    let index = Index::with(&[document(1, "Lamp", "It glows.", json!({}))]);
    let Index { dir, indexes, .. } = index;
    drop(indexes);
    let files = std::fs::read_dir(dir.path().join(WORKSPACE.to_string())).unwrap();
    let postings =
        files.map(|file| file.unwrap().path()).find(|path| path.extension().is_some_and(|e| e == "idx")).unwrap();
    let mut bytes = std::fs::read(&postings).unwrap();
    bytes[0] ^= 0xFF;
    std::fs::write(&postings, bytes).unwrap();

    let indexes = Indexes::open(dir.path(), IndexOptions::default()).unwrap();
    assert!(matches!(
        indexes.search(WORKSPACE, &SearchRequest::new("lamp", 10)),
        Err(tributary_search::Error::Damaged)
    ));
    assert_eq!(indexes.applied(WORKSPACE).unwrap(), 0);
    // A feed that goes on from where the lost index stood is sent back to the beginning.
    assert_eq!(indexes.apply(WORKSPACE, &[], 1, 2).unwrap(), 0);
    assert_eq!(indexes.apply(WORKSPACE, &[document(1, "Lamp", "", json!({}))], 0, 2).unwrap(), 2);
    assert_eq!(indexes.search(WORKSPACE, &SearchRequest::new("lamp", 10)).unwrap().hits.len(), 1);
}

#[test]
fn workspaces_are_apart_and_a_removed_one_is_empty() {
    let index = Index::with(&[document(1, "Lamp", "", json!({}))]);
    let other = WorkspaceId(Uuid::from_u128(2));
    assert!(index.indexes.search(other, &SearchRequest::new("lamp", 10)).unwrap().hits.is_empty());
    index.indexes.remove(WORKSPACE).unwrap();
    assert_eq!(index.found("lamp"), Vec::<u128>::new());
    assert_eq!(index.indexes.applied(WORKSPACE).unwrap(), 0);
}

#[test]
fn more_workspaces_than_open_indexes_are_all_served() {
    let dir = tempfile::tempdir().unwrap();
    let options = IndexOptions { max_open_readers: 2, ..IndexOptions::default() };
    let indexes = Indexes::open(dir.path(), options).unwrap();
    let workspaces: Vec<_> = (1..6).map(|n| WorkspaceId(Uuid::from_u128(n))).collect();
    for workspace in &workspaces {
        indexes.apply(*workspace, &[document(1, "Lamp", "", json!({}))], 0, 1).unwrap();
    }
    for workspace in workspaces.iter().chain(&workspaces) {
        assert_eq!(indexes.search(*workspace, &SearchRequest::new("lamp", 10)).unwrap().hits.len(), 1);
    }
}

#[tokio::test]
async fn waiting_ends_when_the_position_is_applied_or_the_time_is_over() {
    let index = Index::new();
    assert!(!index.indexes.wait_for(WORKSPACE, 1, Duration::from_millis(10)).await);
    let indexes = index.indexes.clone();
    let applying = tokio::task::spawn_blocking(move || indexes.apply(WORKSPACE, &[], 0, 1).unwrap());
    assert!(index.indexes.wait_for(WORKSPACE, 1, Duration::from_secs(20)).await);
    applying.await.unwrap();
}

#[test]
fn filters_hold_for_text_numbers_money_flags_moments_and_lists() {
    let index = Index::with(&[
        document(1, "Lamp", "", json!({"price": {"amount": "19.90", "currency": "EUR"}, "color": "red", "sale": true})),
        document(
            2,
            "Lamp",
            "",
            json!({"price": {"amount": "100", "currency": "EUR"}, "color": "blue", "tags": ["new", "led"]}),
        ),
        document(3, "Lamp", "", json!({"price": 50, "attrs": {"color": "red"}, "from": "2026-05-01T00:00:00Z"})),
        document(4, "Lamp", "", json!({"we.ird \u{1} name": "x", "": "empty"})),
    ]);
    use FieldOp::*;
    assert_eq!(index.found_where("lamp", "price", Lt, json!(100)), [1, 3]);
    assert_eq!(index.found_where("lamp", "price", Gte, json!("50")), [2, 3]);
    assert_eq!(index.found_where("lamp", "price", Eq, json!(19.9)), [1]);
    assert_eq!(index.found_where("lamp", "price", Eq, json!({"amount": "19.90", "currency": "EUR"})), [1]);
    assert_eq!(index.found_where("lamp", "color", Eq, json!("red")), [1]);
    assert_eq!(index.found_where("lamp", "attrs.color", Eq, json!("red")), [3]);
    assert_eq!(index.found_where("lamp", "color", Ne, json!("red")), [2, 3, 4]);
    assert_eq!(index.found_where("lamp", "color", In, json!(["red", "blue", 7])), [1, 2]);
    assert_eq!(index.found_where("lamp", "tags", Eq, json!("led")), [2]);
    assert_eq!(index.found_where("lamp", "sale", Eq, json!(true)), [1]);
    assert_eq!(index.found_where("lamp", "from", Gt, json!("2026-04-30")), [3]);
    assert_eq!(index.found_where("lamp", "we.ird \u{1} name", Eq, json!("x")), [4]);
    assert_eq!(index.found_where("lamp", "", Eq, json!("empty")), [4]);
    assert_eq!(index.found_where("lamp", "color", Lt, json!("red")), Vec::<u128>::new());

    let found = |filters: Filters| -> Vec<u128> {
        index.hits("lamp", filters).iter().map(|hit| hit.document_id.0.as_u128()).collect()
    };
    assert_eq!(found(Filters { kinds: vec!["page".into()], ..Filters::default() }), [2, 4]);
    assert_eq!(found(Filters { source_ids: vec![SourceId(Uuid::from_u128(1))], ..Filters::default() }), [1, 3]);
    let since = chrono::DateTime::from_timestamp(3, 0);
    assert_eq!(found(Filters { updated_after: since, ..Filters::default() }), [4]);
}

#[test]
fn languages_are_filtered_by_primary_subtag_and_stemmed_each_its_own_way() {
    let mut german = document(1, "Lieferung", "Die Lieferungen dauern drei Tage.", json!({}));
    german.live.as_mut().unwrap().language = Some("de-AT".to_owned());
    let index = Index::with(&[german, document(2, "Deliveries", "Delivered within three days.", json!({}))]);
    assert_eq!(index.found("lieferung"), [1]);
    assert_eq!(index.found("delivery"), [2]);
    let filters = Filters { languages: vec!["DE".to_owned()], ..Filters::default() };
    assert_eq!(index.hits("days tage", filters).len(), 1);
}

#[test]
fn identifiers_are_pinned_however_they_are_written() {
    let index = Index::with(&[
        document(1, "Toner for Brother printers", "Fits TN-2110, TN-2110, TN-2110.", json!({"sku": "XX-99"})),
        document(2, "Brother toner", "Black.", json!({"sku": "TN-2110", "ean": ["0095205603217"]})),
        document(3, "Order", "Shipped on Monday.", json!({"order_number": 1017})),
    ]);
    for query in ["TN-2110", "tn2110", "tn 2110", "do you have the TN 2110 in stock?", "95205603217", "0 095205 603217"]
    {
        assert_eq!(index.found(query)[0], 2, "{query}");
    }
    assert_eq!(index.found("where is order 1017?")[0], 3);
}

#[test]
fn a_typing_mistake_finds_what_was_meant() {
    let index =
        Index::with(&[document(1, "Keyboard", "For gaming.", json!({})), document(2, "Mouse", "For work.", json!({}))]);
    assert_eq!(index.found("keboard"), [1]);
    assert_eq!(index.found("gaming keybaord")[0], 1);
}

#[test]
fn a_document_appears_once_by_its_best_chunk_unless_chunks_are_asked_for() {
    let filler = "Parcels travel for some days through many countries. ".repeat(60);
    let body = format!("{filler} The zebra pattern is printed by hand. {filler}");
    let index = Index::with(&[document(1, "Carpet", &body, json!({})), document(2, "Zebra", "An animal.", json!({}))]);
    let hits = index.hits("zebra pattern", Filters::default());
    assert_eq!(hits.len(), 2);
    assert!(hits.iter().any(|hit| hit.document_id.0.as_u128() == 1 && hit.chunk > 0));
    let request = SearchRequest { per_document: false, ..SearchRequest::new("carpet", 10) };
    assert!(index.indexes.search(WORKSPACE, &request).unwrap().hits.len() > 1);
}

#[test]
fn equal_passages_stand_in_the_order_of_their_names() {
    let documents: Vec<_> = (1..40).map(|n| document(n, "Lamp", "It glows.", json!({}))).collect();
    let reversed: Vec<_> = documents.iter().rev().cloned().collect();
    assert_eq!(Index::with(&reversed).found("lamp"), (1..11).collect::<Vec<u128>>());
}

#[test]
fn ranking_depends_on_the_live_documents_alone() {
    let words = ["lamp", "red", "glow", "desk", "shade", "cable", "oak", "brass"];
    let documents: Vec<_> = (1..200u128)
        .map(|n| {
            let word = |k: u128| words[((n * 7 + k * k * 3 + n / 5) % 8) as usize];
            let body: Vec<&str> = (0..n % 23).map(word).collect();
            document(n, &format!("{} {}", word(1), word(2)), &body.join(" "), json!({"brand": word(3)}))
        })
        .collect();
    let all_at_once = Index::with(&documents);
    // Backwards, in small batches, among documents that come and go.
    let mut piecemeal = Index::new();
    let noise: Vec<_> = (1000..1300).map(|n| document(n, "lamp", "red glow lamp shade", json!({}))).collect();
    piecemeal.apply(&noise);
    for batch in documents.rchunks(17) {
        piecemeal.apply(batch);
    }
    piecemeal.apply(&documents[50..90]);
    piecemeal.apply(&(1000..1300).map(gone).collect::<Vec<_>>());
    for query in ["lamp", "red lamp", "glowing desk lamp with brass shade", "oak cable", "brasss"] {
        assert_eq!(all_at_once.hits(query, Filters::default()), piecemeal.hits(query, Filters::default()), "{query}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn no_query_or_filter_fails(query in any::<String>(), syntax in "[a-z0-9\"()*~^:+/\\[\\]{} -]{0,60}", name in any::<String>(), value in any::<String>()) {
        thread_local! {
            static INDEX: Index = Index::with(&[
                document(1, "Lamp", "It glows red.", json!({"price": 3, "sku": "A-1"})),
                document(2, "灯 лампа", "返品方法", json!({"\u{0}": {"\u{1}": ["x"]}})),
            ]);
        }
        INDEX.with(|index| {
            for query in [&query, &syntax] {
                index.hits(query, Filters::default());
                for op in [FieldOp::Eq, FieldOp::Ne, FieldOp::Lt, FieldOp::In] {
                    index.found_where(query, &name, op, json!(value));
                }
            }
        });
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_document_is_indexed_and_found(title in any::<String>(), body in any::<String>(), key in any::<String>(), value in any::<String>()) {
        let index = Index::with(&[document(1, &title, &format!("{body} zebra"), json!({ key: value }))]);
        prop_assert_eq!(index.found("zebra"), vec![1]);
    }
}
