//! Guessing passwords over HTTP.

use rand::RngExt;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tributary_tests::{
    Database, Server, eventually,
    server::{Answer, EMAIL, Options, PASSWORD, redis},
};

/// An attempt that says it comes from `client`.
async fn log_in(server: &Server, client: &str, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    let request = server.anonymous(Method::POST, "/api/v1/auth/login").header("x-forwarded-for", client).json(&body);
    Answer::of(request).await
}

/// A server behind a proxy on this machine.
fn behind_a_proxy() -> Options {
    Options::default().arg("--trusted-proxies").arg("127.0.0.1")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_is_stopped_whomever_it_claims_to_be() {
    let server = Server::start(Database::Sqlite).await;
    let mut answers = Vec::new();
    for number in 0..20 {
        answers.push(log_in(&server, &format!("192.0.2.{number}"), &format!("{number}@example.com"), "guess").await);
    }
    // The server's start took the first of the twenty.
    let refused = answers.pop().expect("twenty answers");
    assert!(answers.iter().all(|answer| answer.status == StatusCode::UNAUTHORIZED));
    let header = |name: &str| refused.headers[name].to_str().expect("text").to_owned();
    let wait: u64 = header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(header("ratelimit-policy"), "\"login-address\";q=20;w=60");
    assert_eq!(header("ratelimit"), format!("\"login-address\";r=0;t={wait}"));
    let problem = refused.problem(429, "rate_limited");
    assert_eq!(problem["violated-policies"], json!(["login-address"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_account_is_not_guessed_from_many_addresses_even_while_its_owner_logs_in() {
    let server = behind_a_proxy().start(Database::Sqlite).await;
    for guess in 0..9 {
        let answer = log_in(&server, &format!("192.0.2.{guess}"), EMAIL, "guess").await;
        answer.problem(401, "wrong_credentials");
    }
    log_in(&server, "198.51.100.1", EMAIL, PASSWORD).await.ok();
    log_in(&server, "192.0.2.9", &EMAIL.to_uppercase(), "guess").await.problem(401, "wrong_credentials");
    let refused = log_in(&server, "192.0.2.10", EMAIL, PASSWORD).await;
    assert_eq!(refused.headers["ratelimit-policy"], "\"login-address\";q=20;w=60,\"login-account\";q=10;w=900");
    assert_eq!(refused.problem(429, "rate_limited")["violated-policies"], json!(["login-account"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_does_not_exist_is_limited_like_one_that_does() {
    let server = behind_a_proxy().start(Database::Sqlite).await;
    for guess in 0..10 {
        let answer = log_in(&server, &format!("192.0.2.{guess}"), "nobody@example.com", "guess").await;
        answer.problem(401, "wrong_credentials");
    }
    log_in(&server, "192.0.2.10", "nobody@example.com", "guess").await.problem(429, "rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_turned_away_at_once_while_others_are_answered_and_fills_no_log() {
    let server = behind_a_proxy().start(Database::Sqlite).await;
    let crowd = (0..400).map(async |number| {
        let (client, email) = (format!("10.0.{}.{}", number / 200, number % 200), format!("{number}@example.com"));
        log_in(&server, &client, &email, "guess").await
    });
    let others = async {
        for _ in 0..20 {
            server.get("/api/v1/workspaces").await.ok();
        }
    };
    let (answers, ()) = tokio::join!(futures::future::join_all(crowd), others);
    let (busy, checked): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE);
    assert!(!busy.is_empty() && !checked.is_empty(), "{} were turned away, {} not", busy.len(), checked.len());
    for answer in busy {
        assert_eq!(answer.headers["retry-after"], "1");
        answer.problem(503, "busy");
    }
    for answer in checked {
        answer.problem(401, "wrong_credentials");
    }
    let recorded = server.get("/api/v1/audit?action=POST%20/api/v1/auth/login&limit=100").await.ok();
    let recorded = recorded["items"].as_array().expect("items");
    assert!(!recorded.is_empty());
    assert!(recorded.iter().all(|event| event["outcome"] != "failed"), "a log-in that was turned away is no event");
    // Nobody's address or account was charged: there is room for whoever comes after the crowd.
    log_in(&server, "10.0.0.1", EMAIL, PASSWORD).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_share_a_redis_count_failures_together() {
    let Some(redis) = redis() else { return };
    let with_redis = || behind_a_proxy().arg("--redis-url").arg(redis.clone());
    let first = with_redis().start(Database::Sqlite).await;
    let second = with_redis().start(Database::Sqlite).await;
    // Again with another account when a busy machine kept Redis from answering in time.
    eventually("ten failures at one host to close the account at the other", async || {
        let account: u64 = rand::rng().random();
        let email = format!("{account}@example.com");
        for guess in 0..10 {
            log_in(&first, &format!("2001:db8:{:x}:{guess}::1", account as u16), &email, "guess").await;
        }
        let answer = log_in(&second, &format!("2001:db8:{:x}:a::1", account as u16), &email, "guess").await;
        (answer.status == StatusCode::TOO_MANY_REQUESTS).then_some(())
    })
    .await;
}
