//! Where the two engines differ. Everything else is one SQL text.
//!
//! A query is written in the shared dialect with a few markers, expanded once per call site:
//!
//! | marker | meaning |
//! |---|---|
//! | `{ids $1}` | the ids of a JSON list of UUIDs, for `IN` |
//! | `{key j.id: $1}` | whether a key is one of such a list, found by its index whatever the planner believes of the table |
//! | `{among j.id: SELECT …}` | the same with what a query answers |
//! | `{texts $1}` | the strings of a JSON list, for `IN` |
//! | `{rows $1: a text, b uuid}` | a JSON list of objects as a table; types: text, int, bool, uuid, time, bytes (hex), json |
//! | `{look up document d: d.id = a.id}` | joins the row of a table that an index finds for each row so far, in that order |
//! | `{json $1}` | a text as a value of a JSON column that keeps it as it is |
//! | `{now}` | the database's clock (PostgreSQL), the machine's (SQLite) |
//! | `{later $1}` | that clock plus so many milliseconds |
//! | `{day d.at}` | the day of a moment in UTC: `2026-11-23` |
//! | `{lock}`, `{lock a, b}` | lock the rows read until the transaction ends; SQLite has one writer anyway |
//! | `{skip locked a}` | the same for rows of `a`, passing over those that somebody else has locked |
//! | `{alone a.id}` | whether nobody else who asks this has the id; if so it is ours until the transaction ends |
//! | `{running a.id}` | how many jobs of a workspace run now, even if the statement began before they did |
//!
//! `{look up}` lets neither planner walk the table instead, once for each row of the list. SQLite takes `CROSS JOIN` as that order;
//! PostgreSQL would do it on a table that was never analysed, such as one that a first sync is just filling, but cannot turn a
//! `LATERAL` with an `OFFSET` round.
//!
//! Times are RFC 3339 text in UTC on SQLite; as long as the year has four digits it sorts like the moments it names.

use std::{borrow::Cow, fmt::Write, sync::OnceLock};

/// One SQL text and its expansion for either engine.
pub(crate) struct Sql {
    text: &'static str,
    /// `file:line` of its `q!`.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "tests name statements by it"))]
    at: &'static str,
    sqlite: OnceLock<String>,
    postgres: OnceLock<String>,
}

impl Sql {
    pub(crate) const fn new(text: &'static str, at: &'static str) -> Self {
        Self { text, at, sqlite: OnceLock::new(), postgres: OnceLock::new() }
    }

    pub(crate) fn sqlite(&'static self) -> &'static str {
        self.sqlite.get_or_init(|| expand(&self.text(), sqlite))
    }

    pub(crate) fn postgres(&'static self) -> &'static str {
        self.postgres.get_or_init(|| expand(&self.text(), postgres))
    }

    /// What is expanded: the text, in tests perhaps without one of its predicates.
    fn text(&self) -> Cow<'static, str> {
        #[cfg(feature = "testing")]
        return crate::predicates::reduced(self.at, self.text);
        #[cfg(not(feature = "testing"))]
        Cow::Borrowed(self.text)
    }
}

fn expand(text: &str, marker: fn(&str, &str) -> String) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, tail) = after.split_once('}').expect("a marker in a query ends with }");
        let (name, argument) = inside.split_once(' ').unwrap_or((inside, ""));
        out.push_str(before);
        out.push_str(&marker(name, argument.trim()));
        rest = tail;
    }
    out.push_str(rest);
    out
}

fn sqlite(name: &str, argument: &str) -> String {
    match name {
        "ids" => format!("(SELECT unhex(value, '-') FROM json_each({argument}))"),
        "key" => {
            let (column, list) = key(argument);
            format!("{column} IN (SELECT unhex(value, '-') FROM json_each({list}))")
        }
        "among" => {
            let (column, query) = key(argument);
            format!("{column} IN ({query})")
        }
        "running" => format!(
            "(SELECT COUNT(*) FROM job WHERE state = 'leased' AND workspace_id = {argument} AND lease_until > {})",
            sqlite("now", "")
        ),
        "texts" => format!("(SELECT value FROM json_each({argument}))"),
        "now" => "strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now')".to_owned(),
        "later" => format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', (({argument}) / 1000.0) || ' seconds')"),
        "day" => format!("substr({argument}, 1, 10)"),
        "lock" | "skip" => String::new(),
        "alone" => "TRUE".to_owned(),
        "json" => argument.to_owned(),
        "look" => {
            let (table, name, condition) = look_up(argument);
            format!("CROSS JOIN {table} AS {name} ON {condition}")
        }
        "rows" => {
            let (list, columns) = columns(argument);
            let mut out = "(SELECT ".to_owned();
            for (at, (column, kind)) in columns.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                let value = match *kind {
                    "uuid" => format!("unhex(value->>'{column}', '-')"),
                    "bytes" => format!("unhex(value->>'{column}')"),
                    "json" => format!("nullif(value->'{column}', 'null')"),
                    _ => format!("value->>'{column}'"),
                };
                write!(out, "{comma}{value} AS {column}").expect("a String takes everything");
            }
            // LIMIT keeps SQLite from flattening the list into the outer query, where it might walk it once per row of a table.
            write!(out, " FROM json_each({list}) LIMIT -1)").expect("a String takes everything");
            out
        }
        _ => panic!("no marker is called {name}"),
    }
}

