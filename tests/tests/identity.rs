//! Who may do what, as a team sees it: accounts, sessions, roles, invitations, keys, audiences.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tributary_tests::{
    Server, databases, eventually,
    server::{Answer, Options, text},
};

const PASSWORD: &str = "a rather long password";

/// Somebody, or some program, who calls.
struct Caller<'a> {
    server: &'a Server,
    bearer: String,
}

impl Caller<'_> {
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self.server.anonymous(method, path).bearer_auth(&self.bearer);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::of(request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }
}

async fn account(server: &Server, email: &str) -> String {
    let new = json!({ "email": email, "name": "Ada", "password": PASSWORD });
    text(&server.post("/api/v1/users", new).await.expect(201)["id"])
}

async fn log_in(server: &Server, email: &str) -> Value {
    let body = json!({ "email": email, "password": PASSWORD });
    Answer::of(server.anonymous(Method::POST, "/api/v1/auth/login").json(&body)).await.ok()
}

async fn member<'a>(server: &'a Server, workspace: &str, email: &str, standing: Value) -> (String, Caller<'a>) {
    let id = account(server, email).await;
    let path = format!("/api/v1/workspaces/{workspace}/members/{id}");
    Answer::of(server.request(Method::PUT, &path).json(&standing)).await.expect(204);
    let bearer = text(&log_in(server, email).await["access_token"]);
    (id, Caller { server, bearer })
}

async fn key<'a>(server: &'a Server, workspace: &str, new: Value) -> (String, Caller<'a>) {
    let made = server.post(&format!("/api/v1/workspaces/{workspace}/keys"), new).await.expect(201);
    (text(&made["id"]), Caller { server, bearer: text(&made["key"]) })
}

