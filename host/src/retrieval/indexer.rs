//! The index loop of this host: reads `change_seq > applied` of every workspace and commits `applied` with the index.
//!
//! Never a job: each host has its own indexes. A killed host resumes where its index stands, a new one catches up from zero.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tributary_core::{Position, WorkspaceId};
use tributary_search::Indexes;
use tributary_store::{Db, FeedCursor, FeedLimits};

use crate::wake::Wake;

/// Without a wake-up, the database is asked this often: the longest a commit of another host stays unseen.
const POLL: Duration = Duration::from_millis(500);
/// What is read and indexed in one commit of the index.
const BATCH: FeedLimits = FeedLimits { documents: 2_000, bytes: 16 << 20 };

/// Feeds the indexes.
pub struct Indexer {
    db: Db,
    indexes: Indexes,
    wake: Wake,
}

impl Indexer {
    /// Over this host's indexes.
    pub fn new(db: Db, indexes: Indexes, wake: Wake) -> Self {
        Self { db, indexes, wake }
    }

    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut applied: HashMap<WorkspaceId, Position> = HashMap::new();
        let mut reachable = true;
        while !shutdown.is_cancelled() {
            match self.catch_up(&mut applied, &shutdown).await {
                Ok(()) => reachable = true,
                Err(error) => {
                    if reachable {
                        tracing::warn!(
                            error = format!("{error:#}"),
                            "the search index could not be brought up to date; trying again"
                        );
                    }
                    reachable = false;
                    applied.clear();
                }
            }
            shutdown.run_until_cancelled(self.wake.wait_for_documents(POLL)).await;
        }
    }

    /// Brings every index up to date, once.
    #[cfg(test)]
    pub(crate) async fn once(&self) -> anyhow::Result<()> {
        self.catch_up(&mut HashMap::new(), &CancellationToken::new()).await
    }

    /// One look at every workspace; reads only those that moved.
    async fn catch_up(
        &self,
        applied: &mut HashMap<WorkspaceId, Position>,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<()> {
        let positions = self.db.system().workspace_positions().await?;
        if positions.len() != applied.len() {
            self.remove_all_but(&positions, applied).await?;
        }
        for (workspace, position) in positions {
            if applied.get(&workspace).is_some_and(|known| *known >= position) || shutdown.is_cancelled() {
                continue;
            }
            applied.insert(workspace, self.feed(workspace, position, shutdown).await?);
        }
        Ok(())
    }

    /// Removes the indexes of workspaces that are gone.
    async fn remove_all_but(
        &self,
        positions: &[(WorkspaceId, Position)],
        applied: &mut HashMap<WorkspaceId, Position>,
    ) -> anyhow::Result<()> {
        let standing: HashSet<_> = positions.iter().map(|(workspace, _)| *workspace).collect();
        applied.retain(|workspace, _| standing.contains(workspace));
        let indexes = self.indexes.clone();
        let removed = spawn_blocking(move || {
            let mut gone = indexes.workspaces()?.into_iter().filter(|workspace| !standing.contains(workspace));
            gone.try_for_each(|workspace| indexes.remove(workspace))
        });
        Ok(removed.await??)
    }

    async fn feed(
        &self,
        workspace: WorkspaceId,
        target: Position,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Position> {
        let tenant = self.db.system().tenant(workspace);
        let indexes = self.indexes.clone();
        let mut applied = spawn_blocking(move || indexes.applied(workspace)).await??;
        if applied > target {
            // The record was restored from a backup: what the index knows beyond it never happened.
            tracing::warn!(%workspace, applied, target, "the search index is ahead of the database; building it anew");
            let indexes = self.indexes.clone();
            spawn_blocking(move || indexes.remove(workspace)).await??;
            applied = 0;
        }
        // What is purged is not in the feed any more: an index that may hold it is built anew. One that begins holds nothing.
        let purged = tenant.purged_position().await?;
        if 0 < applied && applied < purged {
            tracing::info!(%workspace, applied, purged, "the search index missed deletions that were purged since; building it anew");
            let indexes = self.indexes.clone();
            spawn_blocking(move || indexes.remove(workspace)).await??;
            applied = 0;
        }
        let known_purged = if applied == 0 { purged } else { 0 };
        let mut cursor = FeedCursor::at(applied);
        // The part read so far of a transaction that does not fit into one batch: it is indexed whole. Only tombstones come in such numbers.
        let mut documents = Vec::new();
        while applied < target && !shutdown.is_cancelled() {
            let changes = tenant.changes_after(cursor, BATCH).await?;
            if changes.purged > known_purged.max(cursor.position) {
                // Purged while this read. The next look begins anew.
                let indexes = self.indexes.clone();
                spawn_blocking(move || indexes.remove(workspace)).await??;
                return Ok(0);
            }
            cursor = changes.up_to;
            documents.extend(changes.documents);
            let up_to = cursor.complete();
            if up_to > applied {
                let (indexes, batch) = (self.indexes.clone(), std::mem::take(&mut documents));
                let stands = spawn_blocking(move || indexes.apply(workspace, &batch, applied, up_to)).await??;
                if stands != up_to {
                    cursor = FeedCursor::at(stands);
                }
                applied = stands;
            } else if !changes.more {
                break;
            }
        }
        Ok(applied)
    }
}
