//! SQLite's one writer, with group commit.
//!
//! A transaction leases the connection under a savepoint. Its commit leaves the savepoint's work in the open batch and waits; the
//! committer queues for the connection behind everybody who already waits for it, so one `COMMIT` (one fsync) serves them all. A
//! transaction dropped without commit is rolled back to its savepoint by whoever comes next and disturbs no sibling. A `COMMIT` that
//! fails fails every transaction of its batch; so does a statement after which SQLite rolls back everything (no space, no memory, I/O).
//! After such an error the caller must drop its transaction at once: SQLite is in autocommit mode.
//!
//! Statements are never interrupted half-way: entering a lease and committing a batch run as tasks of their own, so a caller that goes
//! away leaves the connection in a known state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{
    sync::{Mutex, Notify, OwnedMutexGuard, oneshot},
    task::JoinHandle,
};

use crate::error::{Error, Result};

/// Most transactions in a batch.
const BATCH: usize = 256;

pub(crate) struct Writer {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
    commits: Arc<AtomicU64>,
    committer: JoinHandle<()>,
}

struct State {
    options: SqliteConnectOptions,
    /// A batch older than this is committed before another transaction joins it.
    hold: Duration,
    /// `None` after it broke, until the next lease, and after `close`.
    connection: Option<SqliteConnection>,
    closed: bool,
    /// Since when a batch is open.
    open: Option<Instant>,
    /// What the last lease left to be done.
    left: Left,
    /// The transactions of the batch.
    waiting: Vec<oneshot::Sender<Result<(), Broken>>>,
    commits: Arc<AtomicU64>,
}

enum Left {
    Nothing,
    Release,
    RollBack,
}

/// Why a batch was lost; told to every transaction in it.
#[derive(Clone, Debug)]
struct Broken {
    full: bool,
    message: String,
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        if broken.full { Self::Full(broken.message) } else { Self::Commit(broken.message) }
    }
}

impl Broken {
    /// The savepoint is gone: after some errors of one statement SQLite rolls back the whole transaction, siblings included
    /// (<https://www.sqlite.org/lang_transaction.html>, "Response To Errors Within A Transaction").
    fn undone() -> Self {
        let message = "a change made at the same time ran out of space or memory, or failed to read or write, and took this one with it; \
             try again"
            .to_owned();
        Self { full: false, message }
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::Full(message) => Self { full: true, message: message.clone() },
            other => Self { full: false, message: other.to_string() },
        }
    }
}

impl From<sqlx::Error> for Broken {
    fn from(error: sqlx::Error) -> Self {
        Self::of(&Error::from(error))
    }
}

impl Writer {
    pub(crate) async fn open(options: SqliteConnectOptions, hold: Duration) -> Result<Self> {
        let connection = Some(options.connect().await?);
        let commits = Arc::new(AtomicU64::new(0));
        let state = State {
            options,
            hold,
            connection,
            closed: false,
            open: None,
            left: Left::Nothing,
            waiting: Vec::new(),
            commits: commits.clone(),
        };
        let state = Arc::new(Mutex::new(state));
        let wake = Arc::new(Notify::new());
        let committer = tokio::spawn({
            let (state, wake) = (state.clone(), wake.clone());
            async move {
                loop {
                    wake.notified().await;
                    state.lock().await.commit().await;
                }
            }
        });
        Ok(Self { state, wake, commits, committer })
    }

    /// Waits for the connection and opens a savepoint on it.
    pub(crate) async fn lease(&self) -> Result<WriteLease> {
        let mut state = self.state.clone().lock_owned().await;
        let wake = self.wake.clone();
        let entered = tokio::spawn(async move {
            state.enter().await?;
            Ok(WriteLease { state, wake, committing: false })
        });
        entered.await.map_err(|_| Error::Closed)?
    }

    /// How many `COMMIT`s there were.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Commits what waits and closes the connection, which also empties the write-ahead log.
    pub(crate) async fn close(&self) -> Result<()> {
        let mut state = self.state.lock().await;
        state.commit().await;
        state.closed = true;
        match state.connection.take() {
            Some(connection) => Ok(connection.close().await?),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.committer.abort();
    }
}

impl State {
    async fn run(&mut self, sql: &'static str) -> sqlx::Result<()> {
        let connection = self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        sqlx::raw_sql(sql).execute(connection).await.map(|_| ())
    }

