//! The server's HTTP API as a client sees it: JSON in, JSON out, problems as errors.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::Value;

pub(crate) struct Api {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

/// A status and what came with it; `null` for a body that is not JSON.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Api {
    /// `listen` as the server was told: an address that means every interface is reached over loopback.
    pub(crate) fn new(listen: &str) -> Self {
        let host = listen.replacen("0.0.0.0", "127.0.0.1", 1).replacen("[::]", "[::1]", 1);
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(20)));
        Self { agent: config.build().into(), base: format!("http://{host}"), token: None }
    }

    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// From here on, calls carry this access token.
    pub(crate) fn authenticate(&mut self, token: String) {
        self.token = Some(token);
    }

    /// Whether the server takes requests.
    pub(crate) fn ready(&self) -> bool {
        self.agent.get(format!("{}/readyz", self.base)).call().is_ok_and(|reply| reply.status().is_success())
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let reply = request.call().with_context(|| format!("GET {path}"))?;
        read(reply)?.expect_success(path)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.try_post(path, body)?.expect_success(path)
    }

    /// Like [`Api::post`], where the caller knows what to do about a refusal.
    pub(crate) fn try_post(&self, path: &str, body: &Value) -> Result<Reply> {
        let mut request = self.agent.post(format!("{}{path}", self.base)).content_type("application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        read(request.send(body.to_string()).with_context(|| format!("POST {path}"))?)
    }
}

impl Reply {
    pub(crate) fn expect_success(self, path: &str) -> Result<Value> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let detail = self.body["detail"].as_str().or(self.body["title"].as_str()).unwrap_or("no detail");
        Err(anyhow!("the server answered {} to {path}: {detail}", self.status))
    }
}

fn read(mut reply: ureq::http::Response<ureq::Body>) -> Result<Reply> {
    let status = reply.status().as_u16();
    let text = reply.body_mut().read_to_string().context("the server's answer broke off")?;
    Ok(Reply { status, body: serde_json::from_str(&text).unwrap_or_default() })
}

/// A text field the API promises.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field].as_str().with_context(|| format!("the server's answer has no text field {field:?}: {value}"))
}
