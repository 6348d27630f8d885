//! Recordings of connectors that a test wrote.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tributary_core::{
    RunId, WorkspaceId,
    citation::ConnectorRef,
    contract::{Change, Content, Document, Fault, Gone, Next, Section},
    http::{Http, HttpRequest, HttpResponse, Method},
    ledger::Ledger,
};
use tributary_sandbox::{Files, Meter};

use super::{
    diff::{Diff, Effect, diff},
    replay::{ReplayedPage, replay},
    *,
};

const TOKEN: &str = "tok_5f3759df";

/// Answers with the number of the request, and repeats what it was authorised by.
struct Counting(AtomicU32);

#[async_trait]
impl Http for Counting {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let number = self.0.fetch_add(1, Relaxed);
        if request.url.ends_with("/broken") {
            return Err(Failure::new(Fault::Transient, "down", "it is down"));
        }
        let text = format!("answer {number} to {} by {TOKEN}", request.url);
        let headers = vec![("x-echo".to_owned(), format!("Bearer {TOKEN}"))];
        let body = stream::iter([Ok(Bytes::from(text))]).boxed();
        Ok(HttpResponse { status: 200, url: request.url, headers, body })
    }

    fn secrets(&self) -> Vec<String> {
        vec![TOKEN.to_owned()]
    }
}

/// Knows one document and has a good memory.
struct Known;

#[async_trait]
impl Ledger for Known {
    async fn lookup(&self, ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        Ok(ids.iter().map(|id| (id == "page-0").then(|| "v1".to_owned())).collect())
    }

    async fn state(&self) -> Result<BTreeMap<String, String>, Failure> {
        Ok(BTreeMap::from([("since".to_owned(), "yesterday".to_owned())]))
    }
}

/// Reads so many pages; what it makes of them depends on its version.
struct Reader {
    version: u32,
    pages: u32,
}

fn document(id: &str, text: String) -> Document {
    Document {
        external_id: id.to_owned(),
        title: id.to_owned(),
        kind: "page".to_owned(),
        language: None,
        content: Content::Sections(vec![Section { text, ..Section::default() }]),
        fields: Vec::new(),
        provenance: Default::default(),
        fingerprint: None,
        container: None,
    }
}

#[async_trait]
impl Connector for Reader {
    async fn describe(&self) -> Result<Descriptor, Failure> {
        unreachable!("nobody asks")
    }

    async fn check(&self, _: &str, _: &HostServices) -> Result<Vec<CheckItem>, Failure> {
        Ok(Vec::new())
    }

    async fn pull(&self, request: &PullRequest, services: &HostServices) -> Result<Page, Failure> {
        let number: u32 = request.cursor.as_deref().unwrap_or("0").parse().unwrap();
        let get = |path: &str| HttpRequest {
            method: Method::Get,
            url: format!("https://a.example/{path}"),
            headers: Vec::new(),
            body: None,
            credential: None,
            rates: Vec::new(),
            max_bytes: 1000,
        };
        let id = format!("page-{number}");
        let answer = services.send(get(&id)).await?;
        let text = services.blobs.get(answer.body)?.read_all()?;
        let mut text = String::from_utf8_lossy(&text).into_owned();
        let known = services.lookup(vec![id.clone()]).await?;
        let since = services.state_get("since").await?.unwrap_or_default();
        services.state_set("seen".to_owned(), Some(id.clone())).await?;
        text.push_str(&format!(" {known:?} {since} {:?}", services.moment.map(|moment| moment.seed)));
        let failed = services.send(get("broken")).await.err().unwrap();
        let mut changes = vec![Change::Upsert(document(&id, text)), Change::Failed("broken".to_owned(), failed)];
        match (self.version, number) {
            (2, 0) => changes.push(Change::Delete("old".to_owned(), Gone::Deleted)),
            (2, 1) => {
                let Change::Upsert(document) = &mut changes[0] else { unreachable!() };
                document.title = "Better".to_owned();
                changes.push(Change::Upsert(self::document("more", "more".to_owned())));
            }
            (3, _) => drop(services.send(get("other")).await?),
            _ => {}
        }
        let last = number + 1 == self.pages;
        let next = if last { Next::Complete } else { Next::More };
        Ok(Page { changes, cursor: Some((number + 1).to_string()), next, progress: None })
    }
}

