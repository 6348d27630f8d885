//! A connector made with Extism's kit for Rust, which reads what the example in AssemblyScript reads: `BASE/1.txt`, `BASE/2.txt` …,
//! a document a line. Beside it, functions that say what the host's functions do.

use std::collections::BTreeMap;

use extism_pdk::{FnResult, HttpRequest, Json, Memory, config, extism as host, host_fn, http, info, plugin_fn, var};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize)]
struct Lookup {
    external_ids: Vec<String>,
}

#[derive(Deserialize)]
struct Answer<T> {
    ok: T,
}

#[host_fn]
extern "ExtismHost" {
    fn ledger_lookup(question: Json<Lookup>) -> Json<Answer<Vec<Option<String>>>>;
    fn state_get(question: Json<Value>) -> Json<Answer<Option<String>>>;
    fn state_set(question: Json<Value>) -> Json<Answer<()>>;
}

// The connector.

#[plugin_fn]
pub fn describe() -> FnResult<Json<Value>> {
    Ok(Json(json!({
        "id": "lines_in_rust", "version": "0.1.0", "title": "Lines of text files",
        "config_schema": {"type": "object", "required": ["base_url"]},
        "hosts": ["/base_url"], "capabilities": ["enumerate"],
    })))
}

#[plugin_fn]
pub fn check() -> FnResult<Json<Value>> {
    let status = if fetch(1)?.0 == 200 { "ok" } else { "failed" };
    Ok(Json(json!([{"name": "the first file can be read", "status": status}])))
}

#[plugin_fn]
pub fn pull(Json(request): Json<Value>) -> FnResult<Json<Value>> {
    let page = request["cursor"].as_str().and_then(|cursor| cursor.parse().ok()).unwrap_or(1);
    let (status, body) = fetch(page)?;
    if status == 404 {
        return Ok(Json(json!({"changes": [], "next": "complete_exhaustive"})));
    }
    if status != 200 {
        let failure =
            json!({"fault": "transient", "code": "unexpected_status", "message": format!("It answered {status}.")});
        return Err(extism_pdk::Error::msg(failure.to_string()).into());
    }
    let lines: Vec<Vec<&str>> = body.lines().map(|line| line.split('\t').collect()).collect();
    let ids = lines.iter().map(|line| line[0].to_owned()).collect();
    let known = unsafe { ledger_lookup(Json(Lookup { external_ids: ids }))? }.0.ok;
    let changes = lines.iter().zip(known).map(|(line, known)| {
        let content = match known.as_deref() == Some(line[2]) {
            true => json!("unchanged"),
            false => json!({"sections": [{"text": line[2]}]}),
        };
        json!({"upsert": {"external_id": line[0], "title": line[1], "kind": "line", "content": content, "fingerprint": line[2]}})
    });
    info!("page {page}");
    Ok(Json(json!({"changes": changes.collect::<Vec<_>>(), "cursor": (page + 1).to_string(), "next": "more"})))
}

fn fetch(page: u32) -> Result<(u16, String), extism_pdk::Error> {
    let base = config::get("base_url")?.unwrap_or_default();
    let answer = http::request::<()>(&HttpRequest::new(format!("{base}/{page}.txt")), None)?;
    Ok((answer.status_code(), String::from_utf8(answer.body())?))
}

// What the host's functions do.

#[plugin_fn]
pub fn echo(input: Vec<u8>) -> FnResult<Vec<u8>> {
    Ok(input)
}

#[plugin_fn]
pub fn configured(name: String) -> FnResult<Json<Option<String>>> {
    Ok(Json(config::get(name)?))
}

#[plugin_fn]
pub fn variables() -> FnResult<Json<Vec<Option<String>>>> {
    let mut seen = vec![var::get::<String>("a")?];
    var::set("a", "one")?;
    seen.push(var::get("a")?);
    var::set("a", "two, and longer")?;
    seen.push(var::get("a")?);
    var::remove("a")?;
    seen.push(var::get("a")?);
    var::set("a", "")?;
    seen.push(var::get("a")?);
    Ok(Json(seen))
}

#[plugin_fn]
pub fn state() -> FnResult<Json<Vec<Option<String>>>> {
    let look = || -> Result<_, extism_pdk::Error> { Ok(unsafe { state_get(Json(json!({"key": "k"})))? }.0.ok) };
    let mut seen = vec![look()?];
    unsafe { state_set(Json(json!({"key": "k", "value": "kept"})))? };
    seen.push(look()?);
    unsafe { state_set(Json(json!({"key": "k", "value": null})))? };
    seen.push(look()?);
    Ok(Json(seen))
}

