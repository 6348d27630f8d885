//! Chunking, indexing and searching 20,000 documents of about 2 KB: `cargo bench -p tributary-search`.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use tributary_core::{
    DocumentId, SourceId, WorkspaceId,
    contract::Section,
    document::{IndexedDocument, LiveDocument},
};
use tributary_search::{IndexOptions, Indexes, SearchRequest, chunk::chunk};
use uuid::Uuid;

const DOCUMENTS: usize = 20_000;
const BATCH: usize = 1_000;
const QUERIES: usize = 2_000;

/// Words of a made-up language, the first ones used most, as in a real one.
struct Words(u64);

impl Words {
    fn next(&mut self) -> String {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let uniform = (self.0 >> 11) as f64 / (1u64 << 53) as f64;
        let mut rank = 20_000f64.powf(uniform) as u32;
        let mut word = String::new();
        while rank > 0 || word.len() < 3 {
            word.push(char::from(b"bcdfglmnprst"[(rank % 12) as usize]));
            word.push(char::from(b"aeiou"[(rank % 5) as usize]));
            rank /= 12;
        }
        word
    }

    fn text(&mut self, words: usize) -> String {
        let mut text = String::new();
        for i in 0..words {
            text.push_str(&self.next());
            text.push_str(if i % 15 == 14 { ". " } else { " " });
        }
        text
    }
}

fn main() {
    let mut words = Words(0x9E37_79B9_7F4A_7C15);
    let texts: Vec<String> = (0..DOCUMENTS).map(|_| words.text(330)).collect();
    let bytes: usize = texts.iter().map(String::len).sum();

    let started = Instant::now();
    let documents: Vec<IndexedDocument> =
        texts.into_iter().enumerate().map(|(i, text)| document(i, text, &mut words)).collect();
    let each = started.elapsed() / DOCUMENTS as u32;
    println!("chunk: {each:?} per document of {} bytes", bytes / DOCUMENTS);

    let dir = tempfile::tempdir().unwrap();
    let indexes = Indexes::open(dir.path(), IndexOptions::default()).unwrap();
    let workspace = WorkspaceId(Uuid::from_u128(1));
    let started = Instant::now();
    let mut position = 0;
    for batch in documents.chunks(BATCH) {
        position = indexes.apply(workspace, batch, position, position + 1).unwrap();
    }
    println!("index: {:.0} documents/s in batches of {BATCH}", DOCUMENTS as f64 / started.elapsed().as_secs_f64());

    for length in [1, 3, 8] {
        let queries: Vec<String> = (0..QUERIES).map(|_| words.text(length)).collect();
        report(&format!("search, {length} words"), &indexes, workspace, &queries);
    }
    let questions: Vec<String> =
        (0..QUERIES).map(|_| format!("how can I do this with the {}", words.text(4))).collect();
    report("search, question", &indexes, workspace, &questions);
    let slips: Vec<String> = (0..200).map(|_| format!("{}x {}", words.next(), words.next())).collect();
    report("search, typing mistake", &indexes, workspace, &slips);
}

fn report(name: &str, indexes: &Indexes, workspace: WorkspaceId, queries: &[String]) {
    let mut times: Vec<Duration> = queries
        .iter()
        .map(|query| {
            let started = Instant::now();
            indexes.search(workspace, &SearchRequest::new(query.as_str(), 10)).unwrap();
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!("{name}: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
}

fn document(number: usize, text: String, words: &mut Words) -> IndexedDocument {
    IndexedDocument {
        id: DocumentId(Uuid::from_u128(number as u128 + 1)),
        change_seq: 1,
        live: Some(LiveDocument {
            source_id: SourceId(Uuid::from_u128(1)),
            external_id: format!("d{number}"),
            version: 1,
            title: words.text(6),
            kind: "page".to_owned(),
            language: None,
            fields: Default::default(),
            updated_at: chrono::DateTime::UNIX_EPOCH,
            chunks: chunk(&[Section { heading: vec!["Guide".to_owned()], text, at: None }]),
        }),
    }
}
