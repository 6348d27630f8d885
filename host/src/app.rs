//! Wiring: opens what the settings name, builds the services, starts the loops, and stops them in order.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tributary_core::{Clock, SystemClock, principal::Principal};
use tributary_search::{IndexOptions, Indexes};
use tributary_store::{Db, Options};

use crate::{
    audit::Audit,
    auth::{Auth, FirstAdmin, Given},
    chat::Chat,
    documents::Documents,
    ingestion::{Push, Syncs},
    jobs::{self, Jobs},
    limits::{Limiter, streams::Streams},
    metrics::Metrics,
    plugins::{self, Grants, Plugins},
    recording::{self, Shelf},
    retrieval::{Indexer, Knowledge},
    schedules::Ticker,
    secrets::{Credentials, Vault},
    settings::Config,
    sources::Sources,
    wake::Wake,
    workspaces::Workspaces,
};

/// How long running work gets to hand back what it holds.
const GRACE: Duration = Duration::from_secs(10);

/// The server's services.
pub struct App {
    /// The settings in force.
    pub config: Config,
    /// The record; handlers reach it only through a tenant.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who is calling.
    pub auth: Arc<Auth>,
    /// Who changed what.
    pub audit: Audit,
    /// How much each caller may ask for.
    pub limits: Limiter,
    /// What this host counts.
    pub metrics: Metrics,
    /// Live streams that are open on this host.
    pub streams: Arc<Streams>,
    /// Connectors and the extractor.
    pub plugins: Arc<Plugins>,
    /// Workspaces.
    pub workspaces: Workspaces,
    /// Sources.
    pub sources: Sources,
    /// What is kept secret.
    pub vault: Arc<Vault>,
    /// What connectors log in with.
    pub credentials: Arc<Credentials>,
    /// Sync runs.
    pub syncs: Syncs,
    /// Recordings of syncs.
    pub shelf: Shelf,
    /// Jobs, for whoever runs the server.
    pub jobs: Jobs,
    /// Pushed documents.
    pub push: Push,
    /// Documents that are there.
    pub documents: Documents,
    /// Knowledge queries.
    pub knowledge: Arc<Knowledge>,
    /// Chat.
    pub chat: Chat,
    /// Wakes workers and indexers.
    pub wake: Wake,
    indexes: Indexes,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    ticker: Mutex<Option<Ticker>>,
}