    async fn enter(&mut self) -> Result<()> {
        if self.closed {
            return Err(Error::Closed);
        }
        if self.open.is_some_and(|since| since.elapsed() >= self.hold) || self.waiting.len() >= BATCH {
            self.commit().await;
        } else if matches!(self.left, Left::Release) {
            // The common way from one transaction of a batch to the next: one call instead of two.
            self.left = Left::Nothing;
            match self.run("RELEASE lease; SAVEPOINT lease").await {
                Ok(()) => return Ok(()),
                Err(_) => self.abandon(Broken::undone()).await,
            }
        } else {
            self.settle().await;
        }
        if self.connection.is_none() {
            self.connection = Some(self.options.connect().await?);
        }
        let began = if self.open.is_some() {
            self.run("SAVEPOINT lease").await
        } else {
            self.run("BEGIN IMMEDIATE; SAVEPOINT lease").await
        };
        match began {
            Ok(()) => {
                self.open.get_or_insert_with(Instant::now);
                Ok(())
            }
            Err(error) => {
                let error = Error::from(error);
                self.abandon(Broken::of(&error)).await;
                Err(error)
            }
        }
    }

    /// Ends the savepoint of the last lease the way that lease ended.
    async fn settle(&mut self) {
        let sql = match self.left {
            Left::Nothing => return,
            Left::Release => "RELEASE lease",
            Left::RollBack => "ROLLBACK TO lease; RELEASE lease",
        };
        self.left = Left::Nothing;
        if self.run(sql).await.is_err() {
            self.abandon(Broken::undone()).await;
        }
    }

    async fn commit(&mut self) {
        self.settle().await;
        if self.open.is_none() {
            return;
        }
        if self.waiting.is_empty() {
            return self.abandon(Broken { full: false, message: String::new() }).await;
        }
        match self.run("COMMIT").await {
            Ok(()) => {
                self.open = None;
                self.commits.fetch_add(1, Ordering::Relaxed);
                for waiting in self.waiting.drain(..) {
                    let _ = waiting.send(Ok(()));
                }
            }
            Err(error) => self.abandon(error.into()).await,
        }
    }

    /// Rolls the batch back and tells every transaction in it.
    async fn abandon(&mut self, broken: Broken) {
        self.open = None;
        self.left = Left::Nothing;
        if self.run("ROLLBACK").await.is_err() {
            // Rolled back already, or broken: a new connection is certain to be clean.
            self.connection = None;
        }
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(Err(broken.clone()));
        }
    }
}

/// The writer's connection, under a savepoint.
pub(crate) struct WriteLease {
    state: OwnedMutexGuard<State>,
    wake: Arc<Notify>,
    committing: bool,
}

impl WriteLease {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        self.state.connection.as_mut().expect("a lease is only given on an open connection")
    }

    /// Runs migrations, each a transaction of its own, outside of any batch.
    pub(crate) async fn migrate(&mut self, migrator: &sqlx::migrate::Migrator) -> Result<()> {
        self.state.left = Left::RollBack;
        self.state.commit().await;
        self.committing = true;
        if self.state.connection.is_none() {
            self.state.connection = Some(self.state.options.connect().await?);
        }
        let migrated = migrator.run_direct(None, self.connection(), false).await;
        if migrated.is_err() {
            self.state.connection = None;
        }
        Ok(migrated?)
    }

    /// Resolves when the batch is on disk.
    pub(crate) async fn commit(mut self) -> Result<()> {
        let (sender, committed) = oneshot::channel();
        self.state.left = Left::Release;
        self.state.waiting.push(sender);
        self.committing = true;
        drop(self);
        Ok(committed.await.map_err(|_| Error::Closed)??)
    }
}

impl Drop for WriteLease {
    fn drop(&mut self) {
        if !self.committing {
            self.state.left = Left::RollBack;
        }
        self.wake.notify_one();
    }
}
