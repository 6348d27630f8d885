//! The audit log as a service: what is recorded of requests and log-ins, and how much of it strangers may fill.

mod strangers;

use std::{net::IpAddr, sync::Arc};

use futures::stream::Stream;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;
use tributary_core::{Clock, UserId};
use tributary_store::{AuditEvent, AuditFilter, AuditOutcome, Db, NewAuditEvent, Page, Result};

use crate::auth;
use strangers::{Strangers, Turn};

/// The actor of an event nobody known caused.
pub const ANONYMOUS: &str = "anonymous";

/// Where an action came from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The request's id.
    pub request_id: Option<String>,
}

/// The audit service.
#[derive(Clone)]
pub struct Audit {
    db: Db,
    clock: Arc<dyn Clock>,
    strangers: Arc<Strangers>,
    tasks: TaskTracker,
}

impl Audit {
    /// Wired. What is being recorded when the server stops is waited for with `tasks`.
    pub fn new(db: Db, clock: Arc<dyn Clock>, tasks: TaskTracker) -> Self {
        Self { db, clock, strangers: Arc::default(), tasks }
    }

    /// An event of now, to be completed.
    pub fn event(&self, action: String, origin: Origin) -> NewAuditEvent {
        NewAuditEvent {
            at: self.clock.now(),
            actor: ANONYMOUS.to_owned(),
            action,
            workspace_id: None,
            target: String::new(),
            from_ip: origin.ip.map(|ip| ip.to_string()),
            request_id: origin.request_id,
            outcome: AuditOutcome::Ok,
            detail: json!({}),
        }
    }

    /// Records an event. What is begun is finished, also when the caller goes away; wait for the handle to know it done. A failure is
    /// logged and changes nothing for the caller: what the event tells of has happened.
    pub fn record(&self, mut event: NewAuditEvent) -> tokio::task::JoinHandle<()> {
        let this = self.clone();
        self.tasks.spawn(async move {
            if event.actor == ANONYMOUS {
                match this.strangers.turn(event.at) {
                    Turn::Refused => return,
                    Turn::Granted { skipped: 0 } => {}
                    Turn::Granted { skipped } => event.detail["skipped"] = Value::from(skipped),
                }
            }
            let (action, request_id) = (event.action.clone(), event.request_id.clone());
            if let Err(error) = this.db.system().append_audit(event).await {
                tracing::error!(%error, action, request_id, "the audit log could not be written: this event is missing in it");
            }
        })
    }

    /// Records a log-in, given what came of it. Of the address that was typed only the domain is kept: people type passwords there.
    pub async fn log_in(&self, email: &str, entered: Result<UserId, &auth::Error>, origin: Origin) {
        let mut event = self.event("POST /api/v1/auth/login".to_owned(), origin);
        event.outcome = match entered {
            Ok(user) => {
                event.actor = format!("user:{user}");
                AuditOutcome::Ok
            }
            Err(auth::Error::WrongCredentials) => AuditOutcome::Denied,
            Err(_) => AuditOutcome::Failed,
        };
        event.detail = json!({ "email_domain": domain(email) });
        let _ = self.record(event).await;
    }

    /// Events of the whole instance, newest first. `before` is the `seq` of the last one of the page before.
    pub async fn list(&self, filter: &AuditFilter, before: Option<i64>, limit: i64) -> Result<Page<AuditEvent>> {
        self.db.system().list_audit(filter, before, limit).await
    }

    /// Events of the whole instance, oldest first.
    pub fn export(&self, filter: AuditFilter) -> impl Stream<Item = Result<AuditEvent>> + Send + use<> {
        self.db.system().export_audit(filter)
    }
}

/// The part after the `@` when it looks like a domain.
fn domain(email: &str) -> Option<String> {
    let (_, domain) = email.trim().rsplit_once('@')?;
    let plain = domain.len() <= 253 && domain.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '.');
    (plain && !domain.is_empty()).then(|| domain.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_domain_of_an_address_is_kept() {
        assert_eq!(domain("Somebody@Example.COM "), Some("example.com".to_owned()));
        assert_eq!(domain("correct horse battery staple"), None);
        assert_eq!(domain("p@ss word"), None);
        assert_eq!(domain("a@"), None);
        assert_eq!(domain(&format!("a@{}", "x".repeat(300))), None);
    }
}
