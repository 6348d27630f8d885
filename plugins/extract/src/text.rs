//! Plain text: one section, line ends unified.

use tributary_plugin_sdk::{Extracted, Failure};

use crate::outline::Outline;

pub(crate) fn extract(text: String) -> Result<Extracted, Failure> {
    let mut outline = Outline::default();
    *outline.text() = if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text };
    outline.finish(None, None)
}
