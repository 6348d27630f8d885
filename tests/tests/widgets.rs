//! Visitors of widgets: from which pages, as whom, to which documents, how much.

use rand::RngExt;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tributary_tests::{
    Database, Server,
    browser::{Browser, Site},
    databases,
    server::{Answer, Options, text},
};

const SHOP: &str = "https://shop.example";
const CANARY: &str = "K7Q-5512";
const GUIDE: &str = include_str!("../../docs/authentication.md");

/// A server with a public source and an internal one, and a widget key for the public one.
struct Shop {
    server: Server,
    base: String,
    public: String,
    key: Value,
}

impl Shop {
    async fn open(database: Database) -> Self {
        Self::of(Server::start(database).await, json!({ "origins": [SHOP] }), json!({})).await
    }

    async fn of(server: Server, widget: Value, limits: Value) -> Self {
        let workspace = server.workspace("Shop").await;
        let base = format!("/api/v1/workspaces/{workspace}");
        let directory = server.data_dir().join("docs");
        std::fs::create_dir_all(&directory).unwrap();
        let public = json!({ "documents": [{
            "external_id": "shipping", "title": "Shipping", "kind": "public", "content": "Shipping to Norway takes nine days.",
        }] });
        let internal = json!({ "documents": [{
            "external_id": "margins", "title": "Margins", "kind": "internal",
            "content": format!("Shipping to Norway costs us four euros. {CANARY}"),
        }] });
        server.post(&format!("{base}/documents"), public).await.ok();
        let position = server.post(&format!("{base}/documents"), internal).await.ok()["position"].clone();
        let query = json!({ "workspace_id": workspace, "query": "shipping", "min_position": position });
        server.post("/api/v1/knowledge/query", query).await.ok();
        let new = json!({ "name": "Widget", "widget": widget, "limits": limits, "audience": { "kinds": ["public"] } });
        let key = server.post(&format!("{base}/keys"), new).await.expect(201);
        Self { server, base, public: text(&key["key"]), key }
    }

    fn widget(&self, path: &str) -> String {
        format!("/api/v1/widgets/{}{path}", self.public)
    }

    async fn begin(&self, origin: &str, body: Value) -> Answer {
        let path = self.widget("/sessions");
        Answer::of(self.server.anonymous(Method::POST, &path).header("origin", origin).json(&body)).await
    }

    async fn visit(&self) -> String {
        text(&self.begin(SHOP, json!({})).await.expect(201)["token"])
    }

