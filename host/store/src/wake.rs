//! Wake-ups between hosts through PostgreSQL's LISTEN and NOTIFY. Only an accelerator: every sleeper polls as well.
//!
//! They are sent beside the transactions they tell of, never inside: committing a transaction that notifies takes a lock of the whole
//! cluster until it is on disk, so that all such commits go one after the other.

use sqlx::postgres::PgListener;

use crate::{dialect::q, error::Result, tenant::SystemDb};

const CHANNEL: &str = "tributary_wake";

/// Hears what hosts tell each other.
pub struct Listener(PgListener);

impl Listener {
    /// The next word. `None`: the connection was lost and is there again; words may have been missed.
    pub async fn next(&mut self) -> Result<Option<String>> {
        Ok(self.0.try_recv().await?.map(|word| word.payload().to_owned()))
    }
}

impl SystemDb {
    /// Begins to listen; `None` on SQLite, which one host has for itself. Takes a connection of the pool for as long as it lives.
    pub async fn listen(&self) -> Result<Option<Listener>> {
        let Some(pool) = self.db.postgres() else { return Ok(None) };
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Listener(listener)))
    }

    /// Says a word to all hosts that listen. Does nothing on SQLite.
    pub async fn notify(&self, word: &str) -> Result<()> {
        if self.db.postgres().is_none() {
            return Ok(());
        }
        let mut cx = self.write().await?;
        // Nothing is lost with it: nobody has to wait for the disk.
        q!(
            cx,
            fetch_one as (String),
            "SELECT set_config('synchronous_commit', 'off', TRUE) || CAST(pg_notify($1, $2) AS text)",
            CHANNEL,
            word
        )?;
        cx.commit().await
    }
}
