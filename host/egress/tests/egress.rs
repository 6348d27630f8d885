//! What a source's requests may do, against real servers on the loopback address.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use futures::StreamExt;
use tributary_core::{
    contract::{Failure, Fault},
    http::{Http, HttpRequest, HttpResponse, Inject, Method, Rate, UseCredential},
};
use tributary_egress::{Egress, EgressOptions, HostGrants, Secret, Secrets, SourceAccess, SourceHttp};
use tributary_fakes::{Answer, Request, Served, serve};

const CANARY: &str = "K7Q-secret";

/// Credentials in memory.
#[derive(Default)]
struct Keys(Mutex<BTreeMap<String, Secret>>);

#[async_trait]
impl Secrets for Keys {
    async fn reveal(&self, name: &str) -> Result<Option<Secret>, Failure> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    async fn keep_refresh_token(&self, name: &str, previous: &str, next: &str) -> Result<(), Failure> {
        use secrecy::ExposeSecret;
        let mut keys = self.0.lock().unwrap();
        let fields = &mut keys.get_mut(name).unwrap().fields;
        if fields["refresh_token"].expose_secret() == previous {
            fields.insert("refresh_token".to_owned(), next.into());
        }
        Ok(())
    }
}

fn secret(kind: &str, fields: &[(&str, &str)]) -> Secret {
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    Secret { kind: kind.to_owned(), fields }
}

fn keys(secrets: &[(&str, Secret)]) -> Arc<Keys> {
    Arc::new(Keys(Mutex::new(secrets.iter().map(|(name, secret)| ((*name).to_owned(), secret.clone())).collect())))
}

fn egress(networks: &[&str]) -> Arc<Egress> {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    Arc::new(Egress::new(EgressOptions { networks, ..EgressOptions::default() }))
}

/// A source that may reach `hosts` and names every credential of `keys`.
fn source(egress: &Arc<Egress>, hosts: &[&str], keys: &Arc<Keys>) -> SourceHttp {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    egress.for_source(SourceAccess {
        workspace: "w".to_owned(),
        hosts: HostGrants::new("shop", &hosts, &serde_json::Value::Null, None),
        credentials: keys.0.lock().unwrap().keys().cloned().collect(),
        secrets: keys.clone(),
    })
}

fn get(url: impl Into<String>) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: url.into(),
        headers: Vec::new(),
        body: None,
        credential: None,
        rates: Vec::new(),
        max_bytes: 1 << 20,
    }
}

fn with(mut request: HttpRequest, name: &str, inject: Inject) -> HttpRequest {
    request.credential = Some(UseCredential { name: name.to_owned(), inject, scopes: vec!["read".to_owned()] });
    request
}

async fn text(response: HttpResponse) -> Result<String, Failure> {
    let pieces: Vec<_> = response.body.collect().await;
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(&piece?);
    }
    Ok(String::from_utf8(bytes).unwrap())
}

/// A server that says what it was asked.
async fn echo() -> Served {
    serve(Arc::new(|request: &Request| {
        Answer::json(&serde_json::json!({
            "method": request.method, "path": request.path, "query": request.query, "headers": request.headers,
            "body": String::from_utf8_lossy(&request.body),
        }))
    }))
    .await
}

async fn redirecting(location: impl Fn(&Request) -> Option<String> + Send + Sync + 'static) -> Served {
    serve(Arc::new(move |request: &Request| match location(request) {
        Some(location) => Answer::status(302).header("location", location),
        None => {
            Answer::json(&serde_json::json!({"path": request.path, "headers": request.headers, "query": request.query}))
        }
    }))
    .await
}

