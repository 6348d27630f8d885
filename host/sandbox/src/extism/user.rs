//! `extism:host/user`: the host's interfaces beyond Extism's own, with the names and meanings they have for components.
//!
//! Every function takes the place of a JSON text and answers with another, which the guest frees: `{"ok": …}` or
//! `{"err": failure}`. What is not the JSON that was asked for ends the call.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tributary_core::{
    contract::{Failure, Fault},
    http::{HttpRequest, Inject, Method, Rate, UseCredential},
};
use wasmtime::{Caller, Linker};

use super::{
    guest::Guest,
    wire::{self, weight},
};
use crate::{
    convert::violation,
    services::{self, HostServices},
};

const USER: &str = "extism:host/user";
/// The longest question, as the host holds it.
const MAX_QUESTION_BYTES: usize = 16 << 20;

pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    serve::<List>(linker)?;
    serve::<Open>(linker)?;
    serve::<Create>(linker)?;
    serve::<Append>(linker)?;
    serve::<Finish>(linker)?;
    serve::<Read>(linker)?;
    serve::<Lookup>(linker)?;
    serve::<Get>(linker)?;
    serve::<Set>(linker)?;
    serve::<Send>(linker)
}

/// One function of the host.
trait Question: DeserializeOwned + std::marker::Send + 'static {
    const NAME: &str;

    fn answer(self, host: HostServices) -> impl Future<Output = Result<Value, Failure>> + std::marker::Send;
}

fn serve<Q: Question>(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.func_wrap_async(USER, Q::NAME, |mut host: Caller<'_, Guest>, (question,): (u64,)| {
        Box::new(async move {
            let guest = host.data_mut();
            let question: Q = read(guest, question)?;
            let answered = match guest.services() {
                Ok(services) => question.answer(services.clone()).await,
                Err(failure) => Err(failure),
            };
            let answer = match answered {
                Ok(value) => json!({ "ok": value }),
                Err(failure) => json!({"err": wire::Failure::from(failure)}),
            };
            wasmtime::Result::<u64>::Ok(guest.put(&serde_json::to_vec(&answer)?)?)
        })
    })?;
    Ok(())
}

fn read<Q: Question>(guest: &Guest, question: u64) -> Result<Q, Failure> {
    let json = guest.bytes(question, Q::NAME)?;
    if weight(json) > MAX_QUESTION_BYTES {
        return Err(Failure::new(
            Fault::TooLarge,
            "question_too_large",
            format!("what the connector asked {} for is more than {} MiB", Q::NAME, MAX_QUESTION_BYTES >> 20),
        ));
    }
    serde_json::from_slice(json)
        .map_err(|error| violation("bad_question", format!("what it asked {} for cannot be read ({error})", Q::NAME)))
}

#[derive(Deserialize)]
struct List {
    root: String,
    dir: String,
    after: Option<String>,
    limit: u32,
}

impl Question for List {
    const NAME: &str = "files_list";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        let listing = host.list(self.root, self.dir, self.after, self.limit).await?;
        let entry = |entry: crate::Entry| {
            json!({
                "name": entry.name, "kind": entry.kind, "size_bytes": entry.size_bytes,
                "modified_at": entry.modified_at_ms,
            })
        };
        let entries: Vec<_> = listing.entries.into_iter().map(entry).collect();
        Ok(json!({"entries": entries, "last": listing.last, "unreadable": listing.unreadable}))
    }
}

#[derive(Deserialize)]
struct Open {
    root: String,
    path: String,
    max_bytes: u64,
}

impl Question for Open {
    const NAME: &str = "files_open";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        Ok(json!(host.open(self.root, self.path, self.max_bytes).await?))
    }
}

/// Has nothing to say: `{}`.
#[derive(Deserialize)]
struct Create {}

impl Question for Create {
    const NAME: &str = "blob_create";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        Ok(json!(host.blobs.create()?))
    }
}

/// Bytes as text, or as base64.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    Text(String),
    Base64(String),
}

