//! The console, as people use it: in a real browser, and by the bytes that a browser and its enemies send.

use std::{fs, path::Path, time::Duration};

use reqwest::{Method, StatusCode, header, redirect::Policy};
use serde_json::json;
use tributary_tests::{
    Server,
    browser::{Browser, Tab},
    databases,
    server::{Answer, Database, EMAIL, Options, PASSWORD, text},
};

fn write(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join(name), content).unwrap();
}

fn library(folder: &Path, files: usize) {
    for n in 0..files {
        write(folder, &format!("{n:04}.md"), &format!("# Document {n}\n\nParcel {n} goes to town.\n"));
    }
}

/// The address of a page from the address of what it shows.
fn page_of(server: &Server, api: &str) -> String {
    server.url(&api.replacen("/api/v1", "/console", 1))
}

async fn log_in(tab: &Tab, email: &str, password: &str) {
    tab.write("E-mail address", email).await;
    tab.write("Password", password).await;
    tab.press("Log in").await;
}

/// Makes an account that is a member, and gives its address.
async fn member(server: &Server, workspace: &str, name: &str, role: &str) -> String {
    let email = format!("{name}@example.com");
    let new = json!({ "email": email, "name": name, "password": PASSWORD });
    let id = text(&server.post("/api/v1/users", new).await.expect(201)["id"]);
    let path = format!("/api/v1/workspaces/{workspace}/members/{id}");
    Answer::of(server.request(Method::PUT, &path).json(&json!({ "role": role }))).await.expect(204);
    email
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_is_started_and_watched_to_its_end_without_reloading() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), 1_200);
    write(folder.path(), "bad.md", &"long ".repeat(2_000));
    for database in databases().await {
        let Some(browser) = Browser::start().await else { return };
        let server =
            Options::default().root("library", folder.path()).arg("--page-items").arg("10").start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library", "max_file": 1_000 })).await;
        server.patch(&source, json!({ "schedule": { "cron": "0 3 * * *", "timezone": "Europe/Berlin" } })).await.ok();

        // Who comes without a session is led to the log-in and back.
        let tab = browser.open(&page_of(&server, &format!("/api/v1/workspaces/{workspace}"))).await;
        tab.sees("E-mail address").await;
        tab.picture("login").await;
        log_in(&tab, EMAIL, "not the password").await;
        tab.sees("The e-mail address or the password is wrong.").await;
        tab.write("Password", PASSWORD).await;
        tab.press("Log in").await;
        tab.sees("never ran").await;
        assert!(tab.text().await.contains("Healthy"), "{}", tab.text().await);
        tab.follow("Files").await;
        tab.sees("None yet.").await;
        assert!(tab.text().await.contains("0 3 * * * Europe/Berlin"), "{}", tab.text().await);

        tab.press("Sync now").await;
        tab.sees("Running").await;
        tab.run("window.stayed = true").await;
        tab.sees("a second").await;
        tab.picture("run-live").await;
        tab.sees("Partly done").await;
        tab.sees("Read the failed items again").await;
        assert_eq!(tab.run("window.stayed").await, Some(json!(true)), "the page was loaded again");
        let shown = tab.text().await;
        assert!(shown.contains("1,200") && shown.contains("bad.md"), "{shown}");
        assert!(!tab.has_button("Cancel this run").await);
        tab.picture("run-partial").await;

        write(folder.path(), "bad.md", "Shorter.");
        tab.press("Read the failed items again").await;
        tab.sees("Succeeded").await;
        write(folder.path(), "bad.md", &"long ".repeat(2_000));
        tab.go(&page_of(&server, &source)).await;
        tab.sees("Sync, on request").await;
        tab.press("Dry run").await;
        tab.sees("What a sync would do").await;
        tab.picture("dry-run").await;
        tab.go(&page_of(&server, &source)).await;
        tab.picture("source").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_shows_in_the_list_and_can_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), 4_000);
    let Some(browser) = Browser::start().await else { return };
    let server =
        Options::default().root("library", folder.path()).arg("--page-items").arg("10").start(Database::Sqlite).await;
    let workspace = server.workspace("Library").await;
    let source = server.file_source(&workspace, json!({ "root": "library" })).await;
    let tab = browser.open(&server.url(&format!("/console/workspaces/{workspace}"))).await;
    log_in(&tab, EMAIL, PASSWORD).await;
    tab.sees("never ran").await;
    tab.run("window.stayed = true").await;
    server.start_sync(&source, json!({})).await;
    tab.sees("Running").await;
    tab.picture("sources-live").await;
    assert_eq!(tab.run("window.stayed").await, Some(json!(true)), "the page was loaded again");
    tab.follow("Running").await;
    tab.press("Cancel this run").await;
    tab.sees("Cancelled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_deletions_are_looked_at_and_decided() {
    for database in databases().await {
        let Some(browser) = Browser::start().await else { return };
        let folder = tempfile::tempdir().unwrap();
        library(folder.path(), 100);
        let server = Options::default().root("library", folder.path()).start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        server.sync(&source).await;
        for n in 0..60 {
            fs::remove_file(folder.path().join(format!("{n:04}.md"))).unwrap();
        }
        server.sync(&source).await;
        let tab = browser.open(&page_of(&server, &source)).await;
        log_in(&tab, EMAIL, PASSWORD).await;
        tab.sees("Needs attention").await;
        tab.sees("60 documents of 100 were not found").await;
        tab.picture("source-held").await;
        tab.follow("Look at them and decide").await;
        tab.sees("Document 59").await;
        tab.picture("held").await;
        assert!(!tab.text().await.contains("Document 60"), "{}", tab.text().await);
        tab.write("Keep them, because", "The share was offline").await;
        tab.press("Keep").await;
        tab.sees("Healthy").await;
        assert_eq!(server.documents(&workspace).await.len(), 100);

        // What was kept is not asked about again until it was there in between.
        server.sync(&source).await;
        tab.go(&format!("{}/held", page_of(&server, &source))).await;
        tab.sees("Nothing of this source waits for a decision.").await;
        library(folder.path(), 100);
        server.sync(&source).await;
        for n in 0..60 {
            fs::remove_file(folder.path().join(format!("{n:04}.md"))).unwrap();
        }
        server.sync(&source).await;
        tab.go(&format!("{}/held", page_of(&server, &source))).await;
        tab.press("Delete 60 documents").await;
        tab.sees("Deleted: 60 documents.").await;
        tab.sees("Nothing of this source waits for a decision.").await;
        assert_eq!(server.documents(&workspace).await.len(), 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_is_text() {
    let hostile = "<script>window.harmed=1</script><img src=x onerror=window.harmed=2>\"'>";
    let folder = tempfile::tempdir().unwrap();
    for n in 0..60 {
        write(
            folder.path(),
            &format!("{n:02}.md"),
            &format!("# &lt;script&gt;window.harmed={n}&lt;/script&gt;\n\nText.\n"),
        );
    }
    write(folder.path(), "<b onclick=x>.bin", "\u{0}");
    let Some(browser) = Browser::start().await else { return };
    let server = Options::default().root("library", folder.path()).start(Database::Sqlite).await;
    let workspace = server.workspace("<script>window.harmed=3</script>").await;
    let new = json!({ "name": hostile, "connector": "file", "config": { "root": "library", "include": ["**/*"] } });
    let made = server.post(&format!("/api/v1/workspaces/{workspace}/sources"), new).await.expect(201);
    let source = format!("/api/v1/workspaces/{workspace}/sources/{}", text(&made["id"]));
    let first = server.sync(&source).await;
    for n in 0..60 {
        fs::remove_file(folder.path().join(format!("{n:02}.md"))).unwrap();
    }
    server.sync(&source).await;

    let tab = browser.open(&page_of(&server, &source)).await;
    log_in(&tab, EMAIL, PASSWORD).await;
    tab.sees(hostile).await;
    tab.write("Pause, because", hostile).await;
    tab.press("Pause").await;
    tab.sees(&format!("Paused by {EMAIL}")).await;
    let shown = tab.text().await;
    assert!(shown.matches(hostile).count() >= 3, "the note, the title and the trail: {shown}");
    for page in ["", "/held", &format!("/runs/{}", text(&first["id"]))] {
        tab.go(&format!("{}{page}", page_of(&server, &source))).await;
        tab.sees("window.harmed").await;
        assert_eq!(tab.run("window.harmed === undefined").await, Some(json!(true)), "{page}");
        let stray = "document.querySelectorAll('main script, main img, main b[onclick]').length";
        assert_eq!(tab.run(stray).await, Some(json!(0)), "{page}");
    }
    // Even markup that came through would not run.
    let inject = "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.harmed=1>'); \
                  document.body.append(Object.assign(document.createElement('script'), { text: 'window.harmed=1' })); \
                  new Promise(done => setTimeout(() => done(window.harmed === undefined), 200))";
    assert_eq!(tab.run(inject).await, Some(json!(true)));

    tab.go(&page_of(&server, &source)).await;
    tab.press("Resume").await;
    tab.sees("Pause, because").await;
    assert_eq!(server.get(&source).await.ok()["paused"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_without_scripts() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), 3);
    let server = Options::default().root("library", folder.path()).start(Database::Sqlite).await;
    let workspace = server.workspace("Library").await;
    let source = server.file_source(&workspace, json!({ "root": "library" })).await;
    let source = source.replacen("/api/v1", "/console", 1);
    let visitor = Visitor::log_in(&server, EMAIL).await;
    let (status, to, _) = visitor.post(&format!("{source}/sync"), "what=changes").await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let page = visitor.get(&to).await;
    assert_eq!(page.0, 200);
    let over = page.2.contains("Succeeded");
    assert!(over || page.2.contains("http-equiv=\"refresh\""), "{}", page.2);
    let (status, _, page) = visitor.post(&format!("{source}/pause"), "note=").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.contains("Say in 1 to 500 characters why"), "{page}");
    let (status, _, page) = visitor.post(&format!("{source}/sync"), "what=harm").await;
    assert_eq!((status, page.contains("<h1>")), (StatusCode::UNPROCESSABLE_ENTITY, true), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_looks_and_does_nothing() {
    for database in databases().await {
        let folder = tempfile::tempdir().unwrap();
        library(folder.path(), 3);
        let server = Options::default().root("library", folder.path()).start(database).await;
        let workspace = server.workspace("Library").await;
        let source = server.file_source(&workspace, json!({ "root": "library" })).await;
        let run = server.sync(&source).await;
        let email = member(&server, &workspace, "vera", "viewer").await;
        let editor = member(&server, &workspace, "edda", "editor").await;
        let (viewer, editor) = (Visitor::log_in(&server, &email).await, Visitor::log_in(&server, &editor).await);
        let base = source.replacen("/api/v1", "/console", 1);
        assert_eq!(viewer.get("/console").await.1, format!("/console/workspaces/{workspace}"));
        let run = format!("/runs/{}", text(&run["id"]));
        for page in ["", "/held", &run] {
            let (status, _, body) = viewer.get(&format!("{base}{page}")).await;
            assert_eq!(status, 200, "{body}");
            assert!(!body.contains(&format!("action=\"{base}")), "{page} offers what is not allowed: {body}");
        }
        assert!(editor.get(&base).await.2.contains("Sync now"));
        for (post, form) in actions(&run) {
            let (status, _, body) = viewer.post(&format!("{base}{post}"), form).await;
            assert_eq!(status, 403, "{post}: {body}");
            assert!(body.contains("This needs the role editor in this workspace, and yours is viewer"), "{body}");
        }
        assert_eq!(server.get(&source).await.ok()["paused"], json!(null));
        // What was done and what was refused is in the audit log, with who.
        assert_eq!(editor.post(&format!("{base}/pause"), "note=Moving").await.0, 303);
        let log = server.get(&format!("/api/v1/workspaces/{workspace}/audit?limit=2")).await.ok();
        let last = &log["items"][0];
        assert!(text(&last["action"]).starts_with("POST /console/workspaces/{workspace_id}"), "{log}");
        assert_eq!((&last["outcome"], &log["items"][1]["outcome"]), (&json!("ok"), &json!("denied")), "{log}");
        assert!(text(&last["actor"]).starts_with("user:"), "{log}");
    }
}

/// What can be done at a source, with a form that would do it.
fn actions(run: &str) -> Vec<(String, &'static str)> {
    let held = run.replacen("/runs/", "/held/", 1);
    let fixed =
        [("/sync", "what=changes"), ("/pause", "note=x"), ("/resume", ""), ("/guard", "max_percent=1&max_items=1")];
    let mut all: Vec<_> = fixed.into_iter().map(|(path, form)| (path.to_owned(), form)).collect();
    all.extend([(format!("{run}/cancel"), ""), (format!("{run}/retry"), "")]);
    all.extend([(format!("{held}/approve"), ""), (format!("{held}/keep"), "note=x")]);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_and_members_of_other_workspaces_reach_nothing() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path(), 3);
    let server = Options::default().root("library", folder.path()).start(Database::Sqlite).await;
    let (ours, theirs) = (server.workspace("Ours").await, server.workspace("Theirs").await);
    let source = server.file_source(&ours, json!({ "root": "library" })).await;
    let run = format!("/runs/{}", text(&server.sync(&source).await["id"]));
    let stranger = Visitor::log_in(&server, &member(&server, &theirs, "mallory", "owner").await).await;
    let nobody = Visitor { cookie: String::new(), ..Visitor::new(&server) };
    let base = source.replacen("/api/v1", "/console", 1);
    let inside = base.replacen(&ours, &theirs, 1);
    let pages = ["", "/held", run.as_str(), &format!("{run}/events")];
    for page in pages {
        for base in [&base, &inside] {
            let (status, _, body) = stranger.get(&format!("{base}{page}")).await;
            assert_eq!(status, 404, "{page}: {body}");
            assert!(body.contains("<h1>Not found</h1>") && !body.contains("Files"), "{page}: {body}");
        }
        let (status, _, body) = nobody.get(&format!("{base}{page}")).await;
        assert_eq!((status, body.contains("action=\"/console/login\"")), (StatusCode::UNAUTHORIZED, true), "{page}");
        assert!(body.contains(&format!("value=\"{base}{page}\"")), "leads back: {body}");
    }
    for (post, form) in actions(&run) {
        for base in [&base, &inside] {
            assert_eq!(stranger.post(&format!("{base}{post}"), form).await.0, 404, "{post}");
        }
        assert_eq!(nobody.post(&format!("{base}{post}"), form).await.0, 401, "{post}");
    }
    assert_eq!(nobody.post("/console/logout", "").await.0, 401);
    assert_eq!(nobody.get("/console").await.0, 401);
    assert_eq!(stranger.get("/console/no-such-page").await.0, 404);
    assert_eq!(server.get(&source).await.ok()["paused"], json!(null));
    // A cookie is good for pages only.
    let mixed = server.anonymous(Method::GET, "/api/v1/workspaces").header(header::COOKIE, &stranger.cookie);
    Answer::of(mixed).await.problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_closed_to_what_comes_from_elsewhere() {
    let server = Options::default().arg("--trusted-proxies").arg("127.0.0.0/8").start(Database::Sqlite).await;
    let form = format!("email={}&password={}", EMAIL.replace('@', "%40"), PASSWORD.replace(' ', "+"));
    let nobody = Visitor::new(&server);
    let enter = |headers: &'static [(&'static str, &'static str)], next: &str| {
        let body = format!("{form}&next={next}");
        let request = nobody.request(Method::POST, "/console/login").body(body);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    // The page itself.
    let page = nobody.request(Method::GET, "/console/login").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let body = page.text().await.unwrap();
    assert!(!body.contains("//") && !body.contains(" style=") && !body.contains(" onclick"), "{body}");
    for asset in body.split(['"', ' ']).filter(|part| part.starts_with("/console/") && part.contains('?')) {
        assert_eq!(nobody.get(asset).await.0, 200, "{asset}");
    }
    // The cookie.
    let answer = enter(&[], "/console").send().await.unwrap();
    let plain = cookie(&answer);
    assert!(plain.starts_with("tributary=") && !plain.contains("Secure"), "{plain}");
    for headers in [&[("x-forwarded-proto", "https")], &[("origin", "https://127.0.0.1")]] as [&[_]; 2] {
        let request =
            headers.iter().fold(enter(&[], "/console"), |request, (name, value)| request.header(*name, *value));
        // As a proxy passes on what a browser sent to it.
        let secure = cookie(&request.header("sec-fetch-site", "same-origin").send().await.unwrap());
        assert!(secure.starts_with("__Host-tributary=") && secure.contains("; Secure"), "{secure}");
        assert!(secure.contains("; Path=/") && !secure.contains("Domain"), "{secure}");
        let visitor = Visitor { cookie: secure.split(';').next().unwrap().to_owned(), ..Visitor::new(&server) };
        assert_eq!(visitor.get("/console").await.0, 303, "with {headers:?}");
    }
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(plain.contains(part), "{plain}");
    }
    // Requests that another site causes, and addresses on other sites.
    for headers in [
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
    ] as [&'static [(&str, &str)]; 4]
    {
        let answer = enter(headers, "/console").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (403, None), "{headers:?}");
        assert!(answer.text().await.unwrap().contains("This was sent from another site"));
        let visitor = Visitor { cookie: plain.split(';').next().unwrap().to_owned(), ..Visitor::new(&server) };
        let request = visitor.request(Method::POST, "/console/logout");
        let forged = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        assert_eq!(forged.send().await.unwrap().status(), 403, "{headers:?}");
        assert_ne!(visitor.get("/console").await.0, 401, "{headers:?}: still logged in");
    }
    for next in ["https://evil.example", "//evil.example", "/%5Cevil.example", "/docs", "/console%5Cx", ""] {
        let answer = enter(&[], next).send().await.unwrap();
        assert_eq!(answer.headers()["location"], "/console", "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_on_by_itself_and_ends_when_it_is_ended() {
    for database in databases().await {
        let server = Server::start(database).await;
        let mut visitor = Visitor::log_in(&server, EMAIL).await;
        // Ten minutes later: the access token is over, the other one gives the next pair.
        let old = visitor.cookie.clone();
        let (name, tokens) = old.split_once('=').unwrap();
        let (_, refresh) = tokens.split_once('~').unwrap();
        visitor.cookie = format!("{name}=over~{refresh}");
        let answer = visitor.request(Method::GET, "/console").send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let renewed = cookie(&answer);
        assert!(renewed.contains("HttpOnly") && !renewed.contains(refresh), "{renewed}");
        visitor.cookie = renewed.split(';').next().unwrap().to_owned();
        assert_eq!(visitor.get("/console").await.0, 303);

        let (status, to, _) = visitor.post("/console/logout", "").await;
        assert_eq!((status.as_u16(), to.as_str()), (303, "/console/login?out=1"));
        assert_eq!(visitor.get("/console").await.0, 401, "the old cookie is of no use");

        // Ended elsewhere, it is over within a second.
        let visitor = Visitor::log_in(&server, EMAIL).await;
        assert_eq!(visitor.get("/console").await.0, 303);
        server.delete("/api/v1/auth/sessions").await.expect(204);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (status, _, body) = visitor.get("/console").await;
        assert_eq!((status.as_u16(), body.contains("Your log-in has ended.")), (401, true), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_limited_as_in_the_api() {
    let server = Server::start(Database::Sqlite).await;
    let visitor = Visitor::new(&server);
    for _ in 0..10 {
        assert_eq!(visitor.post("/console/login", "email=ada%40example.com&password=guess").await.0, 401);
    }
    let (status, _, body) = visitor.post("/console/login", "email=ada%40example.com&password=guess").await;
    assert_eq!(status, 429);
    assert!(body.contains("login-account") && body.contains("try again in"), "{body}");
    let guess = json!({ "email": "ada@example.com", "password": "guess" });
    Answer::of(server.anonymous(Method::POST, "/api/v1/auth/login").json(&guess)).await.problem(429, "rate_limited");
    let log = server.get("/api/v1/audit?limit=5").await.ok();
    let denied = log["items"].as_array().unwrap().iter().filter(|event| event["outcome"] == "denied");
    assert!(denied.count() > 0, "{log}");
}

/// Somebody with a cookie and no scripts.
struct Visitor {
    client: reqwest::Client,
    base: String,
    cookie: String,
}

impl Visitor {
    fn new(server: &Server) -> Self {
        let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
        Self { client, base: server.url(""), cookie: String::new() }
    }

    async fn log_in(server: &Server, email: &str) -> Self {
        let visitor = Self::new(server);
        let form = format!("email={}&password={}", email.replace('@', "%40"), PASSWORD.replace(' ', "+"));
        let answer = visitor.request(Method::POST, "/console/login").body(form).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let cookie = cookie(&answer).split(';').next().unwrap().to_owned();
        Self { cookie, ..visitor }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if self.cookie.is_empty() { request } else { request.header(header::COOKIE, &self.cookie) }
    }

    /// Status, where it leads, and the page.
    async fn get(&self, path: &str) -> (StatusCode, String, String) {
        read(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str, form: &str) -> (StatusCode, String, String) {
        read(self.request(Method::POST, path).body(form.to_owned())).await
    }
}

async fn read(request: reqwest::RequestBuilder) -> (StatusCode, String, String) {
    let answer = request.send().await.unwrap();
    let location = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned()).unwrap_or_default();
    (answer.status(), location, answer.text().await.unwrap())
}

fn cookie(answer: &reqwest::Response) -> String {
    answer.headers()["set-cookie"].to_str().unwrap().to_owned()
}