fn postgres(name: &str, argument: &str) -> String {
    match name {
        "ids" => {
            format!("(SELECT CAST(value AS uuid) FROM json_array_elements_text(CAST({argument} AS json)) AS value)")
        }
        // An array is no table: there is nothing to turn the join round with.
        "key" => {
            let (column, list) = key(argument);
            format!(
                "{column} = ANY (ARRAY(SELECT CAST(value AS uuid) FROM json_array_elements_text(CAST({list} AS json)) AS value))"
            )
        }
        "among" => {
            let (column, query) = key(argument);
            format!("{column} = ANY (ARRAY({query}))")
        }
        "running" => format!("running_jobs({argument})"),
        "texts" => format!("(SELECT value FROM json_array_elements_text(CAST({argument} AS json)) AS value)"),
        "now" => "clock_timestamp()".to_owned(),
        "later" => format!("(clock_timestamp() + ({argument}) * interval '1 millisecond')"),
        "day" => format!("to_char({argument} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"),
        "json" => format!("CAST({argument} AS json)"),
        "look" => {
            let (table, name, condition) = look_up(argument);
            format!("CROSS JOIN LATERAL (SELECT * FROM {table} AS {name} WHERE {condition} OFFSET 0) AS {name}")
        }
        "lock" if argument.is_empty() => "FOR NO KEY UPDATE".to_owned(),
        "lock" => format!("FOR NO KEY UPDATE OF {argument}"),
        // A lock of its own: that on a row would hold up whoever writes it for other reasons.
        "alone" => format!("pg_try_advisory_xact_lock(hashtextextended(CAST({argument} AS text), 7238641))"),
        "skip" => format!("FOR NO KEY UPDATE OF {} SKIP LOCKED", argument.trim_start_matches("locked ")),
        "rows" => {
            let (list, columns) = columns(argument);
            let mut selected = String::new();
            let mut declared = String::new();
            for (at, (column, kind)) in columns.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                let (value, kind) = match *kind {
                    "bytes" => (format!("decode({column}, 'hex') AS {column}"), "text"),
                    "int" => ((*column).to_owned(), "bigint"),
                    "bool" => ((*column).to_owned(), "boolean"),
                    "json" => ((*column).to_owned(), "jsonb"),
                    "time" => ((*column).to_owned(), "timestamptz"),
                    other => ((*column).to_owned(), other),
                };
                write!(selected, "{comma}{value}").expect("a String takes everything");
                write!(declared, "{comma}{column} {kind}").expect("a String takes everything");
            }
            format!("(SELECT {selected} FROM json_to_recordset(CAST({list} AS json)) AS item({declared}))")
        }
        _ => panic!("no marker is called {name}"),
    }
}

/// `j.id: $1` → column, parameter.
fn key(argument: &str) -> (&str, &str) {
    argument.split_once(": ").expect("{key column: $n}")
}

/// `up document d: d.id = a.id` → table, its name here, condition.
fn look_up(argument: &str) -> (&str, &str, &str) {
    let parts = argument.strip_prefix("up ").and_then(|rest| rest.split_once(": "));
    let (table, condition) = parts.expect("{look up table name: condition}");
    let (table, name) = table.split_once(' ').expect("a table and its name here");
    (table, name, condition)
}

/// `$1: a text, b uuid` → the parameter, and names with types.
fn columns(argument: &str) -> (&str, Vec<(&str, &str)>) {
    let (list, columns) = argument.split_once(':').expect("{rows $n: name type, …}");
    let columns = columns.split(',').map(|column| column.trim().split_once(' ').expect("a column has a type"));
    (list, columns.collect())
}

/// `q!(on, fetch_one as Row, SQL, args…)`, `q!(on, fetch_all as (Scalar), SQL, …)`, `q!(on, execute, SQL, …)` → rows affected.
///
/// `on` is a `&mut Cx`; SQL is one constant text with the markers above.
macro_rules! q {
    ($on:expr, execute, $sql:expr $(, $arg:expr)* $(,)?) => {{
        static SQL: $crate::dialect::Sql = $crate::dialect::Sql::new($sql, concat!(file!(), ":", line!()));
        match $on.on() {
            $crate::db::Dual::Sqlite(e) => ::sqlx::query::<::sqlx::Sqlite>(SQL.sqlite())$(.bind($arg))*.execute(e).await.map(|done| done.rows_affected()),
            $crate::db::Dual::Postgres(e) => ::sqlx::query::<::sqlx::Postgres>(SQL.postgres())$(.bind($arg))*.execute(e).await.map(|done| done.rows_affected()),
        }
    }};
    ($on:expr, $how:ident as ($t:ty), $sql:expr $(, $arg:expr)* $(,)?) => {{
        static SQL: $crate::dialect::Sql = $crate::dialect::Sql::new($sql, concat!(file!(), ":", line!()));
        match $on.on() {
            $crate::db::Dual::Sqlite(e) => ::sqlx::query_scalar::<::sqlx::Sqlite, $t>(SQL.sqlite())$(.bind($arg))*.$how(e).await,
            $crate::db::Dual::Postgres(e) => ::sqlx::query_scalar::<::sqlx::Postgres, $t>(SQL.postgres())$(.bind($arg))*.$how(e).await,
        }
    }};
    ($on:expr, $how:ident as $t:ty, $sql:expr $(, $arg:expr)* $(,)?) => {{
        static SQL: $crate::dialect::Sql = $crate::dialect::Sql::new($sql, concat!(file!(), ":", line!()));
        match $on.on() {
            $crate::db::Dual::Sqlite(e) => ::sqlx::query_as::<::sqlx::Sqlite, $t>(SQL.sqlite())$(.bind($arg))*.$how(e).await,
            $crate::db::Dual::Postgres(e) => ::sqlx::query_as::<::sqlx::Postgres, $t>(SQL.postgres())$(.bind($arg))*.$how(e).await,
        }
    }};
}
pub(crate) use q;
