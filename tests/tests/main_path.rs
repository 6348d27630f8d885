//! The main job: files through the sandboxed connector to a cited answer, on both databases.

use std::fs;

use serde_json::json;
use tributary_tests::{
    databases,
    documents::standing,
    server::{Answer, Options, text},
};

fn write(dir: &std::path::Path, name: &str, content: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(path, content).expect("a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_becomes_cited_answers() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        write(
            folder.path(),
            "shipping.md",
            "# Shipping\n\n## Europe\n\nThe winter boot WX-1017 ships in 19 days to Norway.\n\n## Asia\n\nWe do not ship to Asia.\n",
        );
        write(
            folder.path(),
            "returns/policy.html",
            "<html><head><title>Returns</title></head><body><nav>menu menu</nav><main><h1>Returns</h1><p>You may return boots within 30 days.</p></main></body></html>",
        );
        write(folder.path(), "products.csv", "sku,name,price\n0071,Wool sock,9.90\n0072,Rubber sole,19.50\n");
        let server = Options::default().root("shop", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let source = server.file_source(&workspace, json!({ "root": "shop" })).await;

        let run = server.sync(&source).await;
        assert_eq!(run["status"], "succeeded", "{name}: {run}");
        assert_eq!(
            run["counts"],
            json!({ "seen": 4, "added": 4, "updated": 0, "unchanged": 0, "deleted": 0, "failed": 0 }),
            "{name}"
        );
        assert!(run["bytes"].as_i64().unwrap() > 300 && run["requests"].as_i64().unwrap() >= 4, "{name}: {run}");

        let query = json!({ "workspace_id": workspace, "query": "how long to ship to Norway", "min_position": run["position"] });
        let found = server.post("/api/v1/knowledge/query", query).await.ok();
        let best = &found["results"][0];
        assert_eq!(best["external_id"], "shipping.md", "{name}: {found}");
        assert_eq!(best["title"], "Shipping");
        assert!(!best["highlights"].as_array().unwrap().is_empty());
        assert!(found["position"].as_i64() >= run["position"].as_i64() && found["took_ms"].as_f64().unwrap() > 0.0);

        let chat = json!({ "workspace_id": workspace, "message": "In how many days does WX-1017 ship to Norway?" });
        let answer = server.post("/api/v1/chat", chat).await.ok();
        assert!(text(&answer["answer"]).contains("ships in 19 days to Norway. [1]"), "{name}: {answer}");
        assert_eq!(answer["mode"], "extract");
        assert_eq!(answer["stop_reason"], "end");
        let citation = &answer["citations"][0];
        assert_eq!(citation["number"], 1);
        assert_eq!(citation["external_id"], "shipping.md");
        assert_eq!(citation["document_version"], 1);
        assert_eq!(citation["source"]["name"], "Files");
        assert!(source.ends_with(&text(&citation["source"]["id"])));
        assert_eq!(citation["run_id"], run["id"], "the run that brought the version");
        assert_eq!(citation["connector"], run["connector"], "the exact connector");
        assert_eq!(text(&citation["connector"]["digest"]).len(), 64);
        assert_eq!(citation["section"], json!(["Shipping", "Europe"]));
        assert_eq!(citation["status"], "current");

        // The cited words stand in the document at the cited place.
        let document = format!("/api/v1/workspaces/{workspace}/documents/{}", text(&citation["document_id"]));
        let document = server.get(&document).await.ok();
        let (start, end) = (citation["start"].as_u64().unwrap() as usize, citation["end"].as_u64().unwrap() as usize);
        let cited: String = text(&document["text"]).chars().skip(start).take(end - start).collect();
        assert_eq!(cited, text(&citation["cited_text"]), "{name}");

        // History keeps question and answer, citations included.
        let thread = text(&answer["thread_id"]);
        let messages = server.get(&format!("/api/v1/messages?workspace_id={workspace}&thread_id={thread}")).await.ok();
        let roles: Vec<_> =
            messages["items"].as_array().unwrap().iter().map(|message| text(&message["role"])).collect();
        assert_eq!(roles, ["user", "assistant"]);
        assert_eq!(messages["items"][1]["citations"][0]["cited_text"], citation["cited_text"]);

        // A second sync touches nothing; the rows of an unchanged file are not even read.
        let before = server.documents(&workspace).await;
        let again = server.sync(&source).await;
        assert_eq!(
            again["counts"],
            json!({ "seen": 2, "added": 0, "updated": 0, "unchanged": 2, "deleted": 0, "failed": 0 }),
            "{name}: {again}"
        );
        assert_eq!(again["position"], json!(null), "nothing was committed that a reader could see");
        assert_eq!(server.documents(&workspace).await, before, "{name}");

        // Edits, additions and deletions show in the counts.
        write(
            folder.path(),
            "shipping.md",
            "# Shipping\n\n## Europe\n\nThe winter boot WX-1017 ships in 5 days to Norway.\n",
        );
        write(folder.path(), "new.txt", "Gift cards never expire.");
        fs::remove_file(folder.path().join("returns/policy.html")).unwrap();
        let third = server.sync(&source).await;
        assert_eq!(
            (&third["counts"]["added"], &third["counts"]["updated"], &third["counts"]["deleted"]),
            (&json!(1), &json!(1), &json!(1)),
            "{name}: {third}"
        );
        let now = standing(&server.documents(&workspace).await);
        assert_eq!(now["shipping.md"], ("Shipping".to_owned(), 2));
        assert!(!now.contains_key("returns/policy.html"));

        // A deletion holds at once, and old answers say what became of what they rested on.
        let gone = json!({ "workspace_id": workspace, "query": "return boots within 30 days" });
        let found = server.post("/api/v1/knowledge/query", gone).await.ok();
        assert!(
            found["results"].as_array().unwrap().iter().all(|result| result["external_id"] != "returns/policy.html"),
            "{name}: {found}"
        );
        let messages = server.get(&format!("/api/v1/messages?workspace_id={workspace}&thread_id={thread}")).await.ok();
        assert_eq!(messages["items"][1]["citations"][0]["status"], "changed", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_streams_as_numbered_events() {
    let server = Options::default().start(tributary_tests::Database::Sqlite).await;
    let workspace = server.workspace("Shop").await;
    let documents = json!({ "documents": [{ "external_id": "ship", "title": "Shipping", "content": "WX-1017 ships in 19 days." }] });
    let pushed = server.post(&format!("/api/v1/workspaces/{workspace}/documents"), documents).await.ok();
    let wait = json!({ "workspace_id": workspace, "query": "ships", "min_position": pushed["position"] });
    server.post("/api/v1/knowledge/query", wait).await.ok();

    let chat = json!({ "workspace_id": workspace, "message": "When does WX-1017 ship?", "stream": true });
    let response = server.request(reqwest::Method::POST, "/api/v1/chat").json(&chat).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let body = response.text().await.unwrap();
    let events: Vec<&str> = body.split("\n\n").filter(|event| !event.trim().is_empty()).collect();
    let names: Vec<&str> = events.iter().map(|event| event.lines().nth(1).unwrap()).collect();
    assert_eq!(names, ["event: meta", "event: delta", "event: citation", "event: done"], "{body}");
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.lines().next().unwrap(), format!("id: {}", index + 1));
    }
    assert!(events[0].contains(r#""mode":"extract""#) && events[1].contains("WX-1017 ships in 19 days."), "{body}");
    assert!(events[3].contains(r#""stop_reason":"end""#), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_and_uploaded_documents_are_versioned_and_attributed() {
    for database in databases().await {
        let server = Options::default().start(database).await;
        let workspace = server.workspace("Shop").await;
        let documents = format!("/api/v1/workspaces/{workspace}/documents");
        let boot = |content: &str| {
            json!({ "documents": [
                { "external_id": "boot", "title": "Winter boot", "content": content, "kind": "product", "url": "https://shop.example/boot",
                  "fields": { "price": { "amount": "89.00", "currency": "EUR" }, "sku": "WX-1017" } },
                { "external_id": "sock", "title": "Wool sock", "content": "Warm.", "kind": "product", "fields": { "price": { "amount": "9.90", "currency": "EUR" } } },
            ] })
        };
        let first = server.post(&documents, boot("A warm boot.")).await.ok();
        assert_eq!(
            (&first["results"][0]["outcome"], &first["results"][0]["version"]),
            (&json!("added"), &json!(1)),
            "{first}"
        );
        let second = server.post(&documents, boot("A very warm boot.")).await.ok();
        let outcomes: Vec<_> =
            second["results"].as_array().unwrap().iter().map(|result| text(&result["outcome"])).collect();
        assert_eq!(outcomes, ["updated", "unchanged"]);
        assert_eq!(second["results"][0]["version"], 2);
        assert_eq!(second["results"][0]["document_id"], first["results"][0]["document_id"], "a document keeps its id");

        let cheap = json!({ "workspace_id": workspace, "query": "warm", "min_position": second["position"],
            "filters": { "kinds": ["product"], "fields": [{ "name": "price", "op": "lt", "value": 50 }] } });
        let found = server.post("/api/v1/knowledge/query", cheap).await.ok();
        let ids: Vec<_> =
            found["results"].as_array().unwrap().iter().map(|result| text(&result["external_id"])).collect();
        assert_eq!(ids, ["sock"], "{found}");
        assert_eq!(found["results"][0]["citation"]["connector"]["id"], "builtin:push");
        assert_eq!(
            found["results"][0]["citation"]["run_id"], first["run_id"],
            "unchanged documents stay with the run that brought them"
        );

        let file = reqwest::multipart::Part::bytes(b"# Warranty\n\nTwo years on every sole.".as_slice())
            .file_name("warranty.md")
            .mime_str("text/markdown")
            .unwrap();
        let picture = reqwest::multipart::Part::bytes(vec![0x89, b'P', b'N', b'G', 0, 1, 2])
            .file_name("logo.png")
            .mime_str("image/png")
            .unwrap();
        let form = reqwest::multipart::Form::new().part("files", file).part("files", picture);
        let uploaded = Answer::of(server.request(reqwest::Method::POST, &documents).multipart(form)).await.ok();
        assert_eq!(uploaded["results"][0]["outcome"], "added", "{uploaded}");
        assert_eq!(
            (&uploaded["results"][1]["outcome"], &uploaded["results"][1]["error"]["code"]),
            (&json!("failed"), &json!("unsupported")),
            "{uploaded}"
        );

        let found = server
            .post(
                "/api/v1/knowledge/query",
                json!({ "workspace_id": workspace, "query": "warranty sole", "min_position": uploaded["position"] }),
            )
            .await
            .ok();
        assert_eq!(
            (&found["results"][0]["external_id"], &found["results"][0]["title"]),
            (&json!("warranty.md"), &json!("Warranty"))
        );

        let id = text(&uploaded["results"][0]["document_id"]);
        server.delete(&format!("{documents}/{id}")).await.expect(204);
        server.get(&format!("{documents}/{id}")).await.problem(404, "not_found");
        let found = server
            .post("/api/v1/knowledge/query", json!({ "workspace_id": workspace, "query": "warranty sole" }))
            .await
            .ok();
        assert!(
            found["results"].as_array().unwrap().iter().all(|result| result["external_id"] != "warranty.md"),
            "gone at once: {found}"
        );
    }
}
