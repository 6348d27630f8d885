//! Checks a configuration against the connector's JSON Schema (2020-12), with a pointer to each field at fault.

use jsonschema::{Validator, error::ValidationErrorKind};
use serde_json::Value;

use super::FieldFault;

/// More than these help nobody.
const MOST_FAULTS: usize = 20;

/// The fields at fault; empty when the configuration fits. Fails only when the schema itself is broken.
pub(super) fn faults(schema: &Value, config: &Value) -> anyhow::Result<Vec<FieldFault>> {
    Ok(faults_by(&validator(schema)?, config))
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
