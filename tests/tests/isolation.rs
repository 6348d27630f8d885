//! Another workspace's id answers like one that never existed: every operation of the OpenAPI document, every id it takes.
//!
//! Two workspaces hold the same kinds of things. A caller of the second sends every request with ids of the first, and again with ids
//! that never existed. The answers must be the same, and the first workspace must be as it was before.

use std::{collections::BTreeMap, fs, path::Path};

use reqwest::Method;
use serde_json::{Value, json};
use tributary_tests::{
    Server, databases,
    server::{Answer, Options, text},
};

const PASSWORD: &str = "a rather long password";
/// Stands in everything the first workspace holds, and in no answer to the second.
const CANARY: &str = "K7Q-4410";
/// Members that two answers to the same request may differ in.
const FRESH: [&str; 11] = [
    "request_id",
    "took_ms",
    "id",
    "thread_id",
    "created_at",
    "updated_at",
    "expires_at",
    "key",
    "last4",
    "token",
    "health_since",
];

/// What a workspace holds: name of the thing, its id. A request names a thing as `{run_id}`.
type Ids = BTreeMap<&'static str, String>;

/// Everything that has an id.
const THINGS: [&str; 14] = [
    "workspace_id",
    "source_id",
    "push_source_id",
    "to_workspace_id",
    "run_id",
    "document_id",
    "thread_id",
    "message_id",
    "user_id",
    "invitation_id",
    "key_id",
    "session_id",
    "credential_id",
    "job_id",
];

/// One request with placeholders for the things it is about.
#[derive(Clone, Debug)]
struct Template {
    method: Method,
    path: String,
    body: Option<Value>,
}

/// Somebody who calls, with what they have.
struct Caller {
    name: &'static str,
    bearer: String,
    ids: Ids,
}

/// The thing that a parameter of an operation, or a member of its body, is the id of. `None`: nobody said yet.
fn thing(parameter: &str, path: &str) -> Option<&'static str> {
    Some(match parameter {
        "workspace_id" => "workspace_id",
        "to_workspace_id" => "to_workspace_id",
        "source_id" | "source_ids" => "source_id",
        "from_source_id" | "to_source_id" => "push_source_id",
        "run_id" => "run_id",
        "document_id" | "document_ids" => "document_id",
        "thread_id" => "thread_id",
        "user_id" => "user_id",
        "invitation_id" => "invitation_id",
        "key_id" => "key_id",
        "session_id" => "session_id",
        "credential_id" => "credential_id",
        "job_id" => "job_id",
        // A page begins after the last thing of the page before.
        "cursor" => match path.rsplit('/').next()? {
            "workspaces" => "workspace_id",
            "sources" => "source_id",
            "runs" => "run_id",
            "documents" | "held-deletions" => "document_id",
            "messages" => "message_id",
            "users" => "user_id",
            "credentials" => "credential_id",
            "jobs" => "job_id",
            _ => return None,
        },
        _ => return None,
    })
}

