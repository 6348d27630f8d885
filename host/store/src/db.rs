//! Opening either engine, and the one way to its connections.
//!
//! Concrete enums instead of a trait over "pool or transaction": such a trait needs a lifetime, and futures that hold it stop being `Send`.

use std::{path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool, Postgres, Sqlite, SqliteConnection, SqlitePool, Transaction,
    migrate::Migrator,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use tributary_core::{WorkspaceId, principal::Principal};
use uuid::Uuid;

use crate::{
    dialect::q,
    error::{Error, Result},
    group::Group,
    jobs::{Enqueued, QueuedRow},
    tenant::{SystemDb, TenantDb},
    writer::{WriteLease, Writer},
};

static SQLITE: Migrator = sqlx_macros::migrate!("../../migrations/sqlite");
pub(crate) static POSTGRES: Migrator = sqlx_macros::migrate!("../../migrations/postgres");

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded.
    Sqlite,
    /// A server.
    Postgres,
}

/// What a committed change survives on SQLite. (On PostgreSQL its own `synchronous_commit` decides.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: every commit waits for the disk (`synchronous=FULL`). Group commit shares that wait.
    #[default]
    PowerLoss,
    /// A killed process, not a power cut: the write-ahead log alone (`synchronous=NORMAL`). A power cut may lose the last commits, never
    /// the order of those before.
    KilledProcess,
}

/// Connections to PostgreSQL that are for statements on jobs alone: a pool of workers claims, or a group of callers is served, with one each.
pub const QUEUE_CONNECTIONS: u32 = 4;

/// No PostgreSQL stops and starts faster than this: a connection that was idle for less is not asked whether it still lives, so that a busy
/// host spends no round trip on it, and after a restart nobody is given one from before.
const RESTART: Duration = Duration::from_millis(50);

/// How to open a database.
#[derive(Clone, Debug)]
pub struct Options {
    /// SQLite: connections that read. Writing has its own.
    pub readers: u32,
    /// SQLite: make the file when there is none.
    pub create: bool,
    /// SQLite: what a commit survives.
    pub durability: Durability,
    /// SQLite: milliseconds after which a group of transactions takes no further one in before it is committed.
    pub group_hold_ms: u64,
    /// SQLite: the most pages (of 4 KiB) the file may have.
    pub max_pages: Option<u32>,
    /// PostgreSQL: connections, beside [`QUEUE_CONNECTIONS`] for jobs.
    pub max_connections: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            readers: 8,
            create: true,
            durability: Durability::default(),
            group_hold_ms: 5,
            max_pages: None,
            max_connections: 16,
        }
    }
}

/// The record. Cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Dual<SqliteDb, PgDb>>, Arc<Groups>);

/// Statements that callers share.
#[derive(Default)]
pub(crate) struct Groups {
    pub(crate) enqueue: Group<QueuedRow, Enqueued>,
    pub(crate) complete: Group<(Uuid, i64), bool>,
}

/// One of either engine's.
#[derive(Debug)]
pub(crate) enum Dual<S, P> {
    Sqlite(S),
    Postgres(P),
}

struct SqliteDb {
    readers: SqlitePool,
    writer: Writer,
    file: PathBuf,
}

struct PgDb {
    pool: PgPool,
    /// For jobs. Everybody's rows are in reach for as long as a connection lives, so that a single statement needs no transaction around it
    /// to say so: one round trip instead of three, as often as jobs come and go. And the queue is empty at one moment and long at the
    /// next; whatever the planner believes of it, and whenever it made the plan, the indexes are the way.
    queue: PgPool,
}

/// A connection that reads, or an open transaction, of either engine: what every query takes.
///
/// On PostgreSQL reading is a transaction as well, since the [`Scope`] is a setting of one.
pub(crate) enum Cx {
    SqliteRead(PoolConnection<Sqlite>),
    SqliteWrite(WriteLease),
    Postgres(Transaction<'static, Postgres>),
    /// Each statement is a transaction of its own.
    PostgresSingle(PoolConnection<Postgres>),
}

/// Whose rows a transaction reaches. On PostgreSQL row-level security holds it to that, whatever its statements ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    /// One workspace's.
    Workspace(Uuid),
    /// The same, for statements with conditions that may be left out: which index serves is decided for each call anew.
    Filtered(Uuid),
    /// Everybody's.
    System,
}

