//! Docs v1: `documents.get`. A document's stored Markdown becomes headings and paragraphs.
//! <https://developers.google.com/workspace/docs/api/reference/rest/v1/documents/get>

use serde_json::{Value, json};

use super::{errors, fields::Mask, files::Files};
use crate::{Answer, Request};

pub(crate) fn answer(files: &Files, request: &Request, id: &str) -> Answer {
    let Some(entry) = files.entries.get(id).filter(|_| files.sees(id)) else {
        return errors::api(404, "NOT_FOUND", "Requested entity was not found.");
    };
    if entry.mime_type != "application/vnd.google-apps.document" {
        return errors::api(400, "FAILED_PRECONDITION", "This operation is not supported for this document");
    }
    let text = String::from_utf8_lossy(&entry.content);
    let content: Vec<Value> = text.lines().map(paragraph).collect();
    let body = json!({ "content": content });
    let mut document =
        json!({ "documentId": entry.id, "title": entry.name, "revisionId": format!("rev-{}", entry.version) });
    if request.param("includeTabsContent") == Some("true") {
        document["tabs"] = json!([{ "tabProperties": { "tabId": "t.0", "title": "Tab 1", "index": 0 }, "documentTab": { "body": body } }]);
    } else {
        document["body"] = body;
    }
    match request.param("fields").map_or(Some(Mask::default()), Mask::parse) {
        Some(mask) => Answer::json(&mask.apply(document)),
        None => errors::api(400, "INVALID_ARGUMENT", "Invalid field selection"),
    }
}

fn paragraph(line: &str) -> Value {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let (style, text) = match level {
        1..=6 => (format!("HEADING_{level}"), line[level..].trim_start()),
        _ => ("NORMAL_TEXT".to_owned(), line),
    };
    json!({ "paragraph": {
        "elements": [{ "startIndex": 1, "textRun": { "content": format!("{text}\n"), "textStyle": {} } }],
        "paragraphStyle": { "namedStyleType": style, "direction": "LEFT_TO_RIGHT" },
    } })
}