/// A body the operation takes, with every id it can hold.
fn body(method: &Method, path: &str) -> Option<Value> {
    let audience = json!({ "source_ids": ["{source_id}"] });
    let path = path.strip_prefix("/api/v1").unwrap_or(path).replace("/workspaces/{workspace_id}", "");
    Some(match (method.as_str(), path.as_str()) {
        ("POST", "/chat") => json!({
            "workspace_id": "{workspace_id}", "message": "How long does the kettle take?", "thread_id": "{thread_id}",
            "filters": { "source_ids": ["{source_id}"] },
        }),
        ("POST", "/knowledge/query") => {
            json!({ "workspace_id": "{workspace_id}", "query": "kettle", "filters": { "source_ids": ["{source_id}"] } })
        }
        ("POST", "/documents") => json!({
            "source_id": "{push_source_id}", "documents": [{ "external_id": "guest", "title": "Guest", "content": "Hello." }],
        }),
        ("POST", "/sources") => json!({ "name": "Another", "connector": "file", "config": { "root": "docs" } }),
        ("POST", "/connectors/file/browse") => json!({ "config": { "root": "docs" }, "pointer": "/include/0" }),
        ("PATCH", "/sources/{source_id}") => json!({ "name": "Renamed" }),
        ("POST", "/sources/{source_id}/sync") => json!({ "full": true }),
        ("POST", "/sources/{source_id}/pause") => json!({ "note": "The shop moves." }),
        ("POST", "/documents/move") => json!({
            "to_source_id": "{push_source_id}", "from_source_id": "{push_source_id}", "document_ids": ["{document_id}"],
        }),
        ("POST", "/sources/{source_id}/restore") => json!({ "name": "Back" }),
        ("POST", "/sources/{source_id}/copy") => json!({ "to_workspace_id": "{to_workspace_id}", "name": "A copy" }),
        ("POST", "/schedule-preview") => json!({ "every": "1h" }),
        ("PUT", "/sources/{source_id}/deletion-guard") => json!({ "max_percent": 20, "max_items": 50 }),
        ("POST", "/sources/{source_id}/held-deletions/{run_id}/dismiss") => json!({ "note": "The share was offline." }),
        ("PUT", "/members/{user_id}") => json!({ "role": "editor", "audience": audience }),
        ("POST", "/invitations") => json!({ "email": "guest@example.com", "role": "viewer", "audience": audience }),
        ("POST", "/keys") => json!({ "name": "Another", "scopes": ["chat"], "audience": audience }),
        ("POST", "/keys/{key_id}/rotate") => json!({ "overlap_s": 60 }),
        ("PATCH", "") => json!({
            "commerce": { "platform": "custom", "store_url": "https://shop.example", "catalog_source_id": "{source_id}" },
        }),
        ("POST", "/credentials") => json!({ "name": "Another", "kind": "api_key", "value": { "token": "t" } }),
        ("PUT", "/credentials/{credential_id}") => json!({ "kind": "api_key", "value": { "token": "t" } }),
        ("PATCH", "/users/{user_id}") => json!({ "name": "Renamed" }),
        _ => return None,
    })
}

/// Whether a parameter or a member holds ids. `external_id` is the caller's own name for a thing; an audience holds ids of sources.
fn is_id(name: &str, schema: &Value) -> bool {
    let uuid = |schema: &Value| schema["format"] == "uuid";
    (name.ends_with("_id") && name != "external_id")
        || name.ends_with("_ids")
        || matches!(name, "id" | "audience")
        // A cursor that is a number is a place in the audit log, and no id.
        || (name == "cursor" && schema["format"] != "int64")
        || uuid(schema)
        || uuid(&schema["items"])
}

/// The names of all members of a schema that hold ids.
fn ids_in(schema: &Value, document: &Value, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        return ids_in(document.pointer(&reference[1..]).expect("a reference leads somewhere"), document, found);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        if is_id(name, member) {
            found.push(name.clone());
        }
        ids_in(member, document, found);
    }
    for part in ["oneOf", "anyOf", "allOf"].into_iter().flat_map(|part| schema[part].as_array().into_iter().flatten()) {
        ids_in(part, document, found);
    }
    if schema["items"].is_object() {
        ids_in(&schema["items"], document, found);
    }
}

