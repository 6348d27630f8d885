//! What can go wrong with the record, each with a sentence that says what to do.

use tributary_core::RunId;

/// The result of every function here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not there, or not in this workspace.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Something of that name exists; says which field.
    #[error("this {what} is already in use; choose another")]
    Conflict {
        /// `slug`, `email`, `name`.
        what: &'static str,
    },
    /// The source has an active sync.
    #[error("a sync of this source is already running; wait for it or cancel it")]
    AlreadyRunning {
        /// That run.
        run_id: RunId,
    },
    /// The worker no longer holds its job; nothing was written.
    #[error("the lease on the job was lost; another worker may have it")]
    LeaseLost,
    /// A page was committed out of turn; nothing was written.
    #[error("page {got} cannot be committed, page {expected} is next")]
    StalePage {
        /// The page the run waits for.
        expected: i64,
        /// The page that came.
        got: i64,
    },
    /// The run has ended; nothing was written.
    #[error("the run is over")]
    RunOver,
    /// No room; nothing was written, reading still works.
    #[error("the database is full: {0}; free some space or raise its limit, then try again")]
    Full(String),
    /// All connections are busy, or another process holds the write lock.
    #[error("the database is busy: {0}; try again")]
    Busy(String),
    /// The connection broke or was refused. When that was while a transaction was committed, nobody knows whether it was.
    #[error("the database cannot be reached: {0}; try again in a moment")]
    Away(String),
    /// The master key was changed while this host ran; nothing was written.
    #[error(
        "the secrets of this database are sealed by the master key {in_force} now; restart this server with that key"
    )]
    OtherMasterKey {
        /// The name of the key in force.
        in_force: String,
    },
    /// A value the record cannot hold.
    #[error("{0}")]
    Invalid(String),
    /// The transaction was complete but its commit failed; nothing of it was written.
    #[error("the change could not be committed: {0}")]
    Commit(String),
    /// The database URL is not usable.
    #[error("{0}")]
    Url(String),
    /// The database could not be reached or its file not opened.
    #[error("the database cannot be opened: {0}")]
    Open(String),
    /// Somebody must stay what this one is.
    #[error("this is {0}; make somebody else one first")]
    LastOne(&'static str),
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// The record holds something this version cannot read.
    #[error("the database holds a value this version cannot read: {0}")]
    Corrupt(String),
    /// The schema could not be brought up to date.
    #[error("the database schema could not be brought up to date: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Anything else.
    #[error("the database failed: {0}")]
    Database(#[source] sqlx::Error),
}

impl Error {
    /// The same once more, for another caller of the same transaction.
    pub(crate) fn for_another(&self) -> Self {
        match self {
            Self::NotFound(what) => Self::NotFound(what),
            Self::Conflict { what } => Self::Conflict { what },
            Self::Full(message) => Self::Full(message.clone()),
            Self::Busy(message) => Self::Busy(message.clone()),
            Self::Away(message) => Self::Away(message.clone()),
            Self::Invalid(message) => Self::Invalid(message.clone()),
            Self::Closed => Self::Closed,
            other => Self::Commit(other.to_string()),
        }
    }
}

/// `SQLITE_BUSY`, `SQLITE_LOCKED`, `SQLITE_FULL`: <https://www.sqlite.org/rescode.html>.
const SQLITE_BUSY: [i64; 2] = [5, 6];
const SQLITE_FULL: i64 = 13;
/// PostgreSQL's `disk_full`.
const DISK_FULL: &str = "53100";
/// Its classes of lost connections and of shutdowns: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const AWAY: [&str; 2] = ["08", "57P"];

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::Database(inner) = &error {
            let code = inner.code();
            let code = code.as_deref().unwrap_or_default();
            // SQLite's extended result codes keep the primary code in the low byte; SQLSTATEs have five characters.
            let sqlite = inner.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some();
            let primary = code.parse::<i64>().ok().filter(|_| sqlite).map(|code| code & 0xff);
            if primary == Some(SQLITE_FULL) || (!sqlite && code == DISK_FULL) {
                return Self::Full(inner.message().to_owned());
            }
            if !sqlite && AWAY.iter().any(|class| code.starts_with(class)) {
                return Self::Away(inner.message().to_owned());
            }
            if primary.is_some_and(|code| SQLITE_BUSY.contains(&code)) {
                return Self::Busy(inner.message().to_owned());
            }
        }
        match error {
            sqlx::Error::PoolTimedOut => Self::Busy("no connection came free in time".to_owned()),
            sqlx::Error::PoolClosed => Self::Closed,
            sqlx::Error::Io(error) => Self::Away(error.to_string()),
            other => Self::Database(other),
        }
    }
}

/// A unique violation means that `what` is taken.
pub(crate) fn taken(what: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |error| match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => Error::Conflict { what },
        _ => error.into(),
    }
}

/// A foreign key violation means that there is no such `what`.
pub(crate) fn missing(what: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |error| match &error {
        sqlx::Error::Database(inner) if inner.is_foreign_key_violation() => Error::NotFound(what),
        _ => error.into(),
    }
}
