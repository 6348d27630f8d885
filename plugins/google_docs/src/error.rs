//! What Google's errors mean, by their reason and not by their status: a 403 is quota, permission, size or a switch.
//! <https://developers.google.com/workspace/drive/api/guides/handle-errors>

use serde::Deserialize;
use tributary_plugin_sdk::{Failure, Fault, HttpResponse};

use crate::api::SCOPE;

/// Codes of failures that are of one item and never of a run.
pub(crate) const FORBIDDEN: &str = "file_forbidden";
pub(crate) const NOT_FOUND: &str = "file_not_found";
pub(crate) const EXPORT_TOO_LARGE: &str = "export_too_large";
/// The request was refused as such: for a request with a token of a page or of the feed, the token is not valid any more.
pub(crate) const INVALID_REQUEST: &str = "invalid_request";

/// How long to wait for a quota of a day.
const DAY_QUOTA_WAIT_MS: u64 = 3_600_000;

/// `{"error": {…}}`; any part may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Problem,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    message: String,
    /// `PERMISSION_DENIED`, …
    status: String,
    /// Drive's reasons.
    errors: Vec<Reason>,
    /// Those of newer interfaces.
    details: Vec<Reason>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reason {
    reason: String,
}

/// The failure that an answer outside of 2xx means. `body` is its beginning.
pub(crate) fn classify(response: &HttpResponse, body: &[u8]) -> Failure {
    let status = response.status;
    let problem = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
    let reasons: Vec<&str> = problem.errors.iter().chain(&problem.details).map(|one| one.reason.as_str()).collect();
    let has = |names: &[&str]| reasons.iter().any(|reason| names.contains(reason));
    let said = quote(&problem.message);
    let mut failure = match status {
        _ if has(&["userRateLimitExceeded", "rateLimitExceeded", "sharingRateLimitExceeded", "RATE_LIMIT_EXCEEDED"])
            || status == 429 =>
        {
            let mut failure = Failure::rate_limited(0, format!("Google asks to slow down; it is tried again later{said}."));
            failure.retry_after_ms = response.retry_after_ms();
            failure
        }
        403 if has(&["dailyLimitExceeded", "quotaExceeded"]) => Failure::rate_limited(
            response.retry_after_ms().unwrap_or(DAY_QUOTA_WAIT_MS),
            format!("The day's quota of the Google Cloud project is used up; reading goes on when it is renewed{said}."),
        ),
        401 if has(&["required", "CREDENTIALS_MISSING"]) => Failure::new(
            Fault::AuthInvalid,
            "google_login_required",
            format!("Google got no token it understands; check the kind of the credential{said}."),
        )
        .at("/credential"),
        401 => Failure::new(
            Fault::AuthExpired,
            "google_token_rejected",
            format!("Google does not accept the credential any more; make a new key, or sign in again, and store it under the same name{said}."),
        )
        .at("/credential"),
        403 if has(&["accessNotConfigured", "SERVICE_DISABLED"]) => switched_off(response, &problem.message),
        403 if has(&["insufficientPermissions", "insufficientScopes", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"]) => {
            let what = format!(
                "The credential lacks the scope {SCOPE}: for OAuth sign in again with it, for a service account that acts for a user \
                 (`sub`) add it under domain-wide delegation in the Admin console."
            );
            Failure::permission("scope_missing", what).at("/credential")
        }
        403 if has(&["domainPolicy"]) => Failure::permission(
            "domain_policy",
            format!("The administrators of the Google Workspace do not allow apps to use Drive; ask them to allow this project{said}."),
        ),
        403 if has(&["exportSizeLimitExceeded"]) => {
            Failure::too_large(EXPORT_TOO_LARGE, "Google exports at most 10 MB, and it is longer; split the document.")
        }
        403 if has(&["cannotDownloadFile", "cannotExportFile", "fileNotDownloadable", "downloadQuotaExceeded"]) => {
            Failure::permission("not_downloadable", format!("Google does not let it be downloaded{said}; ask its owner to allow it."))
        }
        403 if has(&["cannotDownloadAbusiveFile"]) => {
            Failure::permission("marked_as_abusive", "Google marked it as malware or spam, so it is not read; delete it.")
        }
        403 => Failure::permission(
            FORBIDDEN,
            format!("The account of the credential may not read it; share it with that account{said}."),
        ),
        404 | 410 => Failure::not_found(NOT_FOUND, format!("It is not there, or not shared with the account of the credential{said}.")),
        400 => Failure::source_contract(INVALID_REQUEST, format!("Google refused the request as invalid{said}.")),
        408 | 500..=599 => {
            Failure::transient("google_unavailable", format!("Google has a problem (status {status}); it is tried again later{said}."))
        }
        _ => Failure::source_contract("unexpected_status", format!("Google answered with status {status}, which it never does{said}.")),
    };
    if failure.fault == Fault::Transient {
        failure.retry_after_ms = response.retry_after_ms();
    }
    failure.with_http_status(status)
}

/// Which interface is switched off, and where to switch it on. Google's message names the project.
fn switched_off(response: &HttpResponse, message: &str) -> Failure {
    let (name, service) = if response.url.contains("/v1/documents/") {
        ("Google Docs API", "docs.googleapis.com")
    } else {
        ("Google Drive API", "drive.googleapis.com")
    };
    let project: String = message
        .split("project ")
        .nth(1)
        .unwrap_or_default()
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    let query = if project.is_empty() { String::new() } else { format!("?project={project}") };
    let what = format!(
        "The {name} is switched off in the Google Cloud project of the credential; switch it on at \
         https://console.cloud.google.com/apis/library/{service}{query} and try again some minutes later."
    );
    Failure::permission("api_disabled", what)
}

/// What Google said, short, in one line.
fn quote(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.trim_end_matches('.').chars().take(200).collect();
    if line.is_empty() { String::new() } else { format!(" (Google says: {line})") }
}
