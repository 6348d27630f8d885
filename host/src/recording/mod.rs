//! Recordings: everything a connector was told during a run, and what it made of it.
//!
//! [`Recorded`] stands before a connector and writes what passes between it and the host into a [`Recorder`]. A [`Recording`] that
//! was read back plays the host's part: [`replay`](replay::replay) asks the same connector the same questions and expects the same
//! pages; [`diff`](diff::diff) asks another connector and tells which documents would be others.
//!
//! Recordings of a server's own syncs are on its [`Shelf`], until [`sweep`] removes them.

pub mod diff;
mod format;
mod player;
mod ports;
mod recorder;
pub mod replay;
mod shelf;
pub mod sweep;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use tributary_core::contract::{CheckItem, Descriptor, Failure, Page, PullRequest};
use tributary_sandbox::{Connector, HostServices, Moment};

use format::{Line, PageBegin, Returned};
pub use player::{Recording, Unreadable};
pub use recorder::{Kept, Recorder, Writing};
pub use shelf::{MOST_RUN_BYTES, Part, Shelf};

/// A connector whose calls are recorded.
pub struct Recorded {
    connector: Arc<dyn Connector>,
    recorder: Arc<Recorder>,
}

impl Recorded {
    /// From now on what `connector` is told and answers goes into `recorder`.
    pub fn new(connector: Arc<dyn Connector>, recorder: Arc<Recorder>) -> Self {
        Self { connector, recorder }
    }
}

#[async_trait]
impl Connector for Recorded {
    async fn describe(&self) -> Result<Descriptor, Failure> {
        self.connector.describe().await
    }

    /// Not recorded: it reads nothing for good.
    async fn check(&self, config: &str, services: &HostServices) -> Result<Vec<CheckItem>, Failure> {
        self.connector.check(config, services).await
    }

    async fn pull(&self, request: &PullRequest, services: &HostServices) -> Result<Page, Failure> {
        let moment = Moment { now_ms: chrono::Utc::now().timestamp_millis().max(0) as u64, seed: rand::random() };
        self.recorder.hide(services.http.secrets());
        self.recorder.write(Line::Page(PageBegin { request: request.clone(), moment })).await;
        let recorded = ports::recorded(services, &self.recorder, moment);
        let result = self.connector.pull(request, &recorded).await;
        // Tokens are made while requests are sent.
        self.recorder.hide(services.http.secrets());
        let (mut returned, contents) = Returned::of(&result, &recorded);
        services.state.take_over(returned.state.clone());
        returned.blobs.clear();
        for content in contents {
            returned.blobs.push(self.recorder.content(content).await);
        }
        self.recorder.write(Line::Returned(returned)).await;
        result
    }
}
