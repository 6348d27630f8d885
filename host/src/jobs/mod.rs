//! Workers: lease durable jobs from the database and do them.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tributary_core::job::Work;
use uuid::Uuid;

use crate::app::App;

/// Without a wake-up, the database is asked this often.
const POLL: Duration = Duration::from_millis(500);

/// Starts this host's workers; they stop with `shutdown`, after handing back what they hold.
pub fn start(app: &Arc<App>, workers: usize, tasks: &TaskTracker, shutdown: &CancellationToken) {
    for _ in 0..workers {
        tasks.spawn(work(app.clone(), shutdown.clone()));
    }
}

async fn work(app: Arc<App>, shutdown: CancellationToken) {
    let name = format!("{}:{}", std::process::id(), Uuid::now_v7());
    let lease_ms = app.config.lease.as_millis() as i64;
    let mut reachable = true;
    while !shutdown.is_cancelled() {
        let claimed = app.db.system().claim(&["sync", "delete_workspace"], &name, lease_ms, 1).await;
        match claimed {
            Ok(leases) if leases.is_empty() => {
                shutdown.run_until_cancelled(app.wake.wait_for_jobs(POLL)).await;
            }
            Ok(leases) => {
                // There may be more: wake a colleague.
                app.wake.jobs();
                for lease in leases {
                    match lease.work {
                        Work::Sync { run_id } => app.syncs.work(lease, run_id, &shutdown).await,
                        Work::DeleteWorkspace => app.workspaces.remove(lease, lease_ms, &shutdown).await,
                    }
                }
            }
            Err(error) => {
                if reachable {
                    tracing::warn!(%error, "jobs cannot be read; trying again every second");
                }
                reachable = false;
                shutdown.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await;
                continue;
            }
        }
        reachable = true;
    }
}