    async fn as_visitor(&self, token: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = self.server.anonymous(method, &self.widget(path)).bearer_auth(token).header("origin", SHOP);
        Answer::of(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn ask(&self, token: &str, body: Value) -> Answer {
        self.as_visitor(token, Method::POST, "/chat", Some(body)).await
    }
}

fn question() -> Value {
    json!({ "message": "How long does shipping to Norway take?" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_asks_and_sees_public_documents_and_their_own_conversation_only() {
    for database in databases().await {
        let shop = Shop::open(database).await;
        let (mine, other) = (shop.visit().await, shop.visit().await);
        let answer = shop.ask(&mine, question()).await.ok();
        assert!(text(&answer["answer"]).contains("nine days"), "{answer}");
        assert_eq!(answer["citations"][0]["title"], "Shipping");

        for ask in ["four euros", "Margins", CANARY, "costs us"] {
            let answer = shop.ask(&mine, json!({ "message": ask, "filters": { "kinds": ["internal"] } })).await.ok();
            assert!(!answer.to_string().contains("four euros"), "{answer}");
            let answer = shop.ask(&mine, json!({ "message": ask })).await.ok();
            assert!(!answer.to_string().contains("four euros"), "{answer}");
        }

        let thread = text(&answer["thread_id"]);
        let own = shop.as_visitor(&mine, Method::GET, "/messages", None).await.ok();
        assert!(own["items"].as_array().unwrap().len() >= 2);
        let of_thread = format!("/messages?thread_id={thread}");
        assert_eq!(
            shop.as_visitor(&mine, Method::GET, &of_thread, None).await.ok()["items"].as_array().unwrap().len(),
            2
        );
        for path in ["/messages", of_thread.as_str()] {
            let theirs = shop.as_visitor(&other, Method::GET, path, None).await;
            assert!(!theirs.body.to_string().contains("nine days"), "{}", theirs.body);
        }
        let intruding = json!({ "message": "And then?", "thread_id": thread });
        shop.ask(&other, intruding).await.problem(404, "not_found");

        // Nothing of the rest of the API takes a visitor's token, or the key.
        let workspace = shop.base.rsplit('/').next().unwrap();
        for bearer in [&mine, &shop.public] {
            for path in ["/api/v1/auth/me", shop.base.as_str(), &format!("{}/documents", shop.base)] {
                let answer = Answer::of(shop.server.anonymous(Method::GET, path).bearer_auth(bearer)).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            }
            let query = json!({ "workspace_id": workspace, "query": "Norway" });
            let query = shop.server.anonymous(Method::POST, "/api/v1/knowledge/query").bearer_auth(bearer).json(&query);
            assert_eq!(Answer::of(query).await.status, StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_named_origins_may_use_a_widget_key() {
    let shop = Shop::open(Database::Sqlite).await;
    let token = shop.visit().await;
    for origin in
        ["https://shop.example.", "https://shop.example:8443", "http://shop.example", "https://evil.example", "null"]
    {
        let refused = shop.begin(origin, json!({})).await;
        assert!(!refused.headers.contains_key("access-control-allow-origin"), "{origin}");
        refused.problem(403, "origin_not_allowed");
        let stolen = shop.server.anonymous(Method::POST, &shop.widget("/chat")).bearer_auth(&token);
        Answer::of(stolen.header("origin", origin).json(&question())).await.problem(403, "origin_not_allowed");
    }
    let none = shop.server.anonymous(Method::POST, &shop.widget("/sessions"));
    Answer::of(none).await.problem(403, "origin_not_allowed");

    let preflight = async |origin: &str, key: &str| {
        let path = format!("/api/v1/widgets/{key}/chat");
        let request = shop.server.anonymous(Method::OPTIONS, &path).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let request = request.header("access-control-request-headers", "authorization,content-type");
        request.send().await.unwrap().headers().clone()
    };
    let allowed =
        |headers: &HeaderMap| headers.get("access-control-allow-origin").map(|it| it.to_str().unwrap().to_owned());
    let headers = preflight(SHOP, &shop.public).await;
    assert_eq!(allowed(&headers).as_deref(), Some(SHOP));
    assert!(headers["access-control-allow-headers"].to_str().unwrap().contains("authorization"));
    assert!(headers.get_all("vary").iter().any(|it| it.to_str().unwrap().contains("origin")));
    assert!(!headers.contains_key("access-control-allow-credentials"));
    assert_eq!(allowed(&preflight("https://evil.example", &shop.public).await), None);
    assert_eq!(allowed(&preflight(SHOP, "tribw_live_0").await), None);

    let answer = shop.ask(&token, question()).await;
    assert_eq!(answer.headers["access-control-allow-origin"], SHOP);
    assert!(answer.headers["content-security-policy"].to_str().unwrap().contains(&format!("frame-ancestors {SHOP}")));
    // The API for people and programs stays closed to pages of other origins.
    let login = shop.server.anonymous(Method::OPTIONS, "/api/v1/auth/login").header("origin", SHOP);
    let login = login.header("access-control-request-method", "POST").send().await.unwrap();
    assert_eq!(allowed(login.headers()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_widget_key_says_what_is_wrong_with_it() {
    let shop = Shop::open(Database::Sqlite).await;
    let keys = format!("{}/keys", shop.base);
    let make = async |widget: Value, audience: Value, scopes: Value| {
        let new = json!({ "name": "W", "widget": widget, "audience": audience, "scopes": scopes });
        shop.server.post(&keys, new).await
    };
    let (audience, none) = (json!({ "kinds": ["public"] }), json!([]));
    let pointer = |problem: Value| text(&problem["errors"][0]["pointer"]);
    let everything = make(json!({ "origins": [SHOP] }), json!({}), none.clone()).await.problem(422, "invalid_body");
    assert_eq!(pointer(everything), "/audience");
    for origins in [json!([]), json!(["*"]), json!(["https://shop.example."]), json!(["https://shop.example/"])] {
        let problem =
            make(json!({ "origins": origins }), audience.clone(), none.clone()).await.problem(422, "invalid_body");
        assert_eq!(pointer(problem), "/widget/origins");
    }
    let scoped = make(json!({ "origins": [SHOP] }), audience, json!(["admin"])).await.problem(422, "invalid_body");
    assert_eq!(pointer(scoped), "/scopes");

    // A secret key in a page is noticed before it does harm.
    let new = json!({ "name": "Backend", "scopes": ["chat"] });
    let secret = text(&shop.server.post(&keys, new).await.expect(201)["key"]);
    let begin =
        shop.server.anonymous(Method::POST, &format!("/api/v1/widgets/{secret}/sessions")).header("origin", SHOP);
    let problem = Answer::of(begin).await.problem(401, "invalid_key");
    assert!(text(&problem["detail"]).contains("revoke it"), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_widget_key_ends_its_visits_and_a_rotated_one_goes_on_for_a_while() {
    let shop = Shop::open(Database::Sqlite).await;
    let token = shop.visit().await;
    let path = format!("{}/keys/{}", shop.base, text(&shop.key["id"]));
    let rotated = shop.server.post(&format!("{path}/rotate"), json!({})).await.expect(201);
    assert!(text(&rotated["key"]).starts_with("tribw_live_"));
    assert_eq!(rotated["widget"]["origins"], json!([SHOP]));
    shop.ask(&token, question()).await.ok();
    let with_new = shop.server.anonymous(Method::POST, &format!("/api/v1/widgets/{}/chat", text(&rotated["key"])));
    let with_new = with_new.bearer_auth(&token).header("origin", SHOP).json(&question());
    Answer::of(with_new).await.problem(401, "invalid_visit");
    shop.server.delete(&path).await.expect(204);
    shop.ask(&token, question()).await.problem(401, "invalid_key");
    shop.begin(SHOP, json!({})).await.problem(401, "invalid_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_are_held_to_their_ceiling_and_all_of_them_to_the_keys() {
    let widget = json!({ "origins": [SHOP], "visitor_limits": { "requests_per_minute": 3 } });
    let shop = Shop::of(Server::start(Database::Sqlite).await, widget, json!({ "requests_per_minute": 5 })).await;
    let (one, two) = (shop.visit().await, shop.visit().await);
    for _ in 0..3 {
        shop.ask(&one, question()).await.ok();
    }
    let refused = shop.ask(&one, question()).await;
    assert_eq!(refused.headers["access-control-allow-origin"], SHOP, "the page can read why");
    assert_eq!(refused.problem(429, "rate_limited")["violated-policies"], json!(["visitor-burst"]));
    shop.ask(&two, question()).await.ok();
    shop.ask(&two, question()).await.ok();
    assert_eq!(shop.ask(&two, question()).await.problem(429, "rate_limited")["violated-policies"], json!(["burst"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_does_not_become_ever_new_visitors() {
    let server = Options::default().arg("--trusted-proxies").arg("127.0.0.1").start(Database::Sqlite).await;
    let shop = Shop::of(server, json!({ "origins": [SHOP] }), json!({})).await;
    let address = format!("2001:db8:{:x}::1", rand::rng().random::<u16>());
    let begin = async |address: &str| {
        let request = shop.server.anonymous(Method::POST, &shop.widget("/sessions")).header("origin", SHOP);
        Answer::of(request.header("x-forwarded-for", address)).await
    };
    for _ in 0..60 {
        begin(&address).await.expect(201);
    }
    assert_eq!(begin(&address).await.problem(429, "rate_limited")["violated-policies"], json!(["visit-address"]));
    begin("192.0.2.77").await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_whom_the_site_vouches_for_finds_their_conversation_again() {
    for database in databases().await {
        let widget = json!({ "origins": [SHOP], "identity": "required" });
        let shop = Shop::of(Server::start(database).await, widget, json!({})).await;
        let secret = text(&shop.key["identity_secret"]);
        shop.begin(SHOP, json!({})).await.problem(401, "identity_required");
        shop.begin(SHOP, json!({ "identity": "made up" })).await.problem(401, "invalid_identity");
        let Some(signed) = identity_as_documented("42", &secret) else { return };
        let begin = async || shop.begin(SHOP, json!({ "identity": signed })).await.expect(201);
        let (first, second) = (begin().await, begin().await);
        assert_eq!(first["visitor_id"], second["visitor_id"]);
        shop.ask(&text(&first["token"]), question()).await.ok();
        let later = shop.as_visitor(&text(&second["token"]), Method::GET, "/messages", None).await.ok();
        assert_eq!(later["items"].as_array().unwrap().len(), 2);
        let renewed = shop.as_visitor(&text(&first["token"]), Method::POST, "/sessions/renew", None).await.ok();
        assert_eq!((&renewed["visitor_id"], &renewed["ends_at"]), (&first["visitor_id"], &first["ends_at"]));
        assert!(!shop.server.get(&format!("{}/keys", shop.base)).await.ok().to_string().contains(&secret));
    }
}

/// The lines of the code block of the guide that holds `mark`.
fn example(mark: &str) -> String {
    let block = GUIDE.split("```js\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    block.into_iter().find(|block| block.contains(mark)).expect("the guide holds the example").to_owned()
}

/// What the guide's example signs, run by Node.js where there is one.
fn identity_as_documented(sub: &str, secret: &str) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("{}\nconsole.log(identityOf({{ id: {sub:?} }}, {secret:?}));", example("identityOf(customer"));
    let file = directory.path().join("sign.mjs");
    std::fs::write(&file, script).unwrap();
    match std::process::Command::new("node").arg(file).output() {
        Ok(output) => Some(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "Node.js cannot be started: {error}");
            eprintln!("SKIPPED: Node.js is not installed");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_widget_works_in_a_browser_on_the_shops_page_and_on_no_other() {
    let site = Site::start();
    let shop_origin = site.origin("localhost");
    let shop = Shop::of(Server::start(Database::Sqlite).await, json!({ "origins": [shop_origin] }), json!({})).await;
    let script = format!(
        "{}\nconst show = (id, text) => document.getElementById(id).append(text);
        try {{
            const widget = new Widget({:?}, {:?});
            const citations = await widget.ask('How long does shipping to Norway take?', (text) => show('answer', text));
            show('cited', `Cited: ${{citations.map((it) => it.title).join()}}`);
            show('history', `History: ${{(await widget.history()).length}}`);
        }} catch (error) {{ show('answer', `failed: ${{error.message}}`); }}",
        example("export class Widget"),
        shop.server.url("").trim_end_matches('/'),
        shop.public,
    );
    site.write("widget.js", &script);
    let page = "<!doctype html><title>Shop</title><p id=answer></p><p id=cited></p><p id=history></p>
        <script type=module src=widget.js></script>";
    site.write("index.html", page);
    let Some(browser) = Browser::start().await else { return };
    let at_the_shop = browser.open(&format!("{shop_origin}/index.html")).await;
    at_the_shop.sees("History: 2").await;
    let shown = at_the_shop.text().await;
    assert!(shown.contains("nine days") && shown.contains("Cited: Shipping"), "{shown}");
    // The same files under another name of this machine: another origin.
    let elsewhere = browser.open(&format!("{}/index.html", site.origin("127.0.0.1"))).await;
    elsewhere.sees("failed: Failed to fetch").await;
    let shown = elsewhere.text().await;
    assert!(!shown.contains("nine days"), "{shown}");
}
