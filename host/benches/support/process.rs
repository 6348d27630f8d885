//! The server as a process of its own: the optimised binary, spoken to over HTTP.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use super::corpus;

const EMAIL: &str = "bench@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    client: Client,
}

impl Server {
    /// Starts it on a data directory. The second value is the time from the start of the process to a 200 of `/readyz`.
    pub async fn start(data: &Path) -> (Self, Duration) {
        Self::start_with(data, &[]).await
    }

    /// The same with more arguments of `tributary serve`.
    pub async fn start_with(data: &Path, arguments: &[&str]) -> (Self, Duration) {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = Client::new(format!("http://127.0.0.1:{port}"), String::new());
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command
            .args(["serve", "--log", "warn", "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .arg("--data-dir")
            .arg(data)
            .args(arguments)
            .env("TRIBUTARY_ADMIN_EMAIL", EMAIL)
            .env("TRIBUTARY_ADMIN_PASSWORD", PASSWORD)
            .stdout(Stdio::null());
        let started = Instant::now();
        let child = command.spawn().unwrap();
        let server = Self { child, client };
        while !server.is_ready().await {
            assert!(started.elapsed() < Duration::from_secs(60), "the server is not ready after a minute");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (server, started.elapsed())
    }

    async fn is_ready(&self) -> bool {
        let answer = self.client.request(Method::GET, "/readyz").send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    pub async fn log_in(&mut self) {
        let answer = self.post("/api/v1/auth/login", json!({ "email": EMAIL, "password": PASSWORD })).await;
        self.client.token = answer["access_token"].as_str().unwrap().to_owned();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub async fn get(&self, path: &str) -> Value {
        Client::answer(self.client.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        Client::answer(self.client.request(Method::POST, path).json(&body)).await
    }

    /// A client with a connection of its own, kept alive.
    pub fn client(&self) -> Client {
        Client::new(self.client.base.clone(), self.client.token.clone())
    }

    /// Pushes documents 0 to `count` of the corpus into the first workspace, whose id it gives, and waits until they can be found.
    pub async fn push_corpus(&self, count: usize) -> String {
        let workspaces = self.get("/api/v1/workspaces").await;
        let workspace = workspaces["items"][0]["id"].as_str().unwrap().to_owned();
        for start in (0..count).step_by(1_000) {
            let document = |number| json!({ "external_id": corpus::path(number), "title": "", "content": corpus::markdown(number) });
            let documents: Vec<_> = (start..count.min(start + 1_000)).map(document).collect();
            let path = format!("/api/v1/workspaces/{workspace}/documents");
            let pushed = self.post(&path, json!({ "documents": documents })).await;
            self.until_found(&workspace, &pushed["position"]).await;
        }
        workspace
    }

    async fn until_found(&self, workspace: &str, position: &Value) {
        let body = json!({ "workspace_id": workspace, "query": "order", "min_position": position });
        let ask = || self.client.request(Method::POST, QUERY).json(&body).send();
        while !ask().await.unwrap().status().is_success() {}
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) {
        let asked = Command::new("kill").arg(self.pid().to_string()).status();
        assert!(asked.is_ok_and(|status| status.success()));
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where knowledge queries go.
const QUERY: &str = "/api/v1/knowledge/query";

/// One client of a server.
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Client {
    fn new(base: String, token: String) -> Self {
        Self { http: reqwest::Client::new(), base, token }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    /// The same connections with another credential; none when it is empty.
    pub fn with_token(&self, token: &str) -> Self {
        Self { http: self.http.clone(), base: self.base.clone(), token: token.to_owned() }
    }

    /// How a request is answered, once the whole answer is here.
    pub async fn status(&self, method: Method, path: &str, body: Option<&Value>) -> StatusCode {
        let request = self.request(method, path);
        Self::whole(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// How a log-in from the address of this number is answered.
    pub async fn log_in_from(&self, number: usize, body: &Value) -> StatusCode {
        let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(number).unwrap());
        Self::whole(
            self.request(Method::POST, "/api/v1/auth/login").header("x-forwarded-for", address.to_string()).json(body),
        )
        .await
    }

    async fn whole(request: RequestBuilder) -> StatusCode {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        answer.bytes().await.unwrap();
        status
    }

    /// The body of a successful answer.
    async fn answer(request: RequestBuilder) -> Value {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(status.is_success(), "{status}: {body}");
        body
    }

    /// Asks a knowledge query: how long until the whole answer was here, how long of it the service took, and the answer.
    pub async fn query(&self, workspace: &str, query: &str) -> (Duration, Duration, Value) {
        let started = Instant::now();
        let request = self.request(Method::POST, QUERY).json(&json!({ "workspace_id": workspace, "query": query }));
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        let bytes = answer.bytes().await.unwrap();
        let took = started.elapsed();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        (took, Duration::from_secs_f64(body["took_ms"].as_f64().unwrap() / 1e3), body)
    }
}
