//! A running server, and what a client says to it.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::oneshot, time::timeout};
use tributary_store::testing::{self, TestDb};

use crate::eventually;

/// E-mail address of every test's administrator.
pub const EMAIL: &str = "admin@example.com";
/// And the password.
pub const PASSWORD: &str = "correct horse battery staple";

/// Which database a server stands on.
pub enum Database {
    /// Embedded, in the server's data directory.
    Sqlite,
    /// A database of its own in the test cluster.
    Postgres(TestDb),
}

impl Database {
    /// For messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

/// Both databases; PostgreSQL only where the tests have a cluster.
pub async fn databases() -> Vec<Database> {
    let mut databases = vec![Database::Sqlite];
    databases.extend(testing::postgres(tributary_store::Options::default()).await.map(Database::Postgres));
    databases
}

/// The tests' Redis; `None`, with a loud line, where there is none and it may be missing.
pub fn redis() -> Option<String> {
    let url = std::env::var("TRIBUTARY_TEST_REDIS").ok();
    if url.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "TRIBUTARY_TEST_REDIS is not set, and with CI=true nothing may be skipped"
        );
        eprintln!("SKIPPED with Redis: TRIBUTARY_TEST_REDIS is not set");
    }
    url
}

/// A server process with its data; killed and cleaned up when dropped.
pub struct Server {
    process: Process,
    base: String,
    token: String,
    client: reqwest::Client,
    options: Options,
    data: TempDir,
    database: Database,
}

/// How to start a server.
#[derive(Default)]
pub struct Options {
    arguments: Vec<String>,
    log: Option<PathBuf>,
}

impl Options {
    /// Adds an argument of `tributary serve`.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Grants a root.
    pub fn root(self, name: &str, path: &Path) -> Self {
        self.arg("--root").arg(format!("{name}={}", path.display()))
    }

    /// Makes it a further host on the database of another, with that one's master key.
    pub fn beside(self, first: &Server) -> Self {
        let key = first.data_dir().join("master.key");
        self.arg("--database-url").arg(first.database_url()).arg("--master-key-file").arg(key.display().to_string())
    }

    /// Has it log everything there is to log, to a file.
    pub fn log_everything(self, path: &Path) -> Self {
        self.log_to(path).arg("--log").arg("trace")
    }

    /// Has it log to a file.
    pub fn log_to(mut self, path: &Path) -> Self {
        self.log = Some(path.to_owned());
        self
    }

    /// Starts it and logs in.
    pub async fn start(mut self, database: Database) -> Server {
        if let Database::Postgres(postgres) = &database {
            self = self.arg("--database-url").arg(postgres.url.clone());
        }
        let data = tempfile::tempdir().expect("a temporary directory");
        let (process, base) = spawn(&self, data.path()).await;
        let client = reqwest::Client::new();
        let mut server = Server { process, base, token: String::new(), client, options: self, data, database };
        server.log_in().await;
        server
    }
}

/// The server's program.
pub fn binary() -> PathBuf {
    match std::env::var_os("TRIBUTARY_BIN") {
        Some(path) => path.into(),
        None => {
            let target = std::env::current_exe()
                .expect("the test's own path")
                .ancestors()
                .nth(2)
                .map(|path| path.join("tributary"));
            target
                .filter(|path| path.is_file())
                .expect("build the server first: cargo build -p tributary (or run `cargo xtask test`)")
        }
    }
}

/// A process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn spawn(options: &Options, data: &Path) -> (Process, String) {
    let log = options.log.as_ref().map_or_else(Stdio::inherit, |path| {
        File::options().create(true).append(true).open(path).expect("the log can be written").into()
    });
    let mut child = Command::new(binary())
        .arg("serve")
        .args(["--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        // Compiled once for all tests.
        .arg("--component-cache")
        .arg(binary().with_file_name("component-cache"))
        .args(&options.arguments)
        .env("TRIBUTARY_ADMIN_EMAIL", EMAIL)
        .env("TRIBUTARY_ADMIN_PASSWORD", PASSWORD)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("the server starts");
    let output = child.stdout.take().expect("its output is piped");
    let process = Process(child);
    let (sender, address) = oneshot::channel();
    // Reads on for the server's whole life, so that its output never blocks it.
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let address = line.strip_prefix("Tributary listens on ").and_then(|rest| rest.split_whitespace().next());
            if let Some(address) = address
                && let Some(sender) = sender.take()
            {
                let _ = sender.send(address.to_owned());
            }
        }
    });
    let base = timeout(Duration::from_secs(60), address).await.expect("the server starts in a minute");
    (process, base.expect("the server says where it listens; see its log above"))
}

