//! Errors in the shapes that Google documents.

use serde_json::json;

use crate::Answer;

/// Drive's: a reason in `errors`, and where newer interfaces know one, in `details`.
pub(crate) fn drive(status: u16, domain: &str, reason: &str, message: &str) -> Answer {
    Answer::json(&json!({ "error": {
        "code": status,
        "message": message,
        "errors": [{ "domain": domain, "reason": reason, "message": message }],
    } }))
    .with_status(status)
}

/// That of newer interfaces, such as Docs.
pub(crate) fn api(status: u16, name: &str, message: &str) -> Answer {
    Answer::json(&json!({ "error": { "code": status, "message": message, "status": name } })).with_status(status)
}

/// OAuth's.
pub(crate) fn oauth(status: u16, error: &str, description: &str) -> Answer {
    Answer::json(&json!({ "error": error, "error_description": description })).with_status(status)
}

pub(crate) fn not_found(id: &str) -> Answer {
    drive(404, "global", "notFound", &format!("File not found: {id}."))
}

pub(crate) fn bad_parameter(name: &str) -> Answer {
    drive(400, "global", "invalid", &format!("Invalid Value: {name}"))
}

/// An answer for a reason that Google documents, with its status and domain.
pub(crate) fn by_reason(reason: &str) -> Answer {
    let (status, domain, message) = match reason {
        "userRateLimitExceeded" => (403, "usageLimits", "User Rate Limit Exceeded"),
        "rateLimitExceeded" => (403, "usageLimits", "Rate Limit Exceeded"),
        "dailyLimitExceeded" => (403, "usageLimits", "Daily Limit Exceeded"),
        "sharingRateLimitExceeded" => (403, "global", "Rate limit exceeded."),
        "tooManyRequests" => (429, "usageLimits", "Rate Limit Exceeded"),
        "authError" => (401, "global", "Invalid Credentials"),
        "required" => (401, "global", "Login Required"),
        "insufficientPermissions" => {
            (403, "global", "Insufficient Permission: Request had insufficient authentication scopes.")
        }
        "insufficientFilePermissions" => {
            (403, "global", "The user does not have sufficient permissions for this file.")
        }
        "appNotAuthorizedToFile" => (403, "global", "The user has not granted the app 1014 read access to the file."),
        "forbidden" => (403, "global", "Forbidden"),
        "domainPolicy" => (403, "global", "The domain administrators have disabled Drive apps."),
        "accessNotConfigured" => (
            403,
            "usageLimits",
            "Google Drive API has not been used in project 1014 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/drive.googleapis.com/overview?project=1014 then retry.",
        ),
        "exportSizeLimitExceeded" => (403, "global", "This file is too large to be exported."),
        "cannotDownloadFile" => (403, "global", "This file cannot be downloaded by the user."),
        "backendError" => (500, "global", "Backend Error"),
        "unavailable" => (503, "global", "Service unavailable"),
        "notFound" => (404, "global", "File not found."),
        _ => (400, "global", "Bad Request"),
    };
    drive(status, domain, reason, message)
}
