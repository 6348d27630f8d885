//! Settings: command line, then environment (`TRIBUTARY_…`), then the file named by `--config`, then defaults.
//!
//! The three sources share one struct, so that every setting has one name, one unit and one description.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tributary_core::job::Work;

use crate::{auth::Environment, plugins::PluginKeys};

/// What can be set. Every field is optional here; [`Settings::resolve`] fills in the rest.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// TOML file with these settings (`data_dir = "…"`, `[roots]`); the command line and the environment win over it
    #[arg(long, env = "TRIBUTARY_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long, env = "TRIBUTARY_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// Directory for the embedded database, search indexes and compiled components [default: ./data]
    #[arg(long, env = "TRIBUTARY_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Directory for compiled components; servers on one machine may share it [default: components in the data directory]
    #[arg(long, env = "TRIBUTARY_COMPONENT_CACHE", value_name = "DIR")]
    pub component_cache: Option<PathBuf>,

    /// sqlite:///PATH or postgres://… [default: SQLite in the data directory]
    #[arg(long, env = "TRIBUTARY_DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,

    /// File with the master key that seals secrets, 32 random bytes in base64; made on the first start [default: master.key in the data directory]
    #[arg(long, env = "TRIBUTARY_MASTER_KEY_FILE", value_name = "FILE")]
    pub master_key_file: Option<PathBuf>,

    /// The master key itself instead of a file; only for the environment, because others see a command line.
    #[arg(long, env = "TRIBUTARY_MASTER_KEY", value_name = "KEY", hide_env_values = true, hide = true)]
    #[serde(skip)]
    pub master_key: Option<SecretString>,

    /// redis://… to wake other hosts sooner and to count rate limits for all hosts together; optional
    #[arg(long, env = "TRIBUTARY_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// Proxies that may name the client in X-Forwarded-For or Forwarded, such as 10.0.0.0/8,192.0.2.1 [default: none]
    #[arg(long, env = "TRIBUTARY_TRUSTED_PROXIES", value_name = "NETWORKS", value_delimiter = ',')]
    pub trusted_proxies: Option<Vec<String>>,

    /// Networks of yours that connectors may reach beside the Internet, such as 10.0.0.0/8,192.0.2.1 [default: none]
    #[arg(long = "egress-network", env = "TRIBUTARY_EGRESS_NETWORKS", value_name = "NETWORKS", value_delimiter = ',')]
    pub egress_networks: Option<Vec<String>>,

    /// Key whose signatures of connectors count, as minisign prints it; with one, nothing else is installed; may be given several times [default: none]
    #[arg(long = "plugin-key", env = "TRIBUTARY_PLUGIN_KEYS", value_name = "KEY", value_delimiter = ',')]
    pub plugin_keys: Option<Vec<String>>,

    /// Directory that file sources may read, by name; may be given several times
    #[arg(long = "root", env = "TRIBUTARY_ROOTS", value_name = "NAME=PATH", value_delimiter = ',', value_parser = parse_root)]
    #[serde(skip)]
    pub root: Vec<(String, PathBuf)>,

    /// `[roots]` of the file: name = "path".
    #[arg(skip)]
    pub roots: BTreeMap<String, PathBuf>,

    /// What to log, as in RUST_LOG [default: info]
    #[arg(long, env = "TRIBUTARY_LOG", value_name = "FILTER")]
    pub log: Option<String>,

    /// text or json [default: text]
    #[arg(long, env = "TRIBUTARY_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// Syncs that run at once on this host [default: 2]
    #[arg(long, env = "TRIBUTARY_SYNC_WORKERS", value_name = "N")]
    pub sync_workers: Option<usize>,

    /// Jobs of other kinds that run at once on this host, such as delete_workspace=2 [default: 1 of each]
    #[arg(long, env = "TRIBUTARY_JOB_WORKERS", value_name = "KIND=N", value_delimiter = ',')]
    pub job_workers: Option<Vec<String>>,

    /// Jobs of one workspace that run at once, on all hosts together [default: 8]
    #[arg(long, env = "TRIBUTARY_WORKSPACE_JOBS", value_name = "N")]
    pub workspace_jobs: Option<i64>,

    /// Milliseconds after which the database is asked for jobs although nothing was heard of any [default: 500]
    #[arg(long, env = "TRIBUTARY_JOB_POLL_MS", value_name = "MS")]
    pub job_poll_ms: Option<u64>,

    /// Days that jobs which ended are remembered [default: 7]
    #[arg(long, env = "TRIBUTARY_JOB_HISTORY_DAYS", value_name = "DAYS")]
    pub job_history_days: Option<u32>,

    /// Days that jobs which were given up are kept for somebody to look at [default: 30]
    #[arg(long, env = "TRIBUTARY_DEAD_JOB_DAYS", value_name = "DAYS")]
    pub dead_job_days: Option<u32>,

    /// Days that recordings of syncs are kept after their runs [default: 7]
    #[arg(long, env = "TRIBUTARY_RECORDING_DAYS", value_name = "DAYS")]
    pub recording_days: Option<u32>,

    /// Milliseconds a worker may be silent before another takes its job [default: 20000]
    #[arg(long, env = "TRIBUTARY_LEASE_MS", value_name = "MS")]
    pub lease_ms: Option<u64>,

    /// Most changes a connector may return in one page [default: 256]
    #[arg(long, env = "TRIBUTARY_PAGE_ITEMS", value_name = "N")]
    pub page_items: Option<u32>,

    /// Milliseconds of processor time a connector may use for one page [default: 10000]
    #[arg(long, env = "TRIBUTARY_CONNECTOR_CPU_MS", value_name = "MS")]
    pub connector_cpu_ms: Option<u64>,

    /// Largest size of the embedded SQLite database in bytes; none when absent
    #[arg(long, env = "TRIBUTARY_DATABASE_MAX_BYTES", value_name = "BYTES")]
    pub database_max_bytes: Option<u64>,

    /// Which API keys this server makes and takes: live or test [default: live]
    #[arg(long, env = "TRIBUTARY_ENVIRONMENT", value_name = "KIND")]
    pub environment: Option<Environment>,

    /// Token with which Prometheus reads /metrics, at least 16 characters; without one there is no such address
    #[arg(long, env = "TRIBUTARY_METRICS_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub metrics_token: Option<SecretString>,

    /// E-mail address of the first administrator, used on the first start only [default: admin@localhost]
    #[arg(long, env = "TRIBUTARY_ADMIN_EMAIL", value_name = "EMAIL")]
    pub admin_email: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Where everything local lives.
    pub data_dir: PathBuf,
    /// Where compiled components are kept.
    pub component_cache: PathBuf,
    /// Database URL.
    pub database_url: String,
    /// Where the master key is, unless it is given.
    pub master_key_file: PathBuf,
    /// The master key, when it was given.
    pub master_key: Option<SecretString>,
    /// Redis URL.
    pub redis_url: Option<String>,
    /// Proxies that may name the client; none when empty.
    pub trusted_proxies: Vec<IpNet>,
    /// Networks that connectors may reach beside the Internet, also without TLS.
    pub egress_networks: Vec<IpNet>,
    /// Keys whose signatures of connectors count; when empty, none is asked for.
    pub plugin_keys: PluginKeys,
    /// Granted roots.
    pub roots: BTreeMap<String, PathBuf>,
    /// Log filter.
    pub log: String,
    /// Log format.
    pub log_format: LogFormat,
    /// Jobs of a kind that run at once on this host: every kind there is.
    pub workers: BTreeMap<&'static str, usize>,
    /// Jobs of one workspace that run at once, on all hosts together.
    pub workspace_jobs: i64,
    /// How often the database is asked for jobs when nothing is heard of any.
    pub job_poll: Duration,
    /// How long ended jobs are remembered.
    pub job_history: Duration,
    /// How long jobs that were given up are kept.
    pub dead_jobs: Duration,
    /// How long recordings of syncs are kept.
    pub recordings: Duration,
    /// How long a silent worker keeps its job.
    pub lease: Duration,
    /// Most changes in a page.
    pub page_items: u32,
    /// Processor time of a connector call.
    pub connector_cpu: Duration,
    /// Largest SQLite database.
    pub database_max_bytes: Option<u64>,
    /// Which API keys are made and taken.
    pub environment: Environment,
    /// What opens /metrics; without one there is no such address.
    pub metrics_token: Option<SecretString>,
    /// First administrator.
    pub admin_email: String,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {reason}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The file is not valid.
    #[error("the configuration file {path} is not valid: {message}")]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A value is out of its range.
    #[error("{0}")]
    Value(String),
}