/// Every request that takes an id: each operation plainly, and once more for each id that may be left out of its query.
/// `Err` says what to add here for an operation that this test does not know how to call.
fn templates(document: &Value) -> Result<Vec<Template>, String> {
    let mut templates = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = &path.replace("{version}", "2").replace("{connector}", "file");
        // A widget's routes are named by its key, and their callers are visitors: tests/tests/widgets.rs.
        if path.starts_with("/api/v1/widgets/") {
            continue;
        }
        for (method, operation) in item.as_object().expect("operations") {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let (mut query, mut optional) = (Vec::new(), Vec::new());
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (name, place) = (text(&parameter["name"]), text(&parameter["in"]));
                // A version is a number of its document, and no id; a connector is of the whole server.
                if name == "version" || name == "connector" || (place != "path" && !is_id(&name, &parameter["schema"]))
                {
                    continue;
                }
                let thing = thing(&name, path).ok_or_else(|| {
                    format!("{method} {path} takes the id {name:?}: say in `thing` which one it is, and make one in `workspace`")
                })?;
                match (place.as_str(), parameter["required"] == true) {
                    ("path", _) => {}
                    (_, true) => query.push(format!("{name}={{{thing}}}")),
                    (_, false) => optional.push(format!("{name}={{{thing}}}")),
                }
            }
            let body = body_with_ids(&method, path, operation, document)?;
            for extra in std::iter::once(None).chain(optional.into_iter().map(Some)) {
                let query: Vec<_> = query.iter().cloned().chain(extra).collect();
                let path = if query.is_empty() { path.clone() } else { format!("{path}?{}", query.join("&")) };
                templates.push(Template { method: method.clone(), path, body: body.clone() });
            }
        }
    }
    templates.retain(|template| !template.things().is_empty());
    Ok(templates)
}

fn body_with_ids(method: &Method, path: &str, operation: &Value, document: &Value) -> Result<Option<Value>, String> {
    let mut ids = Vec::new();
    ids_in(&operation["requestBody"]["content"]["application/json"]["schema"], document, &mut ids);
    if operation["requestBody"].is_null() || (ids.is_empty() && !path.contains('{')) {
        return Ok(None);
    }
    let Some(body) = body(method, path) else {
        return Err(format!("{method} {path} takes ids and a body: add an example to `body`, with each of {ids:?}"));
    };
    match ids.iter().find(|name| !body.to_string().contains(&format!("\"{name}\":"))) {
        Some(name) => {
            Err(format!("the body of {method} {path} can hold the id {name:?}: add it to the example in `body`"))
        }
        None => Ok(Some(body)),
    }
}

impl Template {
    /// For administrators of the server, not for a workspace's people.
    fn is_of_the_instance(&self) -> bool {
        ["/api/v1/users", "/api/v1/audit", "/api/v1/connectors", "/api/v1/jobs", "/api/v1/workspace-deletions"]
            .iter()
            .any(|of| self.path.starts_with(of))
    }

    /// Ends the workspace with everything in it.
    fn is_the_end(&self) -> bool {
        self.method == Method::DELETE && self.path == "/api/v1/workspaces/{workspace_id}"
    }

    /// Names of the things it is about.
    fn things(&self) -> Vec<&'static str> {
        let text = format!("{}{}", self.path, self.body.clone().unwrap_or_default());
        THINGS.into_iter().filter(|name| text.contains(&format!("{{{name}}}"))).collect()
    }

    async fn send(&self, server: &Server, bearer: &str, ids: &Ids) -> Answer {
        let fill =
            |text: &str| ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id));
        let mut request = server.anonymous(self.method.clone(), &fill(&self.path)).bearer_auth(bearer);
        if let Some(body) = &self.body {
            request = request.header("content-type", "application/json").body(fill(&body.to_string()));
        }
        Answer::of(request).await
    }
}

/// An answer without what differs every time; the ids that were sent become the names of what they are ids of.
fn comparable(answer: &Answer, sent: &Ids) -> (u16, BTreeMap<String, String>, Value) {
    let varying = ["date", "x-request-id", "content-length", "ratelimit"];
    let headers = answer.headers.iter().filter(|(name, _)| !varying.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect();
    let body = sent.iter().fold(answer.body.to_string(), |body, (name, id)| body.replace(id, name));
    let mut body = serde_json::from_str(&body).expect("a name in place of an id leaves JSON whole");
    forget_fresh(&mut body);
    (answer.status.as_u16(), headers, body)
}

fn forget_fresh(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !FRESH.contains(&name.as_str()));
            members.values_mut().for_each(forget_fresh);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_fresh),
        _ => {}
    }
}

