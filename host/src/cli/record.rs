//! The database for commands that work beside a server, or without one.

use tributary_store::{Db, Options};

use crate::settings::Config;

/// Opens what `tributary serve` with the same settings would; makes nothing and changes no schema.
pub(super) async fn open(config: &Config) -> anyhow::Result<Db> {
    Ok(Db::open(&config.database_url, Options { create: false, max_connections: 2, ..Options::default() }).await?)
}

/// Runs a command to its end.
pub(super) fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}
