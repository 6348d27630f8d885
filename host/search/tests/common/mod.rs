//! The development sets of judged queries, read into documents, and the metrics they are scored with.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses its part

use std::{
    collections::HashMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use serde_json::Value as Json;
use tributary_core::{
    DocumentId, SourceId, WorkspaceId,
    contract::Section,
    document::{IndexedDocument, LiveDocument},
};
use tributary_search::{IndexOptions, Indexes, SearchRequest, chunk::chunk, text};
use uuid::Uuid;

/// Where the sets are, or `None` (said loudly) when they are not on this machine.
pub fn sets() -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/retrieval");
    let dir = std::env::var_os("TRIBUTARY_RETRIEVAL_DATA").map_or(default, PathBuf::from);
    if dir.join("chorus_icecat/docs.jsonl.gz").exists() {
        return Some(dir);
    }
    eprintln!("SKIPPED: no retrieval sets under {}; set TRIBUTARY_RETRIEVAL_DATA to their directory", dir.display());
    None
}

/// Lines of a JSON Lines file, gzipped or not.
pub fn json_lines(path: &Path) -> Vec<Json> {
    let mut text = String::new();
    let file = fs::File::open(path).unwrap();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        std::io::BufReader::new(file).read_to_string(&mut text).unwrap();
    }
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Query → document → grade.
pub fn judgements(path: &Path) -> HashMap<String, HashMap<String, f64>> {
    let mut judged: HashMap<String, HashMap<String, f64>> = HashMap::new();
    for line in fs::read_to_string(path).unwrap().lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        judged.entry(columns[0].into()).or_default().insert(columns[2].into(), columns[3].parse().unwrap());
    }
    judged
}

/// A document of a set as the server would commit it: title, one section, everything else as fields.
pub fn document(number: usize, json: &Json) -> IndexedDocument {
    let object = json.as_object().unwrap();
    let text = |key: &str| object.get(key).and_then(Json::as_str).unwrap_or_default();
    let fields = object
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "id" | "title" | "body"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let section = Section { heading: Vec::new(), text: text("body").to_owned(), at: None };
    IndexedDocument {
        id: DocumentId(Uuid::from_u128(number as u128 + 1)),
        change_seq: number as i64 + 1,
        live: Some(LiveDocument {
            source_id: SourceId(Uuid::from_u128(7)),
            external_id: text("id").to_owned(),
            version: 1,
            title: text::line(text("title")),
            kind: "page".to_owned(),
            language: None,
            fields,
            updated_at: chrono::DateTime::UNIX_EPOCH,
            chunks: chunk(&[section]),
        }),
    }
}

/// One set in an index of its own.
pub struct Set {
    pub dir: PathBuf,
    pub documents: Vec<IndexedDocument>,
    pub indexes: Indexes,
    pub workspace: WorkspaceId,
    _temporary: tempfile::TempDir,
}

impl Set {
    pub fn load(dir: PathBuf) -> Self {
        let documents: Vec<IndexedDocument> =
            json_lines(&dir.join("docs.jsonl.gz")).iter().enumerate().map(|(i, json)| document(i, json)).collect();
        let temporary = tempfile::tempdir().unwrap();
        let indexes = Indexes::open(temporary.path(), IndexOptions::default()).unwrap();
        let workspace = WorkspaceId(Uuid::from_u128(1));
        let mut at = 0;
        for batch in documents.chunks(5_000) {
            at = indexes.apply(workspace, batch, at, at + batch.len() as i64).unwrap();
        }
        Self { dir, documents, indexes, workspace, _temporary: temporary }
    }

    pub fn external_id(&self, id: DocumentId) -> &str {
        let at = id.0.as_u128() as usize - 1;
        &self.documents[at].live.as_ref().unwrap().external_id
    }

    pub fn search(&self, query: &str, limit: usize) -> Vec<String> {
        let result = self.indexes.search(self.workspace, &SearchRequest::new(query, limit)).unwrap();
        result.hits.iter().map(|hit| self.external_id(hit.document_id).to_owned()).collect()
    }

    /// Mean over the queries of a file that have a relevant document: (nDCG@10, precision at 1).
    pub fn score(&self, queries: &str, judgements_file: &str) -> (f64, f64) {
        let judged = judgements(&self.dir.join(judgements_file));
        let (mut ndcg, mut first, mut count) = (0.0, 0.0, 0.0);
        for query in json_lines(&self.dir.join(queries)) {
            let id = query["id"].as_str().unwrap();
            let Some(grades) = judged.get(id).filter(|grades| grades.values().any(|grade| *grade > 0.0)) else {
                continue;
            };
            let ranked = self.search(query["text"].as_str().unwrap(), 10);
            let gains: Vec<f64> = ranked.iter().map(|id| grades.get(id).copied().unwrap_or(0.0)).collect();
            let mut ideal: Vec<f64> = grades.values().copied().collect();
            ideal.sort_by(|a, b| b.total_cmp(a));
            ndcg += discounted(&gains) / discounted(&ideal);
            first += f64::from(u8::from(gains.first().is_some_and(|gain| *gain > 0.0)));
            count += 1.0;
        }
        (ndcg / count, first / count)
    }
}

/// Discounted cumulative gain at 10, linear gain, as trec_eval computes it.
fn discounted(gains: &[f64]) -> f64 {
    gains.iter().take(10).enumerate().map(|(i, gain)| gain.max(0.0) / ((i + 2) as f64).log2()).sum()
}