#[tokio::test]
async fn nothing_is_reached_that_was_not_granted() {
    let (server, keys) = (echo().await, keys(&[]));
    let open = egress(&["127.0.0.0/8"]);
    let answer = source(&open, &["127.0.0.1"], &keys).send(get(format!("{}/a?b=c#d", server.url))).await.unwrap();
    assert_eq!((answer.status, answer.url.as_str()), (200, format!("{}/a?b=c", server.url).as_str()));
    let refused = source(&open, &["api.example.com"], &keys).send(get(&server.url)).await.unwrap_err();
    assert_eq!((refused.fault, refused.code.as_str()), (Fault::Permission, "host_not_asked_for"));
    // A granted name or address that stands inside is not dialled unless the operator named its network.
    let closed = egress(&[]);
    let port = server.url.rsplit(':').next().unwrap();
    let inside = ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "127.0.0.1."];
    for host in inside {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let refused = source(&closed, &[host, "127.0.0.1"], &keys).send(get(&url)).await.unwrap_err();
            assert_eq!(refused.code, "address_not_allowed", "{url}: {refused:?}");
            assert!(refused.message.contains("--egress-network"), "{refused:?}");
        }
    }
    for (url, code) in [
        ("ftp://api.example.com/", "url_not_allowed"),
        ("file:///etc/passwd", "host_not_asked_for"),
        ("https://user:pw@api.example.com/", "url_not_allowed"),
        ("/relative", "url_not_allowed"),
        ("https://", "url_not_allowed"),
        ("https://evil.example/", "host_not_asked_for"),
    ] {
        let refused = source(&open, &["api.example.com"], &keys).send(get(url)).await.unwrap_err();
        assert_eq!(refused.code, code, "{url}");
    }
}

#[tokio::test]
async fn every_hop_of_a_redirect_is_looked_at() {
    let keys = keys(&[("k", secret("bearer", &[("token", CANARY)]))]);
    let egress = egress(&["127.0.0.1/32"]);
    let other = echo().await;
    let elsewhere = other.url.replace("127.0.0.1", "localhost");
    let targets = BTreeMap::from([
        ("/inside".to_owned(), "http://169.254.169.254/latest/meta-data".to_owned()),
        ("/unasked".to_owned(), "http://evil.example/".to_owned()),
        ("/unnamed".to_owned(), other.url.replace("127.0.0.1", "127.0.0.2")),
        ("/loop".to_owned(), "/loop".to_owned()),
        ("/file".to_owned(), "file:///etc/passwd".to_owned()),
        ("/near".to_owned(), "found?x=1".to_owned()),
        ("/other".to_owned(), format!("{}/taken", other.url)),
        ("/elsewhere".to_owned(), elsewhere),
    ]);
    let server = redirecting(move |request| targets.get(&request.path).cloned()).await;
    let hosts = ["127.0.0.1", "127.0.0.2", "169.254.169.254", "localhost"];
    let send = async |path: &str| {
        let request = with(get(format!("{}{path}", server.url)), "k", Inject::Authorization);
        source(&egress, &hosts, &keys).send(request).await
    };
    for (path, code) in [
        ("/inside", "address_not_allowed"),
        ("/unasked", "host_not_asked_for"),
        ("/unnamed", "address_not_allowed"),
        ("/loop", "too_many_redirects"),
        ("/file", "host_not_asked_for"),
    ] {
        assert_eq!(send(path).await.unwrap_err().code, code, "{path}");
    }
    let near = send("/near").await.unwrap();
    assert_eq!(near.url, format!("{}/found?x=1", server.url));
    assert!(text(near).await.unwrap().contains(CANARY), "the same origin gets the credential again");
    let taken = text(send("/other").await.unwrap()).await.unwrap();
    assert!(taken.contains("/taken") && !taken.contains(CANARY), "another origin does not: {taken}");
    // POST is not sent twice.
    let post = HttpRequest { method: Method::Post, body: Some("x".into()), ..get(format!("{}/near", server.url)) };
    assert_eq!(source(&egress, &hosts, &keys).send(post).await.unwrap().status, 302);
}