impl Scope {
    /// Opens a transaction and sets the scope until its end, in one round trip. A UUID needs no quoting.
    fn begin(self, how: &str) -> String {
        match self {
            Self::Workspace(id) => format!("BEGIN {how}; SET LOCAL tributary.workspace = '{id}'"),
            Self::Filtered(id) => format!(
                "BEGIN {how}; SET LOCAL tributary.workspace = '{id}'; SET LOCAL plan_cache_mode = force_custom_plan"
            ),
            Self::System => format!("BEGIN {how}; SET LOCAL tributary.system = 'on'"),
        }
    }
}

impl Cx {
    pub(crate) fn on(&mut self) -> Dual<&mut SqliteConnection, &mut PgConnection> {
        match self {
            Self::SqliteRead(connection) => Dual::Sqlite(connection),
            Self::SqliteWrite(lease) => Dual::Sqlite(lease.connection()),
            Self::Postgres(transaction) => Dual::Postgres(transaction),
            Self::PostgresSingle(connection) => Dual::Postgres(connection),
        }
    }

    /// Resolves when the transaction is durable. Dropping it instead undoes it.
    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Self::SqliteWrite(lease) => lease.commit().await,
            Self::Postgres(transaction) => Ok(transaction.commit().await?),
            Self::SqliteRead(_) | Self::PostgresSingle(_) => Ok(()),
        }
    }
}

impl Db {
    /// Opens `sqlite:///path/to/file.db` (made when missing) or `postgres://user:password@host/database`.
    pub async fn open(url: &str, options: Options) -> Result<Self> {
        let dual = match url.split(':').next() {
            Some("sqlite") => Dual::Sqlite(SqliteDb::open(url, &options).await?),
            Some("postgres" | "postgresql") => Dual::Postgres(open_postgres(url, &options).await?),
            _ => {
                return Err(Error::Url(
                    "the database URL must begin with sqlite:// or postgres://, as in sqlite:///var/lib/tributary/tributary.db".to_owned(),
                ));
            }
        };
        Ok(Self(Arc::new(dual), Arc::default()))
    }

    /// Brings the schema up to date. Safe to call from several hosts at once.
    pub async fn migrate(&self) -> Result<()> {
        match &*self.0 {
            // Migrations are a transaction each; the batch that the lease opened has to be closed first, so they get their own connection.
            Dual::Sqlite(sqlite) => sqlite.migrate().await,
            Dual::Postgres(postgres) => Ok(POSTGRES.run(&postgres.pool).await?),
        }
    }

    /// Asks the database for an answer.
    pub async fn ping(&self) -> Result<()> {
        let mut cx = self.read(Scope::System).await?;
        q!(cx, fetch_one as (i64), "SELECT CAST(1 AS BIGINT)")?;
        Ok(())
    }

    /// How many bytes SQLite can still take in, by its limit and by its disk; `None` on PostgreSQL, which knows its own disk.
    pub async fn room_bytes(&self) -> Result<Option<u64>> {
        match &*self.0 {
            Dual::Sqlite(sqlite) => Ok(Some(sqlite.room_bytes().await?)),
            Dual::Postgres(_) => Ok(None),
        }
    }

    /// Finishes open commits and closes every connection.
    pub async fn close(&self) -> Result<()> {
        match &*self.0 {
            Dual::Sqlite(sqlite) => {
                sqlite.readers.close().await;
                sqlite.writer.close().await
            }
            Dual::Postgres(postgres) => {
                postgres.queue.close().await;
                postgres.pool.close().await;
                Ok(())
            }
        }
    }

    /// Which engine this is.
    pub fn engine(&self) -> Engine {
        match &*self.0 {
            Dual::Sqlite(_) => Engine::Sqlite,
            Dual::Postgres(_) => Engine::Postgres,
        }
    }

