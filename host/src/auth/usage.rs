//! What keys are used for, added up in memory and written every few seconds: no write per request.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;
use tributary_core::{
    Clock, Instant, KeyId, WorkspaceId,
    principal::{Actor, Principal},
};
use tributary_store::{Db, KeyUse};

/// How long use may stay unwritten; a killed server forgets so much.
const EVERY: TimeDelta = TimeDelta::seconds(5);

/// Adds up the use of keys.
pub struct KeyUseMeter {
    db: Db,
    clock: Arc<dyn Clock>,
    open: Mutex<Open>,
}

struct Open {
    since: Instant,
    uses: HashMap<(WorkspaceId, KeyId), (i64, i64)>,
}

impl KeyUseMeter {
    pub(super) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        let open = Mutex::new(Open { since: clock.now(), uses: HashMap::new() });
        Self { db, clock, open }
    }

    /// One request of a key; nothing for people.
    pub(super) fn count_request(&self, principal: &Principal) {
        self.count(principal, 1, 0);
    }

    fn count(&self, principal: &Principal, requests: i64, tokens: i64) {
        let (Actor::Key(key) | Actor::Visitor { key, .. }, [grant]) = (principal.actor, principal.grants.as_slice())
        else {
            return;
        };
        let mut open = self.open.lock().unwrap_or_else(|broken| broken.into_inner());
        let used = open.uses.entry((grant.workspace_id, key)).or_default();
        used.0 += requests;
        used.1 += tokens;
    }

    pub(super) async fn flush_when_due(&self) {
        let due = {
            let open = self.open.lock().unwrap_or_else(|broken| broken.into_inner());
            self.clock.now() - open.since >= EVERY
        };
        if due {
            self.flush().await;
        }
    }

    /// Writes what was added up; what cannot be written is tried again next time.
    pub async fn flush(&self) {
        let uses = {
            let mut open = self.open.lock().unwrap_or_else(|broken| broken.into_inner());
            open.since = self.clock.now();
            std::mem::take(&mut open.uses)
        };
        let rows: Vec<_> = uses
            .iter()
            .map(|((workspace_id, key_id), (requests, tokens))| KeyUse {
                workspace_id: *workspace_id,
                key_id: *key_id,
                requests: *requests,
                tokens: *tokens,
            })
            .collect();
        if let Err(error) = self.db.system().record_key_use(&rows, self.clock.now()).await {
            tracing::warn!(%error, "the use of keys could not be written; it is kept for the next time");
            let mut open = self.open.lock().unwrap_or_else(|broken| broken.into_inner());
            for (key, (requests, tokens)) in uses {
                let used = open.uses.entry(key).or_default();
                used.0 += requests;
                used.1 += tokens;
            }
        }
    }
}