/// Status, headers and body of an answer to a POST.
#[plugin_fn]
pub fn posted(url: String) -> FnResult<Json<(u16, BTreeMap<String, String>, String)>> {
    let request = HttpRequest::new(url).with_method("POST").with_header("x-ask", "please");
    let answer = http::request(&request, Some("what was sent"))?;
    let headers = answer.headers().clone().into_iter().collect();
    Ok(Json((answer.status_code(), headers, String::from_utf8(answer.body())?)))
}

#[plugin_fn]
pub fn fails(message: String) -> FnResult<()> {
    Err(extism_pdk::Error::msg(message).into())
}

/// Says that it failed, and returns 0.
#[unsafe(no_mangle)]
pub extern "C" fn fails_with_zero() -> i32 {
    let said = Memory::from_bytes("it failed").expect("there is room");
    unsafe { host::error_set(said.offset()) };
    0
}

/// Says that it failed, and that it did not after all.
#[unsafe(no_mangle)]
pub extern "C" fn takes_it_back() -> i32 {
    let said = Memory::from_bytes("it failed").expect("there is room");
    unsafe { host::error_set(said.offset()) };
    unsafe { host::error_set(0) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn returns_seven() -> i32 {
    7
}

#[plugin_fn]
pub fn panics() -> FnResult<()> {
    panic!("as asked")
}

/// Which blocks are still there once the host was given them: those it did not take.
#[plugin_fn]
pub fn taken(url: String) -> FnResult<Json<Vec<(&'static str, bool)>>> {
    let block = |text: &str| Memory::from_bytes(text).expect("there is room").offset();
    let mut seen = Vec::new();
    let mut look = |name, offset| seen.push((name, unsafe { host::length(offset) } == 0));
    unsafe {
        let key = block("key");
        host::config_get(key);
        look("key of a configuration value", key);
        let (key, value) = (block("key"), block("value"));
        host::var_set(key, value);
        look("key of a variable", key);
        look("value of a variable", value);
        let key = block("key");
        let value = host::var_get(key);
        look("key of a variable that is read", key);
        look("value of a variable that is read", value);
        let line = block("line");
        host::log_error(line);
        look("line of the log", line);
        let quiet = block("line");
        host::log_trace(quiet);
        look("line that nobody logs", quiet);
        let (request, body) = (block(&json!({"url": url, "method": "POST"}).to_string()), block("body"));
        let answer = host::http_request(request, body);
        // Where a block was that is free, another may be.
        look("request", if request == answer { 0 } else { request });
        look("its body", if body == answer { 0 } else { body });
        look("its answer", answer);
    }
    Ok(Json(seen))
}

/// Places where nothing is.
#[plugin_fn]
pub fn nowhere() -> FnResult<Json<Vec<u64>>> {
    unsafe {
        host::free(1 << 40);
        host::store_u8(1 << 40, 1);
        host::store_u64(1 << 40, 1);
        let block = host::alloc(16);
        let numbers = vec![
            host::alloc(0),
            host::length(0),
            host::length(1 << 40),
            host::length(block),
            host::length(block + 1),
            host::load_u8(1 << 40).into(),
            host::load_u64(1 << 40),
            host::input_load_u8(1 << 40).into(),
            host::input_load_u64(1 << 40),
            host::config_get(0),
            host::var_get(0),
            host::http_status_code() as u64,
        ];
        host::log_info(0);
        host::free(block);
        Ok(Json([numbers, vec![host::length(block)]].concat()))
    }
}

/// Blocks of many sizes, freed in part: none lies over another.
#[plugin_fn]
pub fn blocks() -> FnResult<String> {
    let mut kept: Vec<(Memory, Vec<u8>)> = Vec::new();
    for step in 0_u32..500 {
        let bytes = vec![step as u8; (step.wrapping_mul(7919) % 3000) as usize + 1];
        kept.push((Memory::from_bytes(&bytes)?, bytes));
        if step % 3 == 0 {
            kept.remove((step as usize * 31) % kept.len()).0.free();
        }
    }
    let whole = kept.iter().filter(|(memory, bytes)| memory.to_vec() == *bytes).count();
    Ok(format!("{whole} of {} blocks are whole", kept.len()))
}
