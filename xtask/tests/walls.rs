//! The walls between the crates: who may depend on what, as `deny.toml` says it, read from `Cargo.toml` and
//! `Cargo.lock` alone, so that a new dependency over a wall fails the tests wherever they run.

use std::{collections::BTreeSet, fs, path::Path};

use toml::{Table, Value};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a directory of the checkout")
}

fn read(path: impl AsRef<Path>) -> Table {
    let path = root().join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tables<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().expect("a text")
}

/// The names of a package's direct dependencies in the lock file (`"name"` or `"name version"`).
fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    tables(package, "dependencies").filter_map(|entry| entry.as_str()?.split(' ').next())
}

#[test]
fn only_the_crates_named_in_deny_toml_depend_on_a_guarded_crate() {
    let lock = Value::Table(read("Cargo.lock"));
    let deny = read("deny.toml");
    let mut breaches = Vec::new();
    for guarded in tables(&deny["bans"], "deny") {
        let name = text(guarded, "crate");
        let allowed: BTreeSet<&str> = tables(guarded, "wrappers").filter_map(Value::as_str).collect();
        for package in tables(&lock, "package").filter(|package| dependencies(package).any(|one| one == name)) {
            let user = text(package, "name");
            if !allowed.contains(user) {
                breaches.push(format!("{user} depends on {name}: {}", text(guarded, "reason")));
            }
        }
        for wrapper in allowed {
            let uses = tables(&lock, "package")
                .any(|package| text(package, "name") == wrapper && dependencies(package).any(|one| one == name));
            if !uses {
                breaches.push(format!("deny.toml lets {wrapper} depend on {name}, but it does not"));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

/// `core ← store, search, sandbox ← host`, connectors see the SDK alone, tools see nothing.
#[test]
fn crates_of_the_workspace_depend_on_each_other_in_one_direction() {
    let allowed: &[(&str, &[&str])] = &[
        ("tributary-core", &[]),
        ("tributary-store", &["tributary-core"]),
        ("tributary-search", &["tributary-core"]),
        ("tributary-sandbox", &["tributary-core"]),
        ("tributary-egress", &["tributary-core"]),
        (
            "tributary",
            &[
                "tributary-core",
                "tributary-store",
                "tributary-search",
                "tributary-sandbox",
                "tributary-egress",
                "tributary-scenario", // `tributary plugin test` plays what the SDK plays
                "tributary-recipes",  // `tributary recipe`
            ],
        ),
        ("tributary-scenario", &[]),
        ("tributary-recipes", &[]),
        ("tributary-plugin-sdk", &["tributary-scenario"]),
        ("tributary-fakes", &["tributary-plugin-sdk"]),
        ("tributary-tests", &["tributary-store"]), // for throw-away databases
        ("xtask", &[]),
    ];
    let connector: &[&str] = &["tributary-plugin-sdk"];
    let members = read("Cargo.toml");
    for member in tables(&members["workspace"], "members").filter_map(Value::as_str) {
        let manifest = Value::Table(read(Path::new(member).join("Cargo.toml")));
        let name = text(&manifest["package"], "name");
        let may = allowed.iter().find(|(one, _)| *one == name).map_or(connector, |(_, may)| may);
        // Normal ones: a test or benchmark may look over a wall.
        let uses = manifest.get("dependencies").and_then(Value::as_table).into_iter().flat_map(Table::keys);
        let breaches: Vec<_> =
            uses.filter(|one| one.starts_with("tributary") && !may.contains(&one.as_str())).collect();
        assert!(breaches.is_empty(), "{name} may depend on {may:?} of this workspace, not on {breaches:?}");
    }
}
