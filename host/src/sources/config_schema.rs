//! Checks a configuration against the connector's JSON Schema (2020-12), with a pointer to each field at fault.

use std::{thread, time::Duration};

use jsonschema::{Validator, error::ValidationErrorKind};
use serde_json::Value;
use tokio::sync::oneshot;

use super::FieldFault;

/// More than these help nobody.
const MOST_FAULTS: usize = 20;

/// A stranger's schema may be made so that it takes for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs what a stranger's schema takes part in; `None` when that takes too long. It goes on then, in a thread that nobody waits for,
/// not even the end of the server.
pub(crate) async fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<Option<T>> {
    let (done, result) = oneshot::channel();
    // Nobody may be there any more to take it.
    thread::Builder::new().name("schema".to_owned()).spawn(move || drop(done.send(work())))?;
    match tokio::time::timeout(PATIENCE, result).await {
        Ok(result) => Ok(Some(result.map_err(|_| anyhow::anyhow!("checking a configuration ended early"))?)),
        Err(_) => Ok(None),
    }
}

/// The fields at fault; empty when the configuration fits. Fails only when the schema itself is broken.
pub(super) async fn faults(schema: &Value, config: &Value) -> anyhow::Result<Vec<FieldFault>> {
    let (schema, config) = (schema.clone(), config.clone());
    let looked = in_time(move || Ok(faults_by(&validator(&schema)?, &config))).await?;
    looked.unwrap_or_else(|| {
        let why = "this could not be held against the connector's schema in time; report it to the connector's author";
        Ok(vec![("/config".to_owned(), why.to_owned())])
    })
}

/// For many configurations. Fails when the schema is broken.
pub(crate) fn validator(schema: &Value) -> anyhow::Result<Validator> {
    jsonschema::draft202012::new(schema).map_err(|error| anyhow::anyhow!("the connector's schema is broken: {error}"))
}

/// The fields at fault; empty when the configuration fits.
pub(crate) fn faults_by(validator: &Validator, config: &Value) -> Vec<FieldFault> {
    validator
        .iter_errors(config)
        .take(MOST_FAULTS)
        .map(|error| {
            let mut pointer = format!("/config{}", error.instance_path());
            // A missing or superfluous field is itself at fault, not the object it stands in.
            match error.kind() {
                ValidationErrorKind::Required { property } => {
                    pointer.push_str(&segment(property.as_str().unwrap_or_default()))
                }
                ValidationErrorKind::AdditionalProperties { unexpected } => {
                    pointer.push_str(&segment(unexpected.first().map_or("", String::as_str)))
                }
                _ => {}
            }
            (pointer, error.to_string())
        })
        .collect()
}

fn segment(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}
