//! The configuration's JSON Schema (2020-12).

use serde_json::Value;

/// More than these help nobody.
const MOST_FAULTS: usize = 20;

/// What is wrong with a configuration, one sentence each.
///
/// # Errors
/// When the schema itself is broken, with why.
pub fn faults(schema: &str, config: &Value) -> Result<Vec<String>, String> {
    let schema: Value = serde_json::from_str(schema).map_err(|error| format!("the schema is not JSON: {error}"))?;
    let validator =
        jsonschema::draft202012::new(&schema).map_err(|error| format!("the schema is not JSON Schema: {error}"))?;
    let sentence = |error: jsonschema::ValidationError<'_>| {
        let pointer = error.instance_path().to_string();
        if pointer.is_empty() { error.to_string() } else { format!("{pointer}: {error}") }
    };
    Ok(validator.iter_errors(config).take(MOST_FAULTS).map(sentence).collect())
}
