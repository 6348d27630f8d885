//! Middleware: every request that changes something leaves an event in the audit log, whoever sent it and however it ended. So do a few
//! that hand out much at once.
//!
//! Method, path template, ids of the path and status are recorded; bodies, query strings and headers never.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State},
    http::{Method, StatusCode},
    middleware::Next,
    response::Response,
};
use serde_json::json;
use tokio::task::JoinHandle;
use tributary_store::{AuditOutcome, NewAuditEvent};

use super::access::Caller;
use crate::{
    app::App,
    audit::{Audit, Origin},
};

/// They ask with POST but change nothing that needs a trace.
const QUESTIONS: [&str; 3] =
    ["/api/v1/chat", "/api/v1/knowledge/query", "/api/v1/workspaces/{workspace_id}/schedule-preview"];
/// They change nothing, but who asked for them is worth knowing: what a source answered, as a whole.
const DISCLOSURES: [&str; 1] = ["/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs/{run_id}/recording"];
/// Longest value of a path parameter that is recorded, in characters.
const LONGEST_ID: usize = 128;

/// Outside of the log-in check, so that strangers are recorded too.
pub(super) async fn record(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let recorded = |path: &str| if reads { DISCLOSURES.contains(&path) } else { !QUESTIONS.contains(&path) };
    let Some(path) = path.filter(|path| recorded(path)) else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    let Ok(origin) = Origin::from_request_parts(&mut parts, &app).await;
    let mut event = app.audit.event(format!("{} {path}", parts.method), origin);
    if let Ok(params) = RawPathParams::from_request_parts(&mut parts, &()).await {
        let named = |(name, value): (&str, &str)| format!("{name}={}", plain(value));
        event.workspace_id =
            params.iter().find(|(name, _)| *name == "workspace_id").and_then(|(_, value)| value.parse().ok());
        event.target =
            params.iter().filter(|(name, _)| *name != "workspace_id").map(named).collect::<Vec<_>>().join(" ");
    }
    let pending = Pending { audit: app.audit.clone(), event: Some(event) };
    let response = next.run(Request::from_parts(parts, body)).await;
    // An answer that was seen is in the log.
    if let Some(recorded) = pending.answered(&response) {
        let _ = recorded.await;
    }
    response
}

/// Printable, without spaces, and short.
fn plain(value: &str) -> String {
    value.chars().map(|c| if c.is_control() || c.is_whitespace() { '_' } else { c }).take(LONGEST_ID).collect()
}

/// An event whose request has no answer yet. Dropped without one (a panic, a timeout, a client that went away), it is recorded as failed:
/// what was asked for may have happened.
struct Pending {
    audit: Audit,
    event: Option<NewAuditEvent>,
}

impl Pending {
    fn answered(mut self, response: &Response) -> Option<JoinHandle<()>> {
        let mut event = self.event.take()?;
        let caller = response.extensions().get::<Caller>();
        if let Some(Caller(principal)) = caller {
            event.actor = principal.label();
        }
        // In a workspace's own log stands what its people did. What others tried is for the administrators of the server to see: a
        // stranger writes into nobody's log, and no workspace learns who they are.
        let belongs = |workspace| caller.is_some_and(|Caller(principal)| principal.access(workspace).is_some());
        if let Some(workspace) = event.workspace_id.take_if(|workspace| !belongs(*workspace)) {
            event.target = format!("workspace_id={workspace} {}", event.target).trim_end().to_owned();
        }
        event.outcome = match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => AuditOutcome::Denied,
            status if status.is_client_error() || status.is_server_error() => AuditOutcome::Failed,
            _ => AuditOutcome::Ok,
        };
        event.detail = json!({ "status": response.status().as_u16() });
        Some(self.audit.record(event))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(mut event) = self.event.take() {
            event.outcome = AuditOutcome::Failed;
            event.detail = json!({ "status": null });
            drop(self.audit.record(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_of_a_path_is_printable_and_short() {
        assert_eq!(plain("0189-a"), "0189-a");
        assert_eq!(plain("a\0b c\nd"), "a_b_c_d");
        assert_eq!(plain(&"ä".repeat(500)).chars().count(), LONGEST_ID);
    }
}
