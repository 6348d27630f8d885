//! What can be installed, what is refused and why, and the compiled code kept on disk.
#![allow(clippy::unwrap_used)]

mod support;

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use support::{component, options};
use tributary_sandbox::{InstallError, Kind, Sandbox, SandboxOptions};

async fn refusal(wasm: impl Into<Vec<u8>>) -> String {
    Sandbox::new(SandboxOptions::default()).unwrap().install(wasm.into()).await.unwrap_err().to_string()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// A component that exports an empty `connector` interface, with `more` before it.
fn shell(more: &str) -> Vec<u8> {
    wat(&format!(r#"(component {more} (instance $i) (export "tributary:connector/connector@0.1.0" (instance $i)))"#))
}

#[tokio::test]
async fn a_connector_is_installed_with_what_it_says_about_itself() {
    let sandbox = Sandbox::new(options()).unwrap();
    let wasm = component("tributary-misbehaving");
    let artifact = sandbox.install(wasm.clone()).await.unwrap();
    assert_eq!((artifact.kind, artifact.size_bytes), (Kind::Connector, wasm.len()));
    assert_eq!(artifact.descriptor.as_ref().unwrap().id, "misbehaving");
    assert_eq!(sandbox.install(wasm).await.unwrap(), artifact);
    assert_eq!(sandbox.connector(artifact.digest).unwrap().describe().await.unwrap(), artifact.descriptor.unwrap());
    assert!(matches!(sandbox.extractor(artifact.digest), Err(InstallError::Unknown { .. })));
}

#[tokio::test]
async fn what_is_not_a_component_is_refused_by_name() {
    assert!(refusal("hello").await.starts_with("this is not WebAssembly"));
    assert!(refusal("").await.starts_with("this is not WebAssembly"));
    assert!(refusal("(component)").await.starts_with("this is not WebAssembly"), "text is not compiled");
    assert!(refusal(wat("(module)")).await.starts_with("this is a core WebAssembly module"));
    let whole = component("tributary-misbehaving");
    assert!(refusal(&whole[..whole.len() / 2]).await.starts_with("the component is damaged, cut off"));
    assert!(refusal(&whole[..8]).await.starts_with("the component must export"), "an empty component");
    let small = SandboxOptions { max_component_bytes: 1000, ..SandboxOptions::default() };
    let error = Sandbox::new(small).unwrap().install(whole).await.unwrap_err();
    assert!(error.to_string().contains("at most 1000 are allowed"), "{error}");
}

#[tokio::test]
async fn precompiled_code_is_refused() {
    let engine = wasmtime::Engine::default();
    let code = engine.precompile_component(&wat("(component)")).unwrap();
    assert!(refusal(code).await.starts_with("this is a precompiled artifact"));
}

#[tokio::test]
async fn imports_outside_of_the_contract_are_refused() {
    for name in [
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:sockets/tcp@0.2.0",
        "evil:host/system@1.0.0",
        "tributary:connector/files@0.2.0",
    ] {
        let refusal = refusal(shell(&format!(r#"(import "{name}" (instance))"#))).await;
        assert!(
            refusal.starts_with(&format!("the connector imports `{name}`, which is not offered to connectors")),
            "{refusal}"
        );
    }
    // Known by name, but of another type.
    let refusal =
        refusal(shell(r#"(import "tributary:connector/log@0.1.0" (instance (export "log" (func (param "x" u32)))))"#))
            .await;
    assert!(refusal.starts_with("the component does not fit the contract"), "{refusal}");
}

#[tokio::test]
async fn a_component_must_be_one_thing_and_fit_the_contract() {
    assert!(refusal(wat("(component)")).await.starts_with("the component must export either"));
    assert!(refusal(shell("")).await.starts_with("the component does not fit the contract"));
    // An extractor gets no files, whatever a connector may have.
    let greedy = r#"(component (import "tributary:connector/files@0.1.0" (instance)) (instance $i)
        (export "tributary:connector/extractor@0.1.0" (instance $i)))"#;
    assert!(refusal(wat(greedy)).await.starts_with("the extractor imports `tributary:connector/files@0.1.0`"));
}

#[tokio::test]
async fn components_made_of_components_are_looked_at_as_any_other() {
    // Between two with a memory each, text is copied by a module that has both.
    let composed = r#"(component
          (component $inner
            (core module $m
              (memory (export "memory") 1)
              (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 0)
              (func (export "f") (param i32 i32)))
            (core instance $i (instantiate $m))
            (func (export "f") (param "text" string)
              (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
          (component $outer
            (import "f" (func $f (param "text" string)))
            (core module $lib (memory (export "memory") 1))
            (core instance $lib (instantiate $lib))
            (core func $f (canon lower (func $f) (memory (core memory $lib "memory"))))
            (core module $m (import "" "f" (func (param i32 i32))) (func (export "g")))
            (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
            (func (export "g") (canon lift (core func $i "g"))))
          (instance $inner (instantiate $inner))
          (instance $outer (instantiate $outer (with "f" (func $inner "f"))))
          (export "g" (func $outer "g")))"#;
    assert!(refusal(wat(composed)).await.starts_with("the component must export either"));
}

fn only_file(dir: &Path) -> std::path::PathBuf {
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[tokio::test]
async fn compiled_code_is_kept_privately_and_made_again_when_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("made/on demand");
    let options = || SandboxOptions { cache_dir: Some(cache.clone()), ..SandboxOptions::default() };
    let wasm = component("tributary-probing");
    let install = || async { Sandbox::new(options()).unwrap().install(wasm.clone()).await.unwrap() };
    let artifact = install().await;
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    let path = only_file(&cache);
    let whole = fs::read(&path).unwrap();
    let stamp = || fs::metadata(&path).unwrap().modified().unwrap();

    let before = stamp();
    assert_eq!(install().await, artifact);
    assert_eq!(stamp(), before, "a second start compiles nothing");

    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [flipped, whole[..whole.len() / 2].to_vec(), Vec::new(), b"nonsense".to_vec()] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(install().await, artifact);
        assert_eq!(fs::read(&path).unwrap().len(), whole.len(), "compiled again");
    }
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o755)).unwrap();
    install().await;
    assert_eq!(fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700, "closed again");
}

#[test]
fn a_cache_that_cannot_be_used_says_why() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = SandboxOptions { cache_dir: Some(file.path().to_owned()), ..SandboxOptions::default() };
    let error = Sandbox::new(options).err().unwrap().to_string();
    assert!(error.contains("the cache of compiled components cannot be used"), "{error}");
}
