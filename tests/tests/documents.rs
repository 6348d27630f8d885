//! Documents and sources over their life: versions and what changed, deletion and restoring, purge, moves, counts, and copies of sources.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};
use tributary_tests::{
    Server, databases, eventually,
    server::{Answer, Options, text},
};

/// Pushes one document and gives the answer's result for it.
async fn push(server: &Server, base: &str, document: Value) -> Value {
    let pushed = server.post(&format!("{base}/documents"), json!({ "documents": [document] })).await.ok();
    let mut result = pushed["results"][0].clone();
    (result["run_id"], result["position"]) = (pushed["run_id"].clone(), pushed["position"].clone());
    result
}

fn names(list: &Value) -> Vec<&str> {
    let mut names: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|it| it["external_id"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

async fn found(server: &Server, workspace: &str, query: &str, position: &Value) -> Vec<String> {
    let ask = json!({ "workspace_id": workspace, "query": query, "min_position": position });
    let answer = server.post("/api/v1/knowledge/query", ask).await.ok();
    answer["results"].as_array().unwrap().iter().map(|it| text(&it["external_id"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_listed_read_and_compared_and_old_citations_lead_to_theirs() {
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let base = format!("/api/v1/workspaces/{workspace}");
        let document = |title: &str, days: u32, price: &str| {
            json!({ "external_id": "returns", "title": title, "kind": "policy",
                "content": format!("# Returns\n\nArticles can be returned within {days} days.\n\nRefunds take a week.\n"),
                "fields": { "price": { "amount": price, "currency": "EUR" } },
                "provenance": { "authors": ["Ada"], "license": "CC-BY-4.0", "modified_at": "2026-01-02T03:04:05Z" } })
        };
        let first = push(&server, &base, document("Returns", 30, "4.90")).await;
        let path = format!("{base}/documents/{}", text(&first["document_id"]));
        found(&server, &workspace, "returned", &first["position"]).await;
        let ask = json!({ "workspace_id": workspace, "message": "Within how many days can articles be returned?" });
        let answer = server.post("/api/v1/chat", ask).await.ok();
        let cited = answer["citations"][0].clone();
        let second = push(&server, &base, document("Returns and refunds", 60, "3.90")).await;
        assert_eq!((&second["version"], &second["outcome"]), (&json!(2), &json!("updated")));

        let versions = server.get(&format!("{path}/versions")).await.ok();
        let told: Vec<_> = versions["items"].as_array().unwrap().iter().collect();
        assert_eq!(told.iter().map(|it| &it["version"]).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(told.iter().map(|it| &it["run_id"]).collect::<Vec<_>>(), [&second["run_id"], &first["run_id"]]);
        assert_eq!(told.iter().map(|it| &it["outcome"]).collect::<Vec<_>>(), ["updated", "added"]);
        assert_eq!((&told[0]["current"], &told[1]["title"]), (&json!(true), &json!("Returns")));
        assert_eq!(
            told[1]["provenance"],
            json!({ "authors": ["Ada"], "license": "CC-BY-4.0", "modified_at": "2026-01-02T03:04:05Z" })
        );
        let page = server.get(&format!("{path}/versions?limit=1&cursor=2")).await.ok();
        assert_eq!((&page["items"][0]["version"], &page["next_cursor"]), (&json!(1), &json!(null)));

        let old = server.get(&format!("{path}/versions/{}", cited["document_version"])).await.ok();
        let cut = |text: &str, citation: &Value| {
            let (start, end) =
                (citation["start"].as_u64().unwrap() as usize, citation["end"].as_u64().unwrap() as usize);
            text.chars().skip(start).take(end - start).collect::<String>()
        };
        assert_eq!(cut(old["text"].as_str().unwrap(), &cited), cited["cited_text"].as_str().unwrap());

        let diff = server.get(&format!("{path}/versions/2/diff")).await.ok();
        let changes: Vec<_> =
            diff["changes"].as_array().unwrap().iter().map(|it| it["pointer"].as_str().unwrap()).collect();
        assert_eq!(changes, ["/fields/price", "/title"], "{diff}");
        assert_eq!(diff["changes"][1], json!({ "pointer": "/title", "from": "Returns", "to": "Returns and refunds" }));
        let lines = diff["hunks"][0]["lines"].as_array().unwrap();
        assert!(lines.contains(&json!("-Articles can be returned within 30 days.")), "{diff}");
        assert!(lines.contains(&json!("+Articles can be returned within 60 days.")), "{diff}");
        assert!(lines.contains(&json!(" Refunds take a week.")), "{diff}");
        let back = server.get(&format!("{path}/versions/1/diff?against=2")).await.ok();
        assert_eq!((&back["from"], &back["changes"][1]["to"]), (&json!(2), &json!("Returns")));
        let same = server.get(&format!("{path}/versions/2/diff?against=2")).await.ok();
        assert_eq!((&same["changes"], &same["hunks"]), (&json!([]), &json!([])));
        for wrong in ["versions/9", "versions/0", "versions/-1", "versions/1/diff", "versions/2/diff?against=9"] {
            server.get(&format!("{path}/{wrong}")).await.problem(404, "not_found");
        }

        // The source's own marks of a state change with a version, and make none.
        let mut touched = document("Returns and refunds", 60, "3.90");
        touched["provenance"]["modified_at"] = json!("2026-02-02T03:04:05Z");
        assert_eq!(push(&server, &base, touched.clone()).await["outcome"], "unchanged");
        touched["title"] = json!("Refunds");
        push(&server, &base, touched).await;
        let diff = server.get(&format!("{path}/versions/3/diff")).await.ok();
        let moved = json!({ "pointer": "/provenance/modified_at", "from": "2026-01-02T03:04:05Z", "to": "2026-02-02T03:04:05Z" });
        assert_eq!(diff["changes"][0], moved, "{diff}");

        // A new licence alone is a change; too much is refused, by name, and keeps nothing else from being taken.
        let licensed = |license: &str| {
            let mut document = document("Returns and refunds", 60, "3.90");
            document["provenance"]["license"] = json!(license);
            document
        };
        assert_eq!(push(&server, &base, licensed("MIT")).await["outcome"], "updated");
        let refused = push(&server, &base, licensed(&"x".repeat(17 << 10))).await;
        assert_eq!((&refused["outcome"], &refused["error"]["status"]), (&json!("failed"), &json!(413)), "{refused}");
        assert!(text(&refused["error"]["detail"]).contains("16384"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_document_is_listed_restored_and_cited_as_removed_meanwhile() {
    for database in databases().await {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::write(folder.path().join(format!("{name}.md")), format!("The {name} kettle boils water.\n")).unwrap();
        }
        let server = Options::default().root("docs", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let base = format!("/api/v1/workspaces/{workspace}");
        let source = server.file_source(&workspace, json!({ "root": "docs" })).await;
        server.sync(&source).await;
        let pushed =
            push(&server, &base, json!({ "external_id": "c", "title": "C", "content": "The kettle whistles tunes." }))
                .await;
        let c = text(&pushed["document_id"]);
        found(&server, &workspace, "whistles", &pushed["position"]).await;
        let ask = json!({ "workspace_id": workspace, "message": "Which kettle whistles tunes?" });
        let cited = server.post("/api/v1/chat", ask).await.ok()["citations"][0].clone();
        assert_eq!(cited["external_id"], "c");
        server.delete(&format!("{base}/documents/{c}")).await.expect(204);
        fs::remove_file(folder.path().join("a.md")).unwrap();
        let run = server.sync(&source).await;
        assert_eq!(run["counts"]["deleted"], 1, "{run}");

        let listed = server.get(&format!("{base}/documents?deleted=true")).await.ok();
        assert_eq!(names(&listed), ["a.md", "c"]);
        let of = |name: &str| {
            listed["items"].as_array().unwrap().iter().find(|it| it["external_id"] == name).unwrap()["deletion"].clone()
        };
        assert_eq!(
            (&of("a.md")["run_id"], &of("a.md")["by"], &of("a.md")["reason"]),
            (&run["id"], &json!(null), &json!("deleted"))
        );
        assert!(text(&of("c")["by"]).starts_with("user:") && of("c")["at"].is_string(), "{listed}");
        let by_run = server.get(&format!("{base}/documents?deleted=true&run_id={}", text(&run["id"]))).await.ok();
        assert_eq!(names(&by_run), ["a.md"]);
        assert_eq!(names(&server.get(&format!("{base}/documents")).await.ok()), ["b.md"]);
        for gone in ["", "/versions", "/versions/1"] {
            server.get(&format!("{base}/documents/{c}{gone}")).await.problem(404, "not_found");
        }
        let messages = server.get(&format!("/api/v1/messages?workspace_id={workspace}")).await.ok();
        let old = &messages["items"][0]["citations"][0];
        assert_eq!((&old["status"], &old["cited_text"]), (&json!("removed"), &cited["cited_text"]));

        // Who only reads does not see what was withdrawn.
        let key = json!({ "name": "reader", "scopes": ["knowledge:read"] });
        let key = text(&server.post(&format!("{base}/keys"), key).await.expect(201)["key"]);
        let ask = server.anonymous(Method::GET, &format!("{base}/documents?deleted=true")).bearer_auth(key);
        Answer::of(ask).await.problem(403, "forbidden");

        let back = server.post(&format!("{base}/documents/{c}/restore"), json!({})).await.ok();
        assert_eq!(found(&server, &workspace, "whistles", &back["position"]).await, ["c"]);
        server.post(&format!("{base}/documents/{c}/restore"), json!({})).await.problem(409, "not_deleted");
        let messages = server.get(&format!("/api/v1/messages?workspace_id={workspace}")).await.ok();
        assert_eq!(messages["items"][0]["citations"][0]["status"], "current");
        // A synced one comes back as well; the next sync, which misses it, deletes it again.
        let a = text(&by_run["items"][0]["id"]);
        server.post(&format!("{base}/documents/{a}/restore"), json!({})).await.ok();
        assert_eq!(server.get(&format!("{base}/documents/{a}")).await.ok()["version"], 1);
        server.sync(&source).await;
        server.get(&format!("{base}/documents/{a}")).await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_listed_and_counted_by_source_kind_field_run_and_time() {
    for database in databases().await {
        let server = Server::start(database).await;
        let workspace = server.workspace("Shop").await;
        let base = format!("/api/v1/workspaces/{workspace}");
        let product = |id: &str, price: &str, colours: &[&str]| {
            json!({ "external_id": id, "title": id, "content": format!("A coat {id}."), "kind": "product", "language": "en",
                "fields": { "price": { "amount": price, "currency": "EUR" }, "colours": colours, "attrs": { "new": id == "x1" } } })
        };
        push(&server, &base, product("x1", "19.90", &["red", "blue"])).await;
        push(&server, &base, product("x2", "59.00", &["red"])).await;
        let page = json!({ "external_id": "faq", "title": "FAQ", "content": "Ask.", "language": "de" });
        let last = push(&server, &base, page).await;

        let list = async |query: &str| server.get(&format!("{base}/documents?{query}")).await.ok();
        for (query, expected) in [
            ("kind=product", &["x1", "x2"][..]),
            ("field=price&op=lt&value=20", &["x1"]),
            ("field=price&op=gte&value=59", &["x2"]),
            ("field=price&value=19.9", &["x1"]),
            ("field=colours&value=blue", &["x1"]),
            ("field=colours&op=in&value=green,red", &["x1", "x2"]),
            ("field=colours&op=ne&value=blue", &["faq", "x2"]),
            ("field=attrs.new&value=true", &["x1"]),
            (&format!("run_id={}", text(&last["run_id"])), &["faq"]),
            (&format!("run_id={}&outcome=updated", text(&last["run_id"])), &[]),
            ("updated_after=2001-01-01T00:00:00Z", &["faq", "x1", "x2"]),
            ("updated_after=2101-01-01T00:00:00Z", &[]),
            ("deleted=true", &[]),
        ] {
            assert_eq!(names(&list(query).await), expected, "{query}");
            let counted = server.get(&format!("{base}/documents/count?{query}")).await.ok();
            assert_eq!(counted, json!({ "total": expected.len(), "groups": [] }), "{query}");
        }
        // Page by page, with conditions on fields as well.
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = list(&format!("field=colours&value=red&limit=1{cursor}")).await;
            seen.extend(names(&page).into_iter().map(str::to_owned));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, ["x1", "x2"]);
        let count =
            async |by: &str| server.get(&format!("{base}/documents/count?group_by={by}")).await.ok()["groups"].clone();
        assert_eq!(
            count("kind").await,
            json!([{ "key": "product", "documents": 2 }, { "key": "page", "documents": 1 }])
        );
        assert_eq!(count("language").await, json!([{ "key": "en", "documents": 2 }, { "key": "de", "documents": 1 }]));
        assert_eq!(count("source").await[0]["documents"], 3);
        let days = count("day").await;
        assert_eq!(days[0]["key"].as_str().map(str::len), Some(10), "{days}");
        for wrong in [
            "field=price",
            "value=3",
            "op=lt",
            "outcome=added",
            "group_by=colour",
            "field=a&value=b&op=like",
            "deleted=maybe",
        ] {
            server.get(&format!("{base}/documents/count?{wrong}")).await.problem(400, "invalid_query");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_documents_move_with_their_past_and_synced_ones_stay() {
    for database in databases().await {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.md"), "Synced.\n").unwrap();
        let server = Options::default().root("docs", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let base = format!("/api/v1/workspaces/{workspace}");
        let synced = server.file_source(&workspace, json!({ "root": "docs" })).await;
        server.sync(&synced).await;
        let synced_id = synced.rsplit('/').next().unwrap();
        let shop = json!({ "name": "Shop pages", "connector": "builtin:push", "config": {} });
        let shop = text(&server.post(&format!("{base}/sources"), shop).await.expect(201)["id"]);
        let document = |content: &str| json!({ "external_id": "faq", "title": "FAQ", "content": content });
        push(&server, &base, document("Kettles boil.")).await;
        let pushed = push(&server, &base, document("Kettles boil water.")).await;
        let id = text(&pushed["document_id"]);
        let before = server.get(&format!("{base}/documents/{id}")).await.ok();
        let go = async |body: Value| server.post(&format!("{base}/documents/move"), body).await;

        go(json!({ "document_ids": [id], "to_source_id": synced_id })).await.problem(409, "kept_by_source");
        let a = server.get(&format!("{base}/documents?source_id={synced_id}")).await.ok()["items"][0]["id"].clone();
        go(json!({ "document_ids": [a], "to_source_id": shop })).await.problem(409, "kept_by_source");
        go(json!({ "document_ids": [id, a], "to_source_id": shop })).await.problem(409, "kept_by_source");
        go(json!({ "to_source_id": shop })).await.problem(422, "invalid_body");
        go(json!({ "document_ids": [], "to_source_id": shop })).await.problem(422, "invalid_body");
        let moved = go(json!({ "document_ids": [id], "to_source_id": shop })).await.ok();
        assert_eq!((&moved["moved"], &moved["more"]), (&json!(1), &json!(false)), "{moved}");
        let after = server.get(&format!("{base}/documents/{id}")).await.ok();
        assert_eq!(
            (&after["source_id"], &after["version"], &after["text"]),
            (&json!(shop), &json!(2), &before["text"])
        );
        let versions = server.get(&format!("{base}/documents/{id}/versions")).await.ok();
        assert_eq!(
            (&versions["items"][1]["version"], &versions["items"][1]["source_id"]),
            (&json!(1), &before["source_id"])
        );
        // The index follows.
        let ask = json!({ "workspace_id": workspace, "query": "kettles", "min_position": moved["position"], "filters": { "source_ids": [shop] } });
        assert_eq!(server.post("/api/v1/knowledge/query", ask).await.ok()["results"][0]["document_id"], json!(id));
        // Back, as all there is.
        let back = go(json!({ "from_source_id": shop, "to_source_id": before["source_id"] })).await.ok();
        assert_eq!(back["moved"], 1, "{back}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_source_comes_back_whole_until_it_is_purged() {
    for database in databases().await {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.md"), "The kettle boils water.\n").unwrap();
        fs::write(folder.path().join("b.md"), "The pan fries eggs.\n").unwrap();
        let server = Options::default().root("docs", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let base = format!("/api/v1/workspaces/{workspace}");
        let source = server.file_source(&workspace, json!({ "root": "docs" })).await;
        server.patch(&source, json!({ "schedule": { "every": "1h" } })).await.ok();
        let run = server.sync(&source).await;
        found(&server, &workspace, "kettle", &run["position"]).await;
        let ask = json!({ "workspace_id": workspace, "message": "What does the kettle boil?" });
        assert_eq!(server.post("/api/v1/chat", ask).await.ok()["citations"][0]["external_id"], "a.md");

        server.delete(&source).await.expect(204);
        assert!(server.documents(&workspace).await.is_empty());
        assert_eq!(names(&server.get(&format!("{base}/documents?deleted=true")).await.ok()), ["a.md", "b.md"]);
        let deleted = server.get(&format!("{base}/sources?deleted=true")).await.ok();
        assert_eq!(
            (&deleted["items"][0]["name"], &deleted["items"][0]["deletion"]["documents"]),
            (&json!("Files"), &json!(2))
        );
        assert_eq!(deleted["items"].as_array().unwrap().len(), 1, "{deleted}");
        // Another one has its name by now.
        server.file_source(&workspace, json!({ "root": "docs" })).await;
        server.post(&format!("{source}/restore"), json!({})).await.problem(409, "name_taken");
        let back = server.post(&format!("{source}/restore"), json!({ "name": "Old files" })).await.ok();
        assert_eq!((&back["name"], &back["deletion"]), (&json!("Old files"), &json!(null)));
        assert!(back["next_run_at"].is_string(), "its schedule goes on: {back}");
        server.post(&format!("{source}/restore"), json!({})).await.problem(409, "not_deleted");
        assert_eq!(server.documents(&workspace).await.len(), 2);
        assert_eq!(server.sync(&source).await["counts"]["unchanged"], 2);

        server.delete(&source).await.expect(204);
        server.delete(&format!("{source}?purge=true")).await.expect(204);
        let listed = server.get(&format!("{base}/sources?deleted=true")).await.ok();
        assert!(listed["items"][0]["deletion"]["purging_since"].is_string(), "{listed}");
        eventually("the source to be removed", async || {
            let left = server.get(&format!("{base}/sources?deleted=true")).await.ok();
            left["items"].as_array().unwrap().is_empty().then_some(())
        })
        .await;
        server.post(&format!("{source}/restore"), json!({})).await.problem(404, "not_found");
        assert!(names(&server.get(&format!("{base}/documents?deleted=true")).await.ok()).is_empty());
        let messages = server.get(&format!("/api/v1/messages?workspace_id={workspace}")).await.ok();
        let citation = &messages["items"][0]["citations"][0];
        assert_eq!((&citation["status"], &citation["source"]["name"]), (&json!("removed"), &json!("Files")));
        assert!(text(&citation["cited_text"]).contains("kettle"), "what was answered stands: {citation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_copied_to_another_workspace_and_retired_in_its_own() {
    for database in databases().await {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.md"), "The kettle boils water.\n").unwrap();
        let server = Options::default().root("docs", folder.path()).start(database).await;
        let (here, there) = (server.workspace("Here").await, server.workspace("There").await);
        let source = server.file_source(&here, json!({ "root": "docs" })).await;
        server.patch(&source, json!({ "schedule": { "cron": "0 3 * * *", "timezone": "Europe/Berlin" } })).await.ok();
        server.sync(&source).await;
        let body = json!({ "to_workspace_id": there, "retire": true });
        let copy = server.post(&format!("{source}/copy"), body.clone()).await.expect(201);
        assert_eq!((&copy["config"]["root"], &copy["schedule"]["cron"]), (&json!("docs"), &json!("0 3 * * *")));
        assert_eq!((&copy["health"], &copy["next_run_at"]), (&json!("paused"), &json!(null)), "{copy}");
        let old = server.get(&source).await.ok();
        assert_eq!((&old["health"], &old["next_run_at"]), (&json!("paused"), &json!(null)), "{old}");
        assert!(text(&old["paused"]["note"]).starts_with("Retired"), "{old}");
        assert_eq!((server.documents(&here).await.len(), server.documents(&there).await.len()), (1, 0));
        server.post(&format!("{source}/copy"), body).await.problem(409, "name_taken");

        let there_source = format!("/api/v1/workspaces/{there}/sources/{}", text(&copy["id"]));
        assert_eq!(server.sync(&there_source).await["counts"]["added"], 1);
        assert!(server.post(&format!("{there_source}/resume"), json!({})).await.ok()["next_run_at"].is_string());
        let push = server.get(&format!("/api/v1/workspaces/{here}/sources")).await.ok();
        let push = push["items"].as_array().unwrap().iter().find(|it| it["connector"]["id"] == "builtin:push").unwrap();
        let path = format!("/api/v1/workspaces/{here}/sources/{}/copy", text(&push["id"]));
        server.post(&path, json!({ "to_workspace_id": there })).await.problem(409, "nothing_to_copy");

        // It takes somebody who may manage sources in both.
        let key = json!({ "name": "here", "scopes": ["sources:manage"] });
        let key = text(&server.post(&format!("/api/v1/workspaces/{here}/keys"), key).await.expect(201)["key"]);
        let ask = |to: &str| {
            server
                .anonymous(Method::POST, &format!("{source}/copy"))
                .bearer_auth(&key)
                .json(&json!({ "to_workspace_id": to, "name": "Mine" }))
        };
        Answer::of(ask(&there)).await.problem(404, "not_found");
        Answer::of(ask(&here)).await.expect(201);
    }
}