impl Settings {
    /// Reads the file, if one is named, and fills in the defaults.
    pub fn resolve(self) -> Result<Config, Error> {
        let file = match &self.config {
            Some(path) => read(path)?,
            None => Self::default(),
        };
        let data_dir = self.data_dir.or(file.data_dir).unwrap_or_else(|| PathBuf::from("data"));
        let database_url = self
            .database_url
            .or(file.database_url)
            .unwrap_or_else(|| format!("sqlite://{}", data_dir.join("tributary.db").display()));
        let component_cache =
            self.component_cache.or(file.component_cache).unwrap_or_else(|| data_dir.join("components"));
        let mut roots = file.roots;
        roots.extend(self.root);
        let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
        let config = Config {
            listen: self.listen.or(file.listen).unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            master_key_file: self
                .master_key_file
                .or(file.master_key_file)
                .unwrap_or_else(|| data_dir.join("master.key")),
            master_key: self.master_key,
            data_dir,
            component_cache,
            database_url,
            redis_url: self.redis_url.or(file.redis_url),
            trusted_proxies: networks(
                "trusted_proxies",
                self.trusted_proxies.or(file.trusted_proxies).unwrap_or_default(),
            )?,
            egress_networks: networks(
                "egress_networks",
                self.egress_networks.or(file.egress_networks).unwrap_or_default(),
            )?,
            plugin_keys: PluginKeys::parse(&self.plugin_keys.or(file.plugin_keys).unwrap_or_default())
                .map_err(Error::Value)?,
            roots,
            log: self.log.or(file.log).unwrap_or_else(|| "info,tokio_cron_scheduler=warn".to_owned()),
            log_format: self.log_format.or(file.log_format).unwrap_or_default(),
            workers: workers(
                self.sync_workers.or(file.sync_workers).unwrap_or(2),
                self.job_workers.or(file.job_workers).unwrap_or_default(),
            )?,
            workspace_jobs: self.workspace_jobs.or(file.workspace_jobs).unwrap_or(8),
            job_poll: Duration::from_millis(self.job_poll_ms.or(file.job_poll_ms).unwrap_or(500)),
            job_history: days(self.job_history_days.or(file.job_history_days).unwrap_or(7)),
            dead_jobs: days(self.dead_job_days.or(file.dead_job_days).unwrap_or(30)),
            recordings: days(self.recording_days.or(file.recording_days).unwrap_or(7)),
            lease: Duration::from_millis(self.lease_ms.or(file.lease_ms).unwrap_or(20_000)),
            page_items: self.page_items.or(file.page_items).unwrap_or(256),
            connector_cpu: Duration::from_millis(self.connector_cpu_ms.or(file.connector_cpu_ms).unwrap_or(10_000)),
            database_max_bytes: self.database_max_bytes.or(file.database_max_bytes),
            environment: self.environment.or(file.environment).unwrap_or_default(),
            metrics_token: self.metrics_token.or(file.metrics_token),
            admin_email: self.admin_email.or(file.admin_email).unwrap_or_else(|| "admin@localhost".to_owned()),
        };
        config.checked()
    }
}