impl App {
    /// Opens everything; nothing runs yet.
    pub async fn open(config: Config) -> anyhow::Result<Arc<Self>> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // It holds the signing key and the password hashes: for this user alone.
        tokio::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.data_dir)
            .await
            .with_context(|| format!("cannot create the data directory {}", config.data_dir.display()))?;
        for (name, path) in &config.roots {
            if !path.is_dir() {
                tracing::warn!(root = name, path = %path.display(), "this root is not a directory now; its sources will wait for it");
            }
        }
        let db = open_database(&config).await?;
        let sandbox = plugins::sandbox(&config)?;
        let indexes = Indexes::open(config.data_dir.join("index"), IndexOptions::default())?;
        let shutdown = CancellationToken::new();
        let redis = config.redis_url.as_deref().map(redis::Client::open).transpose();
        let redis = redis.context("the Redis URL is not valid")?;
        let wake = Wake::between_hosts(&db, redis.clone(), &shutdown);
        let limits = match redis {
            Some(client) => Limiter::with_redis(clock.clone(), client, shutdown.clone()).await,
            None => Limiter::local(clock.clone()),
        };
        let tasks = TaskTracker::new();
        let metrics = Metrics::default();
        let vault = Arc::new(Vault::open(db.clone(), clock.clone(), &config).await?);
        let auth = Arc::new(Auth::open(db.clone(), clock.clone(), config.environment, vault.clone()).await?);
        let plugins = Arc::new(Plugins::new(db.clone(), clock.clone(), sandbox, config.plugin_keys.clone()));
        let knowledge = Arc::new(Knowledge::new(indexes.clone()));
        let credentials = Arc::new(Credentials::new(vault.clone(), clock.clone()));
        let grants = Arc::new(Grants::new(&config, credentials.clone()));
        Ok(Arc::new(Self {
            credentials,
            vault,
            audit: Audit::new(db.clone(), clock.clone(), tasks.clone()),
            workspaces: Workspaces::new(db.clone(), clock.clone(), plugins.clone()),
            sources: Sources::new(clock.clone(), plugins.clone(), wake.clone(), metrics.clone(), grants.clone()),
            shelf: Shelf::new(&config.data_dir),
            syncs: Syncs::new(
                db.clone(),
                clock.clone(),
                plugins.clone(),
                wake.clone(),
                metrics.clone(),
                grants,
                &config,
            ),
            jobs: Jobs::new(db.clone(), clock.clone()),
            push: Push::new(clock.clone(), plugins.clone(), wake.clone(), metrics.clone()),
            documents: Documents::new(wake.clone()),
            chat: Chat::new(clock.clone(), knowledge.clone()),
            config,
            db,
            clock,
            auth,
            limits,
            metrics,
            streams: Arc::default(),
            plugins,
            knowledge,
            wake,
            indexes,
            shutdown,
            tasks,
            ticker: Mutex::new(None),
        }))
    }

    /// Makes the first administrator and the default workspace, when there is no user yet.
    pub async fn bootstrap(&self, password: Option<SecretString>) -> anyhow::Result<Option<FirstAdmin>> {
        let made = self.auth.bootstrap(Given { email: self.config.admin_email.clone(), password }).await?;
        if let Some(admin) = &made {
            let workspace = self.workspaces.create(&Principal::operator(), "Default", Some("default")).await?;
            self.auth.found(admin.user.id, workspace.id).await?;
        }
        Ok(made)
    }

    /// Starts the loops: components, workers, indexer, ticker.
    pub async fn start(self: &Arc<Self>) -> anyhow::Result<()> {
        let app = self.clone();
        self.tasks.spawn(async move {
            if let Err(error) = app.plugins.load().await {
                tracing::error!(error = format!("{error:#}"), "the built-in connectors could not be loaded");
            }
        });
        self.tasks.spawn(self.auth.clone().run(self.shutdown.clone()));
        let indexer = Indexer::new(self.db.clone(), self.indexes.clone(), self.wake.clone());
        self.tasks.spawn(indexer.run(self.shutdown.clone()));
        jobs::start(self, &self.tasks, &self.shutdown);
        self.tasks.spawn(recording::sweep::run(self.clone(), self.shutdown.clone()));
        *self.ticker.lock().await = Some(Ticker::start(self.clone()).await?);
        Ok(())
    }

    /// What this host counts and what the record says, as OpenMetrics text.
    pub async fn scrape(&self) -> Result<String, std::fmt::Error> {
        self.metrics.scrape(self.db.system(), self.indexes.clone(), &self.streams, self.clock.now()).await
    }

    /// Ends when the server is asked to stop.
    pub fn stopping(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Stops the loops, hands back leases and closes the database.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        if let Some(ticker) = self.ticker.lock().await.take() {
            ticker.stop().await;
        }
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!("some work did not stop in time; it will be taken up again after the next start");
        }
        if let Err(error) = self.db.close().await {
            tracing::warn!(%error, "the database did not close cleanly");
        }
    }
}

async fn open_database(config: &Config) -> anyhow::Result<Db> {
    /// SQLite's default page size.
    const PAGE_BYTES: u64 = 4_096;
    let max_pages = config.database_max_bytes.map(|bytes| (bytes / PAGE_BYTES).try_into().unwrap_or(u32::MAX));
    let db = Db::open(&config.database_url, Options { max_pages, ..Options::default() }).await?;
    db.migrate().await?;
    Ok(db)
}
