//! Reads a recording back and plays the host's part.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use serde::Serialize;
use tributary_core::{
    citation::ConnectorRef,
    contract::{Failure, Fault},
    hash::Sha256Hash,
    http::{Http, HttpRequest, HttpResponse},
    ledger::Ledger,
};
use tributary_sandbox::{Blob, FileAccess, HostServices, Listing, Meter};

use super::{
    format::{Answered, Asked, FORMAT, Header, Line, PageBegin, Returned},
    ports::response_of,
};

/// Longest recording that is read, decompressed. It is held in memory.
const MOST_BYTES: u64 = 3 << 30;

/// Why a recording was not read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file cannot be read, or is not gzip.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Something else is in it.
    #[error("it is not a recording: line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Another version wrote it.
    #[error("it has format {0}, and this version of tributary reads format {FORMAT}")]
    Format(u32),
}

/// A recording in memory.
#[derive(Debug)]
pub struct Recording {
    /// The connector that was recorded.
    pub connector: ConnectorRef,
    /// False: it ends early, for its length or because the server was killed.
    pub whole: bool,
    pub(super) pages: Vec<PlayedPage>,
    contents: Arc<HashMap<Sha256Hash, Bytes>>,
}

/// What the host said during a page, and what came of it.
#[derive(Debug)]
pub(super) struct PlayedPage {
    pub begin: PageBegin,
    pub returned: Option<Returned>,
    answers: Answers,
}

/// What the host said, by what it was asked.
#[derive(Clone, Debug, Default)]
struct Answers {
    http: HashMap<String, VecDeque<Result<Answered, Failure>>>,
    lists: HashMap<String, Result<Listing, Failure>>,
    opens: HashMap<String, Result<Sha256Hash, Failure>>,
    ledger: HashMap<String, Option<String>>,
    state: Option<BTreeMap<String, String>>,
}

impl Recording {
    /// Reads a recording. Blocks.
    ///
    /// # Errors
    /// When the file is not a recording, or of another format.
    pub fn read(path: &Path) -> Result<Self, Unreadable> {
        Self::read_from(File::open(path)?)
    }

    /// The same, wherever it comes from.
    ///
    /// # Errors
    /// When it is not a recording, or of another format.
    pub fn read_from(compressed: impl Read) -> Result<Self, Unreadable> {
        let mut reader = BufReader::new(MultiGzDecoder::new(compressed).take(MOST_BYTES));
        let (mut number, mut text) = (0, String::new());
        let mut header: Option<Header> = None;
        let (mut pages, mut contents) = (Vec::<PlayedPage>::new(), HashMap::new());
        // Of several parts, each has its own beginning and end.
        let (mut whole, mut open, mut returned_pages) = (true, false, 0);
        loop {
            text.clear();
            number += 1;
            // What was cut off by a kill is read as far as it goes.
            match reader.read_line(&mut text) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && header.is_some() => {
                    whole = false;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
            let wrong = |why: String| Unreadable::Line { line: number, why };
            let line: Line = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
            if let Line::Recording(first) = line {
                if first.format != FORMAT {
                    return Err(Unreadable::Format(first.format));
                }
                if header.is_some_and(|before| before.connector != first.connector) {
                    // The run was moved to another version before it had committed a page.
                    pages.clear();
                }
                (whole, open, returned_pages) = (whole && !open, true, 0);
                header = Some(first);
                continue;
            }
            if header.is_none() {
                return Err(wrong("the header is missing".to_owned()));
            }
            let page = pages.last_mut().ok_or_else(|| wrong("it belongs to no page".to_owned()));
            match line {
                Line::Recording(_) => {}
                Line::Content(stored) => {
                    let (hash, bytes) = stored.bytes().ok_or_else(|| wrong("a content is damaged".to_owned()))?;
                    contents.insert(hash, bytes);
                }
                Line::Page(begin) => {
                    pages.push(PlayedPage { begin, returned: None, answers: Answers::default() });
                }
                Line::Returned(returned) => {
                    page?.returned = Some(returned);
                    returned_pages += 1;
                }
                Line::End { pages: counted } => (whole, open) = (whole && returned_pages == counted, false),
                answer => page?.answers.add(answer),
            }
        }
        let header = header.ok_or_else(|| Unreadable::Line { line: 1, why: "it is empty".to_owned() })?;
        // A page without its end is one that was ended or killed; nothing came of it.
        pages.retain(|page| page.returned.is_some());
        Ok(Self { connector: header.connector, whole: whole && !open, pages, contents: Arc::new(contents) })
    }

    /// Reads the parts of one, in order.
    ///
    /// # Errors
    /// When they are not a recording, or of another format.
    pub fn read_parts(parts: Vec<File>) -> Result<Self, Unreadable> {
        let nothing: Box<dyn Read> = Box::new(io::empty());
        Self::read_from(parts.into_iter().fold(nothing, |before, part| Box::new(before.chain(part))))
    }

    /// How many pages it has.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Bytes by their hash.
    pub(super) fn content(&self, hash: &Sha256Hash) -> Option<&Bytes> {
        self.contents.get(hash)
    }

    /// The host as it was during one page.
    pub(super) fn at(&self, page: &PlayedPage) -> Player {
        Player::new(page.answers.clone(), self.contents.clone())
    }

    /// The host as it was during all of them. Where it said two things, the earlier comes first.
    pub(super) fn throughout(&self) -> Player {
        let mut all = Answers::default();
        for page in &self.pages {
            let Answers { http, lists, opens, ledger, state } = page.answers.clone();
            for (asked, answers) in http {
                all.http.entry(asked).or_default().extend(answers);
            }
            for (asked, answer) in lists {
                all.lists.entry(asked).or_insert(answer);
            }
            for (asked, answer) in opens {
                all.opens.entry(asked).or_insert(answer);
            }
            for (id, fingerprint) in ledger {
                all.ledger.entry(id).or_insert(fingerprint);
            }
            all.state = all.state.or(state);
        }
        Player::new(all, self.contents.clone())
    }
}

impl Answers {
    fn add(&mut self, line: Line) {
        match line {
            Line::Http { request, answer } => self.http.entry(key(&request)).or_default().push_back(answer),
            Line::List { root, dir, after, limit, answer } => {
                self.lists.insert(key(&(root, dir, after, limit)), answer);
            }
            Line::Open { root, path, answer, .. } => {
                self.opens.insert(key(&(root, path)), answer);
            }
            Line::Lookup { ids, answer: Ok(answer) } => self.ledger.extend(ids.into_iter().zip(answer)),
            Line::State { answer: Ok(state) } => self.state = Some(state),
            _ => {}
        }
    }
}

/// What was asked, as text.
fn key(asked: &impl Serialize) -> String {
    serde_json::to_string(asked).unwrap_or_default()
}

/// The host of a recording. Clones are the same host.
#[derive(Clone)]
pub(super) struct Player(Arc<Inner>);

struct Inner {
    answers: Mutex<Answers>,
    contents: Arc<HashMap<Sha256Hash, Bytes>>,
    missing: Mutex<BTreeSet<String>>,
}

impl Player {
    fn new(answers: Answers, contents: Arc<HashMap<Sha256Hash, Bytes>>) -> Self {
        Self(Arc::new(Inner { answers: Mutex::new(answers), contents, missing: Mutex::default() }))
    }