#[tokio::test]
async fn a_credential_goes_where_the_connector_says_and_is_seen_nowhere_else() {
    let server = echo().await;
    let keys = keys(&[
        ("bearer", secret("bearer", &[("token", CANARY)])),
        ("basic", secret("basic", &[("user", "ck"), ("password", CANARY)])),
        ("key", secret("api_key", &[("key", CANARY)])),
        ("broken", secret("api_key", &[("key", "a\nb")])),
        ("unclear", secret("custom", &[("a", "1"), ("b", "2")])),
    ]);
    let egress = egress(&["127.0.0.0/8"]);
    let source = source(&egress, &["127.0.0.1"], &keys);
    let ask = async |name: &str, inject| {
        let answer = source.send(with(get(format!("{}/p?q=1", server.url)), name, inject)).await?;
        assert!(!answer.url.contains(CANARY), "{}", answer.url);
        Ok::<serde_json::Value, Failure>(serde_json::from_str(&text(answer).await?).unwrap())
    };
    let said = ask("bearer", Inject::Authorization).await.unwrap();
    assert_eq!(said["headers"]["authorization"], format!("Bearer {CANARY}"));
    let said = ask("basic", Inject::Authorization).await.unwrap();
    assert_eq!(said["headers"]["authorization"], "Basic Y2s6SzdRLXNlY3JldA==");
    let header = Inject::Header { name: "X-Auth-Token".to_owned(), prefix: "t ".to_owned() };
    assert_eq!(ask("key", header).await.unwrap()["headers"]["x-auth-token"], format!("t {CANARY}"));
    let said = ask("key", Inject::Query("api_key".to_owned())).await.unwrap();
    assert_eq!(said["query"], serde_json::json!([["q", "1"], ["api_key", CANARY]]));

    let unreachable = "http://127.0.0.1:1/";
    let refused = source.send(with(get(unreachable), "key", Inject::Query("k".to_owned()))).await.unwrap_err();
    assert_eq!((refused.fault, refused.code.as_str()), (Fault::Transient, "unreachable"));
    assert!(!refused.message.contains(CANARY), "{refused:?}");
    assert_eq!(ask("broken", Inject::Authorization).await.unwrap_err().code, "credential_damaged");
    assert_eq!(ask("unclear", Inject::Authorization).await.unwrap_err().code, "credential_incomplete");
    // One that the configuration does not name, and one that is gone.
    assert_eq!(ask("others", Inject::Authorization).await.unwrap_err().code, "credential_not_granted");
    keys.0.lock().unwrap().remove("key");
    // A run keeps what it opened for some seconds; another finds it gone.
    let granted = ["127.0.0.1".to_owned()];
    let later = egress.for_source(SourceAccess {
        workspace: "w".to_owned(),
        hosts: HostGrants::new("shop", &granted, &serde_json::Value::Null, None),
        credentials: ["key".to_owned()].into(),
        secrets: keys.clone(),
    });
    let request = with(get(&server.url), "key", Inject::Authorization);
    assert_eq!(later.send(request).await.unwrap_err().code, "credential_missing");
    for header in ["Authorization", "cookie", "HOST", "Proxy-Connection", "transfer-encoding", "a b", "x\r\ny"] {
        let mut request = get(&server.url);
        request.headers.push((header.to_owned(), "x".to_owned()));
        assert_eq!(source.send(request).await.unwrap_err().code, "header_not_allowed", "{header}");
    }
}

#[tokio::test]
async fn an_answer_is_bounded_as_it_comes_out_of_its_compression() {
    let server = serve(Arc::new(|request: &Request| {
        let length = if request.path == "/bomb" { 64 << 20 } else { 1_000 };
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&vec![b'x'; length]).unwrap();
        Answer::ok(gzip.finish().unwrap()).header("content-encoding", "gzip").header("set-cookie", "a=b")
    }))
    .await;
    let egress = egress(&["127.0.0.0/8"]);
    let source = source(&egress, &["127.0.0.1"], &keys(&[]));
    let small = source.send(get(format!("{}/small", server.url))).await.unwrap();
    assert!(!small.headers.iter().any(|(name, _)| name == "set-cookie"), "{:?}", small.headers);
    assert_eq!(text(small).await.unwrap().len(), 1_000);
    let bomb = source.send(get(format!("{}/bomb", server.url))).await.unwrap();
    assert_eq!(text(bomb).await.unwrap_err().code, "answer_too_large");
}

#[tokio::test]
async fn a_source_that_asks_for_a_pause_is_left_alone_by_all_that_use_its_account() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let server = serve(Arc::new(move |request: &Request| {
        count.fetch_add(1, SeqCst);
        if request.path == "/busy" { Answer::status(429).header("retry-after", "60") } else { Answer::ok("fine") }
    }))
    .await;
    let keys = keys(&[("a", secret("bearer", &[("token", "1")])), ("b", secret("bearer", &[("token", "2")]))]);
    let egress = egress(&["127.0.0.0/8"]);
    let send = async |path: &str, name: &str| {
        let request = with(get(format!("{}{path}", server.url)), name, Inject::Authorization);
        source(&egress, &["127.0.0.1"], &keys).send(request).await
    };
    assert_eq!(send("/busy", "a").await.unwrap().status, 429);
    let refused = send("/fine", "a").await.unwrap_err();
    assert_eq!(refused.fault, Fault::RateLimited);
    assert!((55_000..=60_000).contains(&refused.retry_after_ms.unwrap()), "{refused:?}");
    assert_eq!(asked.load(SeqCst), 1, "nothing was sent");
    assert_eq!(send("/fine", "b").await.unwrap().status, 200, "another account has nothing to do with it");

    let mut limited = get(format!("{}/fine", server.url));
    limited.rates = vec![Rate { requests: 1, per_ms: 600_000 }];
    let source = source(&egress, &["127.0.0.1"], &keys);
    assert_eq!(source.send(limited.clone()).await.unwrap().status, 200);
    assert_eq!(source.send(limited).await.unwrap_err().fault, Fault::RateLimited);
}

