//! The audit log: one chain of events for the instance. Rows are added and never changed; triggers refuse anything else.
//!
//! Events are numbered from 1 without gaps, and each holds the hash of the one before (32 zero bytes before the first), so that a
//! change in the middle shows in everything after it. `audit_head` holds number and hash of the newest, so that a cut end shows too.
//! Whoever can rewrite the whole database can also compute a new chain; against that, keep the head that [`SystemDb::verify_audit`]
//! gives somewhere else.
//!
//! # The hash
//!
//! SHA-256 over the previous hash (32 bytes) and these fields in order, each as its length in bytes (32 bits, big-endian) and its UTF-8
//! text; an absent field is the length `ffffffff` alone:
//!
//! `"tributary-audit-1"`, seq (decimal), at (microseconds since 1970, decimal), actor, action, workspace id (hyphenated, lower case),
//! target, from_ip, request_id, outcome, detail (as stored).
//!
//! Test vector: the first event, at 2026-01-02T03:04:05.678901Z, actor `user:1`, action `DELETE /x`, workspace
//! `01890000-0000-7000-8000-000000000000`, target `source_id=2`, without address, request id `r-1`, outcome `ok`, detail
//! `{"status":204}` has the hash `d3741c97d9ad7c827c49b65dc313e4a8e85d4524365c4c758789067a284a061a`.

use chrono::SubsecRound;
use futures::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tributary_core::{Instant, WorkspaceId, hash::Sha256Hash};
use uuid::Uuid;

use crate::{
    db::Cx,
    dialect::q,
    error::{Error, Result},
    rows::{Page, limited, name_of, named, refuse_nul},
    tenant::{SystemDb, TenantDb},
};

/// Longest text of a field, in bytes; `detail` counts as its JSON.
const LONGEST_FIELD_BYTES: usize = 4_096;
/// Events that an export or a verification holds at once.
const BATCH: i64 = 500;

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditOutcome {
    /// It was done.
    Ok,
    /// The caller was not let: not logged in, not allowed, or not told that the thing exists.
    Denied,
    /// It was not done for another reason.
    Failed,
}

/// An event to be recorded. Texts have at most 4,096 bytes and no U+0000; secrets and bodies do not belong here.
#[derive(Clone, Debug)]
pub struct NewAuditEvent {
    /// When it happened; kept to the microsecond.
    pub at: Instant,
    /// Who, as `Principal::label` says it; `anonymous` for nobody known.
    pub actor: String,
    /// What: for requests the method and the path's template.
    pub action: String,
    /// In which workspace.
    pub workspace_id: Option<WorkspaceId>,
    /// To what, as `source_id=…`; empty when the action names nothing.
    pub target: String,
    /// The client's address.
    pub from_ip: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// What else there is to know: a JSON object.
    pub detail: Value,
}

/// A recorded event.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditEvent {
    /// Its number, from 1.
    pub seq: i64,
    /// When it happened.
    pub at: Instant,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// In which workspace.
    pub workspace_id: Option<WorkspaceId>,
    /// To what.
    pub target: String,
    /// The client's address.
    pub from_ip: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// What else there is to know.
    pub detail: Value,
    /// The hash of the event before.
    pub prev_hash: Sha256Hash,
    /// Its own.
    pub hash: Sha256Hash,
}

/// Which events; nothing set means all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditFilter {
    /// Of this workspace.
    pub workspace: Option<WorkspaceId>,
    /// By this actor.
    pub actor: Option<String>,
    /// Whose action begins so.
    pub action: Option<String>,
    /// From this moment on.
    pub since: Option<Instant>,
    /// Before this moment.
    pub until: Option<Instant>,
}