async fn refresh(server: &Server, token: &str) -> Answer {
    let body = json!({ "refresh_token": token });
    Answer::of(server.anonymous(Method::POST, "/api/v1/auth/refresh").json(&body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_by_refreshing_and_ends_when_a_token_is_used_twice() {
    for database in databases().await {
        let server = Server::start(database).await;
        account(&server, "ada@example.com").await;
        let first = log_in(&server, "ada@example.com").await;
        let second = refresh(&server, &text(&first["refresh_token"])).await.ok();
        assert_ne!(first["refresh_token"], second["refresh_token"]);
        // Two tabs refresh with the same token at once: both go on, with the same successor.
        let twin = refresh(&server, &text(&first["refresh_token"])).await.ok();
        assert_eq!(twin["refresh_token"], second["refresh_token"]);
        let third = refresh(&server, &text(&second["refresh_token"])).await.ok();
        let caller = Caller { server: &server, bearer: text(&third["access_token"]) };
        caller.get("/api/v1/auth/me").await.ok();

        refresh(&server, &text(&first["refresh_token"])).await.problem(401, "refresh_token_reused");
        caller.get("/api/v1/auth/me").await.problem(401, "invalid_token");
        refresh(&server, &text(&third["refresh_token"])).await.problem(401, "invalid_refresh_token");
        refresh(&server, "nonsense").await.problem(401, "invalid_refresh_token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_and_end_their_sessions() {
    for database in databases().await {
        let server = Server::start(database).await;
        account(&server, "ada@example.com").await;
        let (here, there) = (log_in(&server, "ada@example.com").await, log_in(&server, "ada@example.com").await);
        let here = Caller { server: &server, bearer: text(&here["access_token"]) };
        let there = Caller { server: &server, bearer: text(&there["access_token"]) };
        let sessions = here.get("/api/v1/auth/sessions").await.ok()["items"].as_array().unwrap().clone();
        assert_eq!(sessions.len(), 2);
        assert_eq!(sessions[0]["ip"], "127.0.0.1");
        let other = sessions.iter().find(|session| session["current"] == false).unwrap();
        let path = format!("/api/v1/auth/sessions/{}", text(&other["id"]));
        here.send(Method::DELETE, &path, None).await.expect(204);
        there.get("/api/v1/auth/me").await.problem(401, "invalid_token");
        server.delete(&path).await.problem(404, "not_found");

        let again = Caller { server: &server, bearer: text(&log_in(&server, "ada@example.com").await["access_token"]) };
        here.send(Method::DELETE, "/api/v1/auth/sessions", None).await.expect(204);
        again.get("/api/v1/auth/me").await.problem(401, "invalid_token");
        let out = Caller { server: &server, bearer: text(&log_in(&server, "ada@example.com").await["access_token"]) };
        out.send(Method::POST, "/api/v1/auth/logout", None).await.expect(204);
        out.get("/api/v1/auth/me").await.problem(401, "invalid_token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_changed_reset_and_must_be_long() {
    for database in databases().await {
        let server = Server::start(database).await;
        let id = account(&server, "ada@example.com").await;
        let short = json!({ "email": "b@example.com", "password": "short" });
        let problem = server.post("/api/v1/users", short).await.problem(422, "invalid_body");
        assert_eq!(problem["errors"][0]["pointer"], "/password");
        let nowhere = json!({ "email": "nowhere", "password": PASSWORD });
        server.post("/api/v1/users", nowhere).await.problem(422, "invalid_body");
        let twice = json!({ "email": "ADA@example.com", "password": PASSWORD });
        server.post("/api/v1/users", twice).await.problem(409, "conflict");

        let keep = Caller { server: &server, bearer: text(&log_in(&server, "ada@example.com").await["access_token"]) };
        let other = Caller { server: &server, bearer: text(&log_in(&server, "ada@example.com").await["access_token"]) };
        let change = |current: &str| json!({ "current_password": current, "new_password": "another long password" });
        keep.post("/api/v1/auth/password", change("wrong")).await.problem(422, "invalid_body");
        keep.post("/api/v1/auth/password", change(PASSWORD)).await.expect(204);
        keep.get("/api/v1/auth/me").await.ok();
        other.get("/api/v1/auth/me").await.problem(401, "invalid_token");

        let reset = server.post(&format!("/api/v1/users/{id}/password-reset"), json!({})).await.expect(201);
        let set = json!({ "token": reset["token"], "new_password": PASSWORD });
        let path = "/api/v1/auth/password/reset";
        Answer::of(server.anonymous(Method::POST, path).json(&set)).await.expect(204);
        Answer::of(server.anonymous(Method::POST, path).json(&set)).await.problem(401, "invalid_link");
        keep.get("/api/v1/auth/me").await.problem(401, "invalid_token");
        log_in(&server, "ada@example.com").await;

        let path = format!("/api/v1/users/{id}");
        let caller =
            Caller { server: &server, bearer: text(&log_in(&server, "ada@example.com").await["access_token"]) };
        assert_eq!(server.patch(&path, json!({ "active": false })).await.ok()["active"], false);
        caller.get("/api/v1/auth/me").await.problem(401, "invalid_token");
        let body = json!({ "email": "ada@example.com", "password": PASSWORD });
        let refused = Answer::of(server.anonymous(Method::POST, "/api/v1/auth/login").json(&body)).await;
        refused.problem(401, "wrong_credentials");
        let me = text(&server.get("/api/v1/auth/me").await.ok()["id"]);
        let last = server.patch(&format!("/api/v1/users/{me}"), json!({ "instance_admin": false })).await;
        last.problem(409, "last_one");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_brings_somebody_in_and_roles_limit_them() {
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let base = format!("/api/v1/workspaces/{workspace}");
        let invitation = json!({ "email": "grace@example.com", "role": "admin" });
        let invited = server.post(&format!("{base}/invitations"), invitation).await.expect(201);
        let listed = server.get(&format!("{base}/invitations")).await.ok();
        assert_eq!(
            (listed["items"][0]["email"].as_str(), &listed["items"][0]["token"]),
            (Some("grace@example.com"), &Value::Null)
        );
        let accept = json!({ "token": invited["token"], "name": "Grace", "password": PASSWORD });
        let path = "/api/v1/auth/invitations/accept";
        let accepted = Answer::of(server.anonymous(Method::POST, path).json(&accept)).await.ok();
        assert_eq!(accepted["workspace_id"], json!(workspace));
        Answer::of(server.anonymous(Method::POST, path).json(&accept)).await.problem(401, "invalid_link");

        let grace = Caller { server: &server, bearer: text(&accepted["tokens"]["access_token"]) };
        let me = grace.get("/api/v1/auth/me").await.ok();
        assert_eq!(me["grants"][0]["role"], "admin");
        let owner = json!({ "email": "mallory@example.com", "role": "owner" });
        grace.post(&format!("{base}/invitations"), owner).await.problem(403, "forbidden");
        let myself = format!("{base}/members/{}", text(&me["id"]));
        grace.send(Method::PUT, &myself, Some(json!({ "role": "owner" }))).await.problem(403, "forbidden");
        grace.get("/api/v1/users").await.problem(403, "forbidden");
        grace.post("/api/v1/workspaces", json!({ "name": "Mine" })).await.problem(403, "forbidden");

        // A change of roles is seen with the next request.
        Answer::of(server.request(Method::PUT, &myself).json(&json!({ "role": "viewer" }))).await.expect(204);
        let source = json!({ "name": "x", "connector": "file", "config": {} });
        let problem = grace.post(&format!("{base}/sources"), source).await.problem(403, "forbidden");
        assert!(text(&problem["detail"]).contains("the role editor"), "{problem}");
        server.delete(&myself).await.expect(204);
        grace.get(&base).await.problem(404, "not_found");
    }
}

/// Every operation of the OpenAPI document that names an action: method, path of `workspace`, action.
fn operations(document: &Value, workspace: &str) -> Vec<(Method, String, String)> {
    let id = "01890000-0000-7000-8000-000000000000";
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let Some(action) = operation["x-action"].as_str() else { continue };
            let path = path.replace("{workspace_id}", workspace);
            let filled = path.split('/').map(|part| if part.starts_with('{') { id } else { part });
            let filled = filled.collect::<Vec<_>>().join("/");
            operations.push((Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), filled, action.to_owned()));
        }
    }
    operations
}

/// Enough of a body for routes that find the workspace in it.
fn body_of(path: &str, workspace: &str) -> (String, Value) {
    match path {
        "/api/v1/messages" => (format!("{path}?workspace_id={workspace}"), json!({})),
        "/api/v1/chat" => (path.to_owned(), json!({ "workspace_id": workspace, "message": "hello" })),
        "/api/v1/knowledge/query" => (path.to_owned(), json!({ "workspace_id": workspace, "query": "hello" })),
        _ if path.contains("/members/") => (path.to_owned(), json!({ "role": "viewer" })),
        _ if path.ends_with("/invitations") => {
            (path.to_owned(), json!({ "email": "new@example.com", "role": "viewer" }))
        }
        _ => (path.to_owned(), json!({})),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_with_every_role_and_scope_is_as_the_table_says() {
    use tributary_core::access::{Power, RULES, Role, Scope};
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let document = server.get("/openapi.json").await.ok();
        let operations = operations(&document, &workspace);
        for rule in RULES {
            let name = serde_json::to_value(rule.action).unwrap();
            let served = operations.iter().any(|(_, _, action)| json!(action) == name);
            assert!(served, "no route is for {name}");
        }
        let mut callers = Vec::new();
        for role in Role::ALL {
            let email = format!("{}@example.org", role.as_str());
            let (_, caller) = member(&server, &workspace, &email, json!({ "role": role })).await;
            callers.push((Power::Role(role), caller));
        }
        for scope in [Scope::Chat, Scope::KnowledgeRead, Scope::DocumentsWrite, Scope::SourcesManage, Scope::Admin] {
            let (_, caller) = key(&server, &workspace, json!({ "name": "k", "scopes": [scope] })).await;
            callers.push((Power::Scopes(vec![scope]), caller));
        }
        let (_, stranger) = {
            let other = server.workspace("Other").await;
            member(&server, &other, "stranger@example.com", json!({ "role": "owner" })).await
        };
        for (method, path, action) in &operations {
            let (path, body) = body_of(path, &workspace);
            let body = (*method != Method::GET && *method != Method::DELETE).then_some(body);
            for (power, caller) in &callers {
                let allowed = power.allows(serde_json::from_value(json!(action)).unwrap());
                if allowed && action == "delete_workspace" {
                    // It would end the walk; the tests of workspaces do it.
                    continue;
                }
                let status = caller.send(method.clone(), &path, body.clone()).await.status.as_u16();
                // What is allowed may still fail for other reasons; but never as forbidden.
                assert_eq!(status != 403 && status != 401, allowed, "{method} {path} for {power:?}: {status}");
            }
            stranger.send(method.clone(), &path, body.clone()).await.problem(404, "not_found");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_its_workspace_until_it_is_rotated_away_or_revoked() {
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let keys = format!("/api/v1/workspaces/{workspace}/keys");
        let new = json!({ "name": "Shop backend", "scopes": ["knowledge:read"] });
        let (id, caller) = key(&server, &workspace, new).await;
        assert!(caller.bearer.starts_with("trib_live_"), "{}", caller.bearer);
        let documents = format!("/api/v1/workspaces/{workspace}/documents");
        caller.get(&documents).await.ok();
        caller.get("/api/v1/auth/sessions").await.problem(403, "forbidden");
        assert_eq!(caller.get("/api/v1/auth/me").await.ok()["type"], "key");
        let listed = server.get(&keys).await.ok();
        assert!(!listed.to_string().contains(&caller.bearer), "a key is shown once");
        assert_eq!(listed["items"][0]["last4"].as_str(), Some(&caller.bearer[caller.bearer.len() - 4..]));

        let rotated = server.post(&format!("{keys}/{id}/rotate"), json!({ "overlap_s": 4 })).await.expect(201);
        let next = Caller { server: &server, bearer: text(&rotated["key"]) };
        next.get(&documents).await.ok();
        caller.get(&documents).await.ok();
        eventually("the overlap to end", async || (caller.get(&documents).await.status == 401).then_some(())).await;
        caller.get(&documents).await.problem(401, "invalid_key");
        server.post(&format!("{keys}/{id}/rotate"), json!({})).await.problem(409, "key_over");

        server.delete(&format!("{keys}/{}", text(&rotated["id"]))).await.expect(204);
        next.get(&documents).await.problem(401, "invalid_key");
        eventually("the use to be written", async || {
            let usage = server.get(&format!("{keys}/{id}/usage")).await.ok();
            (usage["items"][0]["requests"].as_i64() >= Some(3)).then_some(())
        })
        .await;

        for (bad, part) in [
            (format!("{}x", &caller.bearer[..caller.bearer.len() - 1]), "cut or mistyped"),
            (caller.bearer[..30].to_owned(), "cut or mistyped"),
            ("trib_test_0000000000000000000000000000000TRjKp".to_owned(), "test key"),
        ] {
            let problem = Caller { server: &server, bearer: bad }.get(&documents).await.problem(401, "invalid_key");
            assert!(text(&problem["detail"]).contains(part), "{problem}");
        }
        for (wrong, pointer) in [
            (json!({ "name": "", "scopes": ["chat"] }), "/name"),
            (json!({ "name": "k", "scopes": [] }), "/scopes"),
            (json!({ "name": "k", "scopes": ["everything"] }), "/scopes/0"),
            (json!({ "name": "k", "scopes": ["chat"], "expires_at": "2001-01-01T00:00:00Z" }), "/expires_at"),
        ] {
            let problem = server.post(&keys, wrong).await.problem(422, "invalid_body");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        }
    }
}

/// The workspace's source of pushed documents.
async fn caller_source(server: &Server, base: &str) -> String {
    let sources = server.get(&format!("{base}/sources")).await.ok();
    text(&sources["items"][0]["id"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_an_internal_source_reaches_no_limited_caller() {
    const CANARY: &str = "K7Q-4410";
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let base = format!("/api/v1/workspaces/{workspace}");
        let document = |id: &str, kind: &str, content: &str| json!({ "external_id": id, "title": id, "kind": kind, "content": content });
        let early = json!({ "documents": [document("memo", "internal", &format!("{CANARY} was our first code."))] });
        server.post(&format!("{base}/documents"), early).await.ok();
        // Open by now, and not what it was before.
        let early = json!({ "documents": [document("kettle", "internal", &format!("Not yet told: the kettle costs {CANARY}."))] });
        server.post(&format!("{base}/documents"), early).await.ok();
        let push = json!({ "documents": [
            document("kettle", "product", "The kettle boils water in two minutes."),
            document("memo", "internal", &format!("The kettle supplier's secret price code is {CANARY}.")),
        ] });
        let pushed = server.post(&format!("{base}/documents"), push).await.ok();
        let position = pushed["position"].clone();
        let memo = text(&pushed["results"][1]["document_id"]);
        let kettle = text(&pushed["results"][0]["document_id"]);
        let gone = json!({ "documents": [document("gone", "internal", &format!("{CANARY} was withdrawn."))] });
        let gone = text(&server.post(&format!("{base}/documents"), gone).await.ok()["results"][0]["document_id"]);
        server.delete(&format!("{base}/documents/{gone}")).await.expect(204);
        let (_, limited) = key(
            &server,
            &workspace,
            json!({ "name": "widget", "scopes": ["admin"], "audience": { "kinds": ["product"] } }),
        )
        .await;
        let (user, person) = member(&server, &workspace, "ada@example.com", json!({ "role": "admin" })).await;

        // Before: the person may see everything, and asks.
        let question = json!({ "workspace_id": workspace, "message": "What is the supplier's secret price code?" });
        server
            .post(
                "/api/v1/knowledge/query",
                json!({ "workspace_id": workspace, "query": "kettle", "min_position": position }),
            )
            .await
            .ok();
        let answer = person.post("/api/v1/chat", question.clone()).await.ok();
        assert!(answer.to_string().contains(CANARY), "{answer}");
        // After: not any more.
        let narrow = json!({ "role": "admin", "audience": { "kinds": ["product"] } });
        Answer::of(server.request(Method::PUT, &format!("{base}/members/{user}")).json(&narrow)).await.expect(204);

        for caller in [&limited, &person] {
            let mut heard = String::new();
            for query in [CANARY, "secret price code", "memo", "kettle supplier"] {
                for filters in
                    [json!({}), json!({ "kinds": ["internal"] }), json!({ "kinds": ["internal", "product"] })]
                {
                    let ask = json!({ "workspace_id": workspace, "query": query, "top_k": 100, "filters": filters });
                    heard += &caller.post("/api/v1/knowledge/query", ask).await.ok()["results"].to_string();
                    let ask = json!({ "workspace_id": workspace, "message": format!("Tell me of the {query}"), "filters": filters });
                    let answer = caller.post("/api/v1/chat", ask).await.ok();
                    heard += &format!("{}{}", answer["answer"], answer["citations"]);
                }
            }
            for path in [
                format!("{base}/documents?limit=100"),
                format!("{base}/documents?kind=internal"),
                format!("{base}/documents/{memo}"),
                format!("{base}/documents/{memo}/versions"),
                format!("{base}/documents/{memo}/versions/1"),
                format!("{base}/documents/{memo}/versions/2"),
                format!("{base}/documents/{memo}/versions/2/diff"),
                format!("{base}/documents/{kettle}/versions"),
                format!("{base}/documents/{kettle}/versions/1"),
                format!("{base}/documents/{kettle}/versions/2/diff"),
                format!("{base}/documents/{gone}/versions"),
                format!("{base}/documents?deleted=true"),
                format!("{base}/documents?run_id={}", text(&pushed["run_id"])),
                format!("{base}/documents?field=x&op=ne&value=y"),
                format!("{base}/sources?deleted=true"),
                format!("{base}/sources"),
                format!("/api/v1/messages?workspace_id={workspace}"),
            ] {
                let answer = caller.get(&path).await;
                assert!(matches!(answer.status.as_u16(), 200 | 404), "{path}: {answer:?}");
                // Their own questions, of which some named the code, are theirs to read.
                let items = answer.body["items"].as_array().cloned().unwrap_or_default();
                let others =
                    items.iter().filter(|item| item["role"] != "user").map(Value::to_string).collect::<String>();
                heard += &if path.contains("messages") { others } else { answer.body.to_string() };
            }
            assert!(!heard.contains(CANARY) && !heard.contains("supplier's"), "{heard}");
            assert!(heard.contains("boils"), "what may be seen is seen: {heard}");
            caller.send(Method::DELETE, &format!("{base}/documents/{memo}"), None).await.problem(404, "not_found");
            caller.post(&format!("{base}/documents/{gone}/restore"), json!({})).await.problem(404, "not_found");
            let move_it = json!({ "document_ids": [memo], "to_source_id": caller_source(&server, &base).await });
            caller.post(&format!("{base}/documents/move"), move_it).await.problem(404, "not_found");
            for (query, total) in [("", 1), ("?kind=internal", 0), ("?deleted=true", 0), ("?field=x&op=ne&value=y", 1)]
            {
                let counted = caller.get(&format!("{base}/documents/count{query}")).await.ok();
                assert_eq!(counted["total"], total, "{query}: {counted}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_sees_a_revocation_within_a_second() {
    for database in databases().await {
        let first = Server::start(database).await;
        let second = Options::default().beside(&first).start(tributary_tests::Database::Sqlite).await;
        let workspace = first.workspace("Shop").await;
        let (id, there) = key(&first, &workspace, json!({ "name": "k", "scopes": ["chat"] })).await;
        let there = Caller { server: &second, ..there };
        let path = format!("/api/v1/messages?workspace_id={workspace}");
        there.get(&path).await.ok();
        first.delete(&format!("/api/v1/workspaces/{workspace}/keys/{id}")).await.expect(204);
        let revoked = Instant::now();
        while there.get(&path).await.status != 401 {
            assert!(revoked.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(revoked.elapsed() < Duration::from_millis(1_500), "{:?}", revoked.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_signing_key_leaves_everybody_logged_in() {
    for database in databases().await {
        let server = Server::start(database).await;
        let jwks = || async { Answer::of(server.anonymous(Method::GET, "/.well-known/jwks.json")).await.ok() };
        let before = jwks().await;
        assert_eq!(before["keys"].as_array().unwrap().len(), 1);
        assert_eq!(
            (before["keys"][0]["kty"].as_str(), before["keys"][0]["crv"].as_str()),
            (Some("OKP"), Some("Ed25519"))
        );
        server.post("/api/v1/auth/signing-keys/rotate", json!({})).await.expect(201);
        assert_eq!(jwks().await["keys"].as_array().unwrap().len(), 2);
        server.get("/api/v1/auth/me").await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_told_what_is_left_and_when_to_come_back() {
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let limits = json!({ "requests_per_minute": 3, "requests_per_day": 100 });
        let new = json!({ "name": "k", "scopes": ["knowledge:read"], "limits": limits });
        let (_, caller) = key(&server, &workspace, new).await;
        let path = format!("/api/v1/workspaces/{workspace}/documents");
        let first = caller.get(&path).await;
        let header = |answer: &Answer, name: &str| answer.headers[name].to_str().unwrap().to_owned();
        assert_eq!(header(&first, "ratelimit-policy"), "\"burst\";q=3;w=60,\"daily\";q=100;w=86400");
        assert!(header(&first, "ratelimit").starts_with("\"burst\";r=2;t=60,\"daily\";r=99;t="), "{first:?}");
        caller.get(&path).await.ok();
        caller.get(&path).await.ok();
        let refused = caller.get(&path).await;
        assert!(refused.headers.contains_key("retry-after"));
        let problem = refused.problem(429, "rate_limited");
        assert_eq!(problem["violated-policies"], json!(["burst"]));
        server.get(&path).await.ok();
        let unlimited = server
            .post(
                &format!("/api/v1/workspaces/{workspace}/keys"),
                json!({ "name": "k", "scopes": ["chat"], "limits": { "per_hour": 3 } }),
            )
            .await;
        unlimited.problem(422, "invalid_body");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_makes_accounts_members_and_keys_at_the_command_line() {
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let run = |arguments: &[&str]| {
            let (ok, output) = server.command(arguments);
            assert!(ok, "{arguments:?}: {output}");
            output
        };
        let made: Value =
            serde_json::from_str(&run(&["user", "add", "ada@example.com", "--name", "Ada", "--json"])).unwrap();
        assert!(run(&["user", "list"]).contains("ada@example.com"));
        let log_in = async |password: &Value| {
            let body = json!({ "email": "ada@example.com", "password": password });
            Answer::of(server.anonymous(Method::POST, "/api/v1/auth/login").json(&body)).await
        };
        let session = log_in(&made["password"]).await.ok();
        let ada = Caller { server: &server, bearer: text(&session["access_token"]) };
        run(&["workspace", "set-member", "shop", "ada@example.com", "viewer"]);
        assert!(run(&["workspace", "members", "shop"]).contains("viewer"));
        assert!(run(&["workspace", "list"]).contains("shop"));
        let path = format!("/api/v1/workspaces/{workspace}");
        eventually("the server to see it", async || (ada.get(&path).await.status == 200).then_some(())).await;

        let key: Value =
            serde_json::from_str(&run(&["key", "create", "shop", "Shop backend", "--scope", "chat", "--json"]))
                .unwrap();
        let caller = Caller { server: &server, bearer: text(&key["key"]) };
        caller.get(&path).await.ok();
        let listed = run(&["key", "list", "shop"]);
        assert!(listed.contains("Shop backend") && !listed.contains(&caller.bearer), "{listed}");
        let rotate = |id: &Value, overlap: &[&str]| -> Value {
            let id = text(id);
            let arguments = [&["key", "rotate", "shop", &id, "--json"], overlap].concat();
            serde_json::from_str(&run(&arguments)).unwrap()
        };
        let second = rotate(&key["id"], &[]);
        assert_eq!((&second["replaces"], &second["scopes"]), (&key["id"], &json!(["chat"])));
        let next = Caller { server: &server, bearer: text(&second["key"]) };
        next.get(&path).await.ok();
        caller.get(&path).await.ok();
        let listed = run(&["key", "list", "shop"]);
        let until = text(&second["old_until"])[..16].replace('T', " ");
        assert!(listed.contains(&format!("until {until}")) && listed.contains("active"), "{listed}");
        let third = rotate(&second["id"], &["--overlap", "0s"]);
        eventually("the key to be refused", async || (next.get(&path).await.status == 401).then_some(())).await;
        caller.get(&path).await.ok();
        let last = Caller { server: &server, bearer: text(&third["key"]) };
        last.get(&path).await.ok();
        let id = text(&third["id"]);
        let words = run(&["key", "rotate", "shop", &id, "--overlap", "2h"]);
        assert!(words.contains("shown once; the old one goes on until") && words.contains("trib_live_"), "{words}");
        run(&["key", "revoke", "shop", &id]);
        eventually("the key to be refused", async || (last.get(&path).await.status == 401).then_some(())).await;

        let set: Value = serde_json::from_str(&run(&["user", "set-password", "ada@example.com", "--json"])).unwrap();
        eventually("the session to be ended", async || (ada.get(&path).await.status == 401).then_some(())).await;
        log_in(&set["password"]).await.ok();
        run(&["user", "deactivate", "ada@example.com"]);
        log_in(&set["password"]).await.problem(401, "wrong_credentials");
        run(&["user", "activate", "ada@example.com"]);
        log_in(&set["password"]).await.ok();
        let audit = server.get("/api/v1/audit?actor=operator").await.ok().to_string();
        for action in
            ["user add", "workspace set-member", "key create", "key rotate", "key revoke", "user set-password"]
        {
            assert!(audit.contains(&format!("tributary {action}")), "{action}: {audit}");
        }

        let (key_id, nobody) = (text(&key["id"]), "00000000-0000-0000-0000-000000000000".to_owned());
        for (wrong, part) in [
            (vec!["user", "deactivate", "nobody@example.com"], "user list"),
            (vec!["workspace", "members", "nowhere"], "workspace list"),
            (vec!["key", "create", "shop", "k", "--scope", "everything"], "knowledge:read"),
            (vec!["key", "rotate", "shop", &key_id], "rotate the one that replaced it"),
            (vec!["key", "rotate", "shop", &nobody], "key list"),
            (vec!["key", "rotate", "shop", &nobody, "--overlap", "31d"], "30d at most"),
            (vec!["key", "rotate", "shop", &nobody, "--overlap", "soon"], "24h"),
            (vec!["workspace", "set-member", "shop", "ada@example.com", "king"], "viewer, editor, admin and owner"),
        ] {
            let (ok, output) = server.command(&wrong);
            assert!(!ok && output.contains(part) && !output.contains("panicked"), "{wrong:?}: {output}");
        }
    }
}
