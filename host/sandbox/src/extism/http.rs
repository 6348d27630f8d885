//! `http_request` and the head of its answer: the host's own way out, with its grants, rates and budgets.

use tributary_core::{
    contract::{Failure, Fault},
    http::{HttpRequest, Method},
};
use wasmtime::{Caller, Linker};

use super::{
    ENV,
    guest::{Answered, Guest},
};
use crate::{convert::violation, services, text::printable};

/// The most that is read at once on the way from a blob to the guest.
const PIECE_BYTES: u64 = 1 << 20;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(ENV, "http_request", |mut host: Caller<'_, Guest>, (request, body): (u64, u64)| {
        Box::new(async move { send(host.data_mut(), request, body).await })
    })?;
    linker.func_wrap(ENV, "http_status_code", |host: Caller<'_, Guest>| i32::from(host.data().answered.status))?;
    linker.func_wrap(ENV, "http_headers", |mut host: Caller<'_, Guest>| {
        let headers = serde_json::to_vec(&host.data().answered.headers)?;
        Ok(host.data_mut().put(&headers)?)
    })?;
    Ok(())
}

/// Sends, and puts the answer's body into a block. A request without an answer ends the call: the function has no other way to
/// say why, and so the admin sees the very failure that a component would have been given.
async fn send(guest: &mut Guest, request: u64, body: u64) -> wasmtime::Result<u64> {
    guest.answered = Answered::default();
    let asked = read(guest, request, body)?;
    guest.free(request);
    guest.free(body);
    let services = guest.services()?.clone();
    let answer = services.send(asked).await?;
    // Room for all of it first: what is too large for the guest is not read at all.
    let start = guest.alloc(answer.size_bytes)?;
    let mut at = 0;
    while at < answer.size_bytes {
        let piece = services::read(&guest.blobs, answer.body, at, PIECE_BYTES).await?;
        let Some(place) = guest.slice_mut(start + at, piece.len() as u64).filter(|place| !place.is_empty()) else {
            break;
        };
        place.copy_from_slice(&piece);
        at += piece.len() as u64;
    }
    guest.answered.status = answer.status;
    for (name, value) in answer.headers {
        let values = guest.answered.headers.entry(name).or_default();
        if !values.is_empty() {
            values.push_str(", ");
        }
        values.push_str(&value);
    }
    Ok(start)
}

fn read(guest: &Guest, request: u64, body: u64) -> Result<HttpRequest, Failure> {
    let request: extism_manifest::HttpRequest = serde_json::from_str(guest.text(request, "a request")?)
        .map_err(|error| violation("bad_request", format!("its request is not one of Extism's ({error})")))?;
    let method = match request.method.as_deref().unwrap_or("GET").to_ascii_uppercase().as_str() {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        other => {
            return Err(Failure::new(
                Fault::Unsupported,
                "method_not_allowed",
                format!("a connector reads: it may send GET, HEAD and POST, not {}", printable(other, 20)),
            ));
        }
    };
    let body = match body {
        0 => None,
        body => Some(guest.bytes(body, "the body of a request")?.to_vec().into()),
    };
    Ok(HttpRequest {
        method,
        url: request.url,
        headers: request.headers.into_iter().collect(),
        body,
        credential: None,
        rates: Vec::new(),
        max_bytes: guest.manifest.max_http_response_bytes,
    })
}
