//! Removes recordings from this host's disk: some time after their runs, and with their source or workspace.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;
use tributary_core::Instant;
use tributary_store::SystemDb;

use super::Shelf;
use crate::app::App;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(600);
/// Runs that are asked about at once.
const SLICE: usize = 500;

/// Looks now and then, until the server stops.
pub async fn run(app: Arc<App>, shutdown: CancellationToken) {
    let mut tick = tokio::time::interval(EVERY);
    while shutdown.run_until_cancelled(tick.tick()).await.is_some() {
        let days = TimeDelta::from_std(app.config.recordings).unwrap_or(TimeDelta::MAX);
        let (system, before) = (app.db.system(), app.clock.now() - days);
        let swept = sweep(&app.shelf, &system, before);
        match shutdown.run_until_cancelled(swept).await {
            Some(Ok(removed @ 1..)) => tracing::info!(recordings = removed, "old recordings were removed"),
            Some(Err(error)) => {
                tracing::warn!(error = format!("{error:#}"), "old recordings could not be removed; trying again later");
            }
            _ => {}
        }
    }
}

/// Removes the recordings of runs that ended before this, and of those that are no more; how many.
pub(super) async fn sweep(shelf: &Shelf, system: &SystemDb, ended_before: Instant) -> anyhow::Result<usize> {
    let mut removed = 0;
    for runs in shelf.runs().await?.chunks(SLICE) {
        let kept = system.kept_recordings(runs, ended_before).await?;
        let over: Vec<_> = runs.iter().filter(|(_, run)| !kept.contains(run)).copied().collect();
        removed += over.len();
        shelf.remove(over).await?;
    }
    Ok(removed)
}
