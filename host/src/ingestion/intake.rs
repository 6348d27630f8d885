//! Intake: hostile items in, drafts out. Everything is bounded, normalised and chunked here, before any transaction.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::available_parallelism,
};

use tokio::task::{JoinError, JoinSet};
use tributary_core::{
    contract::{Extracted, Failure, Fault, Section},
    document::{ChunkDraft, DocumentDraft, DraftContent, Extraction, Provenance},
    fields::Fields,
    hash::Sha256Hash,
    run::FailedItem,
};
use tributary_sandbox::{Blob, Extractor, ExtractorWorker};
use tributary_search::{
    chunk::{self, chunk},
    text,
};
use tributary_store::{KnownExtraction, TenantDb};

/// What an item may be at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of an external id.
    pub external_id_bytes: usize,
    /// Characters of a title; longer ones are cut.
    pub title_chars: usize,
    /// Bytes of a document's text.
    pub text_bytes: usize,
    /// Number of fields.
    pub fields: usize,
    /// Bytes of all fields as JSON.
    pub fields_bytes: usize,
    /// Bytes of what is told about where it comes from, as JSON.
    pub provenance_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            external_id_bytes: 1_024,
            title_chars: 500,
            text_bytes: 16 << 20,
            fields: 200,
            fields_bytes: 64 << 10,
            provenance_bytes: 16 << 10,
        }
    }
}

/// One document on its way in.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its name in the source.
    pub external_id: String,
    /// Empty: taken from the content or the id.
    pub title: String,
    /// `page`, `product`, …
    pub kind: String,
    /// BCP 47 tag.
    pub language: Option<String>,
    /// For people to open.
    pub url: Option<String>,
    /// Typed fields.
    pub fields: Fields,
    /// Where it comes from.
    pub provenance: Provenance,
    /// For the ledger.
    pub fingerprint: Option<String>,
    /// External id of the container it was read from.
    pub container: Option<String>,
    /// What it says.
    pub material: Material,
}

/// What an item says.
#[derive(Clone, Debug)]
pub enum Material {
    /// Ready text.
    Sections(Vec<Section>),
    /// Bytes for the extractor.
    Blob(Blob, String),
    /// As committed before.
    Unchanged,
}

/// Turns items into drafts.
#[derive(Clone)]
pub struct Intake {
    extractor: Arc<dyn Extractor>,
    tenant: TenantDb,
    limits: Limits,
}

/// What the extractor made of files before, by the keys of their extractions.
type Known = HashMap<Sha256Hash, KnownExtraction>;

/// A document's text, ready to be written.
struct Text {
    title: Option<String>,
    language: Option<String>,
    chunks: Vec<ChunkDraft>,
    extraction: Option<Extraction>,
}

impl Intake {
    /// Into a workspace, with the default limits. A file whose text the workspace has already is not given to the extractor.
    pub fn new(extractor: Arc<dyn Extractor>, tenant: TenantDb) -> Self {
        Self { extractor, tenant, limits: Limits::default() }
    }

    /// Drafts of good items and failures of bad ones, in order, as many at once as there are processors. All items are of one
    /// source: what reads one of them may have read others before.
    pub async fn take(&self, items: Vec<Item>) -> Result<Vec<Result<DocumentDraft, FailedItem>>, JoinError> {
        self.take_counting(items, Arc::default()).await
    }

    /// The same; each item that is done counts one up.
    pub async fn take_counting(
        &self,
        items: Vec<Item>,
        done: Arc<AtomicU64>,
    ) -> Result<Vec<Result<DocumentDraft, FailedItem>>, JoinError> {
        let known = Arc::new(self.known(&items).await);
        let at_once = available_parallelism().map_or(2, usize::from).min(items.len());
        let queue = Arc::new(Mutex::new(items.into_iter().enumerate()));
        let mut workers = JoinSet::new();
        for _ in 0..at_once {
            let (intake, known, queue, done) = (self.clone(), known.clone(), queue.clone(), done.clone());
            workers.spawn(async move {
                let mut extractor = intake.extractor.worker();
                let mut taken = Vec::new();
                while let Some((place, item)) = next(&queue) {
                    taken.push((place, intake.take_one(item, &known, extractor.as_mut()).await));
                    done.fetch_add(1, Relaxed);
                }
                taken
            });
        }
        let mut taken = Vec::new();
        while let Some(part) = workers.join_next().await {
            taken.append(&mut part?);
        }
        taken.sort_unstable_by_key(|(place, _)| *place);
        Ok(taken.into_iter().map(|(_, taken)| taken).collect())
    }