impl Server {
    /// With nothing special.
    pub async fn start(database: Database) -> Self {
        Options::default().start(database).await
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The whole address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Where its data is.
    pub fn data_dir(&self) -> &Path {
        self.data.path()
    }

    /// The database it stands on, for a second server.
    pub fn database_url(&self) -> String {
        match &self.database {
            Database::Sqlite => format!("sqlite://{}", self.data.path().join("tributary.db").display()),
            Database::Postgres(postgres) => postgres.url.clone(),
        }
    }

    /// Runs the command line beside it, on the same data: whether it went well, and what it printed.
    pub fn command(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(binary())
            .args(arguments)
            .arg("--data-dir")
            .arg(self.data.path())
            .args(["--database-url", &self.database_url()])
            .output()
            .expect("the command runs");
        let printed = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8_lossy(&printed).into_owned())
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
    }

    /// Starts it again on the same data.
    pub async fn restart(&mut self) {
        self.kill();
        (self.process, self.base) = spawn(&self.options, self.data.path()).await;
        self.log_in().await;
    }

    /// Sends it a signal by name, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// Waits for it to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.0.wait().expect("the server ends")
    }

    /// Logs in anew.
    pub async fn log_in(&mut self) {
        let answer = self.post("/api/v1/auth/login", json!({ "email": EMAIL, "password": PASSWORD })).await.ok();
        self.token = answer["access_token"].as_str().expect("a token").to_owned();
    }

    /// A request as the administrator, to be completed.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path)).bearer_auth(&self.token)
    }

    /// A request of nobody.
    pub fn anonymous(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    /// POST with a JSON body.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    /// PATCH with a JSON body.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(&body)).await
    }

    /// DELETE.
    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// Makes a workspace and gives its id.
    pub async fn workspace(&self, name: &str) -> String {
        text(&self.post("/api/v1/workspaces", json!({ "name": name })).await.expect(201)["id"])
    }

    /// Makes a file source and gives its address.
    pub async fn file_source(&self, workspace: &str, config: Value) -> String {
        let sources = format!("/api/v1/workspaces/{workspace}/sources");
        let source =
            self.post(&sources, json!({ "name": "Files", "connector": "file", "config": config })).await.expect(201);
        format!("{sources}/{}", text(&source["id"]))
    }

    /// Starts a sync and gives the address of its run.
    pub async fn start_sync(&self, source: &str, body: Value) -> String {
        let run = self.post(&format!("{source}/sync"), body).await.expect(202);
        format!("{source}/runs/{}", text(&run["run_id"]))
    }

    /// Waits for a run to be over.
    pub async fn finished(&self, run: &str) -> Value {
        eventually("the run to end", async || {
            let run = self.get(run).await.ok();
            matches!(run["status"].as_str(), Some("succeeded" | "partial" | "failed" | "cancelled")).then_some(run)
        })
        .await
    }

    /// Syncs and waits for the run.
    pub async fn sync(&self, source: &str) -> Value {
        let run = self.start_sync(source, json!({})).await;
        self.finished(&run).await
    }

    /// Every document of a workspace, over all pages.
    pub async fn documents(&self, workspace: &str) -> Vec<Value> {
        let (mut documents, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/v1/workspaces/{workspace}/documents?limit=100{cursor}")).await.ok();
            documents.extend(page["items"].as_array().expect("items").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return documents,
            }
        }
    }
}

/// A string in JSON.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string")).to_owned()
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: reqwest::header::HeaderMap,
    /// Body: JSON, or the text of a stream of events; null when it is something else.
    pub body: Value,
}

impl Answer {
    /// Sends a request.
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("a whole body");
        let is_stream = headers.get("content-type").is_some_and(|value| value == "text/event-stream");
        let text = || if is_stream { String::from_utf8_lossy(&bytes).into_owned().into() } else { Value::Null };
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Self { status, headers, body }
    }

    /// The body of a 200.
    pub fn ok(self) -> Value {
        self.expect(200)
    }

    /// The body of an answer with this status.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Checks that this is a problem of this status and code, with everything a problem must have, and gives it.
    pub fn problem(self, status: u16, code: &str) -> Value {
        let media_type =
            self.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let request_id =
            self.headers.get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let problem = self.expect(status);
        assert_eq!(media_type, "application/problem+json", "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["request_id"], request_id.as_str(), "{problem}");
        assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("/problems/")), "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{problem}");
        problem
    }
}
