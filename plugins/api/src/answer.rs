//! What an answer means: a page, a wait, something to pass over, or a failure.

use std::borrow::Cow;

use tributary_plugin_sdk::{Failure, Fault, Host, HttpRequest, HttpResponse, read_whole};

use crate::{
    config::{Action, Config, ErrorRule, Limits, ResetFormat, Response},
    decode::{Decoded, Window, decode, json_value},
    json::Json,
    time::{self, Format},
};

/// How much of an error's body is looked at.
const ERROR_BYTES: u32 = 256 * 1024;
/// A wait that the source did not measure.
const DEFAULT_WAIT_MS: u64 = 60_000;
/// Longer waits are asked for again.
const MAX_WAIT_MS: u64 = 6 * 3_600_000;

/// What came back.
pub(crate) enum Answer {
    Page(Box<Got>),
    /// As it was when `If-None-Match` was true.
    NotModified,
    /// The source asks to slow down.
    Wait {
        ms: u64,
        failure: Failure,
    },
    /// To be tried again so many times, then what.
    Retry {
        retries: u32,
        then: Action,
        wait_ms: Option<u64>,
        failure: Failure,
    },
    /// Pass over it.
    Skip {
        action: Action,
        failure: Failure,
    },
    /// There is nothing.
    Empty,
}

/// A page.
pub(crate) struct Got {
    pub(crate) response: HttpResponse,
    pub(crate) decoded: Decoded,
    pub(crate) sha256: String,
    /// The last request of its window: how long until there are more.
    pub(crate) pause_ms: Option<u64>,
}

/// Asks, and reads what comes back. `window` says which records are kept, given the hash of the answer.
///
/// # Errors
/// When nothing came back, and when what came back is a failure.
pub(crate) fn ask(
    host: &dyn Host,
    config: &Config,
    collection: usize,
    reading: &Response,
    request: &HttpRequest,
    upper_bound: i64,
    window: impl FnOnce(&str) -> Window,
) -> Result<Answer, Failure> {
    let rules = &config.collections[collection].errors;
    let response = host.send(request)?;
    let waits = Waits { limits: &config.limits, response: &response, upper_bound };
    let place = response.url.split(['?', '#']).next().unwrap_or_default().to_owned();
    if response.status == 304 {
        return Ok(Answer::NotModified);
    }
    if !response.is_success() {
        let body = host.read_blob(response.body, 0, ERROR_BYTES)?;
        let text = String::from_utf8_lossy(&body);
        let envelope = json_value(&text).unwrap_or(Json::Null);
        let wait_ms = waits.wait_ms(&envelope);
        let (status, asks_to_wait) = (response.status, waits.asks_to_wait());
        let Err(failure) = response.success(host) else { return Ok(Answer::Empty) };
        if let Some(rule) = rules.iter().find(|rule| applies(rule, status, &envelope, &text)) {
            return act(rule, failure, wait_ms);
        }
        if asks_to_wait {
            let ms = wait_ms.unwrap_or(DEFAULT_WAIT_MS);
            return Ok(Answer::Wait { ms, failure: slow_down(failure, ms) });
        }
        return Err(match failure.fault {
            Fault::AuthInvalid | Fault::Permission => failure.at("/auth/credential"),
            Fault::NotFound => failure.at(format!("/collections/{collection}/request/path")),
            _ => failure,
        });
    }
    let info = host.blob_info(response.body)?;
    let bytes = read_whole(host, response.body, request.max_bytes)?;
    let media_type = response.header("content-type").unwrap_or_default();
    let decoded = decode(reading, &bytes, media_type, &place, window(&info.sha256));
    let (envelope, problem) = match &decoded {
        Ok(decoded) => (&decoded.envelope, None),
        Err(failure) => (&Json::Null, Some(failure)),
    };
    let contains = rules.iter().any(|rule| rule.when.contains.is_some() && rule.when.json_pointer.is_none());
    let text = if contains {
        String::from_utf8_lossy(&bytes[..bytes.len().min(ERROR_BYTES as usize)])
    } else {
        Cow::Borrowed("")
    };
    let wait_ms = waits.wait_ms(envelope);
    if let Some(rule) = rules.iter().find(|rule| applies(rule, response.status, envelope, &text)) {
        let failure = problem.cloned().unwrap_or_else(|| said(&place, envelope));
        return act(rule, failure, wait_ms);
    }
    let decoded = decoded.map_err(|failure| failure.at(format!("/collections/{collection}/response")))?;
    if request_is_graphql(config, collection) && decoded.envelope.get("errors").is_some_and(|errors| !errors.is_blank())
    {
        return Err(said(&place, &decoded.envelope));
    }
    let decoded = decoded
        .expect_records(reading, &place)
        .map_err(|failure| failure.at(format!("/collections/{collection}/response/records")))?;
    let pause_ms = waits.used_up().then_some(wait_ms).flatten();
    Ok(Answer::Page(Box::new(Got { decoded, sha256: info.sha256, pause_ms, response })))
}

fn act(rule: &ErrorRule, failure: Failure, wait_ms: Option<u64>) -> Result<Answer, Failure> {
    act_as(rule.action, rule, failure, wait_ms)
}

