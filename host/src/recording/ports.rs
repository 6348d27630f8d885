//! The host's ports with a recorder beside them.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use tributary_core::{
    contract::Failure,
    hash::Sha256Hash,
    http::{Http, HttpRequest, HttpResponse},
    ledger::Ledger,
};
use tributary_sandbox::{Blob, FileAccess, HostServices, Listing, Moment, StateBuffer};

use super::{
    format::{Answered, Asked, Line},
    recorder::Recorder,
};

/// The page's services; whatever passes through them is written down.
pub(super) fn recorded(services: &HostServices, recorder: &Arc<Recorder>, moment: Moment) -> HostServices {
    let ledger: Arc<dyn Ledger> = Arc::new(RecordedLedger(services.ledger.clone(), recorder.clone()));
    HostServices {
        files: Arc::new(RecordedFiles(services.files.clone(), recorder.clone())),
        http: Arc::new(RecordedHttp(services.http.clone(), recorder.clone())),
        state: Arc::new(StateBuffer::new(ledger.clone())),
        ledger,
        moment: Some(moment),
        ..services.clone()
    }
}

struct RecordedHttp(Arc<dyn Http>, Arc<Recorder>);

#[async_trait]
impl Http for RecordedHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let Self(http, recorder) = self;
        let (asked, body) = Asked::of(&request);
        if let Some(body) = body {
            recorder.content(body).await;
        }
        let result = http.send(request).await;
        recorder.hide(http.secrets());
        let response = match result {
            Ok(response) => response,
            Err(failure) => {
                recorder.write(Line::Http { request: asked, answer: Err(failure.clone()) }).await;
                return Err(failure);
            }
        };
        // Whole, before the connector sees it: an answer is never longer than the page's blobs may be.
        let HttpResponse { status, url, headers, mut body } = response;
        let (mut bytes, mut broken) = (BytesMut::new(), None);
        while let Some(piece) = body.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(failure) => {
                    broken = Some(failure);
                    break;
                }
            }
        }
        let bytes = bytes.freeze();
        let content = recorder.content(bytes.clone()).await;
        let answer = Answered { status, url, headers, body: content, broken };
        let response = response_of(&answer, bytes);
        recorder.write(Line::Http { request: asked, answer: Ok(answer) }).await;
        Ok(response)
    }

    fn secrets(&self) -> Vec<String> {
        self.0.secrets()
    }
}

pub(super) fn response_of(answer: &Answered, bytes: Bytes) -> HttpResponse {
    let pieces = [Some(Ok(bytes)), answer.broken.clone().map(Err)];
    HttpResponse {
        status: answer.status,
        url: answer.url.clone(),
        headers: answer.headers.clone(),
        body: stream::iter(pieces.into_iter().flatten()).boxed(),
    }
}

struct RecordedFiles(Arc<dyn FileAccess>, Arc<Recorder>);

impl FileAccess for RecordedFiles {
    fn list(&self, root: &str, dir: &str, after: Option<&str>, limit: u32) -> Result<Listing, Failure> {
        let answer = self.0.list(root, dir, after, limit);
        self.1.blocking_write(Line::List {
            root: root.to_owned(),
            dir: dir.to_owned(),
            after: after.map(str::to_owned),
            limit,
            answer: answer.clone(),
        });
        answer
    }

    fn open(&self, root: &str, path: &str, max_bytes: u64) -> Result<Blob, Failure> {
        let opened = self.0.open(root, path, max_bytes);
        let answer: Result<Sha256Hash, Failure> = match &opened {
            Ok(blob) => blob.read_all().map(|bytes| self.1.blocking_content(bytes)),
            Err(failure) => Err(failure.clone()),
        };
        let (root, path) = (root.to_owned(), path.to_owned());
        self.1.blocking_write(Line::Open { root, path, max_bytes, answer });
        opened
    }
}

struct RecordedLedger(Arc<dyn Ledger>, Arc<Recorder>);

#[async_trait]
impl Ledger for RecordedLedger {
    async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        let answer = self.0.lookup(external_ids.clone()).await;
        self.1.write(Line::Lookup { ids: external_ids, answer: answer.clone() }).await;
        answer
    }

    async fn state(&self) -> Result<BTreeMap<String, String>, Failure> {
        let answer = self.0.state().await;
        self.1.write(Line::State { answer: answer.clone() }).await;
        answer
    }
}