    async fn known(&self, items: &[Item]) -> Known {
        let files = items.iter().filter_map(|item| match &item.material {
            Material::Blob(blob, media_type) => Some(self.key(blob, media_type, file_name(&item.external_id))),
            Material::Sections(_) | Material::Unchanged => None,
        });
        // Reading a file again is no harm; a database that is away for good shows when the page is committed.
        self.tenant.find_extractions(&files.collect::<Vec<_>>()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is known of files could not be read; they are extracted again");
            Known::new()
        })
    }

    /// Over all that shapes the text of a file.
    fn key(&self, blob: &Blob, media_type: &str, name: &str) -> Sha256Hash {
        let all = (self.extractor.digest(), chunk::REVISION, blob.sha256(), media_type, name);
        Sha256Hash::of(serde_json::to_vec(&all).unwrap_or_default())
    }

    async fn take_one(
        &self,
        item: Item,
        known: &Known,
        extractor: &mut dyn ExtractorWorker,
    ) -> Result<DocumentDraft, FailedItem> {
        let external_id = item.external_id.clone();
        self.draft(item, known, extractor).await.map_err(|failure| FailedItem {
            external_id: printable(&external_id, self.limits.external_id_bytes),
            fault: failure.fault,
            message: printable(&failure.message, 1_000),
        })
    }

    async fn draft(
        &self,
        item: Item,
        known: &Known,
        extractor: &mut dyn ExtractorWorker,
    ) -> Result<DocumentDraft, Failure> {
        check_id(&item.external_id, self.limits.external_id_bytes)?;
        if let Some(container) = &item.container {
            check_id(container, self.limits.external_id_bytes)?;
        }
        let said = match item.material {
            Material::Unchanged => {
                let Item { external_id, fingerprint, container, .. } = item;
                return Ok(DocumentDraft { external_id, fingerprint, container, content: None });
            }
            Material::Sections(sections) => self.text(Extracted { title: None, language: None, sections }, None)?,
            Material::Blob(blob, media_type) => {
                let name = file_name(&item.external_id);
                let key = self.key(&blob, &media_type, name);
                match known.get(&key) {
                    Some(known) => Text::known(key, known.clone()),
                    None => self.text(extractor.extract(&blob, &media_type, Some(name)).await?, Some(key))?,
                }
            }
        };
        self.check_fields(&item.fields)?;
        let provenance = clean(item.provenance);
        self.check_provenance(&provenance)?;
        let title = [item.title.as_str(), said.title.as_deref().unwrap_or_default(), file_name(&item.external_id)]
            .iter()
            .map(|title| text::line(title))
            .find(|title| !title.is_empty())
            .map_or_else(|| "Untitled".to_owned(), |title| title.chars().take(self.limits.title_chars).collect());
        let kind = kind(&item.kind);
        let language = item.language.or(said.language).filter(|tag| is_language_tag(tag));
        let url = item.url.filter(|url| is_web_address(url));
        let told = (title.as_str(), kind.as_str(), language.as_deref(), url.as_deref());
        let content_hash = content_hash(told, &item.fields, &provenance, &said.chunks);
        Ok(DocumentDraft {
            external_id: item.external_id,
            fingerprint: item.fingerprint.filter(|fingerprint| fingerprint.len() <= 512),
            container: item.container,
            content: Some(DraftContent {
                title,
                kind,
                language,
                url,
                fields: item.fields,
                provenance,
                content_hash,
                chunks: said.chunks,
                extraction: said.extraction,
            }),
        })
    }

    fn text(&self, extracted: Extracted, key: Option<Sha256Hash>) -> Result<Text, Failure> {
        let bytes: usize = extracted.sections.iter().map(|section| section.text.len()).sum();
        if bytes > self.limits.text_bytes {
            return Err(too_large(format!(
                "the text has {bytes} bytes, at most {} are taken; split the document",
                self.limits.text_bytes
            )));
        }
        let chunks = chunk(&extracted.sections);
        let Extracted { title, language, .. } = extracted;
        let extraction =
            key.map(|key| Extraction { key, title: title.clone(), language: language.clone(), known: false });
        Ok(Text { title, language, chunks, extraction })
    }

    fn check_provenance(&self, provenance: &Provenance) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(provenance).map_or(0, |json| json.len());
        if bytes > self.limits.provenance_bytes {
            return Err(too_large(format!(
                "its provenance has {bytes} bytes as JSON, at most {} are taken; put what is to be searched into the fields",
                self.limits.provenance_bytes
            )));
        }
        Ok(())
    }

    fn check_fields(&self, fields: &Fields) -> Result<(), Failure> {
        if fields.len() > self.limits.fields {
            return Err(too_large(format!("it has {} fields, at most {} are taken", fields.len(), self.limits.fields)));
        }
        if let Some(name) =
            fields.keys().find(|name| name.is_empty() || name.len() > 100 || name.chars().any(char::is_control))
        {
            return Err(Failure::new(
                Fault::SourceContract,
                "field_name",
                format!("the field name {name:?} is not 1 to 100 printable bytes"),
            ));
        }
        let json = serde_json::to_string(fields).unwrap_or_default();
        if json.contains("\\u0000") {
            return Err(Failure::new(
                Fault::SourceContract,
                "field_value",
                "a field holds the character U+0000, which no database takes; leave it out",
            ));
        }
        let bytes = json.len();
        if bytes > self.limits.fields_bytes {
            return Err(too_large(format!(
                "its fields have {bytes} bytes as JSON, at most {} are taken",
                self.limits.fields_bytes
            )));
        }
        Ok(())
    }
}