/// A token endpoint that takes each refresh token once, and a resource that takes the newest access token.
async fn oauth() -> (Served, Arc<Mutex<(u32, u32)>>) {
    let state = Arc::new(Mutex::new((0, 0)));
    let shared = state.clone();
    let server = serve(Arc::new(move |request: &Request| {
        let (issued, asked) = &mut *shared.lock().unwrap();
        if request.path == "/resource" {
            let good = request.header("authorization") == Some(&format!("Bearer access-{issued}"));
            return Answer::status(if good { 200 } else { 401 });
        }
        *asked += 1;
        let body = String::from_utf8_lossy(&request.body);
        if !body.contains(&format!("refresh_token=refresh-{issued}")) {
            let error = serde_json::json!({"error": "invalid_grant", "error_description": "Token has been revoked."});
            return Answer::json(&error).with_status(400);
        }
        *issued += 1;
        Answer::json(&serde_json::json!({
            "access_token": format!("access-{issued}"), "refresh_token": format!("refresh-{issued}"), "expires_in": 3600,
        }))
    }))
    .await;
    (server, state)
}

fn oauth2(server: &Served, refresh_token: &str) -> Secret {
    let url = format!("{}/token", server.url);
    secret(
        "oauth2",
        &[("token_url", &url), ("client_id", "c"), ("client_secret", CANARY), ("refresh_token", refresh_token)],
    )
}

#[tokio::test]
async fn a_refresh_token_is_used_once_by_all_who_need_it_and_its_successor_is_kept() {
    let (server, state) = oauth().await;
    let keys = keys(&[("k", oauth2(&server, "refresh-0"))]);
    let egress = egress(&["127.0.0.0/8"]);
    let source = Arc::new(source(&egress, &["127.0.0.1"], &keys));
    let url = format!("{}/resource", server.url);
    let all = (0..20).map(|_| source.send(with(get(&url), "k", Inject::Authorization)));
    for answer in futures::future::join_all(all).await {
        assert_eq!(answer.unwrap().status, 200);
    }
    assert_eq!(*state.lock().unwrap(), (1, 1), "one token for all");
    // The token is revoked at the source: the next request gets another with the kept refresh token.
    state.lock().unwrap().0 = 1;
    let another = secret(
        "oauth2",
        &[("token_url", &format!("{}/token", server.url)), ("client_id", "d"), ("refresh_token", "refresh-1")],
    );
    keys.0.lock().unwrap().insert("other".to_owned(), another);
    let other = self::source(&egress, &["127.0.0.1"], &keys);
    assert_eq!(other.send(with(get(&url), "other", Inject::Authorization)).await.unwrap().status, 200);
    assert_eq!(state.lock().unwrap().0, 2, "access-1 is no longer good");
    keys.0.lock().unwrap().insert("k".to_owned(), oauth2(&server, "refresh-2"));
    assert_eq!(source.send(with(get(&url), "k", Inject::Authorization)).await.unwrap().status, 200);
    // A new process begins with what was kept.
    let fresh = self::egress(&["127.0.0.0/8"]);
    let again = self::source(&fresh, &["127.0.0.1"], &keys);
    assert_eq!(again.send(with(get(&url), "k", Inject::Authorization)).await.unwrap().status, 200);
    assert_eq!(state.lock().unwrap().0, 4);
}

#[tokio::test]
async fn a_refresh_token_that_is_no_longer_good_says_so() {
    let (server, _) = oauth().await;
    let keys = keys(&[("k", oauth2(&server, "refresh-old"))]);
    let egress = egress(&["127.0.0.0/8"]);
    let source = source(&egress, &["127.0.0.1"], &keys);
    let request = with(get(format!("{}/resource", server.url)), "k", Inject::Authorization);
    let refused = source.send(request).await.unwrap_err();
    assert_eq!(refused.fault, Fault::AuthExpired);
    assert!(
        refused.message.contains("Token has been revoked.") && refused.message.contains("log in at the source again")
    );
    assert!(!format!("{refused:?}").contains(CANARY));
}
