//! `docs/schema.md` is drawn from the migrations.

use std::{collections::BTreeMap, fmt::Write};

use sqlx::{Connection, SqliteConnection};
use tributary_store::testing;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema.md");
/// With it the page is written anew.
const UPDATE: &str = "TRIBUTARY_UPDATE_SCHEMA";

/// What belongs together, and by how the names of its tables begin.
const AREAS: [(&str, &[&str]); 5] = [
    ("Documents", &["document", "chunk", "held_", "deletion_", "thread", "message"]),
    (
        "Sources, schedules and runs",
        &["source", "schedule", "run", "connector", "component", "container", "job", "chore"],
    ),
    (
        "People, keys and workspaces",
        &["app_user", "member", "session", "refresh", "invitation", "password", "api_key", "key_", "workspace"],
    ),
    ("Secrets", &["credential", "master", "system", "signing"]),
    ("The rest", &[""]),
];

#[derive(sqlx_macros::FromRow)]
struct Column {
    table: String,
    name: String,
    kind: String,
    required: bool,
    key: i64,
}

#[tokio::test]
async fn the_page_shows_the_schema_as_the_migrations_make_it() {
    let drawn = page().await;
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(PAGE, &drawn).unwrap();
    }
    let shown = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(shown == drawn, "docs/schema.md is out of date: run this test once with {UPDATE}=1, and commit the page");
}

async fn page() -> String {
    let test = testing::sqlite(Default::default()).await;
    let mut record = SqliteConnection::connect(&test.url).await.unwrap();
    let columns: Vec<Column> = sqlx::query_as(
        "SELECT t.name AS \"table\", c.name, lower(c.type) AS kind, c.\"notnull\" AS required, c.pk AS key
         FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY t.name, c.cid",
    )
    .fetch_all(&mut record)
    .await
    .unwrap();
    let references: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT f.\"table\", t.name FROM sqlite_schema t JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table' ORDER BY 1, 2",
    )
    .fetch_all(&mut record)
    .await
    .unwrap();
    let mut tables: BTreeMap<&str, Vec<&Column>> = BTreeMap::new();
    for column in &columns {
        tables.entry(&column.table).or_default().push(column);
    }
    let area_of =
        |table: &str| AREAS.iter().position(|(_, begins)| begins.iter().any(|it| table.starts_with(it))).unwrap();

    let mut page = String::from(
        "# The schema\n\nDrawn from the migrations; a test keeps it so. Both databases have the same tables and columns. The types are SQLite's: ids are\n\
         `uuid`, times `timestamptz` and JSON `jsonb` on PostgreSQL. `PK` is part of the primary key, `?` may be null.\n\n\
         Every table of a workspace begins with `workspace_id`, in its keys and references too; arrows to `workspace` itself are left out.\n",
    );
    for (area, (title, _)) in AREAS.iter().enumerate() {
        let mine: Vec<_> = tables.iter().filter(|(table, _)| area_of(table) == area).collect();
        write!(page, "\n## {title}\n\n```mermaid\nerDiagram\n").unwrap();
        for (to, from) in references.iter().filter(|(to, from)| to != "workspace" && area_of(from) == area) {
            writeln!(page, "    {to} ||--o{{ {from} : has").unwrap();
        }
        for (table, columns) in mine {
            writeln!(page, "    {table} {{").unwrap();
            for Column { name, kind, required, key, .. } in columns {
                let marks = if *key > 0 {
                    " PK"
                } else if *required {
                    ""
                } else {
                    " \"?\""
                };
                writeln!(page, "        {kind} {name}{marks}").unwrap();
            }
            page.push_str("    }\n");
        }
        page.push_str("```\n");
    }
    page
}
