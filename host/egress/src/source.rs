//! The network as one source sees it: its connector's requests, checked, authorised, paced and followed.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use moka::future::Cache;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, SET_COOKIE};
use secrecy::ExposeSecret;
use tributary_core::{
    contract::{Failure, Fault},
    http::{Http, HttpRequest, HttpResponse, Method, UseCredential},
};
use url::Url;

use crate::{
    Egress, HostGrants, Secret, Secrets,
    budgets::MOST_RATES,
    client::{Answer, bad_url},
    inject::{self, Place},
    tokens::{Grant, Tokens},
};

/// Redirects followed.
const MOST_REDIRECTS: usize = 5;
/// A credential that was set anew is used after so long.
const REOPEN: Duration = Duration::from_secs(10);
const LONGEST_URL_BYTES: usize = 8 << 10;
const MOST_HEADERS: usize = 64;
const LONGEST_BODY_BYTES: usize = 8 << 20;
/// Bytes of an answer, whatever the connector asks for.
const LONGEST_ANSWER_BYTES: u64 = 64 << 20;

/// What one source may do.
#[derive(Clone)]
pub struct SourceAccess {
    /// Whose accounts and tokens are shared.
    pub workspace: String,
    /// Hosts.
    pub hosts: HostGrants,
    /// Names of credentials that its configuration holds.
    pub credentials: BTreeSet<String>,
    /// Where they are opened.
    pub secrets: Arc<dyn Secrets>,
}

/// One source's way out. Keep one for a run: it opens each credential once in a while and not for each request.
pub struct SourceHttp {
    egress: Arc<Egress>,
    access: SourceAccess,
    opened: Cache<String, Secret>,
    sent: Mutex<HashSet<String>>,
}

impl SourceHttp {
    pub(crate) fn new(egress: Arc<Egress>, access: SourceAccess) -> Self {
        let opened = Cache::builder().max_capacity(100).time_to_live(REOPEN).build();
        Self { egress, access, opened, sent: Mutex::default() }
    }

    async fn secret(&self, credential: &UseCredential) -> Result<Secret, Failure> {
        let name = &credential.name;
        if !self.access.credentials.contains(name) {
            let shown: String = name.chars().filter(|char| !char.is_control()).take(100).collect();
            let message = format!(
                "the connector asked for the credential {shown:?}, which the source's configuration does not name; report it to its author"
            );
            return Err(Failure::new(Fault::Permission, "credential_not_granted", message));
        }
        if let Some(secret) = self.opened.get(name).await {
            return Ok(secret);
        }
        let secret = self.access.secrets.reveal(name).await?.ok_or_else(|| {
            let message =
                format!("there is no credential {name:?} in this workspace; make it, or name another in the source");
            Failure::new(Fault::AuthInvalid, "credential_missing", message)
        })?;
        self.opened.insert(name.clone(), secret.clone()).await;
        Ok(secret)
    }

    fn grant<'a>(&'a self, credential: &'a UseCredential, secret: &'a Secret) -> Grant<'a> {
        Grant {
            workspace: &self.access.workspace,
            name: &credential.name,
            secret,
            scopes: &credential.scopes,
            secrets: &self.access.secrets,
        }
    }

    async fn place(&self, credential: &UseCredential, secret: &Secret) -> Result<Place, Failure> {
        let token = match Tokens::has_tokens(&secret.kind) {
            true => Some(self.egress.tokens.get(&self.egress, &self.grant(credential, secret)).await?),
            false => None,
        };
        let place = inject::place(&credential.inject, &credential.name, secret, token)?;
        self.sent().extend(place.given_away());
        Ok(place)
    }

    fn sent(&self) -> MutexGuard<'_, HashSet<String>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the request, hop by hop, with the credential as long as it stays with its origin.
    async fn follow(
        &self,
        request: &Checked,
        place: Option<&Place>,
        account: &Arc<str>,
    ) -> Result<(Url, Answer), Failure> {
        let mut url = request.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            self.access.hosts.check(&url)?;
            self.egress.budgets.take(account, &request.rates).await?;
            let place = place.filter(|_| url.origin() == request.url.origin());
            let answer = self.egress.send(request.build(&self.egress, &url, place)?).await?;
            let Some(next) = redirect(request.method, &url, &answer.response)? else { return Ok((url, answer)) };
            url = next;
        }
        let message = format!("{} redirects more than {MOST_REDIRECTS} times", crate::client::place(&request.url));
        Err(Failure::new(Fault::SourceContract, "too_many_redirects", message))
    }
}

