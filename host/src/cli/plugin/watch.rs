//! Waiting for a component or the sources of a connector to change.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);
/// Files looked at; more are not noticed.
const MOST_FILES: usize = 10_000;
/// What changes when a connector is built, or says nothing about it.
const PASSED_OVER: [&str; 4] = ["target", "dist", "vendor", ".git"];

/// Newest change and number of files: what is compared.
pub(super) fn stamp(path: &Path) -> (Option<SystemTime>, usize) {
    let (mut newest, mut count) = (None, 0);
    let mut waiting = vec![path.to_path_buf()];
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            let wanted = entries.filter(|entry| !PASSED_OVER.iter().any(|name| entry.file_name() == *name));
            waiting.extend(wanted.map(|entry| entry.path()));
            continue;
        }
        newest = newest.max(metadata.modified().ok());
        count += 1;
        if count >= MOST_FILES {
            break;
        }
    }
    (newest, count)
}

/// Returns when the stamp is another one, and has stood still for a moment.
pub(super) async fn changed(path: &Path, before: (Option<SystemTime>, usize)) {
    let mut last = before;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamp(path);
        if now != before && now == last && now.1 > 0 {
            return;
        }
        last = now;
    }
}