fn act_as(action: Action, rule: &ErrorRule, failure: Failure, wait_ms: Option<u64>) -> Result<Answer, Failure> {
    Ok(match action {
        Action::Retry => {
            let then = rule.then.unwrap_or(Action::Fail);
            Answer::Retry { retries: rule.retries, then, wait_ms, failure }
        }
        Action::RateLimited => {
            let ms = wait_ms.unwrap_or(DEFAULT_WAIT_MS);
            Answer::Wait { ms, failure: slow_down(failure, ms) }
        }
        Action::SkipItem | Action::SkipPartition => Answer::Skip { action, failure },
        Action::Empty => Answer::Empty,
        Action::Fail => return Err(failure),
    })
}

impl Answer {
    /// What comes after the last try.
    pub(crate) fn after_retries(then: Action, failure: Failure) -> Result<Self, Failure> {
        match then {
            Action::SkipItem | Action::SkipPartition => Ok(Self::Skip { action: then, failure }),
            Action::Empty => Ok(Self::Empty),
            Action::RateLimited => Ok(Self::Wait { ms: DEFAULT_WAIT_MS, failure: slow_down(failure, DEFAULT_WAIT_MS) }),
            Action::Retry | Action::Fail => Err(failure),
        }
    }
}

fn applies(rule: &ErrorRule, status: u16, envelope: &Json, body: &str) -> bool {
    let when = &rule.when;
    let status_fits = when.status.as_ref().is_none_or(|statuses| statuses.0.contains(&status));
    let text_fits = match (&when.json_pointer, &when.contains) {
        (None, None) => true,
        (None, Some(wanted)) => body.contains(wanted),
        (Some(pointer), wanted) => pointer.find_all(envelope).into_iter().any(|value| {
            !value.is_blank()
                && wanted.as_ref().is_none_or(|wanted| value.words().is_some_and(|words| words.contains(wanted)))
        }),
    };
    status_fits && text_fits
}

/// The failure of an answer whose status says that all is well.
fn said(place: &str, envelope: &Json) -> Failure {
    let first = envelope.get("errors").or_else(|| envelope.get("error")).unwrap_or(envelope);
    let message = match first {
        Json::List(items) => items.first().and_then(|item| item.get("message").or(Some(item))).and_then(Json::words),
        one => one.get("message").or(Some(one)).and_then(Json::words),
    };
    let message: String = message.unwrap_or_default().chars().take(300).collect();
    Failure::source_contract("source_error", format!("{place} answered with an error; see what it says: {message}"))
}

fn slow_down(failure: Failure, ms: u64) -> Failure {
    Failure { fault: Fault::RateLimited, code: "rate_limited".to_owned(), retry_after_ms: Some(ms), ..failure }
}

fn request_is_graphql(config: &Config, collection: usize) -> bool {
    config.collections[collection].request.body.as_ref().is_some_and(|body| body.graphql.is_some())
}

/// How long an answer says to wait.
struct Waits<'a> {
    limits: &'a Limits,
    response: &'a HttpResponse,
    upper_bound: i64,
}

impl Waits<'_> {
    fn used_up(&self) -> bool {
        let header = self.limits.remaining.as_ref().and_then(|remaining| self.response.header(&remaining.header));
        header.and_then(|left| left.trim().parse::<f64>().ok()).is_some_and(|left| left < 1.0)
    }

    fn asks_to_wait(&self) -> bool {
        match self.response.status {
            429 => true,
            403 | 503 => self.response.header("retry-after").is_some() || self.used_up(),
            _ => false,
        }
    }

    fn wait_ms(&self, envelope: &Json) -> Option<u64> {
        let ms = self.retry_after_ms().or_else(|| self.reset_ms()).or_else(|| self.cost_ms(envelope))?;
        Some(ms.clamp(100, MAX_WAIT_MS))
    }

    fn retry_after_ms(&self) -> Option<u64> {
        let header = self.response.header("retry-after")?.trim();
        match header.parse::<f64>() {
            Ok(seconds) if seconds >= 0.0 => Some((seconds * 1_000.0).ceil() as u64),
            Ok(_) => None,
            Err(_) => Some(self.until(time::parse(header, &[Format::HttpDate])?)),
        }
    }

    fn reset_ms(&self) -> Option<u64> {
        let reset = self.limits.reset.as_ref()?;
        let header = self.response.header(&reset.header)?.trim();
        let delta = |unit: f64| header.parse::<f64>().ok().filter(|n| *n >= 0.0).map(|n| (n * unit).ceil() as u64);
        match reset.format {
            ResetFormat::DeltaS => delta(1_000.0),
            ResetFormat::DeltaMs => delta(1.0),
            ResetFormat::EpochS => Some(self.until(time::parse(header, &[Format::EpochS])?)),
            ResetFormat::EpochMs => Some(self.until(time::parse(header, &[Format::EpochMs])?)),
            ResetFormat::HttpDate => Some(self.until(time::parse(header, &[Format::HttpDate])?)),
        }
    }

    fn cost_ms(&self, envelope: &Json) -> Option<u64> {
        let cost = self.limits.cost.as_ref()?;
        let number = |pointer: &crate::json::Pointer| pointer.scalar(envelope)?.parse::<f64>().ok();
        let missing = number(&cost.requested)? - number(&cost.available)?;
        let per_s = number(&cost.restored_per_s)?;
        (per_s > 0.0).then(|| (missing.max(0.0) / per_s * 1_000.0).ceil() as u64)
    }

    /// From the source's own clock when it tells, so that a difference of clocks does not matter; a component has none.
    fn until(&self, at: i64) -> u64 {
        let date = self.response.header("date").and_then(|date| time::parse(date, &[Format::HttpDate]));
        at.saturating_sub(date.unwrap_or(self.upper_bound)).max(0).unsigned_abs()
    }
}