    /// What a page may use.
    pub(super) fn services(&self, page: &PageBegin) -> HostServices {
        let player = Arc::new(self.clone());
        let services = HostServices::new(player.clone(), player.clone(), Arc::new(Meter::default()), "recording");
        HostServices { moment: Some(page.moment), ..services.with_http(player) }
    }

    /// The connector's memory goes on with what a page wrote.
    pub(super) fn remember(&self, writes: &BTreeMap<String, Option<String>>) {
        let mut answers = self.answers();
        let state = answers.state.get_or_insert_default();
        for (name, value) in writes {
            match value {
                Some(value) => state.insert(name.clone(), value.clone()),
                None => state.remove(name),
            };
        }
    }

    /// What was asked for that nobody had asked when it was recorded.
    pub(super) fn missing(&self) -> Vec<String> {
        self.0.missing.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, Answers> {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_recorded(&self, what: String) -> Failure {
        let message = format!("the recording has no answer to {what}: nobody asked that when it was made");
        self.0.missing.lock().unwrap_or_else(PoisonError::into_inner).insert(what);
        Failure::new(Fault::SourceContract, "not_recorded", message)
    }

    fn bytes(&self, hash: &Sha256Hash, what: &str) -> Result<Bytes, Failure> {
        self.0.contents.get(hash).cloned().ok_or_else(|| self.not_recorded(format!("{what} (its bytes are missing)")))
    }
}

#[async_trait]
impl Http for Player {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let what = format!("{} {}", request.method.as_str(), request.url);
        let asked = key(&Asked::of(&request).0);
        let answer = {
            let mut answers = self.answers();
            let queue = answers.http.get_mut(&asked);
            // The last one holds for whoever asks once more.
            queue.and_then(|queue| if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() })
        };
        let answer = answer.ok_or_else(|| self.not_recorded(what.clone()))??;
        let bytes = self.bytes(&answer.body, &what)?;
        Ok(response_of(&answer, bytes))
    }
}

impl FileAccess for Player {
    fn list(&self, root: &str, dir: &str, after: Option<&str>, limit: u32) -> Result<Listing, Failure> {
        let answer = self.answers().lists.get(&key(&(root, dir, after, limit))).cloned();
        answer.unwrap_or_else(|| Err(self.not_recorded(format!("a listing of {root}:/{dir}"))))
    }

    fn open(&self, root: &str, path: &str, _: u64) -> Result<Blob, Failure> {
        let what = format!("the file {root}:/{path}");
        let answer = self.answers().opens.get(&key(&(root, path))).cloned();
        let hash = answer.unwrap_or_else(|| Err(self.not_recorded(what.clone())))?;
        Ok(Blob::from_bytes(self.bytes(&hash, &what)?))
    }
}

#[async_trait]
impl Ledger for Player {
    async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        let answers = self.answers();
        Ok(external_ids.iter().map(|id| answers.ledger.get(id).cloned().flatten()).collect())
    }

    async fn state(&self) -> Result<BTreeMap<String, String>, Failure> {
        Ok(self.answers().state.clone().unwrap_or_default())
    }
}
