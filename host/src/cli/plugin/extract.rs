//! Blobs of a page as the server's extractor reads them.

use tributary_core::contract::{Change, Content, Document, Extracted};
use tributary_sandbox::{Blobs, Extractor, WasmExtractor};

use super::component;

/// The extractor that ships with this server.
pub(super) async fn open() -> anyhow::Result<WasmExtractor> {
    let sandbox = component::sandbox()?;
    let artifact = sandbox.install(crate::plugins::EXTRACT).await?;
    Ok(sandbox.extractor(artifact.digest)?)
}

/// The same changes, with text in the place of blobs. A file that cannot be read becomes a failed item, as on a server.
pub(super) async fn extracted(extractor: &WasmExtractor, changes: Vec<Change>, blobs: &Blobs) -> Vec<Change> {
    let mut worker = extractor.worker();
    let mut done = Vec::with_capacity(changes.len());
    for change in changes {
        done.push(match change {
            Change::Upsert(Document { content: Content::Blob { blob, ref media_type }, .. }) => {
                let media_type = media_type.clone();
                let Change::Upsert(document) = change else { continue };
                let name = document.external_id.rsplit('/').next().unwrap_or_default();
                let read = match blobs.get(blob) {
                    Ok(blob) => worker.extract(&blob, &media_type, Some(name)).await,
                    Err(failure) => Err(failure),
                };
                match read {
                    Ok(read) => Change::Upsert(with(document, read)),
                    Err(failure) => Change::Failed(document.external_id, failure),
                }
            }
            other => other,
        });
    }
    done
}

fn with(document: Document, read: Extracted) -> Document {
    Document {
        title: if document.title.is_empty() { read.title.unwrap_or_default() } else { document.title },
        language: document.language.or(read.language),
        content: Content::Sections(read.sections),
        ..document
    }
}