fn request(cursor: Option<String>) -> PullRequest {
    PullRequest {
        config: "{}".to_owned(),
        cursor,
        full: false,
        upper_bound_ms: 0,
        max_items: 10,
        max_bytes: 10_000,
        deadline_ms: 10_000,
    }
}

async fn record(path: &Path) -> Kept {
    let connector = ConnectorRef { id: "reader".to_owned(), version: "1".to_owned(), digest: "d".repeat(64) };
    let (recorder, writing) = Recorder::begin(path, connector).unwrap();
    let recorded = Recorded::new(Arc::new(Reader { version: 1, pages: 3 }), Arc::new(recorder));
    let http: Arc<dyn Http> = Arc::new(Counting(AtomicU32::new(0)));
    let mut cursor = None;
    loop {
        let services = HostServices::new(Arc::new(Files::none()), Arc::new(Known), Arc::new(Meter::default()), "test");
        let services = services.with_http(http.clone());
        let page = recorded.pull(&request(cursor), &services).await.unwrap();
        cursor = page.cursor;
        if page.next == Next::Complete {
            break;
        }
    }
    drop(recorded);
    writing.end().await.unwrap()
}

async fn recorded() -> (tempfile::TempDir, Recording) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.rec");
    let kept = record(&path).await;
    assert_eq!((kept.pages, kept.whole), (3, true));
    let recording = Recording::read(&path).unwrap();
    assert_eq!((recording.pages(), recording.whole, recording.connector.id.as_str()), (3, true, "reader"));
    (folder, recording)
}

async fn replayed(recording: &Recording, version: u32) -> Vec<ReplayedPage> {
    let mut pages = Vec::new();
    replay(&Reader { version, pages: 3 }, recording, |page| pages.push(page)).await;
    pages
}

#[tokio::test]
async fn a_recording_plays_the_host_to_the_same_connector() {
    let (_folder, recording) = recorded().await;
    for page in replayed(&recording, 1).await {
        // The secret stands in the texts that were read, as stars in both.
        assert_eq!((page.difference, page.not_recorded), (None, Vec::new()));
    }
    let pages = replayed(&recording, 2).await;
    let found = pages[1].difference.clone().unwrap();
    assert!(found.at.starts_with("/page/Ok/changes"), "{found:?}");
    assert_eq!(pages[2].difference, None);
}

#[tokio::test]
async fn no_secret_stands_in_a_recording() {
    let (folder, _) = recorded().await;
    let mut text = String::new();
    let file = std::fs::File::open(folder.path().join("run.rec")).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    assert!(text.contains("answer 0 to https://a.example/page-0 by ************"), "{text}");
    assert!(text.contains("Bearer ************"), "{text}");
    assert!(!text.contains(TOKEN), "{text}");
}

#[tokio::test]
async fn another_version_shows_which_documents_change() {
    let (_folder, recording) = recorded().await;
    let same = diff(&Reader { version: 1, pages: 3 }, &recording).await;
    assert_eq!((same.documents, same.same), (Vec::new(), 3));

    let Diff { documents, not_recorded, failure, .. } = diff(&Reader { version: 2, pages: 3 }, &recording).await;
    assert_eq!((not_recorded, failure), (Vec::new(), None));
    let effect = |id: &str| documents.iter().find(|one| one.external_id == id).map(|one| one.effect);
    assert_eq!(effect("more"), Some(Effect::Added));
    assert_eq!(effect("page-1"), Some(Effect::Changed));
    let changed = documents.iter().find(|one| one.external_id == "page-1").unwrap();
    assert!(changed.members.contains(&"title"), "{changed:?}");

    let fewer = diff(&Reader { version: 1, pages: 1 }, &recording).await;
    assert_eq!(fewer.documents.iter().filter(|one| one.effect == Effect::Removed).count(), 2);

    let asking = diff(&Reader { version: 3, pages: 3 }, &recording).await;
    assert_eq!(asking.not_recorded, ["GET https://a.example/other"]);
    assert_eq!(asking.failure.unwrap().code, "not_recorded");
}

