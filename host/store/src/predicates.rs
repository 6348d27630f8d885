//! What would happen without a tenant predicate: one binary of tests plays through all of them.
//!
//! The environment variable [`DROPPED`] names a predicate as `file:line:n`: the statement whose `q!` stands there, and which of its
//! tenant predicates, from 0. That one then holds for every row. Compiled for tests only.

use std::{borrow::Cow, ops::Range};

/// The environment variable.
pub const DROPPED: &str = "TRIBUTARY_TEST_DROP_PREDICATE";

/// Where in an SQL text a workspace is asked for: `d.workspace_id = $1`, `v.workspace_id = d.workspace_id`, and `id = $1` of the
/// table `workspace` itself.
pub fn predicates(sql: &str) -> Vec<Range<usize>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    let mut found = Vec::new();
    for (equals, operator) in sql.match_indices(" = ") {
        let left = sql[..equals].rfind(|c| !is_name(c)).map_or(0, |before| before + 1);
        let right = equals + operator.len();
        let end = sql[right..].find(|c| !is_name(c)).map_or(sql.len(), |length| right + length);
        let column = &sql[left..equals];
        let of_workspace =
            column == "id" && [" workspace WHERE ", "+ 1 WHERE "].iter().any(|it| sql[..left].ends_with(it));
        if column.rsplit('.').next() == Some("workspace_id") || of_workspace {
            found.push(left..end);
        }
    }
    found
}

/// The text of the statement at `file:line`, without the predicate that is to be dropped if it is one of its own.
///
/// # Panics
/// When the statement has no such predicate.
pub(crate) fn reduced(at: &str, sql: &'static str) -> Cow<'static, str> {
    let dropped = std::env::var(DROPPED).unwrap_or_default();
    match dropped.rsplit_once(':') {
        Some((place, n)) if place == at => {
            let n: usize = n.parse().expect("the predicate's number");
            let predicate =
                predicates(sql).into_iter().nth(n).expect("a statement has the predicates its source shows");
            // Both halves keep the parameter, so that PostgreSQL knows its type.
            let asked = &sql[predicate.clone()];
            Cow::Owned(format!("{}({asked} OR NOT {asked}){}", &sql[..predicate.start], &sql[predicate.end..]))
        }
        _ => Cow::Borrowed(sql),
    }
}

#[cfg(test)]
mod tests {
    use super::predicates;

    #[test]
    fn every_way_to_ask_for_a_workspace_is_found() {
        for (sql, expected) in [
            ("SELECT * FROM run WHERE workspace_id = $1 AND id = $2", vec!["workspace_id = $1"]),
            (
                "{look up chunk c: c.workspace_id = $1} JOIN run r ON r.workspace_id = c.workspace_id",
                vec!["c.workspace_id = $1", "r.workspace_id = c.workspace_id"],
            ),
            ("SELECT change_seq FROM workspace WHERE id = $1", vec!["id = $1"]),
            ("UPDATE workspace SET change_seq = change_seq + 1 WHERE id = $1", vec!["id = $1"]),
            ("SELECT id FROM app_user WHERE id = $1", vec![]),
        ] {
            let found: Vec<_> = predicates(sql).into_iter().map(|range| &sql[range]).collect();
            assert_eq!(found, expected, "{sql}");
        }
    }
}
