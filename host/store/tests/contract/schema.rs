//! The two schemas say the same.

use std::collections::BTreeMap;

use sqlx::{Connection, PgConnection, SqliteConnection};
use tributary_store::testing;

/// Table → columns with nullability, and key → its columns.
#[derive(Debug, PartialEq, Default)]
struct Table {
    columns: BTreeMap<String, bool>,
    keys: Vec<Vec<String>>,
    references: Vec<(Vec<String>, String)>,
}

async fn sqlite_schema() -> BTreeMap<String, Table> {
    let test = testing::sqlite(Default::default()).await;
    let mut connection = SqliteConnection::connect(&test.url).await.unwrap();
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let columns: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT t.name, c.name, c.\"notnull\" FROM sqlite_schema t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for (table, column, required) in columns {
        tables.entry(table).or_default().columns.insert(column, required);
    }
    let keys: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.name, (SELECT group_concat(c.name, ',') FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) c)
         FROM sqlite_schema t JOIN pragma_index_list(t.name) i WHERE t.type = 'table' AND i.\"unique\" = 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    add_keys(&mut tables, keys);
    let references: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT t.name, f.\"table\", group_concat(f.\"from\", ',' ORDER BY f.seq) FROM sqlite_schema t
         JOIN pragma_foreign_key_list(t.name) f WHERE t.type = 'table' GROUP BY t.name, f.id",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    add_references(&mut tables, references);
    tables
}

async fn postgres_schema() -> Option<BTreeMap<String, Table>> {
    let test = testing::postgres(Default::default()).await?;
    let mut connection = PgConnection::connect(&test.url).await.unwrap();
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    let columns: Vec<(String, String, bool)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text, is_nullable = 'NO' FROM information_schema.columns WHERE table_schema = 'public'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for (table, column, required) in columns {
        tables.entry(table).or_default().columns.insert(column, required);
    }
    let keys: Vec<(String, String)> = sqlx::query_as(
        "SELECT t.relname::text, (SELECT string_agg(a.attname::text, ',' ORDER BY k.place) FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, place)
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum)
         FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
         WHERE n.nspname = 'public' AND i.indisunique",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    add_keys(&mut tables, keys);
    let references: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT t.relname::text, p.relname::text, (SELECT string_agg(a.attname::text, ',' ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY AS k(attnum, place)
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum)
         FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_class p ON p.oid = c.confrelid
         WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    add_references(&mut tables, references);
    Some(tables)
}

fn split(columns: &str) -> Vec<String> {
    columns.split(',').map(str::to_owned).collect()
}

fn add_keys(tables: &mut BTreeMap<String, Table>, keys: Vec<(String, String)>) {
    for (table, columns) in keys {
        tables.get_mut(&table).unwrap().keys.push(split(&columns));
    }
    tables.values_mut().for_each(|table| table.keys.sort());
}

fn add_references(tables: &mut BTreeMap<String, Table>, references: Vec<(String, String, String)>) {
    for (table, to, columns) in references {
        tables.get_mut(&table).unwrap().references.push((split(&columns), to));
    }
    tables.values_mut().for_each(|table| table.references.sort());
}

#[tokio::test]
async fn both_databases_have_the_same_tables_columns_nullability_and_keys() {
    let mut sqlite = sqlite_schema().await;
    let Some(mut postgres) = postgres_schema().await else { return };
    // The migrator's own table is the migrator's own affair.
    assert!(sqlite.remove("_sqlx_migrations").is_some() && postgres.remove("_sqlx_migrations").is_some());
    assert!(sqlite.len() > 15);
    assert_eq!(sqlite.keys().collect::<Vec<_>>(), postgres.keys().collect::<Vec<_>>());
    for (name, table) in &sqlite {
        assert_eq!(table, &postgres[name], "table {name}: SQLite on the left, PostgreSQL on the right");
        assert!(!table.keys.is_empty(), "{name} has a key");
    }
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |engine: &str| {
        let directory = format!("{}/../../migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
        let mut names: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

#[tokio::test]
async fn migrating_again_changes_nothing_and_two_hosts_may_do_it_at_once() {
    for test in testing::databases().await {
        let (first, second) = tokio::join!(test.db.migrate(), test.db.migrate());
        first.unwrap();
        second.unwrap();
        test.db.ping().await.unwrap();
        test.db.close().await.unwrap();
        assert!(test.db.ping().await.is_err());
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_used_says_what_one_looks_like() {
    for url in ["mysql://x", "", "sqlite::memory:", "sqlite://:memory:", "/var/lib/x.db", "postgres://[bad"] {
        let error = tributary_store::Db::open(url, Default::default()).await.err().unwrap();
        assert!(matches!(&error, tributary_store::Error::Url(_)), "{url}: {error}");
        assert!(error.to_string().contains("://"), "{url}: {error}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_reached_says_where_to_look() {
    for (url, hint) in
        [("sqlite:///nowhere/at/all/x.db", "directory"), ("postgres://nobody@127.0.0.1:1/x", "PostgreSQL")]
    {
        let error = tributary_store::Db::open(url, Default::default()).await.err().unwrap();
        assert!(matches!(&error, tributary_store::Error::Open(_)) && error.to_string().contains(hint), "{error}");
    }
}
