//! `docs/authentication.md` shows the table of `access.rs` as it is.
#![allow(clippy::unwrap_used)]

use serde::Serialize;
use tributary_core::access::{Power, RULES, Role};

const PAGE: &str = include_str!("../../../docs/authentication.md");

/// Its name in the API, in code marks.
fn name(it: impl Serialize) -> String {
    format!("`{}`", serde_json::to_value(it).unwrap().as_str().unwrap())
}

/// The cells of a line, without the one that describes the action.
fn cells(line: &str) -> Vec<String> {
    let mut cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    assert!(cells.len() > 1 && !cells.remove(1).is_empty(), "{line} describes nothing");
    cells
}

#[test]
fn the_documentation_shows_every_action_with_its_roles_and_scope() {
    let mut shown =
        PAGE.lines().skip_while(|line| !line.starts_with("| Action |")).take_while(|line| line.starts_with('|'));
    let roles = Role::ALL.map(|role| role.as_str().to_owned());
    let head = [&["Action".to_owned()], roles.as_slice(), &["Scope of a key".to_owned()]].concat();
    assert_eq!(cells(shown.next().unwrap_or_default()), head);

    let expected = RULES.map(|rule| {
        let allowed = Role::ALL.map(|role| if Power::Role(role).allows(rule.action) { "yes" } else { "no" }.to_owned());
        [&[name(rule.action)], allowed.as_slice(), &[rule.scope.map_or("none".to_owned(), name)]].concat()
    });
    assert_eq!(shown.skip(1).map(cells).collect::<Vec<_>>(), expected);
}