#[async_trait]
impl Http for SourceHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let credential = request.credential.clone();
        let request = Checked::new(request)?;
        self.access.hosts.check(&request.url)?;
        let host = request.url.host_str().unwrap_or_default();
        let who = credential.as_ref().map_or_else(|| format!("host {host}"), |one| format!("credential {}", one.name));
        let account: Arc<str> = format!("{} {who}", self.access.workspace).into();

        let (url, answer) = match &credential {
            None => self.follow(&request, None, &account).await?,
            Some(credential) => {
                let secret = self.secret(credential).await?;
                let place = self.place(credential, &secret).await?;
                let (url, answer) = self.follow(&request, Some(&place), &account).await?;
                // A token may be revoked before its time: one more try with another.
                if answer.response.status().as_u16() == 401 && Tokens::has_tokens(&secret.kind) {
                    self.egress.tokens.forget(&self.grant(credential, &secret)).await;
                    let place = self.place(credential, &secret).await?;
                    self.follow(&request, Some(&place), &account).await?
                } else {
                    (url, answer)
                }
            }
        };
        let status = answer.response.status().as_u16();
        if matches!(status, 429 | 503)
            && let Some(pause) = retry_after(answer.response.headers())
        {
            self.egress.budgets.pause(&account, pause);
        }
        let headers = answer.response.headers().iter().filter(|(name, _)| **name != SET_COOKIE);
        let headers = headers
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = answer.body(request.max_bytes, crate::client::place(&url));
        Ok(HttpResponse { status, url: url.into(), headers, body })
    }

    fn secrets(&self) -> Vec<String> {
        self.sent().iter().cloned().collect()
    }
}

/// A request that keeps to the rules.
struct Checked {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<bytes::Bytes>,
    rates: Vec<tributary_core::http::Rate>,
    max_bytes: u64,
}

impl Checked {
    fn new(request: HttpRequest) -> Result<Self, Failure> {
        if request.url.len() > LONGEST_URL_BYTES {
            return Err(bad_url(format!("a URL has at most {LONGEST_URL_BYTES} bytes")));
        }
        let mut url = Url::parse(&request.url).map_err(|error| bad_url(format!("the URL cannot be read: {error}")))?;
        url.set_fragment(None);
        let refuse = |code, message: String| Err(Failure::new(Fault::Permission, code, message));
        if request.headers.len() > MOST_HEADERS {
            return refuse("too_many_headers", format!("a request has at most {MOST_HEADERS} headers"));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(&name), HeaderValue::try_from(&value)) else {
                return refuse(
                    "header_not_allowed",
                    "a header has a name of letters, digits and `-`, and a value of one line".to_owned(),
                );
            };
            if REFUSED_HEADERS.contains(&name.as_str()) || name.as_str().starts_with("proxy-") {
                return refuse(
                    "header_not_allowed",
                    format!("a connector may not set the header {name}; name a credential instead"),
                );
            }
            headers.append(name, value);
        }
        if request.body.is_some() != (request.method == Method::Post) {
            return refuse("body_not_allowed", "POST has a body, GET and HEAD have none".to_owned());
        }
        if request.body.as_ref().is_some_and(|body| body.len() > LONGEST_BODY_BYTES) {
            return refuse("body_too_large", format!("a body has at most {LONGEST_BODY_BYTES} bytes"));
        }
        let mut rates = request.rates;
        rates.truncate(MOST_RATES);
        let max_bytes = request.max_bytes.min(LONGEST_ANSWER_BYTES);
        Ok(Self { method: request.method, url, headers, body: request.body, rates, max_bytes })
    }

    fn build(&self, egress: &Egress, url: &Url, place: Option<&Place>) -> Result<reqwest::Request, Failure> {
        let method = match self.method {
            Method::Get => reqwest::Method::GET,
            Method::Head => reqwest::Method::HEAD,
            Method::Post => reqwest::Method::POST,
        };
        let with_secret = place.map_or_else(|| url.clone(), |place| place.with_secret(url));
        let mut request = egress.request(method, &with_secret)?.headers(self.headers.clone());
        if let Some(Place::Header(name, secret)) = place {
            let mut value = HeaderValue::from_str(secret.expose_secret()).map_err(|_| {
                Failure::new(
                    Fault::AuthInvalid,
                    "credential_damaged",
                    "the credential holds what no header can carry, such as a line break; set it anew",
                )
            })?;
            value.set_sensitive(true);
            request = request.header(name, value);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        request.build().map_err(|error| {
            Failure::new(
                Fault::Config,
                "request_not_built",
                format!("the request cannot be sent: {}", error.without_url()),
            )
        })
    }
}

/// What belongs to the connection or to the host.
const REFUSED_HEADERS: [&str; 11] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where a redirect leads. `POST` is not sent twice.
fn redirect(method: Method, from: &Url, response: &reqwest::Response) -> Result<Option<Url>, Failure> {
    if method == Method::Post || !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.headers().get(LOCATION) else { return Ok(None) };
    let wrong = |why: String| {
        let message = format!("{} redirects to {why}", crate::client::place(from));
        Failure::new(Fault::SourceContract, "bad_redirect", message)
    };
    let location = location.to_str().map_err(|_| wrong("what is no URL".to_owned()))?;
    let mut next = from.join(location).map_err(|error| wrong(format!("what is no URL: {error}")))?;
    next.set_fragment(None);
    if from.scheme() == "https" && next.scheme() != "https" {
        return Err(wrong("a URL without TLS".to_owned()));
    }
    Ok(Some(next))
}

/// `Retry-After`: seconds or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok(),
    }
}