#[tokio::test]
async fn what_was_cut_off_is_played_as_far_as_it_goes() {
    let (folder, _) = recorded().await;
    let path = folder.path().join("run.rec");
    let whole = std::fs::read(&path).unwrap();
    for length in (1..whole.len()).step_by(7) {
        std::fs::write(&path, &whole[..length]).unwrap();
        match Recording::read(&path) {
            Ok(recording) => {
                assert!(!recording.whole && recording.pages() <= 3);
                assert!(replayed(&recording, 1).await.iter().all(|page| page.difference.is_none()));
            }
            Err(error) => assert!(error.to_string().starts_with("it "), "{error}"),
        }
    }
    std::fs::write(&path, "no recording").unwrap();
    assert!(Recording::read(&path).is_err());
}

fn reference() -> ConnectorRef {
    ConnectorRef { id: "reader".to_owned(), version: "1".to_owned(), digest: "d".repeat(64) }
}

/// So many pages from this one on, into a recorder.
async fn pull_into(recorder: &Arc<Recorder>, pages: std::ops::Range<u32>) {
    let recorded = Recorded::new(Arc::new(Reader { version: 1, pages: 100 }), recorder.clone());
    let http: Arc<dyn Http> = Arc::new(Counting(AtomicU32::new(pages.start * 2)));
    for number in pages {
        let services = HostServices::new(Arc::new(Files::none()), Arc::new(Known), Arc::new(Meter::default()), "test");
        let cursor = (number > 0).then(|| number.to_string());
        let services = services.with_http(http.clone());
        recorded.pull(&request(cursor), &services).await.unwrap();
        let remembered = BTreeMap::from([("seen".to_owned(), Some(format!("page-{number}")))]);
        assert_eq!(services.state.into_writes(), remembered, "the connector's memory is not the recording's alone");
    }
}

/// A stretch of a run's recording.
async fn stretch(shelf: &Shelf, of: (WorkspaceId, RunId), pages: std::ops::Range<u32>, most_bytes: u64) -> Kept {
    let (recorder, part) = shelf.begin(of.0, of.1, reference(), most_bytes).await.unwrap();
    let recorder = Arc::new(recorder);
    pull_into(&recorder, pages).await;
    // Whoever holds it still holds nothing up.
    recorder.close().await;
    part.end().await.unwrap()
}

fn new_run() -> (WorkspaceId, RunId) {
    (WorkspaceId::new(), RunId::new())
}

async fn read(shelf: &Shelf, of: (WorkspaceId, RunId)) -> Recording {
    Recording::read_parts(shelf.open(of.0, of.1).await.unwrap()).unwrap()
}

