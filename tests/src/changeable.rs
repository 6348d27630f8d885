//! A stranger's connector in as many versions as a test wants: one component, `tests/components/changeable`, whose descriptor is written
//! into the built file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Server, server::Answer};

/// The bytes of a test's component.
pub fn built(name: &str) -> Vec<u8> {
    let target = option_env!("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is a folder of the checkout").join("target"),
        PathBuf::from,
    );
    let path = target.join("wasm32-wasip2/component").join(name).with_extension("wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask plugins --all`", path.display()))
}

/// The component with this id, version and schema, which asks for these hosts.
pub fn component(id: &str, version: &str, schema: &Value, hosts: &[&str]) -> Vec<u8> {
    told(&json!({ "id": id, "version": version, "schema": schema, "hosts": hosts }))
}

/// The component that is what it is told.
pub fn told(told: &Value) -> Vec<u8> {
    const MARK: &[u8] = b"CHANGEABLE:{";
    const SLOT_BYTES: usize = 4096;
    let mut wasm = built("tributary_changeable");
    let at = wasm.windows(MARK.len()).position(|part| part == MARK).expect("the component has its mark");
    let told = told.to_string();
    let (start, end) = (at + MARK.len() - 1, at + SLOT_BYTES);
    wasm[start..end].fill(b' ');
    wasm[start..start + told.len()].copy_from_slice(told.as_bytes());
    wasm
}

/// A version that takes any configuration and asks for the host at `/url`.
pub fn version(version: &str) -> Vec<u8> {
    component("changeable", version, &json!({ "type": "object" }), &["/url"])
}

/// Sends a component to be installed.
pub async fn send(server: &Server, wasm: Vec<u8>, query: &str) -> Answer {
    let request = server.request(Method::POST, &format!("/api/v1/connectors{query}"));
    Answer::of(request.header("content-type", "application/wasm").body(wasm)).await
}

/// Installs one.
pub async fn install(server: &Server, wasm: Vec<u8>) -> Value {
    send(server, wasm, "").await.expect(201)
}
