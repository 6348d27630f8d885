//! Throw-away databases for the tests of this and other crates.
//!
//! SQLite always; PostgreSQL when `TRIBUTARY_TEST_POSTGRES` holds the admin URL of a cluster that may be littered. Each test gets a
//! database of its own, copied from a migrated template and dropped with its [`TestDb`].

use std::hash::{DefaultHasher, Hash, Hasher};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, SqliteConnection, postgres::PgConnectOptions};
use tempfile::TempDir;
use uuid::Uuid;

pub use crate::predicates::{DROPPED, predicates};

use crate::db::{Db, Engine, Options, POSTGRES};

/// The environment variable that holds the admin URL of the test cluster.
pub const POSTGRES_URL: &str = "TRIBUTARY_TEST_POSTGRES";

/// Owns the databases of tests. An ordinary role: row-level security does not hold a superuser.
const ROLE: &str = "tributary_test";

/// A migrated database of one test. Dropping it removes the database.
pub struct TestDb {
    /// `sqlite` or `postgres`, for messages.
    pub name: &'static str,
    /// The database.
    pub db: Db,
    /// Its URL, for a second host to open.
    pub url: String,
    _guard: Guard,
}

/// What keeps a test's database alive.
enum Guard {
    Sqlite { _directory: TempDir },
    Postgres { admin: Box<PgConnectOptions>, database: String },
}

/// One migrated database per engine that can be tested here.
///
/// Without `TRIBUTARY_TEST_POSTGRES` it prints a `SKIPPED` line and leaves PostgreSQL out, except with `CI=true`, where it panics.
pub async fn databases() -> Vec<TestDb> {
    let mut databases = vec![sqlite(Options::default()).await];
    databases.extend(postgres(Options::default()).await);
    databases
}

/// A migrated SQLite database.
pub async fn sqlite(options: Options) -> TestDb {
    let directory = tempfile::tempdir().expect("a test can make a temporary directory");
    let url = format!("sqlite://{}/tributary.db", directory.path().display());
    let db = Db::open(&url, options).await.expect("a new SQLite database opens");
    db.migrate().await.expect("a new SQLite database migrates");
    TestDb { name: "sqlite", db, url, _guard: Guard::Sqlite { _directory: directory } }
}

/// A migrated PostgreSQL database, when there is a cluster to make it in.
pub async fn postgres(options: Options) -> Option<TestDb> {
    let Ok(admin_url) = std::env::var(POSTGRES_URL) else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{POSTGRES_URL} is not set, and with CI=true nothing may be skipped"
        );
        eprintln!("SKIPPED on PostgreSQL: {POSTGRES_URL} is not set");
        return None;
    };
    let admin: PgConnectOptions = admin_url.parse().expect("the test cluster's URL can be read");
    let template = template(&admin).await;
    let database = format!("tributary_test_{}", Uuid::now_v7().simple());
    let mut connection = admin.connect().await.expect("the test cluster answers");
    run(&mut connection, format!("CREATE DATABASE {database} TEMPLATE {template} OWNER {ROLE}")).await;
    let _ = connection.close().await;
    let url = as_role(&admin, &database).to_url_lossy().to_string();
    let db = Db::open(&url, options).await.expect("a copied PostgreSQL database opens");
    Some(TestDb { name: "postgres", db, url, _guard: Guard::Postgres { admin: Box::new(admin), database } })
}

/// A migrated database to copy, made once per set of migrations whoever comes first; tests run in many processes.
async fn template(admin: &PgConnectOptions) -> String {
    let mut hasher = DefaultHasher::new();
    POSTGRES.iter().for_each(|migration| migration.checksum.hash(&mut hasher));
    let name = format!("tributary_template_{:016x}", hasher.finish());
    let mut connection = admin.clone().connect().await.expect("the test cluster answers");
    run(&mut connection, "SELECT pg_advisory_lock(7238640)".to_owned()).await;
    let made: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await
        .expect("the test cluster lists its databases");
    if !made {
        let role = format!(
            "DO $$ BEGIN
                 IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{ROLE}') THEN CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'; END IF;
             END $$"
        );
        run(&mut connection, role).await;
        // Under another name until it is complete: a process killed here must not leave half a template.
        let draft = format!("{name}_{}", Uuid::now_v7().simple());
        run(&mut connection, format!("CREATE DATABASE {draft} OWNER {ROLE}")).await;
        let url = as_role(admin, &draft).to_url_lossy().to_string();
        let db = Db::open(&url, Options::default()).await.expect("a new PostgreSQL database opens");
        db.migrate().await.expect("a new PostgreSQL database migrates");
        db.close().await.expect("a PostgreSQL database closes");
        run(&mut connection, format!("ALTER DATABASE {draft} RENAME TO {name}")).await;
    }
    let _ = connection.close().await;
    name
}

fn as_role(admin: &PgConnectOptions, database: &str) -> PgConnectOptions {
    admin.clone().database(database).username(ROLE).password(ROLE)
}

async fn run(connection: &mut PgConnection, sql: String) {
    let shown = sql.clone();
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await {
        panic!("the test cluster refused {shown}: {error}");
    }
}

/// Runs SQL past the store, as somebody who tampers would.
pub async fn execute(url: &str, sql: &str) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(sql.to_owned());
    if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await?;
        sqlx::raw_sql(sql).execute(&mut connection).await?;
        return connection.close().await;
    }
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql("SET tributary.system = 'on'").execute(&mut connection).await?;
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    connection.close().await
}

/// Lets [`execute`] change the audit log.
pub async fn drop_audit_triggers(url: &str) -> Result<(), sqlx::Error> {
    let sql = if url.starts_with("sqlite:") {
        "DROP TRIGGER audit_event_no_update; DROP TRIGGER audit_event_no_delete; DROP TRIGGER audit_event_no_replace;
         DROP TRIGGER audit_head_no_delete"
    } else {
        "DROP TRIGGER audit_event_no_change ON audit_event; DROP TRIGGER audit_head_no_delete ON audit_head"
    };
    execute(url, sql).await
}

impl TestDb {
    /// Which engine.
    pub fn engine(&self) -> Engine {
        self.db.engine()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Self::Postgres { admin, database } = self else { return };
        let (admin, sql) = (admin.clone(), format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)"));
        // A runtime of its own: the test's may be the one that is being torn down.
        let dropped = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async move {
                if let Ok(mut connection) = admin.connect().await {
                    let _ = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
                }
            });
        });
        let _ = dropped.join();
    }
}
