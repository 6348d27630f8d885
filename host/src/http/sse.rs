//! An answer as server-sent events, numbered from 1: `meta`, then `delta` and `citation`, then `done`.

use std::{convert::Infallible, time::Duration};

use axum::{
    http::{HeaderName, HeaderValue},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::stream;
use serde::Serialize;
use tributary_core::{MessageId, ThreadId};

use super::dto::Citation;
use crate::chat::{Answer, AnswerMode, Piece, StopReason, Usage};

/// A comment is sent when nothing else was, so that no proxy takes the connection for dead.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The response that streams an answer.
pub(super) fn answer(answer: Answer) -> Response {
    let mut events = vec![("meta", json(&Meta { id: answer.id, thread_id: answer.thread_id, mode: answer.mode }))];
    for piece in answer.pieces {
        events.push(match piece {
            Piece::Delta(text) => ("delta", json(&Delta { text })),
            Piece::Citation(citation) => ("citation", json(&Citation::from(*citation))),
        });
    }
    events.push(("done", json(&Done { stop_reason: answer.stop_reason, usage: answer.usage })));
    let numbered = (1_u64..).zip(events).map(|(number, (name, data))| {
        Ok::<_, Infallible>(Event::default().id(number.to_string()).event(name).data(data))
    });
    let mut response =
        Sse::new(stream::iter(numbered)).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

#[derive(Serialize)]
struct Meta {
    id: MessageId,
    thread_id: ThreadId,
    mode: AnswerMode,
}

#[derive(Serialize)]
struct Delta {
    text: String,
}

#[derive(Serialize)]
struct Done {
    stop_reason: StopReason,
    usage: Usage,
}

fn json(data: &impl Serialize) -> String {
    serde_json::to_string(data).unwrap_or_default()
}