    /// A workspace, for a caller who may enter it, limited to what they may see. `None` when they may not, or when there is none: the
    /// two look alike. What they may *do* there is for the caller of this function to check.
    ///
    /// A grant was read together with its workspace; only for an administrator, who needs none, the record is asked.
    pub async fn tenant(&self, principal: &Principal, workspace: WorkspaceId) -> Result<Option<TenantDb>> {
        let Some(access) = principal.access(workspace) else { return Ok(None) };
        let mut archived = access.archived;
        if principal.grant(workspace).is_none() {
            let mut cx = self.read(Scope::Workspace(workspace.0)).await?;
            let found = q!(
                cx,
                fetch_optional as (bool),
                "SELECT archived_at IS NOT NULL FROM workspace WHERE id = $1 AND deleting_at IS NULL",
                workspace.0
            )?;
            let Some(found) = found else { return Ok(None) };
            archived = found;
        }
        Ok(Some(self.system().tenant_for(workspace, access.audience, archived)))
    }

    /// The whole instance: for workers, the first start and login. Never for a handler that serves a tenant.
    pub fn system(&self) -> SystemDb {
        SystemDb { db: self.clone() }
    }

    pub(crate) fn groups(&self) -> &Groups {
        &self.1
    }

    /// The connections to PostgreSQL, when that is what there is.
    pub(crate) fn postgres(&self) -> Option<&PgPool> {
        match &*self.0 {
            Dual::Sqlite(_) => None,
            Dual::Postgres(postgres) => Some(&postgres.pool),
        }
    }

    /// How many group commits SQLite's writer made so far; 0 on PostgreSQL.
    pub fn group_commits(&self) -> u64 {
        match &*self.0 {
            Dual::Sqlite(sqlite) => sqlite.writer.commits(),
            Dual::Postgres(_) => 0,
        }
    }

    /// A connection to read with. What it reads is committed. On PostgreSQL nobody waits for its transaction to end.
    pub(crate) async fn read(&self, scope: Scope) -> Result<Cx> {
        Ok(match &*self.0 {
            Dual::Sqlite(sqlite) => Cx::SqliteRead(sqlite.readers.acquire().await?),
            Dual::Postgres(postgres) => {
                Cx::Postgres(postgres.pool.begin_with(AssertSqlSafe(scope.begin("READ ONLY"))).await?)
            }
        })
    }

    /// A connection for reads of the queue, each of which sees what was committed when it began.
    pub(crate) async fn read_queue(&self) -> Result<Cx> {
        match &*self.0 {
            Dual::Sqlite(_) => self.read(Scope::System).await,
            Dual::Postgres(_) => self.write_queue_single().await,
        }
    }

    /// A write transaction on the queue.
    pub(crate) async fn write_queue(&self) -> Result<Cx> {
        match &*self.0 {
            Dual::Sqlite(_) => self.write(Scope::System).await,
            Dual::Postgres(postgres) => Ok(Cx::Postgres(postgres.queue.begin().await?)),
        }
    }

    /// The same for writes that hold each for itself: on PostgreSQL every statement is committed when it answers, and `commit` has nothing
    /// left to do.
    pub(crate) async fn write_queue_single(&self) -> Result<Cx> {
        match &*self.0 {
            Dual::Sqlite(_) => self.write(Scope::System).await,
            Dual::Postgres(postgres) => Ok(Cx::PostgresSingle(postgres.queue.acquire().await?)),
        }
    }

    /// A write transaction.
    pub(crate) async fn write(&self, scope: Scope) -> Result<Cx> {
        Ok(match &*self.0 {
            Dual::Sqlite(sqlite) => Cx::SqliteWrite(sqlite.writer.lease().await?),
            Dual::Postgres(postgres) => {
                Cx::Postgres(postgres.pool.begin_with(AssertSqlSafe(scope.begin("READ WRITE"))).await?)
            }
        })
    }
}