impl Config {
    fn checked(self) -> Result<Self, Error> {
        let in_range = |name: &str, ok: bool, range: &str| {
            if ok { Ok(()) } else { Err(Error::Value(format!("{name} must be {range}"))) }
        };
        for (kind, workers) in &self.workers {
            let name = if *kind == "sync" { "sync_workers".to_owned() } else { format!("job_workers of {kind}") };
            in_range(&name, (1..=64).contains(workers), "between 1 and 64")?;
        }
        in_range("workspace_jobs", self.workspace_jobs >= 1, "at least 1")?;
        in_range("job_poll_ms", (10..=60_000).contains(&self.job_poll.as_millis()), "between 10 and 60000")?;
        in_range("job_history_days", !self.job_history.is_zero(), "at least 1")?;
        in_range("dead_job_days", !self.dead_jobs.is_zero(), "at least 1")?;
        in_range("recording_days", !self.recordings.is_zero(), "at least 1")?;
        in_range("page_items", (1..=1_000).contains(&self.page_items), "between 1 and 1000")?;
        in_range("lease_ms", self.lease >= Duration::from_millis(300), "at least 300")?;
        let token_bytes = self.metrics_token.as_ref().map(|token| token.expose_secret().len());
        in_range("metrics_token", token_bytes.is_none_or(|bytes| bytes >= 16), "at least 16 characters long")?;
        in_range("connector_cpu_ms", self.connector_cpu >= Duration::from_millis(50), "at least 50")?;
        for name in self.roots.keys() {
            let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            in_range(&format!("the root name {name:?}"), plain, "made of letters, digits, - and _")?;
        }
        Ok(self)
    }
}