/// Ids next to the given ones, so that they stand at the same place in every order, which nothing ever had.
fn never(ids: &Ids) -> Ids {
    let neighbour = |id: &String| {
        let last = u8::from_str_radix(&id[id.len() - 1..], 16).expect("an id ends with a hexadecimal digit");
        format!("{}{:x}", &id[..id.len() - 1], last ^ 1)
    };
    ids.iter().map(|(name, id)| (*name, neighbour(id))).collect()
}

/// Which of a request's ids are foreign: all; all but the workspace's; and each alone among the caller's own.
fn mixtures<'a>(things: &[&'a str]) -> Vec<Vec<&'a str>> {
    let inner: Vec<_> = things.iter().copied().filter(|name| *name != "workspace_id").collect();
    let mut mixtures = vec![things.to_vec(), inner.clone()];
    mixtures.extend(inner.into_iter().map(|name| vec![name]));
    mixtures.retain(|mixture| !mixture.is_empty());
    mixtures.sort();
    mixtures.dedup();
    mixtures
}

fn mixed(own: &Ids, foreign: &Ids, which: &[&str]) -> Ids {
    own.iter().map(|(name, id)| (*name, if which.contains(name) { &foreign[name] } else { id }.clone())).collect()
}

/// A workspace with everything in it, its owner, and a key that may do all a key may.
async fn workspace(server: &Server, name: &str, secret: &str) -> (Caller, Caller) {
    let id = server.workspace(name).await;
    let base = format!("/api/v1/workspaces/{id}");
    let member = async |role: &str| {
        let email = format!("{role}@{}.example.com", name.to_lowercase());
        let new = json!({ "email": email, "name": format!("{role} {secret}"), "password": PASSWORD });
        let user = text(&server.post("/api/v1/users", new).await.expect(201)["id"]);
        let put = server.request(Method::PUT, &format!("{base}/members/{user}")).json(&json!({ "role": role }));
        Answer::of(put).await.expect(204);
        (user, email)
    };
    let ((_, owner), (user, _)) = (member("owner").await, member("viewer").await);
    let log_in = async || {
        let body = json!({ "email": owner, "password": PASSWORD });
        text(&Answer::of(server.anonymous(Method::POST, "/api/v1/auth/login").json(&body)).await.ok()["access_token"])
    };
    let (_other_session, bearer) = (log_in().await, log_in().await);
    let as_owner = async |method: Method, path: &str, body: Value| {
        let request = server.anonymous(method, path).bearer_auth(&bearer).json(&body);
        let answer = Answer::of(request).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
        answer.body
    };

    let source = server.file_source(&id, json!({ "root": "docs" })).await;
    let run = server.start_sync(&source, json!({ "record": true })).await;
    let run = server.finished(&run).await;
    assert_eq!(run["counts"]["added"], 1, "{run}");
    let content = format!("The kettle takes two minutes. {secret}");
    let document =
        |content: &str| json!({ "documents": [{ "external_id": "kettle", "title": "Kettle", "content": content }] });
    as_owner(Method::POST, &format!("{base}/documents"), document("The kettle takes its time.")).await;
    let pushed = as_owner(Method::POST, &format!("{base}/documents"), document(&content)).await;
    let invitation = json!({ "email": format!("{secret}@example.com"), "role": "viewer" });
    let invitation = as_owner(Method::POST, &format!("{base}/invitations"), invitation).await;
    let scopes = ["chat", "knowledge:read", "documents:write", "sources:manage", "admin"];
    let key = as_owner(
        Method::POST,
        &format!("{base}/keys"),
        json!({ "name": secret, "scopes": scopes, "limits": { "requests_per_minute": 100_000 } }),
    )
    .await;
    let credential = json!({ "name": "shop", "kind": "api_key", "value": { "token": secret } });
    let credential = as_owner(Method::POST, &format!("{base}/credentials"), credential).await;
    let query = json!({ "workspace_id": id, "query": "kettle", "min_position": pushed["position"] });
    as_owner(Method::POST, "/api/v1/knowledge/query", query).await;
    let sessions = as_owner(Method::GET, "/api/v1/auth/sessions", json!({})).await;
    let session = sessions["items"].as_array().unwrap().iter().find(|session| session["current"] == false).unwrap();
    let sources = as_owner(Method::GET, &format!("{base}/sources"), json!({})).await;
    let sources = sources["items"].as_array().unwrap();
    let push_source = sources.iter().find(|source| source["connector"]["id"] == "builtin:push").unwrap();

    let jobs = server.get(&format!("/api/v1/jobs?workspace_id={id}")).await.ok();

    let ids = Ids::from([
        ("workspace_id", id.clone()),
        // Where a source may be copied to: into the workspace itself, under another name.
        ("to_workspace_id", id.clone()),
        ("job_id", text(&jobs["items"][0]["id"])),
        ("source_id", text(&Value::from(source.rsplit('/').next()))),
        ("push_source_id", text(&push_source["id"])),
        ("run_id", text(&run["id"])),
        ("document_id", text(&pushed["results"][0]["document_id"])),
        ("user_id", user),
        ("invitation_id", text(&invitation["id"])),
        ("key_id", text(&key["id"])),
        ("session_id", text(&session["id"])),
        ("credential_id", text(&credential["id"])),
    ]);
    // A conversation belongs to whoever holds it.
    let with_thread = async |name, bearer: String| {
        let question = json!({ "workspace_id": id, "message": format!("How long does the kettle take? {secret}") });
        let request = server.anonymous(Method::POST, "/api/v1/chat").bearer_auth(&bearer).json(&question);
        let answer = Answer::of(request).await.ok();
        let mut ids = ids.clone();
        ids.extend([("thread_id", text(&answer["thread_id"])), ("message_id", text(&answer["id"]))]);
        Caller { name, bearer, ids }
    };
    (with_thread("owner", bearer.clone()).await, with_thread("key", text(&key["key"])).await)
}

