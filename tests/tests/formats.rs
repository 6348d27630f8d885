//! Files of every format, as programs write them, through folder and upload to answers cited by page, slide and cell.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};
use tributary_tests::{
    databases,
    server::{Answer, Options, Server, text},
};

fn samples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../plugins/extract/tests/files")
}

/// The file that best answers, where in it, and under which headings.
async fn find(server: &Server, workspace: &str, position: &Value, query: &str) -> (String, Value, Value) {
    let query = json!({ "workspace_id": workspace, "query": query, "min_position": position });
    let found = server.post("/api/v1/knowledge/query", query).await.ok();
    let best = &found["results"][0];
    (text(&best["external_id"]), best["citation"]["locator"].clone(), best["citation"]["section"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_is_found_and_cited_at_its_place() {
    for database in databases().await {
        let name = database.name();
        let folder = tempfile::tempdir().unwrap();
        for file in fs::read_dir(samples()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension != "py") {
                fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        // The same text as reportlab.pdf: one of them is enough to be found.
        fs::remove_file(folder.path().join("owner-password.pdf")).unwrap();
        let note = r"{\rtf1\ansi\ansicpg1252 The caf\'e9 is closed on Sundays.\par}";
        fs::write(folder.path().join("note.rtf"), note).unwrap();
        let server = Options::default().root("shop", folder.path()).start(database).await;
        let workspace = server.workspace("Shop").await;
        let source = server.file_source(&workspace, json!({ "root": "shop" })).await;

        let run = server.sync(&source).await;
        assert_eq!(run["status"], "partial", "{name}: {run}");
        assert_eq!((&run["counts"]["added"], &run["counts"]["failed"]), (&json!(10), &json!(2)), "{name}: {run}");
        for failed in run["failed_items"].as_array().unwrap() {
            assert!(text(&failed["external_id"]).starts_with("password."), "{name}: {failed}");
            assert_eq!(failed["fault"], "unsupported", "{name}: {failed}");
            assert!(text(&failed["message"]).contains("protected with a password"), "{name}: {failed}");
        }

        let position = &run["position"];
        for (query, file, locator, section) in [
            ("phone number for Austria", "reportlab.pdf", json!({ "page": 2 }), json!([])),
            ("price of the winter jacket", "openpyxl.xlsx", json!({ "cells": ["Prices", "A1:E3"] }), json!(["Prices"])),
            ("WX-2 old price", "xlwt.xls", json!({ "cells": ["Old prices", "A1:B3"] }), json!(["Old prices"])),
            ("radio regional stations", "python-pptx.pptx", json!({ "page": 2 }), json!(["Budget"])),
            ("fee for returns to Europe", "python-docx.docx", Value::Null, json!(["Conditions", "Fees"])),
            ("opens at nine", "odfpy.odt", Value::Null, json!(["Opening hours"])),
            ("Sunday closed Monday", "odfpy.ods", json!({ "cells": ["Hours", "A1:B3"] }), json!(["Hours"])),
            ("Er hat geschlossen", "ebooklib.epub", json!({ "fragment": "epubcfi(/6/6)" }), json!(["Ende"])),
            ("Lieferung am Freitag", "python.eml", Value::Null, json!([])),
            ("café closed on Sundays", "note.rtf", Value::Null, json!([])),
        ] {
            let found = find(&server, &workspace, position, query).await;
            assert_eq!(found, (file.to_owned(), locator, section), "{name}: {query}");
        }

        let chat = json!({ "workspace_id": workspace, "message": "What does the warranty cover?" });
        let answer = server.post("/api/v1/chat", chat).await.ok();
        assert!(text(&answer["answer"]).contains("defects of material and workmanship"), "{name}: {answer}");
        assert_eq!(answer["citations"][0]["locator"], json!({ "page": 1 }), "{name}: {answer}");

        // An upload takes the same way.
        let part = |file: &str, media_type: &str| {
            let bytes = fs::read(samples().join(file)).unwrap();
            reqwest::multipart::Part::bytes(bytes).file_name(file.to_owned()).mime_str(media_type).unwrap()
        };
        let form = reqwest::multipart::Form::new()
            .part("files", part("owner-password.pdf", "application/pdf"))
            .part("files", part("password.pdf", "application/pdf"));
        let documents = format!("/api/v1/workspaces/{workspace}/documents");
        let uploaded = Answer::of(server.request(reqwest::Method::POST, &documents).multipart(form)).await.ok();
        assert_eq!(uploaded["results"][0]["outcome"], "added", "{name}: {uploaded}");
        assert_eq!(uploaded["results"][1]["outcome"], "failed", "{name}: {uploaded}");
        let document = text(&uploaded["results"][0]["document_id"]);
        let document = server.get(&format!("{documents}/{document}")).await.ok();
        assert_eq!(document["title"], "Warranty terms", "{name}");
        assert!(text(&document["text"]).contains("Germany | +49 30 567"), "{name}: {document}");
    }
}
