//! The contract's types as scenarios know them.

use tributary_core::{contract, fields};
use tributary_sandbox::Blobs;
use tributary_scenario as scenario;

/// A page; of longer texts than `most_chars` the beginning.
pub(super) fn changes(
    changes: Vec<contract::Change>,
    blobs: &Blobs,
    most_chars: usize,
) -> Result<Vec<scenario::Change>, contract::Failure> {
    let change = |change| {
        Ok(match change {
            contract::Change::Upsert(one) => scenario::Change::Upsert(document(one, blobs, most_chars)?),
            contract::Change::Container(one) => scenario::Change::Container {
                external_id: one.external_id,
                fingerprint: one.fingerprint,
                unchanged: one.unchanged,
            },
            contract::Change::Delete(id, why) => scenario::Change::Delete(id, why.as_str().to_owned()),
            contract::Change::Failed(id, one) => scenario::Change::Failed(id, failure(one)),
        })
    };
    changes.into_iter().map(change).collect()
}

fn document(
    document: contract::Document,
    blobs: &Blobs,
    most_chars: usize,
) -> Result<scenario::Document, contract::Failure> {
    let (text, media_type, size_bytes) = match document.content {
        contract::Content::Sections(sections) => {
            let size_bytes = sections.iter().map(|section| section.text.len() as u64).sum();
            let parts = sections.iter().map(|section| (section.heading.as_slice(), section.text.as_str()));
            (Some(scenario::joined(parts)), None, size_bytes)
        }
        contract::Content::Blob { blob, media_type } => {
            let blob = blobs.get(blob)?;
            // Four bytes are the longest character.
            let bytes = blob.read(0, (most_chars as u64).saturating_mul(4))?;
            (Some(String::from_utf8_lossy(&bytes).into_owned()), Some(media_type), blob.size_bytes())
        }
        contract::Content::Unchanged => (None, None, 0),
    };
    let text = text.map(|text| match text.char_indices().nth(most_chars) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    });
    let fields = document.fields.into_iter().filter_map(|(name, value)| Some((name, fields::to_json(value)?)));
    Ok(scenario::Document {
        external_id: document.external_id,
        title: document.title,
        kind: document.kind,
        language: document.language,
        text,
        media_type,
        size_bytes,
        fields: fields.collect(),
        url: document.provenance.url,
        modified_at_ms: document.provenance.modified_at,
        fingerprint: document.fingerprint,
        container: document.container,
    })
}

pub(super) fn next(next: contract::Next) -> scenario::Next {
    match next {
        contract::Next::More => scenario::Next::More,
        contract::Next::WaitMs(ms) => scenario::Next::WaitMs(ms),
        contract::Next::Complete => scenario::Next::Complete,
        contract::Next::CompleteExhaustive => scenario::Next::CompleteExhaustive,
    }
}

pub(super) fn checked(item: contract::CheckItem) -> scenario::Checked {
    scenario::Checked {
        name: item.name,
        status: match item.status {
            contract::CheckStatus::Ok => "ok",
            contract::CheckStatus::Warning => "warning",
            contract::CheckStatus::Failed => "failed",
        }
        .to_owned(),
        message: item.message,
        config_pointer: item.config_pointer,
    }
}

pub(super) fn failure(failure: contract::Failure) -> scenario::Failure {
    scenario::Failure {
        fault: failure.fault.as_str().to_owned(),
        code: failure.code,
        message: failure.message,
        retry_after_ms: failure.retry_after_ms,
        config_pointer: failure.config_pointer,
        http_status: failure.http_status,
    }
}

/// A failure that a scenario scripts for the host.
pub(super) fn host_failure(failure: scenario::Failure) -> contract::Failure {
    let fault = serde_json::from_value(failure.fault.into()).unwrap_or(contract::Fault::Internal);
    contract::Failure {
        fault,
        code: failure.code,
        message: failure.message,
        retry_after_ms: failure.retry_after_ms,
        config_pointer: failure.config_pointer,
        http_status: failure.http_status,
    }
}