impl SqliteDb {
    async fn open(url: &str, options: &Options) -> Result<Self> {
        let mut connect = SqliteConnectOptions::from_str(url).map_err(|error| {
            Error::Url(format!("the database URL cannot be read: {error}; it looks like sqlite:///path/to/file.db"))
        })?;
        if url.contains(":memory:") || connect.get_filename().as_os_str().is_empty() {
            return Err(Error::Url("the embedded database needs a file, as in sqlite:///path/to/file.db".to_owned()));
        }
        connect = connect
            .create_if_missing(options.create)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(Duration::from_secs(5))
            .synchronous(match options.durability {
                Durability::PowerLoss => SqliteSynchronous::Full,
                Durability::KilledProcess => SqliteSynchronous::Normal,
            })
            .pragma("temp_store", "memory")
            .pragma("journal_size_limit", "67108864");
        if let Some(pages) = options.max_pages {
            connect = connect.pragma("max_page_count", pages.to_string());
        }
        let hold = Duration::from_millis(options.group_hold_ms);
        let writer =
            Writer::open(connect.clone().pragma("cache_size", "-16384"), hold).await.map_err(|error| match error {
                Error::Database(error) => Error::Open(format!(
                    "{}: {error}; check that its directory exists and can be written to",
                    connect.get_filename().display()
                )),
                other => other,
            })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            .test_before_acquire(false)
            .connect_lazy_with(connect.clone().pragma("query_only", "on"));
        Ok(Self { readers, writer, file: connect.get_filename().to_path_buf() })
    }

    async fn room_bytes(&self) -> Result<u64> {
        let mut reader = self.readers.acquire().await?;
        let mut pragma =
            async |sql: &'static str| -> Result<i64> { Ok(sqlx::query_scalar(sql).fetch_one(&mut *reader).await?) };
        let most = pragma("PRAGMA max_page_count").await?;
        let unused = most - pragma("PRAGMA page_count").await? + pragma("PRAGMA freelist_count").await?;
        let allowed = unused.max(0).cast_unsigned().saturating_mul(pragma("PRAGMA page_size").await?.cast_unsigned());
        let disk = rustix::fs::statvfs(&self.file).map_or(u64::MAX, |it| it.f_bavail.saturating_mul(it.f_frsize));
        Ok(allowed.min(disk))
    }

    async fn migrate(&self) -> Result<()> {
        let mut lease = self.writer.lease().await?;
        lease.migrate(&SQLITE).await
    }
}

async fn open_postgres(url: &str, options: &Options) -> Result<PgDb> {
    let connect = PgConnectOptions::from_str(url)
        .map_err(|error| {
            Error::Url(format!(
                "the database URL cannot be read: {error}; it looks like postgres://user:password@host/database"
            ))
        })?
        .application_name("tributary")
        // A host that is stopped inside a transaction must not hold its locks for ever.
        .options([("idle_in_transaction_session_timeout", "60s")]);
    let pool = |connections: u32| {
        let options = PgPoolOptions::new().max_connections(connections.max(1));
        let options = options.acquire_timeout(Duration::from_secs(10)).test_before_acquire(false);
        options.before_acquire(|connection, about| {
            Box::pin(async move { Ok(about.idle_for < RESTART || connection.ping().await.is_ok()) })
        })
    };
    let queue = connect.clone().options([("tributary.system", "on"), ("enable_seqscan", "off"), ("jit", "off")]);
    let queue = pool(QUEUE_CONNECTIONS).connect_lazy_with(queue);
    let pool = pool(options.max_connections)
        .connect_with(connect)
        .await
        .map_err(|error| Error::Open(format!("{error}; check that PostgreSQL runs and that the URL is right")))?;
    let bypasses = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
    if sqlx::query_scalar(bypasses).fetch_one(&pool).await? {
        tracing::warn!(
            "the server's PostgreSQL role bypasses row-level security, the second net between workspaces; connect as a role that is \
             neither SUPERUSER nor BYPASSRLS"
        );
    }
    Ok(PgDb { pool, queue })
}