impl Body {
    fn bytes(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Text(text) => Ok(text.into_bytes()),
            Self::Base64(text) => BASE64_STANDARD
                .decode(text)
                .map_err(|error| violation("bad_base64", format!("bytes it handed over are not base64 ({error})"))),
        }
    }
}

#[derive(Deserialize)]
struct Append {
    blob: u64,
    bytes: Body,
}

impl Question for Append {
    const NAME: &str = "blob_append";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        services::append(&host.blobs, self.blob, self.bytes.bytes()?).await?;
        Ok(Value::Null)
    }
}

#[derive(Deserialize)]
struct Finish {
    blob: u64,
}

impl Question for Finish {
    const NAME: &str = "blob_finish";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        let blob = host.blobs.finish(self.blob)?;
        Ok(json!({"size_bytes": blob.size_bytes(), "sha256": blob.sha256().to_string()}))
    }
}

#[derive(Deserialize)]
struct Read {
    blob: u64,
    offset: u64,
    len: u32,
    #[serde(default)]
    encoding: Encoding,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Encoding {
    Text,
    #[default]
    Base64,
}

impl Question for Read {
    const NAME: &str = "blob_read";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        let bytes = services::read(&host.blobs, self.blob, self.offset, self.len.into()).await?;
        match self.encoding {
            Encoding::Base64 => Ok(json!({"base64": BASE64_STANDARD.encode(&bytes)})),
            Encoding::Text => std::str::from_utf8(&bytes).map(|text| json!({ "text": text })).map_err(|_| {
                let message = format!("this part of blob {} is not UTF-8: read it as base64", self.blob);
                Failure::new(Fault::Unsupported, "not_text", message)
            }),
        }
    }
}

#[derive(Deserialize)]
struct Lookup {
    external_ids: Vec<String>,
}

impl Question for Lookup {
    const NAME: &str = "ledger_lookup";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        Ok(json!(host.lookup(self.external_ids).await?))
    }
}

#[derive(Deserialize)]
struct Get {
    key: String,
}

impl Question for Get {
    const NAME: &str = "state_get";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        Ok(json!(host.state_get(&self.key).await?))
    }
}

#[derive(Deserialize)]
struct Set {
    key: String,
    value: Option<String>,
}

impl Question for Set {
    const NAME: &str = "state_set";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        host.state_set(self.key, self.value).await?;
        Ok(Value::Null)
    }
}

/// A request with a credential; `http_request` has no way to name one.
#[derive(Deserialize)]
struct Send {
    method: Method,
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    body: Option<Body>,
    credential: Option<Credential>,
    #[serde(default)]
    rates: Vec<Rated>,
    max_bytes: u64,
}

#[derive(Deserialize)]
struct Credential {
    name: String,
    inject: Place,
    #[serde(default)]
    scopes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    Authorization,
    Header(String, String),
    Query(String),
}

#[derive(Deserialize)]
struct Rated {
    requests: u32,
    per_ms: u64,
}

impl Question for Send {
    const NAME: &str = "http_send";

    async fn answer(self, host: HostServices) -> Result<Value, Failure> {
        let credential = self.credential.map(|credential| UseCredential {
            name: credential.name,
            inject: match credential.inject {
                Place::Authorization => Inject::Authorization,
                Place::Header(name, prefix) => Inject::Header { name, prefix },
                Place::Query(name) => Inject::Query(name),
            },
            scopes: credential.scopes,
        });
        let rates = self.rates.iter().map(|rate| Rate { requests: rate.requests, per_ms: rate.per_ms }).collect();
        let request = HttpRequest {
            method: self.method,
            url: self.url,
            headers: self.headers,
            body: self.body.map(Body::bytes).transpose()?.map(Into::into),
            credential,
            rates,
            max_bytes: self.max_bytes,
        };
        let answer = host.send(request).await?;
        Ok(json!({
            "status": answer.status, "url": answer.url, "headers": answer.headers, "body": answer.body,
            "size_bytes": answer.size_bytes,
        }))
    }
}
