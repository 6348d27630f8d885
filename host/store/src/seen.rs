//! What a run named, 16 bytes an id: read back from what its pages left behind.

use std::collections::HashSet;

use tributary_core::{
    RunId,
    hash::{IdDigest, id_digest},
};
use uuid::Uuid;

use crate::{db::Cx, dialect::q, error::Result};

/// What a run named so far.
pub(crate) struct Seen {
    documents: HashSet<IdDigest>,
    containers: HashSet<IdDigest>,
    kept: HashSet<IdDigest>,
}

impl Seen {
    pub(crate) async fn of(cx: &mut Cx, workspace: Uuid, run: RunId) -> Result<Self> {
        let mut seen = Self { documents: HashSet::new(), containers: HashSet::new(), kept: HashSet::new() };
        let mut after = -1;
        loop {
            let rows = q!(
                cx,
                fetch_all as (i64, Vec<u8>, Vec<u8>, Vec<u8>),
                "SELECT page_no, documents, containers, kept FROM run_seen WHERE workspace_id = $1 AND run_id = $2 AND page_no > $3
                 ORDER BY page_no LIMIT 500",
                workspace,
                run.0,
                after
            )?;
            let Some((last, ..)) = rows.last() else { return Ok(seen) };
            after = *last;
            for (_, documents, containers, kept) in rows {
                extend(&mut seen.documents, &documents);
                extend(&mut seen.containers, &containers);
                extend(&mut seen.kept, &kept);
            }
        }
    }

    /// Whether no page named anything.
    pub(crate) fn nothing(&self) -> bool {
        self.documents.is_empty() && self.containers.is_empty() && self.kept.is_empty()
    }

    /// Whether a document was named, or stands in a container that was called unchanged or could not be read.
    pub(crate) fn document(&self, external_id: &str, container: Option<&str>) -> bool {
        self.documents.contains(&id_digest(external_id))
            || container.is_some_and(|id| self.kept.contains(&id_digest(id)))
    }

    /// Whether a container was named.
    pub(crate) fn container(&self, external_id: &str) -> bool {
        let digest = id_digest(external_id);
        self.containers.contains(&digest) || self.kept.contains(&digest)
    }
}

fn extend(set: &mut HashSet<IdDigest>, digests: &[u8]) {
    let (digests, _) = digests.as_chunks::<16>();
    set.extend(digests);
}

/// Drops what a run saw; it is only of use to its own end.
pub(crate) async fn forget(cx: &mut Cx, workspace: Uuid, run: RunId) -> Result<()> {
    q!(cx, execute, "DELETE FROM run_seen WHERE workspace_id = $1 AND run_id = $2", workspace, run.0)?;
    Ok(())
}