/// What verifying the chain found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditCheck {
    /// Every event follows from the one before.
    Whole {
        /// How many there are.
        events: i64,
        /// The hash of the newest: whoever keeps it elsewhere can tell a rewritten chain.
        head: Sha256Hash,
    },
    /// It does not hold.
    Broken {
        /// The first event at fault.
        seq: i64,
        /// What is wrong with it.
        fault: AuditFault,
    },
}

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum AuditFault {
    /// Its fields do not give its hash.
    #[error("was changed: its hash does not fit its fields")]
    Changed,
    /// It does not hold the hash of the event before.
    #[error("does not follow from the event before it: one of the two was replaced")]
    Unlinked,
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It comes after the newest that was appended.
    #[error("was added by something else than Tributary: it comes after the recorded end of the log")]
    Surplus,
    /// It should be the newest, but the recorded head has another hash.
    #[error("is not the newest event that was recorded: it or the recorded end of the log was replaced")]
    NotTheHead,
    /// The recorded head is gone.
    #[error("cannot be checked: the recorded end of the log is missing")]
    NoHead,
}

#[derive(sqlx_macros::FromRow)]
struct Head {
    seq: i64,
    hash: Vec<u8>,
}

#[derive(sqlx_macros::FromRow)]
struct Row {
    seq: i64,
    at: Instant,
    actor: String,
    action: String,
    workspace_id: Option<Uuid>,
    target: String,
    from_ip: Option<String>,
    request_id: Option<String>,
    outcome: String,
    detail: String,
    prev_hash: Vec<u8>,
    hash: Vec<u8>,
}

impl Row {
    /// What `hash` must be; the module says how.
    fn computed(&self) -> Sha256Hash {
        let (seq, at) = (self.seq.to_string(), self.at.timestamp_micros().to_string());
        let workspace = self.workspace_id.map(|id| id.to_string());
        let fields = [
            Some("tributary-audit-1"),
            Some(&seq),
            Some(&at),
            Some(&self.actor),
            Some(&self.action),
            workspace.as_deref(),
            Some(&self.target),
            self.from_ip.as_deref(),
            self.request_id.as_deref(),
            Some(&self.outcome),
            Some(&self.detail),
        ];
        let mut bytes = self.prev_hash.clone();
        for field in fields {
            // Fields are far shorter than 4 GiB, see `LONGEST_FIELD_BYTES`.
            let length = field.map_or(u32::MAX, |text| text.len() as u32);
            bytes.extend(length.to_be_bytes());
            bytes.extend(field.unwrap_or_default().as_bytes());
        }
        Sha256Hash::of(bytes)
    }
}

impl TryFrom<Row> for AuditEvent {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let hash = |bytes: Vec<u8>| {
            let bytes = bytes.try_into().map_err(|_| Error::Corrupt("an audit hash has not 32 bytes".to_owned()))?;
            Ok::<_, Error>(Sha256Hash(bytes))
        };
        Ok(Self {
            seq: row.seq,
            at: row.at,
            actor: row.actor,
            action: row.action,
            workspace_id: row.workspace_id.map(Into::into),
            target: row.target,
            from_ip: row.from_ip,
            request_id: row.request_id,
            outcome: named(&row.outcome)?,
            detail: serde_json::from_str(&row.detail).map_err(|error| Error::Corrupt(error.to_string()))?,
            prev_hash: hash(row.prev_hash)?,
            hash: hash(row.hash)?,
        })
    }
}

/// Appends an event in the transaction of what it tells of: both happen or neither. Call it last: from here to the commit, nobody else
/// appends.
pub(crate) async fn append(cx: &mut Cx, new: NewAuditEvent) -> Result<AuditEvent> {
    let detail = new.detail.to_string();
    let texts = [&new.actor, &new.action, &new.target, &detail].into_iter().chain(&new.from_ip).chain(&new.request_id);
    for text in texts {
        refuse_nul([text.as_str()])?;
        if text.len() > LONGEST_FIELD_BYTES {
            return Err(Error::Invalid(format!("a field of an audit event has at most {LONGEST_FIELD_BYTES} bytes")));
        }
    }
    let head = q!(cx, fetch_optional as Head, "SELECT seq, hash FROM audit_head WHERE id = 1 {lock}")?;
    let head = head.ok_or_else(|| Error::Corrupt("the recorded end of the audit log is missing".to_owned()))?;
    let mut row = Row {
        seq: head.seq + 1,
        at: new.at.trunc_subsecs(6),
        actor: new.actor,
        action: new.action,
        workspace_id: new.workspace_id.map(|id| id.0),
        target: new.target,
        from_ip: new.from_ip,
        request_id: new.request_id,
        outcome: name_of(&new.outcome),
        detail,
        prev_hash: head.hash,
        hash: Vec::new(),
    };
    row.hash = row.computed().0.to_vec();
    q!(
        cx,
        execute,
        "INSERT INTO audit_event
             (seq, at, actor, action, workspace_id, target, from_ip, request_id, outcome, detail, prev_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, {json $10}, $11, $12)",
        row.seq,
        row.at,
        &row.actor,
        &row.action,
        row.workspace_id,
        &row.target,
        &row.from_ip,
        &row.request_id,
        &row.outcome,
        &row.detail,
        &row.prev_hash,
        &row.hash
    )?;
    q!(cx, execute, "UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1", row.seq, &row.hash)?;
    row.try_into()
}

