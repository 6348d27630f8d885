//! What the sandbox's tests share: built components, a sandbox with its compiled-code cache, services.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use tributary_core::contract::{Change, Content, Failure, Page, PullRequest};
use tributary_sandbox::{Connector, EmptyLedger, Files, HostServices, Meter, Sandbox, SandboxOptions, WasmExtractor};

/// The bytes of a test component.
pub fn component(package: &str) -> Vec<u8> {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = tmp.parent().unwrap().join(format!("wasm32-wasip2/component/{}.wasm", package.replace('-', "_")));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}\nbuild it first: cargo build --profile component --target wasm32-wasip2 -p {package}",
            path.display()
        )
    })
}

/// Compiled once for all test processes.
pub fn options() -> SandboxOptions {
    SandboxOptions { cache_dir: Some(code_cache()), ..SandboxOptions::default() }
}

pub fn code_cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("sandbox-test-code")
}

pub async fn misbehaving(options: SandboxOptions) -> Arc<dyn Connector> {
    let sandbox = Sandbox::new(options).unwrap();
    let artifact = sandbox.install(component("tributary-misbehaving")).await.unwrap();
    sandbox.connector(artifact.digest).unwrap()
}

pub async fn probing() -> WasmExtractor {
    let sandbox = Sandbox::new(options()).unwrap();
    let artifact = sandbox.install(component("tributary-probing")).await.unwrap();
    sandbox.extractor(artifact.digest).unwrap()
}

pub fn services() -> HostServices {
    services_over(Files::none())
}

pub fn services_over(files: Files) -> HostServices {
    HostServices::new(Arc::new(files), Arc::new(EmptyLedger), Arc::new(Meter::default()), "test")
}

/// The roots `docs` → `path`, all of it granted.
pub fn files(path: &Path) -> Files {
    Files::new(Arc::new(BTreeMap::from([("docs".to_owned(), path.to_owned())])), ["docs".to_owned()])
}

pub fn request(config: serde_json::Value) -> PullRequest {
    PullRequest {
        config: config.to_string(),
        cursor: None,
        full: false,
        upper_bound_ms: 0,
        max_items: 256,
        max_bytes: 8 << 20,
        deadline_ms: 20_000,
    }
}

pub async fn pull(connector: &Arc<dyn Connector>, config: serde_json::Value) -> Result<Page, Failure> {
    connector.pull(&request(config), &services()).await
}

/// The text of the page's document `id`.
pub fn text<'a>(page: &'a Page, id: &str) -> &'a str {
    let found = page.changes.iter().find_map(|change| match change {
        Change::Upsert(document) if document.external_id == id => match &document.content {
            Content::Sections(sections) => Some(sections[0].text.as_str()),
            _ => None,
        },
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no document {id} in {page:?}"))
}
