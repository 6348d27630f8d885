//! A PostgreSQL and a Redis of one test's own, to be stopped and started under a running server.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::unix::{
        fs::{MetadataExt, chown},
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// PostgreSQL refuses to run as root; then it runs as `nobody`.
const NOBODY: u32 = 65_534;

/// A service on a port that it keeps. Dropping it ends it and removes its files.
pub struct Service {
    program: PathBuf,
    arguments: Vec<String>,
    account: Option<u32>,
    port: u16,
    process: Option<Child>,
    /// Where clients reach it.
    pub url: String,
    home: TempDir,
}

impl Service {
    /// An empty PostgreSQL cluster, running; `None`, with a loud line, where there is no PostgreSQL and it may be missing.
    pub fn postgres() -> Option<Self> {
        let Some(bin) = postgres_programs() else { return missing("PostgreSQL") };
        let (home, account, port) = (tempfile::tempdir().expect("a temporary directory"), account(), free_port());
        own(home.path(), account);
        let data = home.path().join("data");
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"]);
        let made = as_account(&mut initdb, account).arg(&data).current_dir(home.path()).output().expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        // An ordinary role, as in production: it is held by row-level security.
        let roles = home.path().join("roles.sql");
        fs::write(&roles, "CREATE ROLE tributary LOGIN\nCREATE DATABASE tributary OWNER tributary\n").expect("a file");
        let mut single = Command::new(bin.join("postgres"));
        single.args(["--single", "-c", "fsync=off", "-D"]).arg(&data).arg("postgres").current_dir(home.path());
        single.stdin(fs::File::open(&roles).expect("the file"));
        let made = as_account(&mut single, account).output().expect("postgres runs");
        assert!(made.status.success(), "postgres: {}", String::from_utf8_lossy(&made.stderr));
        // fsync is for power cuts. A commit is written before it is answered.
        let arguments = ["-D", &data.display().to_string(), "-p", &port.to_string()]
            .into_iter()
            .chain(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"])
            .map(str::to_owned)
            .collect();
        let url = format!("postgres://tributary@127.0.0.1:{port}/tributary");
        let program = bin.join("postgres");
        Some(Self { program, arguments, account, port, process: None, url, home }.started())
    }

    /// A Redis, running, that keeps nothing; `None`, with a loud line, where there is none and it may be missing.
    pub fn redis() -> Option<Self> {
        let Some(program) = on_path("redis-server") else { return missing("Redis") };
        let (home, port) = (tempfile::tempdir().expect("a temporary directory"), free_port());
        let arguments = ["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"];
        let arguments = arguments.map(str::to_owned).to_vec();
        let url = format!("redis://127.0.0.1:{port}");
        Some(Self { program, arguments, account: None, port, process: None, url, home }.started())
    }

    fn started(mut self) -> Self {
        self.start();
        self
    }

    /// Starts it, on the same port and with what it kept, and waits until it takes connections.
    pub fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.log()).expect("a log");
        let mut command = Command::new(&self.program);
        as_account(&mut command, self.account).args(&self.arguments).current_dir(self.home.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        let mut process = command.spawn().expect("the service starts");
        let began = Instant::now();
        while !self.answers() {
            if let Ok(Some(status)) = process.try_wait() {
                panic!("it ended ({status}): {}", fs::read_to_string(self.log()).unwrap_or_default());
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it takes no connections");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process = Some(process);
    }

    /// Ends it without asking anybody: what `pg_ctl stop -m immediate` does, and SIGKILL for Redis.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let signal = if self.is_postgres() { "-QUIT" } else { "-KILL" };
        let sent = Command::new("kill").arg(signal).arg(process.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
        let status = process.wait().expect("it ends");
        assert!(status.signal().is_some() || !self.answers(), "it is gone");
    }

    fn is_postgres(&self) -> bool {
        self.program.ends_with("postgres")
    }

    fn log(&self) -> PathBuf {
        self.home.path().join("log")
    }

    fn answers(&self) -> bool {
        // PostgreSQL listens before it takes connections, and writes this line's last word then.
        let ready = |text: String| text.lines().nth(7).is_some_and(|status| status.trim() == "ready");
        (!self.is_postgres() || fs::read_to_string(self.home.path().join("data/postmaster.pid")).is_ok_and(ready))
            && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return self.stop();
        }
        let Some(process) = &mut self.process else { return };
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn missing(what: &str) -> Option<Service> {
    let must = std::env::var("CI").as_deref() == Ok("true");
    assert!(!must, "{what} is not installed, and with CI=true nothing may be skipped");
    eprintln!("SKIPPED: {what} is not installed");
    None
}

fn account() -> Option<u32> {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0).then_some(NOBODY)
}

fn own(path: &Path, account: Option<u32>) {
    if account.is_some() {
        chown(path, account, account).expect("root gives its directory away");
    }
}

fn as_account(command: &mut Command, account: Option<u32>) -> &mut Command {
    if let Some(account) = account {
        command.uid(account).gid(account);
    }
    command
}

/// A loopback port nobody listens on at this moment.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr()).expect("a free port").port()
}

fn on_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Beside the `initdb` on the PATH, else the newest that Debian has installed.
fn postgres_programs() -> Option<PathBuf> {
    let on_path = on_path("initdb").and_then(|initdb| Some(initdb.canonicalize().ok()?.parent()?.to_path_buf()));
    on_path.or_else(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
        let number = |bin: &PathBuf| bin.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
        versions.filter(|bin| bin.join("initdb").is_file()).max_by_key(number)
    })
}