impl SystemDb {
    /// Appends an event in a transaction of its own.
    pub async fn append_audit(&self, new: NewAuditEvent) -> Result<AuditEvent> {
        let mut cx = self.write().await?;
        let event = append(&mut cx, new).await?;
        cx.commit().await?;
        Ok(event)
    }

    /// Events, newest first. `before` is the `seq` of the last one of the page before.
    pub async fn list_audit(&self, filter: &AuditFilter, before: Option<i64>, limit: i64) -> Result<Page<AuditEvent>> {
        let limit = limited(limit);
        let before = before.unwrap_or(i64::MAX);
        let mut cx = self.read().await?;
        let rows = match filter.workspace {
            None => q!(
                cx,
                fetch_all as Row,
                "SELECT seq, at, actor, action, workspace_id, target, from_ip, request_id, outcome,
                     CAST(detail AS TEXT) AS detail, prev_hash, hash
                 FROM audit_event
                 WHERE seq < $1 AND ($3 IS NULL OR actor = $3) AND ($4 IS NULL OR substr(action, 1, length($4)) = $4)
                     AND ($5 IS NULL OR at >= $5) AND ($6 IS NULL OR at < $6)
                 ORDER BY seq DESC LIMIT $2",
                before,
                limit + 1,
                &filter.actor,
                &filter.action,
                filter.since,
                filter.until
            )?,
            Some(workspace) => q!(
                cx,
                fetch_all as Row,
                "SELECT seq, at, actor, action, workspace_id, target, from_ip, request_id, outcome,
                     CAST(detail AS TEXT) AS detail, prev_hash, hash
                 FROM audit_event
                 WHERE workspace_id = $7 AND seq < $1 AND ($3 IS NULL OR actor = $3)
                     AND ($4 IS NULL OR substr(action, 1, length($4)) = $4)
                     AND ($5 IS NULL OR at >= $5) AND ($6 IS NULL OR at < $6)
                 ORDER BY seq DESC LIMIT $2",
                before,
                limit + 1,
                &filter.actor,
                &filter.action,
                filter.since,
                filter.until,
                workspace.0
            )?,
        };
        Page::of(rows, limit).try_map(AuditEvent::try_from)
    }

    /// All events of a filter, oldest first. Holds a batch at a time, and no connection between two.
    pub fn export_audit(&self, filter: AuditFilter) -> impl Stream<Item = Result<AuditEvent>> + Send + use<> {
        let this = self.clone();
        let batches = stream::try_unfold(Some(0), move |after| {
            let (this, filter) = (this.clone(), filter.clone());
            async move {
                let Some(after) = after else { return Ok(None) };
                let rows = this.audit_after(&filter, after, BATCH).await?;
                let next = rows.last().filter(|_| rows.len() as i64 == BATCH).map(|row| row.seq);
                let events = rows.into_iter().map(AuditEvent::try_from);
                Ok::<_, Error>(Some((stream::iter(events), next)))
            }
        });
        futures::TryStreamExt::try_flatten(batches)
    }