impl Text {
    fn known(key: Sha256Hash, known: KnownExtraction) -> Self {
        let KnownExtraction { title, language, chunks } = known;
        let extraction = Extraction { key, title: title.clone(), language: language.clone(), known: true };
        Self { title, language, chunks, extraction: Some(extraction) }
    }
}

/// Releases the lock at once.
fn next<T>(queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    queue.lock().unwrap_or_else(|broken| broken.into_inner()).next()
}

/// Equal exactly when nothing that is said has changed. A source's own marks of a state (revision, entity tag, dates) are no content: they
/// are as they were when the version came.
fn content_hash(
    told: (&str, &str, Option<&str>, Option<&str>),
    fields: &Fields,
    provenance: &Provenance,
    chunks: &[ChunkDraft],
) -> Sha256Hash {
    let Provenance { authors, path, license, .. } = provenance;
    Sha256Hash::of(serde_json::to_vec(&(told, fields, authors, path, license, chunks)).unwrap_or_default())
}

fn check_id(id: &str, limit: usize) -> Result<(), Failure> {
    if id.is_empty() || id.len() > limit || id.chars().any(char::is_control) {
        let message = format!(
            "an external id has 1 to {limit} bytes and no control characters; {:?} does not fit",
            printable(id, 80)
        );
        return Err(Failure::new(Fault::SourceContract, "external_id", message));
    }
    Ok(())
}

fn kind(given: &str) -> String {
    let kind = text::line(given).to_lowercase();
    if kind.is_empty() { "page".to_owned() } else { kind.chars().take(64).collect() }
}

fn is_language_tag(tag: &str) -> bool {
    (2..=35).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Only addresses a browser may safely be sent to.
fn is_web_address(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    url.len() <= 2_048
        && matches!(scheme.as_deref(), Some("http" | "https"))
        && !url.chars().any(|c| c.is_control() || c == ' ')
}

/// Without control characters, and without an address that no browser may be sent to.
fn clean(mut provenance: Provenance) -> Provenance {
    let printable = |text: &mut String| text.retain(|c| !c.is_control());
    for text in
        [&mut provenance.retrieved_from, &mut provenance.revision, &mut provenance.etag, &mut provenance.license]
    {
        text.iter_mut().for_each(printable);
    }
    provenance.authors.iter_mut().chain(&mut provenance.path).for_each(printable);
    provenance.url = provenance.url.filter(|url| is_web_address(url));
    provenance
}

fn file_name(external_id: &str) -> &str {
    external_id.rsplit('/').next().unwrap_or(external_id)
}

fn too_large(message: String) -> Failure {
    Failure::new(Fault::TooLarge, "document_too_large", message)
}

/// At most `bytes` bytes without control characters.
fn printable(text: &str, bytes: usize) -> String {
    let mut out = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if out.len() + c.len_utf8() > bytes {
            break;
        }
        out.push(c);
    }
    out
}

/// Fields of a connector's document; a value that is not representable is left out.
pub(super) fn fields(values: Vec<(String, tributary_core::contract::Value)>) -> Fields {
    values
        .into_iter()
        .filter_map(|(name, value)| Some((name, tributary_core::fields::to_json(value)?)))
        .collect::<BTreeMap<_, _>>()
}