#[tokio::test]
async fn the_stretches_of_a_run_are_one_recording_that_nobody_else_can_read() {
    let data = tempfile::tempdir().unwrap();
    let (shelf, of) = (Shelf::new(data.path()), new_run());
    assert!(shelf.open(of.0, of.1).await.unwrap().is_empty());
    assert_eq!(stretch(&shelf, of, 0..2, MOST_RUN_BYTES).await.pages, 2);
    assert_eq!(stretch(&shelf, of, 2..5, MOST_RUN_BYTES).await.pages, 3);
    let recording = read(&shelf, of).await;
    assert_eq!((recording.pages(), recording.whole), (5, true));
    let mut pages = 0;
    replay(&Reader { version: 1, pages: 100 }, &recording, |page| {
        pages += 1;
        assert_eq!((page.difference, page.not_recorded), (None, Vec::new()));
    })
    .await;
    assert_eq!(pages, 5);

    // As it is downloaded: one file.
    let mut whole = Vec::new();
    for mut part in shelf.find(of.1).await.unwrap() {
        std::io::Read::read_to_end(&mut part, &mut whole).unwrap();
    }
    let file = data.path().join("downloaded.rec");
    std::fs::write(&file, whole).unwrap();
    let recording = Recording::read(&file).unwrap();
    assert_eq!((recording.pages(), recording.whole), (5, true));

    let mut folder = data.path().join("recordings");
    for name in [of.0.to_string(), of.1.to_string(), "0001.rec".to_owned()] {
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&folder).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
        folder.push(name);
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&folder).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn what_a_killed_host_had_written_is_kept_and_said_to_be_less_than_all() {
    let data = tempfile::tempdir().unwrap();
    let (shelf, of) = (Shelf::new(data.path()), new_run());
    let (recorder, part) = shelf.begin(of.0, of.1, reference(), MOST_RUN_BYTES).await.unwrap();
    let recorder = Arc::new(recorder);
    pull_into(&recorder, 0..2).await;
    assert!(shelf.open(of.0, of.1).await.unwrap().is_empty(), "it is being written");

    // What is on the disk at any moment from the second page on is what a kill leaves there.
    let folder = data.path().join(format!("recordings/{}/{}", of.0, of.1));
    recorder.close().await;
    part.end().await.unwrap();
    let whole = std::fs::read(folder.join("0001.rec")).unwrap();
    std::fs::remove_file(folder.join("0001.rec")).unwrap();
    let ended = |length: &usize| {
        let mut text = Vec::new();
        // What can be read before the cut is there in spite of the error.
        let _ = std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&whole[..*length]), &mut text);
        String::from_utf8_lossy(&text).contains("{\"end\"")
    };
    let killed = (0..whole.len()).rev().find(|length| !ended(length)).unwrap();
    std::fs::write(folder.join("0001.part"), &whole[..killed]).unwrap();
    assert_eq!(stretch(&shelf, of, 2..4, MOST_RUN_BYTES).await.pages, 2, "the next worker goes on");
    let recording = read(&shelf, of).await;
    assert_eq!((recording.pages(), recording.whole), (4, false));
    assert_eq!(read(&shelf, of).await.pages(), 4, "mended once and for all");
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn a_recording_that_is_too_long_ends_and_holds_nobody_up() {
    let data = tempfile::tempdir().unwrap();
    let (shelf, of) = (Shelf::new(data.path()), new_run());
    let kept = stretch(&shelf, of, 0..50, 3_000).await;
    assert!(!kept.whole && kept.pages < 50 && kept.bytes < 10_000, "{kept:?}");
    let recording = read(&shelf, of).await;
    assert!(!recording.whole && recording.pages() as u64 == kept.pages, "{recording:?}");
}

#[tokio::test]
async fn a_secret_known_from_before_stands_in_no_line() {
    let data = tempfile::tempdir().unwrap();
    let (shelf, of) = (Shelf::new(data.path()), new_run());
    let (recorder, part) = shelf.begin(of.0, of.1, reference(), MOST_RUN_BYTES).await.unwrap();
    recorder.hide(vec!["key_of_before".to_owned()]);
    let begin = PageBegin {
        request: request(Some("next?key=key_of_before".to_owned())),
        moment: Moment { now_ms: 1, seed: 1 },
    };
    recorder.write(Line::Page(begin)).await;
    recorder.close().await;
    part.end().await.unwrap();
    let mut text = String::new();
    for part in shelf.open(of.0, of.1).await.unwrap() {
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(part), &mut text).unwrap();
    }
    assert!(text.contains("next?key=*************") && !text.contains("key_of_before"), "{text}");
}

#[tokio::test]
async fn recordings_of_runs_that_are_no_more_are_swept_away() {
    let data = tempfile::tempdir().unwrap();
    let shelf = Shelf::new(data.path());
    let db = tributary_store::testing::sqlite(tributary_store::Options::default()).await;
    let runs = [new_run(), new_run()];
    for of in runs {
        stretch(&shelf, of, 0..1, MOST_RUN_BYTES).await;
    }
    assert_eq!(shelf.runs().await.unwrap().len(), 2);
    let swept = sweep::sweep(&shelf, &db.db.system(), chrono::Utc::now()).await.unwrap();
    assert_eq!((swept, shelf.runs().await.unwrap().len()), (2, 0));
    assert_eq!(std::fs::read_dir(data.path().join("recordings")).unwrap().count(), 0, "nor their folders");
}
