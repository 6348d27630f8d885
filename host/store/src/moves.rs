//! Moving documents to another source: they keep their ids, versions and all that was said of them.

use tributary_core::{DocumentId, Position, SourceId};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::{Error, Result},
    rows::json_list,
    sources,
    tenant::TenantDb,
};

/// What became of a move; all of the documents go, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// They are there.
    Moved {
        /// How many had to go; the others were there before.
        moved: i64,
        /// The commit, when any had to.
        position: Option<Position>,
    },
    /// This one is not there, or not for the caller.
    NoSuchDocument(DocumentId),
    /// This one's source is another than was expected.
    Elsewhere(DocumentId),
    /// The new source has, or had, a document with this one's external id.
    NameTaken(String),
}

impl TenantDb {
    /// Moves live documents from some sources to another; one that stands in none of these is refused.
    pub async fn move_documents(&self, ids: &[DocumentId], from: &[SourceId], to: SourceId) -> Result<Moved> {
        if !self.audience().admits_source(to) {
            return Err(Error::NotFound("source"));
        }
        let mut cx = self.write().await?;
        // In the order of their ids, so that two moves cannot wait for each other.
        let mut locked: Vec<_> = from.iter().copied().chain([to]).collect();
        locked.sort_unstable();
        locked.dedup();
        for source in locked {
            sources::lock(&mut cx, self.key(), source).await?;
        }
        let list = json_list(ids)?;
        let found = q!(
            cx,
            fetch_all as (Uuid, Uuid),
            "SELECT id, source_id FROM document WHERE workspace_id = $1 AND {key id: $2} AND gone IS NULL",
            self.key(),
            &list
        )?;
        for id in ids {
            match found.iter().find(|(found, _)| *found == id.0) {
                None => return Ok(Moved::NoSuchDocument(*id)),
                Some((_, source)) if *source != to.0 && !from.contains(&SourceId(*source)) => {
                    return Ok(Moved::Elsewhere(*id));
                }
                Some(_) => {}
            }
        }
        let moving: Vec<_> = found.iter().filter(|(_, source)| *source != to.0).map(|(id, _)| *id).collect();
        if moving.is_empty() {
            return Ok(Moved::Moved { moved: 0, position: None });
        }
        let list = json_list(&moving)?;
        let taken = q!(
            cx,
            fetch_optional as (String),
            "SELECT m.external_id FROM document m
             JOIN document o ON o.workspace_id = m.workspace_id AND o.external_id = m.external_id AND o.id <> m.id
             WHERE m.workspace_id = $1 AND {key m.id: $2} AND (o.source_id = $3 OR {key o.id: $2}) ORDER BY m.external_id LIMIT 1",
            self.key(),
            &list,
            to.0
        )?;
        if let Some(external_id) = taken {
            return Ok(Moved::NameTaken(external_id));
        }
        let position = self.next_position(&mut cx).await?;
        let moved = q!(
            cx,
            execute,
            "UPDATE document SET source_id = $3, change_seq = $4, container = NULL WHERE workspace_id = $1 AND {key id: $2}",
            self.key(),
            &list,
            to.0,
            position
        )?;
        cx.commit().await?;
        Ok(Moved::Moved { moved: i64::try_from(moved).unwrap_or(i64::MAX), position: Some(position) })
    }
}
