//! The way out: two clients that dial nothing but what the address rules allow, one request at a time.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures::StreamExt;
use ipnet::IpNet;
use reqwest::{Client, Request, Response, redirect};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tributary_core::contract::{Failure, Fault};
use url::{Host, Url};

use crate::{
    addresses::{Networks, NotPublic, Resolver},
    budgets::Budgets,
    source::{SourceAccess, SourceHttp},
    tokens::Tokens,
};

/// Until a connection stands, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// Until the answer begins.
const HEAD: Duration = Duration::from_secs(60);
/// Between two pieces of an answer.
const PIECE: Duration = Duration::from_secs(30);
/// Until the whole answer is there.
const WHOLE: Duration = Duration::from_secs(600);
/// Waiting for a turn.
const TURN: Duration = Duration::from_secs(30);

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct EgressOptions {
    /// Networks outside of the public Internet that may be reached, also without TLS: `10.20.0.0/16`.
    pub networks: Vec<IpNet>,
    /// Requests under way at once.
    pub max_requests: usize,
}

impl Default for EgressOptions {
    /// The public Internet, 256 requests at once.
    fn default() -> Self {
        Self { networks: Vec::new(), max_requests: 256 }
    }
}

/// The server's way out, shared by all sources.
pub struct Egress {
    networks: Networks,
    tls: OnceLock<Result<Client, Failure>>,
    plain: OnceLock<Result<Client, Failure>>,
    turns: Arc<Semaphore>,
    pub(crate) budgets: Budgets,
    pub(crate) tokens: Tokens,
}

impl Egress {
    /// Nothing is dialled, and no certificate authority read, before the first request.
    pub fn new(options: EgressOptions) -> Self {
        Self {
            networks: Networks::new(options.networks),
            tls: OnceLock::new(),
            plain: OnceLock::new(),
            turns: Arc::new(Semaphore::new(options.max_requests.max(1))),
            budgets: Budgets::new(),
            tokens: Tokens::new(),
        }
    }

    /// The network as one source sees it.
    pub fn for_source(self: &Arc<Self>, access: SourceAccess) -> SourceHttp {
        SourceHttp::new(self.clone(), access)
    }

    /// A request to a checked URL, to be sent with [`Egress::send`].
    pub(crate) fn request(&self, method: reqwest::Method, url: &Url) -> Result<reqwest::RequestBuilder, Failure> {
        let tls = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(bad_url(format!("{other} is no scheme for a source; use https"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad_url("a URL has no user or password; name a credential instead".to_owned()));
        }
        // Names go through the resolver; addresses are dialled as they are.
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) => None,
            None => return Err(bad_url("a URL needs a host".to_owned())),
        };
        if let Some(address) = literal
            && !self.networks.allow(address, tls)
        {
            return Err(not_public(
                url,
                &format!("{address} is {}", if tls { "not on the public Internet" } else { "asked without TLS" }),
            ));
        }
        Ok(self.client(tls)?.request(method, url.clone()))
    }

    fn client(&self, tls: bool) -> Result<&Client, Failure> {
        let client = if tls { &self.tls } else { &self.plain };
        client.get_or_init(|| build(&self.networks, tls)).as_ref().map_err(Clone::clone)
    }

    /// Sends a request and waits for the answer's head.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let turn = match timeout(TURN, self.turns.clone().acquire_owned()).await {
            Ok(turn) => turn.expect("the semaphore is never closed"),
            Err(_) => {
                let message = "too many requests of this server are under way; it is tried again later";
                return Err(Failure::new(Fault::Transient, "egress_busy", message));
            }
        };
        let url = request.url().clone();
        let client = self.client(url.scheme() == "https")?;
        let response = match timeout(HEAD, client.execute(request)).await {
            Ok(sent) => sent.map_err(|error| unreachable(&url, error))?,
            Err(_) => return Err(timed_out(&url, HEAD)),
        };
        Ok(Answer { response, _turn: turn })
    }
}

/// Fails when the system's certificate authorities cannot be read.
fn build(networks: &Networks, tls: bool) -> Result<Client, Failure> {
    Client::builder()
        .dns_resolver(Resolver { networks: networks.clone(), tls })
        .https_only(tls)
        .no_proxy()
        .referer(false)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        .pool_max_idle_per_host(8)
        .user_agent(concat!("Tributary/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| {
            let message =
                format!("no requests can be sent: {error}; check that the system has certificate authorities");
            Failure::new(Fault::Internal, "egress_unavailable", message)
        })
}

/// An answer whose body was not read yet. It keeps its turn until it is dropped or read.
pub(crate) struct Answer {
    pub(crate) response: Response,
    _turn: OwnedSemaphorePermit,
}

impl Answer {
    /// The body, piece by piece; ends with a failure when it is longer than `max_bytes` or stops coming.
    pub(crate) fn body(
        self,
        max_bytes: u64,
        place: String,
    ) -> futures::stream::BoxStream<'static, Result<bytes::Bytes, Failure>> {
        let stream = self.response.bytes_stream();
        let state = (stream, 0_u64, false, self._turn);
        futures::stream::unfold(state, move |(mut stream, mut read, over, turn)| {
            let place = place.clone();
            async move {
                if over {
                    return None;
                }
                let piece = match timeout(PIECE, stream.next()).await {
                    Err(_) => Err(cut_off(&place, format!("nothing came for {} s", PIECE.as_secs()))),
                    Ok(None) => return None,
                    Ok(Some(Err(error))) => Err(cut_off(&place, cause(&error.without_url()))),
                    Ok(Some(Ok(piece))) => {
                        read += piece.len() as u64;
                        if read > max_bytes { Err(too_large(&place, max_bytes)) } else { Ok(piece) }
                    }
                };
                let over = piece.is_err();
                Some((piece, (stream, read, over, turn)))
            }
        })
        .boxed()
    }
}

/// Where something came from, without what may be secret: query and user.
pub(crate) fn place(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

pub(crate) fn bad_url(message: String) -> Failure {
    Failure::new(Fault::Config, "url_not_allowed", message)
}

pub(crate) fn too_large(place: &str, max_bytes: u64) -> Failure {
    let message = format!("{place} answered more than {max_bytes} bytes; ask for less at once");
    Failure::new(Fault::TooLarge, "answer_too_large", message)
}

fn cut_off(place: &str, why: String) -> Failure {
    let message = format!("{place} stopped in the middle of its answer: {why}; it is tried again later");
    Failure::new(Fault::Transient, "answer_cut_off", message)
}

fn timed_out(url: &Url, after: Duration) -> Failure {
    let message = format!("{} did not answer within {} s; it is tried again later", place(url), after.as_secs());
    Failure::new(Fault::Transient, "timed_out", message)
}

fn not_public(url: &Url, why: &str) -> Failure {
    let host = url.host_str().unwrap_or_default();
    let message = format!(
        "{host} may not be reached: {why}; if it is a host of yours, start the server with --egress-network NETWORK, such as --egress-network 10.0.0.0/8"
    );
    Failure::new(Fault::Permission, "address_not_allowed", message)
}

fn unreachable(url: &Url, error: reqwest::Error) -> Failure {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(one) = next {
        if let Some(refused) = one.downcast_ref::<NotPublic>() {
            return not_public(url, &refused.to_string());
        }
        next = one.source();
    }
    if error.is_timeout() {
        return timed_out(url, CONNECT);
    }
    let host = url.host_str().unwrap_or_default();
    let message = format!("{host} cannot be reached: {}; it is tried again later", cause(&error.without_url()));
    Failure::new(Fault::Transient, "unreachable", message)
}

/// What went wrong at the bottom of it.
fn cause(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
