//! Recipes: configurations of the api connector for well-known services, with `{parameter}` places for what differs from one team to
//! the next. Each is a file of `data/`, embedded here.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A configuration to fill in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What it is called: `woocommerce`.
    pub name: String,
    /// What a person calls it.
    pub title: String,
    /// What is read, and how changes and deletions are found: a few sentences.
    pub description: String,
    /// Which credential it needs and how to get it, in one line.
    pub credential: String,
    /// What is filled in.
    pub parameters: Vec<Parameter>,
    /// The configuration, with the places.
    pub config: Value,
}

/// Something to fill in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// Stands in braces in the configuration.
    pub name: String,
    /// What it is, in one sentence.
    pub description: String,
    /// Whether it must be given. A member of the configuration that names one without a value is left out.
    #[serde(default)]
    pub required: bool,
    /// Its value when none is given.
    #[serde(default)]
    pub default: Option<String>,
    /// A value it could have.
    #[serde(default)]
    pub example: Option<String>,
}

/// Why a recipe was not filled in.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    /// There is no such recipe.
    #[error("There is no recipe `{name}`; there are {known}.")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is, with commas.
        known: String,
    },
    /// A parameter that must be given is not.
    #[error("The recipe `{recipe}` needs `{parameter}`: {description}")]
    Missing {
        /// The recipe.
        recipe: String,
        /// The parameter.
        parameter: String,
        /// What it is.
        description: String,
    },
    /// The recipe has no such parameter.
    #[error("The recipe `{recipe}` has no parameter `{parameter}`; it has {known}.")]
    NoParameter {
        /// The recipe.
        recipe: String,
        /// What was given.
        parameter: String,
        /// What there is, with commas.
        known: String,
    },
    /// A value that would change the configuration around it.
    #[error("`{parameter}` is one line without braces; give another value.")]
    Value {
        /// The parameter.
        parameter: String,
    },
}

static RECIPES: LazyLock<Vec<Recipe>> = LazyLock::new(|| {
    let files = [
        include_str!("../data/woocommerce.json"),
        include_str!("../data/shopify.json"),
        include_str!("../data/bigcommerce.json"),
        include_str!("../data/github-issues.json"),
        include_str!("../data/json-feed.json"),
        include_str!("../data/csv-feed.json"),
        include_str!("../data/xml-feed.json"),
    ];
    // A test reads every one of them.
    files.into_iter().filter_map(|file| serde_json::from_str(file).ok()).collect()
});

/// All recipes.
pub fn list() -> &'static [Recipe] {
    &RECIPES
}

/// A recipe by its name.
///
/// # Errors
/// [`Error::Unknown`].
pub fn get(name: &str) -> Result<&'static Recipe, Error> {
    list()
        .iter()
        .find(|recipe| recipe.name == name)
        .ok_or_else(|| Error::Unknown { name: name.to_owned(), known: names(list().iter().map(|recipe| &recipe.name)) })
}

/// The configuration of a recipe with these parameters.
///
/// # Errors
/// When a parameter is missing, unknown, or not one line without braces.
pub fn render(name: &str, given: &BTreeMap<String, String>) -> Result<Value, Error> {
    let recipe = get(name)?;
    for (parameter, value) in given {
        if !recipe.parameters.iter().any(|known| known.name == *parameter) {
            return Err(Error::NoParameter {
                recipe: recipe.name.clone(),
                parameter: parameter.clone(),
                known: names(recipe.parameters.iter().map(|known| &known.name)),
            });
        }
        if value.contains(['{', '}']) || value.chars().any(char::is_control) {
            return Err(Error::Value { parameter: parameter.clone() });
        }
    }
    let mut values = BTreeMap::new();
    for parameter in &recipe.parameters {
        let value = given.get(&parameter.name).map(|value| value.trim()).filter(|value| !value.is_empty());
        match value.or(parameter.default.as_deref()) {
            Some(value) => values.insert(parameter.name.as_str(), Some(value)),
            None if parameter.required => {
                return Err(Error::Missing {
                    recipe: recipe.name.clone(),
                    parameter: parameter.name.clone(),
                    description: parameter.description.clone(),
                });
            }
            None => values.insert(parameter.name.as_str(), None),
        };
    }
    Ok(fill(&recipe.config, &values).unwrap_or_default())
}

/// Fills the places of parameters; other braces are the connector's own. `None`: a parameter without a value is named.
fn fill(template: &Value, values: &BTreeMap<&str, Option<&str>>) -> Option<Value> {
    match template {
        Value::String(text) => {
            let mut filled = text.clone();
            for (name, value) in values {
                let place = format!("{{{name}}}");
                if filled.contains(&place) {
                    filled = filled.replace(&place, (*value)?);
                }
            }
            Some(Value::String(filled))
        }
        Value::Array(items) => {
            Some(items.iter().filter(|item| is_whole(item, values)).filter_map(|item| fill(item, values)).collect())
        }
        Value::Object(members) => {
            let filled = members.iter().filter_map(|(name, value)| Some((name.clone(), fill(value, values)?)));
            Some(Value::Object(filled.collect()))
        }
        other => Some(other.clone()),
    }
}

/// Whether an item of a list has all its texts: a field without the pointer to its value is none.
fn is_whole(item: &Value, values: &BTreeMap<&str, Option<&str>>) -> bool {
    let Value::Object(members) = item else { return true };
    members.values().filter(|member| member.is_string()).all(|member| fill(member, values).is_some())
}

fn names<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn example(recipe: &Recipe) -> BTreeMap<String, String> {
        let required = recipe.parameters.iter().filter(|parameter| parameter.required);
        required.map(|parameter| (parameter.name.clone(), parameter.example.clone().unwrap())).collect()
    }

    #[test]
    fn every_recipe_is_read_and_says_what_it_needs() {
        assert_eq!(list().len(), 7);
        for recipe in list() {
            for text in [&recipe.title, &recipe.description, &recipe.credential] {
                assert!(!text.is_empty(), "{}", recipe.name);
            }
            render(&recipe.name, &example(recipe)).unwrap();
            let text = recipe.config.to_string();
            for parameter in &recipe.parameters {
                assert!(text.contains(&format!("{{{}}}", parameter.name)), "{} of {}", parameter.name, recipe.name);
                assert!(parameter.required || parameter.default.is_some() || parameter.example.is_some());
            }
        }
    }

    #[test]
    fn what_is_wrong_with_parameters_is_said() {
        assert!(render("nothing", &BTreeMap::new()).unwrap_err().to_string().contains("there are `woocommerce`"));
        let missing = render("woocommerce", &BTreeMap::new()).unwrap_err().to_string();
        assert!(missing.contains("needs `shop`"), "{missing}");
        let recipe = get("woocommerce").unwrap();
        let with = |name: &str, value: &str| {
            let mut given = example(recipe);
            given.insert(name.to_owned(), value.to_owned());
            render("woocommerce", &given)
        };
        assert!(matches!(with("shop", "a{since}"), Err(Error::Value { .. })));
        assert!(matches!(with("shoe", "a"), Err(Error::NoParameter { .. })));
        assert_eq!(with("shop", "x.example").unwrap()["base_url"], "https://x.example/wp-json/wc/v3");
    }
}
