//! What the host asks of a connector and an extractor, whatever they are made of.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tributary_core::{
    contract::{BrowseRequest, CheckItem, Choices, Descriptor, Extracted, Failure, Fault, Page, PullRequest},
    hash::Sha256Hash,
};

use crate::{blobs::Blob, services::HostServices};

/// Reads a source. Stateless: everything it needs comes in with the call, the cursor goes out.
///
/// What it returns has bounded lengths and counts, and its blobs exist; whether it makes sense is for the caller to check.
#[async_trait]
pub trait Connector: Send + Sync {
    /// What it is and what it needs.
    async fn describe(&self) -> Result<Descriptor, Failure>;

    /// Tries a configuration (JSON text) without reading anything for good.
    async fn check(&self, config: &str, services: &HostServices) -> Result<Vec<CheckItem>, Failure>;

    /// The next page. Blobs it names are in `services.blobs`, state it wrote in `services.state`.
    async fn pull(&self, request: &PullRequest, services: &HostServices) -> Result<Page, Failure>;

    /// A source's configuration (JSON text) as this version wants it, when it was made for another. One that has no such function
    /// leaves it as it is. It reaches nothing meanwhile.
    async fn upgrade_config(&self, from_version: &str, config: &str) -> Result<String, Failure> {
        let _ = from_version;
        Ok(config.to_owned())
    }

    /// What a source remembers between runs, as this version wants it, when another version wrote it; `None` forgets it. One that has
    /// no such function leaves it as it is. It reaches nothing meanwhile.
    async fn upgrade_state(
        &self,
        from_version: &str,
        state: BTreeMap<String, String>,
    ) -> Result<Option<BTreeMap<String, String>>, Failure> {
        let _ = from_version;
        Ok(Some(state))
    }

    /// Values to choose from for a field of the configuration.
    async fn browse(&self, request: &BrowseRequest, services: &HostServices) -> Result<Choices, Failure> {
        let _ = (request, services);
        Err(cannot_browse())
    }
}

/// What is said of a connector that offers no choices.
pub(crate) fn cannot_browse() -> Failure {
    let message = "the connector offers no values to choose from; its documentation says what to enter";
    Failure::new(Fault::Unsupported, "browse_unsupported", message)
}

/// Turns files of some formats into text. Pure: the same blob always gives the same sections.
pub trait Extractor: Send + Sync {
    /// What it is made of: two with the same digest say the same of a file.
    fn digest(&self) -> Sha256Hash;

    /// Someone to give files to, one after another. Files that must never meet, such as those of two sources, need two workers.
    fn worker(&self) -> Box<dyn ExtractorWorker>;
}

/// Extracts one file at a time.
#[async_trait]
pub trait ExtractorWorker: Send {
    /// The text of `blob`; `name` is the file name, a hint only.
    async fn extract(&mut self, blob: &Blob, media_type: &str, name: Option<&str>) -> Result<Extracted, Failure>;
}