fn read(path: &Path) -> Result<Settings, Error> {
    let text = std::fs::read_to_string(path).map_err(|reason| Error::Read { path: path.to_owned(), reason })?;
    toml::from_str(&text).map_err(|error| Error::Invalid { path: path.to_owned(), message: error.to_string() })
}

fn networks(setting: &str, texts: Vec<String>) -> Result<Vec<IpNet>, Error> {
    let parse = |text: String| {
        let text = text.trim();
        let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)));
        network.map_err(|_| {
            Error::Value(format!(
                "{setting} must name networks such as 10.0.0.0/8 or addresses such as 192.0.2.1, not {text:?}"
            ))
        })
    };
    texts.into_iter().map(parse).collect()
}

/// Every kind of job with its number of workers.
fn workers(syncs: usize, others: Vec<String>) -> Result<BTreeMap<&'static str, usize>, Error> {
    let mut workers: BTreeMap<_, _> = Work::KINDS.into_iter().map(|kind| (kind, 1)).collect();
    workers.insert("sync", syncs);
    for text in others {
        let (kind, number) = text.split_once('=').unwrap_or((&text, ""));
        let place = workers.get_mut(kind.trim()).filter(|_| kind.trim() != "sync");
        let number = number.trim().parse().ok();
        let (Some(place), Some(number)) = (place, number) else {
            let kinds: Vec<_> = Work::KINDS.into_iter().filter(|kind| *kind != "sync").collect();
            return Err(Error::Value(format!(
                "job_workers must look like KIND=N with a kind of {}, not {text:?}; for syncs there is sync_workers",
                kinds.join(", ")
            )));
        };
        *place = number;
    }
    Ok(workers)
}

fn parse_root(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), PathBuf::from(path))),
        _ => Err(format!("expected NAME=PATH, as in docs=/srv/docs, not {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tributary.toml");
        std::fs::write(&path, "listen = \"127.0.0.1:1\"\ndata_dir = \"/from/file\"\n[roots]\na = \"/a\"\nb = \"/b\"\n")
            .unwrap();
        let settings = Settings {
            config: Some(path),
            listen: Some("127.0.0.1:2".parse().unwrap()),
            root: vec![("b".into(), "/other".into())],
            ..Settings::default()
        };
        let config = settings.resolve().unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.database_url, "sqlite:///from/file/tributary.db");
        assert_eq!(config.roots, BTreeMap::from([("a".into(), "/a".into()), ("b".into(), "/other".into())]));
    }

    #[test]
    fn trusted_proxies_are_networks_or_addresses() {
        let resolve = |texts: &[&str]| {
            let trusted_proxies = Some(texts.iter().map(|text| (*text).to_owned()).collect());
            Settings { trusted_proxies, ..Settings::default() }.resolve()
        };
        let networks: Vec<_> = resolve(&["10.0.0.0/8", " ::1"]).unwrap().trusted_proxies;
        assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
        let error = resolve(&["proxy.example.com"]).unwrap_err().to_string();
        assert!(error.contains("proxy.example.com"), "{error}");
    }

    #[test]
    fn each_kind_of_job_has_its_own_workers() {
        let resolve = |text: &str| {
            Settings { job_workers: Some(vec![text.to_owned()]), ..Settings::default() }.resolve().map(|it| it.workers)
        };
        assert_eq!(
            resolve("delete_workspace=3").unwrap(),
            BTreeMap::from([("delete_workspace", 3), ("purge_source", 1), ("sync", 2)])
        );
        for text in ["sync=3", "dance=1", "delete_workspace", "delete_workspace=many", "delete_workspace=0"] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.contains("job_workers"), "{text}: {error}");
        }
    }

    #[test]
    fn a_misspelt_setting_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tributary.toml");
        std::fs::write(&path, "lisen = \"127.0.0.1:1\"\n").unwrap();
        let error = Settings { config: Some(path), ..Settings::default() }.resolve().unwrap_err().to_string();
        assert!(error.contains("lisen"), "{error}");
    }
}