/// Everything of its workspace that an owner can read.
async fn readable(server: &Server, owner: &Caller, templates: &[Template]) -> BTreeMap<String, Value> {
    let mut read = BTreeMap::new();
    for template in templates {
        let reads = template.method == Method::GET || template.path.ends_with("/knowledge/query");
        // To read a recording leaves an event in the workspace's log, which is read as well.
        let reads = reads && !template.path.ends_with("/recording");
        if reads && !template.is_of_the_instance() && template.things().contains(&"workspace_id") {
            let mut body = template.send(server, &owner.bearer, &owner.ids).await.ok();
            // A stream of events is text.
            body.as_object_mut().map(|body| body.remove("took_ms"));
            read.insert(format!("{template:?}"), body);
        }
    }
    read
}

/// The folder that both workspaces have a source of.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    write(folder.path(), "shared.md", "# Shared\n\nThe kettle is made of steel.\n");
    folder
}

fn write(folder: &Path, name: &str, content: &str) {
    fs::write(folder.join(name), content).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_of_another_workspace_answer_like_ids_that_never_existed() {
    for database in databases().await {
        let engine = database.name();
        let folder = folder();
        let server = Options::default().root("docs", folder.path()).start(database).await;
        let document = Answer::of(server.anonymous(Method::GET, "/openapi.json")).await.ok();
        let templates = templates(&document).unwrap_or_else(|what_to_add| panic!("{what_to_add}"));
        let (ours, our_key) = workspace(&server, "Ours", CANARY).await;
        let (theirs, their_key) = workspace(&server, "Theirs", "nothing").await;
        // The key's first use is written some time after it.
        let key =
            Template { method: Method::GET, path: "/api/v1/workspaces/{workspace_id}/keys".to_owned(), body: None };
        tributary_tests::eventually("the key's use to be written", async || {
            let keys = key.send(&server, &ours.bearer, &ours.ids).await.ok();
            keys["items"][0]["last_used_at"].is_string().then_some(())
        })
        .await;

        let before = readable(&server, &ours, &templates).await;
        assert!(before.len() >= 15, "{engine}: {} reads", before.len());
        let mut calls = 0;
        for (caller, foreign) in [(&theirs, &ours), (&their_key, &our_key)] {
            let unheard_of = never(&foreign.ids);
            for template in &templates {
                for mixture in mixtures(&template.things()) {
                    let [real, never] = [&foreign.ids, &unheard_of].map(|ids| mixed(&caller.ids, ids, &mixture));
                    let of_ours = template.send(&server, &caller.bearer, &real).await;
                    let of_nobody = template.send(&server, &caller.bearer, &never).await;
                    let what = format!(
                        "{engine}: {} {} by the {}, foreign: {mixture:?}",
                        template.method, template.path, caller.name
                    );
                    assert_eq!(comparable(&of_ours, &real), comparable(&of_nobody, &never), "{what}");
                    assert!(!of_ours.body.to_string().contains(CANARY), "{what}: {}", of_ours.body);
                    assert!(!of_ours.status.is_server_error(), "{what}: {}", of_ours.body);
                    calls += 1;
                }
            }
        }
        assert!(calls >= 100, "{engine}: {calls} calls");
        // An upload names its source in a part of its own.
        let upload = async |source: &str| {
            let file = reqwest::multipart::Part::bytes(b"Hello.".as_slice()).file_name("guest.md");
            let form = reqwest::multipart::Form::new().text("source_id", source.to_owned()).part("files", file);
            let path = format!("/api/v1/workspaces/{}/documents", theirs.ids["workspace_id"]);
            let request = server.anonymous(Method::POST, &path).bearer_auth(&theirs.bearer).multipart(form);
            comparable(&Answer::of(request).await, &Ids::new())
        };
        let source = "push_source_id";
        assert_eq!(upload(&ours.ids[source]).await, upload(&never(&ours.ids)[source]).await, "{engine}: an upload");

        assert_eq!(readable(&server, &ours, &templates).await, before, "{engine}: nothing of ours was touched");

        // The ids were right and the examples fit: whom they belong to is never told that there is no such thing. Deletions last.
        let mut templates = templates;
        templates.sort_by_key(|template| (template.method == Method::DELETE, template.is_the_end()));
        for template in templates {
            let answer = template.send(&server, &ours.bearer, &ours.ids).await;
            let status = answer.status.as_u16();
            let told_no = template.is_of_the_instance() && matches!(status, 403 | 404);
            assert!(told_no || matches!(status, 200..300 | 409), "{engine}: {template:?}: {answer:?}");
        }
    }
}

#[test]
fn an_operation_with_an_unknown_id_says_what_to_add() {
    let operation = |parameters: Value, body: Value| {
        let content = json!({ "application/json": { "schema": { "type": "object", "properties": body } } });
        json!({ "paths": { "/api/v1/workspaces/{workspace_id}/sources": {
            "post": { "parameters": parameters, "requestBody": { "content": content } },
        } } })
    };
    let uuid = json!({ "type": "string", "format": "uuid" });
    let parameter = json!([{ "name": "webhook", "in": "query", "schema": uuid }]);
    let message = templates(&operation(parameter, json!({}))).expect_err("nobody said what a webhook is");
    assert!(message.contains("\"webhook\"") && message.contains("`thing`"), "{message}");
    let message = templates(&operation(json!([]), json!({ "credential_id": uuid }))).expect_err("not in the example");
    assert!(message.contains("\"credential_id\"") && message.contains("`body`"), "{message}");
}
