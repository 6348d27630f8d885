//! The recording of a run, as its worker goes about it: begun with each stretch, ended before the run's own end is recorded. Whatever
//! happens to it, the run goes on.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tributary_core::{
    job::Lease,
    run::{RecordingState, Run},
};
use tributary_sandbox::Connector;
use tributary_store::{RecordedPart, TenantDb};

use crate::recording::{Kept, MOST_RUN_BYTES, Part, Recorded, Recorder, Shelf};

/// So long a disk may take to write what is left.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// What a worker records of a run.
pub(super) struct Tape<'a> {
    shelf: &'a Shelf,
    tenant: &'a TenantDb,
    lease: &'a Lease,
    open: Mutex<Option<Open>>,
}

struct Open {
    run: Run,
    recorder: Arc<Recorder>,
    part: Part,
}

impl<'a> Tape<'a> {
    /// Nothing is recorded yet.
    pub(super) fn new(shelf: &'a Shelf, tenant: &'a TenantDb, lease: &'a Lease) -> Self {
        Self { shelf, tenant, lease, open: Mutex::default() }
    }

    /// The connector, with a recorder before it when the run is to be recorded. `secrets` are written as stars.
    pub(super) async fn before(
        &self,
        connector: Arc<dyn Connector>,
        run: &Run,
        secrets: impl Future<Output = Vec<String>>,
    ) -> Arc<dyn Connector> {
        let Some(recording) = run.recording.as_ref().filter(|it| it.state != RecordingState::TooLong) else {
            return connector;
        };
        let left = MOST_RUN_BYTES.saturating_sub(recording.bytes.cast_unsigned());
        let begun = async {
            self.tenant.begin_recording(self.lease, run.id, recording, self.shelf.host()).await?;
            let workspace = self.lease.workspace_id;
            anyhow::Ok(self.shelf.begin(workspace, run.id, run.connector.clone(), left).await?)
        };
        match begun.await {
            Ok((recorder, part)) => {
                let recorder = Arc::new(recorder);
                // Before the first line: a cursor or a state may repeat what an earlier stretch sent.
                recorder.hide(secrets.await);
                let open = Open { run: run.clone(), recorder: recorder.clone(), part };
                *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(open);
                Arc::new(Recorded::new(connector, recorder))
            }
            Err(error) => {
                tracing::warn!(run = %run.id, error = format!("{error:#}"), "the run goes on without being recorded");
                self.note(run, RecordingState::Incomplete, 0, 0).await;
                connector
            }
        }
    }

    /// Ends this stretch, if one is being recorded, and says what came of it.
    pub(super) async fn end(&self) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Open { run, recorder, part }) = open else { return };
        let ended = async {
            // The connector may be at work still, and hold it.
            recorder.close().await;
            part.end().await
        };
        let (state, pages, bytes) = match tokio::time::timeout(LAST_WRITES, ended).await {
            Ok(Ok(Kept { pages, bytes, whole: true })) => (RecordingState::Complete, pages, bytes),
            Ok(Ok(Kept { pages, bytes, whole: false })) => {
                tracing::warn!(run = %run.id, pages, bytes, "a recording is as long as it may be and ends; the run goes on");
                (RecordingState::TooLong, pages, bytes)
            }
            Ok(Err(error)) => {
                tracing::warn!(run = %run.id, %error, "the run was not recorded to its end; it goes on");
                (RecordingState::Incomplete, 0, 0)
            }
            Err(_) => {
                tracing::warn!(run = %run.id, "the disk does not take the end of a recording; nobody waits for it");
                (RecordingState::Incomplete, 0, 0)
            }
        };
        self.note(&run, state, pages, bytes).await;
    }

    async fn note(&self, run: &Run, state: RecordingState, pages: u64, bytes: u64) {
        let part = RecordedPart { state, pages: pages.cast_signed(), bytes: bytes.cast_signed() };
        // Who lost the lease says nothing; the next worker finds a stretch that never ended.
        if let Err(error) = self.tenant.end_recording(self.lease, run.id, part).await {
            tracing::debug!(run = %run.id, %error, "the end of a recording could not be noted");
        }
    }
}
