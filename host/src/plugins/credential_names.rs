//! The credentials that a configuration names: its values where the connector's schema says `"x-credential": true`.

use std::collections::BTreeSet;

use serde_json::Value;

/// Deeper schemas are not looked into.
const DEEPEST: usize = 32;

/// The names; empty when the schema marks none, so that its connector gets none.
pub(crate) fn credential_names(schema: &Value, config: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(schema, schema, config, DEEPEST, &mut names);
    names
}

fn collect(root: &Value, schema: &Value, value: &Value, depth: usize, names: &mut BTreeSet<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if schema.get("x-credential") == Some(&Value::Bool(true))
        && let Some(name) = value.as_str()
    {
        names.insert(name.to_owned());
    }
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(at.strip_prefix('#')?));
    if let Some(referred) = reference {
        collect(root, referred, value, depth, names);
    }
    for combined in ["allOf", "anyOf", "oneOf"] {
        for one in schema.get(combined).and_then(Value::as_array).into_iter().flatten() {
            collect(root, one, value, depth, names);
        }
    }
    for branch in ["then", "else"] {
        if let Some(one) = schema.get(branch) {
            collect(root, one, value, depth, names);
        }
    }
    if let (Some(Value::Object(properties)), Some(fields)) = (schema.get("properties"), value.as_object()) {
        for (name, schema) in properties {
            if let Some(value) = fields.get(name) {
                collect(root, schema, value, depth, names);
            }
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for value in values {
            collect(root, items, value, depth, names);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_are_found_wherever_the_schema_marks_them_and_nowhere_else() {
        let schema = json!({
            "$defs": {"auth": {"oneOf": [
                {"properties": {"kind": {"const": "none"}}},
                {"properties": {"credential": {"type": "string", "x-credential": true}, "user": {"type": "string"}}},
            ]}},
            "properties": {
                "auth": {"$ref": "#/$defs/auth"},
                "shops": {"type": "array", "items": {"properties": {"key": {"x-credential": true}, "url": {}}}},
                "note": {"x-credential": false},
                "again": {"$ref": "#"},
            },
        });
        let config = json!({
            "auth": {"credential": "shop", "user": "not-this"}, "note": "nor-this", "other": "nor-this",
            "shops": [{"key": "one", "url": "nor-this"}, {"key": "two"}, {"key": 3}],
            "again": {"auth": {"credential": "inner"}},
        });
        let names = credential_names(&schema, &config);
        assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["inner", "one", "shop", "two"]);
        assert!(credential_names(&json!({}), &config).is_empty());
        assert!(credential_names(&json!({"$ref": "#"}), &config).is_empty(), "a schema that goes in a circle ends");
    }
}
