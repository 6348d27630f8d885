//! What a connector that offers values to choose from must do: come to an end, and offer what its own schema takes.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::{About, Browse, Subject, World, faults};

/// Pages looked at for one field.
const MOST_PAGES: usize = 300;
/// Pages of the same place; more would be no list to choose from.
const LONGEST: usize = 100;
/// Schemas are looked into so deep.
const DEEPEST: usize = 16;

/// What is wrong with the choices of a connector, for a configuration that works.
///
/// # Errors
/// When the schema is broken.
pub(crate) fn problems(
    subject: &dyn Subject,
    about: &About,
    config: &Value,
    world: &dyn Fn() -> Arc<World>,
) -> Result<Vec<String>, String> {
    if !about.browses {
        return Ok(Vec::new());
    }
    let schema: Value = serde_json::from_str(&about.config_schema).map_err(|error| error.to_string())?;
    let mut fields = BTreeSet::new();
    marked(&schema, &schema, String::new(), DEEPEST, &mut fields);
    if fields.is_empty() {
        let problem = "it has the capability browse, and its schema marks no field \"x-browse\": true";
        return Ok(vec![problem.to_owned()]);
    }
    let mut problems = Vec::new();
    for pointer in fields {
        problems.extend(field(subject, about, config, &pointer, world)?);
    }
    Ok(problems)
}

fn field(
    subject: &dyn Subject,
    about: &About,
    config: &Value,
    pointer: &str,
    world: &dyn Fn() -> Arc<World>,
) -> Result<Vec<String>, String> {
    let text = config.to_string();
    let first = Browse { pointer: pointer.to_owned(), ..Browse::default() };
    let (mut seen, mut open) = (BTreeSet::from([first.clone()]), VecDeque::from([(first, 1)]));
    let mut problems = Vec::new();
    for _ in 0..MOST_PAGES {
        let Some((request, page)) = open.pop_front() else { break };
        let choices = match subject.browse(&text, &request, &world()) {
            Ok(choices) => choices,
            Err(failure) if failure.is_crash() => {
                problems.push(format!("looking for values of {pointer} breaks it: {failure}"));
                break;
            }
            // A scenario need not script what only browsing asks for.
            Err(_) => continue,
        };
        for value in choices.items.iter().filter_map(|choice| choice.value.as_deref()) {
            let Ok(value) = serde_json::from_str(value) else {
                problems.push(format!("it offers {value:?} for {pointer}, which is not JSON"));
                continue;
            };
            let chosen = with(config, pointer, &value);
            let refused = faults(&about.config_schema, &chosen)?;
            problems.extend(
                refused.first().map(|fault| {
                    format!("it offers {value} for {pointer}, which its own schema does not take: {fault}")
                }),
            );
        }
        if let Some(next) = choices.next {
            let more = Browse { after: Some(next), ..request.clone() };
            if page >= LONGEST || !seen.insert(more.clone()) {
                problems.push(format!("the choices for {pointer} do not end"));
                break;
            }
            // The list at hand before what lies under it.
            open.push_front((more, page + 1));
        }
        for opens in choices.items.into_iter().filter_map(|choice| choice.opens) {
            let under = Browse { at: Some(opens), after: None, ..request.clone() };
            if seen.insert(under.clone()) {
                open.push_back((under, 1));
            }
        }
    }
    Ok(problems)
}

/// Pointers to the fields that a schema marks, with `0` for the elements of lists.
fn marked(root: &Value, schema: &Value, pointer: String, depth: usize, found: &mut BTreeSet<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    if schema.get("x-browse") == Some(&Value::Bool(true)) {
        found.insert(pointer.clone());
    }
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(at.strip_prefix('#')?));
    if let Some(referred) = reference {
        marked(root, referred, pointer.clone(), depth, found);
    }
    for combined in ["allOf", "anyOf", "oneOf"] {
        for one in schema.get(combined).and_then(Value::as_array).into_iter().flatten() {
            marked(root, one, pointer.clone(), depth, found);
        }
    }
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let name = name.replace('~', "~0").replace('/', "~1");
        marked(root, schema, format!("{pointer}/{name}"), depth, found);
    }
    if let Some(items) = schema.get("items") {
        marked(root, items, format!("{pointer}/0"), depth, found);
    }
}

/// The configuration with a field set, and what the field stands in made where it is missing.
fn with(config: &Value, pointer: &str, value: &Value) -> Value {
    let mut whole = config.clone();
    let mut place = &mut whole;
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if place.is_null() {
            *place = if token == "0" { json!([]) } else { json!({}) };
        }
        place = match place {
            Value::Array(items) => {
                if items.is_empty() {
                    items.push(Value::Null);
                }
                &mut items[0]
            }
            Value::Object(fields) => fields.entry(token).or_insert(Value::Null),
            _ => return whole,
        };
    }
    *place = value.clone();
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_fields_are_found_and_set_wherever_they_stand() {
        let schema = json!({
            "$defs": {"folder": {"type": "string", "x-browse": true}},
            "properties": {
                "folders": {"type": "array", "items": {"$ref": "#/$defs/folder"}},
                "a/b": {"properties": {"one": {"x-browse": true}, "two": {}}},
            },
        });
        let mut found = BTreeSet::new();
        marked(&schema, &schema, String::new(), DEEPEST, &mut found);
        assert_eq!(found, BTreeSet::from(["/folders/0".to_owned(), "/a~1b/one".to_owned()]));
        let chosen = with(&json!({"folders": ["old", "more"]}), "/folders/0", &json!("new"));
        assert_eq!(chosen, json!({"folders": ["new", "more"]}));
        assert_eq!(with(&json!({}), "/folders/0", &json!("new")), json!({"folders": ["new"]}));
        assert_eq!(with(&json!({}), "/a~1b/one", &json!(1)), json!({"a/b": {"one": 1}}));
    }
}
