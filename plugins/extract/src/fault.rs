//! The failures that several formats share, each one sentence that says what to do.

use tributary_plugin_sdk::Failure;

/// It cannot be opened without a password. `what`: "The PDF".
pub(crate) fn encrypted(what: &str) -> Failure {
    Failure::unsupported(
        "encrypted",
        format!("{what} is protected with a password or by rights management. Save it without protection."),
    )
}

/// It says it is `what` and is not, or not any more.
pub(crate) fn damaged(what: &str, why: &str) -> Failure {
    Failure::source_contract("damaged", format!("{what} is damaged: {why}. Restore it or save it again."))
}

/// It is made to use up memory, or far larger than anything people read.
pub(crate) fn bomb(what: &str, why: &str) -> Failure {
    Failure::too_large("unpacks_too_large", format!("{what} {why}. Split it into smaller documents."))
}