    /// Reads the whole chain and says whether it holds, or where it first breaks.
    pub async fn verify_audit(&self) -> Result<AuditCheck> {
        let broken = |seq, fault| Ok(AuditCheck::Broken { seq, fault });
        // In one statement, so that an event appended meanwhile is in both or in neither.
        let mut cx = self.read().await?;
        let newest = q!(
            cx,
            fetch_one as (i64, Option<i64>, Option<Vec<u8>>),
            "SELECT COALESCE((SELECT MAX(seq) FROM audit_event), 0), (SELECT seq FROM audit_head), (SELECT hash FROM audit_head)"
        )?;
        drop(cx);
        let (newest, Some(head_seq), Some(head_hash)) = newest else { return broken(newest.0, AuditFault::NoHead) };
        let (mut seq, mut hash) = (0, vec![0; 32]);
        let mut batch = BATCH;
        while seq < newest {
            let rows = match self.audit_after(&AuditFilter::default(), seq, batch).await {
                // A field holds something that is not even of its type: on one by one, up to its event.
                Err(Error::Database(sqlx::Error::ColumnDecode { .. })) if batch > 1 => {
                    batch = 1;
                    continue;
                }
                Err(Error::Database(sqlx::Error::ColumnDecode { .. })) => return broken(seq + 1, AuditFault::Changed),
                rows => rows?,
            };
            if rows.is_empty() {
                break;
            }
            for row in rows.iter().take_while(|row| row.seq <= newest) {
                if row.seq != seq + 1 {
                    return broken(seq + 1, AuditFault::Missing);
                }
                if row.seq > head_seq {
                    return broken(row.seq, AuditFault::Surplus);
                }
                if row.computed().0 != *row.hash {
                    return broken(row.seq, AuditFault::Changed);
                }
                if row.prev_hash != hash {
                    return broken(row.seq, AuditFault::Unlinked);
                }
                (seq, hash) = (row.seq, row.hash.clone());
            }
        }
        if seq < head_seq {
            return broken(seq + 1, AuditFault::Missing);
        }
        if hash != head_hash {
            return broken(seq, AuditFault::NotTheHead);
        }
        let head = hash.try_into().map_err(|_| Error::Corrupt("an audit hash has not 32 bytes".to_owned()))?;
        Ok(AuditCheck::Whole { events: seq, head: Sha256Hash(head) })
    }

    /// The next batch, oldest first.
    async fn audit_after(&self, filter: &AuditFilter, after: i64, limit: i64) -> Result<Vec<Row>> {
        let mut cx = self.read().await?;
        Ok(q!(
            cx,
            fetch_all as Row,
            "SELECT seq, at, actor, action, workspace_id, target, from_ip, request_id, outcome,
                 CAST(detail AS TEXT) AS detail, prev_hash, hash
             FROM audit_event
             WHERE seq > $1 AND ($3 IS NULL OR actor = $3) AND ($4 IS NULL OR substr(action, 1, length($4)) = $4)
                 AND ($5 IS NULL OR at >= $5) AND ($6 IS NULL OR at < $6) AND ($7 IS NULL OR workspace_id = $7)
             ORDER BY seq LIMIT $2",
            after,
            limit,
            &filter.actor,
            &filter.action,
            filter.since,
            filter.until,
            filter.workspace.map(|id| id.0)
        )?)
    }
}

impl TenantDb {
    /// Events of this workspace, newest first, whatever workspace the filter names.
    pub async fn list_audit(&self, filter: &AuditFilter, before: Option<i64>, limit: i64) -> Result<Page<AuditEvent>> {
        let filter = AuditFilter { workspace: Some(self.workspace_id()), ..filter.clone() };
        self.system().list_audit(&filter, before, limit).await
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_that_the_module_documents() {
        let row = Row {
            seq: 1,
            at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
            actor: "user:1".to_owned(),
            action: "DELETE /x".to_owned(),
            workspace_id: Some("01890000-0000-7000-8000-000000000000".parse().unwrap()),
            target: "source_id=2".to_owned(),
            from_ip: None,
            request_id: Some("r-1".to_owned()),
            outcome: "ok".to_owned(),
            detail: r#"{"status":204}"#.to_owned(),
            prev_hash: vec![0; 32],
            hash: Vec::new(),
        };
        assert_eq!(row.computed().to_string(), "d3741c97d9ad7c827c49b65dc313e4a8e85d4524365c4c758789067a284a061a");
    }
}
